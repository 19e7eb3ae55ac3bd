//! What befalls the master's disk: an old copy of it comes back for a while, or a file of it is damaged.
//!
//! What a wrong master is told is lost with it, which nobody can help. So clients do not reach it meanwhile; the nodes do.

use std::collections::BTreeSet;
use std::time::Duration;

use disk::{Disk, MemoryDisk};
use proto::id::ChunkId;
use rand::RngExt;
use rand::seq::IndexedRandom;
use turmoil::Sim;

use super::disks::files_of;
use super::{Faults, Verb};
use crate::world::{Excuse, MASTER, MASTER_CAPACITY, World};

/// All machines are there, and hear of each other, for so long before an old master comes: then all nodes know better. A node waits
/// ten seconds for the answer of a master that lost its power, before it looks for the one that is there now.
const CALM: Duration = Duration::from_secs(14);
/// An old master is found out within this.
const FOUND_OUT_WITHIN: Duration = Duration::from_secs(10);
/// Orders that the right master gave have been carried out after this.
const ORDERS_END_WITHIN: Duration = Duration::from_secs(2);
/// What a master says whose disk is damaged: what to do.
const ADVICE: [&str; 4] = ["restore", "Restore", "newer dfs-master", "the right one"];

/// A copy of the master's disk.
#[derive(Debug)]
pub(super) struct Old {
    disk: MemoryDisk,
    /// Changes of the disk before it was made.
    changes: u64,
}

/// A master on a wrong disk: first a while of calm, then that.
#[derive(Debug)]
pub(super) struct Trial {
    verb: Verb,
    until: Duration,
    wrong: Option<Wrong>,
}

/// While the wrong disk is there.
#[derive(Debug)]
struct Wrong {
    right: MemoryDisk,
    /// How often a master had found out before that it is a wrong one.
    superseded: u64,
    since: Duration,
    /// What the nodes had when the right master's orders were carried out.
    held: Option<Vec<BTreeSet<ChunkId>>>,
}

impl Faults {
    /// Copies the master's disk, now and then.
    pub(super) fn remember_master(&mut self, world: &World) {
        let [disk] = &world.master.disks()[..] else {
            return;
        };
        if self.chance.random_bool(0.1) && disk.content("state.redb").is_some() {
            self.old_master = Some(Old {
                disk: disk.fork(),
                changes: disk.changes(),
            });
        }
    }

    /// Ends all other faults, so that only this one is there.
    pub(super) fn begin_trial(&mut self, sim: &mut Sim<'_>, world: &World, verb: Verb) {
        if verb == Verb::OldMaster && self.old_master.is_none() {
            return;
        }
        self.end_all(sim, world);
        self.trial = Some(Trial {
            verb,
            until: sim.elapsed() + CALM,
            wrong: None,
        });
    }

    /// What is due now.
    pub(super) fn try_master(&mut self, sim: &mut Sim<'_>, world: &World) {
        let now = sim.elapsed();
        let Some(trial) = &mut self.trial else {
            return;
        };
        if let Some(wrong) = &mut trial.wrong
            && wrong.held.is_none()
            && now >= wrong.since + ORDERS_END_WITHIN
        {
            wrong.held = Some(held(world));
        }
        if now < trial.until {
            return;
        }
        let Some(mut trial) = self.trial.take() else {
            return;
        };
        if trial.wrong.is_some() {
            self.put_right(sim, world, trial, true);
            return;
        }
        trial.wrong = self.put_wrong(sim, world, trial.verb);
        if trial.wrong.is_some() {
            trial.until = sim.elapsed() + FOUND_OUT_WITHIN;
            self.trial = Some(trial);
        }
    }

    /// Nodes took a wrong master for the right one, and now do not follow that: a person does as they are told.
    pub(super) fn restore_superseded(&mut self, sim: &mut Sim<'_>, world: &World) {
        let superseded = world.journal.superseded();
        if self.trial.is_some() || superseded == self.superseded {
            return;
        }
        self.superseded = superseded;
        if !self.was_wrong {
            world
                .journal
                .fail("a master is superseded, and no wrong one was there since it was forgiven");
        }
        world.journal.count("masters restored");
        world.restore_master();
        self.was_wrong = false;
        if !self.off.contains_key(MASTER) {
            self.stop(sim, world, MASTER, false);
            self.off.remove(MASTER);
            sim.bounce(MASTER);
        }
    }

    /// At the end of all faults.
    pub(super) fn end_trial(&mut self, sim: &mut Sim<'_>, world: &World) {
        if let Some(trial) = self.trial.take() {
            self.put_right(sim, world, trial, false);
        }
    }

    fn put_wrong(&mut self, sim: &mut Sim<'_>, world: &World, verb: Verb) -> Option<Wrong> {
        let right = world.master.disks()[0].clone();
        let wrong = if verb == Verb::OldMaster {
            let old = self.old_master.take()?;
            if old.changes == right.changes() {
                return None;
            }
            // It may have been full when it was copied.
            old.disk.set_capacity(MASTER_CAPACITY);
            old.disk
        } else {
            right.fork()
        };
        self.stop(sim, world, MASTER, false);
        self.off.remove(MASTER);
        // What an earlier one said is not this one's.
        world.master.take_refusal();
        wrong.kill();
        if verb == Verb::OldMaster {
            world.journal.count("old masters");
            world.journal.note("the master's disk is an old one");
        } else {
            self.damage_master(world, &wrong);
        }
        *world.master.disks.lock() = vec![wrong];
        for client in &world.clients {
            world.cables.cut(sim, &client.name, MASTER);
            world.cables.cut(sim, MASTER, &client.name);
        }
        sim.bounce(MASTER);
        Some(Wrong {
            right,
            superseded: world.journal.superseded(),
            since: sim.elapsed(),
            held: None,
        })
    }

    fn damage_master(&mut self, world: &World, disk: &MemoryDisk) {
        let files = files_of(disk);
        let Some(path) = files.choose(&mut self.chance) else {
            return;
        };
        let len = disk.content(path).map_or(0, |content| content.len() as u64);
        let at = self.chance.random_range(0..=len);
        let kind = self.chance.random_range(0..4);
        world.journal.count("damaged files of the master");
        world.journal.note(format_args!(
            "damage {kind} of the master's {path} at {at} of {len}"
        ));
        match kind {
            0 => disk.cut(path, at),
            1 => drop(disk.remove(path)),
            _ => disk.flip(path, at, 1 << self.chance.random_range(0..8)),
        }
        disk.kill();
        world.journal.set_index_harmed(true);
        world.master.excuse(Excuse::Damage);
    }

    /// The right disk is put back. One that was damaged stays if the master works with it: then it says that it is whole.
    fn put_right(&mut self, sim: &mut Sim<'_>, world: &World, trial: Trial, in_time: bool) {
        let Some(wrong) = trial.wrong else {
            return;
        };
        self.was_wrong = true;
        self.superseded = world.journal.superseded();
        if trial.verb == Verb::OldMaster {
            if in_time && world.journal.superseded() == wrong.superseded {
                world.journal.fail("nobody found out an old master");
            }
            let before = wrong.held.unwrap_or_default();
            for (node, (before, after)) in world.nodes.iter().zip(before.iter().zip(held(world))) {
                if !before.is_subset(&after) {
                    let name = &node.name;
                    let message = format_args!("{name} deleted on an old master's order");
                    world.journal.fail(message);
                }
            }
        }
        let refused = world.master.take_refusal();
        if trial.verb == Verb::OldMaster || refused.is_some() {
            self.stop(sim, world, MASTER, false);
            self.off.remove(MASTER);
            world.count_given(&world.master.disks()[0]);
            *world.master.disks.lock() = vec![wrong.right];
            world.journal.note("the master's right disk is back");
            sim.bounce(MASTER);
        } else {
            // It says that it is whole, and is held to that.
            world.master.forget_excuses();
        }
        if let Some(refusal) = refused {
            world.journal.count("damage refused by the master");
            if !ADVICE.iter().any(|advice| refusal.contains(advice)) {
                let message = format_args!("a damaged master does not say what to do: {refusal}");
                world.journal.fail(message);
            }
        }
        for client in &world.clients {
            world.cables.mend(sim, &client.name, MASTER);
            world.cables.mend(sim, MASTER, &client.name);
        }
    }
}

/// What each node has.
fn held(world: &World) -> Vec<BTreeSet<ChunkId>> {
    let nodes = world.nodes.iter();
    nodes.map(crate::world::Machine::good_chunks).collect()
}
