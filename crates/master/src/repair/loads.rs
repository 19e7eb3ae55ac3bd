//! How many copies each node takes and gives now, and which nodes are let rest because copies failed for their sake.
//!
//! A plain value. A node that failed rests, the longer the more often it fails in a row, and is then tried with one copy at a
//! time until one succeeds: so one that hangs costs the others little.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::command::NodeNumber;

const REST_FIRST: Duration = Duration::from_millis(200);
const REST_LAST: Duration = Duration::from_secs(20);

/// What a node does in a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// It gives the chunk.
    Source(NodeNumber),
    /// It takes the chunk.
    Target(NodeNumber),
}

/// All nodes that take part in copies.
#[derive(Debug)]
pub struct Loads {
    per_node: u32,
    loads: HashMap<NodeNumber, Load>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Load {
    taking: u32,
    giving: u32,
    failures: u32,
    rests_until: Option<Instant>,
}

impl Loads {
    /// No copy runs; each node may take and give so many at once.
    pub fn new(per_node: u32) -> Self {
        Self {
            per_node: per_node.max(1),
            loads: HashMap::new(),
        }
    }

    /// How many more copies a node may play this part in now.
    pub fn room(&self, part: Part, now: Instant) -> usize {
        let (Part::Source(node) | Part::Target(node)) = part;
        let load = self.load(node);
        if load.rests(now) {
            return 0;
        }
        let at_once = if load.failures > 0 { 1 } else { self.per_node };
        let runs = match part {
            Part::Source(_) => load.giving,
            Part::Target(_) => load.taking,
        };
        at_once.saturating_sub(runs) as usize
    }

    /// Whether a node may take one more copy.
    pub fn can_take(&self, node: NodeNumber, now: Instant) -> bool {
        self.room(Part::Target(node), now) > 0
    }

    /// Whether a node rests after a failure.
    pub fn rests(&self, node: NodeNumber, now: Instant) -> bool {
        self.load(node).rests(now)
    }

    /// Those that may give one more copy, the least busy first, and behind them the others; nothing if all are busy.
    pub fn sources(&self, holders: &[NodeNumber], now: Instant) -> Option<Vec<NodeNumber>> {
        let mut sources = holders.to_vec();
        sources.sort_by_key(|node| {
            let is_busy = self.room(Part::Source(*node), now) == 0;
            (is_busy, self.load(*node).giving)
        });
        let first = sources.first()?;
        (self.room(Part::Source(*first), now) > 0).then_some(sources)
    }

    /// A copy begins.
    pub fn begin(&mut self, source: NodeNumber, target: NodeNumber) {
        self.loads.entry(source).or_default().giving += 1;
        self.loads.entry(target).or_default().taking += 1;
    }

    /// A copy ended, well or not.
    pub fn end(&mut self, source: NodeNumber, target: NodeNumber) {
        let source = self.loads.entry(source).or_default();
        source.giving = source.giving.saturating_sub(1);
        let target = self.loads.entry(target).or_default();
        target.taking = target.taking.saturating_sub(1);
    }

    /// A node did its part.
    pub fn succeeded(&mut self, node: NodeNumber) {
        self.loads.entry(node).or_default().failures = 0;
    }

    /// A node did not do its part: it rests.
    pub fn failed(&mut self, node: NodeNumber, now: Instant) {
        let load = self.loads.entry(node).or_default();
        let rest = REST_FIRST * 2_u32.saturating_pow(load.failures.min(16));
        load.rests_until = Some(now + rest.min(REST_LAST));
        load.failures += 1;
    }

    /// A node came back: what went wrong with it before does not count.
    pub fn forgive(&mut self, node: NodeNumber) {
        if let Some(load) = self.loads.get_mut(&node) {
            load.failures = 0;
            load.rests_until = None;
        }
    }

    /// When the next node that rests may be used again.
    pub fn next_rested(&self, now: Instant) -> Option<Instant> {
        self.loads
            .values()
            .filter_map(|load| load.rests_until)
            .filter(|until| *until > now)
            .min()
    }

    fn load(&self, node: NodeNumber) -> Load {
        self.loads.get(&node).copied().unwrap_or_default()
    }
}

impl Load {
    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NodeNumber = NodeNumber(1);
    const TWO: NodeNumber = NodeNumber(2);

    #[test]
    fn a_node_that_fails_rests_longer_each_time_and_is_tried_with_one_copy() {
        let mut now = Instant::now();
        let mut loads = Loads::new(2);
        for rest in [REST_FIRST, REST_FIRST * 2, REST_FIRST * 4] {
            loads.failed(TWO, now);
            assert_eq!(loads.room(Part::Target(TWO), now), 0);
            assert_eq!(loads.room(Part::Source(TWO), now), 0);
            assert_eq!(loads.next_rested(now), Some(now + rest));
            now += rest;
            assert_eq!(loads.room(Part::Target(TWO), now), 1);
        }
        loads.succeeded(TWO);
        assert_eq!(loads.room(Part::Target(TWO), now), 2);
    }

    #[test]
    fn a_node_is_forgiven_when_it_comes_back() {
        let now = Instant::now();
        let mut loads = Loads::new(2);
        loads.failed(TWO, now);
        loads.forgive(TWO);
        assert_eq!(loads.room(Part::Source(TWO), now), 2);
        assert_eq!(loads.next_rested(now), None);
    }

    #[test]
    fn the_least_busy_source_is_asked_first() {
        let now = Instant::now();
        let mut loads = Loads::new(1);
        loads.begin(ONE, NodeNumber(9));
        assert_eq!(loads.sources(&[ONE, TWO], now), Some(vec![TWO, ONE]));
        loads.begin(TWO, NodeNumber(9));
        assert_eq!(loads.sources(&[ONE, TWO], now), None);
        assert_eq!(loads.sources(&[], now), None);
        loads.end(ONE, NodeNumber(9));
        assert_eq!(loads.sources(&[ONE, TWO], now), Some(vec![ONE, TWO]));
    }
}
