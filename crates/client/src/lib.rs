//! The library through which everything else reaches a cluster: names at the master, bytes at the storage nodes.
//!
//! [`Cluster`] is the way in. [`Cluster::upload`] cuts a reader into chunks, has them stored by several nodes at once
//! and then gives them a name; [`Cluster::open`] and [`File::read`] fetch them back, verified and in order.
//! Memory is bounded by the chunks in flight, whatever the size of the file.
//!
//! **Invariant:** bytes that do not have the hash they should have are never delivered, and a stream that cannot be
//! finished ends with an error, never cleanly.

mod download;
mod error;
mod explain;
mod fetch;
mod hashing;
mod health;
mod late;
mod line;
mod master;
mod options;
mod passwords;
pub mod people;
mod shares;
mod upload;
mod versions;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proto::connection::CallerIdentity;
use proto::hello::{ClusterSecret, Role};
use proto::id::{ChunkId, NodeId, RequestId, UploadId, VersionId};
use proto::master::{
    AbandonUpload, BrowseCursor, BrowseFolder, BrowseOrder, ClusterRules, ClusterStatus,
    CreateFolder, DeleteEntry, EmptyTrash, Entry, FolderBrowsed, FolderListed, GetStatus,
    KeepUpload, LeaveSafeMode, ListFolder, ListNodes, ListTrash, LookUpEntry, LookUpUpload,
    MoveEntry, NamesFound, NodesListed, Precondition, RemoveNode, ReportBadReplica,
    ResetDeleteFuse, RestoreEntry, SEARCH_ROWS_MAX, SearchCursor, SearchNames, SortedBy, TrashId,
    TrashListed, UploadFound, UploadPlan,
};
use proto::name::{EntryName, EntryPath};
use proto::net::{Address, Network};
use proto::pool::{Pool, PoolOptions};
use proto::table::Operation;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::AsyncRead;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use download::{File, FileChunk};
pub use error::{Cause, Error};
pub use explain::{ExplainedChunk, ExplainedCopy};
pub use hashing::Hashing;
pub use options::ClientOptions;
pub use passwords::{PASSWORD_LEN_MAX, Password};
pub use shares::{NewShare, ShareOptions, ShareToken};
pub use upload::{Appended, OpenUpload, Progress, StillWanted, UploadOptions, Uploaded};

use health::Health;
use line::Line;
use master::Masters;

/// How long anything may go on that nobody waits for.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(5);
/// How many such things may go on before hints are left out.
const BACKGROUND_MAX: usize = 16;
/// Pages of folders by size or time that the master is asked for at once.
const SORTS_MAX: usize = 16;

/// A cluster, as a client sees it. Cheap to clone; all clones share connections and what they learnt of nodes.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

/// What all clones have in common.
struct Shared {
    masters: Masters,
    pool: Pool,
    health: Health,
    line: Arc<Line>,
    options: ClientOptions,
    /// Turns of pages that cost the master a look at a whole folder.
    sorts: Semaphore,
    random: Mutex<StdRng>,
    /// What the cluster was made with, once it is known.
    rules: Mutex<Option<ClusterRules>>,
    /// Last words to the master that nobody waits for.
    background: TaskTracker,
}

/// How an entry is deleted.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeleteOptions {
    /// A folder also when it has entries.
    pub recursive: bool,
    /// For good, without the trash.
    pub purge: bool,
    /// Only in this state.
    pub precondition: Precondition,
}

impl Cluster {
    /// A cluster with these masters, of which the first that answers is asked. Connects when it is first needed,
    /// and again whenever that is needed.
    pub fn new(
        network: Arc<dyn Network>,
        masters: Vec<Address>,
        secret: Option<ClusterSecret>,
        options: ClientOptions,
    ) -> Self {
        let identity = CallerIdentity {
            role: Role::Client,
            cluster: None,
            secret,
        };
        let pool = Pool::new(network, identity, PoolOptions::default());
        let random = match options.seed {
            Some(seed) => StdRng::seed_from_u64(seed),
            None => StdRng::from_rng(&mut rand::rng()),
        };
        let shared = Shared {
            masters: Masters::new(pool.clone(), masters, options.call_timeout),
            pool,
            health: Health::new(&options),
            line: Line::new(),
            options,
            sorts: Semaphore::new(SORTS_MAX),
            random: Mutex::new(random),
            rules: Mutex::new(None),
            background: TaskTracker::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// How the cluster does.
    pub async fn status(&self) -> Result<ClusterStatus, Error> {
        self.ask(|| GetStatus {}).await
    }

    /// The nodes, by id, a page at a time: those above `after`, at most `limit`.
    pub async fn nodes(&self, after: Option<NodeId>, limit: u32) -> Result<NodesListed, Error> {
        self.ask(|| ListNodes { after, limit }).await
    }

    /// The file or folder of this name.
    pub async fn entry(&self, path: &EntryPath) -> Result<Entry, Error> {
        let found = self.ask(|| LookUpEntry { path: path.clone() }).await?;
        Ok(found.entry)
    }

    /// A folder's entries by name, a page at a time: those above `after`, at most `limit`.
    pub async fn list(
        &self,
        path: &EntryPath,
        after: Option<EntryName>,
        limit: u32,
    ) -> Result<FolderListed, Error> {
        let request = || ListFolder {
            path: path.clone(),
            after: after.clone(),
            limit,
        };
        self.ask(request).await
    }

    /// A folder's entries, its folders before its files, both in this order, a page at a time: those behind `after`, at most
    /// `limit`. By name, from the first on, and without `after` it may begin in the middle, where names begin with `from`. Fewer
    /// may come, or none, although there is a `next`. By size or time, each page costs the master a look at all entries of the folder,
    /// and only a few are asked for at once: the others wait here, where they cost nothing once they are dropped. An entry whose size
    /// or time changes between two pages may be left out, or come twice.
    pub async fn browse(
        &self,
        path: &EntryPath,
        order: BrowseOrder,
        after: Option<BrowseCursor>,
        from: Option<EntryName>,
        limit: u32,
    ) -> Result<FolderBrowsed, Error> {
        let request = || BrowseFolder {
            path: path.clone(),
            order,
            after: after.clone(),
            from: from.clone(),
            limit,
            rows: SEARCH_ROWS_MAX,
        };
        let _turn = match order.by {
            SortedBy::Name => None,
            SortedBy::Size | SortedBy::Modified => {
                let turn = self.shared.sorts.acquire().await;
                Some(turn.expect("the semaphore is never closed"))
            }
        };
        self.ask(request).await
    }

    /// Entries in a folder, however deep, whose names have every word of the text, whatever their case: a page at a time,
    /// those behind `after`, at most `limit`. Fewer may come, or none, although there is a `next`: the master looks at a
    /// bounded number of names for one page.
    pub async fn search(
        &self,
        text: &str,
        under: &EntryPath,
        after: Option<SearchCursor>,
        limit: u32,
    ) -> Result<NamesFound, Error> {
        let request = || SearchNames {
            text: text.to_owned(),
            under: under.clone(),
            after: after.clone(),
            limit,
            rows: SEARCH_ROWS_MAX,
        };
        self.ask(request).await
    }

    /// Makes a folder; with `parents` also those above it, and then one that is there is fine. Says whether it was
    /// made now.
    pub async fn create_folder(&self, path: &EntryPath, parents: bool) -> Result<bool, Error> {
        let request = self.new_request();
        let created = self
            .ask(|| CreateFolder {
                request,
                path: path.clone(),
                parents,
            })
            .await?;
        Ok(created.created)
    }

    /// Renames or moves a file, or a folder with all that is in it. `to` is the new place with the new name. A file
    /// that is there is an error, unless `replace`, which moves it to the trash.
    pub async fn move_entry(
        &self,
        from: &EntryPath,
        to: &EntryPath,
        replace: bool,
    ) -> Result<Entry, Error> {
        let request = self.new_request();
        let moved = self
            .ask(|| MoveEntry {
                request,
                from: from.clone(),
                to: to.clone(),
                replace,
            })
            .await?;
        Ok(moved.entry)
    }

    /// Moves an entry to the trash and says where it is there, or removes it for good.
    pub async fn delete(
        &self,
        path: &EntryPath,
        options: DeleteOptions,
    ) -> Result<Option<TrashId>, Error> {
        let request = self.new_request();
        let deleted = self
            .ask(|| DeleteEntry {
                request,
                path: path.clone(),
                recursive: options.recursive,
                purge: options.purge,
                precondition: options.precondition,
            })
            .await?;
        Ok(deleted.trashed)
    }

    /// The trash, newest first, a page at a time: rows older than `before`, at most `limit`.
    pub async fn list_trash(
        &self,
        before: Option<TrashId>,
        limit: u32,
    ) -> Result<TrashListed, Error> {
        self.ask(|| ListTrash { before, limit }).await
    }

    /// Puts an entry of the trash back: to where it was, or to `to`. Says where it is now.
    pub async fn restore(
        &self,
        trash: TrashId,
        to: Option<&EntryPath>,
    ) -> Result<EntryPath, Error> {
        let request = self.new_request();
        let restored = self
            .ask(|| RestoreEntry {
                request,
                trash,
                to: to.cloned(),
            })
            .await?;
        Ok(restored.path)
    }

    /// Removes for good one row of the trash, or all of them.
    pub async fn empty_trash(&self, trash: Option<TrashId>) -> Result<(), Error> {
        let request = self.new_request();
        self.ask(|| EmptyTrash { request, trash }).await?;
        Ok(())
    }

    /// Lets repair and deletions begin although not all nodes have reported since the master's start.
    pub async fn leave_safe_mode(&self) -> Result<(), Error> {
        self.ask(|| LeaveSafeMode {}).await?;
        Ok(())
    }

    /// Lets as many copies be deleted as the fuse stopped.
    pub async fn reset_delete_fuse(&self) -> Result<(), Error> {
        self.ask(|| ResetDeleteFuse {}).await?;
        Ok(())
    }

    /// Forgets a node that is gone for good; with `lose_chunks` also when it holds the only copy of something.
    pub async fn remove_node(&self, node: NodeId, lose_chunks: bool) -> Result<(), Error> {
        self.ask(|| RemoveNode { node, lose_chunks }).await?;
        Ok(())
    }

    /// Stores all that `reader` gives as a file of this name, as a new version if there is one.
    ///
    /// When it returns, the bytes are durable on enough nodes, and the name at the master. When it fails, or is
    /// dropped, nothing is changed that anybody can see (with [`Error::TimedOut`] and [`Error::Unavailable`] the last step
    /// may have been done: the master may be gone since it was asked).
    pub async fn upload<R: AsyncRead + Send + Unpin>(
        &self,
        path: &EntryPath,
        reader: R,
        options: UploadOptions,
    ) -> Result<Uploaded, Error> {
        upload::upload(self, path, reader, options).await
    }

    /// Stores a file of `size` bytes that has the chunks with these ids, at most 512, as [`upload`](Self::upload) does: no bytes are sent.
    /// Nothing, and nothing is changed, where the cluster does not have all of them in enough copies, or cuts such a file in
    /// another number of chunks.
    pub async fn upload_stored(
        &self,
        path: &EntryPath,
        (size, chunks): (u64, &[ChunkId]),
        options: UploadOptions,
    ) -> Result<Option<Uploaded>, Error> {
        upload::upload_stored(self, path, (size, chunks), options).await
    }

    /// Opens an upload that others may go on with, by its id, in another process and days later; says how long it is kept if
    /// nothing comes. What a commit would refuse now is refused.
    pub async fn begin_upload(&self, plan: &UploadPlan) -> Result<(UploadId, Duration), Error> {
        let upload = UploadId::new(self.shared.new_uuid());
        let request = || KeepUpload {
            upload,
            plan: plan.clone(),
        };
        let kept = self.ask(request).await?;
        Ok((upload, Duration::from_millis(kept.kept_ms)))
    }

    /// How far such an upload is, or what became of it. Fails with [`Error::NotFound`] if it ended.
    pub async fn find_upload(&self, upload: UploadId) -> Result<UploadFound, Error> {
        let found = self.ask(|| LookUpUpload { upload }).await;
        found.map_err(Error::with_upload_gone)
    }

    /// Stores what `reader` gives behind what is recorded of such an upload, and commits the file if that was its end. When
    /// it fails, or is dropped, a part may have been recorded: [`find_upload`](Self::find_upload) says how much. Fails with
    /// [`Error::NotFound`] if the upload ended, or is not as far as `open` says.
    pub async fn append<R: AsyncRead + Send + Unpin>(
        &self,
        open: OpenUpload,
        reader: R,
    ) -> Result<Appended, Error> {
        let appended = upload::append(self, open, reader).await;
        appended.map_err(Error::with_upload_gone)
    }

    /// Adds to such an upload, behind what is recorded of it, the chunks with these ids, in the order of the file, up to the first that
    /// the cluster does not have, and commits the file if that was its end: no bytes are sent. Fails as
    /// [`append`](Self::append) does, and with [`Error::InvalidArgument`] if there are more than the file still has.
    pub async fn append_stored(
        &self,
        open: OpenUpload,
        chunks: &[ChunkId],
    ) -> Result<Appended, Error> {
        let appended = upload::append_stored(self, open, chunks).await;
        appended.map_err(Error::with_upload_gone)
    }

    /// Gives such an upload up: what it has sent is freed.
    pub async fn end_upload(&self, upload: UploadId) -> Result<(), Error> {
        self.ask(|| AbandonUpload { upload }).await?;
        Ok(())
    }

    /// Gives the content of a file another name as well, as an upload of it would, and its time if none is said: without
    /// fetching or sending bytes, but for those that the cluster does not have any more in enough copies. `size_hint` is not
    /// looked at.
    pub async fn copy(
        &self,
        from: &EntryPath,
        to: &EntryPath,
        options: UploadOptions,
    ) -> Result<Uploaded, Error> {
        if from == to {
            let message = format!("{from} cannot be its own copy: give that another name");
            return Err(Error::InvalidArgument { message });
        }
        let file = self.open(from, None).await?;
        upload::copy(self, file, to, options).await
    }

    /// Finds a file in its current version, or in a former one, to be read.
    pub async fn open(&self, path: &EntryPath, version: Option<VersionId>) -> Result<File, Error> {
        download::open(self, path, version).await
    }

    /// Where the chunks of a version are, from the `first` on, at most `limit` and at most 512, as the master has recorded
    /// it: the nodes are not asked. Nothing is left at the end.
    pub async fn recorded_chunks(
        &self,
        version: VersionId,
        first: u64,
        limit: u32,
    ) -> Result<Vec<ExplainedChunk>, Error> {
        explain::recorded(self, version, first, limit).await
    }

    /// Waits until what was begun in the background is done (uploads that were given up are being told to the
    /// master), a few seconds at most. A process that is about to end calls this first.
    pub async fn settle(&self) {
        let background = &self.shared.background;
        background.close();
        if timeout(BACKGROUND_TIMEOUT, background.wait())
            .await
            .is_err()
        {
            tracing::debug!("some last words to the master were not said");
        }
        background.reopen();
    }

    async fn ask<O: Operation>(
        &self,
        request: impl Fn() -> O + Send + Sync,
    ) -> Result<O::Reply, Error> {
        let retry_for = self.shared.options.call_retry_for;
        self.shared.masters.call(retry_for, request).await
    }

    fn new_request(&self) -> RequestId {
        RequestId::new(self.shared.new_uuid())
    }
}

impl Shared {
    /// What the cluster was made with: asked once.
    async fn rules(&self) -> Result<ClusterRules, Error> {
        if let Some(rules) = *self.rules.lock() {
            return Ok(rules);
        }
        let retry_for = self.options.call_retry_for;
        let status = self.masters.call(retry_for, || GetStatus {}).await?;
        *self.rules.lock() = Some(status.rules);
        Ok(status.rules)
    }

    fn forget_rules(&self) {
        *self.rules.lock() = None;
    }

    /// Tells the master, which looks into it. A hint: nobody waits for it, and among many some are left out.
    fn report_bad_replica(self: &Arc<Self>, chunk: ChunkId, node: NodeId) {
        if self.background.len() >= BACKGROUND_MAX {
            return;
        }
        self.in_background(async move |shared| {
            let request = || ReportBadReplica { chunk, node };
            let reported = shared.masters.call(Duration::ZERO, request).await;
            if let Err(error) = reported {
                tracing::debug!(%chunk, %node, %error, "could not report a bad copy");
            }
        });
    }

    /// Runs this for a bounded time, whatever becomes of the caller. Outside of a runtime it is not run at all.
    fn in_background<F>(self: &Arc<Self>, work: impl FnOnce(Arc<Self>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let work = timeout(BACKGROUND_TIMEOUT, work(self.clone()));
            self.background.spawn_on(work, &runtime);
        }
    }

    fn new_uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.random.lock().fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({:?})", self.masters)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}
