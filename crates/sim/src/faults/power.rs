//! Processes that are killed, and machines that lose power.

use std::time::Duration;

use disk::{Disk, MemoryDisk};
use rand::RngExt;
use rand::seq::IndexedRandom;
use turmoil::Sim;

use super::{End, Faults, machine, others};
use crate::world::{Excuse, Machine, World};

/// What a node makes anew of its extents if it is not there.
const INDEX: &str = "index.redb";

/// A power cut that waits for a number of changes of a disk.
#[derive(Debug)]
pub(super) struct Cut {
    machine: String,
    pub(super) disk: MemoryDisk,
    pub(super) at_changes: u64,
    pub(super) at_latest: Duration,
}

impl Faults {
    /// All servers lose power at once, in peace, and nodes their indexes: extents alone say what there is.
    pub(crate) fn cut_all_power_at_last(&mut self, sim: &mut Sim<'_>, world: &World) {
        for machine in world.servers() {
            self.cut_power(sim, world, machine, "last power cuts");
        }
        world.begin_last_start();
        for disk in world.nodes.iter().flat_map(Machine::disks) {
            if disk.remove(INDEX).is_ok() {
                disk.sync_folder("").expect("the disk is well");
                world.journal.count("last starts without an index");
            }
        }
    }

    pub(super) fn kill_client(&mut self, sim: &mut Sim<'_>, world: &World) {
        let client = world
            .clients
            .choose(&mut self.chance)
            .expect("there are clients");
        self.kill(sim, world, client, "kills of clients");
    }

    pub(super) fn kill(
        &mut self,
        sim: &mut Sim<'_>,
        world: &World,
        machine: &Machine,
        counted: &str,
    ) {
        if self.off.contains_key(&machine.name) {
            return;
        }
        world.journal.count(counted);
        world.journal.note(format_args!("kill {}", machine.name));
        self.stop(sim, world, &machine.name, false);
        self.start_later(sim, &machine.name);
    }

    pub(super) fn cut_power_soon(&mut self, sim: &Sim<'_>, world: &World) {
        let machine = self.server(world);
        if self.off.contains_key(&machine.name) {
            return;
        }
        let disk = machine
            .disks()
            .choose(&mut self.chance)
            .expect("it has disks")
            .clone();
        let changes = self.chance.random_range(0..40);
        disk.stop_after(changes);
        machine.excuse(Excuse::Stopped);
        world.journal.note(format_args!(
            "power of {} goes after {changes} changes",
            machine.name
        ));
        self.cuts.push(Cut {
            machine: machine.name.clone(),
            at_changes: disk.changes() + changes,
            at_latest: sim.elapsed() + Duration::from_secs(2),
            disk,
        });
    }

    pub(super) fn cut_what_waits(
        &mut self,
        sim: &mut Sim<'_>,
        world: &World,
        is_due: impl Fn(&Cut) -> bool,
    ) {
        while let Some(at) = self.cuts.iter().position(&is_due) {
            let cut = self.cuts.swap_remove(at);
            self.cut_power(sim, world, machine(world, &cut.machine), "power cuts");
        }
    }

    pub(super) fn cut_power(
        &mut self,
        sim: &mut Sim<'_>,
        world: &World,
        machine: &Machine,
        counted: &str,
    ) {
        if self.off.contains_key(&machine.name) {
            return;
        }
        world.journal.count(counted);
        if machine.disks().iter().any(|disk| !disk.is_synced()) {
            world
                .journal
                .count(&format!("{counted} with something unsynced"));
        }
        world
            .journal
            .note(format_args!("cut the power of {}", machine.name));
        self.stop(sim, world, &machine.name, true);
        self.start_later(sim, &machine.name);
    }

    /// Its process is gone, and with the power what was not synced, and in one case of two every word that was on its way.
    pub(super) fn stop(&mut self, sim: &mut Sim<'_>, world: &World, name: &str, power: bool) {
        let lines: Vec<_> = if power {
            others(world, name)
        } else {
            Vec::new()
        };
        let cut_lines = |sim: &Sim<'_>| {
            for other in &lines {
                world.cables.cut(sim, name, other);
                world.cables.cut(sim, other, name);
            }
        };
        // What was said just before may have got out, or not.
        let is_silent = power && self.chance.random_bool(0.5);
        if is_silent {
            cut_lines(sim);
        }
        let machine = machine(world, name);
        machine.forget_excuses();
        machine.end_losing(world.journal.now());
        let disks = machine.disks();
        // Whoever is killed closes no store and syncs nothing on the way.
        for disk in &disks {
            disk.stop_after(0);
        }
        sim.crash(name);
        if !is_silent {
            cut_lines(sim);
        }
        for disk in disks {
            if power {
                disk.crash(&mut self.chance);
            } else {
                disk.kill();
            }
        }
        self.off.insert(name.to_owned(), power);
    }

    pub(super) fn start_later(&mut self, sim: &Sim<'_>, name: &str) {
        let longest = if self.chance.random_bool(0.3) {
            15.0
        } else {
            3.0
        };
        self.later(sim, longest, End::Start(name.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::journal::Journal;

    /// What is left of a file on a node's disk, and of a lock, after the process was stopped.
    fn left_after(power: bool) -> (Option<Vec<u8>>, bool) {
        let world = World::new(1, Journal::default());
        let mut sim = turmoil::Builder::new().build();
        for name in world.names() {
            sim.host(name, std::future::pending);
        }
        let node = &world.nodes[0];
        let disk = node.disks()[0].clone();
        let file = disk.create("a").unwrap();
        disk.sync_folder("").unwrap();
        file.write_all_at(b"synced", 0).unwrap();
        file.sync().unwrap();
        file.set_len(2).unwrap();
        let lock = disk.lock("lock").unwrap();
        node.excuse(Excuse::Sync);
        // A cut of the power loses a change in one case of two.
        let mut faults = Faults::new(&world);
        faults.chance = StdRng::seed_from_u64(2);
        faults.stop(&mut sim, &world, &node.name, power);
        file.write_all_at(b"late", 0).unwrap_err();
        drop(lock);
        let is_free = disk.lock("lock").is_ok();
        (disk.content("a"), is_free)
    }

    #[test]
    fn a_kill_keeps_what_was_written_and_a_power_cut_only_what_was_synced() {
        assert_eq!(left_after(false), (Some(b"sy".to_vec()), true));
        assert_eq!(left_after(true), (Some(b"synced".to_vec()), true));
    }

    /// Whoever was killed closed its store first, with all syncs: a kill lost nothing, whatever the store did before.
    #[test]
    fn whoever_is_killed_does_nothing_on_the_way() {
        struct Closes(MemoryDisk);
        impl Drop for Closes {
            fn drop(&mut self) {
                drop(self.0.create("closed cleanly"));
            }
        }
        for power in [false, true] {
            let world = World::new(1, Journal::default());
            let mut sim = turmoil::Builder::new().build();
            let node = &world.nodes[0];
            let disk = node.disks()[0].clone();
            let opened = disk.clone();
            for name in world.names() {
                let (opened, is_node) = (opened.clone(), name == node.name);
                sim.host(name, move || {
                    let store = is_node.then(|| Closes(opened.clone()));
                    async move {
                        std::future::pending::<()>().await;
                        drop(store);
                        Ok(())
                    }
                });
            }
            sim.step().unwrap();
            Faults::new(&world).stop(&mut sim, &world, &node.name, power);
            assert_eq!(disk.content("closed cleanly"), None);
        }
    }
}
