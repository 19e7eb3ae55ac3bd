//! Makes a new index of a disk that is in use, whose index failed.
//!
//! The node knows which extents there are, how far each counts, and that all of it is durable. So nothing is settled, cut or
//! removed as at a start: the extents are only read, each as far as it counts, and what they show is compared with what was known.
//! Behind that comes what was synced and the failed index did not take any more: whoever waited was told that it failed, but it counts.
//! What is written next goes to a new extent.
//!
//! **Invariant:** what cannot be read now, but was acknowledged, is not forgotten: then there is no new index, and the disk stays as
//! it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use disk::Disk;

use super::{OpenedStore, Recovery};
use crate::appender::Appender;
use crate::catalog::{Catalog, ExtentSums, Position};
use crate::error::OpenError;
use crate::extent::EXTENT_HEADER_LEN;
use crate::found::{Found, find_extent, highest_name};
use crate::index::{INDEX_PATH, Index};
use crate::store::Store;
use crate::summary::Summarized;
use crate::walk::Payloads;

/// Opens a store once more, with a new index. Nobody may write to it meanwhile.
///
/// # Errors
/// When the disk fails, or does not show all that was known. Then the old store has no index, and the disk none to find.
pub(crate) fn open_anew(old: &Store) -> Result<OpenedStore, OpenError> {
    let (disk, options) = (&old.disk, &old.options);
    let known = old.catalog().clone();
    let extents = known_extents(old, &known)?;
    let highest = highest_name(&**disk).map_err(OpenError::while_doing("list the extents"))?;
    old.index
        .retire()
        .and_then(|()| remove_left_over(&**disk))
        .map_err(OpenError::while_doing("remove the index"))?;
    let owner = (options.node, options.disk_number);
    let index = Index::create(disk, owner, options.cache_bytes)
        .map_err(OpenError::while_doing("make a new index"))?;
    let mut recovery = Recovery {
        index,
        catalog: Catalog::default(),
        extents,
        unopened: BTreeSet::new(),
        is_partial: false,
        hidden_in: None,
        is_rebuild: true,
        rows: BTreeMap::new(),
        dead: Vec::new(),
        unsettled: Vec::new(),
        is_end_certain: true,
    };
    if let Err(error) = recovery.read_known(old, &known) {
        // Should it stay, no start takes it for a whole one.
        drop(recovery.index.retire());
        return Err(OpenError::while_doing("read the extents")(error));
    }
    let previous = recovery.last_position();
    let last = known.last_extent().max(Some(known.position.extent));
    let next_number = last.max(Some(highest)).unwrap_or(0) + 1;
    let store = Arc::new(old.with_index(recovery.index, recovery.catalog));
    store.learn_noted();
    let appender = Appender::new(Arc::clone(&store), None, next_number, previous);
    Ok((store, appender))
}

/// What an earlier try left, which nobody uses.
fn remove_left_over(disk: &dyn Disk) -> io::Result<()> {
    match disk.remove(INDEX_PATH) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The files of all extents that are known. One that is gone is done without, if nothing was known to be good in it.
fn known_extents(store: &Store, known: &Catalog) -> Result<BTreeMap<u64, Found>, OpenError> {
    let mut extents = BTreeMap::new();
    for (number, sums) in &known.extents {
        match find_extent(&*store.disk, *number) {
            Ok(found) if found.len < sums.len => {
                let source = io::Error::other("it is shorter than it was");
                let what = format!("read extent {number}");
                return Err(OpenError::Disk { what, source });
            }
            Ok(found) => drop(extents.insert(*number, found)),
            Err(OpenError::Disk { source, .. })
                if source.kind() == io::ErrorKind::NotFound && sums.live_chunks == 0 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(extents)
}

impl Recovery {
    /// Reads all that is known, checks that it is all, and makes the index durable.
    fn read_known(&mut self, old: &Store, known: &Catalog) -> io::Result<()> {
        let numbers: Vec<u64> = self.extents.keys().copied().collect();
        for number in numbers {
            self.read_extent(old, number, &known.extents[&number])?;
        }
        self.commit()?;
        self.catalog.check_against(known)?;
        // Else what was known to be bad has to be found once more.
        if old.noted_count() >= known.corrupt_chunks {
            self.catalog.keep_scrubbed(known);
        }
        let tail = self.read_tail(old.synced())?;
        // A disk that failed did not settle all of it: the next start does.
        let is_settled = old.own_failure().is_none();
        self.catalog.position = tail.filter(|_| is_settled).unwrap_or(known.position);
        self.catalog.order = self.catalog.order.max(known.order);
        self.commit()?;
        self.index.checkpoint(&self.catalog)?;
        old.remember_noted(&self.index)
    }

    /// Reads one extent as far as it counts.
    fn read_extent(&mut self, old: &Store, number: u64, sums: &ExtentSums) -> io::Result<()> {
        let header = self.extents[&number].header.as_ref();
        let summarized = header.map(|header| Summarized {
            number,
            salt: header.salt,
            end: sums.len,
        });
        let summary = summarized.and_then(|summarized| summarized.read(&*old.disk));
        let range = EXTENT_HEADER_LEN..sums.len;
        let replayed = self.replay_part(number, range, Payloads::Skip, summary)?;
        refuse_unreadable(number, replayed.met_unreadable)
    }

    /// Reads what was synced behind that, if anything was; says up to where.
    fn read_tail(&mut self, synced: Position) -> io::Result<Option<Position>> {
        let Position { extent, offset } = synced;
        let known = self.catalog.extents.get(&extent);
        let Some(from) = known.map(|sums| sums.len).filter(|from| *from < offset) else {
            return Ok(None);
        };
        let replayed = self.replay_part(extent, from..offset, Payloads::Verify, None)?;
        refuse_unreadable(extent, replayed.met_unreadable)?;
        Ok(Some(synced))
    }
}

fn refuse_unreadable(extent: u64, met_unreadable: bool) -> io::Result<()> {
    if met_unreadable {
        return Err(io::Error::other(format!("extent {extent} cannot be read")));
    }
    Ok(())
}
