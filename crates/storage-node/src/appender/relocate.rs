//! Compaction's part of the writer: copies what is still needed of an extent, and removes it.

use std::io;

use bytes::Bytes;
use planted::{Bug, Point, is_planted, reach};
use proto::id::ChunkId;
use proto::net::is_out_of_descriptors;

use super::Appender;
use crate::catalog::Location;
use crate::error::StoreError;
use crate::extent::{EXTENTS_FOLDER, Order, RecordKind, extent_path, record_len};
use crate::index::Changes;
use crate::summary;
use crate::verified::VerifiedChunk;

/// What compaction moves.
#[derive(Debug)]
pub(crate) enum Moved {
    /// A good chunk, if it is still here.
    Put(VerifiedChunk, Location),
    /// A deletion, if it is still needed.
    Delete(ChunkId, Order),
}

impl Appender {
    /// Plans to copy what is still needed of an extent to the active one.
    pub(crate) fn relocate(&mut self, extent: u64, moved: &[Moved]) -> Result<(), StoreError> {
        self.check_writable()?;
        for record in moved {
            match record {
                Moved::Put(chunk, from) => {
                    let row = self.row(&chunk.chunk)?;
                    if row.is_some_and(|row| row.location == *from && !row.corrupt) {
                        self.take_room(record_len(chunk.len()), self.index_reserve())?;
                        self.append_put(chunk, row)?;
                    }
                }
                Moved::Delete(chunk, order) => {
                    if self.row(chunk)?.is_none() && self.has_dead_outside(chunk, extent)? {
                        let kind = RecordKind::Delete { order: *order };
                        self.append(kind, *chunk, Bytes::new(), 0)?;
                        self.batch.deletions += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes a sealed extent in which nothing is needed any more; `false` if something is, or the one before cannot be cut.
    pub(crate) fn remove_extent(&mut self, extent: u64) -> Result<bool, StoreError> {
        self.flush()?;
        let is_active = self
            .active
            .as_ref()
            .is_some_and(|active| active.number == extent);
        let sums = self.store.catalog().extents.get(&extent).copied();
        let Some(sums) = sums.filter(|sums| !is_active && sums.live_chunks == 0) else {
            return Ok(false);
        };
        // What cannot be read now may be the last copy, and be read another time.
        if self.store.index.corrupt_extents()?.contains(&extent) {
            return Ok(false);
        }
        if !self.cut_extent_before(extent) {
            return Ok(false);
        }
        self.have_later_extent(extent)?;
        self.store.catalog().extents.remove(&extent);
        let removed = self.remove_file(extent);
        self.store.forget_file(extent);
        if let Err(error) = removed {
            // It may still be there, or be there again after a crash: deletions of its puts are needed as long.
            self.store.catalog().extents.insert(extent, sums);
            return Err(error.into());
        }
        Ok(true)
    }

    /// The last extent's header and records say which orders were seen, should the index be lost: it goes only once there is a
    /// later one.
    fn have_later_extent(&mut self, extent: u64) -> Result<(), StoreError> {
        let last = self.store.catalog().extents.keys().next_back().copied();
        if self.active.is_none() && last == Some(extent) {
            self.open_active()?;
        }
        Ok(())
    }

    fn remove_file(&self, extent: u64) -> io::Result<()> {
        match self.store.disk.remove(&extent_path(extent)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        reach(Point::ExtentRemoved);
        summary::remove(&*self.store.disk, extent);
        let synced = self.store.disk.sync_folder(EXTENTS_FOLDER);
        synced.inspect_err(|error| {
            // For want of a descriptor nothing was tried: the next round finds the file gone, and syncs then.
            if !is_out_of_descriptors(error) {
                self.store.fail("remove an extent", error);
            }
        })
    }

    /// Forgets the puts of an extent that was removed. Those that a crash leaves known do no harm: they count only as
    /// long as their extent is there.
    pub(crate) fn bury(&mut self, extent: u64, puts: &[ChunkId]) -> Result<(), StoreError> {
        self.flush()?;
        self.make_room_for_index()?;
        let changes = Changes {
            buried: puts.iter().map(|chunk| (*chunk, extent)).collect(),
            position: self.store.catalog().position,
            ..Changes::default()
        };
        self.commit(&changes)
    }

    /// The extent that goes says where the one before it ends; if that one has more, it must go too, durably: a new index would
    /// take refused deletions in it for good. What the index points to was acknowledged, whatever the sums say.
    fn cut_extent_before(&self, extent: u64) -> bool {
        let before = {
            let catalog = self.store.catalog();
            let before = catalog.extents.range(..extent).next_back();
            before.map(|(number, sums)| (*number, sums.len))
        };
        let Some((before, end)) = before else {
            return true;
        };
        let cut = || -> io::Result<()> {
            let file = self.store.extent_file(before)?;
            let len = file.len()?;
            if len > end {
                let end = end.max(self.store.end_of_rows_in(before)?);
                if len > end {
                    file.set_len(end)?;
                    let synced = file.sync();
                    synced.inspect_err(|error| self.store.fail("cut an extent", error))?;
                }
            }
            Ok(())
        };
        match cut() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, extent = before, "could not cut what was never acknowledged off an extent: the one behind it stays");
                false
            }
            _ => true,
        }
    }

    fn has_dead_outside(&self, chunk: &ChunkId, extent: u64) -> Result<bool, StoreError> {
        if is_planted(Bug::DeletionsDropped) {
            return Ok(false);
        }
        let planned = self
            .batch
            .dead
            .iter()
            .any(|(dead, at)| dead == chunk && *at != extent);
        let counts = |at| at != extent && self.store.catalog().extents.contains_key(&at);
        Ok(planned || self.store.index.has_dead(chunk, counts)?)
    }
}
