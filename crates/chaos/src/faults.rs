//! Faults as verbs, in families, drawn from the seed. A verb is a function: it takes a server that nobody else harms now,
//! harms it, waits, and mends it.
//!
//! What destroys good copies happens to one node at a time, and only while others hold a good copy of all that it holds:
//! more than that nobody promises to survive. All else comes at any time, to any number of servers at once.

mod clocks;
mod commands;
mod copies;
mod corruption;
mod disks;
mod errors;
mod failing;
mod full;
mod kills;
mod lost;
mod memory;
mod own_files;
mod partitions;
mod pauses;
mod points;
mod power;
mod records;
mod restarts;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::system::Means;
use crate::world::World;

/// What belongs together, and can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Family {
    /// kill -9: of servers, of all at once, in the middle of a system call; of clients
    Kills,
    /// Servers stand still, and go on
    Pauses,
    /// Machines lose power, with all that was not synced; also all at once
    PowerCuts,
    /// System calls fail, are interrupted or late
    Errors,
    /// Disks are full to the last byte
    FullDisks,
    /// Disks take what is written, and fail to write it back
    FailingDisks,
    /// Extents rot: bits flip, files are cut, grow, are swapped or gone
    Corruption,
    /// Nodes come back with empty disks
    EmptyDisks,
    /// Lines between machines carry nothing, one way or both, or lose a share
    Partitions,
    /// Clocks jump, each in its own way
    Clocks,
    /// Servers are restarted, in turn or again and again
    Restarts,
    /// All copies of a chunk rot
    LostChunks,
    /// The command line is killed in the middle of uploads and downloads
    Commands,
    /// Servers get less memory than they need
    Memory,
    /// Servers are killed between two steps whose order keeps a promise
    Points,
}

/// Ends when the fault has.
type Fault = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// One thing that happens to a cluster.
#[derive(Debug)]
struct Verb {
    weight: u32,
    begin: fn(Arc<World>, Harm) -> Fault,
}

/// How one fault is drawn.
#[derive(Debug)]
struct Harm {
    chance: StdRng,
    is_dense: bool,
}

impl Family {
    /// All of them.
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// As it is written on the command line.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Why it cannot be done here, if it cannot.
    pub(crate) fn missing(self) -> Option<&'static str> {
        match self {
            Self::Kills
            | Self::Corruption
            | Self::EmptyDisks
            | Self::LostChunks
            | Self::Commands => None,
            Self::Pauses | Self::Restarts => Means::Signals.missing(),
            Self::PowerCuts | Self::FullDisks | Self::FailingDisks => Means::Images.missing(),
            Self::Errors => Means::Strace.missing(),
            Self::Clocks => Means::Faketime.missing(),
            Self::Memory => Means::MemoryGroups.missing(),
            Self::Points if planted::IS_ARMED => Means::Signals.missing(),
            Self::Points => Some("this program is not built with --features planted/armed"),
            Self::Partitions => Means::Namespaces.missing(),
        }
    }

    /// What must have happened of it: what is counted, and how often at least in a minute of harm.
    pub(crate) fn minima(self) -> &'static [(&'static str, f64)] {
        self.table().1
    }

    fn verbs(self) -> &'static [Verb] {
        self.table().0
    }

    fn table(self) -> (&'static [Verb], &'static [(&'static str, f64)]) {
        match self {
            Self::Kills => (kills::VERBS, kills::MINIMA),
            Self::Pauses => (pauses::VERBS, pauses::MINIMA),
            Self::PowerCuts => (power::VERBS, power::MINIMA),
            Self::Errors => (errors::VERBS, errors::MINIMA),
            Self::FullDisks => (full::VERBS, full::MINIMA),
            Self::FailingDisks => (failing::VERBS, failing::MINIMA),
            Self::Corruption => (corruption::VERBS, corruption::MINIMA),
            Self::EmptyDisks => (disks::VERBS, disks::MINIMA),
            Self::Partitions => (partitions::VERBS, partitions::MINIMA),
            Self::Clocks => (clocks::VERBS, clocks::MINIMA),
            Self::Restarts => (restarts::VERBS, restarts::MINIMA),
            Self::LostChunks => (lost::VERBS, lost::MINIMA),
            Self::Commands => (commands::VERBS, commands::MINIMA),
            Self::Memory => (memory::VERBS, memory::MINIMA),
            Self::Points => (points::VERBS, points::MINIMA),
        }
    }
}

impl Harm {
    /// A time up to this; shorter where much is to happen.
    fn up_to(&mut self, longest: Duration) -> Duration {
        let longest = if self.is_dense { longest / 10 } else { longest };
        longest.mul_f64(self.chance.random())
    }
}

/// Harms a cluster for so long, each family once before anything comes again, and returns when the last fault has ended.
pub(crate) async fn harm(
    world: &Arc<World>,
    families: &[Family],
    seed: u64,
    is_dense: bool,
    harm_for: Duration,
) {
    let mut chance = StdRng::seed_from_u64(seed ^ 0x6661_756c_7473);
    let verbs: Vec<&Verb> = families.iter().flat_map(|family| family.verbs()).collect();
    let mut firsts = families.to_vec();
    firsts.shuffle(&mut chance);
    let interval = Duration::from_millis(if is_dense {
        300
    } else {
        chance.random_range(300..2500)
    });
    let (began, mut faults) = (Instant::now(), JoinSet::new());
    while began.elapsed() < harm_for && !world.journal.has_failed() {
        sleep(interval.mul_f64(chance.random_range(0.1..1.9))).await;
        // A server that could not be mended must not be harmed once more.
        if world.journal.has_failed() {
            break;
        }
        let harm = Harm {
            chance: StdRng::seed_from_u64(chance.next_u64()),
            is_dense,
        };
        let first = firsts.pop().map(|family| family.verbs().iter().collect());
        let drawn_of = first.as_ref().unwrap_or(&verbs);
        let Ok(verb) = drawn_of.choose_weighted(&mut chance, |verb| verb.weight) else {
            continue;
        };
        faults.spawn((verb.begin)(world.clone(), harm));
        while let Some(ended) = faults.try_join_next() {
            look_into(world, ended);
        }
    }
    while let Some(ended) = faults.join_next().await {
        look_into(world, ended);
    }
}

fn look_into(world: &World, ended: Result<anyhow::Result<()>, tokio::task::JoinError>) {
    let ended = ended.context("a fault panicked").and_then(|ended| ended);
    if let Err(error) = ended {
        world.journal.fail(format_args!("{error:#}"));
    }
}

/// Whether clocks that jumped were the servers' clocks; all have been started anew since.
pub(crate) async fn check_clocks(world: &World) -> anyhow::Result<()> {
    clocks::check(world).await
}

/// All servers end in the same moment, where they have disks of their own by a loss of power, and come back.
pub(crate) async fn end_all_at_once(
    world: &World,
    have_disks: bool,
    chance: &mut StdRng,
) -> anyhow::Result<()> {
    let harm = Harm {
        chance: StdRng::seed_from_u64(chance.next_u64()),
        is_dense: true,
    };
    if have_disks {
        power::cut_all(world, harm, "power cuts of all in peace").await
    } else {
        kills::kill_all(world, harm, "kills of all in peace").await
    }
}
