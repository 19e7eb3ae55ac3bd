//! What keeps the cluster together: who is here, what repair and deletions may do, and how nodes are called.
//!
//! [`Control`] is shared by the handlers and by the loops (repair, garbage, deletions, inventories, checks). Each loop is
//! one task, works in bounded pages, and is woken by events. What is decided here is durable only through the
//! [`Committer`]; what is only known here (who is live, safe mode, claims) is learnt anew after a start.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use disk::Disk;
use proto::connection::CallError;
use proto::id::{ChunkId, ClusterId, Epoch, RunId};
use proto::master::{NodeLocation, NodeState};
use proto::pool::Pool;
use proto::table::Operation;
use proto::{ErrorCode, HistoryPoint, WireError};
use rand::rngs::SmallRng;
use settings::loops::Loops;
use threads::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::checks::{self, CheckQueue};
use crate::claims::CopyClaims;
use crate::command::NodeNumber;
use crate::commit::Committer;
use crate::config::Config;
use crate::deletions::DeletionWake;
use crate::handlers::ClusterView;
use crate::lineage::WHICH_TO_KEEP;
use crate::membership::{Change, Membership, Placeable};
use crate::repair::Repair;
use crate::safe_mode::SafeMode;
use crate::state::{Snapshot, State, StateError};
use crate::{deletions, garbage, inventory, repair, store_check};

/// How often silence is looked at: a node is found dead at most this much late.
const TICK: Duration = Duration::from_millis(200);

/// The cluster as its master sees it now.
pub struct Control {
    pub(crate) config: Config,
    pub(crate) state: Arc<State>,
    pub(crate) committer: Committer,
    pub(crate) pool: Pool,
    pub(crate) claims: CopyClaims,
    pub(crate) repair: Repair,
    pub(crate) checks: CheckQueue,
    pub(crate) deletions: DeletionWake,
    pub(crate) garbage: Notify,
    /// Nodes came into doubt: their inventories are to be compared.
    pub(crate) inventories: Notify,
    /// Of the last delete order.
    pub(crate) order_sequence: AtomicU64,
    /// What the server says that it is: nothing before a new cluster has its first node.
    pub(crate) announced: watch::Sender<Option<ClusterId>>,
    /// The data folder.
    pub(crate) disk: Arc<dyn Disk>,
    epoch: Epoch,
    run: RunId,
    /// Read while nodes are taken in, and written while one is removed, in the state and then in `membership`: both in the
    /// same order.
    pub(crate) admission: tokio::sync::RwLock<()>,
    membership: Mutex<Membership>,
    safe_mode: Mutex<SafeMode>,
    /// The latest node that was refused because it belongs to another cluster.
    refused: Mutex<Option<Refused>>,
    /// What the check of the store found, if it is not what was written.
    pub(crate) store_damage: OnceLock<String>,
    chance: Mutex<SmallRng>,
}

/// A node of another cluster that asked to be taken in, when, and what it was told.
struct Refused {
    at: Instant,
    cluster: ClusterId,
    message: String,
}

/// What a [`Control`] is made of.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) state: Arc<State>,
    pub(crate) committer: Committer,
    pub(crate) pool: Pool,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) epoch: Epoch,
    pub(crate) run: RunId,
    pub(crate) chance: SmallRng,
}

impl Control {
    /// At a start, when the epoch has been raised: knows the nodes that the state has.
    pub(crate) fn new(parts: Parts) -> Result<Arc<Self>, StateError> {
        let now = Instant::now();
        let config = parts.config;
        let known = parts.state.read()?.nodes()?;
        let mut membership = Membership::new(config.heartbeat_interval, config.failure_timeout);
        for (number, row) in &known {
            membership.know(*number, row.id, row.address.clone(), &row.zone, now);
        }
        let numbers = known.iter().map(|(number, _)| *number);
        let mut safe_mode = SafeMode::new(numbers, now, config.failure_timeout);
        if config.restored {
            safe_mode.hold();
        }
        let cluster = parts.state.cluster();
        Ok(Arc::new(Self {
            state: parts.state,
            committer: parts.committer,
            pool: parts.pool,
            claims: CopyClaims::default(),
            repair: Repair::new(),
            checks: CheckQueue::default(),
            deletions: DeletionWake::default(),
            garbage: Notify::new(),
            inventories: Notify::new(),
            order_sequence: AtomicU64::new(0),
            announced: watch::Sender::new((!known.is_empty()).then_some(cluster)),
            disk: parts.disk,
            epoch: parts.epoch,
            run: parts.run,
            admission: tokio::sync::RwLock::new(()),
            membership: Mutex::new(membership),
            safe_mode: Mutex::new(safe_mode),
            refused: Mutex::default(),
            store_damage: OnceLock::new(),
            chance: Mutex::new(parts.chance),
            config,
        }))
    }

    /// A node of another cluster asked to be taken in; all nodes of that one ask, again and again.
    pub(crate) fn note_refused(&self, cluster: ClusterId, message: &str) {
        let refused = Refused {
            at: Instant::now(),
            cluster,
            message: message.to_owned(),
        };
        let before = self.refused.lock().replace(refused);
        if before.is_none_or(|before| before.cluster != cluster) {
            warn!("refused a node: {message}");
        }
    }

    /// What the latest such node was told, if it asked lately.
    pub(crate) fn lately_refused(&self) -> Option<String> {
        let refused = self.refused.lock();
        let Refused { at, message, .. } = refused.as_ref()?;
        (at.elapsed() < 2 * self.config.failure_timeout).then(|| message.clone())
    }

    /// Starts the loops.
    pub(crate) fn spawn(self: &Arc<Self>, loops: &mut Loops) {
        let control = || self.clone();
        loops.spawn("the watch for silent nodes", |stop| {
            control().watch_silence(stop)
        });
        loops.spawn("repair", |stop| repair::run(control(), stop));
        loops.spawn("the check of copies", |stop| checks::run(control(), stop));
        loops.spawn("deletion", |stop| deletions::run(control(), stop));
        loops.spawn("garbage collection", |stop| garbage::run(control(), stop));
        loops.spawn("the comparison of inventories", |stop| {
            inventory::run(control(), stop)
        });
        loops.spawn("the check of the store", |stop| {
            store_check::run(control(), stop)
        });
    }

    async fn watch_silence(self: Arc<Self>, shutdown: CancellationToken) {
        let tick = || tokio::time::sleep(TICK);
        while shutdown.run_until_cancelled(tick()).await.is_some() {
            let changes = self.membership().tick(Instant::now());
            for change in changes {
                self.node_changed(change);
            }
        }
    }

    /// Tells the loops, and whoever reads the log, that a node is somewhere else in its life.
    pub(crate) fn node_changed(&self, change: Change) {
        let Change { node, to, .. } = change;
        let name = self.name_of(node);
        match to {
            NodeState::Live => {
                info!(node = name, "a node is live");
                self.node_is_here(node);
            }
            NodeState::Suspect => {
                info!(
                    node = name,
                    "a node is suspect: its connection broke, or it is late"
                );
            }
            NodeState::Dead => {
                warn!(
                    node = name,
                    "a node is dead: its copies are made again where there are nodes for them"
                );
                self.repair.survey();
            }
        }
    }

    /// What a node is called in the log: its address, by which people know it.
    pub(crate) fn name_of(&self, node: NodeNumber) -> String {
        let address = self.membership().address(node);
        address.map_or_else(
            || format!("number {}, removed", node.0),
            |address| address.to_string(),
        )
    }

    /// A node has come, or come back, and is in doubt: it is compared with the record, and takes part in everything.
    pub(crate) fn node_is_here(&self, node: NodeNumber) {
        self.inventories.notify_one();
        self.repair.node_returned(node);
        self.deletions.wake(node);
    }

    /// What is recorded of a node is in doubt until its inventory was compared.
    pub(crate) fn compare_soon(&self, node: NodeNumber) {
        self.membership().doubt(node, Instant::now());
        self.inventories.notify_one();
    }

    /// Who is here. Never held across an await.
    pub(crate) fn membership(&self) -> MutexGuard<'_, Membership> {
        self.membership.lock()
    }

    /// What waits after the start. Never held across an await.
    pub(crate) fn safe_mode(&self) -> MutexGuard<'_, SafeMode> {
        self.safe_mode.lock()
    }

    /// Chance, for placement.
    pub(crate) fn chance(&self) -> MutexGuard<'_, SmallRng> {
        self.chance.lock()
    }

    /// Of this start.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Where this master's history stands: what goes with every order and every answer to a node.
    pub(crate) fn point(&self) -> HistoryPoint {
        HistoryPoint {
            epoch: self.epoch(),
            run: self.run,
            position: self.committer.position(),
        }
    }

    /// A node follows a master that is not part of this one's history: this one gives no orders and takes no changes any
    /// more, since they would be lost with it.
    pub(crate) fn supersede(&self, reason: &str) {
        if self.committer.fence(reason.to_owned()) {
            error!(
                epoch = self.epoch().0,
                "this master is superseded: it gives no orders and takes no changes. {reason}"
            );
        }
    }

    /// Gives an order. A node that refuses it because of its epoch follows another master by now: this one's epoch never
    /// changes, and the node was let in knowing no other.
    pub(crate) async fn order_node<O: Operation>(
        &self,
        node: NodeNumber,
        order: O,
        timeout: Duration,
    ) -> Result<O::Reply, CallError> {
        let result = self.call_node(node, order, timeout).await;
        if let Err(CallError::Refused(refusal)) = &result
            && refusal.code == ErrorCode::StaleEpoch
        {
            let name = self.name_of(node);
            self.supersede(&format!(
                "node {name} refused an order: {refusal}. Nothing is deleted. {WHICH_TO_KEEP}"
            ));
        }
        result
    }

    /// Refuses what only the cluster's one master may do.
    pub(crate) fn refuse_if_superseded(&self) -> Result<(), WireError> {
        match self.committer.fenced() {
            Some(reason) => Err(WireError::new(ErrorCode::StaleEpoch, reason)),
            None => Ok(()),
        }
    }

    /// Reads the state where blocking work runs. The snapshot does not outlive the closure.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Snapshot) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let state = self.state.clone();
        let blocking = self.config.blocking;
        blocking.run(move || read(&state.read()?)).await
    }

    /// Asks a node, wherever it is now, and nobody else who took its address.
    pub(crate) async fn call_node<O: Operation>(
        &self,
        node: NodeNumber,
        request: O,
        timeout: Duration,
    ) -> Result<O::Reply, CallError> {
        self.refuse_if_superseded()?;
        let Some(location) = self.location(node) else {
            let message = format!("node number {} is not known any more", node.0);
            return Err(CallError::Refused(WireError::new(
                ErrorCode::Unavailable,
                message,
            )));
        };
        self.pool.call(&location, request, timeout).await
    }
}

impl ClusterView for Control {
    fn placeable(&self) -> Arc<Placeable> {
        self.membership().placeable(Instant::now())
    }

    fn is_live(&self, node: NodeNumber) -> bool {
        self.membership().is_live(node)
    }

    fn deletions_wait(&self) -> bool {
        self.safe_mode().deletions_wait() || self.committer.fenced().is_some()
    }

    fn location(&self, node: NodeNumber) -> Option<NodeLocation> {
        self.membership().location(node)
    }

    fn writes_refused(&self, nodes: &[NodeNumber]) {
        self.membership().note_refused_writes(nodes);
    }

    fn copies_missing(&self, chunks: Vec<ChunkId>) {
        self.repair.look_at(chunks);
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("epoch", &self.epoch())
            .field("membership", &self.membership)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
