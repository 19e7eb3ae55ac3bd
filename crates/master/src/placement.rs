//! Which nodes take a chunk: distinct nodes, in distinct zones while there are enough, the emptier the likelier.
//!
//! A pure function: the candidates, what is taken already and chance come in, numbers of nodes go out. It
//! never asks a clock or a network, and never names a node twice. What it costs does not grow with the number of nodes, as
//! long as most of them are open.

use std::ops::Deref;
use std::sync::Arc;

use rand::{Rng, RngExt};

use crate::command::NodeNumber;

/// Draws that may hit a node which is not open, before the open ones are looked for one by one.
const DRAWS_MAX: usize = 8;

/// A node that takes chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub node: NodeNumber,
    /// Where it stands: a zone fails as a whole. Nodes without one share the zone named `""`.
    pub zone: Arc<str>,
    /// Room, by which it is weighted.
    pub free_bytes: u64,
}

impl Candidate {
    fn weight(&self) -> u64 {
        self.free_bytes.max(1) >> 10 | 1
    }
}

/// All nodes that take chunks, ascending, made ready for many draws.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    rows: Vec<Candidate>,
    /// Of each row, the weight of all up to it.
    weights: Vec<u64>,
    /// Each once.
    zones: Vec<Arc<str>>,
}

impl FromIterator<Candidate> for Candidates {
    fn from_iter<I: IntoIterator<Item = Candidate>>(candidates: I) -> Self {
        let mut rows: Vec<_> = candidates.into_iter().collect();
        rows.sort_by_key(|candidate| candidate.node);
        let weights = rows.iter().scan(0, |sum, candidate| {
            *sum += candidate.weight();
            Some(*sum)
        });
        let weights = weights.collect();
        let mut zones: Vec<_> = rows
            .iter()
            .map(|candidate| candidate.zone.clone())
            .collect();
        zones.sort_unstable();
        zones.dedup();
        Self {
            rows,
            weights,
            zones,
        }
    }
}

impl Deref for Candidates {
    type Target = [Candidate];

    fn deref(&self) -> &[Candidate] {
        &self.rows
    }
}

impl Candidates {
    /// The candidate that is this node.
    pub fn find(&self, node: NodeNumber) -> Option<&Candidate> {
        let place = self.rows.binary_search_by_key(&node, |row| row.node);
        place.ok().map(|place| &self.rows[place])
    }

    /// One that is admitted, each as likely as its weight says.
    fn draw(
        &self,
        admit: impl Fn(&Candidate) -> bool,
        chance: &mut impl Rng,
    ) -> Option<&Candidate> {
        let total = *self.weights.last()?;
        for _ in 0..DRAWS_MAX {
            let point = chance.random_range(0..total);
            let hit = &self.rows[self.weights.partition_point(|sum| *sum <= point)];
            if admit(hit) {
                return Some(hit);
            }
        }
        let open = || self.rows.iter().filter(|candidate| admit(candidate));
        let total: u64 = open().map(Candidate::weight).sum();
        let mut point = (total > 0).then(|| chance.random_range(0..total))?;
        open().find(|candidate| {
            let hit = point < candidate.weight();
            point = point.saturating_sub(candidate.weight());
            hit
        })
    }
}

/// Chooses up to `count` nodes out of `candidates`, none of them in `excluded`, preferably in zones other than
/// `zones_taken` and than each other's. Fewer come if there are no more.
pub fn choose(
    candidates: &Candidates,
    excluded: &[NodeNumber],
    zones_taken: &[Arc<str>],
    count: usize,
    chance: &mut impl Rng,
) -> Vec<NodeNumber> {
    let mut chosen: Vec<&Candidate> = Vec::with_capacity(count);
    while chosen.len() < count {
        let is_open = |candidate: &Candidate| {
            !excluded.contains(&candidate.node)
                && chosen.iter().all(|other| other.node != candidate.node)
        };
        let is_new = |zone: &Arc<str>| {
            !zones_taken.contains(zone) && chosen.iter().all(|other| other.zone != *zone)
        };
        let next = if candidates.zones.iter().any(is_new) {
            candidates.draw(|c| is_open(c) && is_new(&c.zone), chance)
        } else {
            None
        };
        match next.or_else(|| candidates.draw(is_open, chance)) {
            Some(candidate) => chosen.push(candidate),
            None => break,
        }
    }
    chosen.iter().map(|candidate| candidate.node).collect()
}

/// Which of a chunk's holders, each with its zone and the used share of its disk in billionths, to give up first:
/// one whose zone holds another copy, and of those the fullest. Returns `count` of them, at most all but one.
pub fn choose_surplus(holders: &[(NodeNumber, Arc<str>, u64)], count: usize) -> Vec<NodeNumber> {
    let mut left = holders.to_vec();
    let mut surplus = Vec::with_capacity(count);
    while surplus.len() < count && left.len() > 1 {
        let sharing = |zone: &Arc<str>| left.iter().filter(|holder| holder.1 == *zone).count();
        let worst = (0..left.len())
            .max_by_key(|place| {
                let (node, zone, used) = &left[*place];
                (sharing(zone), *used, *node)
            })
            .expect("more than one is left");
        surplus.push(left.swap_remove(worst).0);
    }
    surplus
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    fn candidates(rows: &[(u32, &str, u64)]) -> Candidates {
        rows.iter()
            .map(|(node, zone, free_bytes)| Candidate {
                node: NodeNumber(*node),
                zone: (*zone).into(),
                free_bytes: free_bytes << 30,
            })
            .collect()
    }

    fn check(
        rows: &[(u32, &str, u64)],
        excluded: &[u32],
        zones_taken: &[&str],
        count: usize,
        acceptable: impl Fn(&[u32]) -> bool,
    ) {
        let candidates = candidates(rows);
        let excluded: Vec<_> = excluded.iter().copied().map(NodeNumber).collect();
        let zones_taken: Vec<Arc<str>> = zones_taken.iter().map(|zone| (*zone).into()).collect();
        for seed in 0..200 {
            let mut chance = SmallRng::seed_from_u64(seed);
            let mut chosen: Vec<u32> =
                choose(&candidates, &excluded, &zones_taken, count, &mut chance)
                    .iter()
                    .map(|node| node.0)
                    .collect();
            chosen.sort_unstable();
            assert!(acceptable(&chosen), "seed {seed}: {chosen:?}");
        }
    }

    #[test]
    fn nodes_are_distinct_and_as_many_as_there_are() {
        let three = [(1, "", 5), (2, "", 5), (3, "", 5)];
        check(&three, &[], &[], 3, |chosen| chosen == [1, 2, 3]);
        check(&three, &[2], &[], 3, |chosen| chosen == [1, 3]);
        check(&three, &[1, 2, 3], &[], 1, <[u32]>::is_empty);
        check(&[], &[], &[], 3, <[u32]>::is_empty);
        check(&[(1, "", 0)], &[], &[], 1, |chosen| chosen == [1]);
    }

    /// Where nearly all nodes are closed, no draw hits an open one.
    #[test]
    fn the_last_open_node_among_many_is_found() {
        let rows: Vec<_> = (1..=1000).map(|node| (node, "", 5)).collect();
        let excluded: Vec<_> = (2..=1000).collect();
        check(&rows, &excluded, &[], 2, |chosen| chosen == [1]);
        let mut rows: Vec<_> = (1..=1000).map(|node| (node, "a", 5)).collect();
        rows.push((1001, "b", 1));
        check(&rows, &[], &["a"], 1, |chosen| chosen == [1001]);
        check(&rows, &[1001], &["a"], 1, |chosen| chosen.len() == 1);
    }

    #[test]
    fn zones_are_distinct_while_there_are_enough() {
        let rows = [(1, "a", 9), (2, "a", 9), (3, "b", 1), (4, "c", 1)];
        check(&rows, &[], &[], 3, |chosen| {
            chosen == [1, 3, 4] || chosen == [2, 3, 4]
        });
        check(&rows, &[], &["a", "b"], 1, |chosen| chosen == [4]);
        check(&rows, &[3, 4], &[], 2, |chosen| chosen == [1, 2]);
    }

    #[test]
    fn the_emptier_node_is_chosen_more_often() {
        let rows = candidates(&[(1, "", 1), (2, "", 9)]);
        let mut chance = SmallRng::seed_from_u64(1);
        let emptier = (0..1000)
            .filter(|_| choose(&rows, &[], &[], 1, &mut chance) == [NodeNumber(2)])
            .count();
        assert!((850..950).contains(&emptier), "{emptier} of 1000");
        let many: Vec<_> = (3..=100).map(|node| (node, "", 50)).collect();
        let rows = candidates(&[&[(1, "", 1), (2, "", 9)], &many[..]].concat());
        let others: Vec<_> = (3..=100).map(NodeNumber).collect();
        let emptier = (0..1000)
            .filter(|_| choose(&rows, &others, &[], 1, &mut chance) == [NodeNumber(2)])
            .count();
        assert!(
            (850..950).contains(&emptier),
            "{emptier} of 1000, all others closed"
        );
    }

    #[test]
    fn surplus_leaves_a_shared_zone_first_and_then_the_fullest() {
        let check = |rows: &[(u32, &str, u64)], count, expected: &[u32]| {
            let holders: Vec<_> = rows
                .iter()
                .map(|(node, zone, used)| (NodeNumber(*node), Arc::from(*zone), *used))
                .collect();
            let surplus: Vec<_> = choose_surplus(&holders, count)
                .iter()
                .map(|node| node.0)
                .collect();
            assert_eq!(surplus, expected, "{rows:?}");
        };
        check(&[(1, "a", 10), (2, "a", 20), (3, "b", 900)], 1, &[2]);
        check(&[(1, "", 10), (2, "", 30), (3, "", 20)], 2, &[2, 3]);
        check(&[(1, "", 10)], 1, &[]);
        check(&[(1, "", 10), (2, "", 10)], 5, &[2]);
    }
}
