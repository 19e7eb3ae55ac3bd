//! What the master answers: the table, then each request next to its reply.
//!
//! Times named `…_ms` are milliseconds since 1970, UTC, for display only. Pages are bounded, and a reply never
//! grows with the cluster.

mod browse;
mod cluster;
mod downloads;
mod names;
mod nodes;
mod search;
mod shares;
mod uploads;
mod versions;

pub use browse::{
    BrowseCursor, BrowseFolder, BrowseOrder, BrowsePlace, CursorError, FolderBrowsed, OrderError,
    SortedBy,
};
pub use cluster::{
    ChunkCounts, ClusterRules, ClusterStatus, DeleteFuse, DeleteFuseReset, FormerVersionsKept,
    GetStatus, Health, LeaveSafeMode, ListNodes, NodeCounts, NodeRemoved, NodeState, NodeSummary,
    NodesListed, Problem, RemoveNode, RepairStatus, ResetDeleteFuse, SafeMode, SafeModeLeft,
    TrashKept,
};
pub use downloads::{
    BadReplicaNoted, ChunkLocations, ChunksLocated, FileOpened, LocateChunks, LocatedChunk,
    OpenFile, ReportBadReplica,
};
pub use names::{
    CreateFolder, DeleteEntry, EmptyTrash, Entry, EntryDeleted, EntryFound, EntryMoved,
    EntryRestored, FolderCreated, FolderListed, ListFolder, ListTrash, LookUpEntry, MoveEntry,
    Precondition, RestoreEntry, TrashEmptied, TrashEntry, TrashId, TrashListed,
};
pub use nodes::{
    CorruptChunksNoted, HeartbeatNoted, NodeRegistered, RegisterNode, ReportCorruptChunks,
    ReportHeartbeat,
};
pub use search::{FoundEntry, NamesFound, SearchCursor, SearchNames};
pub use shares::{
    CountDownload, CreateShare, DownloadCounted, FindShare, ListShares, PASSWORD_HASH_LEN_MAX,
    PasswordHash, RevokeShare, SHARES_MAX, Share, ShareCreated, ShareFound, ShareId, ShareRevoked,
    SharedEntry, SharesListed,
};
pub use uploads::{
    AbandonUpload, AllocateChunks, ChunkToStore, ChunksAllocated, ChunksRecorded, CommitUpload,
    CountStoredChunks, KeepUpload, LookUpUpload, NOTE_LEN_MAX, NodeLocation, Placement,
    RecordChunks, StoredChunk, StoredChunksCounted, UploadAbandoned, UploadCommitted, UploadFound,
    UploadKept, UploadPlan,
};
pub use versions::{
    FileVersion, ListVersions, RemoveVersion, RestoreVersion, VersionRemoved, VersionRestored,
    VersionsListed,
};

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
    /// Lists a folder, a page at a time, its folders before its files, in one of several orders.
    browse_folder: BrowseFolder => FolderBrowsed;
    /// Finds entries below a folder by words in their names, a page at a time.
    search_names: SearchNames => NamesFound;
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

    /// Lists a file's versions, the current one and a page of former ones.
    list_versions: ListVersions => VersionsListed;
    /// Makes a former version the current one, which becomes a former one: no chunk is touched.
    restore_version: RestoreVersion => VersionRestored;
    /// Removes a former version for good.
    remove_version: RemoveVersion => VersionRemoved;

    /// Shares a file or a folder with whoever has a token.
    create_share: CreateShare => ShareCreated;
    /// Lists the shares, a page at a time, newest first.
    list_shares: ListShares => SharesListed;
    /// Finds a share by its token, and where that which is shared is now.
    find_share: FindShare => ShareFound;
    /// Lets a download of a share begin, and counts it.
    count_download: CountDownload => DownloadCounted;
    /// Ends a share.
    revoke_share: RevokeShare => ShareRevoked;

    /// Opens an upload that is to outlive crashes of everybody, with what it is to become.
    keep_upload: KeepUpload => UploadKept;
    /// Says how far such an upload is, or what it became.
    look_up_upload: LookUpUpload => UploadFound;
    /// Says where chunks of an upload go, and keeps what it promises for the upload's lease.
    allocate_chunks: AllocateChunks => ChunksAllocated;
    /// Counts how many of a list of chunks, from its beginning on, the cluster has: they need not be sent.
    count_stored_chunks: CountStoredChunks => StoredChunksCounted;
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
    /// Lets as many copies be deleted as the fuse stopped.
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
/// Most names that one call of `search_names`, or of `browse_folder` for files by name, looks at: some tens of milliseconds.
pub const SEARCH_ROWS_MAX: u32 = 100_000;
/// Bytes of the longest text to look for.
pub const SEARCH_TEXT_LEN_MAX: usize = 1024;
/// Chunks in one block of a version: what `record_chunks` takes at once, and `locate_chunks` gives at most.
pub const CHUNKS_PER_BLOCK: usize = 512;
