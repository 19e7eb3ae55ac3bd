//! A disk in memory that can be crashed, filled and damaged: for tests, never for data that matters.
//!
//! It keeps what a machine keeps. A write is seen at once and is durable only after `sync`; a new, renamed or
//! removed name is durable only after `sync_folder`. [`MemoryDisk::crash`] loses what was not: of unsynced writes
//! any sectors of 512 bytes may have reached the disk, in any order, the rest not; of unsynced changes of
//! names a beginning. After a failed `sync` the writes that it should have made durable are gone for good,
//! although they can still be read until the crash, and a second `sync` reports success: just as on Linux.
//!
//! **Invariant:** same calls and same random numbers, same disk: nothing here depends on time, threads or addresses.

mod file;
mod hang;
mod state;

use std::io;
use std::sync::{Arc, MutexGuard};

use planted::{Bug, is_planted};
use rand::Rng;

use crate::real::check_path;
use crate::{Disk, DiskEntry, DiskFile, DiskLock, Space};
use file::MemoryFile;
pub use hang::Hang;
use hang::{Hangs, Shared};
pub use state::Given;
use state::{NameChange, State};

/// What the disk writes at once or not at all.
pub const SECTOR_LEN: usize = 512;

/// A data folder in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    shared: Arc<Shared>,
}

impl MemoryDisk {
    /// An empty disk of 1 TiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same disk, as what the rest asks for.
    pub fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Whether it is the same disk, and not only a copy.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Power is lost and comes back: what was not synced is lost or torn. Files and locks held from before are
    /// dead; faults that were set are over, but damage and the limit of space stay.
    pub fn crash(&self, rng: &mut impl Rng) {
        self.state().crash(&mut || rng.next_u64());
        self.shared.wake();
    }

    /// As [`MemoryDisk::crash`], but everything written got through: the process was killed, the machine lives on.
    pub fn kill(&self) {
        self.state().kill();
        self.shared.wake();
    }

    /// The next `count` changes (writes, lengths, names, syncs) succeed; then nothing does any more until a crash.
    pub fn stop_after(&self, count: u64) {
        self.state().faults.changes_left = Some(count);
    }

    /// How many changes were made since the disk was made: where [`MemoryDisk::stop_after`] can stop.
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Whether all is durable: a crash now would lose nothing.
    pub fn is_synced(&self) -> bool {
        self.state().is_synced()
    }

    /// The errors that it has given: a fault that was set need not have come to pass.
    pub fn given(&self) -> Given {
        self.state().given
    }

    /// The next `count` syncs of files succeed, then they fail, and lose what they should have kept.
    pub fn fail_syncs_after(&self, count: u64) {
        self.state().faults.syncs_left = Some(count);
    }

    /// The next sync of a file fails, and loses what it should have kept; those after it succeed.
    pub fn fail_next_sync(&self) {
        self.state().faults.fail_next_sync = true;
    }

    /// The next write fails; those after it succeed.
    pub fn fail_next_write(&self) {
        self.state().faults.fail_next_write = true;
    }

    /// The next `count` writes succeed, then they fail.
    pub fn fail_writes_after(&self, count: u64) {
        self.state().faults.writes_left = Some(count);
    }

    /// Reads of this file fail where they touch this range.
    pub fn fail_reads(&self, path: &str, range: std::ops::Range<u64>) {
        self.state()
            .faults
            .unreadable
            .push((path.to_owned(), range));
    }

    /// No file can be opened, as in a process that has no descriptor left.
    pub fn fail_opens(&self) {
        self.state().faults.opens_fail = true;
    }

    /// This file cannot be opened.
    pub fn fail_opens_of(&self, path: &str) {
        self.state().faults.unopenable.push(path.to_owned());
    }

    /// No file can be removed.
    pub fn fail_removes(&self) {
        self.state().faults.removes_fail = true;
    }

    /// No lock can be taken, as on a file system that the system took the right to write from.
    pub fn fail_locks(&self) {
        self.state().faults.locks_fail = true;
    }

    /// Whatever reads from the disk, changes it or asks for its room waits until the guard is dropped, the disk is healed
    /// or crashes. The lengths of open files are still told: a system knows them without the disk.
    pub fn hang(&self) -> Hang {
        Hang::begin(&self.shared, Hangs::All)
    }

    /// The same for whatever changes it; it can be read.
    pub fn hang_writes(&self) -> Hang {
        Hang::begin(&self.shared, Hangs::Writes)
    }

    /// How many callers wait because it hangs.
    pub fn waiting(&self) -> usize {
        self.state().waiting
    }

    /// Syncs, writes, reads and opens succeed again. What a failed sync lost stays lost.
    pub fn heal(&self) {
        self.state().heal();
        self.shared.wake();
    }

    /// No more space: what would make a file longer fails with `StorageFull`.
    pub fn fill(&self) {
        let mut state = self.state();
        state.capacity = state.used();
    }

    /// Sets the space in all.
    pub fn set_capacity(&self, capacity: u64) {
        self.state().capacity = capacity;
    }

    /// From now on it says to be a folder of this file system.
    pub fn set_file_system(&self, id: u64) {
        self.state().file_system = Some(id);
    }

    /// Flips bits of one byte behind everybody's back.
    pub fn flip(&self, path: &str, offset: u64, mask: u8) {
        self.damage(path, |content| {
            if let Some(byte) = usize::try_from(offset)
                .ok()
                .and_then(|at| content.get_mut(at))
            {
                *byte ^= mask;
            }
        });
    }

    /// Cuts a file, or makes it longer with zeros, behind everybody's back.
    pub fn cut(&self, path: &str, len: u64) {
        let len = usize::try_from(len).expect("files in memory are small");
        self.damage(path, |content| content.resize(len, 0));
    }

    /// Replaces a file's content behind everybody's back; makes the file if there is none.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        if !self.state().names.contains_key(path) {
            self.create(path).expect("the name is free");
        }
        self.state().change_names(NameChange::keep_all());
        self.damage(path, |content| *content = bytes.to_vec());
    }

    /// A file's bytes as a reader sees them now; `None` if there is no such file.
    pub fn content(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let id = state.names.get(path)?.file()?;
        Some(state.files[&id].current.clone())
    }

    /// A copy of this disk, with a life of its own, in use by nobody: for tests that try many ends of one beginning.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut state = self.state().clone();
        state.locks.clear();
        state.given = Given::default();
        Self {
            shared: Arc::new(Shared::new(state)),
        }
    }

    fn damage(&self, path: &str, change: impl Fn(&mut Vec<u8>)) {
        let mut state = self.state();
        let id = state.names.get(path).and_then(state::Name::file);
        let id = id.expect("the file to damage is there");
        let file = state.files.get_mut(&id).expect("a name's file is there");
        change(&mut file.current);
        change(&mut file.durable);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

fn not_found(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{path}: no such file"))
}

impl Disk for MemoryDisk {
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        check_path(path)?;
        let mut state = self.shared.when_answering();
        state.check_running()?;
        state.check_openable(path)?;
        let name = state.names.get(path).ok_or_else(|| not_found(path))?;
        let id = name.file().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Arc::new(MemoryFile {
            disk: Arc::clone(&self.shared),
            id,
            life: state.life,
        }))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        check_path(path)?;
        self.shared.when_writable().create(path)?;
        self.open(path)
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        check_path(path)?;
        self.shared.when_writable().create_folder(path)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<DiskEntry>> {
        self.shared.when_answering().list(folder)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_path(to)?;
        self.shared.when_writable().rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.shared.when_writable().remove(path)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.shared.when_writable();
        state.begin_change()?;
        if is_planted(Bug::NoFolderSync) {
            return Ok(());
        }
        state.change_names(NameChange::keep_folder(folder));
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let state = self.shared.when_answering();
        state.check_running()?;
        Ok(Space {
            capacity: state.capacity,
            free: state.capacity.saturating_sub(state.used()),
            file_system: state.file_system,
        })
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>> {
        check_path(path)?;
        let mut state = self.state();
        state.check_running()?;
        if state.faults.locks_fail {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if !state.locks.insert(path.to_owned()) {
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "the folder is in use by another process",
            ));
        }
        Ok(Box::new(MemoryLock {
            disk: Arc::clone(&self.shared),
            path: path.to_owned(),
            life: state.life,
        }))
    }
}

#[derive(Debug)]
struct MemoryLock {
    disk: Arc<Shared>,
    path: String,
    life: u64,
}

impl DiskLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.locks.remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
