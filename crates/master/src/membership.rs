//! Who is here: which nodes are live, suspect or dead, and which start of each node speaks for it.
//!
//! A plain value: time comes in as an argument, nothing is sent or awaited. A node is *live* while its heartbeats
//! come on the connection that registered it, *suspect* as soon as that connection breaks or a heartbeat is late,
//! and *dead* once it was silent for the failure timeout. Nodes that the store knows and that have not spoken since
//! the master's start begin as suspect.
//!
//! **Invariant:** at most one start (`BootId`) on one connection speaks for a node. A second process with the same
//! id is refused while the first is connected, so that two copies of a disk never count as two replicas; whatever
//! an earlier start or connection still sends is ignored.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use proto::id::{BootId, NodeId};
use proto::master::{
    NodeCounts, NodeLocation, NodeState, NodeSummary, RegisterNode, ReportHeartbeat,
};
use proto::net::Address;
use proto::node::NodeUsage;
use proto::{ErrorCode, WireError};
use tokio::time::Instant;

use crate::command::NodeNumber;
use crate::placement::Candidate;
use crate::repair::rebalance::Fill;

/// All nodes that the cluster knows, as they are now.
#[derive(Debug)]
pub struct Membership {
    heartbeat_interval: Duration,
    failure_timeout: Duration,
    members: BTreeMap<NodeNumber, Member>,
    numbers: BTreeMap<NodeId, NodeNumber>,
    connections: HashMap<u64, NodeNumber>,
}

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
}

#[derive(Debug)]
struct Member {
    id: NodeId,
    address: Address,
    zone: Arc<str>,
    usage: NodeUsage,
    state: NodeState,
    session: Option<Session>,
    /// When it last spoke, or when the master began to wait for it.
    silent_since: Instant,
    spoke: bool,
}

#[derive(Debug)]
struct Session {
    boot: BootId,
    connection: Option<u64>,
    sequence: Option<u64>,
}

impl Membership {
    /// Nobody yet.
    pub fn new(heartbeat_interval: Duration, failure_timeout: Duration) -> Self {
        Self {
            heartbeat_interval,
            failure_timeout,
            members: BTreeMap::new(),
            numbers: BTreeMap::new(),
            connections: HashMap::new(),
        }
    }

    /// A node that the store knows: suspect until it registers, dead if it does not within the failure timeout.
    pub fn know(
        &mut self,
        number: NodeNumber,
        id: NodeId,
        address: Address,
        zone: &str,
        now: Instant,
    ) {
        self.numbers.insert(id, number);
        self.members.entry(number).or_insert_with(|| Member {
            id,
            address,
            zone: zone.into(),
            usage: NodeUsage::default(),
            state: NodeState::Suspect,
            session: None,
            silent_since: now,
            spoke: false,
        });
    }

    /// Whether this registration may be taken. Checked before the store is changed, and again by
    /// [`register`](Self::register).
    ///
    /// # Errors
    /// `duplicate_node`, if another start of the node is connected; `invalid_argument`, if another node is
    /// connected from the same address.
    pub fn check(&self, request: &RegisterNode) -> Result<(), WireError> {
        let other_boot = self
            .numbers
            .get(&request.node)
            .and_then(|number| self.members.get(number))
            .filter(|member| member.is_connected() && !member.is_boot(request.boot));
        if let Some(member) = other_boot {
            return Err(WireError::new(
                ErrorCode::DuplicateNode,
                format!(
                    "node {} is already here, at {}: two processes have the same node.json. If its folder was \
                     copied, start the second one with an empty folder instead",
                    request.node, member.address
                ),
            ));
        }
        let same_address = self.members.values().find(|member| {
            member.id != request.node && member.address == request.address && member.is_connected()
        });
        match same_address {
            Some(member) => Err(WireError::new(
                ErrorCode::InvalidArgument,
                format!(
                    "node {} already serves at {}: give node {} an address of its own with --advertise",
                    member.id, member.address, request.node
                ),
            )),
            None => Ok(()),
        }
    }

    /// Takes a node in that the store knows under this number: it is live from now on.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn register(
        &mut self,
        number: NodeNumber,
        request: &RegisterNode,
        connection: u64,
        now: Instant,
    ) -> Result<Heard, WireError> {
        self.check(request)?;
        let address = request.address.clone();
        self.know(number, request.node, address.clone(), &request.zone, now);
        let member = self.members.get_mut(&number).expect("known just now");
        if let Some(old) = member.take_connection() {
            self.connections.remove(&old);
        }
        member.address = address;
        member.zone = request.zone.as_str().into();
        member.session = Some(Session {
            boot: request.boot,
            connection: Some(connection),
            sequence: None,
        });
        let change = member.hear(number, request.usage, now);
        self.connections.insert(connection, number);
        Ok(Heard {
            node: number,
            change,
        })
    }

    /// Nodes that are not connected although their address is now another's: they can come back only with a new one.
    pub fn displaced_by(&mut self, number: NodeNumber) -> Vec<Change> {
        let Some(address) = self.address(number) else {
            return Vec::new();
        };
        self.members
            .iter_mut()
            .filter(|(other, member)| **other != number && member.address == address)
            .filter_map(|(other, member)| member.become_state(*other, NodeState::Dead))
            .collect()
    }

    /// Notes a heartbeat. One that is older than the last is answered, and ignored.
    ///
    /// # Errors
    /// `not_found`, if this start of the node has not registered on this connection.
    pub fn heartbeat(
        &mut self,
        request: &ReportHeartbeat,
        connection: u64,
        now: Instant,
    ) -> Result<Heard, WireError> {
        let number = self.speaker(request.node, request.boot, connection)?;
        let member = self.members.get_mut(&number).expect("it just spoke");
        let session = member.session.as_mut().expect("it just spoke");
        let is_older = session
            .sequence
            .is_some_and(|last| request.sequence <= last);
        let change = if is_older {
            None
        } else {
            session.sequence = Some(request.sequence);
            member.hear(number, request.usage, now)
        };
        Ok(Heard {
            node: number,
            change,
        })
    }

    /// The node for which this start on this connection speaks.
    ///
    /// # Errors
    /// `not_found`: it has to register first.
    pub fn speaker(
        &self,
        node: NodeId,
        boot: BootId,
        connection: u64,
    ) -> Result<NodeNumber, WireError> {
        self.numbers
            .get(&node)
            .copied()
            .filter(|number| {
                let session = self.members[number].session.as_ref();
                session.is_some_and(|session| {
                    session.boot == boot && session.connection == Some(connection)
                })
            })
            .ok_or_else(|| {
                WireError::new(
                    ErrorCode::NotFound,
                    format!("node {node} has not registered on this connection: register it first"),
                )
            })
    }

    /// A connection is gone: the node that spoke on it, if one did, is suspect at once.
    pub fn disconnected(&mut self, connection: u64) -> Option<Change> {
        let number = self.connections.remove(&connection)?;
        let member = self.members.get_mut(&number)?;
        member.take_connection();
        match member.state {
            NodeState::Live => member.become_state(number, NodeState::Suspect),
            NodeState::Suspect | NodeState::Dead => None,
        }
    }

    /// Finds those whose silence has become too long.
    pub fn tick(&mut self, now: Instant) -> Vec<Change> {
        let late = self.heartbeat_interval * 3 / 2;
        let failure_timeout = self.failure_timeout;
        self.members
            .iter_mut()
            .filter_map(|(number, member)| {
                let silence = now.saturating_duration_since(member.silent_since);
                match member.state {
                    NodeState::Live | NodeState::Suspect if silence >= failure_timeout => {
                        member.become_state(*number, NodeState::Dead)
                    }
                    NodeState::Live if silence >= late => {
                        member.become_state(*number, NodeState::Suspect)
                    }
                    _ => None,
                }
            })
            .collect()
    }

    /// A node that the cluster does not know any more.
    pub fn forget(&mut self, number: NodeNumber) {
        if let Some(mut member) = self.members.remove(&number) {
            self.numbers.remove(&member.id);
            if let Some(connection) = member.take_connection() {
                self.connections.remove(&connection);
            }
        }
    }

    /// The nodes that take new chunks.
    pub fn candidates(&self) -> Vec<Candidate> {
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

    /// How a node is; one that is not known is as good as dead.
    pub fn state(&self, number: NodeNumber) -> NodeState {
        self.members
            .get(&number)
            .map_or(NodeState::Dead, |member| member.state)
    }

    /// Whether a node's heartbeats come.
    pub fn is_live(&self, number: NodeNumber) -> bool {
        self.state(number) == NodeState::Live
    }

    /// All live nodes.
    pub fn live(&self) -> Vec<NodeNumber> {
        self.in_state(NodeState::Live)
    }

    /// All nodes in a state.
    pub fn in_state(&self, state: NodeState) -> Vec<NodeNumber> {
        self.members
            .iter()
            .filter(|(_, member)| member.state == state)
            .map(|(number, _)| *number)
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

    /// Where a node is reached, and whether it answers.
    pub fn location(&self, number: NodeNumber) -> Option<NodeLocation> {
        self.members.get(&number).map(|member| NodeLocation {
            node: member.id,
            address: member.address.clone(),
            live: member.state == NodeState::Live,
        })
    }

    /// Where a node listens, or did.
    pub fn address(&self, number: NodeNumber) -> Option<Address> {
        self.members
            .get(&number)
            .map(|member| member.address.clone())
    }

    /// A node's zone.
    pub fn zone(&self, number: NodeNumber) -> Option<Arc<str>> {
        self.members.get(&number).map(|member| member.zone.clone())
    }

    /// What a node said of itself last.
    pub fn usage(&self, number: NodeNumber) -> NodeUsage {
        self.members
            .get(&number)
            .map_or_else(NodeUsage::default, |member| member.usage)
    }

    /// The number of a node.
    pub fn number(&self, id: NodeId) -> Option<NodeNumber> {
        self.numbers.get(&id).copied()
    }

    /// The nodes that are not live: where, how long they are silent, and whether they are dead; the dead ones first.
    pub fn down(&self, now: Instant) -> Vec<(Address, Duration, bool)> {
        let mut down: Vec<_> = self
            .members
            .values()
            .filter(|member| member.state != NodeState::Live)
            .map(|member| {
                let silence = now.saturating_duration_since(member.silent_since);
                let is_dead = member.state == NodeState::Dead;
                (member.address.clone(), silence, is_dead)
            })
            .collect();
        down.sort_by_key(|(_, silence, is_dead)| std::cmp::Reverse((*is_dead, *silence)));
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
        let live = self.members.values();
        live.filter(|member| member.state == NodeState::Live)
            .map(|member| (member.usage.capacity_bytes, member.usage.free_bytes))
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
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
            counts.writable += u32::from(member.takes_writes());
        }
        counts
    }

    /// A page of nodes by id, and whether more follow. `chunks` tells the copies recorded on one.
    pub fn page(
        &self,
        after: Option<NodeId>,
        limit: usize,
        now: Instant,
        chunks: impl Fn(NodeNumber) -> u64,
    ) -> (Vec<NodeSummary>, bool) {
        let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut rest = self.numbers.range((start, std::ops::Bound::Unbounded));
        let nodes = rest
            .by_ref()
            .take(limit)
            .map(|(_, number)| self.members[number].summary(now, chunks(*number)))
            .collect();
        (nodes, rest.next().is_some())
    }
}

impl Member {
    fn is_connected(&self) -> bool {
        self.state != NodeState::Dead
            && self
                .session
                .as_ref()
                .is_some_and(|session| session.connection.is_some())
    }

    fn is_boot(&self, boot: BootId) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.boot == boot)
    }

    fn takes_writes(&self) -> bool {
        self.state == NodeState::Live && self.usage.writable && self.usage.free_bytes > 0
    }

    fn take_connection(&mut self) -> Option<u64> {
        self.session
            .as_mut()
            .and_then(|session| session.connection.take())
    }

    fn hear(&mut self, number: NodeNumber, usage: NodeUsage, now: Instant) -> Option<Change> {
        self.usage = usage;
        self.silent_since = now;
        self.spoke = true;
        self.become_state(number, NodeState::Live)
    }

    fn become_state(&mut self, node: NodeNumber, to: NodeState) -> Option<Change> {
        let from = std::mem::replace(&mut self.state, to);
        (from != to).then_some(Change { node, from, to })
    }

    fn summary(&self, now: Instant, chunks: u64) -> NodeSummary {
        let silence = now.saturating_duration_since(self.silent_since);
        NodeSummary {
            node: self.id,
            address: self.address.clone(),
            zone: self.zone.to_string(),
            state: self.state,
            heartbeat_age_ms: self
                .spoke
                .then(|| u64::try_from(silence.as_millis()).unwrap_or(u64::MAX)),
            chunks,
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

#[cfg(test)]
mod tests {
    use super::*;
    use proto::hello::ReceiptKey;
    use proto::id::Epoch;
    use uuid::Uuid;

    const HEARTBEAT: Duration = Duration::from_secs(5);
    const FAILURE: Duration = Duration::from_secs(15);
    const ONE: NodeNumber = NodeNumber(1);

    fn registration(node: u128, boot: u128, port: u16) -> RegisterNode {
        RegisterNode {
            node: NodeId::new(Uuid::from_u128(node)),
            boot: BootId::new(Uuid::from_u128(boot)),
            address: format!("127.0.0.1:{port}").parse().unwrap(),
            zone: "hall".to_owned(),
            cluster: None,
            epoch: Epoch(0),
            receipt_key: ReceiptKey::from_bytes([1; 32]),
            usage: usage(100),
        }
    }

    fn heartbeat(node: u128, boot: u128, sequence: u64) -> ReportHeartbeat {
        ReportHeartbeat {
            node: NodeId::new(Uuid::from_u128(node)),
            boot: BootId::new(Uuid::from_u128(boot)),
            sequence,
            usage: usage(sequence),
        }
    }

    fn usage(free_bytes: u64) -> NodeUsage {
        NodeUsage {
            free_bytes,
            writable: true,
            ..NodeUsage::default()
        }
    }

    fn with_one_node(now: Instant) -> Membership {
        let mut membership = Membership::new(HEARTBEAT, FAILURE);
        membership
            .register(ONE, &registration(1, 1, 9001), 7, now)
            .unwrap();
        membership
    }

    #[test]
    fn silence_makes_a_node_suspect_and_then_dead() {
        let now = Instant::now();
        let mut membership = with_one_node(now);
        assert!(membership.tick(now + Duration::from_secs(7)).is_empty());
        let late = membership.tick(now + Duration::from_secs(8));
        assert_eq!(late[0].to, NodeState::Suspect);
        assert!(membership.tick(now + Duration::from_secs(14)).is_empty());
        let dead = membership.tick(now + FAILURE);
        assert_eq!(
            (dead[0].node, dead[0].from, dead[0].to),
            (ONE, NodeState::Suspect, NodeState::Dead)
        );
        assert!(membership.tick(now + FAILURE).is_empty(), "said once");

        let back = membership
            .heartbeat(&heartbeat(1, 1, 4), 7, now + FAILURE * 2)
            .unwrap();
        assert_eq!(back.change.unwrap().from, NodeState::Dead);
        assert!(membership.is_live(ONE));
    }

    #[test]
    fn a_broken_connection_makes_a_node_suspect_at_once() {
        let now = Instant::now();
        let mut membership = with_one_node(now);
        assert_eq!(membership.disconnected(8), None);
        assert_eq!(
            membership.disconnected(7).unwrap().to,
            NodeState::Suspect,
            "the connection that registered"
        );
        assert!(membership.candidates().is_empty());
        let again = membership
            .register(ONE, &registration(1, 2, 9001), 9, now)
            .unwrap();
        assert_eq!(again.change.unwrap().to, NodeState::Live);
    }

    #[test]
    fn a_second_process_with_the_same_id_is_refused_while_the_first_is_connected() {
        let now = Instant::now();
        let mut membership = with_one_node(now);
        let refused = membership
            .register(ONE, &registration(1, 2, 9009), 8, now)
            .unwrap_err();
        assert_eq!(refused.code, ErrorCode::DuplicateNode);
        assert_eq!(membership.address(ONE).unwrap().port(), 9001);

        let same_boot = membership.register(ONE, &registration(1, 1, 9001), 8, now);
        assert!(same_boot.is_ok(), "it came back on another connection");
        assert_eq!(membership.disconnected(7), None, "the old one is not its");
        assert!(membership.is_live(ONE));

        membership.tick(now + FAILURE);
        let after_death = membership.register(ONE, &registration(1, 2, 9009), 9, now + FAILURE);
        assert!(after_death.is_ok());
        let late = membership.heartbeat(&heartbeat(1, 1, 50), 8, now + FAILURE);
        assert_eq!(late.unwrap_err().code, ErrorCode::NotFound);
    }

    #[test]
    fn an_older_heartbeat_is_ignored() {
        let now = Instant::now();
        let mut membership = with_one_node(now);
        let later = now + Duration::from_secs(1);
        membership.heartbeat(&heartbeat(1, 1, 5), 7, later).unwrap();
        for sequence in [5, 3] {
            let heard = membership.heartbeat(&heartbeat(1, 1, sequence), 7, now + FAILURE);
            assert_eq!(heard.unwrap().change, None);
        }
        assert_eq!(membership.usage(ONE).free_bytes, 5);
        assert_eq!(membership.tick(later + FAILURE)[0].to, NodeState::Dead);
        for (boot, connection) in [(2, 7), (1, 8)] {
            let refused = membership.heartbeat(&heartbeat(1, boot, 9), connection, later);
            assert_eq!(refused.unwrap_err().code, ErrorCode::NotFound);
        }
    }

    #[test]
    fn a_known_node_that_does_not_register_dies_after_the_failure_timeout() {
        let now = Instant::now();
        let mut membership = Membership::new(HEARTBEAT, FAILURE);
        let RegisterNode { node, address, .. } = registration(1, 1, 9001);
        membership.know(ONE, node, address, "", now);
        assert_eq!(membership.state(ONE), NodeState::Suspect);
        assert_eq!(membership.page(None, 9, now, |_| 3).0[0].chunks, 3);
        assert_eq!(
            membership.page(None, 9, now, |_| 3).0[0].heartbeat_age_ms,
            None
        );
        assert_eq!(membership.tick(now + FAILURE)[0].to, NodeState::Dead);
    }

    #[test]
    fn an_address_belongs_to_the_node_that_serves_there() {
        let now = Instant::now();
        let mut membership = with_one_node(now);
        let two = NodeNumber(2);
        let refused = membership.register(two, &registration(2, 2, 9001), 8, now);
        assert_eq!(refused.unwrap_err().code, ErrorCode::InvalidArgument);

        membership.disconnected(7);
        membership
            .register(two, &registration(2, 2, 9001), 8, now)
            .unwrap();
        let displaced = membership.displaced_by(two);
        assert_eq!((displaced[0].node, displaced[0].to), (ONE, NodeState::Dead));
        assert_eq!(membership.displaced_by(two), []);
    }

    #[test]
    fn only_live_nodes_with_room_are_candidates() {
        let now = Instant::now();
        let mut membership = with_one_node(now);
        for (number, full) in [
            (2, usage(0)),
            (
                3,
                NodeUsage {
                    writable: false,
                    ..usage(9)
                },
            ),
        ] {
            let mut request = registration(number, 1, u16::try_from(9000 + number).unwrap());
            request.usage = full;
            let number = NodeNumber(u32::try_from(number).unwrap());
            membership
                .register(number, &request, u64::from(number.0) + 100, now)
                .unwrap();
        }
        let candidates = membership.candidates();
        assert_eq!(candidates.len(), 1);
        assert_eq!(candidates[0].node, ONE);
        let counts = membership.counts();
        assert_eq!((counts.total, counts.live, counts.writable), (3, 3, 1));
        let (first, more) = membership.page(None, 2, now, |_| 0);
        assert!(more);
        let (rest, more) = membership.page(Some(first[1].node), 2, now, |_| 0);
        assert_eq!((rest.len(), more), (1, false));
        membership.forget(ONE);
        assert!(membership.candidates().is_empty());
    }
}
