//! A cluster of real processes, who harms and who uses it, and what all of them share.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use client::{ClientOptions, Cluster};
use history::{History, Value};
use parking_lot::Mutex;
use proto::hello::ClusterSecret;
use proto::id::ChunkId;
use proto::net::{Address, Tcp};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Notify, OwnedMutexGuard, Semaphore};

use crate::image::{FileSystem, Image};
use crate::journal::Journal;
use crate::lines::Lines;
use crate::probes::Probes;
use crate::remains::OnRecord;
use crate::server::{Kind, Server};
use crate::system;

/// Storage nodes of a cluster.
pub(crate) const NODES: usize = 4;
/// Copies of each chunk.
pub(crate) const COPIES: usize = 3;
/// An upload that pauses for longer is forgotten, as the settings below say, with some room for the time that a call takes.
pub(crate) const UPLOAD_LEASE: Duration = Duration::from_secs(12);
/// Faults that run commands at the same time.
const COMMANDS_MAX: usize = 3;
const MASTER_DISK_MIB: u64 = 256;
const NODE_DISK_MIB: u64 = 64;
const SECRET: &str = "a secret for chaos only";
/// Small sizes and short times, so that much happens.
const SETTINGS: &str = r#"
[cluster]
chunk_size = "4KiB"
heartbeat_interval = "200ms"
failure_timeout = "2s"
upload_lease = "10s"
garbage_grace = "2s"
trash_retention = "4s"
version_retention = "4s"
unknown_chunk_grace = "1d"
repairs_per_node = 8
secret = "a secret for chaos only"
[storage_node]
extent_size = "256KiB"
reserve = "1MiB"
cache = "1MiB"
[master]
cache = "4MiB"
"#;

/// What a round's cluster has, beside processes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Equipment {
    /// Each server has a disk of its own, whose power can be cut.
    pub(crate) disks: bool,
    /// Each has a clock of its own.
    pub(crate) clocks: bool,
    /// Each has a network of its own.
    pub(crate) namespaces: bool,
}

/// A server that nobody else harms at the same time.
pub(crate) type Held = OwnedMutexGuard<Server>;

/// All of it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) journal: Journal,
    /// Where the settings are.
    folder: PathBuf,
    /// The master first.
    servers: Vec<Arc<tokio::sync::Mutex<Server>>>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) names: Vec<String>,
    pub(crate) lines: Option<Lines>,
    pub(crate) history: Mutex<History>,
    /// All chunks that files have had.
    chunks: Mutex<BTreeSet<ChunkId>>,
    /// What single nodes answered to have.
    pub(crate) probes: Probes,
    /// What the master was seen to have on record.
    pub(crate) on_record: OnRecord,
    /// Whoever destroys copies has it, until there are enough again; whether it may be done at all.
    pub(crate) copies: Arc<tokio::sync::Mutex<bool>>,
    /// A client is killed when it is notified.
    pub(crate) client_kill: Notify,
    /// Turns of running commands: they hold no server, and so many at once would make all else late.
    pub(crate) commands: Semaphore,
    /// The turn of letting all copies of a chunk rot.
    pub(crate) losses: Semaphore,
    pub(crate) began: Instant,
    peace: AtomicBool,
    values: AtomicU32,
}

impl World {
    /// A cluster in this folder, started.
    pub(crate) async fn start(
        folder: &Path,
        journal: Journal,
        equipment: Equipment,
        seed: u64,
    ) -> anyhow::Result<Self> {
        std::fs::write(folder.join("config.toml"), SETTINGS)?;
        let mut chance = StdRng::seed_from_u64(seed ^ 0x0077_6f72_6c64);
        let lines = equipment
            .namespaces
            .then(|| Lines::lay(NODES + 1))
            .transpose()?;
        let (mut servers, mut addresses, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..=NODES {
            let name = if number == 0 {
                "master".to_owned()
            } else {
                format!("node-{number}")
            };
            let kind = addresses.first().cloned().map_or(Kind::Master, Kind::Node);
            let address = match &lines {
                Some(lines) => lines.address(number),
                None => local_address(number),
            };
            let mut server = Server::new(folder, &name, kind, address.parse()?);
            equip(&mut server, number, equipment, lines.as_ref(), &mut chance)?;
            let disk = server.image.as_ref().map(Image::kind);
            journal.note(format_args!("{name} has the disk {disk:?}"));
            server.start().await?;
            addresses.push(server.address().clone());
            names.push(name);
            servers.push(Arc::new(tokio::sync::Mutex::new(server)));
        }
        Ok(Self {
            journal,
            folder: folder.to_owned(),
            servers,
            addresses,
            names,
            lines,
            history: Mutex::default(),
            chunks: Mutex::default(),
            probes: Probes::new(NODES + 1),
            on_record: OnRecord::default(),
            copies: Arc::new(tokio::sync::Mutex::new(true)),
            client_kill: Notify::new(),
            commands: Semaphore::new(COMMANDS_MAX),
            losses: Semaphore::new(1),
            began: Instant::now(),
            peace: AtomicBool::new(false),
            values: AtomicU32::new(0),
        })
    }

    /// A server that nobody holds, or nothing if all are held.
    pub(crate) fn any(&self, chance: &mut StdRng) -> Option<Held> {
        self.free(chance, 0)
    }

    /// A storage node that nobody holds.
    pub(crate) fn any_node(&self, chance: &mut StdRng) -> Option<Held> {
        self.free(chance, 1)
    }

    fn free(&self, chance: &mut StdRng, first: usize) -> Option<Held> {
        let begin = chance.random_range(0..self.servers.len());
        let order = (0..self.servers.len()).map(|step| (begin + step) % self.servers.len());
        order
            .filter(|number| *number >= first)
            .find_map(|number| self.servers[number].clone().try_lock_owned().ok())
    }

    /// All servers, when nobody else holds one; the master first.
    pub(crate) async fn all(&self) -> Vec<Held> {
        let mut all = Vec::new();
        for server in &self.servers {
            all.push(server.clone().lock_owned().await);
        }
        all
    }

    /// All storage nodes, when nobody else holds one.
    pub(crate) async fn all_nodes(&self) -> Vec<Held> {
        let mut all = Vec::new();
        for server in &self.servers[1..] {
            all.push(server.clone().lock_owned().await);
        }
        all
    }

    /// Those that nobody holds now.
    pub(crate) fn all_free(&self) -> Vec<Held> {
        let free = self.servers.iter();
        free.filter_map(|server| server.clone().try_lock_owned().ok())
            .collect()
    }

    /// What all programs of this cluster are set to.
    pub(crate) fn settings(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    pub(crate) fn is_peace(&self) -> bool {
        self.peace.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_peace(&self) {
        self.peace.store(true, Ordering::Relaxed);
    }

    /// A content that no file has had yet.
    pub(crate) fn new_value(&self) -> Value {
        let value = Value(self.values.fetch_add(1, Ordering::Relaxed) + 1);
        self.chunks.lock().extend(value.chunks());
        value
    }

    /// All chunks that files have had, or are to have.
    pub(crate) fn chunks(&self) -> Vec<ChunkId> {
        self.chunks.lock().iter().copied().collect()
    }

    /// Which server is called so.
    pub(crate) fn number_of(&self, name: &str) -> usize {
        let number = self.names.iter().position(|known| known == name);
        number.expect("servers keep their names")
    }

    /// A client of its own.
    pub(crate) fn connect(&self) -> Cluster {
        let options = ClientOptions {
            chunks_in_flight: 3,
            call_retry_for: Duration::from_secs(6),
            transfer_retry_for: Duration::from_secs(8),
            call_timeout: Duration::from_secs(2),
            transfer_timeout: Duration::from_secs(3),
            chunk_deadline: Duration::from_secs(8),
            avoid_for: Duration::from_secs(2),
            nodes_patience: Duration::from_secs(4),
            ..ClientOptions::default()
        };
        let masters = vec![self.addresses[0].clone()];
        Cluster::new(Tcp::shared(), masters, Some(secret()), options)
    }
}

/// What the cluster's members share.
pub(crate) fn secret() -> ClusterSecret {
    ClusterSecret::new(SECRET)
}

/// Each has an address of its own where the system has so many: the port of one that is down must not be taken by a
/// connection of another.
fn local_address(number: usize) -> String {
    if cfg!(target_os = "linux") {
        format!("127.0.0.{}:0", number + 2)
    } else {
        "127.0.0.1:0".to_owned()
    }
}

fn equip(
    server: &mut Server,
    number: usize,
    equipment: Equipment,
    lines: Option<&Lines>,
    chance: &mut StdRng,
) -> anyhow::Result<()> {
    server.namespace = lines.map(|lines| lines.namespace(number));
    if equipment.disks {
        let mib = if number == 0 {
            MASTER_DISK_MIB
        } else {
            NODE_DISK_MIB
        };
        let kinds: &[FileSystem] = if system::has("mkfs.xfs") {
            &[FileSystem::Ext4, FileSystem::Ext4, FileSystem::Xfs]
        } else {
            &[FileSystem::Ext4]
        };
        let kind = *kinds.choose(chance).context("there are kinds")?;
        let image = Image::new(&server.name, kind, mib, &server.place());
        server.image = Some(image.with_context(|| format!("make a disk for {}", server.name))?);
    }
    std::fs::create_dir_all(server.place())?;
    if equipment.clocks {
        let clock: PathBuf = server.place().with_extension("clock");
        std::fs::write(&clock, "+0")?;
        server.clock = Some(clock);
    }
    Ok(())
}
