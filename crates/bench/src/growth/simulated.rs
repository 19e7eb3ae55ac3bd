//! Storage nodes that have nothing, and speak to the master as nodes do: they register, send heartbeats, sum up the chunks that the master
//! has recorded for them, and say that they copied what they are told to copy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use proto::hello::Role;
use proto::id::{BootId, ChunkId, ClusterId, Epoch};
use proto::master::{RegisterNode, ReportHeartbeat};
use proto::net::{Address, Listener, Network, Tcp};
use proto::node::{
    BucketDigest, BucketListed, ChunkRead, ChunkReplicated, ChunkStored, ChunkVerified,
    ChunksDeleted, ChunksDescribed, DeleteChunks, DescribeChunks, DigestInventory, GetChunk,
    GetNodeStatus, InventoryDigest, ListBucket, NodeHandlers, NodeServer, NodeStatus, NodeUsage,
    PutChunk, ReplicateChunk, VerifyChunk,
};
use proto::server::{Identity, Limits, serve};
use proto::table::Caller as Asking;
use proto::{ErrorCode, WireError};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::caller::Caller;

const CAPACITY: u64 = 4 << 40;

/// One of them; it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct SimulatedNode {
    held: Arc<Held>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Held {
    digest: Mutex<Vec<BucketDigest>>,
    copied: AtomicU64,
}

impl SimulatedNode {
    /// Starts node `number`, which has chunks of this digest.
    pub(crate) async fn start(
        number: u32,
        master: &Address,
        cluster: ClusterId,
        digest: Vec<BucketDigest>,
    ) -> Result<Self> {
        let held = Arc::new(Held {
            digest: Mutex::new(digest),
            copied: AtomicU64::new(0),
        });
        let stop = CancellationToken::new();
        let listener = Tcp.listen(&"127.0.0.1:0".parse()?).await?;
        let address = listener.address();
        spawn_server(number, listener, held.clone(), cluster, stop.clone());
        let caller = Caller::connect(master, Role::Node, cluster).await?;
        let boot = BootId::new(Uuid::from_u128(u128::from(number)));
        let registered = caller.call(RegisterNode {
            node: synthetic::node_id(number),
            boot,
            address,
            zone: String::new(),
            cluster: Some(cluster),
            seen: None,
            last_order: Epoch(0),
            receipt_key: synthetic::receipt_key(number),
            usage: usage(&held),
        });
        let interval = registered
            .await
            .with_context(|| format!("register node {number}"))?;
        let interval = Duration::from_millis(interval.heartbeat_interval_ms);
        let (beating, stopped) = (held.clone(), stop.clone());
        tokio::spawn(async move {
            let beats = beat(caller, number, boot, beating, interval);
            stopped.run_until_cancelled(beats).await
        });
        Ok(Self {
            held,
            _stop: stop.drop_guard(),
        })
    }

    /// A chunk was stored on it.
    pub(crate) fn add(&self, chunk: &ChunkId) {
        self.held.digest.lock()[usize::from(chunk.bucket())].add(chunk);
    }

    /// Copies that it was told to make.
    pub(crate) fn copied(&self) -> u64 {
        self.held.copied.load(Ordering::Relaxed)
    }
}

fn spawn_server(
    number: u32,
    listener: Box<dyn Listener>,
    held: Arc<Held>,
    cluster: ClusterId,
    stop: CancellationToken,
) {
    let (cluster, watched) = watch::channel(Some(cluster));
    let identity = Identity {
        role: Role::Node,
        cluster: watched,
        node: Some(synthetic::node_id(number)),
        secret: None,
    };
    let service = Arc::new(NodeServer(Answers(held)));
    tokio::spawn(async move {
        serve(listener, service, identity, Limits::default(), stop).await;
        drop(cluster);
    });
}

async fn beat(
    caller: Caller,
    number: u32,
    boot: BootId,
    held: Arc<Held>,
    interval: Duration,
) -> Result<()> {
    for sequence in 1.. {
        tokio::time::sleep(interval).await;
        let heartbeat = ReportHeartbeat {
            node: synthetic::node_id(number),
            boot,
            sequence,
            usage: usage(&held),
        };
        caller.call(heartbeat).await?;
    }
    Ok(())
}

fn usage(held: &Held) -> NodeUsage {
    let chunks: u64 = held.digest.lock().iter().map(|bucket| bucket.count).sum();
    let stored_bytes = chunks * u64::from(synthetic::FILE_LEN);
    NodeUsage {
        capacity_bytes: CAPACITY,
        free_bytes: CAPACITY - stored_bytes,
        stored_bytes,
        reclaimable_bytes: 0,
        chunks,
        corrupt_chunks: 0,
        writable: true,
        failed_disks: 0,
        scrubbed_bytes: stored_bytes,
        file_system: None,
    }
}

/// What it answers the master.
#[derive(Debug)]
struct Answers(Arc<Held>);

fn has_no_bytes<T>() -> Result<T, WireError> {
    let message = "this node is simulated: it has no bytes";
    Err(WireError::new(ErrorCode::NotFound, message))
}

impl NodeHandlers for Answers {
    async fn put_chunk(&self, _: &Asking, _: PutChunk) -> Result<ChunkStored, WireError> {
        has_no_bytes()
    }

    async fn get_chunk(&self, _: &Asking, _: GetChunk) -> Result<ChunkRead, WireError> {
        has_no_bytes()
    }

    async fn describe_chunks(
        &self,
        _: &Asking,
        _: DescribeChunks,
    ) -> Result<ChunksDescribed, WireError> {
        has_no_bytes()
    }

    async fn verify_chunk(&self, _: &Asking, _: VerifyChunk) -> Result<ChunkVerified, WireError> {
        has_no_bytes()
    }

    async fn get_node_status(&self, _: &Asking, _: GetNodeStatus) -> Result<NodeStatus, WireError> {
        has_no_bytes()
    }

    async fn replicate_chunk(
        &self,
        _: &Asking,
        request: ReplicateChunk,
    ) -> Result<ChunkReplicated, WireError> {
        self.0.digest.lock()[usize::from(request.chunk.bucket())].add(&request.chunk);
        self.0.copied.fetch_add(1, Ordering::Relaxed);
        let source = request.sources.first().map(|source| source.node);
        Ok(ChunkReplicated { source })
    }

    async fn delete_chunks(
        &self,
        _: &Asking,
        request: DeleteChunks,
    ) -> Result<ChunksDeleted, WireError> {
        let mut digest = self.0.digest.lock();
        for chunk in &request.chunks {
            digest[usize::from(chunk.bucket())].remove(chunk);
        }
        Ok(ChunksDeleted {
            deleted: request.chunks.len() as u64,
            kept: Vec::new(),
        })
    }

    async fn digest_inventory(
        &self,
        _: &Asking,
        DigestInventory {}: DigestInventory,
    ) -> Result<InventoryDigest, WireError> {
        let buckets = self.0.digest.lock().clone();
        Ok(InventoryDigest { buckets })
    }

    async fn list_bucket(&self, _: &Asking, _: ListBucket) -> Result<BucketListed, WireError> {
        has_no_bytes()
    }
}
