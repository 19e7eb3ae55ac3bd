//! A master and its nodes for tests of races: see [`threads::races`].
//!
//! All of the master is real, but its loops: each test takes the steps of those that it is about, at once. The nodes are
//! told on the wire what to do, and only note which chunks they hold.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use disk::{Blocking, Disk, MemoryDisk, RedbBackend};
use proto::connection::CallerIdentity;
use proto::frame::{FrameLimits, FrameReader, FrameWriter, RequestHead, reply_line};
use proto::hello::{Hello, HelloReply, PROTOCOL, ReceiptKey, Role};
use proto::id::{BootId, ChunkId, ClusterId, Epoch, NodeId, RequestId, RunId, UploadId};
use proto::master::{
    AllocateChunks, ChunkToStore, CommitUpload, DeleteEntry, MasterHandlers, Placement,
    Precondition, RegisterNode, StoredChunk,
};
use proto::memory::MemoryNetwork;
use proto::net::{Address, Listener, Network, Stream};
use proto::node::{
    ChunkDescription, ChunkReplicated, ChunkState, ChunksDeleted, ChunksDescribed, DeleteChunks,
    DescribeChunks, NodeUsage, Receipt, ReplicateChunk,
};
use proto::pool::{Pool, PoolOptions};
use proto::table::{Caller, Operation};
use proto::{Body, WireError};
use rand::SeedableRng;
use rand::rngs::{SmallRng, StdRng};
use serde::de::DeserializeOwned;
use threads::races::{prepare, switch};
use threads::{JoinHandle, spawn};
use tokio::time::Instant;
use uuid::Uuid;

use crate::Config;
use crate::command::{Command, NodeNumber};
use crate::commit::{CommitOptions, Committer};
use crate::control::{Control, Parts};
use crate::handlers::{Files, Master, Sorts};
use crate::state::{State, StateOptions};

const NODES: std::ops::RangeInclusive<u32> = 1..=5;
const LEN: u32 = 100;

/// A chunk that is told from others by its number.
pub(crate) fn chunk(number: u32) -> ChunkId {
    ChunkId::of(&number.to_be_bytes())
}

fn node_id(node: u32) -> NodeId {
    NodeId::new(Uuid::from_u128(u128::from(node)))
}

fn number_of(node: NodeId) -> u32 {
    u32::try_from(node.uuid().as_u128()).unwrap()
}

fn address(node: u32) -> Address {
    format!("127.0.0.1:{}", 9000 + node).parse().unwrap()
}

fn key_of(node: u32) -> ReceiptKey {
    ReceiptKey::from_bytes([u8::try_from(node).unwrap(); 32])
}

fn caller() -> Caller {
    Caller {
        connection: 1,
        peer: "127.0.0.1:1".parse().unwrap(),
        role: Role::Client,
    }
}

/// What the nodes hold. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(Arc<Mutex<BTreeSet<(u32, ChunkId)>>>);

impl Held {
    pub(crate) fn has(&self, node: u32, chunk: &ChunkId) -> bool {
        self.0.lock().unwrap().contains(&(node, *chunk))
    }

    pub(crate) fn store(&self, node: u32, chunk: ChunkId) {
        self.0.lock().unwrap().insert((node, chunk));
    }

    pub(crate) fn lose(&self, node: u32, chunk: &ChunkId) {
        self.0.lock().unwrap().remove(&(node, *chunk));
    }

    fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().unwrap().clone())))
    }
}

/// What a schedule begins with.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    disk: MemoryDisk,
    held: Held,
}

impl Beginning {
    /// A cluster that has just this file, of one chunk on three nodes.
    pub(crate) fn with_file(path: &'static str, number: u32) -> Self {
        prepare(move || async move {
            let disk = MemoryDisk::new();
            disk.create("state.redb").unwrap();
            disk.sync_folder("").unwrap();
            let beginning = Self {
                disk,
                held: Held::default(),
            };
            let world = World::start(&beginning).await;
            for node in NODES {
                let upsert = Command::UpsertNode {
                    node: node_id(node),
                    address: address(node),
                    zone: String::new(),
                    receipt_key: key_of(node),
                };
                world.control.committer.submit(upsert).await.unwrap();
            }
            world.rely_on_all();
            world.upload(1, path, &[number]).await.unwrap();
            beginning
        })
    }

    /// A copy with a life of its own.
    pub(crate) fn fork(&self) -> Self {
        Self {
            disk: self.disk.fork(),
            held: self.held.fork(),
        }
    }
}

/// A master, and nodes that it can call.
pub(crate) struct World {
    pub(crate) control: Arc<Control>,
    pub(crate) held: Held,
    master: Master<Control>,
}

impl World {
    /// All nodes are live, and the master relies on them.
    pub(crate) async fn open(beginning: &Beginning) -> Arc<Self> {
        let world = Self::start(beginning).await;
        world.rely_on_all();
        Arc::new(world)
    }

    /// No node is there yet.
    async fn start(beginning: &Beginning) -> Self {
        let mut config = Config {
            blocking: Blocking::inline(),
            garbage_grace: Duration::from_secs(1),
            cache_bytes: 1 << 20,
            ..Config::default()
        };
        config.rules.chunk_size = LEN;
        let state = Arc::new(open_state(&beginning.disk, &config));
        let options = CommitOptions {
            blocking: config.blocking,
            disk: beginning.disk.shared(),
            wall_ms: Arc::new(|| 0),
        };
        let (committer, writer) = Committer::new(state.clone(), options).unwrap();
        spawn(async move { writer.run().await.unwrap() });
        let network = MemoryNetwork::new();
        for node in NODES {
            let listener = network.listen(&address(node)).await.unwrap();
            spawn(serve(listener, node, beginning.held.clone()));
        }
        let control = Control::new(Parts {
            state: state.clone(),
            committer: committer.clone(),
            pool: Pool::new(Arc::new(network), identity(), PoolOptions::default()),
            disk: beginning.disk.shared(),
            epoch: Epoch(1),
            run: RunId::new(Uuid::from_u128(1)),
            chance: SmallRng::seed_from_u64(1),
            config,
        });
        let control = control.unwrap();
        control.safe_mode().leave();
        let files = Files {
            state,
            committer,
            cluster: control.clone(),
            blocking: Blocking::inline(),
            sorts: Sorts::default(),
            upload_lease: Duration::from_secs(3600),
            resumable_upload_retention: Duration::from_secs(3600),
            chance: Arc::new(threads::Mutex::new(StdRng::seed_from_u64(1))),
        };
        Self {
            held: beginning.held.clone(),
            master: Master {
                files,
                control: control.clone(),
            },
            control,
        }
    }

    fn rely_on_all(&self) {
        for node in NODES {
            join(&self.control, node);
        }
    }

    /// Uploads a file of these chunks, as a client does that sends each to all nodes that it is told.
    pub(crate) async fn upload(
        &self,
        upload: u128,
        path: &str,
        chunks: &[u32],
    ) -> Result<(), WireError> {
        let chunks = chunks.iter().map(|number| ChunkToStore {
            chunk: chunk(*number),
            len: LEN,
        });
        let upload = UploadId::new(Uuid::from_u128(upload));
        let allocate = AllocateChunks {
            upload,
            chunks: chunks.collect(),
            avoid: Vec::new(),
        };
        let chunks = allocate.chunks.clone();
        let allocated = self.master.allocate_chunks(&caller(), allocate).await?;
        let mut stored = Vec::new();
        for (ChunkToStore { chunk, len }, placement) in chunks.iter().zip(allocated.placements) {
            let mut receipts = Vec::new();
            if let Placement::Promised { promise, nodes } = placement {
                for place in nodes {
                    let node = allocated.nodes[usize::from(place)].node;
                    let number = number_of(node);
                    switch();
                    self.held.store(number, *chunk);
                    let mac = key_of(number).receipt(promise, chunk, u64::from(*len));
                    receipts.push(Receipt { node, mac });
                }
            }
            stored.push(StoredChunk {
                chunk: *chunk,
                len: *len,
                receipts,
            });
        }
        switch();
        let commit = CommitUpload {
            upload,
            path: path.parse().unwrap(),
            size: stored.iter().map(|chunk| u64::from(chunk.len)).sum(),
            modified_ms: None,
            blocks: 0,
            place: 0,
            chunks: stored,
            parents: true,
            precondition: Precondition::Any,
        };
        self.master.commit_upload(&caller(), commit).await.map(drop)
    }

    /// Deletes a file for good.
    pub(crate) async fn delete(&self, path: &str) {
        let delete = DeleteEntry {
            request: RequestId::new(Uuid::from_u128(1)),
            path: path.parse().unwrap(),
            recursive: false,
            purge: true,
            precondition: Precondition::Any,
        };
        self.master.delete_entry(&caller(), delete).await.unwrap();
    }

    /// What is recorded of the nodes is in doubt.
    pub(crate) fn doubt_all(&self) {
        for node in NODES {
            let mut membership = self.control.membership();
            membership.doubt(NodeNumber(node), Instant::now());
        }
    }

    /// Whatever is planned is ordered.
    pub(crate) async fn carry_out_deletions(&self) {
        for node in NODES {
            self.control.delete_planned(NodeNumber(node)).await;
        }
    }

    /// What nothing needs any more is collected and deleted.
    pub(crate) async fn collect(&self) {
        tokio::time::advance(2 * self.control.config.garbage_grace).await;
        self.control.garbage_round().await.unwrap();
        self.carry_out_deletions().await;
    }

    /// The nodes that are on record for a chunk.
    pub(crate) fn recorded(&self, chunk: &ChunkId) -> Vec<u32> {
        let snapshot = self.control.state.read().unwrap();
        let row = snapshot.chunk(chunk).unwrap().unwrap_or_default();
        row.replicas.iter().map(|node| node.0).collect()
    }

    /// The same, when nothing is under way. Each has its copy, and is not about to delete it.
    pub(crate) fn check_copies(&self, chunk: &ChunkId) -> Vec<u32> {
        self.control.state.check();
        let snapshot = self.control.state.read().unwrap();
        let recorded = self.recorded(chunk);
        for node in &recorded {
            let is_planned = snapshot.is_deletion_planned(NodeNumber(*node), chunk);
            assert!(!is_planned.unwrap(), "a copy counts that is to be deleted");
            assert!(self.held.has(*node, chunk), "a copy is on record, and gone");
        }
        recorded
    }
}

fn open_state(disk: &MemoryDisk, config: &Config) -> State {
    let options = StateOptions {
        new_cluster: ClusterId::new(Uuid::from_u128(1)),
        rules: config.rules,
        cache_bytes: config.cache_bytes,
    };
    let shared = disk.shared();
    let backend = move || Ok(RedbBackend::new(shared.open("state.redb")?));
    State::open(backend, &options).unwrap()
}

fn identity() -> CallerIdentity {
    CallerIdentity {
        role: Role::Master,
        cluster: None,
        secret: None,
    }
}

/// A node registers, and its inventory is as recorded.
fn join(control: &Control, node: u32) {
    let registration = RegisterNode {
        node: node_id(node),
        boot: BootId::new(Uuid::from_u128(1)),
        address: address(node),
        zone: String::new(),
        cluster: None,
        seen: None,
        last_order: Epoch(0),
        receipt_key: key_of(node),
        usage: NodeUsage {
            capacity_bytes: 1 << 30,
            free_bytes: 1 << 30,
            writable: true,
            ..NodeUsage::default()
        },
    };
    let (number, now) = (NodeNumber(node), Instant::now());
    let mut membership = control.membership();
    let registered = membership.register(number, &registration, u64::from(node), now);
    registered.unwrap();
    let comparison = membership.begin_comparison(number).unwrap();
    membership.end_comparison(comparison);
}

/// Waits for all of them.
pub(crate) async fn join_all(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        threads::join(task).await;
    }
}

async fn serve(listener: Box<dyn Listener>, node: u32, held: Held) {
    while let Ok(stream) = listener.accept().await {
        spawn(answer(stream, node, held.clone()));
    }
}

/// Answers one request after another.
async fn answer(stream: Stream, node: u32, held: Held) {
    let mut reader = FrameReader::new(stream.source, FrameLimits::default());
    let mut writer = FrameWriter::new(stream.sink);
    while let Ok(Some(line)) = reader.line().await {
        let RequestHead { id, op, .. } = serde_json::from_slice(&line).unwrap();
        // The order is on its way: other things happen.
        switch();
        let reply = reply_to(&op, &line, node, &held);
        let reply = serde_json::to_vec(&reply).unwrap();
        let written = writer.write(reply_line(id, &reply, 0), Body::Empty).await;
        if written.is_err() {
            return;
        }
    }
}

fn reply_to(op: &str, line: &[u8], node: u32, held: &Held) -> serde_json::Value {
    match op {
        Hello::NAME => serde_json::to_value(HelloReply {
            protocol: PROTOCOL,
            server: Role::Node,
            cluster: None,
            node: Some(node_id(node)),
            challenge: None,
        }),
        DeleteChunks::NAME => {
            let request: DeleteChunks = fields(line);
            request
                .chunks
                .iter()
                .for_each(|chunk| held.lose(node, chunk));
            serde_json::to_value(ChunksDeleted {
                deleted: request.chunks.len() as u64,
                kept: Vec::new(),
            })
        }
        DescribeChunks::NAME => {
            let request: DescribeChunks = fields(line);
            let describe = |chunk: ChunkId| ChunkDescription {
                chunk,
                state: if held.has(node, &chunk) {
                    ChunkState::Good
                } else {
                    ChunkState::Missing
                },
                verified_ms: None,
                extent: None,
            };
            serde_json::to_value(ChunksDescribed {
                chunks: request.chunks.into_iter().map(describe).collect(),
            })
        }
        ReplicateChunk::NAME => {
            let request: ReplicateChunk = fields(line);
            held.store(node, request.chunk);
            serde_json::to_value(ChunkReplicated { source: None })
        }
        _ => panic!("no node is asked for {op}"),
    }
    .unwrap()
}

fn fields<T: DeserializeOwned>(line: &[u8]) -> T {
    serde_json::from_slice(line).unwrap()
}
