//! Looks into copies that somebody says are bad: the node itself reads and verifies, and only its word counts.
//!
//! Readers report a copy with wrong bytes or none; repair reports sources that failed it; commits report copies that may
//! have been lost since their nodes gave receipts. The queue is bounded: what does not fit is forgotten, since whoever
//! meets the copy again reports it again, and scrubbing finds it in the end. Whoever cannot wait for that (a commit) has
//! the node's inventory compared.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proto::WireError;
use proto::connection::CallError;
use proto::id::ChunkId;
use proto::node::{ChunkState, VerifyChunk};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::command::{Command, NodeNumber};
use crate::control::Control;
use crate::garbage::changed;
use crate::state::ChunkRow;

const QUEUE_LEN: usize = 4096;
const AT_ONCE: usize = 8;
const VERIFY_TIMEOUT: Duration = Duration::from_secs(30);

type Copy = (NodeNumber, ChunkId);

/// Copies to look into.
#[derive(Debug)]
pub(crate) struct CheckQueue {
    sender: mpsc::Sender<Copy>,
    receiver: Mutex<Option<mpsc::Receiver<Copy>>>,
    pending: Mutex<HashSet<Copy>>,
}

impl CheckQueue {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_LEN);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
            pending: Mutex::new(HashSet::new()),
        }
    }

    /// Without its queue the loop panics.
    #[cfg(test)]
    pub(crate) fn close(&self) {
        self.receiver.lock().take();
    }

    /// Has a copy looked into; `false` if too many wait for that already.
    pub(crate) fn push(&self, node: NodeNumber, chunk: ChunkId) -> bool {
        let mut pending = self.pending.lock();
        let is_new = pending.insert((node, chunk));
        if is_new && self.sender.try_send((node, chunk)).is_err() {
            pending.remove(&(node, chunk));
            return false;
        }
        true
    }
}

/// Looks into copies until `shutdown`.
pub(crate) async fn run(control: Arc<Control>, shutdown: CancellationToken) {
    let receiver = control.checks.receiver.lock().take();
    let mut receiver = receiver.expect("checks run once");
    let mut running = JoinSet::new();
    loop {
        let copy = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(_) = running.join_next() => continue,
            Some(copy) = receiver.recv(), if running.len() < AT_ONCE => copy,
        };
        let control = control.clone();
        running.spawn(async move {
            let looked_into = LookedInto { control, copy };
            looked_into.control.check_copy(copy).await;
        });
    }
}

/// A copy that can be asked about again when this is gone, also after a panic.
struct LookedInto {
    control: Arc<Control>,
    copy: Copy,
}

impl Drop for LookedInto {
    fn drop(&mut self) {
        self.control.checks.pending.lock().remove(&self.copy);
    }
}

impl Control {
    async fn check_copy(&self, (node, chunk): Copy) {
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
        let removed = changed(&self.committer.submit(command).await?);
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
        self.repair.look_at(chunks);
        Ok(())
    }
}
