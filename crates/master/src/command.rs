//! Every change of the master's state is one of these values, applied by one function in one order.
//!
//! Whatever is not deterministic (the time, new ids, which nodes take a chunk, which nodes are alive) is decided
//! before a command is made, and carried in it. So the same log of commands makes the same state anywhere,
//! and a replicated log can be put in front of `apply` without a change to it.

use proto::hello::ReceiptKey;
use proto::id::{ChunkId, NodeId, PromiseId, RequestId, RunId, TokenHash, UploadId, VersionId};
use proto::master::{
    ChunkToStore, ClusterRules, PasswordHash, Precondition, ShareId, StoredChunk, TrashId,
    UploadPlan,
};
use proto::name::EntryPath;
use proto::net::Address;
use serde::{Deserialize, Serialize};

/// A node as the state names it: a small number, given once and never again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeNumber(pub u32);

/// Milliseconds that this cluster's masters have run, in all: it never jumps, and stands still while no master
/// runs. All deadlines are in it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ClusterMillis(pub u64);

/// A command with the time at which it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedCommand {
    /// For deadlines.
    pub at: ClusterMillis,
    /// For display, and for dates that people chose: milliseconds since 1970, UTC.
    pub wall_ms: u64,
    /// What shall change.
    pub command: Command,
}

/// What can change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// The master starts.
    RaiseEpoch {
        /// A person said that the folder was restored: the epoch rises above all that a lost master can have had, and what
        /// nodes have seen of earlier ones is forgiven.
        restored: bool,
        /// Which start of the master.
        run: RunId,
    },

    /// The settings say other rules than the state has: all go by these from now on. The chunk size and the name rules
    /// cannot change.
    SetRules {
        /// All of them.
        rules: ClusterRules,
    },

    /// Makes a folder.
    CreateFolder {
        /// Done once for this id.
        request: RequestId,
        /// Where.
        path: EntryPath,
        /// Missing parents too; a folder that is there is fine.
        parents: bool,
    },
    /// Renames or moves.
    MoveEntry {
        /// Done once for this id.
        request: RequestId,
        /// What.
        from: EntryPath,
        /// Where to.
        to: EntryPath,
        /// A file that is there goes to the trash.
        replace: bool,
    },
    /// Moves to the trash, or purges.
    DeleteEntry {
        /// Done once for this id.
        request: RequestId,
        /// What.
        path: EntryPath,
        /// A folder also when it has entries.
        recursive: bool,
        /// Without keeping it in the trash.
        purge: bool,
        /// Only in this state.
        precondition: Precondition,
    },
    /// Takes an entry out of the trash.
    RestoreEntry {
        /// Done once for this id.
        request: RequestId,
        /// Which.
        trash: TrashId,
        /// Where to, if not where it was.
        to: Option<EntryPath>,
    },
    /// Marks one row of the trash, or all, as purged.
    EmptyTrash {
        /// Done once for this id.
        request: RequestId,
        /// One row only.
        trash: Option<TrashId>,
    },
    /// Makes a version of a file the current one.
    RestoreVersion {
        /// Done once for this id.
        request: RequestId,
        /// Which file.
        path: EntryPath,
        /// Which of its versions.
        version: VersionId,
        /// Only in this state.
        precondition: Precondition,
    },
    /// Purges a former version of a file.
    RemoveVersion {
        /// Done once for this id.
        request: RequestId,
        /// Which file.
        path: EntryPath,
        /// Which of its versions.
        version: VersionId,
    },

    /// Shares a file or a folder.
    CreateShare {
        /// Done once for this id.
        request: RequestId,
        /// What.
        path: EntryPath,
        /// Of the token in its link, drawn at random.
        token: TokenHash,
        /// When it ends, by the clock on the wall.
        expires_ms: Option<u64>,
        /// What its password is checked with.
        password: Option<PasswordHash>,
        /// How often it may be downloaded.
        downloads_max: Option<u64>,
        /// Files may be added, and nothing be seen.
        upload_only: bool,
    },
    /// Lets a download of a share begin, if one is left.
    CountDownload {
        /// Done once for this id.
        request: RequestId,
        /// Of which share.
        share: ShareId,
    },
    /// Ends a share.
    RevokeShare {
        /// Done once for this id.
        request: RequestId,
        /// Which.
        share: ShareId,
    },

    /// Opens or renews an upload, and promises it chunks. Need not be durable before it is answered: an
    /// upload that a crash forgets is begun again.
    AllocateChunks {
        /// The session.
        upload: UploadId,
        /// Its lease ends then.
        lease_until: ClusterMillis,
        /// The id of the promises that are made now; one that the upload holds already keeps its own. Drawn at random.
        promise: PromiseId,
        /// Nodes on whose recorded copies nobody can rely now, ascending.
        doubtful: Vec<NodeNumber>,
        /// Whether planned deletions wait for the end of safe mode.
        deletions_wait: bool,
        /// What is promised.
        chunks: Vec<ChunkPromise>,
    },
    /// Opens an upload that outlives crashes, and keeps what it is to become.
    KeepUpload {
        /// The session.
        upload: UploadId,
        /// Its lease ends then.
        lease_until: ClusterMillis,
        /// What it is to become.
        plan: UploadPlan,
    },
    /// Adds chunks to an upload's version.
    RecordChunks {
        /// The session.
        upload: UploadId,
        /// Its lease ends then.
        lease_until: ClusterMillis,
        /// Which block.
        block: u32,
        /// Chunks recorded of it before.
        place: u16,
        /// Nodes on whose recorded copies nobody can rely now, ascending: what they hold counts only if a receipt comes
        /// with it.
        doubtful: Vec<NodeNumber>,
        /// Its chunks.
        chunks: Vec<StoredChunk>,
    },
    /// Names an upload's version.
    CommitUpload {
        /// The session.
        upload: UploadId,
        /// The name.
        path: EntryPath,
        /// Bytes in all.
        size: u64,
        /// When the content was last changed, if said.
        modified_ms: Option<u64>,
        /// Full blocks recorded before.
        blocks: u32,
        /// Chunks recorded of the block after those.
        place: u16,
        /// Nodes on whose recorded copies nobody can rely now, ascending: what they hold counts only if a receipt comes
        /// with it.
        doubtful: Vec<NodeNumber>,
        /// The rest.
        chunks: Vec<StoredChunk>,
        /// Make missing parents.
        parents: bool,
        /// Only if the name is in this state.
        precondition: Precondition,
    },
    /// Ends an upload without a file: given up, or its lease ran out. One that was renewed since is left alone.
    EndUpload {
        /// The session.
        upload: UploadId,
        /// Only if its lease ends by then; nothing to end it in any case.
        expired_by: Option<ClusterMillis>,
    },

    /// Takes a node in, or notes its new address, zone and key.
    UpsertNode {
        /// Who.
        node: NodeId,
        /// Where.
        address: Address,
        /// Its zone.
        zone: String,
        /// Its key.
        receipt_key: ReceiptKey,
    },
    /// Forgets a node and, step by step, all that is recorded there.
    RemoveNode {
        /// Who.
        node: NodeId,
    },

    /// A node was found to hold a chunk: by repair, or by its inventory.
    AddReplicas {
        /// Who.
        node: NodeNumber,
        /// The nodes that were down when this was decided: copies on them make up for none on failed disks.
        down: Vec<NodeNumber>,
        /// What, with lengths.
        chunks: Vec<(ChunkId, u32)>,
    },
    /// A node was found not to hold a good copy of a chunk: receipts for one are worth nothing any more. If nothing names the
    /// chunk, a bad one goes with it.
    RemoveReplicas {
        /// Who.
        node: NodeNumber,
        /// What.
        chunks: Vec<ChunkId>,
    },
    /// Copies are on a disk that failed or hangs: they may be read, and do not count any more.
    NoteFailing {
        /// Whose.
        node: NodeNumber,
        /// Of what.
        chunks: Vec<ChunkId>,
    },
    /// Plans the deletion of copies that nobody needs, on record or not: each only if enough others remain on nodes that
    /// are not down.
    TrimReplicas {
        /// The nodes that were down when this was decided.
        down: Vec<NodeNumber>,
        /// What, where.
        copies: Vec<(ChunkId, NodeNumber)>,
    },
    /// Plans the deletion of chunks that no version and no upload needs, if that still holds.
    CollectGarbage {
        /// Those without a reference since before then.
        unreferenced_before: ClusterMillis,
        /// Which.
        chunks: Vec<ChunkId>,
    },
    /// Notes chunks that a node was just seen to hold and that the state does not know.
    NoteUnknownChunks {
        /// Who.
        node: NodeNumber,
        /// Of those that were first seen before then, this is another inventory.
        seen_before: ClusterMillis,
        /// What.
        chunks: Vec<ChunkId>,
    },
    /// Plans the deletion of unknown chunks that waited long enough and were seen in two inventories, some time apart.
    DeleteUnknownChunks {
        /// Who.
        node: NodeNumber,
        /// First seen before then.
        seen_before: ClusterMillis,
        /// What.
        chunks: Vec<ChunkId>,
    },
    /// A node confirmed that it does not hold these any more.
    ConfirmDeletions {
        /// Who.
        node: NodeNumber,
        /// What.
        chunks: Vec<ChunkId>,
    },

    /// Does some of the work that a purge, a removed node or an old row left behind, at most `limit` rows.
    SweepSome {
        /// Trash that was deleted before then is purged.
        trash_before: ClusterMillis,
        /// Former versions that were replaced before then are purged.
        versions_before: ClusterMillis,
        /// Answers given before then are forgotten.
        answers_before: ClusterMillis,
        /// Rows.
        limit: u32,
    },

    /// The fuse stops deletions that no person asked for.
    TripDeleteFuse {
        /// How many copies would have gone.
        copies: u64,
        /// Of how many.
        of: u64,
    },
    /// A person lets as many go as it stopped.
    ResetDeleteFuse,
}

/// A chunk of an upload, and the nodes chosen for it should it have to be stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkPromise {
    /// The chunk.
    pub chunk: ChunkToStore,
    /// Where it goes unless enough nodes hold it that can be relied on: at most the replication factor. Nodes where a
    /// deletion of this very chunk is planned are left out by `apply`.
    pub nodes: Vec<NodeNumber>,
}

/// The version that an upload makes, and what there is to say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedVersion {
    /// The version.
    pub version: VersionId,
    /// Whether the name was free before.
    pub created: bool,
    /// Copies of its least replicated chunk, without those on nodes that cannot be relied on.
    pub copies: u8,
}
