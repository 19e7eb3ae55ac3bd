//! What the master answers: the table, then each request next to its reply.
//!
//! Times named `…_ms` are milliseconds since 1970, UTC, for display only. Pages are bounded, and a reply never
//! grows with the cluster.

use serde::{Deserialize, Serialize};

use crate::hello::ReceiptKey;
use crate::id::{BootId, ChunkId, ClusterId, Epoch, NodeId, RequestId, UploadId, VersionId};
use crate::name::{EntryName, EntryPath, NameRules};
use crate::net::Address;
use crate::node::{NodeUsage, Receipt};
use crate::table::Message;

crate::operations! {
    /// A request to the master.
    enum MasterRequest;
    /// What the master does.
    trait MasterHandlers;
    /// Answers [`MasterRequest`]s.
    struct MasterServer;

    /// Finds one entry by its path.
    look_up_entry: LookUpEntry => EntryFound;
    /// Lists a folder, a page at a time, by name.
    list_folder: ListFolder => FolderListed;
    /// Makes a folder.
    create_folder: CreateFolder => FolderCreated;
    /// Renames or moves a file, or a folder with all that is in it.
    move_entry: MoveEntry => EntryMoved;
    /// Moves an entry to the trash, or removes it for good.
    delete_entry: DeleteEntry => EntryDeleted;
    /// Lists the trash, a page at a time, newest first.
    list_trash: ListTrash => TrashListed;
    /// Puts an entry of the trash back.
    restore_entry: RestoreEntry => EntryRestored;
    /// Removes for good what is in the trash.
    empty_trash: EmptyTrash => TrashEmptied;

    /// Says where chunks of an upload go, and keeps what it promises for the upload's lease.
    allocate_chunks: AllocateChunks => ChunksAllocated;
    /// Adds stored chunks, in the order of the file, to the version that an upload makes.
    record_chunks: RecordChunks => ChunksRecorded;
    /// Gives the version its name: from then on the file is there.
    commit_upload: CommitUpload => UploadCommitted;
    /// Gives an upload up, so that its chunks need not wait for the lease to end.
    abandon_upload: AbandonUpload => UploadAbandoned;

    /// Finds a file, one version of it, and where its first chunks are.
    open_file: OpenFile => FileOpened;
    /// Says where further chunks of a version are.
    locate_chunks: LocateChunks => ChunksLocated;
    /// Says that a node gave wrong bytes for a chunk, or had none: the master has it looked into.
    report_bad_replica: ReportBadReplica => BadReplicaNoted;

    /// Tells how the cluster does, in sums.
    get_status: GetStatus => ClusterStatus;
    /// Lists the nodes, a page at a time, by id.
    list_nodes: ListNodes => NodesListed;
    /// Ends safe mode although not all nodes have reported.
    leave_safe_mode: LeaveSafeMode => SafeModeLeft;
    /// Lets the deletions go on that the fuse stopped.
    reset_delete_fuse: ResetDeleteFuse => DeleteFuseReset;
    /// Forgets a node that is gone for good.
    remove_node: RemoveNode => NodeRemoved;

    /// Joins the cluster, or comes back to it. Nodes only.
    register_node: RegisterNode => NodeRegistered;
    /// Says that a node lives and how full it is. Nodes only, on the connection that registered.
    report_heartbeat: ReportHeartbeat => HeartbeatNoted;
    /// Says that a node found chunks of its own to be corrupt. Nodes only.
    report_corrupt_chunks: ReportCorruptChunks => CorruptChunksNoted;
}

/// Most entries in one page.
pub const PAGE_LEN_MAX: u32 = 1000;
/// Chunks in one block of a version: what `record_chunks` takes at once, and `locate_chunks` gives at most.
pub const CHUNKS_PER_BLOCK: usize = 512;

macro_rules! without_body {
    ($($message:ident),* $(,)?) => { $(impl Message for $message {})* };
}

without_body!(
    LookUpEntry,
    EntryFound,
    ListFolder,
    FolderListed,
    CreateFolder,
    FolderCreated,
    MoveEntry,
    EntryMoved,
    DeleteEntry,
    EntryDeleted,
    ListTrash,
    TrashListed,
    RestoreEntry,
    EntryRestored,
    EmptyTrash,
    TrashEmptied,
    AllocateChunks,
    ChunksAllocated,
    RecordChunks,
    ChunksRecorded,
    CommitUpload,
    UploadCommitted,
    AbandonUpload,
    UploadAbandoned,
    OpenFile,
    FileOpened,
    LocateChunks,
    ChunksLocated,
    ReportBadReplica,
    BadReplicaNoted,
    GetStatus,
    ClusterStatus,
    ListNodes,
    NodesListed,
    LeaveSafeMode,
    SafeModeLeft,
    ResetDeleteFuse,
    DeleteFuseReset,
    RemoveNode,
    NodeRemoved,
    RegisterNode,
    NodeRegistered,
    ReportHeartbeat,
    HeartbeatNoted,
    ReportCorruptChunks,
    CorruptChunksNoted,
);

// Names.

/// One file or folder as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// A folder.
    Folder {
        /// Its name; the root has none.
        name: Option<EntryName>,
        /// When it was made.
        modified_ms: u64,
    },
    /// A file, in its current version.
    File {
        /// Its name.
        name: EntryName,
        /// Bytes.
        size: u64,
        /// When the content was last changed, as the uploader said, or the time of the upload.
        modified_ms: u64,
        /// The current version.
        version: VersionId,
    },
}

/// See [`MasterHandlers::look_up_entry`]. Fails with `not_found`.
#[derive(Debug, Serialize, Deserialize)]
pub struct LookUpEntry {
    /// Where.
    pub path: EntryPath,
}

/// It is there.
#[derive(Debug, Serialize, Deserialize)]
pub struct EntryFound {
    /// What it is.
    pub entry: Entry,
}

/// See [`MasterHandlers::list_folder`]. Fails with `not_found`, `not_a_folder`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListFolder {
    /// Which folder.
    pub path: EntryPath,
    /// Only names above this one: the last of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<EntryName>,
    /// At most [`PAGE_LEN_MAX`]; fewer may come.
    pub limit: u32,
}

/// A page, in the order of the names' bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct FolderListed {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Whether more follow.
    pub more: bool,
}

/// See [`MasterHandlers::create_folder`]. Fails with `already_exists` (a file, or a folder unless `parents`),
/// `not_found` (no parent, unless `parents`), `not_a_folder`, `invalid_argument`.
#[derive(Debug, Serialize, Deserialize)]
pub struct CreateFolder {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// Where.
    pub path: EntryPath,
    /// Make missing parents too, and be content with a folder that is there.
    #[serde(default)]
    pub parents: bool,
}

/// The folder is there.
#[derive(Debug, Serialize, Deserialize)]
pub struct FolderCreated {
    /// Whether it was made now.
    pub created: bool,
}

/// See [`MasterHandlers::move_entry`]. Fails with `not_found`, `already_exists`, `is_a_folder`, `not_a_folder`,
/// `invalid_argument` (a folder into itself, the root), `precondition_failed`.
#[derive(Debug, Serialize, Deserialize)]
pub struct MoveEntry {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// What.
    pub from: EntryPath,
    /// Where to, the new name included.
    pub to: EntryPath,
    /// Replace a file that is there (it goes to the trash); a folder is never replaced.
    #[serde(default)]
    pub replace: bool,
}

/// It is there now, and not where it was.
#[derive(Debug, Serialize, Deserialize)]
pub struct EntryMoved {
    /// What it is.
    pub entry: Entry,
}

/// See [`MasterHandlers::delete_entry`]. Fails with `not_found`, `folder_not_empty`, `precondition_failed`,
/// `invalid_argument` (the root).
#[derive(Debug, Serialize, Deserialize)]
pub struct DeleteEntry {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// What.
    pub path: EntryPath,
    /// A folder also when it has entries.
    #[serde(default)]
    pub recursive: bool,
    /// For good, without the trash: its space is freed soon.
    #[serde(default)]
    pub purge: bool,
    /// Only in this state.
    #[serde(default, skip_serializing_if = "Precondition::is_any")]
    pub precondition: Precondition,
}

/// It is not there any more.
#[derive(Debug, Serialize, Deserialize)]
pub struct EntryDeleted {
    /// Its place in the trash; nothing when purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trashed: Option<TrashId>,
}

/// One row of the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrashId(pub u64);

/// See [`MasterHandlers::list_trash`].
#[derive(Debug, Serialize, Deserialize)]
pub struct ListTrash {
    /// Only rows older than this one: the last of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<TrashId>,
    /// At most [`PAGE_LEN_MAX`].
    pub limit: u32,
}

/// A page of the trash.
#[derive(Debug, Serialize, Deserialize)]
pub struct TrashListed {
    /// Newest first.
    pub entries: Vec<TrashEntry>,
    /// Whether more follow.
    pub more: bool,
}

/// What lies in the trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashEntry {
    /// Its place.
    pub trash: TrashId,
    /// Where it was.
    pub path: EntryPath,
    /// What it is.
    pub entry: Entry,
    /// When it was deleted.
    pub deleted_ms: u64,
}

/// See [`MasterHandlers::restore_entry`]. Fails with `not_found`, `already_exists`.
#[derive(Debug, Serialize, Deserialize)]
pub struct RestoreEntry {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// Which row.
    pub trash: TrashId,
    /// Where to; without it, where it was. Missing parents are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<EntryPath>,
}

/// It is back.
#[derive(Debug, Serialize, Deserialize)]
pub struct EntryRestored {
    /// Where.
    pub path: EntryPath,
}

/// See [`MasterHandlers::empty_trash`]. Fails with `not_found` if one row is named and is not there.
#[derive(Debug, Serialize, Deserialize)]
pub struct EmptyTrash {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// One row only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trash: Option<TrashId>,
}

/// The rows are gone; their space is freed soon.
#[derive(Debug, Serialize, Deserialize)]
pub struct TrashEmptied {}

/// What must hold of an entry before it is changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precondition {
    /// Nothing.
    #[default]
    Any,
    /// Nothing is there.
    Absent,
    /// A file is there.
    Present,
    /// A file is there in this version.
    Version(VersionId),
}

impl Precondition {
    /// Whether nothing is asked.
    pub fn is_any(&self) -> bool {
        *self == Self::Any
    }
}

// Uploads.

/// See [`MasterHandlers::allocate_chunks`]. Opens the upload's lease, or renews it. Fails with
/// `not_enough_replicas` (fewer nodes take writes than a write needs), `no_space`, `unavailable`.
///
/// A chunk that was promised before is promised again; with `avoid`, other nodes take the place of those.
#[derive(Debug, Serialize, Deserialize)]
pub struct AllocateChunks {
    /// The session; the caller makes its id.
    pub upload: UploadId,
    /// What is to be stored; may be empty, to renew the lease only. At most [`CHUNKS_PER_BLOCK`].
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
    /// It is to be sent to all of these, as places in the reply's `nodes`.
    Nodes(Vec<u16>),
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

/// See [`MasterHandlers::record_chunks`]. Fails with `upload_unknown`, `not_enough_replicas` (a chunk with too few
/// good receipts), `invalid_argument` (out of order).
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordChunks {
    /// The session.
    pub upload: UploadId,
    /// Which block, from 0: repeated, a block is recorded once.
    pub block: u32,
    /// Exactly [`CHUNKS_PER_BLOCK`]: the last block, which may be shorter, comes with the commit.
    pub chunks: Vec<StoredChunk>,
}

/// A chunk of a file, with what proves that it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredChunk {
    /// Its id.
    pub chunk: ChunkId,
    /// Its bytes. All chunks of a file but the last have the cluster's chunk size.
    pub len: u32,
    /// One a node; none where the master said `stored`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<Receipt>,
}

/// The block is recorded.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChunksRecorded {}

/// See [`MasterHandlers::commit_upload`]. Fails as `record_chunks`, and with `precondition_failed`, `is_a_folder`,
/// `not_a_folder`, `not_found` (no parent, unless `parents`), `too_large`, `invalid_argument`.
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
    /// Blocks recorded before.
    pub blocks: u32,
    /// The rest: fewer than [`CHUNKS_PER_BLOCK`].
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

/// See [`MasterHandlers::abandon_upload`]. An unknown upload is as good as abandoned.
#[derive(Debug, Serialize, Deserialize)]
pub struct AbandonUpload {
    /// The session.
    pub upload: UploadId,
}

/// The session is over.
#[derive(Debug, Serialize, Deserialize)]
pub struct UploadAbandoned {}

// Downloads.

/// See [`MasterHandlers::open_file`]. Fails with `not_found`, `is_a_folder`.
#[derive(Debug, Serialize, Deserialize)]
pub struct OpenFile {
    /// Which.
    pub path: EntryPath,
    /// A former version; the current one if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionId>,
    /// How many chunks to locate at once: at most [`CHUNKS_PER_BLOCK`].
    pub chunks: u32,
}

/// The file's shape, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOpened {
    /// The version that is read from now on, whatever happens to the name.
    pub version: VersionId,
    /// Bytes.
    pub size: u64,
    /// When the content was last changed.
    pub modified_ms: u64,
    /// Bytes of every chunk but the last.
    pub chunk_size: u32,
    /// Where the first chunks are.
    pub first: ChunkLocations,
}

/// See [`MasterHandlers::locate_chunks`]. Fails with `not_found`.
#[derive(Debug, Serialize, Deserialize)]
pub struct LocateChunks {
    /// Of which version.
    pub version: VersionId,
    /// From which chunk on, counted from 0.
    pub first: u64,
    /// At most [`CHUNKS_PER_BLOCK`]; fewer may come.
    pub limit: u32,
}

/// They are there.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChunksLocated {
    /// Where.
    pub locations: ChunkLocations,
}

/// A run of a file's chunks, with the nodes that hold them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkLocations {
    /// In the order of the file.
    pub chunks: Vec<LocatedChunk>,
    /// The nodes that they name.
    pub nodes: Vec<NodeLocation>,
}

/// One chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocatedChunk {
    /// Its id.
    pub chunk: ChunkId,
    /// Its bytes.
    pub len: u32,
    /// Who holds it, as places in `nodes`, those that answer first.
    pub nodes: Vec<u16>,
}

/// See [`MasterHandlers::report_bad_replica`]: a hint, which the master verifies.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReportBadReplica {
    /// Which chunk.
    pub chunk: ChunkId,
    /// Where it was bad.
    pub node: NodeId,
}

/// The node will be asked to verify it.
#[derive(Debug, Serialize, Deserialize)]
pub struct BadReplicaNoted {}

// The cluster.

/// See [`MasterHandlers::get_status`].
#[derive(Debug, Serialize, Deserialize)]
pub struct GetStatus {}

/// How the cluster does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Which cluster.
    pub cluster: ClusterId,
    /// The master's start.
    pub epoch: Epoch,
    /// In one colour.
    pub health: Health,
    /// Why it is not green, worst first, each a sentence for a person.
    pub problems: Vec<Problem>,
    /// Whether an upload would succeed now.
    pub uploads_possible: bool,
    /// Nodes by state.
    pub nodes: NodeCounts,
    /// Files, in their current versions.
    pub files: u64,
    /// Folders, the root not counted.
    pub folders: u64,
    /// Bytes of all current versions.
    pub file_bytes: u64,
    /// Bytes of the disks of live nodes.
    pub capacity_bytes: u64,
    /// Bytes that live nodes can still take, copies included.
    pub free_bytes: u64,
    /// Chunks by their copies.
    pub chunks: ChunkCounts,
    /// What repair does.
    pub repair: RepairStatus,
    /// Present in safe mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe_mode: Option<SafeMode>,
    /// Present when the fuse stopped deletions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_fuse: Option<DeleteFuse>,
    /// What the cluster was made with.
    pub rules: ClusterRules,
}

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Everything has all its copies, and uploads work.
    Green,
    /// Everything can be read; something has fewer copies than it should, or needs a look.
    Yellow,
    /// Something cannot be read, or nothing can be stored.
    Red,
}

/// Something that keeps the cluster from being green.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For scripts, in `snake_case`: `too_few_nodes`, `node_down`, `chunks_missing_copies`, `chunks_lost`, `no_space`,
    /// `safe_mode`, `delete_fuse`, `disk_failed`.
    pub code: String,
    /// How bad: never green.
    pub health: Health,
    /// What is wrong, what happens next and how long it takes, or what to do.
    pub message: String,
}

/// How many nodes there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCounts {
    /// All that the cluster knows.
    pub total: u32,
    /// Those whose heartbeats come.
    pub live: u32,
    /// Those whose connection broke, or whose heartbeat is late.
    pub suspect: u32,
    /// Those silent for the failure timeout.
    pub dead: u32,
    /// Live ones that take writes.
    pub writable: u32,
}

/// How many chunks there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkCounts {
    /// All that files need.
    pub total: u64,
    /// With fewer good copies on nodes that are not dead than they should have.
    pub missing_copies: u64,
    /// With just one good copy on a node that is not dead, where more are wanted.
    pub one_copy: u64,
    /// With no good copy on a node that is not dead.
    pub unavailable: u64,
    /// Copies that are to be deleted: garbage and surplus.
    pub to_delete: u64,
}

/// What repair does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RepairStatus {
    /// Chunks being copied now.
    pub running: u32,
    /// Chunks that wait and can be repaired with the nodes that are here.
    pub queued: u64,
    /// Copied in the last ten seconds or so, in bytes a second.
    pub bytes_per_second: u64,
    /// How long it will take at this rate, in seconds, if that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

/// After a start the master neither deletes nor repairs until it has heard from the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SafeMode {
    /// How many nodes have not reported.
    pub waiting_for: u32,
    /// Some of them, by address.
    pub examples: Vec<Address>,
    /// Whether repair waits too, or only deletions.
    pub repair_waits: bool,
}

/// Deletions that nobody asked for were stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteFuse {
    /// How many copies would have gone.
    pub copies: u64,
    /// Of how many.
    pub of: u64,
}

/// What a cluster was made with, the same for all its processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRules {
    /// Bytes of a chunk.
    pub chunk_size: u32,
    /// Copies that each chunk gets.
    pub replication_factor: u8,
    /// Copies without which a write fails.
    pub min_write_replicas: u8,
    /// Largest file in bytes, if there is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size_max: Option<u64>,
    /// Which names are taken.
    pub names: NameRules,
}

/// See [`MasterHandlers::list_nodes`].
#[derive(Debug, Serialize, Deserialize)]
pub struct ListNodes {
    /// Only ids above this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<NodeId>,
    /// At most [`PAGE_LEN_MAX`].
    pub limit: u32,
}

/// A page of nodes.
#[derive(Debug, Serialize, Deserialize)]
pub struct NodesListed {
    /// By id.
    pub nodes: Vec<NodeSummary>,
    /// Whether more follow.
    pub more: bool,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSummary {
    /// Who.
    pub node: NodeId,
    /// Where it listens, or did.
    pub address: Address,
    /// Its zone, for example a room or a power line: copies go to distinct ones.
    pub zone: String,
    /// How it is.
    pub state: NodeState,
    /// How long ago its last heartbeat came; nothing if none came since the master's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_age_ms: Option<u64>,
    /// Copies that the master has recorded there.
    pub chunks: u64,
    /// What it said of itself last.
    pub usage: NodeUsage,
}

/// Whether a node is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Heartbeats come.
    Live,
    /// Its connection broke, or its heartbeat is late: read from others first.
    Suspect,
    /// Silent for the failure timeout: its copies do not count.
    Dead,
}

/// See [`MasterHandlers::leave_safe_mode`].
#[derive(Debug, Serialize, Deserialize)]
pub struct LeaveSafeMode {}

/// Deletions and repair go on.
#[derive(Debug, Serialize, Deserialize)]
pub struct SafeModeLeft {}

/// See [`MasterHandlers::reset_delete_fuse`].
#[derive(Debug, Serialize, Deserialize)]
pub struct ResetDeleteFuse {}

/// The deletions that were stopped go on.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeleteFuseReset {}

/// See [`MasterHandlers::remove_node`]. Fails with `not_found`, `precondition_failed` (the node is live, or holds the
/// only copy of a chunk and `lose_chunks` is not said).
#[derive(Debug, Serialize, Deserialize)]
pub struct RemoveNode {
    /// Which.
    pub node: NodeId,
    /// Although chunks are lost by it.
    #[serde(default)]
    pub lose_chunks: bool,
}

/// The cluster does not know it any more.
#[derive(Debug, Serialize, Deserialize)]
pub struct NodeRemoved {}

// Nodes.

/// See [`MasterHandlers::register_node`]. Fails with `wrong_cluster`, `duplicate_node`, `stale_epoch` (the node has
/// seen a later master than this: it was restored from an old copy).
#[derive(Debug, Serialize, Deserialize)]
pub struct RegisterNode {
    /// Who.
    pub node: NodeId,
    /// This start of it.
    pub boot: BootId,
    /// Where others reach it.
    pub address: Address,
    /// Its zone.
    pub zone: String,
    /// The cluster that it belongs to; nothing for a new node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterId>,
    /// The highest epoch that it has seen.
    pub epoch: Epoch,
    /// With which it signs receipts.
    pub receipt_key: ReceiptKey,
    /// How full it is.
    pub usage: NodeUsage,
}

/// The node is a member.
#[derive(Debug, Serialize, Deserialize)]
pub struct NodeRegistered {
    /// The cluster, which the node keeps from now on.
    pub cluster: ClusterId,
    /// The epoch, which the node makes durable before it goes on.
    pub epoch: Epoch,
    /// What the cluster was made with.
    pub rules: ClusterRules,
    /// How often heartbeats are wanted.
    pub heartbeat_interval_ms: u64,
}

/// See [`MasterHandlers::report_heartbeat`]. Fails with `not_found` (register again).
#[derive(Debug, Serialize, Deserialize)]
pub struct ReportHeartbeat {
    /// Who.
    pub node: NodeId,
    /// This start of it.
    pub boot: BootId,
    /// Counts its heartbeats since then: an older one is ignored.
    pub sequence: u64,
    /// How full it is.
    pub usage: NodeUsage,
}

/// The master heard it.
#[derive(Debug, Serialize, Deserialize)]
pub struct HeartbeatNoted {
    /// The master's.
    pub epoch: Epoch,
}

/// See [`MasterHandlers::report_corrupt_chunks`].
#[derive(Debug, Serialize, Deserialize)]
pub struct ReportCorruptChunks {
    /// Who.
    pub node: NodeId,
    /// This start of it.
    pub boot: BootId,
    /// What does not verify there, at most 4,096 a message.
    pub chunks: Vec<ChunkId>,
}

/// They do not count as copies any more, and are replaced.
#[derive(Debug, Serialize, Deserialize)]
pub struct CorruptChunksNoted {}
