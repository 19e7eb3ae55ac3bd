//! Where each chunk is: a cache of the extents, in redb, that is never trusted over them.
//!
//! Changes are committed without a sync; a checkpoint makes all of them durable, together with the place in the
//! extents up to which they go. After a crash the index is as of the last checkpoint and the store replays
//! what follows; if it is missing, damaged or another folder's, it is made anew from the extents.
//!
//! **Invariant:** a commit carries its rows and its position together, so that replay neither leaves a record out nor
//! takes one twice.

pub(crate) mod aside;
mod guarded;
mod name;
mod open;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use proto::id::ChunkId;
use redb::{
    Durability, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, Location, Position, Row};
use guarded::Guarded;

pub(crate) use name::IndexName;

/// The index's file in the data folder.
pub(crate) const INDEX_PATH: &str = "index.redb";

type ChunkKey = [u8; ChunkId::LEN];
type RowBytes = [u8; ROW_LEN];
type DeadKey = [u8; ChunkId::LEN + 8];

const ROW_LEN: usize = 29;
const FORMAT: u8 = 1;
const CHUNKS: TableDefinition<'_, &ChunkKey, &RowBytes> = TableDefinition::new("chunks");
const CORRUPT: TableDefinition<'_, &ChunkKey, ()> = TableDefinition::new("corrupt");
/// Chunk and extent of every put that no row points to although its extent is there: as long as there is
/// one, a deletion of that chunk must be kept, or a new index would bring the chunk back.
const DEAD: TableDefinition<'_, &DeadKey, ()> = TableDefinition::new("dead");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const META_OWNER: &str = "owner";
const META_POSITION: &str = "position";
const META_CATALOG: &str = "catalog";

/// What shall change, all at once.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// New rows; `None` removes.
    pub(crate) rows: Vec<(ChunkId, Option<Row>)>,
    /// Puts that no row points to any more, by extent.
    pub(crate) dead: Vec<(ChunkId, u64)>,
    /// Such puts whose extents are gone.
    pub(crate) buried: Vec<(ChunkId, u64)>,
    /// Up to where in the extents the rows go now.
    pub(crate) position: Position,
}

/// A row's change, as it was and as it is.
pub(crate) type Changed = (ChunkId, Option<Row>, Option<Row>);

/// The index.
#[derive(Debug)]
pub(crate) struct Index {
    database: Guarded,
}

fn other(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(error) => error,
        error => io::Error::other(error.to_string()),
    }
}

impl Index {
    /// Why it cannot be used any more, if it failed.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.database.given_up()
    }

    /// Cancelled when it cannot be used any more: for the one that makes a new one.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.database.ended().clone()
    }

    /// Has nobody use it any more, and no start find it.
    pub(crate) fn retire(&self) -> io::Result<()> {
        self.database.retire()
    }

    /// It fails, as by a page that rotted.
    #[cfg(test)]
    pub(crate) fn fail(&self) {
        let failed = self.read(|_| Err::<(), _>(io::Error::other("injected index error")));
        failed.unwrap_err();
    }

    /// One chunk's row.
    pub(crate) fn get(&self, chunk: &ChunkId) -> io::Result<Option<Row>> {
        self.read(|read| {
            let chunks = read.open_table(CHUNKS).map_err(other)?;
            let row = chunks.get(chunk.as_bytes()).map_err(other)?;
            Ok(row.map(|row| decode_row(row.value())))
        })
    }

    /// Good chunks of one bucket without those that `is_bad` knows, in the order of ids, and whether more follow.
    pub(crate) fn bucket_page(
        &self,
        bucket: u8,
        after: Option<&ChunkId>,
        limit: usize,
        is_bad: impl Fn(&ChunkId, Location) -> bool,
    ) -> io::Result<(Vec<(ChunkId, u32)>, bool)> {
        self.read(|read| {
            let chunks = read.open_table(CHUNKS).map_err(other)?;
            let (mut first, mut last) = ([0; ChunkId::LEN], [0xff; ChunkId::LEN]);
            (first[0], last[0]) = (bucket, bucket);
            let first = after.map_or(first, |after| first.max(*after.as_bytes()));
            if first > last {
                return Ok((Vec::new(), false));
            }
            let mut page = Vec::new();
            for row in chunks.range::<&ChunkKey>(&first..=&last).map_err(other)? {
                let (key, row) = row.map_err(other)?;
                let (chunk, row) = (ChunkId::from_bytes(*key.value()), decode_row(row.value()));
                if row.corrupt || after == Some(&chunk) || is_bad(&chunk, row.location) {
                    continue;
                }
                if page.len() == limit {
                    return Ok((page, true));
                }
                page.push((chunk, row.location.len));
            }
            Ok((page, false))
        })
    }

    /// The extents that hold the records of chunks known to be corrupt.
    pub(crate) fn corrupt_extents(&self) -> io::Result<BTreeSet<u64>> {
        self.read(|read| {
            let corrupt = read.open_table(CORRUPT).map_err(other)?;
            let chunks = read.open_table(CHUNKS).map_err(other)?;
            let mut extents = BTreeSet::new();
            for row in corrupt.iter().map_err(other)? {
                let (key, _) = row.map_err(other)?;
                if let Some(row) = chunks.get(key.value()).map_err(other)? {
                    extents.insert(decode_row(row.value()).location.extent);
                }
            }
            Ok(extents)
        })
    }

    /// Chunks known to be corrupt, in the order of ids.
    pub(crate) fn corrupt_page(
        &self,
        after: Option<&ChunkId>,
        limit: usize,
    ) -> io::Result<Vec<ChunkId>> {
        self.read(|read| {
            let corrupt = read.open_table(CORRUPT).map_err(other)?;
            let first = after.map_or([0; ChunkId::LEN], |after| *after.as_bytes());
            let mut page = Vec::new();
            for row in corrupt.range::<&ChunkKey>(&first..).map_err(other)? {
                let chunk = ChunkId::from_bytes(*row.map_err(other)?.0.value());
                if after != Some(&chunk) {
                    page.push(chunk);
                }
                if page.len() == limit {
                    break;
                }
            }
            Ok(page)
        })
    }

    /// Whether a put of this chunk that no row points to lies in one of the extents that `counts`.
    pub(crate) fn has_dead(
        &self,
        chunk: &ChunkId,
        counts: impl Fn(u64) -> bool,
    ) -> io::Result<bool> {
        self.read(|read| {
            let dead = read.open_table(DEAD).map_err(other)?;
            let (first, last) = (dead_key(chunk, 0), dead_key(chunk, u64::MAX));
            for row in dead.range::<&DeadKey>(&first..=&last).map_err(other)? {
                if counts(dead_extent(row.map_err(other)?.0.value())) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// Shows every row.
    pub(crate) fn scan(&self, see: impl FnMut(ChunkId, Row)) -> io::Result<()> {
        self.read(|read| scan_rows(read, see))
    }

    /// The next rows of this kind, in the order of ids, as many as are asked for.
    pub(crate) fn find_rows(
        &self,
        after: Option<&ChunkId>,
        is_wanted: impl Fn(&Row) -> bool,
        limit: usize,
    ) -> io::Result<Vec<(ChunkId, Row)>> {
        self.read(|read| {
            let chunks = read.open_table(CHUNKS).map_err(other)?;
            let first = after.map_or([0; ChunkId::LEN], |after| *after.as_bytes());
            let mut found = Vec::new();
            for row in chunks.range::<&ChunkKey>(&first..).map_err(other)? {
                let (key, row) = row.map_err(other)?;
                let (chunk, row) = (ChunkId::from_bytes(*key.value()), decode_row(row.value()));
                if after != Some(&chunk) && is_wanted(&row) {
                    found.push((chunk, row));
                }
                if found.len() == limit {
                    break;
                }
            }
            Ok(found)
        })
    }

    /// The next dead puts whose extents are gone, by chunk and extent, as many as are asked for.
    pub(crate) fn dead_in_gone_extents(
        &self,
        after: Option<&(ChunkId, u64)>,
        is_gone: impl Fn(u64) -> bool,
        limit: usize,
    ) -> io::Result<Vec<(ChunkId, u64)>> {
        self.read(|read| {
            let dead = read.open_table(DEAD).map_err(other)?;
            let first = after.map_or([0; ChunkId::LEN + 8], |(chunk, extent)| {
                dead_key(chunk, *extent)
            });
            let mut gone = Vec::new();
            for row in dead.range::<&DeadKey>(&first..).map_err(other)? {
                let row = row.map_err(other)?;
                let key = row.0.value();
                let extent = dead_extent(key);
                if is_gone(extent) {
                    let chunk = key[..ChunkId::LEN]
                        .try_into()
                        .expect("keys begin with a chunk id");
                    gone.push((ChunkId::from_bytes(chunk), extent));
                }
                if gone.len() == limit {
                    break;
                }
            }
            Ok(gone)
        })
    }

    /// Applies changes, seen at once and durable with the next checkpoint; tells what each row was and is.
    pub(crate) fn commit(&self, changes: &Changes) -> io::Result<Vec<Changed>> {
        self.write(Durability::None, |tables| {
            for (chunk, extent) in &changes.dead {
                tables
                    .dead
                    .insert(&dead_key(chunk, *extent), ())
                    .map_err(other)?;
            }
            for (chunk, extent) in &changes.buried {
                tables
                    .dead
                    .remove(&dead_key(chunk, *extent))
                    .map_err(other)?;
            }
            tables.set_position(changes.position)?;
            changes
                .rows
                .iter()
                .map(|(chunk, row)| tables.set_row(*chunk, *row))
                .collect()
        })
    }

    /// Makes everything so far durable.
    pub(crate) fn checkpoint(&self, catalog: &Catalog) -> io::Result<()> {
        self.write(Durability::Immediate, |tables| {
            let bytes = postcard::to_stdvec(catalog).map_err(io::Error::other)?;
            tables
                .meta
                .insert(META_CATALOG, bytes.as_slice())
                .map_err(other)?;
            tables.set_position(catalog.position)
        })
    }

    fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> io::Result<T>) -> io::Result<T> {
        self.database
            .run(|database| read(&database.begin_read().map_err(other)?))
    }

    fn write<T>(
        &self,
        durability: Durability,
        change: impl FnOnce(&mut Tables<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.database.run(|database| {
            let mut write = database.begin_write().map_err(other)?;
            write.set_durability(durability).map_err(io::Error::other)?;
            // So that a start after a crash does not walk the whole index. It costs a second sync, and two bits more to write for
            // each page of 4 KiB: 64 KB for an index of 1 GB. After a crash only the last durable commit counts, and that has
            // it: commits that are not durable take nothing away from it.
            write.set_quick_repair(matches!(durability, Durability::Immediate));
            let changed = change(&mut Tables::open(&write)?)?;
            write.commit().map_err(other)?;
            Ok(changed)
        })
    }
}

/// Shows every row.
fn scan_rows(read: &ReadTransaction, mut see: impl FnMut(ChunkId, Row)) -> io::Result<()> {
    let chunks = read.open_table(CHUNKS).map_err(other)?;
    for row in chunks.iter().map_err(other)? {
        let (key, row) = row.map_err(other)?;
        see(ChunkId::from_bytes(*key.value()), decode_row(row.value()));
    }
    Ok(())
}

struct Tables<'t> {
    chunks: Table<'t, &'static ChunkKey, &'static RowBytes>,
    corrupt: Table<'t, &'static ChunkKey, ()>,
    dead: Table<'t, &'static DeadKey, ()>,
    meta: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Tables<'t> {
    fn open(write: &'t WriteTransaction) -> io::Result<Self> {
        Ok(Self {
            chunks: write.open_table(CHUNKS).map_err(other)?,
            corrupt: write.open_table(CORRUPT).map_err(other)?,
            dead: write.open_table(DEAD).map_err(other)?,
            meta: write.open_table(META).map_err(other)?,
        })
    }

    fn set_position(&mut self, position: Position) -> io::Result<()> {
        let bytes = postcard::to_stdvec(&position).map_err(io::Error::other)?;
        self.meta
            .insert(META_POSITION, bytes.as_slice())
            .map_err(other)?;
        Ok(())
    }

    fn set_row(&mut self, chunk: ChunkId, row: Option<Row>) -> io::Result<Changed> {
        let key = chunk.as_bytes();
        let old = match &row {
            Some(row) => self.chunks.insert(key, &encode_row(row)),
            None => self.chunks.remove(key),
        };
        let old = old.map_err(other)?.map(|old| decode_row(old.value()));
        let is_corrupt = |row: &Option<Row>| row.is_some_and(|row| row.corrupt);
        match (is_corrupt(&old), is_corrupt(&row)) {
            (false, true) => self.corrupt.insert(key, ()).map(drop).map_err(other)?,
            (true, false) => self.corrupt.remove(key).map(drop).map_err(other)?,
            _ => {}
        }
        Ok((chunk, old, row))
    }
}

fn dead_key(chunk: &ChunkId, extent: u64) -> DeadKey {
    let mut key = [0; ChunkId::LEN + 8];
    key[..ChunkId::LEN].copy_from_slice(chunk.as_bytes());
    key[ChunkId::LEN..].copy_from_slice(&extent.to_be_bytes());
    key
}

fn dead_extent(key: &DeadKey) -> u64 {
    u64::from_be_bytes(key[ChunkId::LEN..].try_into().expect("8 bytes are left"))
}

fn encode_row(row: &Row) -> RowBytes {
    let mut bytes = [0; ROW_LEN];
    bytes[..8].copy_from_slice(&row.location.extent.to_le_bytes());
    bytes[8..16].copy_from_slice(&row.location.offset.to_le_bytes());
    bytes[16..20].copy_from_slice(&row.location.len.to_le_bytes());
    bytes[20] = u8::from(row.corrupt);
    bytes[21..].copy_from_slice(&row.verified_ms.to_le_bytes());
    bytes
}

fn decode_row(bytes: &RowBytes) -> Row {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    Row {
        location: Location {
            extent: number(0),
            offset: number(8),
            len: u32::from_le_bytes(bytes[16..20].try_into().expect("4 bytes")),
        },
        corrupt: bytes[20] != 0,
        verified_ms: number(21),
    }
}

#[cfg(test)]
mod tests;
