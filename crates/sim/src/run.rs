//! One run: a cluster is built, harmed for a while, left in peace, and judged.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt;
use turmoil::{Builder, Sim};

use crate::faults::Faults;
use crate::journal::{Journal, Logged};
use crate::oracle::run_operator;
use crate::servers::{run_master, run_node};
use crate::system;
use crate::workload::run_client;
use crate::world::{MASTER, Machine, OPERATOR, World};

/// How far the clock goes at once: what happens in between happens at the same time, machine after machine.
const TICK: Duration = Duration::from_millis(5);
/// Faults are drawn for so long.
const HARM_FOR: Duration = Duration::from_secs(40);
/// A run never takes longer.
const LONGEST: Duration = Duration::from_secs(1800);
/// Connections that may wait to be accepted, and writes that may be under way on one of them.
const CONNECTION_CAPACITY: usize = 1024;

/// What came of a seed.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which.
    pub seed: u64,
    /// Of everything that was sent, logged and done.
    pub trace: String,
    /// Simulated time.
    pub seconds: u64,
    /// What broke.
    pub failures: Vec<String>,
    /// What happened how often.
    pub counts: BTreeMap<String, u64>,
}

/// Plays a seed; once in a process, since chance is the process's.
pub fn run(seed: u64, aloud: bool) -> Outcome {
    system::begin(seed);
    let journal = Journal::new(aloud);
    let subscriber = tracing_subscriber::registry().with(Logged(journal.clone()));
    tracing::subscriber::set_global_default(subscriber).expect("a process plays one seed");
    let panics = journal.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let file = panic.location().map_or("", |location| location.file());
        panics.panicked(file, panic);
    }));
    let world = World::new(seed, journal.clone());
    // What unwinds to here was noted by the hook.
    let elapsed = catch_unwind(AssertUnwindSafe(|| play(seed, &world)));
    for disk in world.servers().flat_map(Machine::disks) {
        world.count_given(&disk);
    }
    Outcome {
        seed,
        trace: journal.trace_hash(),
        seconds: elapsed.unwrap_or(journal.now()).as_secs(),
        failures: journal.failures(),
        counts: journal.counts(),
    }
}

fn play(seed: u64, world: &Arc<World>) -> Duration {
    let mut sim = build(seed, world);
    switch_on(&mut sim, world);
    let mut faults = Faults::new(world);
    world.journal.set_strict(world.kind.is_faultless);
    while !world.is_finished() && !world.journal.has_failed() {
        world.journal.set_now(sim.elapsed());
        system::set_elapsed(sim.elapsed());
        if let Err(error) = sim.step() {
            world
                .journal
                .fail(format_args!("the simulation ended: {error}"));
        }
        if sim.elapsed() >= HARM_FOR && !world.is_peace() {
            world.journal.note("peace begins");
            world.begin_peace();
            faults.end_all(&mut sim, world);
        }
        faults.step(&mut sim, world);
        if world.take_last_cut() {
            world.journal.set_strict(false);
            world.journal.set_index_harmed(false);
            faults.cut_all_power_at_last(&mut sim, world);
        }
        if sim.elapsed() >= LONGEST {
            world.journal.fail("it never comes to an end");
        }
    }
    sim.elapsed()
}

fn build<'a>(seed: u64, world: &World) -> Sim<'a> {
    Builder::new()
        .rng_seed(seed)
        .epoch(SystemTime::UNIX_EPOCH + system::EPOCH)
        .tick_duration(TICK)
        .simulation_duration(LONGEST * 2)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(world.kind.latency_max)
        .tcp_capacity(CONNECTION_CAPACITY)
        .build()
}

fn switch_on(sim: &mut Sim<'_>, world: &Arc<World>) {
    let master = world.clone();
    sim.host(MASTER, move || run_master(master.clone()));
    for (index, node) in world.nodes.iter().enumerate() {
        let world = world.clone();
        sim.host(node.name.as_str(), move || run_node(world.clone(), index));
    }
    for (index, client) in world.clients.iter().enumerate() {
        let world = world.clone();
        sim.host(client.name.as_str(), move || {
            run_client(world.clone(), index)
        });
    }
    let operator = world.clone();
    sim.host(OPERATOR, move || run_operator(operator.clone()));
}
