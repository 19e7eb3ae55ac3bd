//! Carries out planned deletions: orders that name chunks, one at a time to each node, confirmed by it.
//!
//! An order carries the master's epoch and a sequence that rises with every order, so that a node refuses one that
//! comes late or from a master that was superseded. What an order named stays planned until the node has confirmed
//! it and that is recorded; repeated, an order does no harm.
//!
//! **Invariant:** only what the state has as planned is ordered, never what is claimed, and nothing in safe mode.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proto::ErrorCode;
use proto::connection::CallError;
use proto::id::ChunkId;
use proto::master::NodeState;
use proto::node::{CHUNKS_PER_MESSAGE_MAX, DeleteChunks};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::command::{Command, NodeNumber};
use crate::control::Control;

const ORDER_TIMEOUT: Duration = Duration::from_secs(60);
/// Looked for again so often, besides whenever something was planned.
const ROUND_INTERVAL: Duration = Duration::from_secs(10);

/// Orders deletions until `shutdown`.
pub(crate) async fn run(control: Arc<Control>, shutdown: CancellationToken) {
    let mut orders = JoinSet::new();
    // Nodes that are being worked on, and whether something was planned since that began.
    let mut busy: HashMap<NodeNumber, bool> = HashMap::new();
    loop {
        let due = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            Some(Ok(node)) = orders.join_next() => match busy.remove(&node) {
                Some(true) => vec![node],
                _ => continue,
            },
            () = control.deletions.notified() => control.membership().live(),
            () = tokio::time::sleep(ROUND_INTERVAL) => control.membership().live(),
        };
        for node in due {
            if let Some(again) = busy.get_mut(&node) {
                *again = true;
            } else {
                busy.insert(node, false);
                let control = control.clone();
                orders.spawn(async move {
                    control.delete_planned(node).await;
                    node
                });
            }
        }
    }
}

impl Control {
    /// Orders all that is planned on a node, a page at a time, until none is left or something fails.
    async fn delete_planned(&self, node: NodeNumber) {
        let mut after = None;
        while !self.deletions_wait() {
            let read = move |snapshot: &crate::state::Snapshot| {
                snapshot.planned_deletions_page(node, after.as_ref(), CHUNKS_PER_MESSAGE_MAX)
            };
            let page: Vec<ChunkId> = match self.read(read).await {
                Ok(page) if !page.is_empty() => page,
                Ok(_) => return,
                Err(error) => return warn!(%error, "cannot read the planned deletions"),
            };
            after = page.last().copied();
            let open: Vec<_> = page
                .into_iter()
                .filter(|chunk| !self.claims.is_claimed(node, chunk))
                .collect();
            if !open.is_empty() && !self.order(node, open).await {
                return;
            }
        }
    }

    /// One order, and its confirmation. Says whether further ones make sense.
    async fn order(&self, node: NodeNumber, chunks: Vec<ChunkId>) -> bool {
        if self.deletions_wait() || self.membership().state(node) != NodeState::Live {
            return false;
        }
        if let Err(error) = self.order_once_or_twice(node, &chunks).await {
            warn!(node = node.0, %error, "a node did not carry out deletions; they are ordered again later");
            return false;
        }
        let count = chunks.len();
        let confirm = Command::ConfirmDeletions { node, chunks };
        match self.committer.submit(confirm).await {
            Ok(_) => {
                debug!(node = node.0, count, "deleted copies that were planned");
                true
            }
            Err(error) => {
                warn!(node = node.0, %error, "cannot record deletions; they are ordered again later");
                false
            }
        }
    }

    /// An order that arrived twice, because its connection broke, is refused the second time as not new any more: then
    /// a new one is sent.
    async fn order_once_or_twice(
        &self,
        node: NodeNumber,
        chunks: &[ChunkId],
    ) -> Result<(), CallError> {
        let order = || DeleteChunks {
            epoch: self.epoch(),
            sequence: self.order_sequence.fetch_add(1, Ordering::Relaxed) + 1,
            chunks: chunks.to_vec(),
        };
        match self.call_node(node, order(), ORDER_TIMEOUT).await {
            Err(error) if error.code() == Some(ErrorCode::StaleEpoch) => {
                let again = self.call_node(node, order(), ORDER_TIMEOUT).await;
                again.map(|_| ())
            }
            result => result.map(|_| ()),
        }
    }
}
