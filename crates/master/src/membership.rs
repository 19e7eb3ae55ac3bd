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
use proto::master::{NodeLocation, NodeState, RegisterNode, ReportHeartbeat};
use proto::net::Address;
use proto::node::NodeUsage;
use proto::{ErrorCode, WireError};
use tokio::time::Instant;

use crate::command::NodeNumber;

mod member;
mod placeable;
mod reliance;
mod room;
#[cfg(test)]
mod tests;
mod views;

pub use member::{Change, DiskNews, Heard};
use member::{Member, Session};
use placeable::KeptPlaceable;
pub use placeable::Placeable;
pub use reliance::Comparison;
use reliance::Reliance;

/// A look at silence that is later than this says that the master itself was away: stopped, or asleep.
const LATE_MAX: Duration = Duration::from_secs(1);

/// All nodes that the cluster knows, as they are now.
#[derive(Debug)]
pub struct Membership {
    heartbeat_interval: Duration,
    failure_timeout: Duration,
    members: BTreeMap<NodeNumber, Member>,
    numbers: BTreeMap<NodeId, NodeNumber>,
    connections: HashMap<u64, NodeNumber>,
    placeable: KeptPlaceable,
    /// When silence was last looked at.
    ticked_at: Option<Instant>,
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
            placeable: KeptPlaceable::default(),
            ticked_at: None,
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
        self.placeable.forget();
        self.members.entry(number).or_insert_with(|| Member {
            id,
            address,
            zone: zone.into(),
            usage: NodeUsage::default(),
            state: NodeState::Suspect,
            session: None,
            silent_since: now,
            spoke: false,
            refused_writes: false,
            has_failing: false,
            reliance: Reliance::default(),
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

    /// Takes a node in that the store knows under this number: it is live from now on, and what is recorded of it is in
    /// doubt, since it may have come back without its copies.
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
        if let Some(former) = self.number(request.node).filter(|former| *former != number) {
            self.forget(former);
        }
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
        let before = (member.takes_writes(), member.usage.failed_disks);
        member.reliance.doubt(now);
        let change = member.hear(number, request.usage, now);
        let heard = member.heard(number, change, before);
        self.connections.insert(connection, number);
        Ok(heard)
    }

    /// Nodes that are not connected although their address is now another's: they can come back only with a new one.
    pub fn displaced_by(&mut self, number: NodeNumber) -> Vec<Change> {
        let Some(address) = self.address(number) else {
            return Vec::new();
        };
        self.placeable.forget();
        self.members
            .iter_mut()
            .filter(|(other, member)| **other != number && member.address == address)
            .filter_map(|(other, member)| member.become_state(*other, NodeState::Dead))
            .collect()
    }

    /// Notes a heartbeat. One that is older than the last is answered, and ignored. What is recorded of a node that was
    /// late, or that has lost a disk, is in doubt from now on.
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
        if !is_older {
            session.sequence = Some(request.sequence);
        }
        let before = (member.takes_writes(), member.usage.failed_disks);
        let change = if is_older {
            None
        } else {
            member.hear(number, request.usage, now)
        };
        let heard = member.heard(number, change, before);
        let is_as_before = before.0 == member.takes_writes() && heard.disks != DiskNews::Lost;
        if change.is_none() && is_as_before {
            self.placeable.note_room();
        } else {
            self.placeable.forget();
        }
        Ok(heard)
    }

    /// Chunks were recorded as being on disks of this node that failed or hang.
    pub fn note_failing(&mut self, node: NodeNumber) {
        if let Some(member) = self.members.get_mut(&node) {
            member.has_failing = true;
        }
    }

    /// An upload failed because these took nothing from it: until each of them speaks again, the status does not count
    /// on it. What it said last may be some seconds old, in which its disk was filled.
    pub fn note_refused_writes(&mut self, nodes: &[NodeNumber]) {
        for number in nodes {
            if let Some(member) = self.members.get_mut(number) {
                member.refused_writes = true;
            }
        }
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
        self.placeable.forget();
        member.take_connection();
        match member.state {
            NodeState::Live => member.become_state(number, NodeState::Suspect),
            NodeState::Suspect | NodeState::Dead => None,
        }
    }

    /// Finds those whose silence has become too long. To be called several times a second: the time for which it was not
    /// is the master's absence, and not the nodes' silence.
    pub fn tick(&mut self, now: Instant) -> Vec<Change> {
        self.forgive_absence(now);
        let late = self.heartbeat_interval * 3 / 2;
        let failure_timeout = self.failure_timeout;
        let changes: Vec<_> = self
            .members
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
            .collect();
        if !changes.is_empty() {
            self.placeable.forget();
        }
        changes
    }

    fn forgive_absence(&mut self, now: Instant) {
        let Some(before) = self.ticked_at.replace(now) else {
            return;
        };
        let away = now.saturating_duration_since(before);
        let away = away.saturating_sub(LATE_MAX);
        if away.is_zero() {
            return;
        }
        for member in self.members.values_mut() {
            member.silent_since = (member.silent_since + away).min(now);
        }
    }

    /// A node that the cluster does not know any more.
    pub fn forget(&mut self, number: NodeNumber) {
        if let Some(mut member) = self.members.remove(&number) {
            self.placeable.forget();
            if self.numbers.get(&member.id) == Some(&number) {
                self.numbers.remove(&member.id);
            }
            if let Some(connection) = member.take_connection() {
                self.connections.remove(&connection);
            }
        }
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

    /// All nodes.
    pub fn numbers(&self) -> Vec<NodeNumber> {
        self.members.keys().copied().collect()
    }

    /// All nodes that are not live: suspect or dead.
    pub fn not_live(&self) -> Vec<NodeNumber> {
        let members = self.members.iter();
        let down = members.filter(|(_, member)| member.state != NodeState::Live);
        down.map(|(number, _)| *number).collect()
    }

    /// All nodes in a state.
    pub fn in_state(&self, state: NodeState) -> Vec<NodeNumber> {
        self.members
            .iter()
            .filter(|(_, member)| member.state == state)
            .map(|(number, _)| *number)
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
}
