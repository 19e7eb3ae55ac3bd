//! What is known of a disk beside its index, and stays known when that is made anew.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use proto::id::ChunkId;
use threads::Mutex;

use super::Store;
use crate::catalog::{Location, Position, Row};
use crate::index::Index;

/// Bad records that are remembered although the index could not note them. What is beyond is found bad once more when
/// it is read.
const UNMARKED_MAX: usize = 64 << 10;

/// What all stores of one disk share, one after another.
#[derive(Debug, Default)]
pub(super) struct Beside {
    failed: Mutex<Option<Arc<str>>>,
    /// Records that were found bad, and of which the index could not note it.
    unmarked: Mutex<HashMap<ChunkId, Location>>,
    /// Records that the index knows to be bad: one that is made anew does not.
    noted: Mutex<HashMap<ChunkId, Location>>,
    /// Up to where this process appended and synced last. An index that failed may not know of it.
    synced: Mutex<Position>,
}

impl Store {
    pub(super) fn is_unmarked(&self, chunk: &ChunkId, location: Location) -> bool {
        self.beside.unmarked.lock().get(chunk) == Some(&location)
    }

    /// Remembers that a record is bad until the index has noted it, or a start.
    pub(crate) fn remember_bad(&self, chunk: ChunkId, location: Location) {
        let mut unmarked = self.beside.unmarked.lock();
        if unmarked.len() < UNMARKED_MAX {
            unmarked.insert(chunk, location);
        }
    }

    /// The index has noted what was remembered of this record; one that failed since does not count.
    pub(crate) fn settle_bad(&self, chunk: &ChunkId, location: Location) {
        if self.index.failure().is_none() {
            self.forget_bad(chunk, location);
        }
    }

    /// Nothing is to be remembered of this record.
    pub(super) fn forget_bad(&self, chunk: &ChunkId, location: Location) {
        let mut unmarked = self.beside.unmarked.lock();
        if unmarked.get(chunk) == Some(&location) {
            unmarked.remove(chunk);
        }
    }

    /// The index has this row of a chunk in the place of another.
    pub(crate) fn note_row(&self, chunk: &ChunkId, old: Option<&Row>, new: Option<&Row>) {
        // What was only remembered of a record that was replaced, moved, removed or marked is settled.
        if let Some(old) = old {
            self.forget_bad(chunk, old.location);
        }
        let mut noted = self.beside.noted.lock();
        noted.remove(chunk);
        if let Some(row) = new.filter(|row| row.corrupt)
            && noted.len() < UNMARKED_MAX
        {
            noted.insert(*chunk, row.location);
        }
    }

    /// How many of the records that the index knows to be bad are known without it.
    pub(crate) fn noted_count(&self) -> u64 {
        self.beside.noted.lock().len() as u64
    }

    /// Learns which records the index knows to be bad. What is missing here, the scrubber has to find once more under a later
    /// index.
    pub(crate) fn learn_noted(&self) {
        let learn = || -> io::Result<()> {
            for chunk in self.index.corrupt_page(None, UNMARKED_MAX)? {
                let row = self.index.get(&chunk)?;
                self.note_row(&chunk, None, row.as_ref());
            }
            Ok(())
        };
        if let Err(error) = learn() {
            let disk = self.options.disk_as_said();
            tracing::warn!(disk, %error, "cannot read which chunks are known to be corrupt");
        }
    }

    /// What is known to be bad, now that another index says which records there are: that one has not noted it.
    pub(crate) fn remember_noted(&self, index: &Index) -> io::Result<()> {
        let has = |chunk: &ChunkId, at| -> io::Result<bool> {
            let row = index.get(chunk)?;
            Ok(row.is_some_and(|row| row.location == at && !row.corrupt))
        };
        for (chunk, at) in self.unmarked() {
            if !has(&chunk, at)? {
                self.forget_bad(&chunk, at);
            }
        }
        let noted = self.beside.noted.lock().clone();
        for (chunk, at) in noted {
            if has(&chunk, at)? {
                self.remember_bad(chunk, at);
            }
        }
        self.beside.noted.lock().clear();
        Ok(())
    }

    /// Records that are known to be bad, but not to the index, in the order of chunks.
    pub(crate) fn unmarked(&self) -> Vec<(ChunkId, Location)> {
        let unmarked = self.beside.unmarked.lock();
        let mut records: Vec<_> = unmarked.iter().map(|(chunk, at)| (*chunk, *at)).collect();
        drop(unmarked);
        records.sort_unstable_by_key(|(chunk, _)| *chunk);
        records
    }

    /// Why it takes no writes any more, if it failed for what is no matter of the index.
    pub(crate) fn own_failure(&self) -> Option<Arc<str>> {
        self.beside.failed.lock().clone()
    }

    /// Up to where this process appended and synced last.
    pub(crate) fn synced(&self) -> Position {
        *self.beside.synced.lock()
    }

    /// All before this place is durable.
    pub(crate) fn note_synced(&self, position: Position) {
        *self.beside.synced.lock() = position;
    }

    /// Refuses all writes from now on.
    pub(crate) fn fail(&self, what: &str, error: &io::Error) {
        let mut failed = self.beside.failed.lock();
        if failed.is_none() {
            let disk = self.options.disk_as_said();
            tracing::error!(disk, %error, "{what}: the disk takes no more writes until a restart");
            *failed = Some(format!("{what}: {error}").into());
        }
    }
}
