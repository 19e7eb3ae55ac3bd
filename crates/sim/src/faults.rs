//! Faults as verbs, drawn from the seed, each with its end.
//!
//! What destroys good copies (damage, lost and old disks) only happens to a node while others hold a good copy of all that
//! it holds: more than that nobody promises to survive. Kills, power cuts, cut lines, full and failing disks come at any
//! time, to any number of machines at once.

mod disks;

use std::collections::BTreeMap;
use std::time::Duration;

use disk::MemoryDisk;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use turmoil::Sim;

use crate::world::{CAPACITY, MASTER, Machine, World};

/// Everything that happens to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    /// kill -9 of a server.
    Kill,
    /// A client is killed.
    KillClient,
    /// A server's machine loses power, within its next changes of the disk.
    CutPower,
    /// All machines lose power.
    CutAllPower,
    /// Two machines do not hear each other.
    Partition,
    /// One does not hear the other.
    PartitionOneWay,
    /// A machine is cut off from all.
    Isolate,
    /// A disk is full.
    FillDisk,
    /// A disk's next sync fails.
    FailSyncs,
    /// A disk's next write fails.
    FailWrites,
    /// A bit of a node's extent flips.
    Flip,
    /// A node's extent is cut.
    CutFile,
    /// A node's extent is lost.
    LoseFile,
    /// A node comes back with empty disks.
    EmptyDisks,
    /// A node comes back with the disks of an earlier time.
    OldDisks,
}

const VERBS: &[(Verb, u32)] = &[
    (Verb::Kill, 5),
    (Verb::KillClient, 2),
    (Verb::CutPower, 5),
    (Verb::CutAllPower, 1),
    (Verb::Partition, 2),
    (Verb::PartitionOneWay, 3),
    (Verb::Isolate, 2),
    (Verb::FillDisk, 1),
    (Verb::FailSyncs, 2),
    (Verb::FailWrites, 1),
    (Verb::Flip, 3),
    (Verb::CutFile, 1),
    (Verb::LoseFile, 1),
    (Verb::EmptyDisks, 1),
    (Verb::OldDisks, 2),
];

/// What ends a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// The machine is switched on.
    Start(String),
    /// The line is whole again.
    Mend(String, String),
    /// There is room again.
    Empty(String),
    /// The process is restarted, because its disk failed or was harmed.
    Restart(String),
}

/// A power cut that waits for a number of changes of a disk.
#[derive(Debug)]
struct Cut {
    machine: String,
    disk: MemoryDisk,
    at_changes: u64,
    at_latest: Duration,
}

/// Draws faults, and ends them.
#[derive(Debug)]
pub(crate) struct Faults {
    chance: StdRng,
    verbs: Vec<(Verb, u32)>,
    interval: Duration,
    next_at: Duration,
    ends: Vec<(Duration, End)>,
    cuts: Vec<Cut>,
    /// Machines without power, and what is cut off with it.
    off: BTreeMap<String, bool>,
    old: BTreeMap<String, Vec<MemoryDisk>>,
}

impl Faults {
    /// Those of a seed: each has its own verbs, and its own pace.
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed ^ 0x6661_756c_7473);
        let mut verbs = VERBS.to_vec();
        if seed.is_multiple_of(10) {
            verbs.clear();
        } else {
            verbs.retain(|_| chance.random_bool(0.6));
        }
        Self {
            interval: Duration::from_millis(chance.random_range(300..3000)),
            chance,
            verbs,
            next_at: Duration::from_secs(3),
            ends: Vec::new(),
            cuts: Vec::new(),
            off: BTreeMap::new(),
            old: BTreeMap::new(),
        }
    }

    /// What is due now.
    pub(crate) fn step(&mut self, sim: &mut Sim<'_>, world: &World) {
        let now = sim.elapsed();
        self.cut_what_waits(sim, world, |cut| {
            cut.disk.changes() >= cut.at_changes || now >= cut.at_latest
        });
        while let Some(at) = self.ends.iter().position(|(due, _)| *due <= now) {
            let (_, end) = self.ends.swap_remove(at);
            self.end(sim, world, &end);
        }
        if now >= self.next_at && !world.is_peace() {
            self.remember_disks(world);
            self.next_at = now + self.interval.mul_f64(self.chance.random_range(0.1..2.0));
            if let Ok(&(verb, _)) = self
                .verbs
                .choose_weighted(&mut self.chance, |(_, weight)| *weight)
            {
                self.begin(sim, world, verb);
            }
        }
    }

    /// Ends all faults at once.
    pub(crate) fn end_all(&mut self, sim: &mut Sim<'_>, world: &World) {
        self.cut_what_waits(sim, world, |_| true);
        while let Some((_, end)) = self.ends.pop() {
            self.end(sim, world, &end);
        }
        // What was set on a machine that was off has not ended with that.
        for disk in servers(world).flat_map(Machine::disks) {
            disk.heal();
        }
    }

    /// All servers lose power at once.
    pub(crate) fn cut_all_power(&mut self, sim: &mut Sim<'_>, world: &World) {
        for machine in servers(world) {
            self.cut_power(sim, world, machine);
        }
    }

    fn begin(&mut self, sim: &mut Sim<'_>, world: &World, verb: Verb) {
        match verb {
            Verb::Kill => {
                let machine = self.server(world);
                self.kill(sim, world, machine, "kills");
            }
            Verb::KillClient => self.kill_client(sim, world),
            Verb::CutPower => self.cut_power_soon(sim, world),
            Verb::CutAllPower => {
                world.journal.count("power cuts of all");
                self.cut_all_power(sim, world);
            }
            Verb::Partition | Verb::PartitionOneWay | Verb::Isolate => {
                self.cut_lines(sim, world, verb);
            }
            Verb::FillDisk | Verb::FailSyncs | Verb::FailWrites => {
                self.fail_disk(sim, world, verb);
            }
            Verb::Flip | Verb::CutFile | Verb::LoseFile => self.damage(sim, world, verb),
            Verb::EmptyDisks | Verb::OldDisks => self.change_disks(sim, world, verb),
        }
    }

    fn end(&mut self, sim: &mut Sim<'_>, world: &World, end: &End) {
        world.journal.note(format_args!("ends: {end:?}"));
        match end {
            End::Start(name) => {
                if self.off.remove(name) == Some(true) {
                    for other in others(world, name) {
                        world.cables.mend(sim, name, &other);
                        world.cables.mend(sim, &other, name);
                    }
                }
                sim.bounce(name.as_str());
            }
            End::Mend(from, to) => world.cables.mend(sim, from, to),
            End::Empty(name) => {
                for disk in machine(world, name).disks() {
                    disk.set_capacity(if name == MASTER { 1 << 40 } else { CAPACITY });
                }
            }
            End::Restart(name) => {
                if !self.off.contains_key(name) {
                    self.stop(sim, world, name, false);
                    sim.bounce(name.as_str());
                    self.off.remove(name);
                }
            }
        }
    }

    fn kill_client(&mut self, sim: &mut Sim<'_>, world: &World) {
        let client = world
            .clients
            .choose(&mut self.chance)
            .expect("there are clients");
        self.kill(sim, world, client, "kills of clients");
    }

    fn kill(&mut self, sim: &mut Sim<'_>, world: &World, machine: &Machine, counted: &str) {
        if self.off.contains_key(&machine.name) {
            return;
        }
        world.journal.count(counted);
        world.journal.note(format_args!("kill {}", machine.name));
        self.stop(sim, world, &machine.name, false);
        self.start_later(sim, &machine.name);
    }

    fn cut_power_soon(&mut self, sim: &Sim<'_>, world: &World) {
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

    fn cut_what_waits(&mut self, sim: &mut Sim<'_>, world: &World, is_due: impl Fn(&Cut) -> bool) {
        while let Some(at) = self.cuts.iter().position(&is_due) {
            let cut = self.cuts.swap_remove(at);
            self.cut_power(sim, world, machine(world, &cut.machine));
        }
    }

    fn cut_power(&mut self, sim: &mut Sim<'_>, world: &World, machine: &Machine) {
        if self.off.contains_key(&machine.name) {
            return;
        }
        world.journal.count("power cuts");
        world
            .journal
            .note(format_args!("cut the power of {}", machine.name));
        self.stop(sim, world, &machine.name, true);
        self.start_later(sim, &machine.name);
    }

    /// Its process is gone, and with the power what was not synced, and in one case of two every word that was on its way.
    fn stop(&mut self, sim: &mut Sim<'_>, world: &World, name: &str, power: bool) {
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
        let disks = machine(world, name).disks();
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

    fn start_later(&mut self, sim: &Sim<'_>, name: &str) {
        let longest = if self.chance.random_bool(0.3) {
            15.0
        } else {
            3.0
        };
        self.later(sim, longest, End::Start(name.to_owned()));
    }

    fn later(&mut self, sim: &Sim<'_>, longest: f64, end: End) {
        let after = Duration::from_secs_f64(self.chance.random_range(0.05..longest));
        self.ends.push((sim.elapsed() + after, end));
    }

    fn cut_lines(&mut self, sim: &Sim<'_>, world: &World, verb: Verb) {
        world.journal.count("partitions");
        let names = world.names();
        let one = names
            .choose(&mut self.chance)
            .expect("there are machines")
            .clone();
        let others = others(world, &one);
        let other = others
            .choose(&mut self.chance)
            .expect("there are more")
            .clone();
        world.journal.note(format_args!("{verb:?} {one} {other}"));
        let mut lines = match verb {
            Verb::PartitionOneWay => vec![(one, other)],
            Verb::Partition => vec![(one.clone(), other.clone()), (other, one)],
            _ => others
                .into_iter()
                .flat_map(|other| [(one.clone(), other.clone()), (other, one.clone())])
                .collect(),
        };
        let after = Duration::from_secs_f64(self.chance.random_range(0.2..12.0));
        for (from, to) in lines.drain(..) {
            world.cables.cut(sim, &from, &to);
            self.ends.push((sim.elapsed() + after, End::Mend(from, to)));
        }
    }

    /// The master, or more often a node.
    fn server<'a>(&mut self, world: &'a World) -> &'a Machine {
        if self.chance.random_bool(0.25) {
            return &world.master;
        }
        world
            .nodes
            .choose(&mut self.chance)
            .expect("there are nodes")
    }
}

fn servers(world: &World) -> impl Iterator<Item = &Machine> {
    std::iter::once(&world.master).chain(&world.nodes)
}

fn machine<'a>(world: &'a World, name: &str) -> &'a Machine {
    let mut all = servers(world).chain(&world.clients);
    all.find(|machine| machine.name == name)
        .expect("all machines are known")
}

fn others(world: &World, name: &str) -> Vec<String> {
    let mut names = world.names();
    names.retain(|other| other != name);
    names
}
