//! Opens a store: finds the extents, brings the index up to them, and cuts a torn tail.
//!
//! The index says how far it goes; what follows is replayed from the extents. Only the last extent can have a torn
//! tail, which [`crate::tail`] finds. Whatever else does not verify is corruption: it is reported, and later records are
//! still found.
//!
//! **Invariant:** what replay finds is written once more and synced before it is believed. A killed process may have
//! left records in the system's memory only, and if a sync of them failed, the system takes them for written
//! and would report another sync as done.

mod replay;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use disk::{Disk, DiskFile};
use proto::id::ChunkId;

use crate::active::Active;
use crate::appender::Appender;
use crate::catalog::{Catalog, Position, Row};
use crate::environment::Environment;
use crate::error::{OpenError, is_full};
use crate::extent::{EXTENT_HEADER_LEN, EXTENTS_FOLDER, record_len};
use crate::found::{Found, find_extents, highest_name, remove_unfinished, sealed_len};
use crate::index::{Changes, INDEX_PATH, Index};
use crate::store::{Store, StoreOptions};

/// Bytes that are written once more at once.
const REWRITE_LEN: u64 = 1 << 20;
/// Rows that are committed at once during replay.
const ROWS_PER_COMMIT: usize = 4096;

/// Opens the extents and the index of one disk.
///
/// # Errors
/// When the disk fails, or holds a newer format.
pub(crate) fn open(
    disk: &Arc<dyn Disk>,
    options: StoreOptions,
    environment: &Environment,
) -> Result<(Arc<Store>, Appender), OpenError> {
    let extents = prepare(&**disk, &options)?;
    let owner = (options.node, options.disk_number);
    let open_index = || {
        Index::open(disk, owner, options.cache_bytes)
            .map_err(OpenError::while_doing("open the index"))
    };
    let (mut index, mut catalog) = open_index()?;
    if catalog
        .as_ref()
        .is_some_and(|catalog| misses_extents(catalog, &extents))
    {
        tracing::warn!("the index does not know all extents; making it anew");
        drop(index);
        disk.remove(INDEX_PATH)
            .map_err(OpenError::while_doing("remove the index"))?;
        (index, catalog) = open_index()?;
    }
    let recovery = Recovery {
        is_rebuild: catalog.is_none(),
        catalog: catalog.unwrap_or_default(),
        index,
        extents,
        rows: BTreeMap::new(),
        dead: Vec::new(),
        unsettled: 0..0,
    };
    let disk = Arc::clone(disk);
    let environment = environment.clone();
    recovery
        .run(disk, options, environment)
        .map_err(OpenError::while_doing("read the extents"))
}

fn prepare(disk: &dyn Disk, options: &StoreOptions) -> Result<BTreeMap<u64, Found>, OpenError> {
    // An unfinished extent that was removed must not come back once the one before it goes on.
    disk.create_folder(EXTENTS_FOLDER)
        .and_then(|()| disk.sync_folder(""))
        .and_then(|()| disk.sync_folder(EXTENTS_FOLDER))
        .map_err(OpenError::while_doing("make the folder for extents"))?;
    let mut extents = find_extents(disk)?;
    remove_unfinished(disk, &mut extents)
        .map_err(OpenError::while_doing("remove an unfinished extent"))?;
    extents.retain(|number, found| {
        let is_ours = found.header.as_ref().is_none_or(|header| {
            let owner = (header.node, header.disk);
            header.number == *number && owner == (options.node, options.disk_number)
        });
        if !is_ours {
            tracing::error!(
                extent = number,
                "this extent belongs elsewhere by its header: it is left alone and not used"
            );
        }
        is_ours
    });
    Ok(extents)
}

/// Whether there are extents that the index should know, and does not.
fn misses_extents(catalog: &Catalog, extents: &BTreeMap<u64, Found>) -> bool {
    extents
        .range(..=catalog.position.extent)
        .any(|(number, _)| !catalog.extents.contains_key(number))
}

struct Recovery {
    index: Index,
    catalog: Catalog,
    extents: BTreeMap<u64, Found>,
    is_rebuild: bool,
    rows: BTreeMap<ChunkId, Option<Row>>,
    dead: Vec<(ChunkId, u64)>,
    /// Where replayed records of the last extent begin and end.
    unsettled: std::ops::Range<u64>,
}

impl Recovery {
    fn run(
        mut self,
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        environment: Environment,
    ) -> io::Result<(Arc<Store>, Appender)> {
        let start = self.catalog.position;
        self.settle_lengths(start);
        self.mark_lost(start)?;
        let numbers: Vec<u64> = self
            .extents
            .range(start.extent..)
            .map(|(n, _)| *n)
            .collect();
        for number in &numbers {
            let from = if *number == start.extent {
                start.offset
            } else {
                EXTENT_HEADER_LEN
            };
            self.replay_extent(*number, from)?;
        }
        self.commit()?;
        let active = self.resume_last(start, options.extent_size)?;
        let previous = self.last_position();
        let known = self.catalog.extents.keys().chain(self.extents.keys()).max();
        let next_number = known
            .copied()
            .unwrap_or(0)
            .max(start.extent)
            .max(highest_name(&*disk)?)
            + 1;
        if self.catalog.corrupt_chunks > 0 {
            let (chunks, disk) = (self.catalog.corrupt_chunks, options.disk_as_said());
            tracing::error!(
                chunks,
                disk,
                "chunks on this disk are corrupt: they are being replaced from other nodes"
            );
        }
        let checkpoint = self.index.checkpoint(&self.catalog);
        let store = Store::new(disk, options, environment, self.index, self.catalog);
        let store = Arc::new(store);
        match checkpoint {
            // What is here can still be read.
            Err(error) if is_full(&error) => store.fail("write the index", &error),
            result => result?,
        }
        let appender = Appender::new(Arc::clone(&store), active, next_number, previous);
        Ok((store, appender))
    }

    /// Sums that were not written with the rows do not know how long the extents are before the one where replay begins.
    fn settle_lengths(&mut self, start: Position) {
        for (number, sums) in self.catalog.extents.range_mut(..start.extent) {
            if sums.len == 0
                && let Some(found) = self.extents.get(number)
            {
                let told = sealed_len(&self.extents, *number);
                sums.len = if told == u64::MAX { found.len } else { told };
            }
        }
    }

    /// Chunks whose extents are gone or cut since the index was written are corrupt, unless replay finds
    /// that they were moved.
    fn mark_lost(&mut self, start: Position) -> io::Result<()> {
        let mut ends = BTreeMap::new();
        for (number, sums) in &self.catalog.extents {
            let known_len = if *number == start.extent {
                start.offset
            } else {
                sums.len
            };
            match self.extents.get(number) {
                None => {
                    ends.insert(*number, 0);
                }
                Some(found) if found.len < known_len => {
                    ends.insert(*number, found.len);
                }
                Some(_) => {}
            }
        }
        if ends.is_empty() {
            return Ok(());
        }
        let is_lost = |row: &Row| {
            let at = row.location;
            let end = ends.get(&at.extent);
            !row.corrupt && end.is_some_and(|end| at.offset + record_len(at.len) > *end)
        };
        let mut after = None;
        loop {
            let found = self
                .index
                .find_rows(after.as_ref(), is_lost, ROWS_PER_COMMIT)?;
            let Some((last, _)) = found.last() else {
                break;
            };
            after = Some(*last);
            let corrupt = |row| Row {
                corrupt: true,
                ..row
            };
            let rows = found.into_iter();
            self.rows
                .extend(rows.map(|(chunk, row)| (chunk, Some(corrupt(row)))));
            self.commit()?;
        }
        let gone: BTreeSet<u64> = ends
            .keys()
            .filter(|number| !self.extents.contains_key(number))
            .copied()
            .collect();
        let (is_gone, mut after) = (|extent| gone.contains(&extent), None);
        while !gone.is_empty() {
            let buried =
                self.index
                    .dead_in_gone_extents(after.as_ref(), is_gone, ROWS_PER_COMMIT)?;
            let Some(last) = buried.last() else {
                break;
            };
            after = Some(*last);
            self.index.commit(&Changes {
                buried,
                position: start,
                ..Changes::default()
            })?;
        }
        // The catalog must still know the extents while rows leave them.
        self.catalog
            .extents
            .retain(|number, _| !gone.contains(number));
        Ok(())
    }

    fn row(&self, chunk: &ChunkId) -> io::Result<Option<Row>> {
        match self.rows.get(chunk) {
            Some(row) => Ok(*row),
            None => self.index.get(chunk),
        }
    }

    fn set_row(&mut self, chunk: ChunkId, row: Option<Row>) -> io::Result<()> {
        self.rows.insert(chunk, row);
        if self.rows.len() >= ROWS_PER_COMMIT {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> io::Result<()> {
        let changed = self.index.commit(&Changes {
            rows: std::mem::take(&mut self.rows).into_iter().collect(),
            dead: std::mem::take(&mut self.dead),
            buried: Vec::new(),
            position: self.catalog.position,
        })?;
        for (chunk, old, new) in &changed {
            self.catalog.note(chunk, old.as_ref(), new.as_ref());
        }
        Ok(())
    }

    /// Cuts and syncs the last extent, and goes on with it if it can take more.
    fn resume_last(&mut self, start: Position, extent_size: u64) -> io::Result<Option<Active>> {
        let Some((number, found)) = self.extents.last_key_value() else {
            return Ok(None);
        };
        let Some(header) = &found.header else {
            return Ok(None);
        };
        let end = self.catalog.extents.get(number).map_or(0, |sums| sums.len);
        let was_cut = *number == start.extent && found.len < start.offset;
        if *number < start.extent || was_cut || end < EXTENT_HEADER_LEN {
            return Ok(None);
        }
        let settled = || {
            if found.len > end {
                found.file.set_len(end)?;
            }
            rewrite(&*found.file, self.unsettled.clone())?;
            found.file.sync()
        };
        match settled() {
            Ok(()) if end < extent_size => {
                Ok(Some(Active::resume(Arc::clone(&found.file), header, end)))
            }
            Ok(()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn last_position(&self) -> Position {
        let last = self.catalog.extents.last_key_value();
        last.map_or_else(Position::default, |(number, sums)| Position {
            extent: *number,
            offset: sums.len,
        })
    }
}

/// Writes the same bytes again, so that the next sync is about them.
fn rewrite(file: &dyn DiskFile, range: std::ops::Range<u64>) -> io::Result<()> {
    let mut at = range.start;
    let mut piece = Vec::new();
    while at < range.end {
        let len = (range.end - at).min(REWRITE_LEN);
        piece.resize(usize::try_from(len).expect("a piece fits in memory"), 0);
        file.read_exact_at(&mut piece, at)?;
        file.write_all_at(&piece, at)?;
        at += len;
    }
    Ok(())
}
