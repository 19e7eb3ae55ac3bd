//! A storage node that keeps chunks in memory, obeys a master, and can be made to misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use proto::connection::{CallError, CallerIdentity, Connection};
use proto::hello::{ReceiptKey, Role};
use proto::id::{BootId, ChunkId, ClusterId, Epoch, NodeId, PromiseId};
use proto::master::{NodeRegistered, RegisterNode, ReportCorruptChunks, ReportHeartbeat};
use proto::memory::MemoryNetwork;
use proto::net::{Address, Network};
use proto::node::{
    BucketDigest, BucketListed, ChunkDescription, ChunkRead, ChunkReplicated, ChunkState,
    ChunkStored, ChunkVerified, ChunksDeleted, ChunksDescribed, DeleteChunks, DescribeChunks,
    DigestInventory, GetChunk, GetNodeStatus, InventoryDigest, ListBucket, NodeHandlers,
    NodeServer, NodeStatus, NodeUsage, PutChunk, Receipt, ReplicateChunk, VerifyChunk,
};
use proto::pool::{Pool, PoolOptions};
use proto::server::{self, Identity, Limits};
use proto::table::Caller;
use proto::{ErrorCode, HistoryPoint, WireError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const CAPACITY: u64 = 1 << 30;
const HEARTBEATS_UNTIL_REPORTED_AGAIN: u64 = 100;

/// What a node holds and has seen; lives on while its process does not.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) chunks: BTreeMap<ChunkId, Bytes>,
    pub(crate) corrupt: BTreeSet<ChunkId>,
    /// Chunks on a disk that failed.
    pub(crate) failed: BTreeSet<ChunkId>,
    /// Whether that disk hangs only.
    pub(crate) failed_disk_hangs: bool,
    /// Whether it cannot tell what it holds.
    pub(crate) inventory_fails: bool,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) seen: Option<HistoryPoint>,
    pub(crate) last_order: (Epoch, u64),
    /// So many orders arrive twice, since the answer to the first is lost with its connection.
    pub(crate) orders_doubled: u32,
    /// Chunks that were fetched, in order.
    pub(crate) fetched: Vec<ChunkId>,
    /// Chunks whose deletion was ordered, in order.
    pub(crate) deleted: Vec<ChunkId>,
}

impl Disk {
    fn follow(&mut self, master: HistoryPoint) -> Result<(), WireError> {
        self.seen = Some(match self.seen {
            Some(seen) => seen.advanced_to(master)?,
            None => master,
        });
        Ok(())
    }

    fn delete(&mut self, request: &DeleteChunks) -> Result<ChunksDeleted, WireError> {
        let order = (request.as_of.epoch, request.sequence);
        if order <= self.last_order {
            return Err(WireError::new(ErrorCode::StaleOrder, "an older order"));
        }
        self.last_order = order;
        let chunks = request.chunks.iter();
        let (kept, gone): (Vec<_>, Vec<_>) = chunks.partition(|chunk| self.failed.contains(chunk));
        let mut deleted = 0;
        for chunk in gone {
            deleted += u64::from(self.chunks.remove(&chunk).is_some());
            self.corrupt.remove(&chunk);
            self.deleted.push(chunk);
        }
        Ok(ChunksDeleted { deleted, kept })
    }
}

/// A node, running or not. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Node(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) id: NodeId,
    pub(crate) address: Address,
    pub(crate) zone: String,
    master: Address,
    network: MemoryNetwork,
    pool: Pool,
    disk: Mutex<Disk>,
    process: Mutex<CancellationToken>,
    serving: Mutex<CancellationToken>,
    boot: AtomicU64,
    /// How long fetching a chunk takes.
    pub(crate) fetch_time: Mutex<Duration>,
    hung: watch::Sender<bool>,
    /// How long giving a chunk takes.
    give_time: Mutex<Duration>,
    reads_hung: watch::Sender<bool>,
    refuses_copies: AtomicBool,
}

impl Node {
    pub(crate) fn new(network: &MemoryNetwork, master: &Address, number: u16, zone: &str) -> Self {
        let address = format!("127.0.0.1:{}", 10_000 + number).parse().unwrap();
        Self::at(network, master, number, zone, address)
    }

    fn at(
        network: &MemoryNetwork,
        master: &Address,
        number: u16,
        zone: &str,
        address: Address,
    ) -> Self {
        let caller = CallerIdentity {
            role: Role::Node,
            cluster: None,
            secret: None,
        };
        let process = CancellationToken::new();
        process.cancel();
        Self(Arc::new(Inner {
            id: NodeId::new(Uuid::from_u128(u128::from(number))),
            address,
            zone: zone.to_owned(),
            master: master.clone(),
            network: network.clone(),
            pool: Pool::new(Arc::new(network.clone()), caller, PoolOptions::default()),
            disk: Mutex::default(),
            serving: Mutex::new(process.clone()),
            process: Mutex::new(process),
            boot: AtomicU64::new(0),
            fetch_time: Mutex::new(Duration::from_millis(1)),
            hung: watch::Sender::new(false),
            give_time: Mutex::default(),
            reads_hung: watch::Sender::new(false),
            refuses_copies: AtomicBool::new(false),
        }))
    }

    /// Serves, registers, and sends heartbeats from now on.
    pub(crate) async fn start(&self) {
        let process = CancellationToken::new();
        *self.0.process.lock().unwrap() = process.clone();
        self.0.boot.fetch_add(1, Ordering::Relaxed);
        self.serve(process.child_token()).await;
        let node = self.clone();
        tokio::spawn(async move {
            process.run_until_cancelled(node.keep_registered()).await;
        });
    }

    /// Another node, which is no member, listens at this one's address from now on; this one stays connected to the master.
    pub(crate) async fn lose_address_to(&self, number: u16) -> Self {
        self.0.serving.lock().unwrap().cancel();
        let Inner {
            network,
            master,
            address,
            ..
        } = &*self.0;
        let other = Self::at(network, master, number, "", address.clone());
        other.serve(CancellationToken::new()).await;
        other
    }

    async fn serve(&self, serving: CancellationToken) {
        *self.0.serving.lock().unwrap() = serving.clone();
        let listener = loop {
            match self.0.network.listen(&self.0.address).await {
                Ok(listener) => break listener,
                // The process before has not quite gone.
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let identity = Identity {
            role: Role::Node,
            cluster: watch::Sender::new(self.disk().cluster).subscribe(),
            node: Some(self.0.id),
            secret: None,
        };
        let service = Arc::new(NodeServer(self.clone()));
        let limits = Limits {
            drain_timeout: Duration::from_millis(1),
            ..Limits::default()
        };
        tokio::spawn(server::serve(listener, service, identity, limits, serving));
    }

    /// As `kill -9`: its connections break, and what it holds stays.
    pub(crate) fn kill(&self) {
        self.0.process.lock().unwrap().cancel();
    }

    /// Stops answering while its connections stay open, or goes on.
    pub(crate) fn hang(&self, hung: bool) {
        self.0.hung.send_replace(hung);
    }

    /// Does not answer those who want chunks, as with a disk that hangs, or goes on.
    pub(crate) fn hang_reads(&self, hung: bool) {
        self.0.reads_hung.send_replace(hung);
    }

    /// Takes so long to give a chunk.
    pub(crate) fn give_slowly(&self, give_time: Duration) {
        *self.0.give_time.lock().unwrap() = give_time;
    }

    /// Makes no copies, or does again.
    pub(crate) fn refuse_copies(&self, refused: bool) {
        self.0.refuses_copies.store(refused, Ordering::Relaxed);
    }

    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.disk.lock().unwrap()
    }

    /// Whether it has a copy that counts.
    pub(crate) fn holds(&self, chunk: &ChunkId) -> bool {
        self.describe(chunk) == ChunkState::Good
    }

    /// The disk with all its chunks takes no more writes, and the node has no other.
    pub(crate) fn fail_disk(&self) {
        let mut disk = self.disk();
        disk.failed = disk.chunks.keys().copied().collect();
    }

    /// The disk with all its chunks does not answer until [`Node::wake_disk`].
    pub(crate) fn hang_disk(&self) {
        self.fail_disk();
        self.disk().failed_disk_hangs = true;
    }

    /// The disk that hung answers again.
    pub(crate) fn wake_disk(&self) {
        let mut disk = self.disk();
        disk.failed_disk_hangs = false;
        disk.failed.clear();
    }

    /// Restarts it with its disk in order.
    pub(crate) async fn restart_with_sound_disk(&self) {
        self.kill();
        self.disk().failed.clear();
        self.start().await;
    }

    /// Stores a chunk as an uploader would have it stored.
    pub(crate) fn put(&self, promise: PromiseId, bytes: &Bytes) -> Receipt {
        let chunk = ChunkId::of(bytes);
        self.disk().chunks.insert(chunk, bytes.clone());
        Receipt {
            node: self.0.id,
            mac: self
                .receipt_key()
                .receipt(promise, &chunk, bytes.len() as u64),
        }
    }

    /// Registers once, on a connection of its own.
    pub(crate) async fn register(&self) -> Result<(Connection, NodeRegistered), CallError> {
        let caller = CallerIdentity {
            role: Role::Node,
            cluster: None,
            secret: None,
        };
        let network = &self.0.network;
        let connection = Connection::open(network, &self.0.master, &caller, CALL_TIMEOUT).await?;
        let (cluster, seen, last_order) = {
            let disk = self.disk();
            (disk.cluster, disk.seen, disk.last_order.0)
        };
        let request = RegisterNode {
            node: self.0.id,
            boot: self.boot(),
            address: self.0.address.clone(),
            zone: self.0.zone.clone(),
            cluster,
            seen,
            last_order,
            receipt_key: self.receipt_key(),
            usage: self.usage(),
        };
        let registered = connection.call(request, CALL_TIMEOUT).await?;
        let mut disk = self.disk();
        disk.cluster = Some(registered.cluster);
        disk.follow(registered.master)?;
        drop(disk);
        Ok((connection, registered))
    }

    pub(crate) async fn report_corrupt(&self, connection: &Connection, chunk: ChunkId) {
        let report = ReportCorruptChunks {
            node: self.0.id,
            boot: self.boot(),
            chunks: vec![chunk],
        };
        connection.call(report, CALL_TIMEOUT).await.unwrap();
    }

    async fn keep_registered(&self) {
        loop {
            if let Ok((connection, registered)) = self.register().await {
                self.keep_beating(&connection, registered.heartbeat_interval_ms)
                    .await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Heartbeats, and corrupt chunks: those that are new, and now and then all of them.
    async fn keep_beating(&self, connection: &Connection, interval_ms: u64) {
        let mut reported = BTreeSet::new();
        for sequence in 0.. {
            self.answers_again().await;
            let heartbeat = ReportHeartbeat {
                node: self.0.id,
                boot: self.boot(),
                sequence,
                usage: self.usage(),
            };
            let Ok(noted) = connection.call(heartbeat, CALL_TIMEOUT).await else {
                return;
            };
            if self.disk().follow(noted.master).is_err() {
                return;
            }
            if sequence.is_multiple_of(HEARTBEATS_UNTIL_REPORTED_AGAIN) {
                reported.clear();
            }
            let known = self.disk().corrupt.clone();
            for chunk in known.difference(&reported) {
                self.report_corrupt(connection, *chunk).await;
            }
            reported = known;
            tokio::select! {
                () = connection.closed() => return,
                () = tokio::time::sleep(Duration::from_millis(interval_ms)) => {}
            }
        }
    }

    fn boot(&self) -> BootId {
        let boot = u128::from(self.0.boot.load(Ordering::Relaxed));
        BootId::new(Uuid::from_u128(self.0.id.uuid().as_u128() << 64 | boot))
    }

    fn receipt_key(&self) -> ReceiptKey {
        ReceiptKey::from_bytes(*ChunkId::of(self.0.id.uuid().as_bytes()).as_bytes())
    }

    fn usage(&self) -> NodeUsage {
        let disk = self.disk();
        let stored_bytes = disk.chunks.values().map(|bytes| bytes.len() as u64).sum();
        NodeUsage {
            capacity_bytes: CAPACITY,
            free_bytes: CAPACITY - stored_bytes,
            stored_bytes,
            chunks: disk.chunks.len() as u64,
            writable: disk.failed.is_empty(),
            failed_disks: u32::from(!disk.failed.is_empty()),
            ..NodeUsage::default()
        }
    }

    async fn answers_again(&self) {
        let mut hung = self.0.hung.subscribe();
        hung.wait_for(|hung| !hung).await.unwrap();
    }

    fn describe(&self, chunk: &ChunkId) -> ChunkState {
        let disk = self.disk();
        if disk.corrupt.contains(chunk) {
            ChunkState::Corrupt
        } else if disk.failed.contains(chunk) {
            if disk.failed_disk_hangs {
                ChunkState::OnHungDisk
            } else {
                ChunkState::OnFailedDisk
            }
        } else if disk.chunks.contains_key(chunk) {
            ChunkState::Good
        } else {
            ChunkState::Missing
        }
    }
}

impl NodeHandlers for Node {
    async fn put_chunk(&self, _: &Caller, request: PutChunk) -> Result<ChunkStored, WireError> {
        self.answers_again().await;
        let stored = !self.holds(&request.chunk);
        let receipt = request
            .promise
            .map(|promise| self.put(promise, &request.body));
        self.disk().chunks.insert(request.chunk, request.body);
        Ok(ChunkStored { stored, receipt })
    }

    async fn get_chunk(&self, _: &Caller, get: GetChunk) -> Result<ChunkRead, WireError> {
        self.answers_again().await;
        let mut reads_hung = self.0.reads_hung.subscribe();
        reads_hung.wait_for(|hung| !hung).await.unwrap();
        let give_time = *self.0.give_time.lock().unwrap();
        tokio::time::sleep(give_time).await;
        let disk = self.disk();
        let hangs = disk.failed_disk_hangs && disk.failed.contains(&get.chunk);
        let held = disk.chunks.get(&get.chunk).cloned();
        let good = held.filter(|_| !disk.corrupt.contains(&get.chunk) && !hangs);
        let body = good.ok_or_else(|| WireError::new(ErrorCode::NotFound, "no such chunk"))?;
        Ok(ChunkRead { body: body.into() })
    }

    async fn describe_chunks(
        &self,
        _: &Caller,
        request: DescribeChunks,
    ) -> Result<ChunksDescribed, WireError> {
        self.answers_again().await;
        let describe = |chunk: ChunkId| ChunkDescription {
            chunk,
            state: self.describe(&chunk),
            verified_ms: None,
            extent: None,
        };
        Ok(ChunksDescribed {
            chunks: request.chunks.into_iter().map(describe).collect(),
        })
    }

    async fn verify_chunk(
        &self,
        _: &Caller,
        request: VerifyChunk,
    ) -> Result<ChunkVerified, WireError> {
        self.answers_again().await;
        let state = match self.describe(&request.chunk) {
            ChunkState::OnHungDisk => return Err(WireError::new(ErrorCode::TimedOut, "it hangs")),
            // Its bytes are good.
            ChunkState::OnFailedDisk => ChunkState::Good,
            state => state,
        };
        Ok(ChunkVerified { state })
    }

    async fn get_node_status(&self, _: &Caller, _: GetNodeStatus) -> Result<NodeStatus, WireError> {
        self.answers_again().await;
        Ok(NodeStatus {
            node: self.0.id,
            registered: !self.0.process.lock().unwrap().is_cancelled(),
            usage: self.usage(),
        })
    }

    async fn replicate_chunk(
        &self,
        caller: &Caller,
        request: ReplicateChunk,
    ) -> Result<ChunkReplicated, WireError> {
        assert_eq!(caller.role, Role::Master);
        self.answers_again().await;
        let fetch_time = *self.0.fetch_time.lock().unwrap();
        tokio::time::sleep(fetch_time).await;
        self.disk().follow(request.as_of)?;
        if self.0.refuses_copies.load(Ordering::Relaxed) {
            return Err(WireError::new(
                ErrorCode::NoSpace,
                "no copies are made here",
            ));
        }
        if self.holds(&request.chunk) {
            return Ok(ChunkReplicated { source: None });
        }
        for source in &request.sources {
            let get = GetChunk {
                chunk: request.chunk,
            };
            if let Ok(read) = self.0.pool.transfer(source, get, CALL_TIMEOUT).await {
                let bytes = read.body.into_bytes().unwrap();
                assert_eq!(bytes.len(), request.len as usize);
                let mut disk = self.disk();
                disk.corrupt.remove(&request.chunk);
                disk.failed.remove(&request.chunk);
                disk.chunks.insert(request.chunk, bytes);
                disk.fetched.push(request.chunk);
                return Ok(ChunkReplicated {
                    source: Some(source.node),
                });
            }
        }
        Err(WireError::new(ErrorCode::NoSource, "no source has it"))
    }

    async fn delete_chunks(
        &self,
        caller: &Caller,
        request: DeleteChunks,
    ) -> Result<ChunksDeleted, WireError> {
        assert_eq!(caller.role, Role::Master);
        self.answers_again().await;
        let mut disk = self.disk();
        disk.follow(request.as_of)?;
        let first = disk.delete(&request);
        if disk.orders_doubled == 0 {
            return first;
        }
        disk.orders_doubled -= 1;
        disk.delete(&request)
    }

    async fn digest_inventory(
        &self,
        _: &Caller,
        _: DigestInventory,
    ) -> Result<InventoryDigest, WireError> {
        self.answers_again().await;
        if self.disk().inventory_fails {
            return Err(WireError::new(ErrorCode::Disk, "the index cannot be read"));
        }
        let mut buckets = vec![BucketDigest::default(); 256];
        let held: Vec<_> = self.disk().chunks.keys().copied().collect();
        for chunk in held.iter().filter(|chunk| self.holds(chunk)) {
            buckets[usize::from(chunk.bucket())].add(chunk);
        }
        Ok(InventoryDigest { buckets })
    }

    async fn list_bucket(
        &self,
        _: &Caller,
        request: ListBucket,
    ) -> Result<BucketListed, WireError> {
        self.answers_again().await;
        let disk = self.disk();
        let mut rest = disk.chunks.iter().filter(|(chunk, _)| {
            chunk.bucket() == request.bucket
                && request.after.is_none_or(|after| **chunk > after)
                && !disk.corrupt.contains(chunk)
                && !disk.failed.contains(chunk)
        });
        let page = rest.by_ref().take(request.limit as usize);
        let chunks = page
            .map(|(chunk, bytes)| (*chunk, u32::try_from(bytes.len()).unwrap()))
            .collect();
        Ok(BucketListed {
            chunks,
            more: rest.next().is_some(),
        })
    }
}
