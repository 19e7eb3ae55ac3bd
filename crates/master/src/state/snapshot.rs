//! Reading names and versions: the state as one transaction left it.
//!
//! Every method reads a bounded number of rows, but for pages by size or time (`browse/sorted.rs`). What a page leaves out
//! comes with the next one; a page may show a later state than the one before it, if it is read from another snapshot.

use std::fmt;
use std::ops::Bound;

use proto::ErrorCode;
use proto::frame::LINE_LEN_MAX;
use proto::id::{ChunkId, Epoch, VersionId};
use proto::master::{
    CHUNKS_PER_BLOCK, Entry, FolderListed, PAGE_LEN_MAX, TrashEntry, TrashId, TrashListed,
};
use proto::name::{EntryName, EntryPath};
use redb::{
    Key, ReadOnlyTable, ReadTransaction, ReadableTableMetadata, TableDefinition, TableError, Value,
};

use super::error::{StateError, refuse};
use super::fuse::Fuse;
use super::head::{Counters, Head};
use super::names::{self, NAME_TEXT};
use super::rows::{self, EntryRow, FolderRow, Sums, TrashRow, VersionRow};
use super::tables;
use super::versions;
use crate::command::ClusterMillis;

/// A page of the trash, or of the shares, is a line on the wire, with some room for what is around it.
pub(super) const PAGE_BYTES: usize = LINE_LEN_MAX - 4096;

/// See the module.
pub struct Snapshot {
    transaction: ReadTransaction,
}

impl Snapshot {
    pub(super) fn new(transaction: ReadTransaction) -> Self {
        Self { transaction }
    }

    /// The master's latest start that was recorded.
    pub fn epoch(&self) -> Result<Epoch, StateError> {
        Ok(Epoch(self.head()?.epoch))
    }

    /// The time of the latest command.
    pub fn now(&self) -> Result<ClusterMillis, StateError> {
        Ok(self.head()?.at)
    }

    /// Commands applied or refused since the store was new.
    pub fn applied(&self) -> Result<u64, StateError> {
        Ok(self.head()?.applied)
    }

    /// The sums.
    pub fn counters(&self) -> Result<Counters, StateError> {
        Ok(self.head()?.counters)
    }

    /// How many answers to requests are kept.
    pub fn answers_kept(&self) -> Result<u64, StateError> {
        Ok(self.table(tables::ANSWERS_BY_TIME)?.len()?)
    }

    /// The fuse against mass deletion.
    pub fn fuse(&self) -> Result<Fuse, StateError> {
        Ok(self.head()?.fuse)
    }

    /// What is below the root: files and folders that have a path. The trash is not in it.
    pub fn sums(&self) -> Result<Sums, StateError> {
        let folders = self.table(tables::FOLDERS)?;
        let root = folders
            .get(names::ROOT)?
            .ok_or_else(|| StateError::Damaged("there is no root folder".to_owned()))?;
        Ok(rows::decode::<FolderRow>(root.value())?.below)
    }

    /// What is at this path. Refused with `not_found`.
    pub fn entry(&self, path: &EntryPath) -> Result<Entry, StateError> {
        let Some(name) = path.name() else {
            return Ok(Entry::Folder {
                name: None,
                modified_ms: 0,
            });
        };
        Ok(self.entry_row(path)?.to_entry(name))
    }

    /// A page of a folder, by name. Refused with `not_found`, `not_a_folder`.
    pub fn folder_page(
        &self,
        path: &EntryPath,
        after: Option<&EntryName>,
        limit: u32,
    ) -> Result<FolderListed, StateError> {
        let table = self.table(tables::ENTRIES)?;
        let folder = names::folder_at(&table, path)?;
        let from = match after {
            Some(name) => Bound::Excluded((folder, name.as_str())),
            None => Bound::Included((folder, "")),
        };
        let to = Bound::Excluded((folder + 1, ""));
        let limit = limit.clamp(1, PAGE_LEN_MAX) as usize;
        let mut entries = Vec::new();
        for row in table.range::<(u64, &str)>((from, to))? {
            if entries.len() == limit {
                return Ok(FolderListed {
                    entries,
                    more: true,
                });
            }
            let (key, row) = row?;
            let name = EntryName::new(key.value().1).map_err(|error| {
                StateError::Damaged(format!("a name in a folder is none: {error}"))
            })?;
            entries.push(rows::decode::<EntryRow>(row.value())?.to_entry(&name));
        }
        Ok(FolderListed {
            entries,
            more: false,
        })
    }

    /// A page of the trash, newest first: fewer where their paths are long, since it is one line on the wire.
    pub fn trash_page(
        &self,
        before: Option<TrashId>,
        limit: u32,
    ) -> Result<TrashListed, StateError> {
        let table = self.table(tables::TRASH)?;
        let first = self.head()?.trash_emptied_below;
        let end = before.map_or(u64::MAX, |trash| trash.0).max(first);
        let limit = limit.clamp(1, PAGE_LEN_MAX) as usize;
        let (mut entries, mut len) = (Vec::new(), 0);
        for row in table.range(first..end)?.rev() {
            let (key, row) = row?;
            let entry = trash_entry(key.value(), &rows::decode(row.value())?)?;
            len += entry_len_max(&entry.path);
            if entries.len() == limit || len > PAGE_BYTES {
                return Ok(TrashListed {
                    entries,
                    more: true,
                });
            }
            entries.push(entry);
        }
        Ok(TrashListed {
            entries,
            more: false,
        })
    }

    /// A version, whatever names it.
    pub fn version(&self, version: VersionId) -> Result<Option<VersionRow>, StateError> {
        match self.table(tables::VERSIONS)?.get(version.0)? {
            Some(row) => Ok(Some(rows::decode(row.value())?)),
            None => Ok(None),
        }
    }

    /// Chunks of a version with their lengths, from this index on: at most `limit`, and at most one block's worth.
    pub fn chunks_of(
        &self,
        version: VersionId,
        row: &VersionRow,
        first: u64,
        limit: u32,
    ) -> Result<Vec<(ChunkId, u32)>, StateError> {
        let table = self.table(tables::BLOCKS)?;
        let limit = u64::from(limit).min(CHUNKS_PER_BLOCK as u64);
        let end = first.saturating_add(limit).min(row.chunk_count());
        let mut chunks = Vec::new();
        let mut index = first;
        while index < end {
            let (block, place) = versions::place_of(index);
            let ids = table.get((version.0, block))?.ok_or_else(|| {
                StateError::Damaged(format!("block {block} of version {version} is missing"))
            })?;
            let ids = versions::block_ids(ids.value())?;
            let wanted = usize::try_from(end - index).expect("at most a block's worth");
            if ids.len() <= place {
                let what = format!("block {block} of version {version} is too short");
                return Err(StateError::Damaged(what));
            }
            for id in ids.iter().skip(place).take(wanted) {
                chunks.push((ChunkId::from_bytes(*id), row.chunk_len(index)));
                index += 1;
            }
        }
        Ok(chunks)
    }

    pub(super) fn head(&self) -> Result<Head, StateError> {
        match self.table(tables::META)?.get(tables::HEAD_KEY)? {
            Some(row) => Ok(Head::decode(row.value())?.0),
            None => Ok(Head::default()),
        }
    }

    /// A table, which is there since the store was prepared.
    pub(super) fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, TableError> {
        self.transaction.open_table(definition)
    }

    pub(super) fn entry_row(&self, path: &EntryPath) -> Result<EntryRow, StateError> {
        let table = self.table(tables::ENTRIES)?;
        match names::find(&table, path)? {
            Some(row) => Ok(row),
            None => refuse(ErrorCode::NotFound, format!("there is no {path}")),
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

/// Bytes that an entry with its path takes on the wire at most: a quote or a backslash in a name becomes two.
pub(super) fn entry_len_max(path: &EntryPath) -> usize {
    const NUMBERS_AND_KEYS: usize = 256;
    let name = path.name().map_or(0, |name| name.as_str().len());
    2 * (path.to_string().len() + name) + NUMBERS_AND_KEYS
}

fn trash_entry(trash: u64, row: &TrashRow) -> Result<TrashEntry, StateError> {
    let path: EntryPath = row
        .path
        .parse()
        .map_err(|error| StateError::Damaged(format!("a path in the trash is none: {error}")))?;
    let name = path.name().expect(NAME_TEXT);
    Ok(TrashEntry {
        trash: TrashId(trash),
        entry: row.entry.to_entry(name),
        deleted_ms: row.deleted_ms,
        path,
    })
}
