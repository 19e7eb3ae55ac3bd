//! Which master the node follows: what it has seen of its history, and what it refuses because of that.
//!
//! **Invariants:** no order of a new start of the master is acted upon before `node.json` says that it was seen. So a
//! master that went back in time, or a second one on a copy of the folder, gets nothing done after it either. And only
//! orders wait for the disk that `node.json` is on: chunks are taken and read, and heartbeats sent, while it hangs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use planted::{Bug, is_planted};
use proto::id::{ClusterId, Epoch};
use proto::{ErrorCode, HistoryPoint, WireError};
use threads::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Node, stale};
use crate::error::StoreError;
use crate::extent::Order;
use crate::identity::Identity;

/// How far the master has come in the same start is kept so often: it costs a write.
const KEEP_INTERVAL: Duration = Duration::from_secs(60);
/// A new start that could not be kept is tried again after this.
const KEEP_RETRY: Duration = Duration::from_secs(1);
/// A first disk that has not written by then hangs: nobody waits for it any longer.
const KEEP_TIMEOUT: Duration = Duration::from_secs(10);

/// What the node has seen of its master's history, and the file that keeps it.
#[derive(Debug)]
pub(super) struct Following {
    /// Locked for a moment only, never while a disk is written.
    points: Mutex<Points>,
    /// Whoever writes `node.json` has it until that is done, also when nobody waits for it any more.
    identity: Arc<tokio::sync::Mutex<Identity>>,
    /// A new start waits to be kept.
    new_start: Notify,
}

impl Following {
    pub(super) fn new(identity: Identity) -> Self {
        let points = Points {
            seen: identity.seen(),
            kept: identity.seen(),
        };
        Self {
            points: Mutex::new(points),
            identity: Arc::new(tokio::sync::Mutex::new(identity)),
            new_start: Notify::new(),
        }
    }

    /// Whether `node.json` does not say yet that this start of the master was seen.
    pub(super) fn has_new_start(&self) -> bool {
        self.points().has_new_start()
    }

    fn points(&self) -> MutexGuard<'_, Points> {
        self.points.lock()
    }
}

/// The latest point of the master's history that was heard of, and the one that `node.json` has.
#[derive(Debug)]
struct Points {
    seen: Option<HistoryPoint>,
    kept: Option<HistoryPoint>,
}

impl Points {
    fn has_new_start(&self) -> bool {
        let start = |point: HistoryPoint| (point.epoch, point.run);
        self.seen.map(start) != self.kept.map(start)
    }

    fn has_news(&self) -> bool {
        self.seen != self.kept
    }
}

/// Why a master is not followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    /// It is not the one that this node belongs to.
    #[error(transparent)]
    Refused(#[from] WireError),
    /// That it was seen could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<io::Error> for FollowError {
    fn from(error: io::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<FollowError> for WireError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Refused(refusal) => refusal,
            FollowError::Store(error) => error.into(),
        }
    }
}

impl Node {
    /// The epoch of the last deletion that was carried out before this start.
    pub(crate) fn last_order_epoch(&self) -> Epoch {
        Epoch(self.last_order_epoch.load(Ordering::Relaxed))
    }

    /// A disk that is known only now has seen this order.
    pub(super) fn note_order_of_disk(&self, order: Order) {
        self.last_order_epoch
            .fetch_max(order.epoch.0, Ordering::Relaxed);
    }

    /// The latest point of the master's history that the node has seen.
    pub(crate) fn seen(&self) -> Option<HistoryPoint> {
        self.following.points().seen
    }

    /// Keeps the cluster, durably, before anything is done for it.
    pub(crate) async fn join(self: &Arc<Self>, cluster: ClusterId) -> Result<(), FollowError> {
        if self.cluster() == Some(cluster) {
            return Ok(());
        }
        let node = Arc::clone(self);
        let join = move |identity: &mut Identity| {
            if let Some(own) = identity.cluster().filter(|own| *own != cluster) {
                let message = format!(
                    "the master is of cluster {cluster}, but this node belongs to cluster {own}: give the node the right \
                     master's address, or an empty folder"
                );
                return Err(WireError::new(ErrorCode::WrongCluster, message).into());
            }
            *identity = identity.joined(cluster)?;
            node.cluster.send_replace(Some(cluster));
            Ok(())
        };
        self.write_identity(join).await
    }

    /// Takes in where a master's answer says that its history stands. Waits for no disk: a new start is kept by
    /// [`Node::keep_history`].
    ///
    /// # Errors
    /// If it is an earlier start than the node has seen, or another master.
    pub(crate) fn hear(&self, master: HistoryPoint) -> Result<(), WireError> {
        self.refuse_before_orders(master)?;
        let mut points = self.following.points();
        let advanced = points
            .seen
            .map_or(Ok(master), |seen| seen.advanced_to(master))?;
        points.seen = Some(advanced);
        if points.has_new_start() {
            self.following.new_start.notify_one();
        }
        Ok(())
    }

    /// Follows a master that gives an order: a new start is kept, durably, before this returns.
    pub(crate) async fn follow(self: &Arc<Self>, master: HistoryPoint) -> Result<(), FollowError> {
        self.hear(master)?;
        if self.following.has_new_start() {
            self.keep(Points::has_new_start).await?;
        }
        Ok(())
    }

    /// Refuses an order of a start of the master that is not the latest seen any more.
    pub(super) fn check_epoch(&self, epoch: Epoch) -> Result<(), WireError> {
        match self.seen() {
            Some(seen) if epoch < seen.epoch && !is_planted(Bug::StaleOrdersTaken) => {
                Err(stale(format!(
                    "this order is of start {epoch} of the master, but the node works with start {} by now",
                    seen.epoch
                )))
            }
            _ => Ok(()),
        }
    }

    /// Keeps what is seen of the master's history, until shutdown: a new start at once, and from time to time how far
    /// the master has come.
    pub(crate) async fn keep_history(self: Arc<Self>, shutdown: CancellationToken) {
        let mut failed = false;
        loop {
            let wait = if failed { KEEP_RETRY } else { KEEP_INTERVAL };
            let is_due = tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.following.new_start.notified(), if !failed => Points::has_new_start,
                () = sleep(wait) => Points::has_news,
            };
            let kept = self.keep(is_due).await;
            if let Err(error) = &kept
                && !failed
            {
                tracing::warn!(%error, "could not keep on the first disk how far the master has come: a new start of the master gives this node no orders and no new chunks until that works");
            }
            failed = kept.is_err();
        }
    }

    /// Keeps how far the master had come: for a clean end.
    pub(crate) async fn keep_seen(self: &Arc<Self>) {
        if let Err(error) = self.keep(Points::has_news).await {
            tracing::warn!(%error, "could not keep how far the master had come");
        }
    }

    async fn keep(self: &Arc<Self>, is_due: fn(&Points) -> bool) -> Result<(), FollowError> {
        let node = Arc::clone(self);
        let keep = move |identity: &mut Identity| {
            let seen = {
                let points = node.following.points();
                points.seen.filter(|_| is_due(&points))
            };
            let Some(seen) = seen else {
                return Ok(());
            };
            *identity = identity.having_seen(seen)?;
            node.following.points().kept = Some(seen);
            Ok(())
        };
        self.write_identity(keep).await
    }

    /// Changes `node.json`, one change after another.
    async fn write_identity(
        &self,
        change: impl FnOnce(&mut Identity) -> Result<(), FollowError> + Send + 'static,
    ) -> Result<(), FollowError> {
        let written = async {
            let mut identity = Arc::clone(&self.following.identity).lock_owned().await;
            self.blocking().run(move || change(&mut identity)).await
        };
        let written = timeout(KEEP_TIMEOUT, written).await;
        written.unwrap_or(Err(StoreError::TimedOut.into()))
    }

    /// The extents remember the epoch of the last deletion, should `node.json` have been put back from an old copy.
    fn refuse_before_orders(&self, master: HistoryPoint) -> Result<(), WireError> {
        let last = self.last_order_epoch();
        if master.epoch >= last {
            return Ok(());
        }
        Err(stale(format!(
            "this comes from start {} of the master, but the node has carried out deletions of start {last}: the master \
             went back in time",
            master.epoch
        )))
    }
}
