//! Looks into copies that somebody says are bad: the node itself reads and verifies, and only its word counts.
//!
//! Readers report a copy with wrong bytes or none; repair reports sources that failed it; commits report copies that may
//! have been lost since their nodes gave receipts. The queue is bounded: what does not fit is forgotten, since whoever
//! meets the copy again reports it again, and scrubbing finds it in the end. Whoever cannot wait for that (a commit) has
//! the node's inventory compared.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proto::WireError;
use proto::connection::CallError;
use proto::id::ChunkId;
use proto::node::{ChunkState, VerifyChunk};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::command::{ClusterMillis, Command, NodeNumber};
use crate::commit::Counted;
use crate::control::Control;
use crate::state::ChunkRow;
pub(crate) use queue::CheckQueue;
use queue::Copy;

mod queue;

const AT_ONCE: usize = 8;
const VERIFY_TIMEOUT: Duration = Duration::from_secs(30);

/// Looks into copies until `shutdown`.
pub(crate) async fn run(control: Arc<Control>, shutdown: CancellationToken) {
    let mut running = JoinSet::new();
    loop {
        let copy = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(_) = running.join_next() => continue,
            counted = control.committer.counted() => {
                control.take_counted(counted);
                continue;
            }
            copy = control.checks.next(), if running.len() < AT_ONCE => copy,
        };
        let looked_into = LookedInto {
            control: control.clone(),
            copy,
        };
        running.spawn(async move { looked_into.control.check_copy(copy).await });
    }
}

/// A copy that can be asked about again when this is gone, also after a panic.
struct LookedInto {
    control: Arc<Control>,
    copy: Copy,
}

impl Drop for LookedInto {
    fn drop(&mut self) {
        self.control.checks.done(&self.copy);
    }
}

impl Control {
    pub(crate) fn take_counted(&self, counted: Counted) {
        if counted.and_others {
            let mut membership = self.membership();
            for node in membership.numbers() {
                membership.doubt(node, Instant::now());
            }
            self.inventories.notify_one();
        }
        let copies = counted.receipts.into_iter().filter_map(|receipt| {
            let node = self.membership().number(receipt.node)?;
            Some((node, receipt.chunk, receipt.promised_at))
        });
        self.look_into_doubtful(copies.collect());
    }

    /// Has those copies looked into that may be lost although their nodes have stored them, not before the time that is
    /// given: what is recorded of the node came into doubt since then, and a comparison that was over before the copy was
    /// recorded could not miss it. If these are too many, the node is compared again.
    pub(crate) fn look_into_doubtful(&self, copies: Vec<(NodeNumber, ChunkId, ClusterMillis)>) {
        let in_doubt: Vec<_> = {
            let membership = self.membership();
            let is_in_doubt = |(node, _, stored_at): &(_, _, _)| {
                let doubted_at = membership.doubted_at(*node);
                doubted_at.is_some_and(|at| self.committer.time_at(at) >= *stored_at)
            };
            copies.into_iter().filter(is_in_doubt).collect()
        };
        let overflowed: BTreeSet<_> = in_doubt
            .into_iter()
            .filter(|(node, chunk, _)| !self.checks.push(*node, *chunk))
            .map(|(node, ..)| node)
            .collect();
        for node in overflowed {
            self.compare_soon(node);
        }
    }

    /// Of a node that is not here there is nobody to ask: it is compared when it comes.
    async fn check_copy(&self, (node, chunk): Copy) {
        if !self.membership().is_live(node) {
            return;
        }
        let recorded = self.read(move |snapshot| {
            let row = snapshot.chunk(&chunk)?;
            let counts = |row: &ChunkRow| row.replicas.contains(&node);
            let is_failing = |row: &ChunkRow| row.failing.contains(&node);
            Ok(row.map(|row| (counts(&row), is_failing(&row))))
        });
        let (counts, is_failing) = recorded.await.ok().flatten().unwrap_or_default();
        if !counts && !is_failing {
            return;
        }
        let noted = match self.state_of(node, chunk).await {
            Ok(ChunkState::Good) => {
                debug!(node = self.name_of(node), %chunk, "a copy that was reported as bad is good");
                Ok(())
            }
            Ok(ChunkState::OnFailedDisk | ChunkState::OnHungDisk) if !counts => Ok(()),
            Ok(ChunkState::OnFailedDisk | ChunkState::OnHungDisk) => {
                self.note_failing(node, vec![chunk]).await
            }
            Ok(state) => {
                let removed = self.remove_replicas(node, vec![chunk]).await;
                // The node, which has found it out just now, may have reported it before.
                if let Ok(1..) = removed {
                    warn!(node = self.name_of(node), %chunk, ?state, "a copy is bad and is replaced");
                }
                if state == ChunkState::Corrupt {
                    self.repair.remove_corrupt(node, vec![chunk]);
                }
                removed.map(drop)
            }
            Err(error) => {
                debug!(node = self.name_of(node), %chunk, %error, "cannot look into a copy");
                if counts {
                    self.compare_soon(node);
                }
                Ok(())
            }
        };
        if let Err(error) = noted {
            warn!(node = self.name_of(node), %chunk, %error, "cannot record that a copy is bad");
        }
    }

    /// Has a node read its copy. Its bytes may be good, and the disk that they are on have failed.
    async fn state_of(&self, node: NodeNumber, chunk: ChunkId) -> Result<ChunkState, CallError> {
        let verify = VerifyChunk { chunk };
        let verified = self.call_node(node, verify, VERIFY_TIMEOUT).await?.state;
        let has_failed_disk = self.membership().usage(node).failed_disks > 0;
        if verified != ChunkState::Good || !has_failed_disk {
            return Ok(verified);
        }
        let described = self.describe(node, vec![chunk]).await?;
        Ok(described.first().map_or(verified, |(_, state)| *state))
    }

    /// Notes that a node has good copies of these. Says how many were not on record.
    ///
    /// # Errors
    /// It could not be recorded.
    pub(crate) async fn add_replicas(
        &self,
        node: NodeNumber,
        chunks: Vec<(ChunkId, u32)>,
    ) -> Result<u64, WireError> {
        let down = self.membership().not_live();
        let command = Command::AddReplicas { node, down, chunks };
        Ok(self.committer.submit(command).await?.changed())
    }

    /// Notes that a node has no good copies of these, and has others made. Says how many were on record.
    ///
    /// # Errors
    /// It could not be recorded: the copies still count, and whoever found it out has to say it again.
    pub(crate) async fn remove_replicas(
        &self,
        node: NodeNumber,
        chunks: Vec<ChunkId>,
    ) -> Result<u64, WireError> {
        let command = Command::RemoveReplicas {
            node,
            chunks: chunks.clone(),
        };
        let removed = self.committer.submit(command).await?.changed();
        self.repair.look_at(chunks);
        Ok(removed)
    }

    /// Notes that a node has copies of these on a failed or hung disk, and has others made.
    ///
    /// # Errors
    /// As [`remove_replicas`](Self::remove_replicas).
    pub(crate) async fn note_failing(
        &self,
        node: NodeNumber,
        chunks: Vec<ChunkId>,
    ) -> Result<(), WireError> {
        let command = Command::NoteFailing {
            node,
            chunks: chunks.clone(),
        };
        self.committer.submit(command).await?;
        self.membership().note_failing(node);
        self.repair.look_at(chunks);
        Ok(())
    }
}
