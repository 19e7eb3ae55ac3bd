//! What others want to know of all nodes together: pages, sums and lists, each made when it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::id::NodeId;
use proto::master::{ClusterRules, NodeCounts, NodeState, NodeSummary};
use proto::net::Address;
use proto::node::NodeUsage;
use tokio::time::Instant;

use super::room::{SharedDisk, room};
use super::{Member, Membership};
use crate::command::NodeNumber;
use crate::placement::{Candidate, Candidates};
use crate::repair::rebalance::Fill;
use crate::status::NodeDown;

impl Membership {
    /// The nodes that take new chunks.
    pub fn candidates(&self) -> Candidates {
        self.members
            .iter()
            .filter(|(_, member)| member.takes_writes())
            .map(|(number, member)| Candidate {
                node: *number,
                zone: member.zone.clone(),
                free_bytes: member.usage.free_bytes,
            })
            .collect()
    }

    /// Of every node its state, its zone, and the used share of its disk in billionths.
    pub fn conditions(&self) -> BTreeMap<NodeNumber, (NodeState, Arc<str>, u64)> {
        self.members
            .iter()
            .map(|(number, member)| {
                let used = used_billionths(&member.usage);
                (*number, (member.state, member.zone.clone(), used))
            })
            .collect()
    }

    /// What every live node holds, and how big it is.
    pub fn fills(&self) -> Vec<Fill> {
        self.members
            .iter()
            .filter(|(_, member)| member.state == NodeState::Live)
            .map(|(number, member)| Fill {
                node: *number,
                held: held_bytes(&member.usage),
                capacity: member.usage.capacity_bytes,
                writable: member.takes_writes(),
            })
            .collect()
    }

    /// The nodes that are not live, the dead ones first.
    pub fn down(&self, now: Instant) -> Vec<NodeDown> {
        let (live, not_live): (Vec<_>, Vec<_>) =
            self.members.values().partition(|member| member.is_live());
        let taken: BTreeSet<_> = live.iter().map(|member| member.address.as_str()).collect();
        let down = not_live.into_iter().map(|member| NodeDown {
            node: member.id,
            address: member.address.clone(),
            silence: now.saturating_duration_since(member.silent_since),
            is_dead: member.state == NodeState::Dead,
            is_replaced: taken.contains(member.address.as_str()),
        });
        let mut down: Vec<_> = down.collect();
        down.sort_by_key(|node| std::cmp::Reverse((node.is_dead, node.silence)));
        down
    }

    /// Live nodes that take no new chunks although no disk of theirs failed.
    pub fn full(&self) -> Vec<Address> {
        self.live_where(|member| !member.takes_writes() && member.usage.failed_disks == 0)
    }

    /// Live nodes with disks that failed.
    pub fn with_failed_disks(&self) -> Vec<Address> {
        self.live_where(|member| member.usage.failed_disks > 0)
    }

    /// Bytes of the live nodes' disks, and bytes that they can still take.
    pub fn space(&self) -> (u64, u64) {
        let disks = self.disks(Member::is_live);
        disks.fold((0, 0), |sum, (capacity, disk)| {
            (sum.0 + capacity, sum.1 + disk.free)
        })
    }

    /// Bytes of files that still fit with all copies that the nodes which take writes can hold; none if those are fewer than
    /// a write needs.
    pub fn room(&self, rules: &ClusterRules) -> u64 {
        let takes_writes = |member: &Member| member.takes_writes() && !member.refused_writes;
        let disks: Vec<_> = self.disks(takes_writes).map(|(_, disk)| disk).collect();
        let nodes: u64 = disks.iter().map(|disk| disk.nodes).sum();
        if nodes < u64::from(rules.min_write_replicas) {
            return 0;
        }
        room(&disks, nodes.min(u64::from(rules.replication_factor)))
    }

    /// The disks of such nodes, each with its capacity. What nodes of one machine have on one file system is theirs together,
    /// and counts once.
    fn disks(&self, admit: impl Fn(&Member) -> bool) -> impl Iterator<Item = (u64, SharedDisk)> {
        let mut shared = BTreeMap::new();
        let mut own = Vec::new();
        for member in self.members.values().filter(|member| admit(member)) {
            let (capacity, free) = (member.usage.capacity_bytes, member.usage.free_bytes);
            let alone = (capacity, SharedDisk { free, nodes: 1 });
            let Some(file_system) = member.usage.file_system else {
                own.push(alone);
                continue;
            };
            shared
                .entry((member.address.host(), file_system))
                .and_modify(|(most, disk): &mut (u64, SharedDisk)| {
                    *most = capacity.max(*most);
                    disk.free = free.max(disk.free);
                    disk.nodes += 1;
                })
                .or_insert(alone);
        }
        let shared: Vec<_> = shared.into_values().collect();
        shared.into_iter().chain(own)
    }

    fn live_where(&self, admit: impl Fn(&Member) -> bool) -> Vec<Address> {
        self.members
            .values()
            .filter(|member| member.state == NodeState::Live && admit(member))
            .map(|member| member.address.clone())
            .collect()
    }

    /// How many there are in each state.
    pub fn counts(&self) -> NodeCounts {
        let mut counts = NodeCounts::default();
        for member in self.members.values() {
            counts.total += 1;
            match member.state {
                NodeState::Live => counts.live += 1,
                NodeState::Suspect => counts.suspect += 1,
                NodeState::Dead => counts.dead += 1,
            }
            counts.writable += u32::from(member.takes_writes() && !member.refused_writes);
        }
        counts
    }

    /// A page of nodes by id, and whether more follow. How many copies are recorded on each is not known here.
    pub fn page(
        &self,
        after: Option<NodeId>,
        limit: usize,
        now: Instant,
    ) -> (Vec<(NodeNumber, NodeSummary)>, bool) {
        let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut rest = self.numbers.range((start, std::ops::Bound::Unbounded));
        let nodes = rest
            .by_ref()
            .take(limit)
            .map(|(_, number)| (*number, self.members[number].summary(now)))
            .collect();
        (nodes, rest.next().is_some())
    }
}

impl Member {
    fn summary(&self, now: Instant) -> NodeSummary {
        let silence = now.saturating_duration_since(self.silent_since);
        NodeSummary {
            node: self.id,
            address: self.address.clone(),
            zone: self.zone.to_string(),
            state: self.state,
            heartbeat_age_ms: self
                .spoke
                .then(|| u64::try_from(silence.as_millis()).unwrap_or(u64::MAX)),
            chunks: 0,
            usage: self.usage,
        }
    }
}

fn held_bytes(usage: &NodeUsage) -> u64 {
    usage.stored_bytes.saturating_sub(usage.reclaimable_bytes)
}

fn used_billionths(usage: &NodeUsage) -> u64 {
    let capacity = u128::from(usage.capacity_bytes.max(1));
    let used = u128::from(held_bytes(usage)) * 1_000_000_000 / capacity;
    u64::try_from(used).unwrap_or(u64::MAX)
}
