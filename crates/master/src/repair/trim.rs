//! Takes surplus copies away, after the nodes that hold the others have said that these are good.
//!
//! **Invariant:** a copy is planned for deletion only if as many others as are wanted were confirmed, by name and just
//! before, by live nodes that hold them; and the state checks once more that they are recorded.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use proto::id::ChunkId;
use proto::node::ChunkState;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::plan::{Need, View};
use crate::command::{Command, NodeNumber};
use crate::control::Control;
use crate::garbage::changed;

/// Chunks that wait to be trimmed.
const WAITING_MAX: usize = 4096;
/// Chunks in one trim: one message to each node.
const BATCH: usize = 256;
/// After a trim that achieved nothing.
const PAUSE: Duration = Duration::from_secs(5);

/// What waits to be trimmed. What does not fit is found again by the next survey.
#[derive(Debug)]
pub(super) struct Trims {
    chunks: BTreeSet<ChunkId>,
    running: bool,
    rests_until: Instant,
}

impl Trims {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            chunks: BTreeSet::new(),
            running: false,
            rests_until: now,
        }
    }

    pub(super) fn add(&mut self, chunk: ChunkId) {
        if self.chunks.len() < WAITING_MAX {
            self.chunks.insert(chunk);
        }
    }

    pub(super) fn may_begin(&self, now: Instant) -> bool {
        self.next_try().is_some_and(|at| at <= now)
    }

    /// When a trim may begin; nothing if one runs or none is to be done.
    pub(super) fn next_try(&self) -> Option<Instant> {
        (!self.running && !self.chunks.is_empty()).then_some(self.rests_until)
    }

    pub(super) fn take_batch(&mut self) -> Vec<ChunkId> {
        self.running = true;
        let next = || self.chunks.pop_first();
        std::iter::from_fn(next).take(BATCH).collect()
    }

    pub(super) fn rest(&mut self, now: Instant) {
        self.rests_until = now + PAUSE;
    }

    pub(super) fn ended(&mut self, copies: u64, now: Instant) {
        self.running = false;
        if copies == 0 {
            self.rest(now);
        }
    }
}

/// A chunk with copies to give up.
struct Surplus {
    chunk: ChunkId,
    given_up: Vec<NodeNumber>,
    kept: Vec<NodeNumber>,
}

impl Control {
    /// Plans the deletion of what is surplus of these chunks, and says of how many copies.
    pub(super) async fn trim(&self, chunks: Vec<ChunkId>) -> u64 {
        let view = View::new(&self.membership(), self.config.rules.replication_factor);
        let surplus = self.find_surplus(&view, chunks).await;
        let good = self.confirm(&surplus).await;
        let is_confirmed = |surplus: &&Surplus| {
            let confirmed = |node: &NodeNumber| good.contains(&(*node, surplus.chunk));
            surplus.kept.iter().all(confirmed)
        };
        let copies: Vec<_> = surplus
            .iter()
            .filter(is_confirmed)
            .flat_map(|surplus| {
                let nodes = surplus.given_up.iter();
                nodes.map(|node| (surplus.chunk, *node))
            })
            .collect();
        if copies.is_empty() || self.deletions_wait() {
            return 0;
        }
        let down = self.membership().not_live();
        let trim = Command::TrimReplicas { down, copies };
        match self.committer.submit(trim).await {
            Ok(outcome) => {
                let count = changed(&outcome);
                debug!(copies = count, "planned the deletion of surplus copies");
                count
            }
            Err(error) => {
                warn!(%error, "cannot plan the deletion of surplus copies; it is tried again");
                0
            }
        }
    }

    async fn find_surplus(&self, view: &View, chunks: Vec<ChunkId>) -> Vec<Surplus> {
        let ids = chunks.clone();
        let rows = self.read(move |snapshot| snapshot.chunks(&ids)).await;
        chunks
            .into_iter()
            .zip(rows.unwrap_or_default())
            .filter_map(|(chunk, row)| {
                let row = row.filter(|row| row.references > 0)?;
                let Need::Trim(count) = view.need(&row) else {
                    return None;
                };
                let (given_up, kept) = view.surplus(&row.replicas, count);
                Some(Surplus {
                    chunk,
                    given_up,
                    kept,
                })
            })
            .collect()
    }

    /// Asks all nodes that shall keep copies, at once. A copy that is not good is looked into.
    async fn confirm(&self, surplus: &[Surplus]) -> HashSet<(NodeNumber, ChunkId)> {
        let mut asked: BTreeMap<NodeNumber, Vec<ChunkId>> = BTreeMap::new();
        for one in surplus {
            for node in &one.kept {
                asked.entry(*node).or_default().push(one.chunk);
            }
        }
        let answers = asked.into_iter().map(async |(node, chunks)| {
            let described = self.describe(node, chunks).await;
            (node, described.unwrap_or_default())
        });
        let mut good = HashSet::new();
        for (node, described) in futures::future::join_all(answers).await {
            for (chunk, state) in described {
                if state == ChunkState::Good {
                    good.insert((node, chunk));
                } else {
                    self.checks.push(node, chunk);
                }
            }
        }
        good
    }
}
