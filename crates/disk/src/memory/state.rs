//! What the in-memory disk holds: names and contents, each as seen now and as it would be after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

use super::hang::Hangs;
use super::{SECTOR_LEN, not_found};
use crate::{DiskEntry, DiskEntryKind};

/// Everything about the disk, under one lock.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) names: BTreeMap<String, Name>,
    pub(super) files: BTreeMap<u64, Content>,
    pub(super) locks: BTreeSet<String>,
    pub(super) faults: Faults,
    pub(super) hangs: Option<Hangs>,
    /// How many callers wait for that to end.
    pub(super) waiting: usize,
    pub(super) capacity: u64,
    pub(super) file_system: Option<u64>,
    pub(super) changes: u64,
    pub(super) given: Given,
    /// Counts crashes: what was opened in an earlier life is dead.
    pub(super) life: u64,
    durable_names: BTreeMap<String, Name>,
    unsynced_names: Vec<NameUpdate>,
    next_file: u64,
}

/// What shall go wrong.
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    pub(super) changes_left: Option<u64>,
    pub(super) syncs_left: Option<u64>,
    pub(super) fail_next_sync: bool,
    pub(super) fail_next_write: bool,
    pub(super) writes_left: Option<u64>,
    pub(super) unreadable: Vec<(String, Range<u64>)>,
    pub(super) opens_fail: bool,
    pub(super) unopenable: Vec<String>,
    pub(super) removes_fail: bool,
    pub(super) locks_fail: bool,
}

/// How many errors the disk has given since it was made, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Given {
    /// Of syncs that were to fail.
    pub syncs: u64,
    /// Of writes that were to fail.
    pub writes: u64,
    /// Of reads that were to fail.
    pub reads: u64,
    /// Of files that were not to be opened.
    pub opens: u64,
    /// Because there was no room.
    pub full: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Folder,
    File(u64),
}

impl Name {
    pub(super) fn file(&self) -> Option<u64> {
        match self {
            Self::Folder => None,
            Self::File(id) => Some(*id),
        }
    }
}

/// A file's bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub(super) current: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<Unsynced>,
}

/// What was done to a file since its last sync.
#[derive(Debug, Clone)]
pub(super) enum Unsynced {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

/// One change of names: what each of these paths stands for from then on.
#[derive(Debug, Clone)]
struct NameUpdate(Vec<(String, Option<Name>)>);

/// Which unsynced changes of names become durable.
#[derive(Clone, Copy)]
pub(super) struct NameChange<'a>(Option<&'a str>);

impl<'a> NameChange<'a> {
    pub(super) fn keep_all() -> Self {
        Self(None)
    }

    pub(super) fn keep_folder(folder: &'a str) -> Self {
        Self(Some(folder))
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            names: BTreeMap::new(),
            files: BTreeMap::new(),
            locks: BTreeSet::new(),
            faults: Faults::default(),
            hangs: None,
            waiting: 0,
            capacity: 1 << 40,
            file_system: None,
            changes: 0,
            given: Given::default(),
            life: 0,
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            next_file: 0,
        }
    }
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn take_one(left: &mut Option<u64>) -> bool {
    match left {
        None => true,
        Some(0) => false,
        Some(count) => {
            *count -= 1;
            true
        }
    }
}

impl State {
    pub(super) fn used(&self) -> u64 {
        let ids = self.names.values().filter_map(Name::file);
        ids.map(|id| self.files[&id].current.len() as u64).sum()
    }

    pub(super) fn check_running(&self) -> io::Result<()> {
        if self.faults.changes_left == Some(0) {
            return Err(io::Error::other("the disk has stopped"));
        }
        Ok(())
    }

    pub(super) fn begin_change(&mut self) -> io::Result<()> {
        if !take_one(&mut self.faults.changes_left) {
            return Err(io::Error::other("the disk has stopped"));
        }
        self.changes += 1;
        Ok(())
    }

    pub(super) fn begin_write(&mut self) -> io::Result<()> {
        self.begin_change()?;
        let fails = std::mem::take(&mut self.faults.fail_next_write);
        if take_one(&mut self.faults.writes_left) && !fails {
            Ok(())
        } else {
            self.given.writes += 1;
            Err(io::Error::other("injected write error"))
        }
    }

    pub(super) fn begin_sync(&mut self, id: u64) -> io::Result<()> {
        self.begin_change()?;
        let fails = std::mem::take(&mut self.faults.fail_next_sync);
        if take_one(&mut self.faults.syncs_left) && !fails {
            return Ok(());
        }
        if let Some(file) = self.files.get_mut(&id) {
            file.unsynced.clear();
        }
        self.given.syncs += 1;
        Err(io::Error::other("injected sync error"))
    }

    pub(super) fn check_readable(&mut self, id: u64, range: &Range<u64>) -> io::Result<()> {
        let touches = |(path, bad): &(String, Range<u64>)| {
            self.names.get(path).and_then(Name::file) == Some(id)
                && bad.start < range.end
                && range.start < bad.end
        };
        if self.faults.unreadable.iter().any(touches) {
            self.given.reads += 1;
            return Err(io::Error::other("injected read error"));
        }
        Ok(())
    }

    pub(super) fn create(&mut self, path: &str) -> io::Result<()> {
        self.begin_change()?;
        self.check_folder(path)?;
        if self.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if self.used() >= self.capacity {
            return Err(self.full());
        }
        let id = self.next_file;
        self.next_file += 1;
        self.files.insert(id, Content::default());
        self.rename_now(vec![(path.to_owned(), Some(Name::File(id)))]);
        Ok(())
    }

    pub(super) fn full(&mut self) -> io::Error {
        self.given.full += 1;
        io::ErrorKind::StorageFull.into()
    }

    pub(super) fn check_openable(&mut self, path: &str) -> io::Result<()> {
        if self.faults.opens_fail || self.faults.unopenable.iter().any(|other| other == path) {
            self.given.opens += 1;
            return Err(io::Error::other("injected open error"));
        }
        Ok(())
    }

    /// Whether a crash now would lose nothing.
    pub(super) fn is_synced(&self) -> bool {
        self.unsynced_names.is_empty() && self.files.values().all(|file| file.unsynced.is_empty())
    }

    pub(super) fn create_folder(&mut self, path: &str) -> io::Result<()> {
        // The data folder itself is always there.
        if path.is_empty() {
            return Ok(());
        }
        self.begin_change()?;
        self.check_folder(path)?;
        match self.names.get(path) {
            Some(Name::Folder) => {}
            Some(Name::File(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            None => self.rename_now(vec![(path.to_owned(), Some(Name::Folder))]),
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.begin_change()?;
        self.check_folder(to)?;
        let name = *self.names.get(from).ok_or_else(|| not_found(from))?;
        self.rename_now(vec![(from.to_owned(), None), (to.to_owned(), Some(name))]);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &str) -> io::Result<()> {
        self.begin_change()?;
        if self.names.get(path).and_then(Name::file).is_none() {
            return Err(not_found(path));
        }
        if self.faults.removes_fail {
            return Err(io::Error::other("injected remove error"));
        }
        self.rename_now(vec![(path.to_owned(), None)]);
        Ok(())
    }

    pub(super) fn list(&self, folder: &str) -> io::Result<Vec<DiskEntry>> {
        self.check_running()?;
        if !folder.is_empty() && self.names.get(folder) != Some(&Name::Folder) {
            return Err(not_found(folder));
        }
        let names = self
            .names
            .iter()
            .filter(|(path, _)| folder_of(path) == folder);
        Ok(names
            .map(|(path, name)| DiskEntry {
                name: path.rsplit('/').next().unwrap_or(path).to_owned(),
                kind: match name {
                    Name::Folder => DiskEntryKind::Folder,
                    Name::File(_) => DiskEntryKind::File,
                },
            })
            .collect())
    }

    /// Makes unsynced changes of names durable.
    pub(super) fn change_names(&mut self, which: NameChange<'_>) {
        let kept = |update: &NameUpdate| match which.0 {
            None => true,
            Some(folder) => update.0.iter().any(|(path, _)| folder_of(path) == folder),
        };
        let (durable, unsynced) = std::mem::take(&mut self.unsynced_names)
            .into_iter()
            .partition(kept);
        self.unsynced_names = unsynced;
        self.apply_names(durable);
    }

    pub(super) fn kill(&mut self) {
        self.change_names(NameChange::keep_all());
        for file in self.files.values_mut() {
            // After a failed sync the rest of the pages is still in memory, and stays there.
            file.unsynced.clear();
            file.durable.clone_from(&file.current);
        }
        self.begin_life();
    }

    pub(super) fn crash(&mut self, random: &mut dyn FnMut() -> u64) {
        let mut updates = std::mem::take(&mut self.unsynced_names);
        let kept = random() % (updates.len() as u64 + 1);
        updates.truncate(usize::try_from(kept).expect("no more than there were"));
        self.apply_names(updates);
        self.names.clone_from(&self.durable_names);
        for file in self.files.values_mut() {
            file.crash(random);
        }
        self.begin_life();
    }

    pub(super) fn heal(&mut self) {
        self.faults = Faults::default();
        self.hangs = None;
    }

    fn begin_life(&mut self) {
        let ids: BTreeSet<u64> = self.names.values().filter_map(Name::file).collect();
        self.files.retain(|id, _| ids.contains(id));
        self.locks.clear();
        self.heal();
        self.life += 1;
    }

    fn apply_names(&mut self, updates: Vec<NameUpdate>) {
        for (path, name) in updates.into_iter().flat_map(|update| update.0) {
            match name {
                Some(name) => self.durable_names.insert(path, name),
                None => self.durable_names.remove(&path),
            };
        }
        // A folder that was lost takes its files with it.
        let folders: BTreeSet<String> = self
            .durable_names
            .iter()
            .filter(|(_, name)| **name == Name::Folder)
            .map(|(path, _)| path.clone())
            .collect();
        self.durable_names.retain(|path, _| {
            let folder = folder_of(path);
            folder.is_empty() || folders.contains(folder)
        });
    }

    fn rename_now(&mut self, update: Vec<(String, Option<Name>)>) {
        for (path, name) in &update {
            match name {
                Some(name) => self.names.insert(path.clone(), *name),
                None => self.names.remove(path),
            };
        }
        self.unsynced_names.push(NameUpdate(update));
    }

    fn check_folder(&self, path: &str) -> io::Result<()> {
        let folder = folder_of(path);
        if folder.is_empty() || self.names.get(folder) == Some(&Name::Folder) {
            return Ok(());
        }
        Err(not_found(folder))
    }
}

impl Content {
    fn crash(&mut self, random: &mut dyn FnMut() -> u64) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Unsynced::SetLen(len) => {
                    if random() & 1 == 0 {
                        self.durable.resize(len, 0);
                    }
                }
                Unsynced::Write(offset, bytes) => self.tear(offset, &bytes, random),
            }
        }
        self.current.clone_from(&self.durable);
    }

    /// Keeps any of the sectors that a write touched; the length may have grown without them.
    fn tear(&mut self, offset: usize, bytes: &[u8], random: &mut dyn FnMut() -> u64) {
        // One draw in four keeps all, or nothing: whole writes are the common case, and a case of their own.
        let mood = random() % 8;
        if mood == 0 && self.durable.len() < offset + bytes.len() {
            self.durable.resize(offset + bytes.len(), 0);
        }
        let mut at = 0;
        while at < bytes.len() {
            let sector_end = (offset + at) / SECTOR_LEN * SECTOR_LEN + SECTOR_LEN;
            let end = bytes.len().min(sector_end - offset);
            let kept = match mood {
                1 => true,
                2 => false,
                _ => random() & 1 == 0,
            };
            if kept {
                write_at(&mut self.durable, offset + at, &bytes[at..end]);
            }
            at = end;
        }
    }
}

/// Writes into a content, which grows as needed.
pub(super) fn write_at(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}
