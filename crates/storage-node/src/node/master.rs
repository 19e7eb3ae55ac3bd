//! Which master the node follows: what it has seen of its history, and what it refuses because of that.
//!
//! **Invariant:** what comes from a new start of the master is not acted upon before `node.json` says that it was seen.
//! So a master that went back in time, or a second one on a copy of the folder, gets nothing done after it either.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use proto::id::{ClusterId, Epoch};
use proto::{ErrorCode, HistoryPoint, WireError};
use tokio::time::Instant;

use super::{Node, stale, unpoisoned};
use crate::error::StoreError;
use crate::identity::Identity;

/// How far the master has come in the same start is kept so often: it costs a write.
const KEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Who the node is, and what it has seen since `node.json` was written.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) identity: Identity,
    seen: Option<HistoryPoint>,
    kept_at: Instant,
}

impl Following {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            seen: identity.seen(),
            kept_at: Instant::now(),
            identity,
        }
    }

    fn keep(&mut self) -> io::Result<()> {
        self.kept_at = Instant::now();
        if let Some(seen) = self.seen {
            self.identity = self.identity.having_seen(seen)?;
        }
        Ok(())
    }

    fn advance(&mut self, heard: HistoryPoint) -> Result<(), FollowError> {
        let seen = self.advanced(heard)?;
        let before = self.seen.replace(seen);
        if before.is_none_or(|before| before.epoch != seen.epoch) {
            // What is not kept must not have been seen: the next attempt writes it again.
            return self.keep().map_err(|error| {
                self.seen = before;
                error.into()
            });
        }
        if self.kept_at.elapsed() >= KEEP_INTERVAL
            && let Err(error) = self.keep()
        {
            tracing::debug!(%error, "could not keep how far the master has come");
        }
        Ok(())
    }

    fn advanced(&self, heard: HistoryPoint) -> Result<HistoryPoint, WireError> {
        self.seen.map_or(Ok(heard), |seen| seen.advanced_to(heard))
    }

    /// Whether hearing this changes nothing that has to be written.
    fn is_known(&self, heard: HistoryPoint) -> bool {
        self.seen.is_some_and(|seen| {
            (seen.epoch, seen.run) == (heard.epoch, heard.run)
                && self.kept_at.elapsed() < KEEP_INTERVAL
        })
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
    /// The latest point of the master's history that the node has seen.
    pub(crate) fn seen(&self) -> Option<HistoryPoint> {
        unpoisoned(&self.following).seen
    }

    /// Keeps the cluster, durably, before anything is done for it.
    pub(crate) async fn join(self: &Arc<Self>, cluster: ClusterId) -> Result<(), FollowError> {
        let node = Arc::clone(self);
        let joined = move || -> Result<(), FollowError> {
            let mut following = unpoisoned(&node.following);
            if let Some(own) = following.identity.cluster().filter(|own| *own != cluster) {
                let message = format!(
                    "the master is of cluster {cluster}, but this node belongs to cluster {own}: give the node the right \
                     master's address, or an empty folder"
                );
                return Err(WireError::new(ErrorCode::WrongCluster, message).into());
            }
            following.identity = following.identity.joined(cluster)?;
            Ok(())
        };
        self.blocking().run(joined).await?;
        self.cluster.send_replace(Some(cluster));
        Ok(())
    }

    /// Follows a master whose order or answer says where its history stands: a new start is kept, durably, before this
    /// returns.
    pub(crate) async fn follow(self: &Arc<Self>, master: HistoryPoint) -> Result<(), FollowError> {
        self.refuse_before_orders(master)?;
        {
            let mut following = unpoisoned(&self.following);
            if following.is_known(master) {
                return following.advance(master);
            }
        }
        let node = Arc::clone(self);
        let advance = move || unpoisoned(&node.following).advance(master);
        self.blocking().run(advance).await
    }

    /// Refuses an order of a start of the master that is not the latest seen any more.
    pub(super) fn check_epoch(&self, epoch: Epoch) -> Result<(), WireError> {
        match self.seen() {
            Some(seen) if epoch < seen.epoch => Err(stale(format!(
                "this order is of start {epoch} of the master, but the node works with start {} by now",
                seen.epoch
            ))),
            _ => Ok(()),
        }
    }

    /// Keeps how far the master had come: for a clean end.
    pub(crate) async fn keep_seen(self: &Arc<Self>) {
        let node = Arc::clone(self);
        let kept = move || unpoisoned(&node.following).keep();
        if let Err(error) = self.blocking().run(kept).await {
            tracing::warn!(%error, "could not keep how far the master had come");
        }
    }

    /// The extents remember the epoch of the last deletion, should `node.json` have been put back from an old copy.
    fn refuse_before_orders(&self, master: HistoryPoint) -> Result<(), WireError> {
        if master.epoch >= self.first_epoch {
            return Ok(());
        }
        Err(stale(format!(
            "this comes from start {} of the master, but the node has carried out deletions of start {}: the master went \
             back in time",
            master.epoch, self.first_epoch
        )))
    }
}
