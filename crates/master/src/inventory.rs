//! Compares what a node holds with what is recorded: when it registers, when it comes back, and once a day.
//!
//! The node sums its chunks up in 256 buckets; only buckets whose sums differ are listed, and merged with the record
//! page by page. A chunk that is recorded and not there does not count any more; one that is there and not recorded
//! counts, or, if nothing is known of it, is noted as unknown.
//!
//! Both sides change meanwhile. **Invariant:** the comparison only finds suspicions. A copy is taken out of the record
//! only after the node, asked for it by name, said that it is missing; one is added only while claimed, when no
//! deletion of it is planned, after the node said that it is good.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use proto::connection::CallError;
use proto::id::ChunkId;
use proto::node::{
    CHUNKS_PER_MESSAGE_MAX, ChunkState, DescribeChunks, DigestInventory, ListBucket,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::command::NodeNumber;
use crate::control::Control;
use crate::node_tasks::NodeTasks;
use crate::state::StateError;
use merge::{Difference, NoProgress, go_on, merge_page};

#[cfg(test)]
mod any_sets;
mod merge;
mod missing;

const DIGEST_TIMEOUT: Duration = Duration::from_secs(60);
const LIST_TIMEOUT: Duration = Duration::from_secs(30);
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_AFTER: Duration = Duration::from_secs(5);
const NODES_AT_ONCE: usize = 4;
/// Chunks of a bucket that are compared at once: a message of about 320 KiB.
const PAGE: usize = CHUNKS_PER_MESSAGE_MAX;

/// Why a comparison was given up, to be begun again.
#[derive(Debug, thiserror::Error)]
enum InventoryError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Refused(#[from] proto::WireError),
    #[error("the node answered with {0} buckets instead of 256")]
    BadDigest(usize),
    #[error(transparent)]
    BadList(#[from] NoProgress),
}

/// What a comparison found.
#[derive(Debug, Default, Clone, Copy)]
struct Findings {
    missing: usize,
    added: usize,
    unknown: usize,
}

/// Compares inventories until `shutdown`.
pub(crate) async fn run(control: Arc<Control>, shutdown: CancellationToken) {
    let mut due: BTreeMap<NodeNumber, Instant> = BTreeMap::new();
    let mut failures: BTreeMap<NodeNumber, u32> = BTreeMap::new();
    let mut running = NodeTasks::new();
    loop {
        let now = Instant::now();
        let doubted = control.membership().take_doubted();
        for node in doubted {
            if !running.ask_again(node) {
                due.insert(node, now);
            }
        }
        let ready: Vec<_> = due
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(node, _)| *node)
            .take(NODES_AT_ONCE - running.len())
            .collect();
        for node in ready {
            due.remove(&node);
            let comparison = control.membership().begin_comparison(node);
            if let Some(comparison) = comparison {
                let control = control.clone();
                running.begin(node, async move {
                    let compared = control.compare_inventory(node).await;
                    if compared.is_ok() {
                        control.membership().end_comparison(comparison);
                    }
                    compared
                });
            }
        }
        let next = due
            .values()
            .min()
            .copied()
            .filter(|_| running.len() < NODES_AT_ONCE);
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = control.inventories.notified() => {}
            () = sleep_until(next) => {}
            Some(done) = running.next_done() => {
                let wait = match (done.again, &done.result) {
                    (true, _) => Duration::ZERO,
                    (false, Some(Ok(()))) => control.config.inventory_interval,
                    (false, _) => RETRY_AFTER,
                };
                if let Some(Err(error)) = done.result {
                    let failed = failures.entry(done.node).or_default();
                    *failed += 1;
                    control.note_not_compared(done.node, *failed, &error);
                } else {
                    failures.remove(&done.node);
                }
                due.insert(done.node, Instant::now() + wait);
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Control {
    /// The first time it may be the node's connection that broke; what fails again is told to somebody.
    fn note_not_compared(&self, node: NodeNumber, times: u32, error: &InventoryError) {
        let name = self.name_of(node);
        if times == 2 {
            warn!(node = name, %error, "cannot compare a node's inventory; it is tried again and again");
        } else {
            debug!(node = name, %error, "cannot compare a node's inventory; it is tried again");
        }
        if times >= 2 {
            self.safe_mode().note_not_compared(node, error.to_string());
        }
    }

    /// Compares one node's inventory.
    async fn compare_inventory(&self, node: NodeNumber) -> Result<(), InventoryError> {
        let findings = self.compare_buckets(node).await?;
        if findings.missing + findings.added + findings.unknown > 0 {
            info!(
                node = self.name_of(node),
                missing = findings.missing,
                added = findings.added,
                unknown = findings.unknown,
                "a node's inventory differed from the record; the record is right now"
            );
        }
        self.safe_mode().note_compared(node);
        self.deletions.notify_one();
        self.repair.survey();
        Ok(())
    }

    async fn compare_buckets(&self, node: NodeNumber) -> Result<Findings, InventoryError> {
        let theirs = self
            .call_node(node, DigestInventory {}, DIGEST_TIMEOUT)
            .await?
            .buckets;
        if theirs.len() != 256 {
            return Err(InventoryError::BadDigest(theirs.len()));
        }
        let ours = self
            .read(move |snapshot| snapshot.bucket_digests(node))
            .await?;
        let mut findings = Findings::default();
        for (bucket, (ours, theirs)) in (0..=u8::MAX).zip(ours.iter().zip(&theirs)) {
            if ours != theirs {
                self.compare_bucket(node, bucket, &mut findings).await?;
            }
        }
        self.settle_failing(node, &mut findings).await?;
        Ok(findings)
    }

    async fn compare_bucket(
        &self,
        node: NodeNumber,
        bucket: u8,
        findings: &mut Findings,
    ) -> Result<(), InventoryError> {
        let mut after = None;
        loop {
            // The record is read first: what it has by then was durable on the node before the node lists.
            let ours = self
                .read(move |snapshot| snapshot.node_bucket_page(node, bucket, after.as_ref(), PAGE))
                .await?;
            let list = ListBucket {
                bucket,
                after,
                limit: u32::try_from(PAGE).expect("a page is small"),
            };
            let theirs = self.call_node(node, list, LIST_TIMEOUT).await?;
            let (difference, upto) =
                merge_page(&ours, ours.len() == PAGE, &theirs.chunks, theirs.more);
            self.settle(node, difference, findings).await?;
            match go_on(after, upto)? {
                Some(upto) => after = Some(upto),
                None => return Ok(()),
            }
        }
    }

    async fn settle(
        &self,
        node: NodeNumber,
        difference: Difference,
        findings: &mut Findings,
    ) -> Result<(), InventoryError> {
        if difference == Difference::default() {
            return Ok(());
        }
        self.settle_missing(node, difference.missing, findings)
            .await?;
        let ids: Vec<_> = difference.extra.iter().map(|(chunk, _)| *chunk).collect();
        let rows = self.read(move |snapshot| snapshot.chunks(&ids)).await?;
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for ((chunk, len), row) in difference.extra.into_iter().zip(rows) {
            match row {
                Some(row) if row.replicas.contains(&node) => {}
                Some(_) => known.push((chunk, len)),
                None => unknown.push(chunk),
            }
        }
        findings.added += self.settle_known(node, known).await?;
        findings.unknown += unknown.len();
        self.note_unknown(node, unknown).await?;
        Ok(())
    }

    /// Copies of chunks that are known, on a node where they were not recorded: they count from now on.
    async fn settle_known(
        &self,
        node: NodeNumber,
        chunks: Vec<(ChunkId, u32)>,
    ) -> Result<usize, InventoryError> {
        let mut claims = Vec::new();
        let mut claimed = Vec::new();
        for (chunk, len) in chunks {
            if let Some(claim) = self.claims.claim(node, chunk) {
                claims.push(claim);
                claimed.push((chunk, len));
            }
        }
        let open = self
            .read(move |snapshot| {
                let mut open = Vec::new();
                for (chunk, len) in claimed {
                    if !snapshot.is_deletion_planned(node, &chunk)? {
                        open.push((chunk, len));
                    }
                }
                Ok(open)
            })
            .await?;
        let lens: HashMap<_, _> = open.into_iter().collect();
        let good: Vec<_> = self
            .describe(node, lens.keys().copied().collect())
            .await?
            .into_iter()
            .filter(|(_, state)| *state == ChunkState::Good)
            .map(|(chunk, _)| (chunk, lens[&chunk]))
            .collect();
        let count = good.len();
        if count > 0 {
            self.add_replicas(node, good).await?;
        }
        drop(claims);
        Ok(count)
    }

    /// What a node says of these chunks by name.
    pub(crate) async fn describe(
        &self,
        node: NodeNumber,
        chunks: Vec<ChunkId>,
    ) -> Result<Vec<(ChunkId, ChunkState)>, CallError> {
        if chunks.is_empty() {
            return Ok(Vec::new());
        }
        let described = self
            .call_node(node, DescribeChunks { chunks }, DESCRIBE_TIMEOUT)
            .await?;
        let rows = described.chunks.into_iter();
        Ok(rows.map(|row| (row.chunk, row.state)).collect())
    }
}
