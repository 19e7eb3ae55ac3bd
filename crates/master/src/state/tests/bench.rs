//! A state on a disk in memory, with nodes that sign receipts: commands as verbs.

use disk::{Disk, MemoryDisk};
use proto::hello::ReceiptKey;
use proto::id::{ChunkId, ClusterId, NodeId, PromiseId, RequestId, UploadId};
use proto::master::{ChunkToStore, ClusterRules, Entry, Precondition, StoredChunk};
use proto::name::{EntryPath, NameRules};
use proto::node::Receipt;
use proto::{ErrorCode, WireError};
use uuid::Uuid;

use super::audit::{audit, dump};
use crate::command::{
    ChunkPromise, ClusterMillis, Command, CommittedVersion, NodeNumber, TimedCommand,
};
use crate::state::versions::place_of;
use crate::state::{Allocation, Outcome, Snapshot, State, StateOptions};

/// The chunk size of all tests.
pub(super) const CHUNK_SIZE: u32 = 100;
/// The lease of all tests' uploads, in the cluster's time.
pub(super) const LEASE: u64 = 1_000_000;

pub(super) fn rules() -> ClusterRules {
    ClusterRules {
        chunk_size: CHUNK_SIZE,
        replication_factor: 3,
        min_write_replicas: 2,
        file_size_max: None,
        names: NameRules::Any,
    }
}

/// A new disk with an empty file for the store.
pub(super) fn new_disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create("state.redb").unwrap();
    disk.sync_folder("").unwrap();
    disk
}

pub(super) fn open_on(disk: &MemoryDisk, rules: ClusterRules) -> Result<State, WireError> {
    open_with_cache(disk, rules, 1 << 20)
}

pub(super) fn open_with_cache(
    disk: &MemoryDisk,
    rules: ClusterRules,
    cache_bytes: usize,
) -> Result<State, WireError> {
    let options = StateOptions {
        new_cluster: ClusterId::new(Uuid::from_u128(1)),
        rules,
        cache_bytes,
    };
    State::open_in(&disk.shared(), &options).map_err(WireError::from)
}

pub(super) struct Bench {
    pub(super) state: State,
    pub(super) disk: MemoryDisk,
    pub(super) now: u64,
    /// All that was applied, whatever came of it.
    pub(super) log: Vec<TimedCommand>,
    /// Commands in the log when the last durable transaction ended.
    pub(super) durable: usize,
    /// Nodes that are down.
    pub(super) down: Vec<NodeNumber>,
    ids: u128,
}

impl Bench {
    /// A new state with nodes 1 to `nodes`.
    pub(super) fn new(nodes: u32) -> Self {
        Self::with_rules(nodes, rules())
    }

    pub(super) fn with_rules(nodes: u32, rules: ClusterRules) -> Self {
        let disk = new_disk();
        let state = open_on(&disk, rules).unwrap();
        let mut bench = Self {
            state,
            disk,
            now: 0,
            log: Vec::new(),
            durable: 0,
            down: Vec::new(),
            ids: 1 << 64,
        };
        for node in 1..=nodes {
            assert_eq!(bench.add_node(node), Ok(Outcome::Node(NodeNumber(node))));
        }
        bench
    }

    pub(super) fn add_node(&mut self, node: u32) -> Result<Outcome, WireError> {
        self.apply(node_command(node))
    }

    /// Applies one command durably, audits the store, and sees that a refusal changed nothing.
    pub(super) fn apply(&mut self, command: Command) -> Result<Outcome, WireError> {
        self.apply_as(command, true)
    }

    pub(super) fn apply_as(
        &mut self,
        command: Command,
        durable: bool,
    ) -> Result<Outcome, WireError> {
        self.now += 1;
        let timed = TimedCommand {
            at: ClusterMillis(self.now),
            wall_ms: 1_700_000_000_000 + self.now,
            command,
        };
        let before = dump(&self.state);
        let transaction = self.state.write().unwrap();
        let outcome = transaction
            .run([&timed], durable)
            .unwrap()
            .outcomes
            .remove(0);
        if let Err(refusal) = &outcome {
            assert_eq!(
                dump(&self.state),
                before,
                "{timed:?} was refused: {refusal}"
            );
        }
        audit(&self.state);
        self.log.push(timed);
        if durable {
            self.durable = self.log.len();
        }
        outcome
    }

    pub(super) fn read(&self) -> Snapshot {
        self.state.read().unwrap()
    }

    pub(super) fn request(&mut self) -> RequestId {
        self.ids += 1;
        RequestId::new(Uuid::from_u128(self.ids))
    }

    pub(super) fn upload_id(&mut self) -> UploadId {
        self.ids += 1;
        UploadId::new(Uuid::from_u128(self.ids))
    }

    pub(super) fn promise_id(&mut self) -> PromiseId {
        PromiseId::new(self.upload_id().uuid())
    }

    fn doubtful(&self) -> Vec<NodeNumber> {
        let mut doubtful = self.down.clone();
        doubtful.sort_unstable();
        doubtful
    }

    pub(super) fn allocate(
        &mut self,
        upload: UploadId,
        chunks: &[ChunkToStore],
        nodes: &[u32],
    ) -> Result<Vec<Allocation>, WireError> {
        let nodes = numbers(nodes);
        let promise = |chunk: &ChunkToStore| ChunkPromise {
            chunk: *chunk,
            nodes: nodes.clone(),
        };
        let command = Command::AllocateChunks {
            upload,
            lease_until: ClusterMillis(self.now + LEASE),
            promise: promise_of(upload),
            doubtful: self.doubtful(),
            deletions_wait: false,
            chunks: chunks.iter().map(promise).collect(),
        };
        match self.apply(command)? {
            Outcome::Allocated(allocations) => Ok(allocations),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn commit(
        &mut self,
        upload: UploadId,
        path: &str,
        recorded: u64,
        chunks: &[StoredChunk],
    ) -> Result<CommittedVersion, WireError> {
        let size = recorded * u64::from(CHUNK_SIZE);
        let size = size + chunks.iter().map(|c| u64::from(c.len)).sum::<u64>();
        self.commit_if(upload, path, (size, recorded), chunks, Precondition::Any)
    }

    /// Records chunks that follow the first `recorded` ones.
    pub(super) fn record(
        &mut self,
        upload: UploadId,
        recorded: u64,
        chunks: &[StoredChunk],
    ) -> Result<Outcome, WireError> {
        let (block, place) = place_of(recorded);
        let command = Command::RecordChunks {
            upload,
            lease_until: ClusterMillis(self.now + LEASE),
            block,
            place: u16::try_from(place).unwrap(),
            doubtful: self.doubtful(),
            chunks: chunks.to_vec(),
        };
        self.apply(command)
    }

    pub(super) fn commit_if(
        &mut self,
        upload: UploadId,
        path: &str,
        (size, recorded): (u64, u64),
        chunks: &[StoredChunk],
        precondition: Precondition,
    ) -> Result<CommittedVersion, WireError> {
        let (blocks, place) = place_of(recorded);
        let command = Command::CommitUpload {
            upload,
            path: self::path(path),
            size,
            modified_ms: None,
            blocks,
            place: u16::try_from(place).unwrap(),
            doubtful: self.doubtful(),
            chunks: chunks.to_vec(),
            parents: true,
            precondition,
        };
        match self.apply(command)? {
            Outcome::Committed(committed, _) => Ok(committed),
            other => panic!("{other:?}"),
        }
    }

    /// Uploads a file of these chunks to nodes 1 to 3, or finds them stored.
    pub(super) fn put(&mut self, path: &str, chunks: &[ChunkToStore]) -> CommittedVersion {
        self.try_put(path, chunks, Precondition::Any).unwrap()
    }

    pub(super) fn try_put(
        &mut self,
        path: &str,
        chunks: &[ChunkToStore],
        precondition: Precondition,
    ) -> Result<CommittedVersion, WireError> {
        let upload = self.upload_id();
        self.allocate(upload, chunks, &[1, 2, 3])?;
        let stored: Vec<_> = chunks
            .iter()
            .map(|chunk| stored(upload, chunk, &[1, 2, 3]))
            .collect();
        let size = chunks.iter().map(|c| u64::from(c.len)).sum();
        self.commit_if(upload, path, (size, 0), &stored, precondition)
    }

    pub(super) fn delete(&mut self, path: &str, purge: bool) -> Result<Outcome, WireError> {
        let request = self.request();
        self.apply(Command::DeleteEntry {
            request,
            path: self::path(path),
            recursive: true,
            purge,
            precondition: Precondition::Any,
        })
    }

    /// Sweeps all that waits, and all trash, versions and answers from before these times.
    pub(super) fn sweep(&mut self, trash: u64, versions: u64, answers: u64) {
        for _ in 0..10_000 {
            let outcome = self.apply(Command::SweepSome {
                trash_before: ClusterMillis(trash),
                versions_before: ClusterMillis(versions),
                answers_before: ClusterMillis(answers),
                limit: 8,
            });
            match outcome.unwrap() {
                Outcome::Swept { more: false, .. } => return,
                Outcome::Swept { rows, more: true } => assert!(rows > 0),
                other => panic!("{other:?}"),
            }
        }
        panic!("the sweep never ends");
    }

    /// Plans all garbage, as if the grace period were over; returns how many deletions were planned.
    pub(super) fn collect(&mut self) -> u64 {
        let before = ClusterMillis(self.now + 1);
        let chunks = self.read().garbage_page(before, None, 10_000).unwrap();
        let outcome = self.apply(Command::CollectGarbage {
            unreferenced_before: before,
            chunks: chunks.into_iter().map(|(_, chunk)| chunk).collect(),
        });
        changed(outcome)
    }

    /// All paths, by a walk over the listings.
    pub(super) fn tree(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut next = vec![EntryPath::ROOT];
        let snapshot = self.read();
        while let Some(folder) = next.pop() {
            let mut after = None;
            loop {
                let page = snapshot.folder_page(&folder, after.as_ref(), 2).unwrap();
                for entry in &page.entries {
                    let (name, mark) = match entry {
                        Entry::Folder { name, .. } => (name.clone().unwrap(), "/"),
                        Entry::File { name, .. } => (name.clone(), ""),
                    };
                    let path = folder.join(name.clone()).unwrap();
                    found.push(format!("{path}{mark}"));
                    if mark == "/" {
                        next.push(path);
                    }
                    after = Some(name);
                }
                if !page.more {
                    break;
                }
            }
        }
        found.sort();
        found
    }
}

pub(super) fn path(text: &str) -> EntryPath {
    text.parse().unwrap()
}

/// A full chunk, told apart by its number.
pub(super) fn chunk(number: u32) -> ChunkToStore {
    chunk_of(number, CHUNK_SIZE)
}

/// A chunk of this length.
pub(super) fn chunk_of(number: u32, len: u32) -> ChunkToStore {
    ChunkToStore {
        chunk: ChunkId::of(&[number.to_be_bytes(), len.to_be_bytes()].concat()),
        len,
    }
}

pub(super) fn numbers(nodes: &[u32]) -> Vec<NodeNumber> {
    nodes.iter().copied().map(NodeNumber).collect()
}

pub(super) fn node_id(node: u32) -> NodeId {
    NodeId::new(Uuid::from_u128(u128::from(node)))
}

/// The command that takes a node in.
pub(super) fn node_command(node: u32) -> Command {
    Command::UpsertNode {
        node: node_id(node),
        address: format!("127.0.0.1:{}", 9000 + node).parse().unwrap(),
        zone: String::new(),
        receipt_key: key_of(node),
    }
}

fn key_of(node: u32) -> ReceiptKey {
    ReceiptKey::from_bytes([u8::try_from(node).unwrap(); 32])
}

/// The id of all promises that [`Bench::allocate`] makes to an upload.
pub(super) fn promise_of(upload: UploadId) -> PromiseId {
    PromiseId::new(upload.uuid())
}

/// What an upload is told that has to send a chunk to these nodes.
pub(super) fn sent(upload: UploadId, nodes: &[u32]) -> Allocation {
    Allocation::Promised {
        promise: promise_of(upload),
        nodes: numbers(nodes),
    }
}

/// A chunk with receipts of these nodes.
pub(super) fn stored(upload: UploadId, chunk: &ChunkToStore, nodes: &[u32]) -> StoredChunk {
    let receipts = nodes.iter().map(|node| (*node, promise_of(upload)));
    with_receipts(chunk, receipts)
}

/// A chunk with receipts of these nodes, each for a promise.
pub(super) fn with_receipts(
    chunk: &ChunkToStore,
    receipts: impl Iterator<Item = (u32, PromiseId)>,
) -> StoredChunk {
    let receipt = |(node, promise)| Receipt {
        node: node_id(node),
        mac: key_of(node).receipt(promise, &chunk.chunk, u64::from(chunk.len)),
    };
    StoredChunk {
        chunk: chunk.chunk,
        len: chunk.len,
        receipts: receipts.map(receipt).collect(),
    }
}

pub(super) fn changed(outcome: Result<Outcome, WireError>) -> u64 {
    match outcome {
        Ok(Outcome::Changed(count)) => count,
        other => panic!("{other:?}"),
    }
}

pub(super) fn code<T: std::fmt::Debug>(result: Result<T, WireError>) -> ErrorCode {
    result.unwrap_err().code
}
