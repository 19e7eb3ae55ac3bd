//! Opens a store: finds the extents, brings the index up to them, and cuts a torn tail.
//!
//! The index says how far it goes; what follows is replayed from the extents. Only the last extent can have a torn
//! tail, which [`crate::tail`] finds. Whatever else does not verify is corruption: it is reported, and later records are
//! still found.
//!
//! **Invariant:** what replay finds is written once more and synced before it is believed. A killed process may have
//! left records in the system's memory only, and if a sync of them failed, the system takes them for written
//! and would report another sync as done. Where that cannot be done, the disk takes no writes and does not count, and the
//! index does not go beyond, so that the next start does it.

mod anew;
mod lost;
mod replay;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use disk::{Disk, DiskFile, is_full};
use planted::{Bug, is_planted};
use proto::id::ChunkId;

use crate::active::Active;
use crate::appender::Appender;
use crate::catalog::{Catalog, Position, Row};
use crate::environment::Environment;
use crate::error::OpenError;
use crate::extent::{EXTENT_HEADER_LEN, EXTENTS_FOLDER, extent_path};
use crate::found::{
    Found, FoundExtents, find_extents, highest_name, remove_unfinished, sealed_len,
};
use crate::identity::how_to_replace;
use crate::index::{Changes, INDEX_PATH, Index};
use crate::store::{Store, StoreOptions};
use crate::summary;

/// Bytes that are written once more at once.
const REWRITE_LEN: u64 = 1 << 20;
/// Rows that are committed at once during replay.
const ROWS_PER_COMMIT: usize = 64 << 10;

pub(crate) use anew::open_anew;

/// One disk's chunks as readers see them, and what changes them.
pub(crate) type OpenedStore = (Arc<Store>, Appender);

/// Opens the extents and the index of one disk. An index that turns out to be damaged on the way is made anew.
///
/// # Errors
/// When the disk fails, or holds a newer format.
pub(crate) fn open(
    disk: &Arc<dyn Disk>,
    options: StoreOptions,
    environment: &Environment,
) -> Result<OpenedStore, OpenError> {
    let has_index = || {
        let index = disk.open(INDEX_PATH);
        !index.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    // On a new disk there is none: what fails there is not tried again.
    let was_there = has_index();
    let opened = open_once(disk, options.clone(), environment);
    // One that failed was given up, and has lost its name.
    let is_given_up = || was_there && !has_index();
    match opened {
        Err(error @ OpenError::Disk { .. }) if is_given_up() => {
            tracing::warn!(%error, "the index failed at the start; making it anew from the extents");
            open_once(disk, options, environment)
        }
        opened => opened,
    }
}

fn open_once(
    disk: &Arc<dyn Disk>,
    options: StoreOptions,
    environment: &Environment,
) -> Result<OpenedStore, OpenError> {
    let FoundExtents { opened, unopened } = prepare(&**disk, &options)?;
    let owner = (options.node, options.disk_number);
    let open_index = || {
        Index::open(disk, owner, options.cache_bytes)
            .map_err(OpenError::while_doing("open the index"))
    };
    let (mut index, mut catalog) = open_index()?;
    if catalog
        .as_ref()
        .is_some_and(|catalog| misses_extents(catalog, &opened))
    {
        tracing::warn!("the index does not know all extents; making it anew");
        drop(index);
        disk.remove(INDEX_PATH)
            .map_err(OpenError::while_doing("remove the index"))?;
        (index, catalog) = open_index()?;
    }
    let is_rebuild = catalog.is_none();
    let catalog = catalog.unwrap_or_default();
    let unopened: BTreeSet<u64> = unopened.into_keys().collect();
    let is_known =
        |number: &u64| *number < catalog.position.extent && catalog.extents.contains_key(number);
    let recovery = Recovery {
        is_partial: !unopened.iter().all(is_known),
        hidden_in: None,
        is_rebuild,
        catalog,
        index,
        extents: opened,
        unopened,
        rows: BTreeMap::new(),
        dead: Vec::new(),
        unsettled: Vec::new(),
        is_end_certain: true,
    };
    let disk = Arc::clone(disk);
    let environment = environment.clone();
    recovery
        .run(disk, options, environment)
        .map_err(OpenError::while_doing("read the extents"))
}

fn prepare(disk: &dyn Disk, options: &StoreOptions) -> Result<FoundExtents, OpenError> {
    // An unfinished extent that was removed must not come back once the one before it goes on.
    disk.create_folder(EXTENTS_FOLDER)
        .and_then(|()| disk.sync_folder(""))
        .and_then(|()| disk.sync_folder(EXTENTS_FOLDER))
        .map_err(OpenError::while_doing("make the folder for extents"))?;
    let mut extents = find_extents(disk)?;
    remove_unfinished(disk, &mut extents.opened)
        .map_err(OpenError::while_doing("remove an unfinished extent"))?;
    let is_there =
        |number| extents.opened.contains_key(&number) || extents.unopened.contains_key(&number);
    summary::remove_orphans(disk, is_there).map_err(OpenError::while_doing("list the extents"))?;
    for (extent, error) in &extents.unopened {
        tracing::error!(
            extent,
            %error,
            "an extent cannot be opened: it is left alone, and its chunks are lost here until a start where it can be"
        );
    }
    extents.opened.retain(|number, found| {
        let owner = (options.node, options.disk_number);
        let header = found.header.as_ref();
        let is_ours = header.is_none_or(|header| header.is_of(*number, owner));
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

/// Whether there are extents that the index should know, and does not. One that was made anew without some of them is at no
/// position.
fn misses_extents(catalog: &Catalog, extents: &BTreeMap<u64, Found>) -> bool {
    let is_at_none = catalog.position == Position::default();
    (is_at_none && !extents.is_empty())
        || extents
            .range(..=catalog.position.extent)
            .any(|(number, _)| !catalog.extents.contains_key(number))
}

struct Recovery {
    index: Index,
    catalog: Catalog,
    extents: BTreeMap<u64, Found>,
    /// Extents that are there and cannot be opened.
    unopened: BTreeSet<u64>,
    /// Whether one of them, or a place that cannot be read, may hold what the index does not know. Nothing is changed then: a deletion that seems to undo
    /// nothing may undo a put in there. Nor is anything replayed that comes later: the index stays as it is, and where it is,
    /// so that a start that can open all of them replays all. An index that is made anew is for this start only.
    is_partial: bool,
    /// The first extent with such a place.
    hidden_in: Option<u64>,
    is_rebuild: bool,
    rows: BTreeMap<ChunkId, Option<Row>>,
    dead: Vec<(ChunkId, u64)>,
    /// Where the replayed records of the last extent stand.
    unsettled: Vec<Range<u64>>,
    /// Whether that ends where it seems to: if something behind cannot be read, it may be a good record.
    is_end_certain: bool,
}

impl Recovery {
    fn run(
        mut self,
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        environment: Environment,
    ) -> io::Result<OpenedStore> {
        let start = self.catalog.position;
        let mut settled_to = start;
        self.settle_lengths(start);
        let mut numbers = Vec::new();
        if self.is_rebuild || !self.is_partial {
            self.mark_lost(start)?;
            numbers.extend(self.extents.range(start.extent..).map(|(n, _)| *n));
        }
        if is_planted(Bug::IndexTrusted) && !self.is_rebuild {
            numbers.clear();
        }
        for number in &numbers {
            let from = if *number == start.extent {
                start.offset
            } else {
                EXTENT_HEADER_LEN
            };
            settled_to = self.catalog.position;
            self.replay_extent(&*disk, *number, from)?;
        }
        let resumed = self.resume_last(start, &options);
        if resumed.is_err() {
            self.catalog.position = settled_to;
        }
        if self.is_partial {
            self.catalog.position = start;
        }
        self.commit()?;
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
        let lack = self.lack(&options);
        let store = Store::new(disk, options, environment, self.index, self.catalog);
        let store = Arc::new(store);
        if let Some((doing, error)) = lack {
            store.fail(doing, &error);
        }
        let active = match resumed {
            Ok(active) => {
                let checkpoint = store.index.checkpoint(&store.catalog());
                match checkpoint {
                    // What is here can still be read.
                    Err(error) if is_full(&error) => store.fail("write the index", &error),
                    result => result?,
                }
                active
            }
            Err(error) => {
                store.fail("settle the last extent", &error);
                None
            }
        };
        store.learn_noted();
        let appender = Appender::new(Arc::clone(&store), active, next_number, previous);
        Ok((store, appender))
    }

    /// What keeps all of the disk from being known, if anything does.
    fn lack(&self, options: &StoreOptions) -> Option<(&'static str, io::Error)> {
        if let Some(number) = self.hidden_in {
            return Some(("read an extent", unreadable("a place in", number, options)));
        }
        let error = || io::Error::other("its chunks are not all in the index");
        self.is_partial.then(|| ("open an extent", error()))
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
    fn resume_last(&self, start: Position, options: &StoreOptions) -> io::Result<Option<Active>> {
        let Some((number, found)) = self.extents.last_key_value() else {
            return Ok(None);
        };
        // Whatever else is wrong with it: a new extent would say for good that nothing is behind.
        if !self.is_end_certain {
            return Err(unreadable("the end of", *number, options));
        }
        let end = self.catalog.extents.get(number).map_or(0, |sums| sums.len);
        let was_cut = *number == start.extent && found.len < start.offset;
        if self.is_partial || *number < start.extent || was_cut || end < EXTENT_HEADER_LEN {
            return Ok(None);
        }
        let end = if is_planted(Bug::TornTailKept) {
            found.len
        } else {
            end
        };
        // Also where nothing is cut: a killed process had taken blocks ahead.
        found.file.set_len(end)?;
        for range in &self.unsettled {
            rewrite(&*found.file, range.clone())?;
        }
        found.file.sync()?;
        let header = found.header.as_ref();
        let goes_on = header.filter(|_| end < options.extent_size);
        Ok(goes_on.map(|header| Active::resume(Arc::clone(&found.file), header, end)))
    }

    fn last_position(&self) -> Position {
        let last = self.catalog.extents.last_key_value();
        last.map_or_else(Position::default, |(number, sums)| Position {
            extent: *number,
            offset: sums.len,
        })
    }
}

fn unreadable(part: &str, number: u64, options: &StoreOptions) -> io::Error {
    let path = extent_path(number);
    let replace = how_to_replace(options.disk_number as usize);
    io::Error::other(format!(
        "{part} {path} cannot be read; if that is so after a restart too, wait until other nodes have copies of this disk's \
         chunks, and {replace}"
    ))
}

/// Writes the same bytes again, so that the next sync is about them.
fn rewrite(file: &dyn DiskFile, range: Range<u64>) -> io::Result<()> {
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
