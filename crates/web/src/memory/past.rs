//! The trash and the former versions of a drive in memory.

use std::collections::{BTreeMap, HashSet};

use client::Error;
use proto::id::VersionId;
use proto::master::{
    Entry, FileVersion, FormerVersionsKept, Precondition, TrashEntry, TrashId, TrashKept,
    TrashListed, VersionsListed,
};
use proto::name::EntryPath;
use proto::net::Pending;

use super::{Kept, MemoryDrive, Node, Version, entry, now, now_ms};
use crate::drive::Past;

/// How long things are kept, as the status says.
const KEPT_MS: u64 = 30 * 24 * 3600 * 1000;

/// What was deleted: its path, and what was there and below.
#[derive(Debug)]
pub(super) struct Trashed {
    path: EntryPath,
    deleted_ms: u64,
    nodes: BTreeMap<EntryPath, Node>,
}

impl Trashed {
    /// What it is itself.
    fn top(&self) -> Entry {
        entry(self.path.name(), &self.nodes[&self.path])
    }
}

impl Kept {
    /// Takes an entry and all below it out of the names.
    pub(super) fn take(&mut self, path: &EntryPath) -> BTreeMap<EntryPath, Node> {
        let all = std::mem::take(&mut self.entries);
        let (taken, left) = all
            .into_iter()
            .partition(|(other, _)| other.is_within(path));
        self.entries = left;
        taken
    }

    /// Puts what was taken under another path, or the same.
    pub(super) fn put_back(
        &mut self,
        from: &EntryPath,
        to: &EntryPath,
        nodes: BTreeMap<EntryPath, Node>,
    ) {
        self.make_parents(to);
        self.shares_moved(from, to);
        for (path, node) in nodes {
            let rest = path.names()[from.names().len()..].iter();
            let target = rest.fold(to.clone(), |at, name| {
                at.join(name.clone())
                    .expect("no longer than before in a test")
            });
            self.entries.insert(target, node);
        }
    }

    pub(super) fn put_in_trash(
        &mut self,
        path: &EntryPath,
        nodes: BTreeMap<EntryPath, Node>,
    ) -> TrashId {
        self.trashed += 1;
        let trashed = Trashed {
            path: path.clone(),
            deleted_ms: now_ms(),
            nodes,
        };
        self.trash.insert(self.trashed, trashed);
        TrashId(self.trashed)
    }

    /// Forgets all versions of these files.
    pub(super) fn purge(&mut self, nodes: &BTreeMap<EntryPath, Node>) {
        for node in nodes.values() {
            if let Node::File(file) = node {
                self.versions.retain(|_, version| version.file != file.file);
            }
        }
    }

    pub(super) fn trash_kept(&self) -> TrashKept {
        let nodes = self.trash.values().flat_map(|row| row.nodes.values());
        let none = TrashKept {
            kept_ms: KEPT_MS,
            ..TrashKept::default()
        };
        nodes.fold(none, |mut sums, node| {
            match node {
                Node::Folder { .. } => sums.folders += 1,
                Node::File(file) => {
                    sums.files += 1;
                    sums.bytes += file.bytes.len();
                }
            }
            sums
        })
    }

    pub(super) fn former_versions_kept(&self) -> FormerVersionsKept {
        let trashed = self.trash.values().flat_map(|row| row.nodes.values());
        let nodes = self.entries.values().chain(trashed);
        let current: HashSet<_> = nodes
            .filter_map(|node| match node {
                Node::File(file) => Some(file.id),
                Node::Folder { .. } => None,
            })
            .collect();
        let former = self.versions.values();
        let former: Vec<_> = former.filter(|file| !current.contains(&file.id)).collect();
        FormerVersionsKept {
            versions: former.len() as u64,
            bytes: former.iter().map(|file| file.bytes.len()).sum(),
            kept_ms: KEPT_MS,
        }
    }

    pub(super) fn file(&self, path: &EntryPath) -> Result<Version, Error> {
        match self.find(path)? {
            Node::File(file) => Ok(file),
            Node::Folder { .. } => Err(Error::IsAFolder {
                message: format!("{path} is a folder, and only files have versions"),
            }),
        }
    }

    /// A version of the file at this path.
    pub(super) fn version(&self, path: &EntryPath, version: VersionId) -> Result<Version, Error> {
        let file = self.file(path)?.file;
        let found = self.versions.get(&version).filter(|row| row.file == file);
        found.cloned().ok_or_else(|| Error::NotFound {
            message: format!("{path} has no version {version} (any more)"),
        })
    }
}

fn described(version: &Version, is_current: bool) -> FileVersion {
    FileVersion {
        version: version.id,
        size: version.bytes.len(),
        modified_ms: version.modified_ms,
        committed_ms: version.committed_ms,
        former_for_ms: (!is_current).then(|| now_ms().saturating_sub(version.committed_ms)),
    }
}

impl Past for MemoryDrive {
    fn list_trash(
        &self,
        before: Option<TrashId>,
        limit: u32,
    ) -> Pending<'_, Result<TrashListed, Error>> {
        now(self.reached().map(|kept| {
            let end = before.map_or(u64::MAX, |trash| trash.0);
            let rows = kept.trash.range(..end).rev();
            let mut entries: Vec<_> = rows
                .take(limit as usize + 1)
                .map(|(trash, row)| TrashEntry {
                    trash: TrashId(*trash),
                    path: row.path.clone(),
                    entry: row.top(),
                    deleted_ms: row.deleted_ms,
                })
                .collect();
            let more = entries.len() > limit as usize;
            entries.truncate(limit as usize);
            TrashListed { entries, more }
        }))
    }

    fn restore<'a>(
        &'a self,
        trash: TrashId,
        to: Option<&'a EntryPath>,
    ) -> Pending<'a, Result<EntryPath, Error>> {
        let restored = self.reached().and_then(|mut kept| {
            let row = kept.trash.get(&trash.0).ok_or_else(|| gone(trash))?;
            let (from, to) = (row.path.clone(), to.unwrap_or(&row.path).clone());
            if kept.entries.contains_key(&to) {
                return Err(Error::AlreadyExists {
                    message: format!("{to} is there already: restore to another name"),
                });
            }
            if let Some(row) = kept.trash.remove(&trash.0) {
                kept.put_back(&from, &to, row.nodes);
            }
            Ok(to)
        });
        now(restored)
    }

    fn empty_trash(&self, trash: Option<TrashId>) -> Pending<'_, Result<(), Error>> {
        now(self.reached().and_then(|mut kept| match trash {
            None => {
                let all = std::mem::take(&mut kept.trash);
                for row in all.values() {
                    kept.purge(&row.nodes);
                }
                Ok(())
            }
            Some(trash) => {
                let row = kept.trash.remove(&trash.0).ok_or_else(|| gone(trash))?;
                kept.purge(&row.nodes);
                Ok(())
            }
        }))
    }

    fn versions<'a>(
        &'a self,
        path: &'a EntryPath,
        before: Option<VersionId>,
        limit: u32,
    ) -> Pending<'a, Result<VersionsListed, Error>> {
        let listed = self.reached().and_then(|kept| {
            let current = kept.file(path)?;
            let versions = kept.versions.values().rev();
            let versions = versions.filter(|row| row.file == current.file && row.id != current.id);
            let mut former: Vec<_> = versions
                .filter(|row| before.is_none_or(|before| row.id < before))
                .take(limit as usize + 1)
                .map(|row| described(row, false))
                .collect();
            let more = former.len() > limit as usize;
            former.truncate(limit as usize);
            Ok(VersionsListed {
                current: described(&current, true),
                former,
                more,
            })
        });
        now(listed)
    }

    fn restore_version<'a>(
        &'a self,
        path: &'a EntryPath,
        version: VersionId,
        precondition: Precondition,
    ) -> Pending<'a, Result<Entry, Error>> {
        let restored = self.reached().and_then(|mut kept| {
            kept.file(path)?;
            kept.check(path, precondition)?;
            let node = Node::File(kept.version(path, version)?);
            let restored = entry(path.name(), &node);
            kept.entries.insert(path.clone(), node);
            Ok(restored)
        });
        now(restored)
    }

    fn remove_version<'a>(
        &'a self,
        path: &'a EntryPath,
        version: VersionId,
    ) -> Pending<'a, Result<(), Error>> {
        let removed = self.reached().and_then(|mut kept| {
            if kept.file(path)?.id == version {
                return Err(Error::PreconditionFailed {
                    message: format!(
                        "version {version} is what {path} is now: restore another one before, or delete the file"
                    ),
                });
            }
            kept.version(path, version)?;
            kept.versions.remove(&version);
            Ok(())
        });
        now(removed)
    }
}

fn gone(trash: TrashId) -> Error {
    Error::NotFound {
        message: format!(
            "there is no row {} in the trash (any more): it was restored, emptied, or kept for its time",
            trash.0
        ),
    }
}
