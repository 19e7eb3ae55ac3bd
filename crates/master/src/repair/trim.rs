//! Takes copies away that nobody needs, after the nodes that hold the others have said that these are good: surplus ones, and
//! corrupt ones that were replaced elsewhere.
//!
//! **Invariant:** a copy is planned for deletion only if as many others as are wanted were confirmed, by name and just
//! before, by live nodes that hold them; and the state checks once more that they are recorded.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use planted::{Bug, is_planted};
use proto::id::ChunkId;
use proto::node::ChunkState;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::plan::{Need, View};
use crate::command::{Command, NodeNumber};
use crate::control::Control;
use crate::handlers::ClusterView;
use crate::state::ChunkRow;

/// Chunks that wait to be trimmed, and corrupt copies that wait for good ones elsewhere.
const WAITING_MAX: usize = 4096;
/// Chunks in one trim: one message to each node.
const BATCH: usize = 256;
/// After a trim that achieved nothing.
const PAUSE: Duration = Duration::from_secs(5);

/// A chunk to trim: what it has too much, or its corrupt copy on a node.
type Trim = (ChunkId, Option<NodeNumber>);

/// What waits to be trimmed. Surplus that does not fit is found again by the next survey, and a corrupt copy is reported
/// again by its node.
#[derive(Debug)]
pub(super) struct Trims {
    waiting: BTreeSet<Trim>,
    /// Corrupt copies whose chunks have too few good ones yet.
    corrupt: BTreeSet<(ChunkId, NodeNumber)>,
    is_running: bool,
    rests_until: Instant,
}

/// What a trim achieved.
#[derive(Debug, Default)]
pub(super) struct Trimmed {
    /// Copies whose deletion is planned now.
    pub(super) count: u64,
    /// Corrupt copies of which nothing more has to be known.
    settled: Vec<(ChunkId, NodeNumber)>,
}

impl Trims {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            waiting: BTreeSet::new(),
            corrupt: BTreeSet::new(),
            is_running: false,
            rests_until: now,
        }
    }

    /// Has what a chunk has too much taken away; `false` if there is no room for it.
    pub(super) fn add(&mut self, chunk: ChunkId) -> bool {
        self.wait((chunk, None))
    }

    /// Whether half of it is free.
    pub(super) fn have_room(&self) -> bool {
        self.waiting.len() <= WAITING_MAX / 2
    }

    /// Looks at corrupt copies again if there is no room for others: their chunks may be gone by now.
    pub(super) fn look_again(&mut self) {
        if self.corrupt.len() >= WAITING_MAX {
            let all = self.corrupt.iter();
            self.waiting
                .extend(all.map(|(chunk, node)| (*chunk, Some(*node))));
        }
    }

    /// A node has a corrupt copy, which is not on record any more.
    pub(super) fn add_corrupt(&mut self, chunk: ChunkId, node: NodeNumber) {
        if self.corrupt.len() < WAITING_MAX {
            self.corrupt.insert((chunk, node));
        }
        self.wait((chunk, Some(node)));
    }

    /// A chunk has all its copies by now, or nobody needs any.
    pub(super) fn needs_no_copy(&mut self, chunk: ChunkId) {
        let all = (chunk, NodeNumber(0))..=(chunk, NodeNumber(u32::MAX));
        let corrupt: Vec<_> = self.corrupt.range(all).copied().collect();
        for (chunk, node) in corrupt {
            self.wait((chunk, Some(node)));
        }
    }

    fn wait(&mut self, trim: Trim) -> bool {
        let has_room = self.waiting.len() < WAITING_MAX;
        if has_room {
            self.waiting.insert(trim);
        }
        has_room || self.waiting.contains(&trim)
    }

    pub(super) fn may_begin(&self, now: Instant) -> bool {
        self.next_try().is_some_and(|at| at <= now)
    }

    /// When a trim may begin; nothing if one runs or none is to be done.
    pub(super) fn next_try(&self) -> Option<Instant> {
        (!self.is_running && !self.waiting.is_empty()).then_some(self.rests_until)
    }

    pub(super) fn take_batch(&mut self) -> Vec<Trim> {
        self.is_running = true;
        let next = || self.waiting.pop_first();
        std::iter::from_fn(next).take(BATCH).collect()
    }

    pub(super) fn rest(&mut self, now: Instant) {
        self.rests_until = now + PAUSE;
    }

    pub(super) fn ended(&mut self, trimmed: &Trimmed, now: Instant) {
        self.is_running = false;
        for copy in &trimmed.settled {
            self.corrupt.remove(copy);
        }
        if trimmed.count == 0 {
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

/// What a trim came to, before anybody was asked.
#[derive(Default)]
struct Found {
    surplus: Vec<Surplus>,
    /// Corrupt copies of chunks that the state does not know.
    unknown: BTreeMap<NodeNumber, Vec<ChunkId>>,
    /// Corrupt copies of chunks that no file needs any more.
    unneeded: BTreeMap<NodeNumber, Vec<ChunkId>>,
    settled: Vec<(ChunkId, NodeNumber)>,
}

impl Found {
    fn take(&mut self, view: &View, (chunk, corrupt_on): Trim, row: Option<&ChunkRow>) {
        match (corrupt_on, row) {
            (None, Some(row)) if row.references > 0 => {
                if let Need::Trim(count) = view.need(row) {
                    let (given_up, kept) = view.surplus(&row.replicas, count);
                    self.give_up(chunk, given_up, kept);
                }
            }
            (None, _) => {}
            (Some(node), None) => {
                self.unknown.entry(node).or_default().push(chunk);
                self.settled.push((chunk, node));
            }
            // A good one was made in its place.
            (Some(node), Some(row)) if row.replicas.contains(&node) => {
                self.settled.push((chunk, node));
            }
            (Some(node), Some(row)) if row.references == 0 => {
                self.unneeded.entry(node).or_default().push(chunk);
            }
            (Some(node), Some(row)) => {
                let (_, kept) = view.surplus(&row.replicas, 0);
                if kept.len() >= view.replication_factor {
                    self.give_up(chunk, vec![node], kept);
                }
            }
        }
    }

    fn give_up(&mut self, chunk: ChunkId, given_up: Vec<NodeNumber>, kept: Vec<NodeNumber>) {
        self.surplus.push(Surplus {
            chunk,
            given_up,
            kept,
        });
    }
}

impl Control {
    /// Plans the deletion of what nobody needs of these chunks.
    pub(super) async fn trim(&self, trims: Vec<Trim>) -> Trimmed {
        let Found {
            surplus,
            unknown,
            unneeded,
            mut settled,
        } = self.find_surplus(trims).await;
        for (node, chunks) in unknown {
            if let Err(error) = self.note_unknown(node, chunks).await {
                warn!(node = self.name_of(node), %error, "cannot note corrupt copies of unknown chunks; they are reported again");
            }
        }
        for (node, chunks) in unneeded {
            // From now on it goes with the chunk, also if that was needed when the copy was reported.
            match self.remove_replicas(node, chunks.clone()).await {
                Ok(_) => settled.extend(chunks.into_iter().map(|chunk| (chunk, node))),
                Err(error) => {
                    warn!(node = self.name_of(node), %error, "cannot note corrupt copies that nobody needs; they are reported again");
                }
            }
        }
        let good = self.confirm(&surplus).await;
        let is_confirmed = |surplus: &&Surplus| {
            let confirmed = |node: &NodeNumber| good.contains(&(*node, surplus.chunk));
            surplus.kept.iter().all(confirmed) || is_planted(Bug::TrimUnconfirmed)
        };
        let copies: Vec<_> = surplus
            .iter()
            .filter(is_confirmed)
            .flat_map(|surplus| {
                let nodes = surplus.given_up.iter();
                nodes.map(|node| (surplus.chunk, *node))
            })
            .collect();
        let planned = self.plan_trim(copies.clone()).await;
        if planned.is_some() {
            settled.extend(copies);
        }
        Trimmed {
            count: planned.unwrap_or(0),
            settled,
        }
    }

    /// Says of how many copies the deletion is planned now; nothing if it could not be planned.
    async fn plan_trim(&self, copies: Vec<(ChunkId, NodeNumber)>) -> Option<u64> {
        if copies.is_empty() || self.deletions_wait() {
            return None;
        }
        let down = self.membership().not_live();
        let trim = Command::TrimReplicas { down, copies };
        match self.committer.submit(trim).await {
            Ok(outcome) => {
                let count = outcome.changed();
                debug!(
                    copies = count,
                    "planned the deletion of copies that nobody needs"
                );
                Some(count)
            }
            Err(error) => {
                warn!(%error, "cannot plan the deletion of copies that nobody needs; it is tried again");
                None
            }
        }
    }

    async fn find_surplus(&self, trims: Vec<Trim>) -> Found {
        let view = View::new(&self.membership(), self.config.rules.replication_factor);
        let ids: Vec<_> = trims.iter().map(|(chunk, _)| *chunk).collect();
        let rows = self.read(move |snapshot| snapshot.chunks(&ids)).await;
        let mut found = Found::default();
        for (trim, row) in trims.into_iter().zip(rows.unwrap_or_default()) {
            found.take(&view, trim, row.as_ref());
        }
        found
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
