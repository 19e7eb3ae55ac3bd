//! A master with just enough of a memory: names (folders only by name), uploads with promises, and where chunks are.
//!
//! It is as strict as the real one: a chunk is recorded only with receipts that verify, of nodes that it promised the
//! chunk to, for that very promise, or where it has the chunk on record.

mod handlers;
mod names;
mod shares;
mod versions;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use proto::hello::same_mac;
use proto::id::{ChunkId, NodeId, PromiseId, RequestId, UploadId, VersionId};
use proto::master::{
    CHUNKS_PER_BLOCK, ChunkLocations, ChunkToStore, CommitUpload, LocatedChunk, NodeLocation,
    Precondition, ShareId, StoredChunk, TrashId, UploadCommitted, UploadPlan,
};
use proto::name::EntryPath;
use proto::net::Address;
use proto::{ErrorCode, WireError};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::network::CuttableNetwork;
use crate::node::{FakeNode, NodeHandle};

/// Pages by size or time that are answered at once.
pub(crate) const SORTS: usize = 100;
/// How long an upload lasts without a word from its client.
pub(crate) const LEASE: Duration = Duration::from_secs(900);

/// The master.
#[derive(Debug)]
pub(crate) struct FakeMaster {
    pub(crate) address: Address,
    pub(crate) nodes: Vec<NodeHandle>,
    chunk_size: u32,
    network: CuttableNetwork,
    pub(crate) state: Mutex<MasterState>,
    /// Without these, pages by size or time are not answered.
    pub(crate) sorts: Semaphore,
}

#[derive(Debug, Default)]
pub(crate) struct MasterState {
    pub(crate) files: BTreeMap<EntryPath, FileRow>,
    /// Versions that were overwritten.
    former: Vec<FileRow>,
    pub(crate) chunks: HashMap<ChunkId, BTreeSet<NodeId>>,
    pub(crate) uploads: HashMap<UploadId, UploadRow>,
    ended: HashSet<UploadId>,
    /// What was answered to commits and other changes.
    committed: HashMap<UploadId, UploadCommitted>,
    answers: HashMap<RequestId, serde_json::Value>,
    folder_paths: BTreeSet<EntryPath>,
    shares: BTreeMap<ShareId, shares::ShareRow>,
    trash: BTreeMap<TrashId, TrashedFile>,
    trashed: u64,
    versions: u64,
    promises: u128,
    /// How often each operation was asked for.
    pub(crate) calls: HashMap<&'static str, u32>,
    pub(crate) reports: BTreeSet<(ChunkId, NodeId)>,
    /// Nodes that are not given out for new chunks any more.
    pub(crate) dead: BTreeSet<NodeId>,
    /// Is deleted as soon as what is stored was counted.
    pub(crate) deleted_behind_count: Option<ChunkId>,
    /// The connection breaks before the answer to the next of these arrives.
    pub(crate) cut_answer_to: Option<&'static str>,
}

#[derive(Debug, Clone)]
pub(crate) struct FileRow {
    pub(crate) version: VersionId,
    pub(crate) size: u64,
    pub(crate) chunks: Vec<(ChunkId, u32)>,
}

#[derive(Debug)]
struct TrashedFile {
    path: EntryPath,
    file: FileRow,
}

#[derive(Debug)]
pub(crate) struct UploadRow {
    plan: Option<UploadPlan>,
    /// Recorded.
    chunks: Vec<(ChunkId, u32)>,
    promises: HashMap<ChunkId, Promise>,
    lease_until: Instant,
}

#[derive(Debug)]
struct Promise {
    id: PromiseId,
    stored: bool,
    nodes: BTreeSet<NodeId>,
}

fn refuse<T>(code: ErrorCode, message: &str) -> Result<T, WireError> {
    Err(WireError::new(code, message))
}

impl FakeMaster {
    pub(crate) fn new(
        address: Address,
        nodes: Vec<NodeHandle>,
        chunk_size: u32,
        network: CuttableNetwork,
    ) -> Self {
        Self {
            address,
            nodes,
            chunk_size,
            network,
            state: Mutex::default(),
            sorts: Semaphore::new(SORTS),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, MasterState> {
        self.state.lock().unwrap()
    }

    pub(crate) fn calls(&self, operation: &str) -> u32 {
        self.lock().calls.get(operation).copied().unwrap_or(0)
    }

    pub(crate) fn kill(&self) {
        self.network.kill(&self.address);
    }

    pub(crate) fn restart(&self) {
        self.network.heal(&self.address);
    }

    /// A crash: what was allocated since the last durable change is forgotten, so also an upload of which nothing is
    /// recorded, unless it is kept.
    pub(crate) fn crash(&self) {
        let mut state = self.lock();
        let is_durable = |row: &UploadRow| row.plan.is_some() || !row.chunks.is_empty();
        state.uploads.retain(|_, upload| is_durable(upload));
        let uploads = state.uploads.values_mut();
        uploads.for_each(|upload| upload.promises.clear());
    }

    /// As when leases run out: these uploads are over.
    pub(crate) fn end_uploads(&self) {
        let mut state = self.lock();
        let ended: Vec<_> = state.uploads.drain().map(|(upload, _)| upload).collect();
        state.ended.extend(ended);
    }

    /// As when leases ran out long ago.
    pub(crate) fn forget_uploads(&self) {
        self.lock().uploads.clear();
    }

    /// Counts a call; with the fault for it, its answer gets lost.
    fn note(&self, operation: &'static str) {
        let mut state = self.lock();
        *state.calls.entry(operation).or_default() += 1;
        if state.cut_answer_to == Some(operation) {
            state.cut_answer_to = None;
            drop(state);
            self.network.cut(&self.address);
        }
    }

    fn node(&self, id: NodeId) -> &FakeNode {
        let mut nodes = self.nodes.iter().map(|node| &node.0);
        nodes
            .find(|node| node.id == id)
            .expect("a node of this cluster")
    }

    fn locations(&self, state: &MasterState, chunks: &[(ChunkId, u32)]) -> ChunkLocations {
        let place = |node: &NodeId| {
            let place = self.nodes.iter().position(|known| known.0.id == *node);
            u16::try_from(place.unwrap()).unwrap()
        };
        let located = |(chunk, len): &(ChunkId, u32)| LocatedChunk {
            failing: 0,
            chunk: *chunk,
            len: *len,
            nodes: state.chunks[chunk].iter().map(place).collect(),
        };
        ChunkLocations {
            chunks: chunks.iter().map(located).collect(),
            nodes: self.node_locations(state),
        }
    }

    fn node_locations(&self, state: &MasterState) -> Vec<NodeLocation> {
        let location = |node: &NodeHandle| NodeLocation {
            node: node.0.id,
            address: node.0.address.clone(),
            live: !state.dead.contains(&node.0.id),
        };
        self.nodes.iter().map(location).collect()
    }

    /// The first three nodes that may take chunks, in an order that depends on the chunk.
    fn place(
        &self,
        state: &MasterState,
        chunk: &ChunkToStore,
        avoid: &[NodeId],
    ) -> Result<Vec<u16>, WireError> {
        let count = self.nodes.len();
        let first = usize::from(chunk.chunk.bucket());
        let places = (0..count).map(|offset| (first + offset) % count);
        let may_take = |place: &usize| {
            let node = self.nodes[*place].0.id;
            !state.dead.contains(&node) && !avoid.contains(&node)
        };
        let places: Vec<_> = places.filter(may_take).take(3).collect();
        if places.len() < 2 {
            return refuse(ErrorCode::NotEnoughReplicas, "too few nodes are alive");
        }
        let as_place = |place: usize| u16::try_from(place).unwrap();
        Ok(places.into_iter().map(as_place).collect())
    }

    /// Takes a block in, if all of it is proved.
    fn prove(
        &self,
        state: &mut MasterState,
        upload: UploadId,
        chunks: &[StoredChunk],
    ) -> Result<Vec<(ChunkId, u32)>, WireError> {
        let on_record: HashSet<_> = chunks.iter().map(|stored| stored.chunk).collect();
        let on_record: HashSet<_> = on_record.into_iter().filter(|id| state.has(id)).collect();
        let row = open_upload(state, upload)?;
        let mut proved: HashMap<ChunkId, BTreeSet<NodeId>> = HashMap::new();
        for stored in chunks {
            let Some(promise) = row.promises.get(&stored.chunk) else {
                if on_record.contains(&stored.chunk) {
                    continue;
                }
                return refuse(ErrorCode::NotEnoughReplicas, "a chunk was not promised");
            };
            let is_good = |node: NodeId, mac| {
                let key = &self.node(node).receipt_key;
                let good = key.receipt(promise.id, &stored.chunk, u64::from(stored.len));
                promise.nodes.contains(&node) && same_mac(mac, &good)
            };
            let good = stored.receipts.iter();
            let good = good.filter(|receipt| is_good(receipt.node, &receipt.mac));
            let nodes: BTreeSet<_> = good.map(|receipt| receipt.node).collect();
            if !promise.stored && nodes.len() < 2 {
                return refuse(ErrorCode::NotEnoughReplicas, "too few good receipts");
            }
            proved.entry(stored.chunk).or_default().extend(nodes);
        }
        for chunk in proved.keys() {
            row.promises.remove(chunk);
        }
        row.lease_until = Instant::now() + LEASE;
        for (chunk, nodes) in proved {
            state.chunks.entry(chunk).or_default().extend(nodes);
        }
        let mut shapes = chunks.iter();
        if !shapes.all(|stored| stored.len > 0 && stored.len <= self.chunk_size) {
            return refuse(ErrorCode::InvalidArgument, "a length is wrong");
        }
        Ok(chunks
            .iter()
            .map(|stored| (stored.chunk, stored.len))
            .collect())
    }
}

impl MasterState {
    /// Whether enough nodes hold a chunk that are there.
    fn has(&self, chunk: &ChunkId) -> bool {
        let holders = self.chunks.get(chunk).into_iter().flatten();
        holders.filter(|node| !self.dead.contains(node)).count() >= 2
    }
}

fn open_upload(state: &mut MasterState, upload: UploadId) -> Result<&mut UploadRow, WireError> {
    match state.uploads.get_mut(&upload) {
        Some(row) if Instant::now() < row.lease_until => Ok(row),
        _ => refuse(ErrorCode::UploadUnknown, "the upload is not open"),
    }
}

/// The index of the chunk at this place of a block.
fn index_of(block: u32, place: u16) -> usize {
    block as usize * CHUNKS_PER_BLOCK + usize::from(place)
}

impl FakeMaster {
    fn commit(&self, ask: &CommitUpload) -> Result<UploadCommitted, WireError> {
        assert!(
            usize::from(ask.place) + ask.chunks.len() <= CHUNKS_PER_BLOCK,
            "the rule of the protocol"
        );
        let mut state = self.lock();
        if let Some(committed) = state.committed.get(&ask.upload) {
            return Ok(committed.clone());
        }
        if ask.precondition == Precondition::Absent && state.files.contains_key(&ask.path) {
            return refuse(ErrorCode::PreconditionFailed, "the name is taken");
        }
        let mut chunks = Vec::new();
        if ask.size > 0 {
            let rest = self.prove(&mut state, ask.upload, &ask.chunks)?;
            chunks.clone_from(&open_upload(&mut state, ask.upload)?.chunks);
            if chunks.len() != index_of(ask.blocks, ask.place) {
                return refuse(ErrorCode::UploadUnknown, "chunks are not here");
            }
            chunks.extend(rest);
        }
        let size = chunks.iter().map(|(_, len)| u64::from(*len)).sum::<u64>();
        assert_eq!(size, ask.size, "the sum of the chunks is the size");
        let full = chunks.len().saturating_sub(1);
        assert!(
            chunks[..full]
                .iter()
                .all(|(_, len)| *len == self.chunk_size)
        );
        let copies = chunks.iter().map(|(chunk, _)| state.chunks[chunk].len());
        let copies = u8::try_from(copies.min().unwrap_or(3)).unwrap();
        state.versions += 1;
        let version = VersionId(state.versions);
        let row = FileRow {
            version,
            size,
            chunks,
        };
        let former = state.files.insert(ask.path.clone(), row);
        let created = former.is_none();
        state.former.extend(former);
        let committed = UploadCommitted {
            version,
            created,
            copies,
            copies_wanted: 3,
        };
        state.uploads.remove(&ask.upload);
        state.committed.insert(ask.upload, committed.clone());
        Ok(committed)
    }
}
