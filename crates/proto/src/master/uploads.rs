//! The way of a file into the cluster: allocate, record, commit.

use serde::{Deserialize, Serialize};

use super::names::Precondition;
use crate::connection::Peer;
use crate::id::{ChunkId, NodeId, PromiseId, UploadId, VersionId};
use crate::name::EntryPath;
use crate::net::Address;
use crate::node::Receipt;
use crate::table::without_body;

without_body!(
    KeepUpload,
    UploadKept,
    LookUpUpload,
    UploadFound,
    AllocateChunks,
    ChunksAllocated,
    CountStoredChunks,
    StoredChunksCounted,
    RecordChunks,
    ChunksRecorded,
    CommitUpload,
    UploadCommitted,
    AbandonUpload,
    UploadAbandoned
);

/// See [`keep_upload`](super::MasterHandlers::keep_upload). Fails with `upload_unknown` (it has ended already),
/// `invalid_argument` (it is kept for something else), `too_large`, and where the name could not be given now, as
/// `commit_upload` does.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeepUpload {
    /// The session; the caller makes its id. Repeated with the same plan, it is done once.
    pub upload: UploadId,
    /// What is to become of it.
    pub plan: UploadPlan,
}

/// What an upload is to become: whoever goes on with it, maybe days later and on another machine, needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadPlan {
    /// The name that the file gets.
    pub path: EntryPath,
    /// Bytes in all.
    pub size: u64,
    /// When the content was last changed; the time of the commit if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_ms: Option<u64>,
    /// Make missing parent folders.
    #[serde(default)]
    pub parents: bool,
    /// Only if the name is in this state.
    #[serde(default, skip_serializing_if = "Precondition::is_any")]
    pub precondition: Precondition,
    /// What its caller wants to be told again, as it is; at most [`NOTE_LEN_MAX`] bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Bytes of the longest note.
pub const NOTE_LEN_MAX: usize = 8 << 10;

/// The upload is kept.
#[derive(Debug, Serialize, Deserialize)]
pub struct UploadKept {
    /// How long it is kept from now if nothing more comes; what comes renews its lease.
    pub kept_ms: u64,
}

/// See [`look_up_upload`](super::MasterHandlers::look_up_upload). Fails with `upload_unknown`.
#[derive(Debug, Serialize, Deserialize)]
pub struct LookUpUpload {
    /// The session.
    pub upload: UploadId,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum UploadFound {
    /// It goes on behind what is recorded.
    Open {
        /// What is to become of it.
        plan: UploadPlan,
        /// Chunks recorded. All of them have the chunk size, but for the last if it is the file's last.
        chunks: u64,
        /// Bytes recorded.
        bytes: u64,
        /// The cluster's chunk size.
        chunk_size: u32,
        /// How long it is kept from now if nothing more comes.
        kept_ms: u64,
    },
    /// It was committed: the file is there, or was.
    Committed {
        /// Its bytes.
        size: u64,
        /// What its commit was answered.
        committed: UploadCommitted,
    },
}

/// See [`allocate_chunks`](super::MasterHandlers::allocate_chunks). Opens the upload's lease, or renews it. Fails with
/// `not_enough_replicas` (fewer nodes take writes than a write needs), `no_space`, `unavailable`.
///
/// A chunk that was promised before is promised again; with `avoid`, other nodes take the place of those. Who asks again while
/// the answer before is not durable yet (a moment) may get other nodes altogether, beside those; receipts of all of them count.
#[derive(Debug, Serialize, Deserialize)]
pub struct AllocateChunks {
    /// The session; the caller makes its id.
    pub upload: UploadId,
    /// What is to be stored; may be empty, to renew the lease only. At most
    /// [`CHUNKS_PER_BLOCK`](super::CHUNKS_PER_BLOCK).
    pub chunks: Vec<ChunkToStore>,
    /// Nodes that failed the caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub avoid: Vec<NodeId>,
}

/// A chunk by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkToStore {
    /// Its id.
    pub chunk: ChunkId,
    /// Its bytes: 1 to the cluster's chunk size.
    pub len: u32,
}

/// One placement a chunk, in the order asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChunksAllocated {
    /// Where they go.
    pub placements: Vec<Placement>,
    /// The nodes that the placements name.
    pub nodes: Vec<NodeLocation>,
    /// The cluster's chunk size.
    pub chunk_size: u32,
    /// How long the lease lasts from now, unless renewed.
    pub lease_ms: u64,
    /// Copies without which a chunk is not stored.
    pub min_write_replicas: u8,
}

/// Where a chunk goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// The cluster has it, and keeps it for this upload: nothing needs to be sent.
    Stored,
    /// It is to be sent to all of these nodes.
    Promised {
        /// What `put_chunk` is to say. The same as before if the chunk was promised to this upload before; another one
        /// if that was forgotten: then receipts from before are worth nothing.
        promise: PromiseId,
        /// The nodes, as places in the reply's `nodes`.
        nodes: Vec<u16>,
    },
}

/// Where a node is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLocation {
    /// Who.
    pub node: NodeId,
    /// Where it listens.
    pub address: Address,
    /// Whether it answers now, as far as the master knows: try others first if not.
    pub live: bool,
}

impl<'a> From<&'a NodeLocation> for Peer<'a> {
    fn from(location: &'a NodeLocation) -> Self {
        Self::node(location.node, &location.address)
    }
}

/// See [`count_stored_chunks`](super::MasterHandlers::count_stored_chunks). Whoever records them then needs no receipts, and learns
/// whether it is still so.
#[derive(Debug, Serialize, Deserialize)]
pub struct CountStoredChunks {
    /// In the order of a file; at most [`CHUNKS_PER_BLOCK`](super::CHUNKS_PER_BLOCK).
    pub chunks: Vec<ChunkToStore>,
}

/// So many are stored as well as a write demands.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredChunksCounted {
    /// How many, up to the first that is not.
    pub stored: u32,
}

/// See [`record_chunks`](super::MasterHandlers::record_chunks). Fails with `upload_unknown` (also if
/// chunks before these are not recorded: begin again), `not_enough_replicas` (a chunk with too few good receipts).
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordChunks {
    /// The session.
    pub upload: UploadId,
    /// Which block, from 0.
    pub block: u32,
    /// How many chunks of that block are recorded before these. Repeated, a chunk is recorded once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub place: u16,
    /// At least one, and none behind the end of the block, which is [`CHUNKS_PER_BLOCK`](super::CHUNKS_PER_BLOCK). The
    /// last ones may come with the commit.
    pub chunks: Vec<StoredChunk>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(place: &u16) -> bool {
    *place == 0
}

/// A chunk of a file, with what proves that it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredChunk {
    /// Its id.
    pub chunk: ChunkId,
    /// Its bytes. All chunks of a file but the last have the cluster's chunk size.
    pub len: u32,
    /// One a node; none where the master has the chunk on record with enough copies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<Receipt>,
}

/// They are recorded.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChunksRecorded {}

/// See [`commit_upload`](super::MasterHandlers::commit_upload). Fails as `record_chunks`, and with
/// `precondition_failed`, `is_a_folder`, `not_a_folder`, `not_found` (no parent, unless `parents`), `too_large`,
/// `invalid_argument`.
///
/// Repeated with the same upload, it gives the same answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct CommitUpload {
    /// The session.
    pub upload: UploadId,
    /// The name that the file gets.
    pub path: EntryPath,
    /// Bytes in all: the sum of all chunks.
    pub size: u64,
    /// When the content was last changed; the time of the commit if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_ms: Option<u64>,
    /// Full blocks recorded before.
    pub blocks: u32,
    /// Chunks recorded of the block after those.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub place: u16,
    /// The rest: none behind the end of that block.
    pub chunks: Vec<StoredChunk>,
    /// Make missing parent folders.
    #[serde(default)]
    pub parents: bool,
    /// Only if the name is in this state.
    #[serde(default, skip_serializing_if = "Precondition::is_any")]
    pub precondition: Precondition,
}

/// The file is there: durable, under its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadCommitted {
    /// Its version.
    pub version: VersionId,
    /// Whether the name was free before.
    pub created: bool,
    /// Copies of its least replicated chunk now.
    pub copies: u8,
    /// Copies that there will be.
    pub copies_wanted: u8,
}

/// See [`abandon_upload`](super::MasterHandlers::abandon_upload). An unknown upload is as good as abandoned.
#[derive(Debug, Serialize, Deserialize)]
pub struct AbandonUpload {
    /// The session.
    pub upload: UploadId,
}

/// The session is over.
#[derive(Debug, Serialize, Deserialize)]
pub struct UploadAbandoned {}
