//! What befalls disks: they are full, fail, rot, are lost or come back old.
//!
//! **Invariant:** what destroys good copies spares the last good copy of a chunk.

use std::collections::BTreeSet;

use disk::{Disk, MemoryDisk};
use rand::RngExt;
use rand::seq::IndexedRandom;
use turmoil::Sim;

use super::{End, Faults, Verb};
use crate::world::{CAPACITY, Machine, World};

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
                self.later(sim, 12.0, End::Empty(name));
            }
            Verb::FailSyncs => {
                world.journal.count("failed syncs");
                disk.fail_next_sync();
                self.later(sim, 20.0, End::Restart(name));
            }
            _ => {
                world.journal.count("failed writes");
                disk.fail_next_write();
                self.later(sim, 20.0, End::Restart(name));
            }
        }
    }

    pub(super) fn damage(&mut self, sim: &Sim<'_>, world: &World, verb: Verb) {
        let node = world
            .nodes
            .choose(&mut self.chance)
            .expect("there are nodes");
        let disk = node
            .disks()
            .choose(&mut self.chance)
            .expect("it has disks")
            .clone();
        let mut paths: Vec<String> = disk
            .fork()
            .list("extents")
            .unwrap_or_default()
            .iter()
            .map(|entry| format!("extents/{}", entry.name))
            .collect();
        paths.sort();
        let Some(path) = paths.choose(&mut self.chance) else {
            return;
        };
        if !is_spare(world, node) {
            world.journal.count("harm spared: the only good copy");
            return;
        }
        let before = node.good_chunks();
        let len = disk.content(path).map_or(0, |content| content.len() as u64);
        let at = self.chance.random_range(0..=len);
        world.journal.note(format_args!(
            "{verb:?} {} {path} at {at} of {len}",
            node.name
        ));
        let content = disk.content(path);
        match verb {
            Verb::Flip => disk.flip(path, at, 1 << self.chance.random_range(0..8)),
            Verb::CutFile => disk.cut(path, at),
            // A disk that has stopped keeps it.
            _ => drop(disk.remove(path)),
        }
        if disk.content(path) != content {
            world.journal.count("corruptions");
        }
        let after = node.good_chunks();
        if let Some(id) = node.node() {
            let lost = before.difference(&after).map(|chunk| (*chunk, id));
            world.damaged.lock().extend(lost);
        }
        self.later(sim, 30.0, End::Restart(node.name.clone()));
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
        if !is_spare(world, node) {
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
        for disk in &new {
            disk.kill();
            // It may have been full when it was copied, and that has ended.
            disk.set_capacity(CAPACITY);
        }
        *node.disks.lock() = new;
        self.start_later(sim, &node.name);
    }
}

fn empty_disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.set_capacity(CAPACITY);
    disk
}

/// Whether other nodes hold a good copy of all that this one holds.
fn is_spare(world: &World, node: &Machine) -> bool {
    let others = world.nodes.iter().filter(|other| other.name != node.name);
    let elsewhere: BTreeSet<_> = others.flat_map(Machine::good_chunks).collect();
    node.good_chunks().is_subset(&elsewhere)
}
