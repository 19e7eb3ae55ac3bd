//! The machines: a master, storage nodes and clients, each with its disks, and what all of them share.

mod destroyed;
mod machine;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use disk::MemoryDisk;
use history::{History, Memory, Value};
use parking_lot::Mutex;
use proto::id::{ChunkId, NodeId};
use proto::net::{Address, Network};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::journal::Journal;
use crate::network::{Cables, SimNetwork};
use destroyed::Destroyed;
pub(crate) use machine::{CAPACITY, Ended, Excuse, MASTER_CAPACITY, Machine, empty_disk};

/// The master's machine.
pub(crate) const MASTER: &str = "master";
/// The machine of the person who looks after the cluster.
pub(crate) const OPERATOR: &str = "operator";
/// Copies of each chunk.
pub(crate) const COPIES: usize = 3;
/// How long the cluster keeps former versions and the trash.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(8);
const PORT: u16 = 9000;

/// All of it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) kind: Kind,
    pub(crate) journal: Journal,
    pub(crate) cables: Cables,
    pub(crate) history: Mutex<History>,
    pub(crate) memory: Mutex<Memory>,
    pub(crate) master: Machine,
    pub(crate) nodes: Vec<Machine>,
    pub(crate) clients: Vec<Machine>,
    /// Copies that were damaged behind their node's back: what a reader would report.
    pub(crate) damaged: Mutex<BTreeSet<(ChunkId, NodeId)>>,
    destroyed: Mutex<Destroyed>,
    /// No more faults; clients end.
    peace: AtomicBool,
    /// All machines are to lose power once more.
    last_cut: AtomicBool,
    /// They have, and what is on the nodes was made anew of their extents.
    last_start: AtomicBool,
    finished: AtomicBool,
    /// Whether a person starts the master next with `--restored`.
    restore: AtomicBool,
    /// Whether that was ever done: then only a person ends safe mode.
    pub(crate) was_restored: AtomicBool,
    values: AtomicU32,
}

/// What a seed draws besides its faults.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// A message takes no longer.
    pub(crate) latency_max: Duration,
    /// Nothing happens but what clients do: everything must succeed.
    pub(crate) is_faultless: bool,
    /// Readers of rotten copies report them; otherwise nodes must find rot themselves, for which their clocks run faster.
    pub(crate) reports_rot: bool,
}

impl Kind {
    fn draw(chance: &mut StdRng) -> Self {
        let latency_max = [5, 20, 60].choose(chance).expect("there are some");
        Self {
            latency_max: Duration::from_millis(*latency_max),
            is_faultless: chance.random_bool(0.1),
            reports_rot: chance.random_bool(0.75),
        }
    }
}

impl World {
    /// So many machines, switched off.
    pub(crate) fn new(seed: u64, journal: Journal) -> Arc<Self> {
        let mut chance = StdRng::seed_from_u64(seed ^ 0x0077_6f72_6c64);
        let (nodes, clients) = (chance.random_range(3..=7), chance.random_range(2..=4));
        let kind = Kind::draw(&mut chance);
        let node = |number| {
            let disks = if chance.random_bool(0.2) { 2 } else { 1 };
            Machine::new(format!("node-{number}"), (0..disks).map(|_| empty_disk()))
        };
        let nodes = (1..=nodes).map(node).collect();
        let client = |number| Machine::new(format!("client-{number}"), []);
        Arc::new(Self {
            seed,
            kind,
            journal,
            cables: Cables::default(),
            history: Mutex::default(),
            memory: Mutex::new(Memory::new(KEPT_FOR)),
            master: Machine::new(MASTER.to_owned(), [MemoryDisk::new()]),
            nodes,
            clients: (1..=clients).map(client).collect(),
            damaged: Mutex::default(),
            destroyed: Mutex::default(),
            peace: AtomicBool::new(false),
            last_cut: AtomicBool::new(false),
            last_start: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            restore: AtomicBool::new(false),
            was_restored: AtomicBool::new(false),
            values: AtomicU32::new(0),
        })
    }

    pub(crate) fn is_peace(&self) -> bool {
        self.peace.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_peace(&self) {
        self.peace.store(true, Ordering::Relaxed);
    }

    /// Asks for a power cut of all servers, in the middle of peace.
    pub(crate) fn ask_for_last_cut(&self) {
        self.last_cut.store(true, Ordering::Relaxed);
    }

    /// Whether that is to come; it comes once.
    pub(crate) fn take_last_cut(&self) -> bool {
        self.last_cut.swap(false, Ordering::Relaxed)
    }

    /// It has come.
    pub(crate) fn begin_last_start(&self) {
        self.last_start.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_last_start(&self) -> bool {
        self.last_start.load(Ordering::Relaxed)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }

    /// The master's next start is one with `--restored`.
    pub(crate) fn restore_master(&self) {
        self.restore.store(true, Ordering::Relaxed);
        self.was_restored.store(true, Ordering::Relaxed);
    }

    /// Whether this start is.
    pub(crate) fn take_restore(&self) -> bool {
        self.restore.swap(false, Ordering::Relaxed)
    }

    /// The master and the nodes.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Machine> {
        std::iter::once(&self.master).chain(&self.nodes)
    }

    /// All machines, by name.
    pub(crate) fn names(&self) -> Vec<String> {
        let machines = self.servers().chain(&self.clients);
        machines.map(|machine| machine.name.clone()).collect()
    }

    /// A content that no file has had yet.
    pub(crate) fn new_value(&self) -> Value {
        Value(self.values.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn network(&self, host: &str) -> Arc<dyn Network> {
        Arc::new(SimNetwork {
            host: host.to_owned(),
            cables: self.cables.clone(),
            journal: self.journal.clone(),
        })
    }

    /// Nobody stops a process: it may end only because of what was done to its disks.
    pub(crate) fn look_into_end(&self, machine: &Machine, ended: &Ended) {
        machine.end_losing(self.journal.now());
        let name = &machine.name;
        if machine.may_end(ended) {
            self.journal.count("processes ended by their disk");
            self.journal.note(format_args!("{name} ended: {ended:?}"));
        } else {
            self.journal.fail(format_args!(
                "{name} ended, though nothing was done to its disk: {ended:?}"
            ));
        }
    }

    /// These copies are gone, by a fault.
    pub(crate) fn note_destroyed<'a>(
        &self,
        machine: &Machine,
        chunks: impl IntoIterator<Item = &'a ChunkId>,
    ) {
        self.destroyed.lock().note(&machine.name, chunks);
    }

    /// Sees that an upload that was acknowledged with so many copies has them: on the disks, as a power cut of all would leave
    /// them now. Those that faults destroyed count until they are seen again, and what was lost since the upload was called.
    pub(crate) fn check_durable(
        &self,
        value: Value,
        copies: u8,
        called: Duration,
        chance: &mut StdRng,
    ) {
        let durable: Vec<_> = (self.nodes.iter())
            .map(|node| (node, node.durable_chunks(chance)))
            .collect();
        let mut destroyed = self.destroyed.lock();
        for (node, there) in &durable {
            destroyed.see(&node.name, there);
        }
        for chunk in value.chunks() {
            let has = |node: &Machine, there: &BTreeSet<ChunkId>| {
                there.contains(&chunk)
                    || node.may_have_lost(called)
                    || destroyed.contains(&node.name, &chunk)
            };
            let holders = durable.iter().filter(|(node, there)| has(node, there));
            let count = holders.count();
            if count < usize::from(copies) {
                self.journal.fail(format_args!(
                    "{value:?} was acknowledged with {copies} copies, and its chunk {chunk} is durable on {count}"
                ));
            }
        }
        self.journal.count("acknowledgements found durable");
    }

    /// Counts what has come to pass of what was set on a disk that is given up, or at the end.
    pub(crate) fn count_given(&self, disk: &MemoryDisk) {
        let given = disk.given();
        for (what, count) in [
            ("failed syncs", given.syncs),
            ("failed writes", given.writes),
            ("failed reads", given.reads),
            ("failed opens", given.opens),
            ("writes without room", given.full),
        ] {
            self.journal.count_many(what, count);
        }
    }

    /// Chance for a process that starts now.
    pub(crate) fn chance_of(&self, machine: &Machine) -> StdRng {
        let start = machine.count_start();
        let name = machine.name.bytes().fold(0_u64, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(byte.into())
        });
        StdRng::seed_from_u64(self.seed.rotate_left(32) ^ (name << 16) ^ u64::from(start))
    }
}

/// Where a machine's process listens.
pub(crate) fn address_of(machine: &str) -> Address {
    format!("{machine}:{PORT}")
        .parse()
        .expect("it is an address")
}
