//! A master on a disk in memory, its nodes, and an uploader, in one process under a simulated clock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use disk::{Blocking, MemoryDisk};
use master::{Config, Running};
use proto::WireError;
use proto::connection::{CallError, CallerIdentity, Connection};
use proto::hello::Role;
use proto::id::{ChunkId, NodeId, PromiseId, RequestId, UploadId};
use proto::master::{
    AllocateChunks, ChunkToStore, ClusterStatus, CommitUpload, DeleteEntry, GetStatus, OpenFile,
    Placement, Precondition, StoredChunk,
};
use proto::memory::MemoryNetwork;
use proto::net::Address;
use proto::table::Operation;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::node::{CALL_TIMEOUT, Node};

/// Everything.
pub(crate) struct World {
    pub(crate) network: MemoryNetwork,
    pub(crate) disk: MemoryDisk,
    pub(crate) config: Config,
    pub(crate) nodes: Vec<Node>,
    address: Address,
    master: Option<(Running, CancellationToken)>,
    next_id: u128,
}

/// Short times, so that little has to be simulated.
pub(crate) fn config() -> Config {
    Config {
        heartbeat_interval: Duration::from_secs(1),
        failure_timeout: Duration::from_secs(5),
        garbage_grace: Duration::from_secs(20),
        unknown_chunk_grace: Duration::from_secs(60),
        inventory_interval: Duration::from_secs(30),
        upload_lease: Duration::from_secs(15),
        resumable_upload_retention: Duration::from_secs(60),
        blocking: Blocking::inline(),
        chance_seed: 7,
        cache_bytes: 1 << 20,
        ..Config::default()
    }
}

impl World {
    /// A master with so many nodes, all of them registered.
    pub(crate) async fn new(config: Config, nodes: u16) -> Self {
        let mut world = Self {
            network: MemoryNetwork::new(),
            disk: MemoryDisk::new(),
            address: "127.0.0.1:9000".parse().unwrap(),
            config,
            nodes: Vec::new(),
            master: None,
            next_id: 0,
        };
        world.config.listen = world.address.clone();
        world.start_master().await;
        for _ in 0..nodes {
            world.add_node("").await;
        }
        world
    }

    pub(crate) async fn start_master(&mut self) {
        self.try_start_master(self.disk.clone()).await.unwrap();
    }

    /// Starts the master on another disk, for example an old copy.
    pub(crate) async fn try_start_master(
        &mut self,
        disk: MemoryDisk,
    ) -> Result<(), master::StartError> {
        let shutdown = CancellationToken::new();
        let network = Arc::new(self.network.clone());
        let started = master::start(
            self.config.clone(),
            network,
            disk.shared(),
            shutdown.clone(),
        )
        .await?;
        self.disk = disk;
        self.master = Some((started, shutdown));
        // The next start is another one.
        self.config.chance_seed += 1;
        Ok(())
    }

    pub(crate) async fn stop_master(&mut self) {
        let (running, shutdown) = self.master.take().unwrap();
        shutdown.cancel();
        running.ended().await.unwrap();
    }

    /// Waits until the master ends by itself.
    pub(crate) async fn master_ended(&mut self) -> Result<(), master::StartError> {
        let (running, _shutdown) = self.master.take().unwrap();
        running.ended().await
    }

    /// Adds a node and waits until it is live.
    pub(crate) async fn add_node(&mut self, zone: &str) -> Node {
        let number = u16::try_from(self.nodes.len()).unwrap() + 1;
        let node = Node::new(&self.network, &self.address, number, zone);
        node.start().await;
        self.nodes.push(node.clone());
        let live = u32::from(number);
        self.until("the node is live", |status| status.nodes.live >= live)
            .await;
        node
    }

    pub(crate) async fn call<O: Operation>(&self, request: O) -> Result<O::Reply, CallError> {
        let caller = CallerIdentity {
            role: Role::Client,
            cluster: None,
            secret: None,
        };
        let connection =
            Connection::open(&self.network, &self.address, &caller, CALL_TIMEOUT).await?;
        connection.call(request, Duration::from_secs(30)).await
    }

    pub(crate) async fn status(&self) -> ClusterStatus {
        self.call(GetStatus {}).await.unwrap()
    }

    /// Waits for a state of the cluster, and says how long that took.
    pub(crate) async fn until(
        &self,
        what: &str,
        is_so: impl Fn(&ClusterStatus) -> bool,
    ) -> Duration {
        let began = Instant::now();
        loop {
            let status = self.status().await;
            if is_so(&status) {
                return began.elapsed();
            }
            let problems = &status.problems;
            assert!(
                began.elapsed() < Duration::from_secs(400),
                "waited in vain until {what}: {:?} {problems:#?}",
                status.chunks
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a condition of the test holds.
    pub(crate) async fn until_so(&self, what: &str, is_so: impl Fn() -> bool) -> Duration {
        self.until(what, |_| is_so()).await
    }

    /// Waits until there are three good copies of each.
    pub(crate) async fn until_three_copies(&self, chunks: &[ChunkId]) {
        self.until_so("there are three copies of each", || {
            chunks.iter().all(|chunk| self.copies(chunk) == 3)
        })
        .await;
    }

    /// The first node dies, and others make copies in the place of its own.
    pub(crate) async fn lose_the_first_node(&self, chunks: &[ChunkId]) {
        self.nodes[0].kill();
        self.until("it is dead", |status| status.nodes.dead == 1)
            .await;
        let elsewhere = |chunk: &ChunkId| {
            let others = self.nodes[1..].iter();
            others.filter(|node| node.holds(chunk)).count()
        };
        self.until_so("all have three copies without it", || {
            chunks.iter().all(|chunk| elsewhere(chunk) == 3)
        })
        .await;
    }

    /// All that a node holds rots; returns what that is.
    pub(crate) fn rot_all_on(&self, node: usize) -> BTreeSet<ChunkId> {
        let mut disk = self.nodes[node].disk();
        disk.corrupt = disk.chunks.keys().copied().collect();
        disk.corrupt.clone()
    }

    /// No node was ordered to delete anything.
    pub(crate) fn assert_nothing_deleted(&self) {
        let mut nodes = self.nodes.iter();
        assert!(nodes.all(|node| node.disk().deleted.is_empty()));
    }

    /// Uploads a file of these chunks. At most `copies` nodes store each.
    pub(crate) async fn upload(
        &mut self,
        path: &str,
        chunks: &[Bytes],
        copies: usize,
    ) -> Result<(), CallError> {
        let (upload, stored) = self.store(chunks, copies).await?;
        self.commit(upload, path, stored).await
    }

    /// Stores chunks for a commit. At most `copies` nodes store each.
    pub(crate) async fn store(
        &mut self,
        chunks: &[Bytes],
        copies: usize,
    ) -> Result<(UploadId, Vec<StoredChunk>), CallError> {
        let upload = UploadId::new(self.uuid());
        let mut stored = Vec::new();
        for batch in chunks.chunks(256) {
            let allocate = AllocateChunks {
                upload,
                chunks: batch.iter().map(to_store).collect(),
                avoid: Vec::new(),
            };
            let allocated = self.call(allocate).await?;
            for (bytes, placement) in batch.iter().zip(&allocated.placements) {
                let (promise, places) = match placement {
                    Placement::Stored => (PromiseId::new(Uuid::nil()), &[][..]),
                    Placement::Promised { promise, nodes } => (*promise, &nodes[..]),
                };
                let receipts = places.iter().take(copies).map(|place| {
                    let location = &allocated.nodes[usize::from(*place)];
                    let node = self.nodes.iter().find(|node| node.0.id == location.node);
                    node.unwrap().put(promise, bytes)
                });
                let ChunkToStore { chunk, len } = to_store(bytes);
                stored.push(StoredChunk {
                    chunk,
                    len,
                    receipts: receipts.collect(),
                });
            }
        }
        Ok((upload, stored))
    }

    pub(crate) async fn commit(
        &self,
        upload: UploadId,
        path: &str,
        chunks: Vec<StoredChunk>,
    ) -> Result<(), CallError> {
        let commit = CommitUpload {
            upload,
            path: path.parse().unwrap(),
            size: chunks.iter().map(|chunk| u64::from(chunk.len)).sum(),
            modified_ms: None,
            blocks: 0,
            place: 0,
            chunks,
            parents: true,
            precondition: Precondition::Any,
        };
        self.call(commit).await.map(|_| ())
    }

    /// Uploads a file a chunk, each on all nodes that it was promised to; returns the chunks.
    pub(crate) async fn fill(&mut self, count: u32) -> Vec<ChunkId> {
        let chunks = some_chunks(count);
        for (number, part) in chunks.chunks(64).enumerate() {
            for (place, bytes) in part.iter().enumerate() {
                let path = format!("/fill/{number}-{place}");
                self.upload(&path, std::slice::from_ref(bytes), 9)
                    .await
                    .unwrap();
            }
        }
        chunks.iter().map(|bytes| ChunkId::of(bytes)).collect()
    }

    pub(crate) async fn purge(&mut self, path: &str) {
        let delete = DeleteEntry {
            request: RequestId::new(self.uuid()),
            path: path.parse().unwrap(),
            recursive: true,
            purge: true,
            precondition: Precondition::Any,
        };
        self.call(delete).await.unwrap();
    }

    /// How many copies of its only chunk a file has on record.
    pub(crate) async fn recorded_copies(&self, path: &str) -> usize {
        self.recorded_on(path).await.len()
    }

    /// The nodes on record for a file's only chunk.
    pub(crate) async fn recorded_on(&self, path: &str) -> Vec<NodeId> {
        let open = OpenFile {
            path: path.parse().unwrap(),
            version: None,
            chunks: 1,
        };
        let first = self.call(open).await.unwrap().first;
        let nodes = first.chunks[0].nodes.iter();
        nodes.map(|at| first.nodes[usize::from(*at)].node).collect()
    }

    /// Good copies that nodes really hold.
    pub(crate) fn copies(&self, chunk: &ChunkId) -> usize {
        self.nodes.iter().filter(|node| node.holds(chunk)).count()
    }

    fn uuid(&mut self) -> Uuid {
        self.next_id += 1;
        Uuid::from_u128(self.next_id)
    }
}

/// Small chunks that differ.
pub(crate) fn some_chunks(count: u32) -> Vec<Bytes> {
    (0..count)
        .map(|number| Bytes::from(format!("chunk {number}")))
        .collect()
}

/// The refusal in an error.
pub(crate) fn refusal(error: CallError) -> WireError {
    match error {
        CallError::Refused(refusal) => refusal,
        other => panic!("not a refusal: {other}"),
    }
}

fn to_store(bytes: &Bytes) -> ChunkToStore {
    ChunkToStore {
        chunk: ChunkId::of(bytes),
        len: u32::try_from(bytes.len()).unwrap(),
    }
}
