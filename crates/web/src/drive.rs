//! What the routes need of the storage side: [`Drive`], which the cluster is, and a test's double can be.
//!
//! It has no rules of its own: every method is one of [`client::Cluster`], with its errors.

mod drafts;
mod past;
mod shares;

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use client::{Cluster, DeleteOptions, Error, UploadOptions, Uploaded};
use futures::StreamExt;
use futures::stream::BoxStream;
use proto::id::{ChunkId, NodeId, VersionId};
use proto::master::{
    BrowseCursor, BrowseOrder, ClusterStatus, Entry, FolderBrowsed, FolderListed, NamesFound,
    NodesListed, SearchCursor, TrashId,
};
use proto::name::{EntryName, EntryPath};
use proto::net::{ByteSource, Pending};

pub use drafts::Drafts;
pub use past::Past;
pub use shares::Shares;

/// Keeps files.
pub trait Drive: Drafts + Past + Shares + fmt::Debug + Send + Sync + 'static {
    /// How it does.
    fn status(&self) -> Pending<'_, Result<ClusterStatus, Error>>;

    /// Its nodes, a page at a time.
    fn nodes(&self, after: Option<NodeId>, limit: u32) -> Pending<'_, Result<NodesListed, Error>>;

    /// The file or folder of this name.
    fn entry<'a>(&'a self, path: &'a EntryPath) -> Pending<'a, Result<Entry, Error>>;

    /// A folder's entries, a page at a time.
    fn list<'a>(
        &'a self,
        path: &'a EntryPath,
        after: Option<EntryName>,
        limit: u32,
    ) -> Pending<'a, Result<FolderListed, Error>>;

    /// A folder's entries, folders first, in this order, a page at a time.
    fn browse<'a>(
        &'a self,
        path: &'a EntryPath,
        order: BrowseOrder,
        after: Option<BrowseCursor>,
        from: Option<EntryName>,
        limit: u32,
    ) -> Pending<'a, Result<FolderBrowsed, Error>>;

    /// Entries below a folder whose names have every word of the text, a page at a time.
    fn search<'a>(
        &'a self,
        text: &'a str,
        under: &'a EntryPath,
        after: Option<SearchCursor>,
        limit: u32,
    ) -> Pending<'a, Result<NamesFound, Error>>;

    /// Makes a folder; says whether it was made now.
    fn create_folder<'a>(
        &'a self,
        path: &'a EntryPath,
        parents: bool,
    ) -> Pending<'a, Result<bool, Error>>;

    /// Renames or moves an entry.
    fn move_entry<'a>(
        &'a self,
        from: &'a EntryPath,
        to: &'a EntryPath,
        replace: bool,
    ) -> Pending<'a, Result<Entry, Error>>;

    /// Deletes an entry; says where it is in the trash, if it is there.
    fn delete<'a>(
        &'a self,
        path: &'a EntryPath,
        options: DeleteOptions,
    ) -> Pending<'a, Result<Option<TrashId>, Error>>;

    /// Stores all that `reader` gives under this name. Fails, or is dropped: nothing is changed.
    fn upload<'a>(
        &'a self,
        path: &'a EntryPath,
        reader: ByteSource,
        options: UploadOptions,
    ) -> Pending<'a, Result<Uploaded, Error>>;

    /// Stores a file of so many bytes that has these chunks; nothing, and nothing is changed, where not all of them are here.
    fn upload_stored<'a>(
        &'a self,
        path: &'a EntryPath,
        content: (u64, &'a [ChunkId]),
        options: UploadOptions,
    ) -> Pending<'a, Result<Option<Uploaded>, Error>>;

    /// Gives the content of a file another name as well.
    fn copy<'a>(
        &'a self,
        from: &'a EntryPath,
        to: &'a EntryPath,
        options: UploadOptions,
    ) -> Pending<'a, Result<Uploaded, Error>>;

    /// Finds a file in its current version, or in a former one.
    fn open<'a>(
        &'a self,
        path: &'a EntryPath,
        version: Option<VersionId>,
    ) -> Pending<'a, Result<OpenFile, Error>>;
}

/// A file's bytes, in order; an error ends them.
pub type Content = BoxStream<'static, Result<Bytes, Error>>;

/// One version of a file, ready to be read.
pub struct OpenFile {
    /// The version.
    pub version: VersionId,
    /// Bytes.
    pub size: u64,
    /// When the content was last changed, in milliseconds since 1970, UTC.
    pub modified_ms: u64,
    /// Bytes of each chunk but the last. What is read of a chunk keeps all of it in memory.
    pub chunk_size: u64,
    /// Bytes that a read of it fetches ahead at most.
    pub read_ahead: u64,
    /// Reads a part of it, fetching no more bytes ahead than the second says, and one chunk at least.
    pub read: Box<dyn FnOnce(Range<u64>, u64) -> Content + Send>,
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFile")
            .field("version", &self.version)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Drive for Cluster {
    fn status(&self) -> Pending<'_, Result<ClusterStatus, Error>> {
        Box::pin(self.status())
    }

    fn nodes(&self, after: Option<NodeId>, limit: u32) -> Pending<'_, Result<NodesListed, Error>> {
        Box::pin(self.nodes(after, limit))
    }

    fn entry<'a>(&'a self, path: &'a EntryPath) -> Pending<'a, Result<Entry, Error>> {
        Box::pin(self.entry(path))
    }

    fn list<'a>(
        &'a self,
        path: &'a EntryPath,
        after: Option<EntryName>,
        limit: u32,
    ) -> Pending<'a, Result<FolderListed, Error>> {
        Box::pin(self.list(path, after, limit))
    }

    fn browse<'a>(
        &'a self,
        path: &'a EntryPath,
        order: BrowseOrder,
        after: Option<BrowseCursor>,
        from: Option<EntryName>,
        limit: u32,
    ) -> Pending<'a, Result<FolderBrowsed, Error>> {
        Box::pin(self.browse(path, order, after, from, limit))
    }

    fn search<'a>(
        &'a self,
        text: &'a str,
        under: &'a EntryPath,
        after: Option<SearchCursor>,
        limit: u32,
    ) -> Pending<'a, Result<NamesFound, Error>> {
        Box::pin(self.search(text, under, after, limit))
    }

    fn create_folder<'a>(
        &'a self,
        path: &'a EntryPath,
        parents: bool,
    ) -> Pending<'a, Result<bool, Error>> {
        Box::pin(self.create_folder(path, parents))
    }

    fn move_entry<'a>(
        &'a self,
        from: &'a EntryPath,
        to: &'a EntryPath,
        replace: bool,
    ) -> Pending<'a, Result<Entry, Error>> {
        Box::pin(self.move_entry(from, to, replace))
    }

    fn delete<'a>(
        &'a self,
        path: &'a EntryPath,
        options: DeleteOptions,
    ) -> Pending<'a, Result<Option<TrashId>, Error>> {
        Box::pin(self.delete(path, options))
    }

    fn upload<'a>(
        &'a self,
        path: &'a EntryPath,
        reader: ByteSource,
        options: UploadOptions,
    ) -> Pending<'a, Result<Uploaded, Error>> {
        Box::pin(self.upload(path, reader, options))
    }

    fn upload_stored<'a>(
        &'a self,
        path: &'a EntryPath,
        content: (u64, &'a [ChunkId]),
        options: UploadOptions,
    ) -> Pending<'a, Result<Option<Uploaded>, Error>> {
        Box::pin(self.upload_stored(path, content, options))
    }

    fn copy<'a>(
        &'a self,
        from: &'a EntryPath,
        to: &'a EntryPath,
        options: UploadOptions,
    ) -> Pending<'a, Result<Uploaded, Error>> {
        Box::pin(self.copy(from, to, options))
    }

    fn open<'a>(
        &'a self,
        path: &'a EntryPath,
        version: Option<VersionId>,
    ) -> Pending<'a, Result<OpenFile, Error>> {
        Box::pin(async move {
            let file = self.open(path, version).await?;
            Ok(OpenFile {
                version: file.version,
                size: file.size,
                modified_ms: file.modified_ms,
                chunk_size: file.chunk_size(),
                read_ahead: file.read_ahead(),
                read: Box::new(move |range, ahead| file.read_within(range, ahead).boxed()),
            })
        })
    }
}
