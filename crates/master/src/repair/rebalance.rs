//! Moves copies to a node that is much emptier than the others, a few at a time, while nothing is to be repaired and what is
//! then too much may be deleted.
//!
//! A move is one more copy; the trim that follows takes the surplus one. **Invariant:** a move begins only if that trim will
//! take a copy of a node that is clearly fuller than the one that gets it. So each move makes the nodes more alike, and
//! there is an end to it, whatever the zones allow.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proto::id::ChunkId;
use tokio::time::Instant;

use super::controller::Controller;
use super::flights::Begun;
use crate::command::NodeNumber;
use crate::handlers::ClusterView;

/// How often an imbalance is looked for.
pub(super) const REBALANCE_INTERVAL: Duration = Duration::from_secs(5);
/// Chunks looked at at once: repair and uploads come first. While some of them are moved, the next ones follow.
const BATCH: usize = 64;
/// A node emptier than this share of what would be fair gets copies.
const BEGIN_BELOW_PERCENT: u128 = 60;
/// After a pass over a node's chunks of which none could be moved.
const REST_AFTER_NOTHING: Duration = Duration::from_secs(60 * 60);
/// Pairs of nodes of which it is known how far a pass came.
const PASSES_MAX: usize = 1024;

/// What a live node holds, and how big it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Which.
    pub node: NodeNumber,
    /// Bytes of chunks that it holds.
    pub held: u64,
    /// Bytes of its disks.
    pub capacity: u64,
    /// Whether it takes new chunks.
    pub writable: bool,
}

/// Copies go this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Direction {
    /// From the fullest of those that hold more than their share.
    from: NodeNumber,
    /// To the emptiest.
    to: NodeNumber,
}

/// A pass over one node's chunks, page by page.
#[derive(Debug, Default)]
struct Pass {
    cursor: Option<ChunkId>,
    has_moved: bool,
    is_over: bool,
    rests_until: Option<Instant>,
}

/// Chunks that may be moved, and where the next ones are looked for.
#[derive(Debug)]
pub(super) struct Rebalance {
    direction: Option<Direction>,
    waiting: VecDeque<ChunkId>,
    /// As the nodes said at the last look, with the moves that began since.
    fills: Vec<Fill>,
    passes: BTreeMap<Direction, Pass>,
    look_at: Instant,
    /// Whether some of the last page were moved.
    goes_on: bool,
}

impl Rebalance {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            direction: None,
            waiting: VecDeque::new(),
            fills: Vec::new(),
            passes: BTreeMap::new(),
            look_at: now + REBALANCE_INTERVAL,
            goes_on: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What the nodes say now.
    fn look(&mut self, fills: Vec<Fill>, now: Instant) {
        self.look_at = now + REBALANCE_INTERVAL;
        self.fills = fills;
    }

    /// The next page to look through: whose chunks, and after which. Where some of the last page were moved it is the one
    /// behind it.
    fn next_page(
        &mut self,
        difference_min: u64,
        now: Instant,
    ) -> Option<(NodeNumber, Option<ChunkId>)> {
        self.end_passes(now);
        if !std::mem::take(&mut self.goes_on) {
            self.direction = choose_direction(&self.fills, difference_min, |direction| {
                let pass = self.passes.get(&direction);
                pass.is_some_and(|pass| pass.rests_until.is_some_and(|until| until > now))
            });
        }
        let direction = self.direction?;
        let cursor = self.passes.entry(direction).or_default().cursor;
        Some((direction.from, cursor))
    }

    fn take_page(&mut self, chunks: Vec<ChunkId>) {
        let Some(direction) = self.direction else {
            return;
        };
        let pass = self.passes.entry(direction).or_default();
        pass.cursor = chunks.last().copied();
        pass.is_over = chunks.len() < BATCH;
        self.waiting.extend(chunks);
    }

    fn end_passes(&mut self, now: Instant) {
        for pass in self.passes.values_mut().filter(|pass| pass.is_over) {
            let rests_until = (!pass.has_moved).then_some(now + REST_AFTER_NOTHING);
            *pass = Pass {
                rests_until,
                ..Pass::default()
            };
        }
        if self.passes.len() >= PASSES_MAX {
            self.passes.clear();
        }
    }

    /// Whether it makes the nodes more alike that `to` gets a copy and `from` loses one.
    fn is_gain(&self, from: NodeNumber, to: NodeNumber, difference_min: u64) -> bool {
        let fill = |node| self.fills.iter().find(|fill| fill.node == node);
        let (Some(from), Some(to)) = (fill(from), fill(to)) else {
            return false;
        };
        let clearly_more = to.held + difference_min.max(to.held / 10);
        let product = |held: u64, capacity: u64| u128::from(held) * u128::from(capacity);
        product(from.held, to.capacity) > product(clearly_more, from.capacity)
    }

    /// A copy is being made on `to`, and one on `from` will go.
    fn note_moved(&mut self, from: NodeNumber, to: NodeNumber, len: u64) {
        for fill in &mut self.fills {
            if fill.node == to {
                fill.held += len;
            } else if fill.node == from {
                fill.held = fill.held.saturating_sub(len);
            }
        }
        self.goes_on = true;
        if let Some(direction) = self.direction {
            self.passes.entry(direction).or_default().has_moved = true;
        }
    }
}

impl Controller {
    pub(super) async fn begin_moves(&mut self, now: Instant) {
        if self.control.deletions_wait() {
            return;
        }
        self.move_waiting(now).await;
        let is_quiet =
            self.queue.is_empty() && self.flights.is_empty() && self.rebalance.is_empty();
        let is_due = now >= self.rebalance.look_at;
        if !(is_due || self.rebalance.goes_on) || !is_quiet {
            return;
        }
        if is_due {
            let fills = self.control.membership().fills();
            self.rebalance.look(fills, now);
        }
        let difference_min = self.control.config.rebalance_min_bytes;
        let Some((node, after)) = self.rebalance.next_page(difference_min, now) else {
            return;
        };
        let page = self
            .control
            .read(move |snapshot| snapshot.node_chunks_page(node, after.as_ref(), BATCH));
        if let Ok(chunks) = page.await {
            self.rebalance.take_page(chunks);
            self.move_waiting(now).await;
        }
    }

    async fn move_waiting(&mut self, now: Instant) {
        while let Some(chunk) = self.rebalance.waiting.front().copied() {
            if self.begin_move(chunk, now).await == Moved::Later {
                return;
            }
            self.rebalance.waiting.pop_front();
        }
    }

    async fn begin_move(&mut self, chunk: ChunkId, now: Instant) -> Moved {
        let row = self.control.read(move |snapshot| snapshot.chunk(&chunk));
        let row = row.await.ok().flatten().filter(|row| row.references > 0);
        let (Some(row), Some(Direction { to, .. })) = (row, self.rebalance.direction) else {
            return Moved::YesOrNever;
        };
        let view = self.view();
        let difference_min = self.control.config.rebalance_min_bytes;
        let (given_up, _) = view.surplus(&[&row.replicas[..], &[to]].concat(), 1);
        let given_up = given_up.first().copied();
        let gains = |from| self.rebalance.is_gain(from, to, difference_min);
        let Some(from) = given_up.filter(|from| view.may_move_to(&row, to) && gains(*from)) else {
            return Moved::YesOrNever;
        };
        if !self.flights.loads.can_take(to, now) {
            return Moved::Later;
        }
        match self.flights.begin(&view, (chunk, &row), to, 0, now) {
            Begun::Yes => self.rebalance.note_moved(from, to, u64::from(row.len)),
            Begun::Busy(_) | Begun::TooFast => return Moved::Later,
            Begun::Claimed => {}
        }
        Moved::YesOrNever
    }
}

/// What became of a move.
#[derive(PartialEq, Eq)]
enum Moved {
    YesOrNever,
    Later,
}

/// Finds the worst imbalance that may be worked on, unless it is below `difference_min` bytes.
fn choose_direction(
    fills: &[Fill],
    difference_min: u64,
    rests: impl Fn(Direction) -> bool,
) -> Option<Direction> {
    let held: u128 = fills.iter().map(|fill| u128::from(fill.held)).sum();
    let capacity: u128 = fills.iter().map(|fill| u128::from(fill.capacity)).sum();
    let fair = |fill: &Fill| held * u128::from(fill.capacity) / capacity.max(1);
    let is_much_emptier = |fill: &Fill| {
        let (held, fair) = (u128::from(fill.held), fair(fill));
        held * 100 < fair * BEGIN_BELOW_PERCENT && fair - held >= u128::from(difference_min)
    };
    let mut by_share: Vec<_> = fills.iter().collect();
    by_share.sort_by_key(|fill| {
        let share = u128::from(fill.held) * 1000 / u128::from(fill.capacity.max(1));
        (share, fill.node)
    });
    let is_open = |direction: &Direction| !rests(*direction);
    let fuller = |to: &Fill| {
        let to = to.node;
        let above = by_share.iter().rev().copied();
        let above = above.filter(move |fill| fill.node != to && u128::from(fill.held) > fair(fill));
        above
            .map(|fill| Direction {
                from: fill.node,
                to,
            })
            .find(is_open)
    };
    by_share
        .iter()
        .filter(|fill| fill.writable && is_much_emptier(fill))
        .find_map(|fill| fuller(fill))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[(u64, u64)], expected: Option<(u32, u32)>) {
        let fills = fills(rows);
        let found = choose_direction(&fills, 10, |_| false);
        let found = found.map(|found| (found.from.0, found.to.0));
        assert_eq!(found, expected, "{rows:?}");
    }

    #[test]
    fn an_empty_node_gets_copies_from_the_fullest_until_it_has_most_of_its_share() {
        check(&[], None);
        check(&[(500, 1000)], None);
        check(&[(500, 1000), (500, 1000), (510, 1000)], None);
        check(&[(500, 1000), (520, 1000), (0, 1000)], Some((2, 3)));
        check(&[(400, 1000), (400, 1000), (250, 1000)], None);
        check(&[(400, 2000), (200, 1000), (200, 1000)], None);
        check(&[(9, 1000), (9, 1000), (0, 1000)], None);
        check(&[(400, 4000), (300, 1000), (0, 4000)], Some((2, 3)));
    }

    #[test]
    fn a_full_node_gets_none() {
        let fill = |node, held, writable| Fill {
            node: NodeNumber(node),
            held,
            capacity: 1000,
            writable,
        };
        let fills = [fill(1, 500, true), fill(2, 0, false)];
        assert_eq!(choose_direction(&fills, 10, |_| false), None);
    }

    fn fills(rows: &[(u64, u64)]) -> Vec<Fill> {
        (1..)
            .zip(rows)
            .map(|(node, (held, capacity))| Fill {
                node: NodeNumber(node),
                held: *held,
                capacity: *capacity,
                writable: true,
            })
            .collect()
    }

    #[test]
    fn a_move_is_a_gain_only_from_a_clearly_fuller_node() {
        let mut rebalance = Rebalance::new(Instant::now());
        rebalance.fills = fills(&[(500, 1000), (450, 1000), (440, 1000), (600, 2000)]);
        let check = |from, to, difference_min, expected| {
            let gain = rebalance.is_gain(NodeNumber(from), NodeNumber(to), difference_min);
            assert_eq!(gain, expected, "{from} to {to}");
        };
        check(1, 3, 10, true);
        check(1, 2, 10, true);
        check(2, 3, 10, false);
        check(1, 3, 60, false);
        check(1, 1, 10, false);
        check(1, 4, 10, true);
        check(4, 3, 10, false);
        check(9, 3, 10, false);
    }

    #[test]
    fn a_pass_that_moved_nothing_is_not_repeated_soon_and_others_are_tried() {
        let mut now = Instant::now();
        let mut rebalance = Rebalance::new(now);
        let rows = fills(&[(500, 1000), (490, 1000), (0, 1000)]);
        let page = |count: usize| -> Vec<_> {
            let ids = (0..count).map(|number| ChunkId::of(&number.to_le_bytes()));
            ids.collect()
        };
        let mut next = |rebalance: &mut Rebalance| {
            rebalance.waiting.clear();
            now += REBALANCE_INTERVAL;
            rebalance.look(rows.clone(), now);
            rebalance.next_page(10, now)
        };
        let (one, two) = (NodeNumber(1), NodeNumber(2));
        assert_eq!(next(&mut rebalance), Some((one, None)));
        rebalance.take_page(page(BATCH));
        assert_eq!(
            next(&mut rebalance),
            Some((one, page(BATCH).last().copied()))
        );
        rebalance.note_moved(one, NodeNumber(3), 1);
        rebalance.take_page(page(1));
        assert_eq!(next(&mut rebalance), Some((one, None)), "it moved one");
        rebalance.take_page(page(1));
        assert_eq!(next(&mut rebalance), Some((two, None)));
        rebalance.take_page(page(0));
        assert_eq!(next(&mut rebalance), None);
    }
}
