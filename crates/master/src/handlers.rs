//! What the master answers: wire type, one call, wire type.
//!
//! The requests of clients are answered from the state (`handlers/names.rs`, `uploads.rs`, `downloads.rs`); those of nodes
//! and of operators by whoever keeps the cluster together, see [`ControlHandlers`].
//!
//! Point reads are done in place: they touch a few pages, which are in memory as a rule. Pages of many rows, and the rows
//! of many chunks, which lie anywhere in the store, go through [`Blocking`]. No snapshot is ever held while something is awaited.

mod admission;
mod control;
mod downloads;
mod names;
mod shares;
mod sorts;
mod uploads;
mod versions;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use disk::Blocking;
use proto::id::ChunkId;
use proto::master::{
    AbandonUpload, AllocateChunks, BadReplicaNoted, BrowseFolder, ChunksAllocated, ChunksLocated,
    ChunksRecorded, ClusterStatus, CommitUpload, CorruptChunksNoted, CountDownload,
    CountStoredChunks, CreateFolder, CreateShare, DeleteEntry, DeleteFuseReset, DownloadCounted,
    EmptyTrash, EntryDeleted, EntryFound, EntryMoved, EntryRestored, FileOpened, FindShare,
    FolderBrowsed, FolderCreated, FolderListed, GetStatus, HeartbeatNoted, KeepUpload,
    LeaveSafeMode, ListFolder, ListNodes, ListShares, ListTrash, ListVersions, LocateChunks,
    LookUpEntry, LookUpUpload, MasterHandlers, MoveEntry, NamesFound, NodeLocation, NodeRegistered,
    NodeRemoved, NodesListed, OpenFile, RecordChunks, RegisterNode, RemoveNode, RemoveVersion,
    ReportBadReplica, ReportCorruptChunks, ReportHeartbeat, ResetDeleteFuse, RestoreEntry,
    RestoreVersion, RevokeShare, SafeModeLeft, SearchNames, ShareCreated, ShareFound, ShareRevoked,
    SharesListed, StoredChunksCounted, TrashEmptied, TrashListed, UploadAbandoned, UploadCommitted,
    UploadFound, UploadKept, VersionRemoved, VersionRestored, VersionsListed,
};
use proto::table::Caller;
use proto::{ErrorCode, WireError};
use rand::rngs::StdRng;
use threads::Mutex;

use crate::command::NodeNumber;
use crate::commit::Committer;
use crate::membership::Placeable;
use crate::state::{Outcome, State};

pub use sorts::Sorts;

/// Chunks whose rows are read in place.
const CHUNKS_IN_PLACE_MAX: usize = 8;

/// Who is there, as uploads and downloads need to know it.
pub trait ClusterView: fmt::Debug + Send + Sync + 'static {
    /// The nodes that take new chunks, and those on whose recorded copies nobody can rely.
    fn placeable(&self) -> Arc<Placeable>;
    /// Whether a node's heartbeats come.
    fn is_live(&self, node: NodeNumber) -> bool;
    /// Whether nothing may be deleted now.
    fn deletions_wait(&self) -> bool;
    /// Where a node is reached; nothing if it is not known.
    fn location(&self, node: NodeNumber) -> Option<NodeLocation>;
    /// An upload was refused because it can do without none of these, and they took nothing from it. Never waits.
    fn writes_refused(&self, nodes: &[NodeNumber]);
    /// Chunks were recorded with fewer copies than wanted: repair should look at them. Never waits.
    fn copies_missing(&self, chunks: Vec<ChunkId>);
}

/// Answers about the cluster itself: from nodes, about nodes, and to those who run it.
pub trait ControlHandlers: Send + Sync + 'static {
    /// See [`MasterHandlers::report_bad_replica`].
    fn report_bad_replica(
        &self,
        caller: &Caller,
        request: ReportBadReplica,
    ) -> impl Future<Output = Result<BadReplicaNoted, WireError>> + Send;
    /// See [`MasterHandlers::get_status`].
    fn get_status(
        &self,
        caller: &Caller,
        request: GetStatus,
    ) -> impl Future<Output = Result<ClusterStatus, WireError>> + Send;
    /// See [`MasterHandlers::list_nodes`].
    fn list_nodes(
        &self,
        caller: &Caller,
        request: ListNodes,
    ) -> impl Future<Output = Result<NodesListed, WireError>> + Send;
    /// See [`MasterHandlers::leave_safe_mode`].
    fn leave_safe_mode(
        &self,
        caller: &Caller,
        request: LeaveSafeMode,
    ) -> impl Future<Output = Result<SafeModeLeft, WireError>> + Send;
    /// See [`MasterHandlers::reset_delete_fuse`].
    fn reset_delete_fuse(
        &self,
        caller: &Caller,
        request: ResetDeleteFuse,
    ) -> impl Future<Output = Result<DeleteFuseReset, WireError>> + Send;
    /// See [`MasterHandlers::remove_node`].
    fn remove_node(
        &self,
        caller: &Caller,
        request: RemoveNode,
    ) -> impl Future<Output = Result<NodeRemoved, WireError>> + Send;
    /// See [`MasterHandlers::register_node`].
    fn register_node(
        &self,
        caller: &Caller,
        request: RegisterNode,
    ) -> impl Future<Output = Result<NodeRegistered, WireError>> + Send;
    /// See [`MasterHandlers::report_heartbeat`].
    fn report_heartbeat(
        &self,
        caller: &Caller,
        request: ReportHeartbeat,
    ) -> impl Future<Output = Result<HeartbeatNoted, WireError>> + Send;
    /// See [`MasterHandlers::report_corrupt_chunks`].
    fn report_corrupt_chunks(
        &self,
        caller: &Caller,
        request: ReportCorruptChunks,
    ) -> impl Future<Output = Result<CorruptChunksNoted, WireError>> + Send;
    /// The connection is gone.
    fn disconnected(&self, caller: &Caller);
}

/// Answers what is about names, uploads and downloads.
///
/// Clones share everything.
#[derive(Debug)]
pub struct Files<V> {
    /// What is read.
    pub state: Arc<State>,
    /// What is changed goes here.
    pub committer: Committer,
    /// Who is there.
    pub cluster: Arc<V>,
    /// Where pages are read.
    pub blocking: Blocking,
    /// Whose turn it is to look at all entries of a large folder.
    pub sorts: Sorts,
    /// How long an upload may be silent.
    pub upload_lease: Duration,
    /// How long an upload that outlives crashes is kept from its beginning.
    pub resumable_upload_retention: Duration,
    /// Chance, for placement and for the ids of promises: nobody can foretell it.
    pub chance: Arc<Mutex<StdRng>>,
}

impl<V> Clone for Files<V> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            committer: self.committer.clone(),
            cluster: self.cluster.clone(),
            blocking: self.blocking,
            sorts: self.sorts.clone(),
            upload_lease: self.upload_lease,
            resumable_upload_retention: self.resumable_upload_retention,
            chance: self.chance.clone(),
        }
    }
}

impl<V: ClusterView> Files<V> {
    /// Reads the rows of so many chunks: a few in place, many where blocking work runs, since each may be a seek.
    async fn read_chunks<T: Send + 'static>(
        &self,
        chunks: usize,
        read: impl FnOnce(&Self) -> Result<T, WireError> + Send + 'static,
    ) -> Result<T, WireError> {
        if chunks <= CHUNKS_IN_PLACE_MAX {
            return read(self);
        }
        let files = self.clone();
        self.blocking.run(move || read(&files)).await
    }
}

/// Answers everything.
#[derive(Debug)]
pub struct Master<C> {
    /// Names, uploads, downloads.
    pub files: Files<C>,
    /// The rest.
    pub control: Arc<C>,
}

macro_rules! answered_by {
    ($($part:ident { $($method:ident: $request:ident => $reply:ident;)* })*) => {
        impl<C: ClusterView + ControlHandlers> MasterHandlers for Master<C> {
            $($(
                async fn $method(
                    &self,
                    caller: &Caller,
                    request: $request,
                ) -> Result<$reply, WireError> {
                    self.$part.$method(caller, request).await
                }
            )*)*

            fn disconnected(&self, caller: &Caller) {
                self.control.disconnected(caller);
            }
        }
    };
}

answered_by! {
    files {
        look_up_entry: LookUpEntry => EntryFound;
        list_folder: ListFolder => FolderListed;
        browse_folder: BrowseFolder => FolderBrowsed;
        search_names: SearchNames => NamesFound;
        create_folder: CreateFolder => FolderCreated;
        move_entry: MoveEntry => EntryMoved;
        delete_entry: DeleteEntry => EntryDeleted;
        list_trash: ListTrash => TrashListed;
        restore_entry: RestoreEntry => EntryRestored;
        empty_trash: EmptyTrash => TrashEmptied;
        list_versions: ListVersions => VersionsListed;
        restore_version: RestoreVersion => VersionRestored;
        remove_version: RemoveVersion => VersionRemoved;
        create_share: CreateShare => ShareCreated;
        list_shares: ListShares => SharesListed;
        find_share: FindShare => ShareFound;
        count_download: CountDownload => DownloadCounted;
        revoke_share: RevokeShare => ShareRevoked;
        keep_upload: KeepUpload => UploadKept;
        look_up_upload: LookUpUpload => UploadFound;
        allocate_chunks: AllocateChunks => ChunksAllocated;
        count_stored_chunks: CountStoredChunks => StoredChunksCounted;
        record_chunks: RecordChunks => ChunksRecorded;
        commit_upload: CommitUpload => UploadCommitted;
        abandon_upload: AbandonUpload => UploadAbandoned;
        open_file: OpenFile => FileOpened;
        locate_chunks: LocateChunks => ChunksLocated;
    }
    control {
        report_bad_replica: ReportBadReplica => BadReplicaNoted;
        get_status: GetStatus => ClusterStatus;
        list_nodes: ListNodes => NodesListed;
        leave_safe_mode: LeaveSafeMode => SafeModeLeft;
        reset_delete_fuse: ResetDeleteFuse => DeleteFuseReset;
        remove_node: RemoveNode => NodeRemoved;
        register_node: RegisterNode => NodeRegistered;
        report_heartbeat: ReportHeartbeat => HeartbeatNoted;
        report_corrupt_chunks: ReportCorruptChunks => CorruptChunksNoted;
    }
}

/// A command was answered with another command's outcome.
fn unexpected(outcome: &Outcome) -> WireError {
    tracing::error!(?outcome, "a command had an outcome of another kind");
    WireError::new(
        ErrorCode::Internal,
        "the master made a mistake; its log says more",
    )
}

#[cfg(test)]
mod tests;
