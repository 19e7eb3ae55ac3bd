//! What this process learnt of the nodes lately: which failed or straggled, and how long transfers take.
//!
//! It orders choices and sets patience, nothing else: an avoided node is the last choice, never no choice. All of it
//! is forgotten soon, and what is kept is bounded by the nodes in use.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use proto::id::{ChunkId, NodeId};
use proto::master::NodeLocation;
use tokio::time::Instant;

use crate::ClientOptions;
use crate::fetch::is_small;
use crate::late::LATE_FACTOR;

/// Most nodes named to the master as failed.
const AVOIDED_MAX: usize = 64;
/// Whatever the average, a read of which nothing comes for so long is late.
const LATE_MAX: Duration = Duration::from_secs(10);

/// What is known of all nodes.
#[derive(Debug)]
pub(crate) struct Health {
    avoid_for: Duration,
    hedge_delay: Duration,
    known: Mutex<Known>,
    /// Bytes of all chunks that were read so far, but for the small ones.
    received: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Known {
    nodes: HashMap<NodeId, NodeHealth>,
    /// Averages that follow the last ten or so.
    read_time: Option<Duration>,
    small_read_time: Option<Duration>,
    write_time: Option<Duration>,
    /// Until then the master need not be asked for spare nodes: it had none.
    no_spare_until: Option<Instant>,
}

#[derive(Debug, Default)]
struct NodeHealth {
    avoid_until: Option<Instant>,
    /// Late reads say little about writes: they only count for reads.
    read_late_until: Option<Instant>,
    reads: usize,
}

impl Known {
    fn read_time(&mut self, len: u32) -> &mut Option<Duration> {
        if is_small(len) {
            &mut self.small_read_time
        } else {
            &mut self.read_time
        }
    }
}

impl NodeHealth {
    fn is_avoided(&self, now: Instant) -> bool {
        self.avoid_until.is_some_and(|until| now < until)
    }

    fn reads_late(&self, now: Instant) -> bool {
        self.read_late_until.is_some_and(|until| now < until)
    }
}

impl Health {
    pub(crate) fn new(options: &ClientOptions) -> Self {
        Self {
            avoid_for: options.avoid_for,
            hedge_delay: options.hedge_delay,
            known: Mutex::default(),
            received: Arc::default(),
        }
    }

    /// The node failed, or was much later with a write than others: others come first for some time.
    pub(crate) fn avoid(&self, node: NodeId) {
        let until = Instant::now() + self.avoid_for;
        self.update(node, |health| health.avoid_until = Some(until));
    }

    /// The node was later with a read than another one that was asked after it.
    pub(crate) fn note_late_read(&self, node: NodeId) {
        let until = Instant::now() + self.avoid_for;
        self.update(node, |health| health.read_late_until = Some(until));
    }

    /// The node did well.
    pub(crate) fn forgive(&self, node: NodeId) {
        if let Some(health) = self.known.lock().nodes.get_mut(&node) {
            (health.avoid_until, health.read_late_until) = (None, None);
        }
    }

    pub(crate) fn is_avoided(&self, node: NodeId) -> bool {
        let now = Instant::now();
        let known = self.known.lock();
        known
            .nodes
            .get(&node)
            .is_some_and(|health| health.is_avoided(now))
    }

    /// Those to name to the master.
    pub(crate) fn avoided(&self) -> Vec<NodeId> {
        let now = Instant::now();
        let known = self.known.lock();
        let avoided = known.nodes.iter().filter(|(_, node)| node.is_avoided(now));
        let mut avoided: Vec<_> = avoided.map(|(node, _)| *node).take(AVOIDED_MAX).collect();
        avoided.sort_unstable();
        avoided
    }

    /// Puts those first that are expected to answer, then those that this process reads least from at present. Among
    /// equals each chunk has its own order, so that reads spread over all nodes, and a chunk that is read again
    /// is asked of the node that still has it in memory.
    pub(crate) fn order_for_reading(&self, chunk: &ChunkId, nodes: &mut [NodeLocation]) {
        let now = Instant::now();
        let known = self.known.lock();
        nodes.sort_by_cached_key(|location| {
            let health = known.nodes.get(&location.node);
            let avoided =
                health.is_some_and(|health| health.is_avoided(now) || health.reads_late(now));
            let reads = health.map_or(0, |health| health.reads);
            let mut rank = DefaultHasher::new();
            (chunk.as_bytes(), location.node).hash(&mut rank);
            (avoided, !location.live, reads / 2, rank.finish())
        });
    }

    /// Counts a read from this node for as long as the guard lives.
    pub(crate) fn begin_read(&self, node: NodeId) -> ReadGuard<'_> {
        self.known.lock().nodes.entry(node).or_default().reads += 1;
        ReadGuard { health: self, node }
    }

    /// How many reads are under way.
    pub(crate) fn reads(&self) -> u64 {
        let known = self.known.lock();
        known.nodes.values().map(|node| node.reads as u64).sum()
    }

    pub(crate) fn received(&self) -> &Arc<AtomicU64> {
        &self.received
    }

    pub(crate) fn note_read_time(&self, len: u32, time: Duration) {
        follow(self.known.lock().read_time(len), time);
    }

    /// How long such a read takes on average.
    pub(crate) fn read_time(&self, len: u32) -> Option<Duration> {
        *self.known.lock().read_time(len)
    }

    pub(crate) fn note_write_time(&self, time: Duration) {
        follow(&mut self.known.lock().write_time, time);
    }

    /// How long such a read may get nothing before another node is asked as well.
    pub(crate) fn hedge_delay(&self, len: u32) -> Duration {
        let late = self.read_time(len).unwrap_or_default() * LATE_FACTOR;
        late.min(LATE_MAX).max(self.hedge_delay)
    }

    /// How long a write may take before other nodes are looked for: on a slow line all of them take long, and what is
    /// given up begins anew.
    pub(crate) fn write_patience(&self, at_least: Duration, at_most: Duration) -> Duration {
        let late = self.known.lock().write_time.unwrap_or_default() * LATE_FACTOR;
        late.min(at_most).max(at_least)
    }

    /// Whether the master may know nodes that could take the place of failed ones.
    pub(crate) fn spares_may_exist(&self) -> bool {
        let until = self.known.lock().no_spare_until;
        until.is_none_or(|until| Instant::now() >= until)
    }

    pub(crate) fn note_no_spare(&self) {
        self.known.lock().no_spare_until = Some(Instant::now() + self.avoid_for);
    }

    /// Also forgets nodes of which nothing is to be remembered any more.
    fn update(&self, node: NodeId, change: impl FnOnce(&mut NodeHealth)) {
        let now = Instant::now();
        let mut known = self.known.lock();
        known.nodes.retain(|_, health| {
            health.reads > 0 || health.is_avoided(now) || health.reads_late(now)
        });
        change(known.nodes.entry(node).or_default());
    }
}

/// Ends the count of one read.
#[derive(Debug)]
pub(crate) struct ReadGuard<'a> {
    health: &'a Health,
    node: NodeId,
}

impl Drop for ReadGuard<'_> {
    fn drop(&mut self) {
        let mut known = self.health.known.lock();
        if let Some(health) = known.nodes.get_mut(&self.node) {
            health.reads -= 1;
        }
    }
}

fn follow(average: &mut Option<Duration>, time: Duration) {
    *average = Some(average.map_or(time, |average| (average * 7 + time) / 8));
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn node(number: u128) -> NodeId {
        NodeId::new(Uuid::from_u128(number))
    }

    fn locations(live: [bool; 3]) -> Vec<NodeLocation> {
        let location = |(number, live)| NodeLocation {
            node: node(number),
            address: "127.0.0.1:1".parse().unwrap(),
            live,
        };
        (1..).zip(live).map(location).collect()
    }

    fn order(health: &Health, chunk: u8, live: [bool; 3]) -> Vec<NodeId> {
        let mut nodes = locations(live);
        health.order_for_reading(&ChunkId::of(&[chunk]), &mut nodes);
        nodes.into_iter().map(|location| location.node).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_failed_is_the_last_choice_for_ten_seconds() {
        let health = Health::new(&ClientOptions::default());
        for number in 1..=3 {
            health.avoid(node(number));
            assert_eq!(order(&health, 7, [true; 3])[2], node(number));
            assert_eq!(health.avoided(), [node(number)]);
            tokio::time::advance(Duration::from_secs(10)).await;
            assert!(health.avoided().is_empty());
        }
        health.avoid(node(1));
        health.forgive(node(1));
        assert!(!health.is_avoided(node(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_read_does_not_keep_writes_away() {
        let health = Health::new(&ClientOptions::default());
        for number in 1..=3 {
            health.note_late_read(node(number));
            assert_eq!(order(&health, 7, [true; 3])[2], node(number));
            assert!(!health.is_avoided(node(number)));
            tokio::time::advance(Duration::from_secs(10)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn live_nodes_come_first_but_after_them_the_others() {
        let health = Health::new(&ClientOptions::default());
        assert_eq!(order(&health, 7, [false, true, false])[0], node(2));
        health.avoid(node(2));
        assert_eq!(order(&health, 7, [false, true, false])[2], node(2));
    }

    #[tokio::test(start_paused = true)]
    async fn reads_spread_over_the_nodes() {
        let health = Health::new(&ClientOptions::default());
        let firsts = |health: &Health| -> std::collections::HashSet<NodeId> {
            (0..50)
                .map(|chunk| order(health, chunk, [true; 3])[0])
                .collect()
        };
        assert_eq!(firsts(&health).len(), 3);
        let busy: Vec<_> = (0..2).map(|_| health.begin_read(node(1))).collect();
        assert!(!firsts(&health).contains(&node(1)));
        drop(busy);
        assert!(firsts(&health).contains(&node(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_grows_where_everything_is_slow() {
        let health = Health::new(&ClientOptions::default());
        let (len, small) = (1 << 20, 1 << 10);
        assert_eq!(health.hedge_delay(len), Duration::from_millis(250));
        health.note_read_time(len, Duration::from_millis(10));
        assert_eq!(health.hedge_delay(len), Duration::from_millis(250));
        for _ in 0..50 {
            health.note_read_time(len, Duration::from_secs(1));
        }
        assert!(health.hedge_delay(len) > Duration::from_millis(2900));
        for _ in 0..50 {
            health.note_read_time(len, Duration::from_secs(100));
        }
        assert_eq!(health.hedge_delay(len), LATE_MAX);
        assert_eq!(health.hedge_delay(small), Duration::from_millis(250));
    }
}
