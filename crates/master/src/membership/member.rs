//! One node, and what became of it when it spoke.

use std::cmp::Ordering;
use std::sync::Arc;

use proto::id::{BootId, NodeId};
use proto::master::NodeState;
use proto::net::Address;
use proto::node::NodeUsage;
use tokio::time::Instant;

use super::reliance::Reliance;
use crate::command::NodeNumber;

/// A node that is somewhere else in its life now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub node: NodeNumber,
    /// What it was.
    pub from: NodeState,
    /// What it is.
    pub to: NodeState,
}

/// What a registration or a heartbeat did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Which node it was.
    pub node: NodeNumber,
    /// Whether its state is another now.
    pub change: Option<Change>,
    /// Whether it takes chunks now, and did not before.
    pub has_room_again: bool,
    /// What is new of its disks.
    pub disks: DiskNews,
}

/// How many of a node's disks have failed, or hang, beside what was heard before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskNews {
    /// As many.
    None,
    /// More.
    Lost,
    /// Fewer.
    Back,
    /// As many, but chunks were found to be on such disks since then: one may have been away for a moment.
    PerhapsBack,
}

/// What the master knows of one node.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: NodeId,
    pub(super) address: Address,
    pub(super) zone: Arc<str>,
    pub(super) usage: NodeUsage,
    pub(super) state: NodeState,
    pub(super) session: Option<Session>,
    /// When it last spoke, or when the master began to wait for it.
    pub(super) silent_since: Instant,
    pub(super) spoke: bool,
    /// Whether an upload failed because it took nothing, since it spoke last.
    pub(super) refused_writes: bool,
    /// Whether chunks are recorded as being on disks of it that failed or hang.
    pub(super) has_failing: bool,
    pub(super) reliance: Reliance,
}

/// One start of a node, as far as it registered.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) boot: BootId,
    pub(super) connection: Option<u64>,
    pub(super) sequence: Option<u64>,
}

impl Member {
    pub(super) fn is_connected(&self) -> bool {
        self.state != NodeState::Dead
            && self
                .session
                .as_ref()
                .is_some_and(|session| session.connection.is_some())
    }

    pub(super) fn is_boot(&self, boot: BootId) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.boot == boot)
    }

    pub(super) fn is_live(&self) -> bool {
        self.state == NodeState::Live
    }

    pub(super) fn takes_writes(&self) -> bool {
        self.is_live() && self.usage.writable && self.usage.free_bytes > 0
    }

    pub(super) fn take_connection(&mut self) -> Option<u64> {
        self.session
            .as_mut()
            .and_then(|session| session.connection.take())
    }

    pub(super) fn hear(
        &mut self,
        number: NodeNumber,
        usage: NodeUsage,
        now: Instant,
    ) -> Option<Change> {
        let lost_a_disk = usage.failed_disks > self.usage.failed_disks;
        if lost_a_disk || !self.is_live() {
            self.reliance.doubt(now);
        }
        self.usage = usage;
        self.silent_since = now;
        self.spoke = true;
        self.refused_writes = false;
        self.become_state(number, NodeState::Live)
    }

    /// What became of a node that took writes or not, and had so many failed disks. No heartbeat may have told of a disk that was
    /// away for a moment only, in which its chunks were asked for.
    pub(super) fn heard(
        &mut self,
        node: NodeNumber,
        change: Option<Change>,
        (took_writes, failed_disks): (bool, u32),
    ) -> Heard {
        let disks = match self.usage.failed_disks.cmp(&failed_disks) {
            Ordering::Greater => DiskNews::Lost,
            Ordering::Less => DiskNews::Back,
            Ordering::Equal if self.has_failing => DiskNews::PerhapsBack,
            Ordering::Equal => DiskNews::None,
        };
        if disks != DiskNews::Lost {
            self.has_failing = false;
        }
        Heard {
            node,
            change,
            has_room_again: !took_writes && self.takes_writes(),
            disks,
        }
    }

    pub(super) fn become_state(&mut self, node: NodeNumber, to: NodeState) -> Option<Change> {
        let from = std::mem::replace(&mut self.state, to);
        (from != to).then_some(Change { node, from, to })
    }
}
