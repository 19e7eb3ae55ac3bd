//! Faults as verbs, drawn from the seed, each with its end.
//!
//! What destroys good copies (damage, lost and old disks) only happens to a node while others hold a good copy of all that
//! it holds: more than that nobody promises to survive. Kills, power cuts, cut lines, full and failing disks come at any
//! time, to any number of machines at once. A disk that hangs is not among them: who waits for it would keep the one thread
//! on which everything runs.

mod disks;
mod master;
mod power;

use std::collections::BTreeMap;
use std::time::Duration;

use disk::MemoryDisk;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use turmoil::Sim;

use crate::world::{Machine, World};
use master::{Old, Trial};
use power::Cut;

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
    /// A part of a file cannot be read for a while.
    FailReads,
    /// A process starts, and a file cannot be opened for a while.
    FailOpens,
    /// A bit of a node's file flips.
    Flip,
    /// A node's file is cut.
    CutFile,
    /// A node's file is lost.
    LoseFile,
    /// A node's file is as it was at an earlier time.
    OldFile,
    /// A node comes back with empty disks.
    EmptyDisks,
    /// A node comes back with the disks of an earlier time.
    OldDisks,
    /// For a while the master runs on the disk of an earlier time.
    OldMaster,
    /// A file of the master's is damaged, and if that is found out, put back.
    DamageMaster,
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
    (Verb::FailReads, 2),
    (Verb::FailOpens, 1),
    (Verb::Flip, 3),
    (Verb::CutFile, 1),
    (Verb::LoseFile, 1),
    (Verb::OldFile, 1),
    (Verb::EmptyDisks, 1),
    (Verb::OldDisks, 2),
    (Verb::OldMaster, 1),
    (Verb::DamageMaster, 1),
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
    old_master: Option<Old>,
    trial: Option<Trial>,
    /// Whether a master has run on a wrong disk, which no start with `--restored` has forgiven yet.
    was_wrong: bool,
    /// How often a master had found out that it is a wrong one, when that was looked into last.
    superseded: u64,
}

impl Faults {
    /// Those of a seed: each has its own verbs, and its own pace.
    pub(crate) fn new(world: &World) -> Self {
        let mut chance = StdRng::seed_from_u64(world.seed ^ 0x6661_756c_7473);
        let mut verbs = VERBS.to_vec();
        verbs.retain(|_| chance.random_bool(0.6) && !world.kind.is_faultless);
        Self {
            interval: Duration::from_millis(chance.random_range(300..3000)),
            chance,
            verbs,
            next_at: Duration::from_secs(3),
            ends: Vec::new(),
            cuts: Vec::new(),
            off: BTreeMap::new(),
            old: BTreeMap::new(),
            old_master: None,
            trial: None,
            was_wrong: false,
            superseded: 0,
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
        self.try_master(sim, world);
        self.restore_superseded(sim, world);
        if now >= self.next_at && !world.is_peace() && self.trial.is_none() {
            self.remember_disks(world);
            self.remember_master(world);
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
        self.end_trial(sim, world);
        self.cut_what_waits(sim, world, |_| true);
        while let Some((_, end)) = self.ends.pop() {
            self.end(sim, world, &end);
        }
        // What was set on a machine that was off has not ended with that.
        for machine in world.servers() {
            machine.forget_excuses();
            for disk in machine.disks() {
                disk.heal();
            }
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
                for machine in world.servers() {
                    self.cut_power(sim, world, machine, "power cuts");
                }
            }
            Verb::Partition | Verb::PartitionOneWay | Verb::Isolate => {
                self.cut_lines(sim, world, verb);
            }
            Verb::FillDisk | Verb::FailSyncs | Verb::FailWrites => {
                self.fail_disk(sim, world, verb);
            }
            Verb::FailReads | Verb::FailOpens => self.fail_file(sim, world, verb),
            Verb::Flip | Verb::CutFile | Verb::LoseFile => self.damage(sim, world, verb),
            Verb::OldFile => self.put_old_file(sim, world),
            Verb::EmptyDisks | Verb::OldDisks => self.change_disks(sim, world, verb),
            Verb::OldMaster | Verb::DamageMaster => self.begin_trial(sim, world, verb),
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
            End::Empty(name) => machine(world, name).empty_disks(),
            End::Restart(name) => {
                if self.off.contains_key(name) {
                    // It starts with disks that are well.
                    let disks = machine(world, name).disks();
                    disks.iter().for_each(MemoryDisk::heal);
                    machine(world, name).forget_excuses();
                } else {
                    self.stop(sim, world, name, false);
                    sim.bounce(name.as_str());
                    self.off.remove(name);
                }
            }
        }
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

fn machine<'a>(world: &'a World, name: &str) -> &'a Machine {
    let mut all = world.servers().chain(&world.clients);
    all.find(|machine| machine.name == name)
        .expect("all machines are known")
}

fn others(world: &World, name: &str) -> Vec<String> {
    let mut names = world.names();
    names.retain(|other| other != name);
    names
}
