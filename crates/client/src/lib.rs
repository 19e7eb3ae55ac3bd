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
mod hashing;
mod master;
mod options;
mod upload;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use proto::hello::ClusterSecret;
use proto::id::{NodeId, RequestId, VersionId};
use proto::master::{
    ClusterStatus, CreateFolder, DeleteEntry, EmptyTrash, Entry, FolderListed, GetStatus,
    LeaveSafeMode, ListFolder, ListNodes, ListTrash, LookUpEntry, MoveEntry, NodesListed,
    Precondition, RemoveNode, ResetDeleteFuse, RestoreEntry, TrashId, TrashListed,
};
use proto::name::{EntryName, EntryPath};
use proto::net::{Address, Network};
use proto::table::Operation;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::AsyncRead;
use uuid::Uuid;

pub use download::File;
pub use error::{Cause, Error};
pub use explain::{ExplainedChunk, ExplainedCopy};
pub use hashing::Hashing;
pub use options::ClientOptions;
pub use upload::{Progress, UploadOptions, Uploaded};

use master::Masters;

/// A cluster, as a client sees it. Cheap to clone; all clones share connections and what they learnt of nodes.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    masters: Masters,
    options: ClientOptions,
    random: Mutex<StdRng>,
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
        let masters = Masters::new(network, masters, secret, &options);
        let random = match options.seed {
            Some(seed) => StdRng::seed_from_u64(seed),
            None => StdRng::from_rng(&mut rand::rng()),
        };
        let shared = Shared {
            masters,
            options,
            random: Mutex::new(random),
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

    /// Lets the deletions go on that the fuse stopped.
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
    /// dropped, nothing is changed that anybody can see (with [`Error::TimedOut`] the last step may have been done).
    pub async fn upload<R: AsyncRead + Send + Unpin>(
        &self,
        path: &EntryPath,
        reader: R,
        options: UploadOptions,
    ) -> Result<Uploaded, Error> {
        upload::upload(self, path, reader, options).await
    }

    /// Finds a file in its current version, or in a former one, to be read.
    pub async fn open(&self, path: &EntryPath, version: Option<VersionId>) -> Result<File, Error> {
        download::open(self, path, version).await
    }

    /// Where chunks of a file are, from the `first` on (counted from 0), at most `limit` and at most 512; with what the
    /// nodes say of them.
    pub async fn explain(
        &self,
        path: &EntryPath,
        first: u64,
        limit: u32,
    ) -> Result<Vec<ExplainedChunk>, Error> {
        explain::explain(self, path, first, limit).await
    }

    async fn ask<O: Operation>(&self, request: impl Fn() -> O + Send) -> Result<O::Reply, Error> {
        let retry_for = self.shared.options.call_retry_for;
        self.shared.masters.call(retry_for, request).await
    }

    fn new_request(&self) -> RequestId {
        RequestId::new(self.shared.new_uuid())
    }
}

impl Shared {
    fn new_uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        // A panic elsewhere leaves random numbers as random as they were.
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("masters", &self.shared.masters)
            .finish_non_exhaustive()
    }
}
