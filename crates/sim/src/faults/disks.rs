//! What befalls disks: they are full, fail, rot, are lost or come back old.
//!
//! **Invariant:** what destroys good copies spares the last good copy of a chunk.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use disk::{Disk, DiskEntryKind, MemoryDisk};
use proto::id::ChunkId;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use turmoil::Sim;

use super::{End, Faults, Verb};
use crate::world::{CAPACITY, Excuse, MASTER, Machine, World, empty_disk};

/// Where a node's disk says whose it is.
const IDENTITY: &str = "node.json";

impl Faults {
    pub(super) fn fail_disk(&mut self, sim: &Sim<'_>, world: &World, verb: Verb) {
        let machine = self.server(world);
        let disk = machine
            .disks()
            .choose(&mut self.chance)
            .expect("it has disks")
            .clone();
        world
            .journal
            .note(format_args!("{verb:?} {}", machine.name));
        let name = machine.name.clone();
        match verb {
            Verb::FillDisk => {
                world.journal.count("full disks");
                disk.fill();
                machine.excuse(Excuse::Full);
                self.later(sim, 12.0, End::Empty(name));
            }
            Verb::FailSyncs => {
                disk.fail_next_sync();
                machine.excuse(Excuse::Sync);
                self.later(sim, 20.0, End::Restart(name));
            }
            _ => {
                disk.fail_next_write();
                machine.excuse(Excuse::Write);
                self.later(sim, 20.0, End::Restart(name));
            }
        }
    }

    /// A file of a server cannot be read, or not be opened, for a while. A node may give up what it cannot read.
    pub(super) fn fail_file(&mut self, sim: &mut Sim<'_>, world: &World, verb: Verb) {
        let machine = self.server(world);
        let (disk, Some(path)) = self.choose_file(machine, |_| true) else {
            return;
        };
        if machine.name != MASTER {
            if !is_spare(&mut self.chance, world, machine) {
                world.journal.count("harm spared: the only good copy");
                return;
            }
            machine.is_doubtful.store(true, Ordering::Relaxed);
            machine.is_harmed.store(true, Ordering::Relaxed);
        }
        world
            .journal
            .note(format_args!("{verb:?} {} {path}", machine.name));
        if verb == Verb::FailOpens {
            if self.off.contains_key(&machine.name) {
                return;
            }
            // It is opened when the process starts.
            self.stop(sim, world, &machine.name, false);
            disk.fail_opens_of(&path);
            machine.excuse(Excuse::Open);
            self.start_later(sim, &machine.name);
        } else {
            let len = disk
                .content(&path)
                .map_or(0, |content| content.len() as u64);
            let begin = self.chance.random_range(0..=len);
            disk.fail_reads(&path, begin..self.chance.random_range(begin..=len));
            machine.excuse(Excuse::Read);
            if !is_extent(&path) {
                world.journal.set_index_harmed(true);
            }
        }
        self.later(sim, 20.0, End::Restart(machine.name.clone()));
    }

    /// Something of a disk, and a file of it: as often an extent as one of the others. Who a node is, is not among them: that
    /// is on its folder's label.
    fn choose_file(
        &mut self,
        machine: &Machine,
        is_meant: impl Fn(&str) -> bool,
    ) -> (MemoryDisk, Option<String>) {
        let disks = machine.disks();
        let disk = disks.choose(&mut self.chance).expect("it has disks");
        let mut files = files_of(disk);
        files.retain(|path| path != IDENTITY && is_meant(path));
        let (extents, others): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|path| is_extent(path));
        let some = if extents.is_empty() || (!others.is_empty() && self.chance.random_bool(0.4)) {
            others
        } else {
            extents
        };
        (disk.clone(), some.choose(&mut self.chance).cloned())
    }

    pub(super) fn damage(&mut self, sim: &Sim<'_>, world: &World, verb: Verb) {
        let node = world
            .nodes
            .choose(&mut self.chance)
            .expect("there are nodes");
        let (disk, Some(path)) = self.choose_file(node, |_| true) else {
            return;
        };
        // Two of them would keep nothing of what they take from now on, and that may be all copies of an upload.
        let others_lose = world
            .nodes
            .iter()
            .any(|other| other.name != node.name && other.is_losing());
        let may_lose = verb == Verb::LoseFile && is_extent(&path);
        if (may_lose && others_lose) || !is_spare(&mut self.chance, world, node) {
            world.journal.count("harm spared: the only good copy");
            return;
        }
        let before = node.good_chunks();
        let content = disk.content(&path);
        let len = content.as_ref().map_or(0, |content| content.len() as u64);
        let at = self.chance.random_range(0..=len);
        world.journal.note(format_args!(
            "{verb:?} {} {path} at {at} of {len}",
            node.name
        ));
        match verb {
            Verb::Flip => disk.flip(&path, at, 1 << self.chance.random_range(0..8)),
            Verb::CutFile => disk.cut(&path, at),
            // A disk that has stopped keeps it.
            _ => {
                drop(disk.remove(&path));
                let is_running = !self.off.contains_key(&node.name);
                if is_running && is_extent(&path) && disk.content(&path).is_none() {
                    node.begin_losing();
                }
            }
        }
        if disk.content(&path) != content {
            note_damage(world, node, &path, &before);
        }
        self.later(sim, 30.0, End::Restart(node.name.clone()));
    }

    /// A machine is off, and comes back with one file as it was earlier.
    pub(super) fn put_old_file(&mut self, sim: &mut Sim<'_>, world: &World) {
        let node = world
            .nodes
            .choose(&mut self.chance)
            .expect("there are nodes");
        let Some(old) = self.old.get(&node.name).cloned() else {
            return;
        };
        let disks = node.disks();
        let old_of = |disk: &MemoryDisk, path: &str| {
            let place = disks.iter().position(|other| other.is_same(disk))?;
            old.get(place)?.content(path)
        };
        let is_other = |path: &str| {
            let differs =
                |disk| old_of(disk, path).is_some_and(|old| disk.content(path) != Some(old));
            disks.iter().any(differs)
        };
        let (disk, Some(path)) = self.choose_file(node, is_other) else {
            return;
        };
        let Some(content) = old_of(&disk, &path) else {
            return;
        };
        if self.off.contains_key(&node.name) {
            return;
        }
        if !is_spare(&mut self.chance, world, node) {
            world.journal.count("harm spared: the only good copy");
            return;
        }
        world
            .journal
            .note(format_args!("{} gets back an old {path}", node.name));
        self.stop(sim, world, &node.name, true);
        let before = node.good_chunks();
        disk.put(&path, &content);
        note_damage(world, node, &path, &before);
        self.start_later(sim, &node.name);
    }

    /// Copies a node's disks, now and then: they may come back.
    pub(super) fn remember_disks(&mut self, world: &World) {
        let node = world
            .nodes
            .choose(&mut self.chance)
            .expect("there are nodes");
        if self.chance.random_bool(0.3) {
            let copies = node.disks().iter().map(MemoryDisk::fork).collect();
            self.old.insert(node.name.clone(), copies);
        }
    }

    pub(super) fn change_disks(&mut self, sim: &mut Sim<'_>, world: &World, verb: Verb) {
        let node = world
            .nodes
            .choose(&mut self.chance)
            .expect("there are nodes");
        if self.off.contains_key(&node.name) {
            return;
        }
        let new = match verb {
            Verb::EmptyDisks => Some(node.disks().iter().map(|_| empty_disk()).collect()),
            _ => self.old.remove(&node.name),
        };
        let Some(new) = new else {
            return;
        };
        if !is_spare(&mut self.chance, world, node) {
            world.journal.count("harm spared: the only good copy");
            return;
        }
        world.journal.note(format_args!("{verb:?} {}", node.name));
        world.journal.count(if verb == Verb::EmptyDisks {
            "lost disks"
        } else {
            "old disks"
        });
        self.stop(sim, world, &node.name, true);
        let before = node.good_chunks();
        for disk in node.disks() {
            world.count_given(&disk);
        }
        for disk in &new {
            disk.kill();
            // It may have been full when it was copied, and that has ended.
            disk.set_capacity(CAPACITY);
        }
        *node.disks.lock() = new;
        world.note_destroyed(node, before.difference(&node.good_chunks()));
        self.start_later(sim, &node.name);
    }
}

fn is_extent(path: &str) -> bool {
    path.starts_with("extents/") && path.ends_with(".extent")
}

/// All files of a disk, also of one that has stopped, in the order of their paths.
pub(super) fn files_of(disk: &MemoryDisk) -> Vec<String> {
    let copy = disk.fork();
    copy.heal();
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in copy.list(&folder).unwrap_or_default() {
            let path = match &folder[..] {
                "" => entry.name,
                folder => format!("{folder}/{}", entry.name),
            };
            match entry.kind {
                DiskEntryKind::Folder => folders.push(path),
                _ => files.push(path),
            }
        }
    }
    files.sort();
    files
}

/// A file was damaged behind its node's back: notes which copies are gone with that.
fn note_damage(world: &World, node: &Machine, path: &str, before: &BTreeSet<ChunkId>) {
    world.journal.count(if is_extent(path) {
        "damaged extents"
    } else {
        "damaged files beside extents"
    });
    node.is_harmed.store(true, Ordering::Relaxed);
    let after = node.good_chunks();
    let lost: Vec<_> = before.difference(&after).collect();
    world.note_destroyed(node, lost.iter().copied());
    if let Some(id) = node.node() {
        let lost = lost.iter().map(|chunk| (**chunk, id));
        world.damaged.lock().extend(lost);
    }
    if !is_extent(path) {
        node.is_doubtful.store(true, Ordering::Relaxed);
        world.journal.set_index_harmed(true);
    }
}

/// Whether other nodes hold a good copy of all that this one holds, durably, and will find it. A copy in a file that was taken
/// away counts neither way: its removal may not be durable, and it is gone all the same.
fn is_spare(chance: &mut StdRng, world: &World, node: &Machine) -> bool {
    let is_other =
        |other: &&Machine| other.name != node.name && !other.is_doubtful.load(Ordering::Relaxed);
    let others = world.nodes.iter().filter(is_other);
    let elsewhere: BTreeSet<_> = others
        .flat_map(|other| &other.durable_chunks(chance) & &other.good_chunks())
        .collect();
    node.good_chunks().is_subset(&elsewhere)
}
