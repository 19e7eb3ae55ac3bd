//! What the tables hold: each row is a format byte and the row's fields as postcard.
//!
//! A later format gets a new byte and is read beside the old one; a byte that this program does not know is damage or a
//! newer program's, and is never guessed at.

use proto::hello::ReceiptKey;
use proto::id::{ChunkId, NodeId, PromiseId, TokenHash, VersionId};
use proto::master::{CHUNKS_PER_BLOCK, Entry, Precondition, ShareId, TrashId, UploadPlan};
use proto::name::EntryName;
use proto::net::Address;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::StateError;
use crate::command::{ClusterMillis, CommittedVersion, NodeNumber};

/// The format of all rows that this program writes, but for the head.
const FORMAT: u8 = 1;

/// A row as its bytes.
pub(super) fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    encode_as(FORMAT, row)
}

/// A row out of its bytes.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StateError> {
    decode_as(FORMAT, bytes)
}

/// A row of this format as its bytes.
pub(super) fn encode_as<T: Serialize>(format: u8, row: &T) -> Vec<u8> {
    let bytes = Vec::with_capacity(64);
    let bytes = postcard::to_extend(&format, bytes).expect("a vector takes all bytes");
    postcard::to_extend(row, bytes).expect("rows hold only what postcard can write")
}

/// A row that has to be of this format.
pub(super) fn decode_as<T: DeserializeOwned>(format: u8, bytes: &[u8]) -> Result<T, StateError> {
    match bytes.split_first() {
        Some((found, fields)) if *found == format => postcard::from_bytes(fields)
            .map_err(|error| StateError::Damaged(format!("a row cannot be read ({error})"))),
        Some((found, _)) => Err(StateError::Damaged(format!(
            "a row has format {found}, and this program knows {format} only"
        ))),
        None => Err(StateError::Damaged("a row is empty".to_owned())),
    }
}

/// Sums of all that is below a folder, however deep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Files, in their current versions.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Bytes of the files' current versions.
    pub bytes: u64,
}

impl Sums {
    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            folders: self.folders + other.folders,
            bytes: self.bytes + other.bytes,
        }
    }

    /// What is left without the other.
    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            files: self.files.saturating_sub(other.files),
            folders: self.folders.saturating_sub(other.folders),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// Sums of versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionSums {
    /// How many.
    pub versions: u64,
    /// Their bytes, each version counted whole.
    pub bytes: u64,
}

impl VersionSums {
    /// With a version of this size.
    pub(super) fn with(self, size: u64) -> Self {
        Self {
            versions: self.versions + 1,
            bytes: self.bytes + size,
        }
    }

    /// Without it.
    pub(super) fn without(self, size: u64) -> Self {
        Self {
            versions: self.versions.saturating_sub(1),
            bytes: self.bytes.saturating_sub(size),
        }
    }
}

/// A folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FolderRow {
    /// Nothing for the root, and for a folder that lies in the trash itself.
    pub(super) parent: Option<u64>,
    /// What is below it.
    pub(super) below: Sums,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum EntryRow {
    Folder {
        folder: u64,
        modified_ms: u64,
    },
    File {
        /// The number of its first version.
        file: u64,
        version: u64,
        size: u64,
        modified_ms: u64,
    },
}

impl EntryRow {
    /// As a listing shows it.
    pub(super) fn to_entry(self, name: &EntryName) -> Entry {
        match self {
            Self::Folder { modified_ms, .. } => Entry::Folder {
                name: Some(name.clone()),
                modified_ms,
            },
            Self::File {
                version,
                size,
                modified_ms,
                ..
            } => Entry::File {
                name: name.clone(),
                size,
                modified_ms,
                version: VersionId(version),
            },
        }
    }
}

/// One version of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    /// The file: the number of its first version.
    pub file: u64,
    /// Bytes.
    pub size: u64,
    /// When the content was last changed, for display.
    pub modified_ms: u64,
    /// When it was committed, for display.
    pub committed_ms: u64,
    /// Bytes of every chunk but the last.
    pub chunk_size: u32,
}

impl VersionRow {
    /// How many chunks it has.
    pub fn chunk_count(&self) -> u64 {
        self.size.div_ceil(u64::from(self.chunk_size))
    }

    /// How many blocks its chunks fill.
    pub(super) fn block_count(&self) -> u32 {
        let blocks = self.chunk_count().div_ceil(CHUNKS_PER_BLOCK as u64);
        u32::try_from(blocks).expect("checked when the version was committed")
    }

    /// The length of its chunk of this index.
    pub fn chunk_len(&self, index: u64) -> u32 {
        let rest = self.size - index * u64::from(self.chunk_size);
        u32::try_from(rest.min(u64::from(self.chunk_size))).expect("at most the chunk size")
    }
}

/// A chunk that files need, that a node holds, or that a node may hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRow {
    /// Bytes, as the nodes that hold it say; 0 until one does. What uploads say counts for nobody else.
    pub len: u32,
    /// How often versions, and uploads' drafts, name it.
    pub references: u64,
    /// Since when nothing names it; meaningful while `references` is 0.
    pub unreferenced_since: ClusterMillis,
    /// Who holds it durably, ascending. Copies whose deletion is planned are not in it.
    pub replicas: Vec<NodeNumber>,
    /// Who has it on a disk that failed or hangs, ascending: such a copy can be read, at once or when the disk answers,
    /// and does not count.
    pub failing: Vec<NodeNumber>,
    /// Who was promised it by an upload that ended, and may hold a copy that was never recorded, ascending. Only
    /// while `references` is 0.
    pub leftovers: Vec<NodeNumber>,
}

impl ChunkRow {
    /// Whether this is its length, as far as is known.
    pub(crate) fn may_have_len(&self, len: u32) -> bool {
        self.len == len || self.len == 0
    }

    /// Copies in the sums: one that is on failed disks only has not lost all, since it can still be read.
    pub(super) fn copies_counted(&self) -> usize {
        let readable = usize::from(!self.failing.is_empty());
        self.replicas.len().max(readable)
    }
}

/// An open upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRow {
    /// The version that it makes.
    pub version: u64,
    /// Its lease ends then.
    pub lease_until: ClusterMillis,
    /// Full blocks recorded.
    pub blocks: u32,
    /// Bytes recorded.
    pub bytes: u64,
    /// Whether the last recorded chunk was a short one, so that none may follow.
    pub(super) ended_short: bool,
    /// Copies of the least replicated chunk recorded; 255 while there is none.
    pub(super) copies: u8,
    /// Promises that it holds.
    pub promises: u32,
}

/// `UploadRow::copies` while no chunk was recorded.
pub(super) const NO_CHUNK_YET: u8 = u8::MAX;

impl UploadRow {
    /// An upload that has nothing yet.
    pub(super) fn new(version: u64) -> Self {
        Self {
            version,
            lease_until: ClusterMillis(0),
            blocks: 0,
            bytes: 0,
            ended_short: false,
            copies: NO_CHUNK_YET,
            promises: 0,
        }
    }

    /// Chunks recorded, of which only the last may be shorter than this.
    pub fn chunk_count(&self, chunk_size: u32) -> u64 {
        self.bytes.div_ceil(u64::from(chunk_size))
    }
}

/// What an upload that outlives crashes is to become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptRow {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) modified_ms: Option<u64>,
    pub(super) parents: bool,
    pub(super) precondition: Precondition,
    pub(super) note: String,
}

impl KeptRow {
    pub(super) fn new(plan: &UploadPlan) -> Self {
        Self {
            path: plan.path.to_string(),
            size: plan.size,
            modified_ms: plan.modified_ms,
            parents: plan.parents,
            precondition: plan.precondition,
            note: plan.note.clone(),
        }
    }

    pub(super) fn into_plan(self) -> Result<UploadPlan, StateError> {
        let path = self.path.parse().map_err(|error| {
            StateError::Damaged(format!("the path of an upload is none: {error}"))
        })?;
        Ok(UploadPlan {
            path,
            size: self.size,
            modified_ms: self.modified_ms,
            parents: self.parents,
            precondition: self.precondition,
            note: self.note,
        })
    }
}

/// A promise to an upload: this chunk may be stored on these nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromiseRow {
    /// What receipts have to answer.
    pub id: PromiseId,
    pub(super) len: u32,
    /// When it was made.
    pub(super) made_at: ClusterMillis,
    /// Ascending; none while the cluster has the chunk and nothing needs to be sent.
    pub nodes: Vec<NodeNumber>,
    /// Nodes that it can name no more: they deleted a copy while it was held, or were found to have a bad one, and may
    /// have given a receipt for that.
    pub barred: Vec<NodeNumber>,
}

/// What a share shares, whatever its name is, and whichever version it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Target {
    /// A folder.
    Folder(u64),
    /// A file: the number of its first version.
    File(u64),
}

impl Target {
    /// What an entry is to a share.
    pub(super) fn of(entry: &EntryRow) -> Self {
        match *entry {
            EntryRow::Folder { folder, .. } => Self::Folder(folder),
            EntryRow::File { file, .. } => Self::File(file),
        }
    }

    /// The same as the first parts of a key.
    pub(super) fn key(self) -> (u8, u64) {
        match self {
            Self::Folder(folder) => (0, folder),
            Self::File(file) => (1, file),
        }
    }
}

/// A share.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShareRow {
    pub(super) token: TokenHash,
    pub(super) target: Target,
    pub(super) created_ms: u64,
    pub(super) expires_ms: Option<u64>,
    pub(super) password: Option<String>,
    pub(super) downloads: u64,
    pub(super) downloads_max: Option<u64>,
    pub(super) upload_only: bool,
}

/// A row of the trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TrashRow {
    pub(super) path: String,
    pub(super) entry: EntryRow,
    pub(super) deleted_at: ClusterMillis,
    pub(super) deleted_ms: u64,
}

/// Work left to the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PurgeRow {
    /// All that is in a folder, and the folder.
    Folder { folder: u64 },
    /// All versions of a file.
    File { file: u64, version: u64 },
    /// One version.
    Version { version: u64 },
    /// The blocks that an ended upload recorded.
    Draft { version: u64, blocks: u32 },
    /// All that is recorded of a removed node.
    Node { node: u32 },
    /// Which chunks need copies, from behind this one on, after the replication factor changed.
    Recount { after: Option<ChunkId> },
}

/// A node that the cluster knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Who.
    pub id: NodeId,
    /// Where it listens.
    pub address: Address,
    /// Its zone.
    pub zone: String,
    /// With which it signs receipts.
    pub receipt_key: ReceiptKey,
    /// Forgotten, and its rows not yet all swept.
    pub removed: bool,
}

/// What is recorded of a node, in sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeTally {
    /// Copies.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Deletions planned there and not confirmed.
    pub planned_deletions: u64,
}

impl NodeTally {
    pub(super) fn into_tuple(self) -> (u64, u64, u64) {
        (self.chunks, self.bytes, self.planned_deletions)
    }
}

impl From<(u64, u64, u64)> for NodeTally {
    fn from((chunks, bytes, planned_deletions): (u64, u64, u64)) -> Self {
        Self {
            chunks,
            bytes,
            planned_deletions,
        }
    }
}

/// A chunk that a node holds and that the state does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownChunk {
    /// Which.
    pub chunk: ChunkId,
    /// When an inventory showed it first.
    pub first_seen: ClusterMillis,
    /// In how many inventories it was, of which only those count that were some time after the first.
    pub inventories: u32,
}

/// What was answered to a request, so that it can be answered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AnswerRow {
    /// When, or a later time from which on its age counts.
    pub(super) at: ClusterMillis,
    pub(super) answer: Answer,
}

/// See [`AnswerRow`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    FolderCreated { created: bool },
    Moved { name: EntryName, entry: EntryRow },
    Deleted { trashed: Option<TrashId> },
    Restored { path: String },
    TrashEmptied,
    Committed(CommittedVersion),
    UploadEnded,
    VersionRestored { name: EntryName, entry: EntryRow },
    VersionRemoved,
    ShareCreated { share: ShareId },
    DownloadCounted { downloads: u64 },
    ShareRevoked,
}
