//! The machines: a master, storage nodes and clients, each with its disks, and what all of them share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use disk::{Blocking, Disk, MemoryDisk};
use history::{CHUNK_LEN, History, Value};
use parking_lot::Mutex;
use proto::hello::ClusterSecret;
use proto::id::{ChunkId, NodeId};
use proto::master::ClusterRules;
use proto::name::NameRules;
use proto::net::{Address, Network};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use storage_node::{Acceptance, Environment};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;
use crate::network::{Cables, SimNetwork};

/// The master's machine.
pub(crate) const MASTER: &str = "master";
/// Copies of each chunk.
pub(crate) const COPIES: usize = 3;
/// Room on a node's disk.
pub(crate) const CAPACITY: u64 = 64 << 20;
/// A process that ended by itself is started again after this.
const START_AGAIN_AFTER: Duration = Duration::from_secs(1);
const PORT: u16 = 9000;
/// What a disk says that was made to fail.
const DISK_FAULTS: [&str; 3] = ["the disk has stopped", "injected ", "StorageFull"];

/// All of it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) journal: Journal,
    pub(crate) cables: Cables,
    pub(crate) history: Mutex<History>,
    pub(crate) master: Machine,
    pub(crate) nodes: Vec<Machine>,
    pub(crate) clients: Vec<Machine>,
    /// Copies that were damaged behind their node's back: what a reader would report.
    pub(crate) damaged: Mutex<BTreeSet<(ChunkId, NodeId)>>,
    /// No more faults; clients end.
    peace: AtomicBool,
    /// All machines are to lose power once more.
    last_cut: AtomicBool,
    finished: AtomicBool,
    values: AtomicU32,
}

/// A machine with its disks.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) disks: Mutex<Vec<MemoryDisk>>,
    /// How often its process was started.
    starts: AtomicU32,
    /// A client that has ended.
    pub(crate) done: AtomicBool,
}

impl Machine {
    fn new(name: String, disks: usize) -> Self {
        let new_disk = |_| {
            let disk = MemoryDisk::new();
            disk.set_capacity(if name == MASTER { 1 << 40 } else { CAPACITY });
            disk
        };
        Self {
            disks: Mutex::new((0..disks).map(new_disk).collect()),
            name,
            starts: AtomicU32::new(0),
            done: AtomicBool::new(false),
        }
    }

    /// That of the person who looks after the cluster.
    pub(crate) fn of_the_operator() -> Self {
        Self::new(crate::oracle::OPERATOR.to_owned(), 0)
    }

    pub(crate) fn disks(&self) -> Vec<MemoryDisk> {
        self.disks.lock().clone()
    }

    /// The good chunks on its disks, as the disks themselves say.
    pub(crate) fn good_chunks(&self) -> BTreeSet<ChunkId> {
        let mut chunks = BTreeSet::new();
        for disk in self.disks() {
            let (copy, exported) = (disk.fork(), MemoryDisk::new());
            copy.heal();
            // It also fails when a chunk is damaged, which is left out, and where there is no node.
            drop(storage_node::offline::export(
                &copy,
                &exported,
                &mut std::io::sink(),
            ));
            let names = exported.list("").expect("it is a new disk");
            chunks.extend(
                names
                    .iter()
                    .filter_map(|entry| entry.name.parse::<ChunkId>().ok()),
            );
        }
        chunks
    }

    /// All that its disks say of a chunk, a line a record: for whoever looks into a failure.
    pub(crate) fn records_of(&self, chunk: &ChunkId) -> Vec<String> {
        let mut said = Vec::new();
        for disk in self.disks() {
            let copy = disk.fork();
            copy.heal();
            drop(storage_node::offline::inspect(&copy, true, &mut said));
        }
        let (said, chunk) = (String::from_utf8_lossy(&said), chunk.to_string());
        let lines = said
            .lines()
            .filter(|line| line.contains(&chunk) || line.contains("extents/"));
        lines.map(str::to_owned).collect()
    }

    /// Who it is, if it has ever run.
    pub(crate) fn node(&self) -> Option<NodeId> {
        let identity = self.disks.lock().first()?.content("node.json")?;
        let identity: serde_json::Value = serde_json::from_slice(&identity).ok()?;
        serde_json::from_value(identity.get("node")?.clone()).ok()
    }
}

impl World {
    /// So many machines, switched off.
    pub(crate) fn new(seed: u64, journal: Journal) -> Arc<Self> {
        let mut chance = StdRng::seed_from_u64(seed ^ 0x0077_6f72_6c64);
        let (nodes, clients) = (chance.random_range(3..=7), chance.random_range(2..=4));
        let node = |number| {
            let disks = if chance.random_bool(0.2) { 2 } else { 1 };
            Machine::new(format!("node-{number}"), disks)
        };
        let nodes = (1..=nodes).map(node).collect();
        let client = |number| Machine::new(format!("client-{number}"), 0);
        Arc::new(Self {
            seed,
            journal,
            cables: Cables::default(),
            history: Mutex::default(),
            master: Machine::new(MASTER.to_owned(), 1),
            nodes,
            clients: (1..=clients).map(client).collect(),
            damaged: Mutex::default(),
            peace: AtomicBool::new(false),
            last_cut: AtomicBool::new(false),
            finished: AtomicBool::new(false),
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

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }

    /// All machines, by name.
    pub(crate) fn names(&self) -> Vec<String> {
        let servers = std::iter::once(&self.master).chain(&self.nodes);
        servers
            .chain(&self.clients)
            .map(|machine| machine.name.clone())
            .collect()
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

    /// Nobody stops a process: it may end only because its disk failed.
    fn look_into_end(&self, machine: &Machine, ended: Result<(), String>) {
        let name = &machine.name;
        match ended {
            Err(error) if DISK_FAULTS.iter().any(|fault| error.contains(fault)) => {
                self.journal.count("processes ended by their disk");
                self.journal.note(format_args!("{name} ended: {error}"));
            }
            ended => self.journal.fail(format_args!(
                "{name} ended, though its disk is well: {ended:?}"
            )),
        }
    }

    /// Chance for a process that starts now.
    pub(crate) fn chance_of(&self, machine: &Machine) -> StdRng {
        let start = machine.starts.fetch_add(1, Ordering::Relaxed);
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

/// What the cluster's members share.
pub(crate) fn secret() -> ClusterSecret {
    ClusterSecret::new("a secret for a simulation")
}

/// Runs a master, and starts it again when it ends.
pub(crate) async fn run_master(world: Arc<World>) -> turmoil::Result {
    loop {
        let machine = &world.master;
        let config = master_config(world.chance_of(machine).next_u64());
        let disk = machine.disks()[0].shared();
        let started = master::start(
            config,
            world.network(MASTER),
            disk,
            CancellationToken::new(),
        );
        let ended = match started.await {
            Ok(running) => running.ended().await,
            Err(error) => Err(error),
        };
        let ended = ended.map_err(|error| format!("{error:?}"));
        world.look_into_end(machine, ended);
        sleep(START_AGAIN_AFTER).await;
    }
}

/// Runs a storage node, and starts it again when it ends.
pub(crate) async fn run_node(world: Arc<World>, index: usize) -> turmoil::Result {
    loop {
        let machine = &world.nodes[index];
        let chance = Mutex::new(world.chance_of(machine));
        let journal = world.journal.clone();
        let environment = Environment::new(
            Blocking::inline(),
            move || u64::try_from(journal.now().as_millis()).unwrap_or(u64::MAX),
            move |bytes| chance.lock().fill_bytes(bytes),
        );
        let disks = machine.disks().iter().map(MemoryDisk::shared).collect();
        let ended = storage_node::run(
            node_config(&machine.name),
            environment,
            world.network(&machine.name),
            disks,
            CancellationToken::new(),
            |_| {},
        );
        let ended = ended.await;
        let ended = ended.map_err(|error| format!("{error:?}"));
        world.look_into_end(machine, ended);
        sleep(START_AGAIN_AFTER).await;
    }
}

/// Short times, so that little has to be simulated.
fn master_config(chance_seed: u64) -> master::Config {
    master::Config {
        listen: address_of("0.0.0.0"),
        rules: ClusterRules {
            chunk_size: u32::try_from(CHUNK_LEN).expect("it is small"),
            replication_factor: u8::try_from(COPIES).expect("it is small"),
            min_write_replicas: 2,
            file_size_max: None,
            names: NameRules::Any,
        },
        secret: Some(secret()),
        heartbeat_interval: Duration::from_secs(1),
        failure_timeout: Duration::from_secs(5),
        upload_lease: Duration::from_secs(8),
        garbage_grace: Duration::from_secs(2),
        trash_retention: Duration::from_secs(4),
        version_retention: Duration::from_secs(4),
        unknown_chunk_grace: Duration::from_secs(10),
        inventory_interval: Duration::from_secs(5),
        cache_bytes: 1 << 20,
        chance_seed,
        blocking: Blocking::inline(),
        ..master::Config::default()
    }
}

fn node_config(name: &str) -> storage_node::Config {
    storage_node::Config {
        listen: address_of("0.0.0.0"),
        advertise: Some(address_of(name)),
        data: Vec::new(),
        masters: vec![address_of(MASTER)],
        zone: String::new(),
        secret: Some(secret()),
        reserve: 64 << 10,
        extent_size: 256 << 10,
        cache_bytes: 1 << 20,
        scrub_rate: 1 << 20,
        compact_below: 0.5,
        limits: proto::server::Limits::default(),
        acceptance: Acceptance::default(),
    }
}
