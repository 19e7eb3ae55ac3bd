//! A drive that keeps everything in memory: for tests, and to work on the page without a cluster
//! (`cargo run -p web --example page`). It answers as a cluster does, and fails where it is told to.

mod browse;
mod cluster;
mod content;
mod drafts;
mod faults;
mod past;
mod search;
mod shares;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use client::{DeleteOptions, Error, UploadOptions, Uploaded};
use parking_lot::{Mutex, MutexGuard};
use proto::connection::CallError;
use proto::id::{ChunkId, NodeId, UploadId, VersionId};
use proto::master::{
    BrowseCursor, BrowseOrder, ClusterStatus, Entry, FolderBrowsed, FolderListed, NamesFound,
    NodesListed, Precondition, SearchCursor, TrashId,
};
use proto::name::{EntryName, EntryPath};
use proto::net::{ByteSource, Pending};
use tokio::io::AsyncReadExt;

use crate::drive::{Drive, OpenFile};
use cluster::{nodes, status};
use content::{CHUNK_LEN, FileBytes, open};
use drafts::Draft;
pub use faults::{Faults, Hold};
use past::Trashed;
use shares::Shared;

/// The drive. Clones share what is kept.
#[derive(Debug, Clone, Default)]
pub struct MemoryDrive {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: BTreeMap<EntryPath, Node>,
    versions: BTreeMap<VersionId, Version>,
    last_version: u64,
    trash: BTreeMap<u64, Trashed>,
    trashed: u64,
    shares: BTreeMap<u64, Shared>,
    last_share: u64,
    drafts: BTreeMap<UploadId, Draft>,
    last_draft: u128,
    faults: Faults,
}

#[derive(Debug, Clone)]
enum Node {
    Folder { modified_ms: u64 },
    File(Version),
}

#[derive(Debug, Clone)]
struct Version {
    id: VersionId,
    /// The first version of its file.
    file: VersionId,
    committed_ms: u64,
    bytes: FileBytes,
    modified_ms: u64,
}

impl MemoryDrive {
    /// From now on, this is wrong with it.
    pub fn set_faults(&self, faults: Faults) {
        self.kept.lock().faults = faults;
    }

    /// Keeps a file, with missing folders, as an upload of it would.
    pub fn put(&self, path: &EntryPath, bytes: Bytes, modified_ms: u64) {
        let bytes = FileBytes::Given(bytes);
        self.kept.lock().store(path, bytes, modified_ms);
    }

    /// Keeps a file of so many zeros, which may be more than there is memory.
    pub fn put_zeros(&self, path: &EntryPath, len: u64) {
        let zeros = FileBytes::Zeros(len);
        self.kept.lock().store(path, zeros, now_ms());
    }

    /// Where whoever looks at a path may be held.
    async fn pass_looks(&self) {
        let hold = self.kept.lock().faults.looks_held.clone();
        if let Some(hold) = hold {
            hold.pass().await;
        }
    }

    fn reached(&self) -> Result<MutexGuard<'_, Kept>, Error> {
        let kept = self.kept.lock();
        if kept.faults.unreachable {
            return Err(Error::Unavailable {
                what: "the master cannot be reached".into(),
                source: Some(refused().into()),
            });
        }
        Ok(kept)
    }
}

/// What a caller is told by a system on which nobody listens.
fn refused() -> CallError {
    CallError::Unreachable {
        address: "127.0.0.1:9000".parse().expect("it is an address"),
        source: io::ErrorKind::ConnectionRefused.into(),
    }
}

impl Kept {
    fn find(&self, path: &EntryPath) -> Result<Node, Error> {
        if path.is_root() {
            return Ok(Node::Folder { modified_ms: 0 });
        }
        self.entries
            .get(path)
            .cloned()
            .ok_or_else(|| Error::NotFound {
                message: format!("there is no {path}"),
            })
    }

    fn upload(
        &mut self,
        path: &EntryPath,
        bytes: FileBytes,
        options: &UploadOptions,
    ) -> Result<Uploaded, Error> {
        self.check(path, options.precondition)?;
        if let (Some((parent, _)), false) = (path.split_last(), options.parents) {
            self.find(&parent)?;
        }
        let created = !self.entries.contains_key(path);
        let size = bytes.len();
        let modified_ms = options.modified_ms.unwrap_or_else(now_ms);
        Ok(Uploaded {
            version: self.store(path, bytes, modified_ms),
            size,
            created,
            copies: if self.faults.node_down { 2 } else { 3 },
            copies_wanted: 3,
        })
    }

    fn store(&mut self, path: &EntryPath, bytes: FileBytes, modified_ms: u64) -> VersionId {
        self.make_parents(path);
        self.last_version += 1;
        let version = VersionId(self.last_version);
        let file = match self.entries.get(path) {
            Some(Node::File(before)) => before.file,
            _ => version,
        };
        let file = Version {
            id: version,
            file,
            committed_ms: now_ms(),
            bytes,
            modified_ms,
        };
        self.versions.insert(version, file.clone());
        self.entries.insert(path.clone(), Node::File(file));
        version
    }

    /// All chunks that are here, also those of former versions.
    fn chunks(&self) -> HashMap<ChunkId, Bytes> {
        let versions = self.versions.values();
        versions
            .flat_map(|version| version.bytes.chunks())
            .collect()
    }

    /// A file of these chunks, if all of them are here.
    fn assembled(&self, size: u64, chunks: &[ChunkId]) -> Option<FileBytes> {
        let kept = self.chunks();
        let found = chunks.iter().map(|chunk| kept.get(chunk).cloned());
        let bytes = found.collect::<Option<Vec<Bytes>>>()?.concat();
        let cut = bytes.chunks(CHUNK_LEN).map(ChunkId::of);
        let fits = bytes.len() as u64 == size && cut.eq(chunks.iter().copied());
        fits.then(|| FileBytes::Given(bytes.into()))
    }

    fn make_parents(&mut self, path: &EntryPath) {
        let mut at = path.clone();
        while let Some((parent, _)) = at.split_last() {
            let folder = Node::Folder {
                modified_ms: now_ms(),
            };
            if !parent.is_root() {
                self.entries.entry(parent.clone()).or_insert(folder);
            }
            at = parent;
        }
    }

    fn check(&self, path: &EntryPath, precondition: Precondition) -> Result<(), Error> {
        let version = match self.entries.get(path) {
            Some(Node::Folder { .. }) => {
                return Err(Error::IsAFolder {
                    message: format!("{path} is a folder"),
                });
            }
            Some(Node::File(file)) => Some(file.id),
            None => None,
        };
        let holds = match precondition {
            Precondition::Any => true,
            Precondition::Absent => version.is_none(),
            Precondition::Present => version.is_some(),
            Precondition::Version(wanted) => version == Some(wanted),
        };
        if holds {
            return Ok(());
        }
        Err(Error::PreconditionFailed {
            message: format!("{path} is in version {version:?}"),
        })
    }

    fn list(
        &self,
        path: &EntryPath,
        after: Option<&EntryName>,
        limit: u32,
    ) -> Result<FolderListed, Error> {
        if let Node::File(_) = self.find(path)? {
            return Err(Error::NotAFolder {
                message: format!("{path} is a file"),
            });
        }
        let start = after.and_then(|after| path.join(after.clone()).ok());
        let mut entries: Vec<Entry> = self
            .children_from(start.as_ref().unwrap_or(path), path)
            .filter(|(name, _)| after.is_none_or(|after| *name > after))
            .map(|(name, node)| entry(Some(name), node))
            .take(limit as usize + 1)
            .collect();
        let more = entries.len() > limit as usize;
        entries.truncate(limit as usize);
        Ok(FolderListed { entries, more })
    }

    fn children<'a>(
        &'a self,
        folder: &'a EntryPath,
    ) -> impl Iterator<Item = (&'a EntryName, &'a Node)> {
        self.children_from(folder, folder)
    }

    /// Those of a folder that stand behind `start`, which is the folder or in it.
    fn children_from<'a>(
        &'a self,
        start: &EntryPath,
        folder: &'a EntryPath,
    ) -> impl Iterator<Item = (&'a EntryName, &'a Node)> {
        let behind = self.entries.range(start..);
        let within = behind.take_while(|(path, _)| path.is_within(folder));
        within.filter_map(|(path, node)| {
            let is_child = path.names().len() == folder.names().len() + 1;
            is_child.then(|| Some((path.name()?, node)))?
        })
    }
}

fn entry(name: Option<&EntryName>, node: &Node) -> Entry {
    match (node, name) {
        (Node::File(file), Some(name)) => Entry::File {
            name: name.clone(),
            size: file.bytes.len(),
            modified_ms: file.modified_ms,
            version: file.id,
        },
        (Node::File(Version { modified_ms, .. }) | Node::Folder { modified_ms }, name) => {
            Entry::Folder {
                name: name.cloned(),
                modified_ms: *modified_ms,
            }
        }
    }
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}

/// An answer that is there at once.
fn now<'a, T: Send + 'a>(answer: T) -> Pending<'a, T> {
    Box::pin(async move { answer })
}

impl Drive for MemoryDrive {
    fn status(&self) -> Pending<'_, Result<ClusterStatus, Error>> {
        now(self.reached().map(|kept| status(&kept)))
    }

    fn nodes(&self, _: Option<NodeId>, _: u32) -> Pending<'_, Result<NodesListed, Error>> {
        now(self.reached().map(|kept| NodesListed {
            nodes: nodes(&kept.faults),
            more: false,
        }))
    }

    fn entry<'a>(&'a self, path: &'a EntryPath) -> Pending<'a, Result<Entry, Error>> {
        Box::pin(async move {
            self.pass_looks().await;
            let found = self.reached()?.find(path);
            found.map(|node| entry(path.name(), &node))
        })
    }

    fn list<'a>(
        &'a self,
        path: &'a EntryPath,
        after: Option<EntryName>,
        limit: u32,
    ) -> Pending<'a, Result<FolderListed, Error>> {
        Box::pin(async move {
            self.pass_looks().await;
            self.reached()?.list(path, after.as_ref(), limit)
        })
    }

    fn browse<'a>(
        &'a self,
        path: &'a EntryPath,
        order: BrowseOrder,
        after: Option<BrowseCursor>,
        from: Option<EntryName>,
        limit: u32,
    ) -> Pending<'a, Result<FolderBrowsed, Error>> {
        let kept = self.reached();
        now(kept.and_then(|kept| kept.browse(path, order, after.as_ref(), from.as_ref(), limit)))
    }

    fn search<'a>(
        &'a self,
        text: &'a str,
        under: &'a EntryPath,
        after: Option<SearchCursor>,
        limit: u32,
    ) -> Pending<'a, Result<NamesFound, Error>> {
        let found = self.reached();
        now(found.and_then(|kept| kept.search(text, under, after, limit)))
    }

    fn create_folder<'a>(
        &'a self,
        path: &'a EntryPath,
        parents: bool,
    ) -> Pending<'a, Result<bool, Error>> {
        let made = self.reached().and_then(|mut kept| {
            match kept.find(path) {
                Ok(Node::Folder { .. }) if parents => return Ok(false),
                Ok(_) => {
                    return Err(Error::AlreadyExists {
                        message: format!("{path} is there already"),
                    });
                }
                Err(_) => {}
            }
            match path.split_last() {
                Some((parent, _)) if !parents => kept.find(&parent).map(drop)?,
                _ => kept.make_parents(path),
            }
            let folder = Node::Folder {
                modified_ms: now_ms(),
            };
            kept.entries.insert(path.clone(), folder);
            Ok(true)
        });
        now(made)
    }

    fn move_entry<'a>(
        &'a self,
        from: &'a EntryPath,
        to: &'a EntryPath,
        replace: bool,
    ) -> Pending<'a, Result<Entry, Error>> {
        let moved = self.reached().and_then(|mut kept| {
            let node = kept.find(from)?;
            if kept.entries.contains_key(to) && !replace {
                return Err(Error::AlreadyExists {
                    message: format!("{to} is there already"),
                });
            }
            let nodes = kept.take(from);
            kept.put_back(from, to, nodes);
            Ok(entry(to.name(), &node))
        });
        now(moved)
    }

    fn delete<'a>(
        &'a self,
        path: &'a EntryPath,
        options: DeleteOptions,
    ) -> Pending<'a, Result<Option<TrashId>, Error>> {
        let deleted = self.reached().and_then(|mut kept| {
            if path.is_root() {
                return Err(Error::InvalidArgument {
                    message: "the root cannot be deleted".into(),
                });
            }
            if let Node::File(_) = kept.find(path)? {
                kept.check(path, options.precondition)?;
            }
            if !options.recursive && kept.children(path).next().is_some() {
                return Err(Error::FolderNotEmpty {
                    message: format!("{path} is not empty"),
                });
            }
            let nodes = kept.take(path);
            if options.purge {
                kept.purge(&nodes);
                return Ok(None);
            }
            Ok(Some(kept.put_in_trash(path, nodes)))
        });
        now(deleted)
    }

    fn upload<'a>(
        &'a self,
        path: &'a EntryPath,
        mut reader: ByteSource,
        options: UploadOptions,
    ) -> Pending<'a, Result<Uploaded, Error>> {
        Box::pin(async move {
            let faults = self.reached()?.faults.clone();
            let mut bytes = Vec::new();
            loop {
                let before = bytes.len();
                let mut piece = (&mut reader).take(CHUNK_LEN as u64);
                piece.read_to_end(&mut bytes).await.map_err(Error::Read)?;
                if bytes.len() == before {
                    break;
                }
                if let Some(pause) = faults.pause {
                    tokio::time::sleep(pause).await;
                }
            }
            let size = bytes.len() as u64;
            if let Some(expected) = options.size_hint.filter(|expected| *expected != size) {
                return Err(Error::SizeMismatch {
                    expected,
                    read: size,
                });
            }
            faults.until_commit(&options).await?;
            let bytes = FileBytes::Given(bytes.into());
            self.reached()?.upload(path, bytes, &options)
        })
    }

    fn upload_stored<'a>(
        &'a self,
        path: &'a EntryPath,
        (size, chunks): (u64, &'a [ChunkId]),
        options: UploadOptions,
    ) -> Pending<'a, Result<Option<Uploaded>, Error>> {
        Box::pin(async move {
            let faults = self.reached()?.faults.clone();
            if self.reached()?.assembled(size, chunks).is_none() {
                return Ok(None);
            }
            faults.until_commit(&options).await?;
            // They may have gone since.
            let mut kept = self.reached()?;
            let bytes = kept.assembled(size, chunks);
            let uploaded = bytes.map(|bytes| kept.upload(path, bytes, &options));
            uploaded.transpose()
        })
    }

    fn copy<'a>(
        &'a self,
        from: &'a EntryPath,
        to: &'a EntryPath,
        options: UploadOptions,
    ) -> Pending<'a, Result<Uploaded, Error>> {
        let copied = self.reached().and_then(|mut kept| {
            let Version {
                bytes, modified_ms, ..
            } = kept.file(from)?;
            let modified_ms = options.modified_ms.or(Some(modified_ms));
            let options = UploadOptions {
                modified_ms,
                ..options
            };
            kept.upload(to, bytes, &options)
        });
        now(copied)
    }

    fn open<'a>(
        &'a self,
        path: &'a EntryPath,
        version: Option<VersionId>,
    ) -> Pending<'a, Result<OpenFile, Error>> {
        Box::pin(async move {
            self.pass_looks().await;
            let kept = self.reached()?;
            let current = kept.file(path)?;
            let file = match version {
                Some(version) => kept.version(path, version)?,
                None => current,
            };
            Ok(open(file, kept.faults.clone()))
        })
    }
}
