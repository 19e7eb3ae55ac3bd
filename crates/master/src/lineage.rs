//! Whether a node has worked with this very master, or with another one: with a later start, of which this folder is an
//! old copy; or with one that runs on a copy of this folder.
//!
//! The lineage of a master is one small row for each of its starts: which run it was, and how many steps of its log
//! were durable when it began. A node tells the latest point that it has seen; it is part of the lineage if that run
//! had that epoch, and had not come further than where the next one of this lineage began.
//!
//! A pure function of [`Known`], which is read from the state. **Invariant:** a start with `--restored` has a higher epoch than
//! any start of the lost master, and forgives everything that nodes had seen of lower ones, for good; and nothing else.

use proto::HistoryPoint;
use proto::id::{Epoch, NodeId};
use proto::words;

/// A node that is further ahead than this many starts has not seen them: what it says is damaged.
const STARTS_AHEAD_MAX: u64 = 1_000_000;
/// A master that is lost had started less often than this since the copy was made that is restored.
pub const STARTS_LOST_MAX: u64 = 10_000;

/// What a person does when there are two masters: neither of them knows which is the right one.
pub const WHICH_TO_KEEP: &str = "Keep the master that most nodes follow and that has made more steps (`dfs status` of each \
                                 says it), stop the other, and restart the one that is kept if it takes no changes; if \
                                 the right one is lost, start this one with --restored, once more if it was so already";
/// The other way in which one node can have seen what others have not.
const STRAY_NODE: &str = "If only this node was with another master, say in a trial with a copy of the folder, stop the node, \
                          which needs an empty folder to come back, and restart this master";

/// One start, as it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Which run it was.
    pub run: proto::id::RunId,
    /// Steps of the log that were durable when it began.
    pub began: u64,
}

/// What the state knows of the epoch that a node has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The present epoch.
    pub epoch: Epoch,
    /// Of the latest start with `--restored`: what was before it is forgiven. 0 if there was none.
    pub restored_at: Epoch,
    /// The start with the epoch that the node has seen, if this master had it.
    pub start: Option<Start>,
    /// How many steps were durable when the start after that one began.
    pub next_began: Option<u64>,
}

/// Why what a node has seen is not part of this master's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// It has seen later starts.
    #[error(
        "node {node} has already worked with start {seen} of the master, and this is start {own}: this master's folder is \
         an old copy, or another master runs on a newer one. Nothing is deleted. Stop this master and start the one \
         with the newest folder; if that is lost, start this one with --restored. {STRAY_NODE}"
    )]
    Later {
        /// Who.
        node: NodeId,
        /// What it has seen.
        seen: Epoch,
        /// This master's.
        own: Epoch,
    },
    /// It has seen another run of the same epoch.
    #[error(
        "node {node} works with another master that has started {seen} times too: two masters run on copies of one \
         folder, or ran in turn. Nothing is deleted. {WHICH_TO_KEEP}"
    )]
    Twin {
        /// Who.
        node: NodeId,
        /// What it has seen.
        seen: Epoch,
    },
    /// It has seen more steps of an earlier start than the next start began with.
    #[error(
        "this master's folder is an old copy: it is behind by {} of its log, which the master had done in its \
         start {seen} when node {node} heard of it. Nothing is deleted. Stop this master and start it with its newest \
         folder; if that is lost, start this one with --restored",
        steps(*lacking)
    )]
    Ahead {
        /// Who.
        node: NodeId,
        /// Of which start.
        seen: Epoch,
        /// Steps of the log: changes, and what the master did by itself.
        lacking: u64,
    },
    /// No master can have started that often.
    #[error(
        "node {node} says that it has worked with start {seen} of the master, and this is start {own}: that cannot be, so its \
         node.json is damaged. Put it back from a copy, or give the node an empty folder"
    )]
    Absurd {
        /// Who.
        node: NodeId,
        /// What it says.
        seen: Epoch,
        /// This master's.
        own: Epoch,
    },
}

fn steps(count: u64) -> String {
    match count {
        1 => "one step".to_owned(),
        _ => words::count(count, "step"),
    }
}

impl Stranger {
    /// Whether the node is at fault, and not this master.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Absurd { .. })
    }
}

/// Whether what a node has seen is part of this history.
///
/// # Errors
/// Why it is not.
pub fn check(node: NodeId, seen: HistoryPoint, known: Known) -> Result<(), Stranger> {
    let epoch = seen.epoch;
    check_not_later(node, epoch, known.epoch)?;
    if epoch < known.restored_at {
        return Ok(());
    }
    if known.start.is_none_or(|start| start.run != seen.run) {
        return Err(Stranger::Twin { node, seen: epoch });
    }
    let lacking = known
        .next_began
        .map_or(0, |began| seen.position.saturating_sub(began));
    if lacking > 0 {
        return Err(Stranger::Ahead {
            node,
            seen: epoch,
            lacking,
        });
    }
    Ok(())
}

/// Whether an epoch that a node knows, and nothing else of it, can be of this history.
///
/// # Errors
/// Why it cannot.
pub fn check_not_later(node: NodeId, seen: Epoch, own: Epoch) -> Result<(), Stranger> {
    if seen.0 > own.0.saturating_add(STARTS_AHEAD_MAX) {
        return Err(Stranger::Absurd { node, seen, own });
    }
    if seen > own {
        return Err(Stranger::Later { node, seen, own });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::id::RunId;
    use uuid::Uuid;

    fn run(number: u128) -> RunId {
        RunId::new(Uuid::from_u128(number))
    }

    /// A master in its fifth start; its fourth made 60 steps, from 40 to 100.
    fn check_seen(epoch: u64, by: u128, position: u64, restored_at: u64) -> Result<(), Stranger> {
        let starts = [(3, 20), (4, 40), (5, 100)];
        let seen = HistoryPoint {
            epoch: Epoch(epoch),
            run: run(by),
            position,
        };
        let start = starts.iter().find(|(number, _)| *number == epoch);
        let next = starts.iter().find(|(number, _)| *number > epoch);
        let known = Known {
            epoch: Epoch(5),
            restored_at: Epoch(restored_at),
            start: start.map(|(number, began)| Start {
                run: run(u128::from(*number)),
                began: *began,
            }),
            next_began: next.map(|(_, began)| *began),
        };
        check(NodeId::new(Uuid::from_u128(9)), seen, known)
    }

    fn is_refused(result: Result<(), Stranger>, part: &str) {
        let sentence = result.unwrap_err().to_string();
        assert!(sentence.contains(part), "{sentence}");
    }

    #[test]
    fn what_this_master_did_is_known() {
        check_seen(5, 5, 1_000, 0).unwrap();
        check_seen(4, 4, 100, 0).unwrap();
        check_seen(4, 4, 50, 0).unwrap();
        check_seen(3, 3, 40, 0).unwrap();
    }

    #[test]
    fn what_another_master_did_is_told_apart() {
        is_refused(check_seen(6, 6, 0, 0), "start 6 of the master");
        is_refused(check_seen(5, 55, 100, 0), "two masters run");
        is_refused(check_seen(4, 44, 50, 0), "two masters run");
        is_refused(check_seen(4, 4, 101, 0), "behind by one step of");
        is_refused(check_seen(3, 3, 90, 0), "behind by 50 steps of");
        is_refused(check_seen(2, 2, 0, 0), "two masters run");
    }

    #[test]
    fn a_restored_start_forgives_what_was_before_it_and_nothing_else() {
        check_seen(4, 44, 999, 5).unwrap();
        check_seen(2, 2, 999, 5).unwrap();
        is_refused(check_seen(5, 55, 100, 5), "two masters run");
        is_refused(check_seen(6, 6, 0, 5), "start 6 of the master");
        check_seen(3, 33, 0, 4).unwrap();
        is_refused(check_seen(4, 4, 101, 4), "behind by one step of");
    }

    #[test]
    fn an_absurd_epoch_is_damage_and_not_a_later_master() {
        let absurd = check_seen(u64::MAX, 5, 0, 5);
        is_refused(absurd, "node.json is damaged");
        assert!(absurd.unwrap_err().is_damage());
    }
}
