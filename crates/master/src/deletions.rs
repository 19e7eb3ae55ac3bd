//! Carries out planned deletions: orders that name chunks, one at a time to each node, confirmed by it.
//!
//! An order carries the master's epoch and a sequence that rises with every order, so that a node refuses one that
//! comes late or from a master that was superseded. What an order named stays planned until the node has confirmed
//! it and that is recorded; repeated, an order does no harm.
//!
//! **Invariant:** only what the state has as planned is ordered, never what is claimed, and nothing in safe mode.
//! **Invariant:** a node gets no further order while it is not known whether the last one's confirmation is recorded.
//!
//! A node that keeps all that was ordered, since its disk failed or hangs, rests, until more is planned there, it has a
//! disk again, or some minutes have passed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use planted::{Bug, Point, is_planted, reach};
use proto::ErrorCode;
use proto::connection::CallError;
use proto::id::ChunkId;
use proto::master::NodeState;
use proto::node::{CHUNKS_PER_MESSAGE_MAX, ChunksDeleted, DeleteChunks};
use threads::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::command::{Command, NodeNumber};
use crate::commit::Committer;
use crate::control::Control;
use crate::handlers::ClusterView;
use crate::node_tasks::NodeTasks;

const ORDER_TIMEOUT: Duration = Duration::from_secs(60);
/// After a confirmation of which it is not known whether it was recorded.
const CONFIRM_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Looked for again so often, besides whenever something was planned.
const ROUND_INTERVAL: Duration = Duration::from_secs(10);
/// After a round in which a node deleted nothing of what is planned.
const REST_AFTER_NOTHING: Duration = Duration::from_secs(10 * 60);

/// Wakes the loop, and nodes that rest.
#[derive(Debug, Default)]
pub(crate) struct DeletionWake {
    round: Notify,
    /// Nodes that may have become able to delete what they kept.
    woken: Mutex<BTreeSet<NodeNumber>>,
}

impl DeletionWake {
    /// Something was planned, or may be ordered now.
    pub(crate) fn notify_one(&self) {
        self.round.notify_one();
    }

    /// A node may be able to delete by now what it kept.
    pub(crate) fn wake(&self, node: NodeNumber) {
        self.woken.lock().insert(node);
        self.notify_one();
    }
}

/// Orders deletions until `shutdown`.
pub(crate) async fn run(control: Arc<Control>, shutdown: CancellationToken) {
    let mut orders = NodeTasks::new();
    let mut rests = Rests::default();
    loop {
        let (done, mut due) = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            Some(done) = orders.next_done() => (Some(done), Vec::new()),
            () = control.deletions.round.notified() => (None, control.with_deletions().await),
            () = tokio::time::sleep(ROUND_INTERVAL) => (None, control.with_deletions().await),
        };
        let now = Instant::now();
        rests.wake(std::mem::take(&mut *control.deletions.woken.lock()));
        if let Some(done) = done {
            let rests = done
                .result
                .is_some_and(|round| rests.end(done.node, round, now));
            due.extend((done.again && !rests).then_some((done.node, u64::MAX)));
        }
        for (node, planned) in due {
            if !rests.is_over(node, planned, now) || orders.ask_again(node) {
                continue;
            }
            rests.begin(node);
            let control = control.clone();
            orders.begin(node, async move { control.delete_planned(node).await });
        }
    }
}

/// What came of a round with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    /// It deleted something, or could not be asked.
    Done,
    /// It kept all that was ordered: so many copies.
    KeptAll(u64),
}

/// The nodes that are left alone.
#[derive(Debug, Default)]
struct Rests {
    rests: BTreeMap<NodeNumber, Rest>,
    /// Nodes that were woken since their last round began.
    woken: BTreeSet<NodeNumber>,
}

#[derive(Debug)]
struct Rest {
    until: Instant,
    /// Unless more than this is planned there.
    kept: u64,
}

impl Rests {
    fn wake(&mut self, nodes: BTreeSet<NodeNumber>) {
        self.rests.retain(|node, _| !nodes.contains(node));
        self.woken.extend(nodes);
    }

    fn begin(&mut self, node: NodeNumber) {
        self.rests.remove(&node);
        self.woken.remove(&node);
    }

    /// A round is over; says whether the node rests now.
    fn end(&mut self, node: NodeNumber, round: Round, now: Instant) -> bool {
        let Round::KeptAll(kept) = round else {
            return false;
        };
        let until = now + REST_AFTER_NOTHING;
        let rests = !self.woken.contains(&node);
        if rests {
            self.rests.insert(node, Rest { until, kept });
        }
        rests
    }

    /// Whether a node need not rest where so many deletions are planned.
    fn is_over(&self, node: NodeNumber, planned: u64, now: Instant) -> bool {
        let rest = self.rests.get(&node);
        rest.is_none_or(|rest| rest.until <= now || rest.kept < planned)
    }
}

/// What a node did with an order.
struct Obeyed {
    deleted: usize,
    kept: usize,
}

impl Control {
    /// The live nodes with deletions planned, and how many; nobody if that cannot be read, until the next round.
    async fn with_deletions(&self) -> Vec<(NodeNumber, u64)> {
        let live = self.membership().live();
        let numbers = live.clone();
        let tallies = self.read(move |snapshot| snapshot.node_tallies(&numbers));
        let tallies = match tallies.await {
            Ok(tallies) => tallies,
            Err(error) => {
                warn!(%error, "cannot read how many deletions are planned");
                return Vec::new();
            }
        };
        let planned = tallies.iter().map(|tally| tally.planned_deletions);
        let with_planned = live.into_iter().zip(planned);
        with_planned.filter(|(_, planned)| *planned > 0).collect()
    }

    /// Orders all that is planned on a node, a page at a time, until none is left or something fails.
    pub(crate) async fn delete_planned(&self, node: NodeNumber) -> Round {
        let (mut after, mut deleted, mut kept) = (None, 0, 0);
        while !self.deletions_wait() {
            let read = move |snapshot: &crate::state::Snapshot| {
                snapshot.planned_deletions_page(node, after.as_ref(), CHUNKS_PER_MESSAGE_MAX)
            };
            let page: Vec<ChunkId> = match self.read(read).await {
                Ok(page) => page,
                Err(error) => {
                    warn!(%error, "cannot read the planned deletions");
                    return Round::Done;
                }
            };
            if page.is_empty() {
                break;
            }
            after = page.last().copied();
            let open: Vec<_> = page
                .into_iter()
                .filter(|chunk| {
                    !self.claims.is_claimed(node, chunk) || is_planted(Bug::ClaimsIgnored)
                })
                .collect();
            if open.is_empty() {
                continue;
            }
            let Some(obeyed) = self.order(node, open).await else {
                return Round::Done;
            };
            deleted += obeyed.deleted;
            kept += obeyed.kept;
        }
        match (deleted, kept) {
            (0, 1..) => Round::KeptAll(kept as u64),
            _ => Round::Done,
        }
    }

    /// One order, and its confirmation; nothing if further ones make no sense.
    async fn order(&self, node: NodeNumber, chunks: Vec<ChunkId>) -> Option<Obeyed> {
        if self.deletions_wait() || self.membership().state(node) != NodeState::Live {
            return None;
        }
        let kept = match self.order_once_or_twice(node, &chunks).await {
            Ok(deleted) => deleted.kept,
            Err(_) if is_planted(Bug::DeletionsUnconfirmed) => Vec::new(),
            Err(error) => {
                warn!(node = self.name_of(node), %error, "a node did not carry out deletions; they are ordered again later");
                return None;
            }
        };
        let mut kept: HashSet<ChunkId> = kept.into_iter().collect();
        if is_planted(Bug::DeletionsUnconfirmed) {
            kept.clear();
        }
        let gone: Vec<_> = chunks
            .into_iter()
            .filter(|chunk| !kept.contains(chunk))
            .collect();
        let count = gone.len();
        reach(Point::DeletionsObeyed);
        if count > 0 && !confirm(&self.committer, node, &self.name_of(node), gone).await {
            return None;
        }
        // What is kept stays planned: a disk of the node failed or hangs, which the status says.
        debug!(
            node = self.name_of(node),
            count,
            kept = kept.len(),
            "deleted copies that were planned"
        );
        Some(Obeyed {
            deleted: count,
            kept: kept.len(),
        })
    }

    /// An order that arrived twice, because its connection broke, is refused the second time as not new any more: then
    /// a new one is sent. If that arrives twice too, it is for the next round.
    async fn order_once_or_twice(
        &self,
        node: NodeNumber,
        chunks: &[ChunkId],
    ) -> Result<ChunksDeleted, CallError> {
        let order = || DeleteChunks {
            as_of: self.point(),
            sequence: self.order_sequence.fetch_add(1, Ordering::Relaxed) + 1,
            chunks: chunks.to_vec(),
        };
        match self.order_node(node, order(), ORDER_TIMEOUT).await {
            Err(error) if error.code() == Some(ErrorCode::StaleOrder) => {
                self.order_node(node, order(), ORDER_TIMEOUT).await
            }
            result => result,
        }
    }
}

/// Records that a node has deleted these, and says whether it did. Returns only when that is certain: a confirmation
/// that was not answered may yet be applied, and then the copies may be promised and stored anew, while an order that
/// was read from the plan before would delete them.
async fn confirm(
    committer: &Committer,
    node: NodeNumber,
    name: &str,
    chunks: Vec<ChunkId>,
) -> bool {
    loop {
        let chunks = chunks.clone();
        let confirmation = Command::ConfirmDeletions { node, chunks };
        let Err(error) = committer.submit(confirmation).await else {
            return true;
        };
        warn!(node = name, %error, "cannot record deletions; no others are ordered before");
        // A superseded master orders nothing any more, and what is refused as damaged was not applied.
        if matches!(error.code, ErrorCode::StaleEpoch | ErrorCode::Internal) {
            return false;
        }
        tokio::time::sleep(CONFIRM_AGAIN_AFTER).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::CommitOptions;
    use crate::config::Config;
    use crate::state::{State, StateOptions};
    use disk::{Blocking, Disk, MemoryDisk, RedbBackend};
    use proto::id::ClusterId;
    use uuid::Uuid;

    #[test]
    fn a_node_that_keeps_everything_rests_until_there_is_a_reason_to_ask() {
        let (node, now) = (NodeNumber(1), Instant::now());
        let mut rests = Rests::default();
        rests.begin(node);
        assert!(!rests.end(node, Round::Done, now));
        assert!(rests.end(node, Round::KeptAll(5), now));
        assert!(!rests.is_over(node, 5, now));
        assert!(rests.is_over(node, 6, now), "more is planned");
        assert!(rests.is_over(node, 5, now + REST_AFTER_NOTHING));
        rests.wake(BTreeSet::from([node]));
        assert!(rests.is_over(node, 5, now));
        // Its disk came back while it was asked: what it answered was said before.
        rests.begin(node);
        rests.wake(BTreeSet::from([node]));
        assert!(!rests.end(node, Round::KeptAll(5), now));
    }

    /// The master's disk hung for more than a minute. The confirmation waited in the queue and counted as failed, so the
    /// order was sent again; the first confirmation was applied after all, the chunk was uploaded anew to the very
    /// node, and then the second order deleted it.
    #[tokio::test(start_paused = true)]
    async fn nothing_is_ordered_while_a_confirmation_may_yet_be_applied() {
        let (committer, writer) = committer();
        let chunks = vec![ChunkId::of(b"a")];
        let confirming =
            tokio::spawn(async move { confirm(&committer, NodeNumber(1), "one", chunks).await });
        tokio::time::sleep(Duration::from_secs(5 * 60)).await;
        assert!(!confirming.is_finished(), "its fate is not known");

        let writing = tokio::spawn(writer.run());
        assert!(confirming.await.unwrap());
        writing.await.unwrap().unwrap();
    }

    /// It tried once a second for ever, with a line in the log each time.
    #[tokio::test(start_paused = true)]
    async fn a_superseded_master_gives_up_what_it_cannot_record() {
        let (committer, _writer) = committer();
        committer.fence("a later one has started".to_owned());
        let chunks = vec![ChunkId::of(b"a")];
        let confirming = confirm(&committer, NodeNumber(1), "one", chunks);
        let recorded = tokio::time::timeout(Duration::from_secs(600), confirming);
        assert!(!recorded.await.expect("it ends"));
    }

    fn committer() -> (Committer, crate::commit::Writer) {
        let disk = MemoryDisk::new();
        disk.create("state.redb").unwrap();
        disk.sync_folder("").unwrap();
        let shared = disk.shared();
        let options = StateOptions {
            new_cluster: ClusterId::new(Uuid::from_u128(1)),
            rules: Config::default().rules,
            cache_bytes: 1 << 20,
        };
        let backend = move || Ok(RedbBackend::new(shared.open("state.redb")?));
        let state = Arc::new(State::open(backend, &options).unwrap());
        let options = CommitOptions {
            blocking: Blocking::inline(),
            disk: disk.shared(),
            wall_ms: Arc::new(|| 0),
        };
        Committer::new(state, options).unwrap()
    }
}
