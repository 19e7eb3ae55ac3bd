//! Whether what is recorded of a node can be relied on: not from the moment in which it comes, comes back or loses a disk
//! until its inventory was compared with the record.
//!
//! It is part of the node's membership, so that it changes in the same step in which a node becomes live.
//! **Invariant:** a comparison settles no doubt that arose after it began.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::{Member, Membership};
use crate::command::NodeNumber;

/// How far the record of one node's copies holds.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Reliance {
    /// How often it came into doubt.
    doubts: u64,
    doubted_at: Option<Instant>,
    /// The doubts that were there when a comparison began that has come to its end.
    settled: Option<u64>,
    /// Whether nobody has taken notice of the last doubt yet.
    is_due: bool,
}

/// A comparison under way: it can settle the doubts that were there when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    node: NodeNumber,
    doubts: u64,
}

impl Reliance {
    pub(super) fn doubt(&mut self, now: Instant) {
        self.doubts += 1;
        self.doubted_at = Some(now);
        self.is_due = true;
    }

    fn is_settled(&self) -> bool {
        self.settled == Some(self.doubts)
    }
}

impl Membership {
    /// What is recorded of a node is in doubt until its inventory was compared.
    pub fn doubt(&mut self, node: NodeNumber, now: Instant) {
        if let Some(member) = self.members.get_mut(&node) {
            member.reliance.doubt(now);
            self.placeable.forget();
        }
    }

    /// When what is recorded of a node came into doubt, the last time.
    pub fn doubted_at(&self, node: NodeNumber) -> Option<Instant> {
        let member = self.members.get(&node)?;
        member.reliance.doubted_at
    }

    /// The nodes that came into doubt since this was asked last.
    pub fn take_doubted(&mut self) -> Vec<NodeNumber> {
        let members = self.members.iter_mut();
        let doubted = members.filter_map(|(number, member)| {
            std::mem::take(&mut member.reliance.is_due).then_some(*number)
        });
        doubted.collect()
    }

    /// A comparison of a node's inventory begins; nothing if the node is not live.
    pub fn begin_comparison(&self, node: NodeNumber) -> Option<Comparison> {
        let member = self.members.get(&node).filter(|member| member.is_live())?;
        let doubts = member.reliance.doubts;
        Some(Comparison { node, doubts })
    }

    /// A comparison has come to its end: the record is as the node's inventory was.
    pub fn end_comparison(&mut self, comparison: Comparison) {
        if let Some(member) = self.members.get_mut(&comparison.node) {
            member.reliance.settled = Some(comparison.doubts);
            self.placeable.forget();
        }
    }

    /// The nodes that hold what is recorded of them, as far as can be known: live, and compared since they came.
    pub fn relied_on(&self) -> BTreeSet<NodeNumber> {
        self.where_relied_on(true).collect()
    }

    /// All others, ascending.
    pub fn doubtful(&self) -> Vec<NodeNumber> {
        self.where_relied_on(false).collect()
    }

    fn where_relied_on(&self, relied_on: bool) -> impl Iterator<Item = NodeNumber> {
        let members = self.members.iter();
        let chosen = members.filter(move |(_, member)| member.is_relied_on() == relied_on);
        chosen.map(|(number, _)| *number)
    }
}

impl Member {
    fn is_relied_on(&self) -> bool {
        self.is_live() && self.reliance.is_settled()
    }
}
