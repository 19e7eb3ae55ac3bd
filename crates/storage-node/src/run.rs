//! Starts a node on its disks, keeps it running, and stops it so that nothing is left half done.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use disk::Disk;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use proto::WireError;
use proto::hello::Role;
use proto::net::{Address, ListenError, Listener, Network};
use proto::node::NodeServer;
use proto::server::{self, check_exposure, serve};
use settings::loops::{LoopEnded, Loops};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::environment::Environment;
use crate::error::OpenError;
use crate::handlers::Handlers;
use crate::heartbeat::{self, Membership};
use crate::node::Node;
use crate::node_disk::NodeDisk;
use crate::opening::{LateDisk, Opened, Started};
use crate::{compact, reopen, scrub, summary};

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
    let opening = Opened::open(&config, &environment, &disks);
    // A disk that hangs may never be opened.
    let Some(opened) = shutdown.run_until_cancelled(opening).await else {
        return Ok(());
    };
    let started = opened?.start(environment);
    on_listening(&listener.address());
    run_node(&config, started, network, listener, shutdown).await
}

/// Runs it until shutdown.
async fn run_node(
    config: &Config,
    started: Started,
    network: Arc<dyn Network>,
    listener: Box<dyn Listener>,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let address = listener.address();
    let Started { node, late } = started;
    let mut loops = start_loops(config, &node);
    let late = late.into_iter().map(|late| join_late(&node, late));
    let mut late: FuturesUnordered<_> = late.collect();
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
        let mut heart = pin!(heart);
        let ended = loop {
            tokio::select! {
                ended = &mut heart => break ended.map_err(RunError::WrongCluster),
                ended = loops.first_ended() => break Err(ended.into()),
                Some(joined) = late.next() => if let Some(place) = joined {
                    start_loops_of_disk(&mut loops, config, &node, place);
                },
            }
        };
        shutdown.cancel();
        ended
    };
    let ((), ended) = tokio::join!(serving, heart_and_loops);
    node.keep_seen().await;
    loops.stop().await;
    drop(late);
    stop_writers(&node).await;
    ended
}

async fn stop_writers(node: &Node) {
    let disks = node.disks();
    let stopped = join_all(disks.iter().map(|disk| disk.writer.stop()));
    if timeout(STOP_TIMEOUT, stopped).await.is_err() {
        tracing::warn!("stopped although writing was not finished; the next start replays it");
    }
}

/// Waits for a disk that is not open yet, and has it join; gives its place, if it can be opened. One that cannot stays late: what
/// it has is not known, and must not be said to be missing.
pub(crate) async fn join_late(node: &Node, late: LateDisk) -> Option<usize> {
    let disk = late.place + 1;
    match late.opened.await {
        Ok(opened) => {
            let joining = NodeDisk::start(opened, node.blocking());
            let place = node.join_disk(joining).await;
            tracing::info!(disk, "a disk that was late is open now");
            Some(place)
        }
        Err(error) => {
            tracing::error!(disk, %error, "a disk that was late cannot be opened: the node goes on without it until a restart");
            None
        }
    }
}

/// Starts what goes on beside the requests.
fn start_loops(config: &Config, node: &Arc<Node>) -> Loops {
    let mut loops = Loops::default();
    for place in 0..node.disks().len() {
        start_loops_of_disk(&mut loops, config, node, place);
    }
    loops.spawn("keeping the master's history", |stop| {
        Arc::clone(node).keep_history(stop)
    });
    loops.spawn("keeping one copy", |stop| {
        Arc::clone(node).keep_one_copy(stop)
    });
    loops
}

fn start_loops_of_disk(loops: &mut Loops, config: &Config, node: &Arc<Node>, place: usize) {
    let node = || Arc::clone(node);
    let live_share_min = config.compact_below;
    loops.spawn("compaction", |stop| {
        compact::run(node(), place, live_share_min, stop)
    });
    loops.spawn("summaries", |stop| summary::run(node(), place, stop));
    let rate_max = config.scrub_rate;
    if rate_max > 0 {
        loops.spawn("scrubbing", |stop| {
            scrub::run(node(), place, rate_max, stop)
        });
    }
    loops.spawn("watching the index", |stop| {
        reopen::run(node(), place, stop)
    });
}
