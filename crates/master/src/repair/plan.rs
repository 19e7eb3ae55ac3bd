//! What a chunk needs, decided from what is recorded of it and from how the nodes are: values in, values out.
//!
//! A copy on a node that is not dead counts, also while the node is suspect: copying begins when it is declared
//! dead. A copy is surplus only when more than enough are on nodes that are *live*.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::master::NodeState;
use rand::Rng;
use tokio::time::Instant;

use super::loads::{Loads, Part};
use crate::command::NodeNumber;
use crate::membership::Membership;
use crate::placement::{self, Candidates};
use crate::state::ChunkRow;

/// Busy nodes that a chunk waits for at once, at most.
const TARGETS_AWAITED: usize = 8;

/// How the nodes are, for as long as one round of decisions takes.
#[derive(Debug, Clone)]
pub struct View {
    /// Copies wanted.
    pub replication_factor: usize,
    /// Nodes that take chunks.
    pub candidates: Candidates,
    /// All known nodes: state, zone and the used share of the disk in billionths.
    pub nodes: BTreeMap<NodeNumber, (NodeState, Arc<str>, u64)>,
}

/// What is to be done about a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// It has the copies that it should have.
    Nothing,
    /// So many copies are missing, and a node could take one.
    Copy(usize),
    /// Copies are missing, and no node could take one.
    Wait,
    /// No copy, be it on a failed disk, is on a node that is not dead.
    Unavailable,
    /// So many copies too many are on live nodes.
    Trim(usize),
}

impl View {
    /// How the nodes are now.
    pub fn new(membership: &Membership, replication_factor: u8) -> Self {
        Self {
            replication_factor: usize::from(replication_factor),
            candidates: membership.candidates(),
            nodes: membership.conditions(),
        }
    }

    /// How a node is.
    pub fn state(&self, node: NodeNumber) -> NodeState {
        self.nodes
            .get(&node)
            .map_or(NodeState::Dead, |(state, ..)| *state)
    }

    /// Those of a chunk's holders that are not dead, the live ones first.
    pub fn present(&self, holders: &[NodeNumber]) -> Vec<NodeNumber> {
        let mut present: Vec<_> = holders
            .iter()
            .copied()
            .filter(|node| self.state(*node) != NodeState::Dead)
            .collect();
        present.sort_by_key(|node| self.state(*node) != NodeState::Live);
        present
    }

    /// What a chunk needs.
    pub fn need(&self, row: &ChunkRow) -> Need {
        let present = self.present(&row.replicas);
        let may_take = |node| !row.replicas.contains(node) && !row.failing.contains(node);
        let live = present
            .iter()
            .filter(|node| self.state(**node) == NodeState::Live)
            .count();
        let wanted = self.replication_factor;
        if present.is_empty() && self.present(&row.failing).is_empty() {
            Need::Unavailable
        } else if live > wanted {
            Need::Trim(live - wanted)
        } else if present.len() >= wanted {
            Need::Nothing
        } else if self.candidates.iter().any(|c| may_take(&c.node)) {
            Need::Copy(wanted - present.len())
        } else {
            Need::Wait
        }
    }

    /// Which live holders to give up, and which then remain.
    pub fn surplus(
        &self,
        holders: &[NodeNumber],
        count: usize,
    ) -> (Vec<NodeNumber>, Vec<NodeNumber>) {
        let live: Vec<_> = holders
            .iter()
            .filter_map(|node| match self.nodes.get(node) {
                Some((NodeState::Live, zone, used)) => Some((*node, zone.clone(), *used)),
                _ => None,
            })
            .collect();
        let given_up = placement::choose_surplus(&live, count);
        let kept = live
            .iter()
            .map(|holder| holder.0)
            .filter(|node| !given_up.contains(node))
            .collect();
        (given_up, kept)
    }

    /// Whom to ask for a chunk, the least busy first: of those that are live if any is, and of those with a failed disk
    /// only if there is no other. Nodes that rest after a failure are left out.
    ///
    /// # Errors
    /// Whose time to wait for: all are busy, or rest.
    pub fn sources(
        &self,
        row: &ChunkRow,
        loads: &Loads,
        now: Instant,
    ) -> Result<Vec<NodeNumber>, Vec<Part>> {
        let by_state = |holders: &[NodeNumber]| -> [Vec<NodeNumber>; 2] {
            let is_live = |node: &NodeNumber| self.state(*node) == NodeState::Live;
            let mut awake = self.present(holders);
            awake.retain(|node| !loads.rests(*node, now));
            let (live, late) = awake.into_iter().partition(is_live);
            [live, late]
        };
        let groups = [by_state(&row.replicas), by_state(&row.failing)].concat();
        let mut groups = groups.into_iter().filter(|group| !group.is_empty());
        let first = groups.next().unwrap_or_default();
        if let Some(mut sources) = loads.sources(&first, now) {
            sources.extend(groups.flatten());
            return Ok(sources);
        }
        let mut awaited = self.present(&[&row.replicas[..], &row.failing].concat());
        awaited.retain(|node| first.contains(node) || loads.rests(*node, now));
        Err(awaited.into_iter().map(Part::Source).collect())
    }

    /// Whose time a chunk waits for that no node can take now: some of those that may.
    pub fn busy_targets(&self, row: &ChunkRow, loads: &Loads, now: Instant) -> Vec<Part> {
        self.candidates
            .iter()
            .map(|candidate| candidate.node)
            .filter(|node| !row.replicas.contains(node) && !row.failing.contains(node))
            .filter(|node| !loads.can_take(*node, now))
            .take(TARGETS_AWAITED)
            .map(Part::Target)
            .collect()
    }

    /// Whether a node may give a copy and another one take it for neither of whom a chunk waits.
    pub fn has_idle_pair(
        &self,
        loads: &Loads,
        waits_for: impl Fn(Part) -> bool,
        now: Instant,
    ) -> bool {
        let is_idle = |part| loads.room(part, now) > 0 && !waits_for(part);
        let takers = self.candidates.iter().map(|candidate| candidate.node);
        let takers: Vec<_> = takers.filter(|node| is_idle(Part::Target(*node))).collect();
        let givers = self
            .nodes
            .keys()
            .filter(|node| self.state(**node) != NodeState::Dead);
        let mut givers = givers.filter(|node| is_idle(Part::Source(**node)));
        givers.any(|giver| takers.iter().any(|taker| taker != giver))
    }

    /// Whether a chunk may get one more copy here, to lose another one then: only one that has all its copies.
    pub fn may_move_to(&self, row: &ChunkRow, to: NodeNumber) -> bool {
        self.need(row) == Need::Nothing
            && !row.replicas.contains(&to)
            && !row.failing.contains(&to)
            && self.candidates.find(to).is_some()
    }

    /// A node for one more copy: not a holder, not in `excluded`, with a free slot, in a new zone if there is one.
    pub fn target(
        &self,
        holders: &[NodeNumber],
        excluded: &[NodeNumber],
        loads: &Loads,
        now: Instant,
        chance: &mut impl Rng,
    ) -> Option<NodeNumber> {
        let mut closed = [holders, excluded].concat();
        closed.extend(
            self.candidates
                .iter()
                .map(|candidate| candidate.node)
                .filter(|node| !loads.can_take(*node, now)),
        );
        let zones: Vec<_> = self
            .present(holders)
            .iter()
            .filter_map(|node| self.nodes.get(node))
            .map(|(_, zone, _)| zone.clone())
            .collect();
        placement::choose(&self.candidates, &closed, &zones, 1, chance).pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    /// Nodes 1 and 2 are live with room, 3 is live and full, 4 is suspect, 5 is dead, 6 is live with room.
    fn view() -> View {
        let states = [
            (1, NodeState::Live, "a"),
            (2, NodeState::Live, "b"),
            (3, NodeState::Live, "c"),
            (4, NodeState::Suspect, "d"),
            (5, NodeState::Dead, "e"),
            (6, NodeState::Live, "a"),
        ];
        let candidates = states
            .iter()
            .filter(|(node, ..)| [1, 2, 6].contains(node))
            .map(|(node, _, zone)| placement::Candidate {
                node: NodeNumber(*node),
                zone: (*zone).into(),
                free_bytes: 1 << 30,
            })
            .collect();
        View {
            replication_factor: 3,
            candidates,
            nodes: states
                .iter()
                .map(|(node, state, zone)| {
                    (
                        NodeNumber(*node),
                        (*state, Arc::from(*zone), u64::from(*node)),
                    )
                })
                .collect(),
        }
    }

    fn nodes(numbers: &[u32]) -> Vec<NodeNumber> {
        numbers.iter().copied().map(NodeNumber).collect()
    }

    fn row(replicas: &[u32], failing: &[u32]) -> ChunkRow {
        ChunkRow {
            replicas: nodes(replicas),
            failing: nodes(failing),
            ..ChunkRow::default()
        }
    }

    #[test]
    fn a_need_follows_from_the_holders_that_are_here() {
        let check = |holders: &[u32], expected| {
            assert_eq!(view().need(&row(holders, &[])), expected, "{holders:?}");
        };
        check(&[], Need::Unavailable);
        check(&[5], Need::Unavailable);
        check(&[4], Need::Copy(2));
        check(&[1, 3, 4], Need::Nothing);
        check(&[1, 3, 5], Need::Copy(1));
        check(&[1, 5, 9], Need::Copy(2));
        check(&[1, 2, 3, 4], Need::Nothing);
        check(&[1, 2, 3, 6], Need::Trim(1));
        check(&[1, 2, 3, 4, 5, 6], Need::Trim(1));
        let mut few = view();
        few.candidates = few.candidates.first().cloned().into_iter().collect();
        assert_eq!(few.candidates[0].node, NodeNumber(1));
        assert_eq!(few.need(&row(&[1, 3], &[])), Need::Wait);
    }

    #[test]
    fn a_copy_on_a_failed_disk_does_not_count_and_can_be_read() {
        let check = |holders: &[u32], failing: &[u32], expected| {
            let need = view().need(&row(holders, failing));
            assert_eq!(need, expected, "{holders:?} {failing:?}");
        };
        check(&[], &[1], Need::Copy(3));
        check(&[], &[5], Need::Unavailable);
        check(&[1, 3], &[2], Need::Copy(1));
        check(&[1, 3], &[2, 6], Need::Wait);
        check(&[1, 2, 3], &[6], Need::Nothing);
        let sources = |holders: &[u32], failing: &[u32]| {
            view().sources(&row(holders, failing), &Loads::new(1), Instant::now())
        };
        assert_eq!(sources(&[4, 1], &[2]), Ok(nodes(&[1, 4, 2])));
        assert_eq!(sources(&[5], &[4, 2]), Ok(nodes(&[2, 4])));
        assert_eq!(sources(&[5], &[]), Err(Vec::new()));
    }

    #[test]
    fn surplus_is_taken_from_live_nodes_only_and_leaves_zones_distinct() {
        let (given_up, kept) = view().surplus(&nodes(&[1, 2, 3, 4, 6]), 1);
        assert_eq!(given_up, nodes(&[6]));
        assert_eq!(kept, nodes(&[1, 2, 3]));
    }

    #[test]
    fn a_target_is_no_holder_has_a_slot_and_adds_a_zone() {
        let now = Instant::now();
        let mut chance = SmallRng::seed_from_u64(1);
        let mut loads = Loads::new(1);
        let mut target = |loads: &Loads, holders: &[u32], excluded: &[u32]| {
            view()
                .target(&nodes(holders), &nodes(excluded), loads, now, &mut chance)
                .map(|node| node.0)
        };
        for _ in 0..50 {
            assert_eq!(target(&loads, &[1, 3], &[]), Some(2), "6 shares a zone");
        }
        assert_eq!(target(&loads, &[1, 3], &[2]), Some(6));
        loads.begin(NodeNumber(1), NodeNumber(2));
        assert_eq!(target(&loads, &[1, 3], &[]), Some(6));
        loads.begin(NodeNumber(1), NodeNumber(6));
        assert_eq!(target(&loads, &[1, 3], &[]), None);
        loads.end(NodeNumber(1), NodeNumber(6));
        assert_eq!(target(&loads, &[1, 3], &[]), Some(6));
    }

    #[test]
    fn sources_are_live_and_awake_if_any_is() {
        let now = Instant::now();
        let mut loads = Loads::new(1);
        let sources = |loads: &Loads| view().sources(&row(&[2, 4], &[6]), loads, now);
        let awaited = |nodes: &[u32]| {
            let parts = nodes.iter().copied().map(NodeNumber).map(Part::Source);
            Err(parts.collect::<Vec<_>>())
        };
        assert_eq!(sources(&loads), Ok(nodes(&[2, 4, 6])));
        loads.begin(NodeNumber(2), NodeNumber(9));
        assert_eq!(sources(&loads), awaited(&[2]));
        loads.end(NodeNumber(2), NodeNumber(9));
        loads.failed(NodeNumber(2), now);
        assert_eq!(sources(&loads), Ok(nodes(&[4, 6])));
        loads.failed(NodeNumber(4), now);
        assert_eq!(sources(&loads), Ok(nodes(&[6])));
        loads.failed(NodeNumber(6), now);
        assert_eq!(sources(&loads), awaited(&[2, 6, 4]));
    }

    #[test]
    fn a_chunk_waits_for_busy_nodes_that_may_take_it() {
        let now = Instant::now();
        let mut loads = Loads::new(1);
        let awaited = |loads: &Loads| view().busy_targets(&row(&[1], &[]), loads, now);
        assert_eq!(awaited(&loads), []);
        loads.begin(NodeNumber(1), NodeNumber(2));
        loads.failed(NodeNumber(6), now);
        let (two, six) = (NodeNumber(2), NodeNumber(6));
        assert_eq!(awaited(&loads), [Part::Target(two), Part::Target(six)]);
    }

    /// The last nodes with time were often one and the same, for a copy from it and for one to it: then all chunks were looked at,
    /// in vain.
    #[test]
    fn a_pair_is_idle_only_if_it_is_two_nodes_without_work() {
        let now = Instant::now();
        let mut loads = Loads::new(1);
        let has_pair = |loads: &Loads, awaited: &[Part]| {
            view().has_idle_pair(loads, |part| awaited.contains(&part), now)
        };
        let (source, target) = (
            |node| Part::Source(NodeNumber(node)),
            |node| Part::Target(NodeNumber(node)),
        );
        assert!(has_pair(&loads, &[]));
        // As sources 1 and 6 are left, as a target 6.
        for (giver, taker) in [(2, 1), (3, 2), (4, 9)] {
            loads.begin(NodeNumber(giver), NodeNumber(taker));
        }
        assert!(has_pair(&loads, &[]));
        assert!(!has_pair(&loads, &[target(6)]));
        assert!(!has_pair(&loads, &[source(1)]), "6 is both");
        loads.end(NodeNumber(2), NodeNumber(1));
        assert!(has_pair(&loads, &[source(1)]), "from 2 to 1, and from 6");
        loads.begin(NodeNumber(6), NodeNumber(1));
        assert!(!has_pair(&loads, &[source(1), target(6)]));
    }
}
