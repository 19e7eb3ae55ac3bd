//! What a command answers when it was applied.

use proto::id::{ChunkId, Epoch, NodeId, PromiseId};
use proto::master::{Entry, ShareId, TrashId};
use proto::name::EntryPath;

use crate::command::{ClusterMillis, CommittedVersion, NodeNumber};

/// One variant for each kind of answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to say.
    Done,
    /// `RaiseEpoch`: the new epoch.
    Epoch(Epoch),
    /// `CreateFolder`: whether it was made now.
    FolderCreated {
        /// False if it was there.
        created: bool,
    },
    /// `MoveEntry`: what it is at its new place.
    Moved(Entry),
    /// `DeleteEntry`: its place in the trash, if it went there.
    Deleted {
        /// Nothing when purged.
        trashed: Option<TrashId>,
    },
    /// `RestoreEntry`: where it is now.
    Restored(EntryPath),
    /// `RestoreVersion`: what the file is now.
    VersionRestored(Entry),
    /// `CreateShare`: its number.
    ShareCreated(ShareId),
    /// `CountDownload`: how many there were, with this one.
    DownloadCounted {
        /// With this one.
        downloads: u64,
    },
    /// `AllocateChunks`: one for each chunk, in the order asked.
    Allocated(Vec<Allocation>),
    /// `RecordChunks`: the receipts that were counted; nothing if it was done before, with whichever receipts then.
    Recorded(Option<Vec<CountedReceipt>>),
    /// `CommitUpload`, with the same.
    Committed(CommittedVersion, Option<Vec<CountedReceipt>>),
    /// `EndUpload`: whether it was open and is ended now.
    UploadEnded(bool),
    /// `UpsertNode`: its number.
    Node(NodeNumber),
    /// Commands over many chunks: how many of them it changed; the others did not qualify (any more).
    Changed(u64),
    /// `SweepSome`.
    Swept {
        /// Rows done.
        rows: u32,
        /// Whether more wait.
        more: bool,
    },
}

impl Outcome {
    /// How many a command over many chunks changed.
    pub fn changed(&self) -> u64 {
        match self {
            Self::Changed(count) => *count,
            _ => 0,
        }
    }
}

/// A receipt for which a copy was taken for stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedReceipt {
    /// Whose.
    pub node: NodeId,
    /// For what.
    pub chunk: ChunkId,
    /// Not before this was it given.
    pub promised_at: ClusterMillis,
}

/// Where a chunk of an upload goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allocation {
    /// Enough nodes hold it, and it is kept for this upload.
    Stored,
    /// It may be stored on some nodes.
    Promised {
        /// What receipts have to answer.
        promise: PromiseId,
        /// Where.
        nodes: Vec<NodeNumber>,
    },
}
