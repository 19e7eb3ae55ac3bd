//! One chunk to all of its nodes at once, until enough of them hold it durably.
//!
//! Each round waits for its turn on the line. Nodes that fail are replaced where the master knows others. Once enough
//! have stored the chunk, the rest get a little more time and are then left behind: repair makes their copies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use proto::ErrorCode;
use proto::connection::CallError;
use proto::id::{NodeId, PromiseId, UploadId};
use proto::master::{ChunkToStore, NodeLocation};
use proto::node::{PutChunk, Receipt};
use proto::table::Operation;
use tokio::time::{Instant, sleep, sleep_until};

use super::allocate::{Destination, allocate};
use crate::fetch::is_small;
use crate::{Error, Shared};

/// Before nodes that do not answer are given up although too few have stored the chunk: at least this long at
/// first, twice as long in each further round, so that a slow line gets the time that it needs.
const PATIENCE_MIN: Duration = Duration::from_secs(5);
/// Between two rounds when no other node is known: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A chunk on its way.
#[derive(Debug)]
pub(crate) struct ChunkStore {
    shared: Arc<Shared>,
    upload: UploadId,
    chunk: ChunkToStore,
    bytes: Bytes,
    /// The latest: receipts are for this one.
    promise: PromiseId,
    copies_min: usize,
    receipts: Vec<Receipt>,
    /// Nodes that failed in the rounds since the last pause.
    failed: Vec<NodeId>,
    last_error: Option<CallError>,
    only_no_space: bool,
}

impl ChunkStore {
    pub(crate) fn new(
        shared: Arc<Shared>,
        upload: UploadId,
        chunk: ChunkToStore,
        bytes: Bytes,
        promise: PromiseId,
        copies_min: usize,
    ) -> Self {
        Self {
            shared,
            upload,
            chunk,
            bytes,
            promise,
            copies_min,
            receipts: Vec::new(),
            failed: Vec::new(),
            last_error: None,
            only_no_space: true,
        }
    }

    /// Stores it where it was promised to. The receipts are at least as many as a write needs, or none where the
    /// cluster came to have it by other ways.
    pub(crate) async fn store(mut self, nodes: Vec<NodeLocation>) -> Result<Vec<Receipt>, Error> {
        let begun = Instant::now();
        // Without the time that it waits for its turn.
        let mut spent = Duration::ZERO;
        let wanted = nodes.len();
        let mut targets = nodes;
        let patience_max = self.shared.options.time_for(self.chunk.len);
        let health = &self.shared.health;
        let mut patience = health.write_patience(PATIENCE_MIN, patience_max);
        let mut pause = PAUSE_MIN;
        loop {
            let turn = self.shared.line.turn().await;
            let started = Instant::now();
            patience = patience.max(self.shared.line.patience());
            let timed_out = self.send_to(targets, patience).await;
            let longer = (patience * 2).min(patience_max);
            if self.has_enough() {
                turn.note_passed(started.elapsed());
            } else if timed_out {
                turn.note_too_slow(longer);
            }
            drop(turn);
            if self.receipts.len() >= wanted.max(self.copies_min) {
                return Ok(self.receipts);
            }
            if self.has_enough() && !self.shared.health.spares_may_exist() {
                return Ok(self.receipts);
            }
            match self.find_others().await? {
                Some(others) => targets = others,
                None => return Ok(Vec::new()),
            }
            if targets.is_empty() && self.has_enough() {
                self.shared.health.note_no_spare();
                return Ok(self.receipts);
            }
            if targets.is_empty() {
                let spent = spent + started.elapsed();
                if self.is_hopeless(spent, begun, timed_out) {
                    return Err(self.too_few());
                }
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
                // Whoever failed may be back.
                self.failed.clear();
                match self.find_others().await? {
                    Some(others) => targets = others,
                    None => return Ok(Vec::new()),
                }
            }
            spent += started.elapsed();
            patience = longer;
        }
    }

    fn has_enough(&self) -> bool {
        self.receipts.len() >= self.copies_min
    }

    /// Whether it was tried for long enough, or nothing passed on the line for so long. Nodes that refuse are not
    /// waited for as long as nodes that are slow.
    fn is_hopeless(&self, spent: Duration, begun: Instant, timed_out: bool) -> bool {
        let options = &self.shared.options;
        if !timed_out {
            return spent >= options.nodes_patience;
        }
        let stalled = self.shared.line.stalled_since(begun).elapsed();
        spent.max(stalled) >= options.deadline_for(self.chunk.len)
    }

    /// One round: sends to all of them, and says whether some were given up for being late.
    async fn send_to(&mut self, targets: Vec<NodeLocation>, patience: Duration) -> bool {
        let targets = self.leave_out_avoided(targets);
        let started = Instant::now();
        let mut enough = self.has_enough();
        let mut waiting: Vec<NodeId> = targets.iter().map(|target| target.node).collect();
        let mut give_up_at = started + patience;
        if enough {
            give_up_at = started + self.shared.options.straggler_patience;
        }
        let puts = targets.into_iter().map(|target| self.put(target));
        let mut puts: FuturesUnordered<_> = puts.collect();
        while !waiting.is_empty() {
            tokio::select! {
                biased;
                Some((node, result)) = puts.next() => {
                    waiting.retain(|waiting| *waiting != node);
                    self.note(node, result);
                    if !enough && self.has_enough() {
                        enough = true;
                        give_up_at = Instant::now() + self.straggler_patience(started, &waiting);
                    }
                }
                () = sleep_until(give_up_at) => break,
            }
        }
        for late in &waiting {
            tracing::debug!(chunk = %self.chunk.chunk, node = %late, "not waiting for a node any longer");
            self.shared.health.avoid(*late);
        }
        self.failed.extend(&waiting);
        self.only_no_space &= waiting.is_empty();
        !waiting.is_empty()
    }

    /// How much longer to wait when enough have stored it: on a slow line the last copy takes in proportion as long as
    /// the others. Nodes that others wait for in vain get no more than that.
    fn straggler_patience(&self, started: Instant, waiting: &[NodeId]) -> Duration {
        let in_proportion = started.elapsed() / 2;
        let health = &self.shared.health;
        if waiting.iter().all(|node| health.is_avoided(*node)) {
            return in_proportion;
        }
        in_proportion.max(self.shared.options.straggler_patience)
    }

    /// Those that failed other chunks a moment ago are not tried while there are enough others.
    fn leave_out_avoided(&mut self, targets: Vec<NodeLocation>) -> Vec<NodeLocation> {
        let is_avoided = |target: &NodeLocation| self.shared.health.is_avoided(target.node);
        let (avoided, good): (Vec<_>, Vec<_>) = targets.into_iter().partition(is_avoided);
        if self.receipts.len() + good.len() < self.copies_min {
            return good.into_iter().chain(avoided).collect();
        }
        self.failed.extend(avoided.iter().map(|target| target.node));
        good
    }

    /// Sends it to one node. Does not borrow from `self`, which takes note of others' answers meanwhile.
    fn put(
        &self,
        target: NodeLocation,
    ) -> impl Future<Output = (NodeId, Result<Receipt, CallError>)> + Send + use<> {
        let shared = self.shared.clone();
        let ChunkToStore { chunk, len } = self.chunk;
        let request = PutChunk {
            chunk,
            promise: Some(self.promise),
            body: self.bytes.clone(),
        };
        async move {
            let started = Instant::now();
            let within = shared.options.time_for(len);
            let reply = if is_small(len) {
                shared.pool.call(&target, request, within).await
            } else {
                shared.pool.transfer(&target, request, within).await
            };
            let receipt = reply.and_then(|stored| match stored.receipt {
                Some(receipt) if receipt.node == target.node => Ok(receipt),
                _ => Err(CallError::BadReply {
                    address: target.address,
                    operation: PutChunk::NAME,
                    reason: format!("it has no receipt of node {}", target.node),
                }),
            });
            if receipt.is_ok() {
                shared.health.note_write_time(started.elapsed());
            }
            (target.node, receipt)
        }
    }

    fn note(&mut self, node: NodeId, result: Result<Receipt, CallError>) {
        match result {
            Ok(receipt) => {
                tracing::debug!(chunk = %self.chunk.chunk, %node, "a node stored a chunk");
                self.shared.health.forgive(node);
                self.receipts.push(receipt);
            }
            Err(error) => {
                tracing::debug!(chunk = %self.chunk.chunk, %node, %error, "a node did not store a chunk");
                self.shared.health.avoid(node);
                self.only_no_space &= error.code() == Some(ErrorCode::NoSpace);
                self.failed.push(node);
                self.last_error = Some(error);
            }
        }
    }

    /// Where else it can go; nothing if the cluster has it. With enough copies made, this is not worth waiting for a
    /// master that is away.
    async fn find_others(&mut self) -> Result<Option<Vec<NodeLocation>>, Error> {
        let retry_for = if self.has_enough() {
            Duration::ZERO
        } else {
            self.shared.options.transfer_retry_for
        };
        let allocated = allocate(
            &self.shared,
            self.upload,
            &[self.chunk],
            &self.failed,
            retry_for,
        )
        .await;
        let mut places = match allocated {
            Ok(allocated) => allocated.places,
            Err(Error::NotEnoughReplicas { .. }) => return Ok(Some(Vec::new())),
            Err(_) if self.has_enough() => return Ok(Some(Vec::new())),
            Err(error) => return Err(error),
        };
        match places.pop() {
            Some(Destination::Stored) => Ok(None),
            Some(Destination::Nodes(promised, nodes)) => {
                if promised != self.promise {
                    // The master forgot the promise before, and takes no receipt for that any more.
                    self.promise = promised;
                    self.receipts.clear();
                }
                Ok(Some(self.untried(nodes)))
            }
            None => Ok(Some(Vec::new())),
        }
    }

    fn untried(&self, nodes: Vec<NodeLocation>) -> Vec<NodeLocation> {
        let is_tried = |node: NodeId| {
            self.failed.contains(&node) || self.receipts.iter().any(|receipt| receipt.node == node)
        };
        let nodes = nodes.into_iter();
        nodes.filter(|location| !is_tried(location.node)).collect()
    }

    fn too_few(self) -> Error {
        let message = format!(
            "only {} of the {} copies that a write needs could be made",
            self.receipts.len(),
            self.copies_min
        );
        if self.only_no_space && self.last_error.is_some() {
            return Error::NoSpace {
                message: format!("{message}: the nodes' disks are full"),
            };
        }
        Error::NotEnoughReplicas {
            message,
            source: self.last_error.map(Into::into),
        }
    }
}
