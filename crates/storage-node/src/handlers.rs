//! Answers the node's table of operations: wire type, what the node does, wire type.
//!
//! Who may ask what is decided here and nowhere else: copying, deleting and inventories are the master's.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use proto::connection::{CallError, CallerIdentity};
use proto::hello::{ClusterSecret, Role};
use proto::id::{ChunkId, NodeId, PromiseId};
use proto::net::Network;
use proto::node::{
    BucketListed, CHUNKS_PER_MESSAGE_MAX, ChunkRead, ChunkReplicated, ChunkSource, ChunkStored,
    ChunkVerified, ChunksDeleted, ChunksDescribed, DeleteChunks, DescribeChunks, DigestInventory,
    GetChunk, GetNodeStatus, InventoryDigest, ListBucket, NodeHandlers, NodeStatus, PutChunk,
    Receipt, ReplicateChunk, VerifyChunk,
};
use proto::pool::{Pool, PoolOptions};
use proto::table::Caller;
use proto::{Body, ErrorCode, WireError};
use tokio::time::Instant;

use crate::extent::Order;
use crate::node::{Node, OpenChunk};
use crate::send_file::ChunkBody;
use crate::verified::VerifiedChunk;

/// A source that has not sent a chunk by then is given up for the next.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);
/// All sources together: less than the master waits, so that it hears whose fault it was.
const FETCHES_TIMEOUT: Duration = Duration::from_secs(25);
/// Sources that one order may name.
const SOURCES_MAX: usize = 32;

/// What answers requests.
#[derive(Debug)]
pub(crate) struct Handlers {
    node: Arc<Node>,
    network: Arc<dyn Network>,
    secret: Option<ClusterSecret>,
    /// Made when it is first needed: by then the node has joined its cluster, and says so.
    pool: OnceLock<Pool>,
}

impl Handlers {
    /// Answers for this node, which fetches chunks from others over this network.
    pub(crate) fn new(
        node: Arc<Node>,
        network: Arc<dyn Network>,
        secret: Option<ClusterSecret>,
    ) -> Self {
        Self {
            node,
            network,
            secret,
            pool: OnceLock::new(),
        }
    }

    fn pool(&self) -> &Pool {
        self.pool.get_or_init(|| {
            let identity = CallerIdentity {
                role: Role::Node,
                cluster: self.node.cluster(),
                secret: self.secret.clone(),
            };
            Pool::new(Arc::clone(&self.network), identity, PoolOptions::default())
        })
    }

    fn receipt(&self, promise: PromiseId, chunk: &ChunkId, len: usize) -> Receipt {
        Receipt {
            node: self.node.id(),
            mac: self.node.receipt_key().receipt(promise, chunk, len as u64),
        }
    }

    /// The chunk's bytes from the first source that gives them, and which that is.
    async fn fetch(&self, request: &ReplicateChunk) -> Result<(VerifiedChunk, NodeId), WireError> {
        let chunk = request.chunk;
        let mut failures = Vec::new();
        let deadline = Instant::now() + FETCHES_TIMEOUT;
        for source in request.sources.iter().take(SOURCES_MAX) {
            let address = &source.address;
            let left = deadline.saturating_duration_since(Instant::now());
            match self.fetch_from(source, chunk, left).await {
                Ok(bytes) if bytes.len() != request.len as usize => {
                    failures.push(format!("{address}: it has {} bytes", bytes.len()));
                }
                Ok(bytes) => match self.node.verify_bytes(chunk, bytes).await {
                    Ok(verified) => return Ok((verified, source.node)),
                    Err(_) => failures.push(format!("{address}: its copy is corrupt")),
                },
                Err(error) => failures.push(error.to_string()),
            }
        }
        let why = failures.join("; ");
        let message = format!("no source gave chunk {chunk}: {why}");
        Err(WireError::new(ErrorCode::NoSource, message))
    }

    async fn fetch_from(
        &self,
        source: &ChunkSource,
        chunk: ChunkId,
        left: Duration,
    ) -> Result<bytes::Bytes, CallError> {
        let request = GetChunk { chunk };
        let timeout = left.min(FETCH_TIMEOUT);
        let read = self.pool().transfer(source, request, timeout).await?;
        Ok(read.body.into_bytes().unwrap_or_default())
    }
}

fn masters_only(caller: &Caller) -> Result<(), WireError> {
    if caller.role == Role::Master {
        return Ok(());
    }
    Err(WireError::new(
        ErrorCode::Forbidden,
        "only the master may ask a node for this",
    ))
}

fn check_count(count: usize) -> Result<(), WireError> {
    if count <= CHUNKS_PER_MESSAGE_MAX {
        return Ok(());
    }
    let message = format!("{count} chunks in one message; at most {CHUNKS_PER_MESSAGE_MAX}");
    Err(WireError::new(ErrorCode::InvalidArgument, message))
}

impl NodeHandlers for Handlers {
    async fn put_chunk(&self, _: &Caller, request: PutChunk) -> Result<ChunkStored, WireError> {
        let PutChunk {
            chunk,
            promise,
            body,
        } = request;
        let len = body.len();
        let stored = self.node.put(chunk, body).await?;
        Ok(ChunkStored {
            stored,
            receipt: promise.map(|promise| self.receipt(promise, &chunk, len)),
        })
    }

    async fn get_chunk(&self, _: &Caller, request: GetChunk) -> Result<ChunkRead, WireError> {
        let body = match self.node.open_chunk(&request.chunk).await? {
            OpenChunk::Bytes(bytes) => Body::Bytes(bytes),
            OpenChunk::File(found) => {
                let node = Arc::clone(&self.node);
                Body::Source(Box::new(ChunkBody::new(node, found)))
            }
        };
        Ok(ChunkRead { body })
    }

    async fn describe_chunks(
        &self,
        _: &Caller,
        request: DescribeChunks,
    ) -> Result<ChunksDescribed, WireError> {
        check_count(request.chunks.len())?;
        let chunks = self.node.describe(request.chunks).await?;
        Ok(ChunksDescribed { chunks })
    }

    async fn verify_chunk(
        &self,
        _: &Caller,
        request: VerifyChunk,
    ) -> Result<ChunkVerified, WireError> {
        let state = self.node.verify_chunk(&request.chunk).await?;
        Ok(ChunkVerified { state })
    }

    async fn get_node_status(
        &self,
        _: &Caller,
        GetNodeStatus {}: GetNodeStatus,
    ) -> Result<NodeStatus, WireError> {
        let node = Arc::clone(&self.node);
        Ok(NodeStatus {
            node: node.id(),
            registered: node.is_registered(),
            usage: node.usage().await,
        })
    }

    async fn replicate_chunk(
        &self,
        caller: &Caller,
        request: ReplicateChunk,
    ) -> Result<ChunkReplicated, WireError> {
        masters_only(caller)?;
        self.node.follow(request.as_of).await?;
        if self.node.holds_good(&request.chunk).await {
            return Ok(ChunkReplicated { source: None });
        }
        let (verified, source) = self.fetch(&request).await?;
        self.node.store(verified).await?;
        Ok(ChunkReplicated {
            source: Some(source),
        })
    }

    async fn delete_chunks(
        &self,
        caller: &Caller,
        request: DeleteChunks,
    ) -> Result<ChunksDeleted, WireError> {
        masters_only(caller)?;
        check_count(request.chunks.len())?;
        self.node.follow(request.as_of).await?;
        let order = Order {
            epoch: request.as_of.epoch,
            sequence: request.sequence,
        };
        self.node.delete(order, &request.chunks).await
    }

    async fn digest_inventory(
        &self,
        caller: &Caller,
        DigestInventory {}: DigestInventory,
    ) -> Result<InventoryDigest, WireError> {
        masters_only(caller)?;
        // Corrupt chunks are in no bucket: they are told beside.
        self.node.report_all_corrupt();
        Ok(InventoryDigest {
            buckets: self.node.digest(),
        })
    }

    async fn list_bucket(
        &self,
        caller: &Caller,
        request: ListBucket,
    ) -> Result<BucketListed, WireError> {
        masters_only(caller)?;
        let limit = (request.limit as usize).clamp(1, CHUNKS_PER_MESSAGE_MAX);
        let listed = self.node.list_bucket(request.bucket, request.after, limit);
        let (chunks, more) = listed.await?;
        Ok(BucketListed { chunks, more })
    }
}
