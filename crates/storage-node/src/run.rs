//! Starts a node on its disks, keeps it running, and stops it so that nothing is left half done.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use disk::{Disk, DiskLock};
use proto::WireError;
use proto::hello::Role;
use proto::net::{Address, ListenError, Listener, Network};
use proto::node::NodeServer;
use proto::server::{self, check_exposure, serve};
use settings::loops::{LoopEnded, Loops};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::environment::Environment;
use crate::error::OpenError;
use crate::handlers::Handlers;
use crate::heartbeat::{self, Membership};
use crate::identity::{Identity, LOCK_PATH, may_be_dead};
use crate::node::Node;
use crate::node_disk::NodeDisk;
use crate::store::StoreOptions;
use crate::{compact, recover, scrub, summary};

/// The reserve is never more than this part of a disk.
const RESERVE_SHARE: u64 = 20;
/// The index of each disk gets at least this much memory.
const CACHE_BYTES_MIN: usize = 1 << 20;
/// Replay reads at most about this much.
const CHECKPOINT_BYTES: u64 = 64 << 20;
/// When the node stops, its writers get this long for what they have begun.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a node could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It would be open to everybody.
    #[error("{0}")]
    Exposed(String),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The master says that it belongs elsewhere.
    #[error("the master refuses this node: {0}")]
    WrongCluster(#[source] WireError),
    /// A part of it ended that nobody stopped.
    #[error(transparent)]
    Loop(#[from] LoopEnded),
}

/// Runs a node on these disks until `shutdown`; says where it listens as soon as it does.
///
/// # Errors
/// [`RunError`]; nothing is lost then.
pub async fn run(
    config: Config,
    environment: Environment,
    network: Arc<dyn Network>,
    disks: Vec<Arc<dyn Disk>>,
    shutdown: CancellationToken,
    on_listening: impl FnOnce(&Address),
) -> Result<(), RunError> {
    check_exposure(&config.listen, config.secret.as_ref()).map_err(RunError::Exposed)?;
    // Before anything is made in the folders. Nobody is answered before the node runs.
    let listener = network.listen(&config.listen).await;
    let listener = listener.map_err(|error| ListenError {
        address: config.listen.clone(),
        error,
    })?;
    let options = config.clone();
    let blocking = environment.blocking;
    let opened = tokio::select! {
        opened = blocking.run(move || Opened::open(&options, &environment, &disks)) => opened?,
        // A disk that hangs may never be opened.
        () = shutdown.cancelled() => return Ok(()),
    };
    let writers = TaskTracker::new();
    let (node, locks) = opened.start(&writers);
    on_listening(&listener.address());
    let result = run_node(&config, node, network, listener, shutdown).await;
    writers.close();
    if timeout(STOP_TIMEOUT, writers.wait()).await.is_err() {
        tracing::warn!("stopped although writing was not finished; the next start replays it");
        // What hangs may still be written: until this process is really gone, no other takes the folders.
        std::mem::forget(locks);
    } else {
        drop(locks);
    }
    result
}

async fn run_node(
    config: &Config,
    node: Arc<Node>,
    network: Arc<dyn Network>,
    listener: Box<dyn Listener>,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let address = listener.address();
    let mut loops = start_loops(config, &node);
    let membership = Membership {
        network: Arc::clone(&network),
        masters: config.masters.clone(),
        secret: config.secret.clone(),
        address: config.advertise.clone().unwrap_or(address),
        zone: config.zone.clone(),
    };
    let heart = heartbeat::run(Arc::clone(&node), membership, shutdown.clone());
    let serving = serve(
        listener,
        Arc::new(NodeServer(Handlers::new(
            Arc::clone(&node),
            network,
            config.secret.clone(),
        ))),
        server::Identity {
            role: Role::Node,
            cluster: node.watch_cluster(),
            node: Some(node.id()),
            secret: config.secret.clone(),
        },
        config.limits.clone(),
        shutdown.clone(),
    );
    let heart_and_loops = async {
        let ended = tokio::select! {
            ended = heart => ended.map_err(RunError::WrongCluster),
            ended = loops.first_ended() => Err(ended.into()),
        };
        shutdown.cancel();
        ended
    };
    let ((), ended) = tokio::join!(serving, heart_and_loops);
    node.keep_seen().await;
    loops.stop().await;
    ended
}

/// Starts what goes on beside the requests.
fn start_loops(config: &Config, node: &Arc<Node>) -> Loops {
    let mut loops = Loops::default();
    for disk in 0..node.disks().len() {
        let [compacted, summarized, scrubbed] = [0; 3].map(|_| Arc::clone(node));
        let live_share_min = config.compact_below;
        loops.spawn("compaction", move |stop| {
            compact::run(compacted, disk, live_share_min, stop)
        });
        loops.spawn("summaries", move |stop| {
            summary::run(summarized, disk, stop)
        });
        let rate_max = config.scrub_rate;
        if rate_max > 0 {
            loops.spawn("scrubbing", move |stop| {
                scrub::run(scrubbed, disk, rate_max, stop)
            });
        }
    }
    loops.spawn("keeping the master's history", |stop| {
        Arc::clone(node).keep_history(stop)
    });
    loops.spawn("keeping one copy", |stop| {
        Arc::clone(node).keep_one_copy(stop)
    });
    loops
}

/// Everything that is open before the first request.
pub(crate) struct Opened {
    identity: Identity,
    stores: Vec<(Arc<crate::store::Store>, crate::appender::Appender)>,
    unopened_disks: u32,
    locks: Vec<Box<dyn DiskLock>>,
    environment: Environment,
}

impl Opened {
    /// Locks the folders, reads who the node is, and opens the stores.
    ///
    /// The lock is a file: it is made only where no folder is somebody else's. What was found then may have changed
    /// until the lock is held, so all of it is read again.
    pub(crate) fn open(
        config: &Config,
        environment: &Environment,
        disks: &[Arc<dyn Disk>],
    ) -> Result<Self, OpenError> {
        let had = Identity::check_folders(disks)?;
        let mut locks = Vec::new();
        let mut unopened = Unopened::default();
        let mut folders = Vec::new();
        for (place, disk) in disks.iter().enumerate() {
            match lock_readable(disk, place) {
                Ok(lock) => {
                    locks.push(lock);
                    folders.push(Some(Arc::clone(disk)));
                }
                Err(error) if may_be_dead(place, had, &error) => {
                    unopened.note(place, error);
                    folders.push(None);
                }
                Err(error) => return Err(error),
            }
        }
        let identity = Identity::open(&folders, config.acceptance, environment)?;
        let mut stores = Vec::new();
        for (place, disk) in folders.iter().enumerate() {
            let Some(disk) = disk else {
                continue;
            };
            match open_store(config, environment, &identity, place, disks.len(), disk) {
                Ok(store) => stores.push(store),
                Err(error @ OpenError::Disk { .. }) if disks.len() > 1 => {
                    unopened.note(place, error);
                }
                Err(error) => return Err(error),
            }
        }
        match unopened.last {
            Some(error) if stores.is_empty() => Err(error),
            _ => Ok(Self {
                identity,
                stores,
                unopened_disks: unopened.count,
                locks,
                environment: environment.clone(),
            }),
        }
    }

    /// Starts the writers: one task a disk, which ends when the node is dropped.
    pub(crate) fn start(self, writers: &TaskTracker) -> (Arc<Node>, Vec<Box<dyn DiskLock>>) {
        let blocking = self.environment.blocking;
        let start = |(store, appender)| {
            let (disk, task) = NodeDisk::new(store, appender, blocking);
            writers.spawn(task);
            disk
        };
        let disks = self.stores.into_iter().map(start).collect();
        let node = Node::new(self.identity, disks, self.unopened_disks, self.environment);
        (Arc::new(node), self.locks)
    }
}

/// The disks that the node goes on without.
#[derive(Default)]
struct Unopened {
    count: u32,
    last: Option<OpenError>,
}

impl Unopened {
    fn note(&mut self, place: usize, error: OpenError) {
        let disk = place + 1;
        tracing::error!(disk, %error, "a disk cannot be opened; the node goes on without it");
        self.count += 1;
        self.last = Some(error);
    }
}

/// Locks a folder whose identity can be read.
fn lock_readable(disk: &Arc<dyn Disk>, place: usize) -> Result<Box<dyn DiskLock>, OpenError> {
    let lock = lock(&**disk, place)?;
    Identity::check_folder(&**disk, place)?;
    Ok(lock)
}

fn lock(disk: &dyn Disk, place: usize) -> Result<Box<dyn DiskLock>, OpenError> {
    let lock = match disk.lock(LOCK_PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            disk.create_folder("").and_then(|()| disk.lock(LOCK_PATH))
        }
        lock => lock,
    };
    lock.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Refused(format!(
            "folder {} is in use by another process: stop that one, or give another folder",
            place + 1
        )),
        _ => OpenError::while_doing(format!("lock folder {}", place + 1))(error),
    })
}

fn open_store(
    config: &Config,
    environment: &Environment,
    identity: &Identity,
    place: usize,
    disks: usize,
    disk: &Arc<dyn Disk>,
) -> Result<(Arc<crate::store::Store>, crate::appender::Appender), OpenError> {
    let space = disk
        .space()
        .map_err(OpenError::while_doing("ask for free space"))?;
    let options = StoreOptions {
        node: identity.node(),
        disk_number: u32::try_from(place).expect("a machine has few disks"),
        extent_size: config.extent_size,
        reserve: config.reserve.min(space.capacity / RESERVE_SHARE),
        cache_bytes: (config.cache_bytes / disks).max(CACHE_BYTES_MIN),
        checkpoint_bytes: CHECKPOINT_BYTES,
    };
    recover::open(disk, options, environment)
}
