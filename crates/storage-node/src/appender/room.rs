//! Room on a disk that others fill too: what is left for whom, and what is set aside in time.

use super::Appender;
use crate::error::StoreError;

/// Free bytes that are left for the index when everything else stops.
const INDEX_RESERVE_MAX: u64 = 16 << 20;

impl Appender {
    /// Only puts leave the reserve alone: deletions and compaction use it, since they win space back. The last
    /// of it is the index's.
    pub(super) fn take_room(&mut self, len: u64, keep: u64) -> Result<(), StoreError> {
        let free = match self.batch.free {
            Some(free) => free,
            None => self.store.space()?.free,
        };
        let left = free.checked_sub(len).filter(|left| *left >= keep);
        self.batch.free = Some(left.ok_or(StoreError::NoSpace)?);
        Ok(())
    }

    /// For deletions, which must be possible on a full disk too.
    pub(super) fn take_room_of_ballast(&mut self, len: u64) -> Result<(), StoreError> {
        if self.take_room(len, self.index_reserve()).is_ok() {
            return Ok(());
        }
        if self.ballast.give(&*self.store.disk) {
            self.batch.free = None;
        }
        self.take_room(len, self.index_room())
    }

    /// An index that hits the end of the disk may have to be made anew at the next start, so it is not written where that
    /// is likely.
    pub(super) fn make_room_for_index(&mut self) -> Result<(), StoreError> {
        let has_room = |appender: &Self| -> Result<bool, StoreError> {
            Ok(appender.store.space()?.free >= appender.index_room())
        };
        if has_room(self)? || (self.ballast.give(&*self.store.disk) && has_room(self)?) {
            return Ok(());
        }
        Err(StoreError::NoSpace)
    }

    pub(super) fn take_ballast(&mut self) {
        if let Ok(space) = self.store.space() {
            let spare = space.free.saturating_sub(self.index_reserve());
            self.ballast.take(&*self.store.disk, spare);
        }
    }

    pub(super) fn index_reserve(&self) -> u64 {
        index_reserve(self.store.options.reserve)
    }

    /// What one change of the index takes at most, of what is kept for it.
    pub(super) fn index_room(&self) -> u64 {
        self.index_reserve() / 4
    }
}

/// What is kept for the index and for deletions, twice: as free space, and as ballast.
pub(super) fn index_reserve(reserve: u64) -> u64 {
    INDEX_RESERVE_MAX.min(reserve / 2)
}
