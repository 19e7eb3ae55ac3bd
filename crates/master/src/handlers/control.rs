//! What is asked about the cluster, by people, clients and nodes.

use proto::hello::Role;
use proto::id::ChunkId;
use proto::master::{
    BadReplicaNoted, ChunkCounts, ClusterStatus, CorruptChunksNoted, DeleteFuse, DeleteFuseReset,
    GetStatus, HeartbeatNoted, LeaveSafeMode, ListNodes, NodeRegistered, NodeRemoved, NodeState,
    NodesListed, PAGE_LEN_MAX, RegisterNode, RemoveNode, ReportBadReplica, ReportCorruptChunks,
    ReportHeartbeat, ResetDeleteFuse, SafeMode, SafeModeLeft,
};
use proto::node::CHUNKS_PER_MESSAGE_MAX;
use proto::table::Caller;
use proto::{ErrorCode, WireError};
use tokio::time::Instant;
use tracing::{info, warn};

use super::ControlHandlers;
use crate::command::{Command, NodeNumber};
use crate::commit::RESERVE_BYTES;
use crate::control::Control;
use crate::membership::Heard;
use crate::state::{ChunkRow, Snapshot, StateError, TrippedFuse};
use crate::status::{self, Facts};

/// Nodes named in a status.
const EXAMPLES_MAX: usize = 5;
/// Chunks looked at in one snapshot before a node is removed.
const REMOVAL_PAGE: usize = 1024;

impl ControlHandlers for Control {
    async fn report_bad_replica(
        &self,
        _caller: &Caller,
        request: ReportBadReplica,
    ) -> Result<BadReplicaNoted, WireError> {
        if let Some(node) = self.membership().number(request.node) {
            self.checks.push(node, request.chunk);
        }
        Ok(BadReplicaNoted {})
    }

    async fn get_status(
        &self,
        _caller: &Caller,
        _request: GetStatus,
    ) -> Result<ClusterStatus, WireError> {
        let (sums, counters, fuse) = self
            .read(|snapshot| {
                let fuse = snapshot.fuse()?.tripped();
                Ok((snapshot.sums()?, snapshot.counters()?, fuse))
            })
            .await?;
        let facts = self.facts(fuse);
        let problems = facts.problems();
        let (capacity_bytes, free_bytes) = self.membership().space();
        Ok(ClusterStatus {
            cluster: self.state.cluster(),
            epoch: self.epoch(),
            health: status::health(&problems),
            problems,
            uploads_possible: facts.uploads_possible(),
            nodes: facts.nodes,
            files: sums.files,
            folders: sums.folders,
            file_bytes: sums.bytes,
            capacity_bytes,
            free_bytes,
            chunks: ChunkCounts {
                total: counters.chunks,
                missing_copies: facts.tally.missing_copies,
                one_copy: facts.tally.one_copy,
                unavailable: facts.tally.unavailable,
                to_delete: counters.planned_deletions + facts.tally.surplus,
            },
            repair: facts.repair,
            safe_mode: facts.safe_mode,
            delete_fuse: facts.delete_fuse,
            rules: self.config.rules,
        })
    }

    async fn list_nodes(
        &self,
        _caller: &Caller,
        request: ListNodes,
    ) -> Result<NodesListed, WireError> {
        let limit = request.limit.clamp(1, PAGE_LEN_MAX) as usize;
        let state = self.state.read()?;
        let (nodes, more) =
            self.membership()
                .page(request.after, limit, Instant::now(), |number| {
                    state.node_tally(number).map_or(0, |tally| tally.chunks)
                });
        Ok(NodesListed { nodes, more })
    }

    async fn leave_safe_mode(
        &self,
        caller: &Caller,
        _request: LeaveSafeMode,
    ) -> Result<SafeModeLeft, WireError> {
        warn!(peer = %caller.peer, "a person ends safe mode");
        self.safe_mode().leave();
        self.repair.survey();
        self.deletions.notify_one();
        self.garbage.notify_one();
        Ok(SafeModeLeft {})
    }

    async fn reset_delete_fuse(
        &self,
        caller: &Caller,
        _request: ResetDeleteFuse,
    ) -> Result<DeleteFuseReset, WireError> {
        let fuse = self.read(Snapshot::fuse).await?;
        if let Some(TrippedFuse { copies, .. }) = fuse.tripped() {
            warn!(peer = %caller.peer, copies, "a person resets the delete fuse: as many copies as it stopped may go");
            self.committer.submit(Command::ResetDeleteFuse).await?;
            self.garbage.notify_one();
        }
        Ok(DeleteFuseReset {})
    }

    async fn remove_node(
        &self,
        caller: &Caller,
        request: RemoveNode,
    ) -> Result<NodeRemoved, WireError> {
        let number = self.removable(&request)?;
        if !request.lose_chunks {
            self.check_others_hold(number).await?;
        }
        warn!(peer = %caller.peer, node = %request.node, "a person removes a node from the cluster");
        let remove = Command::RemoveNode { node: request.node };
        self.committer.submit(remove).await?;
        self.membership().forget(number);
        self.safe_mode().note_removed(number);
        self.garbage.notify_one();
        self.deletions.notify_one();
        self.repair.survey();
        Ok(NodeRemoved {})
    }

    async fn register_node(
        &self,
        caller: &Caller,
        request: RegisterNode,
    ) -> Result<NodeRegistered, WireError> {
        require_node(caller)?;
        self.admit(caller, &request).await
    }

    async fn report_heartbeat(
        &self,
        caller: &Caller,
        request: ReportHeartbeat,
    ) -> Result<HeartbeatNoted, WireError> {
        require_node(caller)?;
        let Heard { change, .. } =
            self.membership()
                .heartbeat(&request, caller.connection, Instant::now())?;
        if let Some(change) = change {
            self.node_changed(change);
        }
        let epoch = self.epoch();
        Ok(HeartbeatNoted { epoch })
    }

    async fn report_corrupt_chunks(
        &self,
        caller: &Caller,
        request: ReportCorruptChunks,
    ) -> Result<CorruptChunksNoted, WireError> {
        require_node(caller)?;
        if request.chunks.len() > CHUNKS_PER_MESSAGE_MAX {
            let message = format!("report at most {CHUNKS_PER_MESSAGE_MAX} chunks at once");
            return Err(WireError::new(ErrorCode::InvalidArgument, message));
        }
        let node = self
            .membership()
            .speaker(request.node, request.boot, caller.connection)?;
        let count = request.chunks.len();
        warn!(
            node = node.0,
            count, "a node found corrupt copies; they are replaced"
        );
        self.remove_replicas(node, request.chunks).await?;
        Ok(CorruptChunksNoted {})
    }

    fn disconnected(&self, caller: &Caller) {
        let change = self.membership().disconnected(caller.connection);
        if let Some(change) = change {
            self.node_changed(change);
        }
    }
}

impl Control {
    /// What the status is made from.
    fn facts(&self, fuse: Option<TrippedFuse>) -> Facts {
        let report = self.repair.report();
        let now = Instant::now();
        let safe_mode = self.safe_mode_seen(now);
        let is_held = self.safe_mode().is_held();
        let membership = self.membership();
        Facts {
            rules: self.config.rules,
            nodes: membership.counts(),
            down: membership.down(now),
            full: membership.full(),
            failed_disks: membership.with_failed_disks(),
            failure_timeout: self.config.failure_timeout,
            tally: report.tally.unwrap_or_default(),
            repair: status::repair_status(&report),
            safe_mode,
            safe_mode_is_held: is_held,
            delete_fuse: fuse.map(|fuse| DeleteFuse {
                copies: fuse.copies,
                of: fuse.of,
            }),
            superseded: self.superseded_by().map(|later| (self.epoch(), later)),
            master_disk_full: self.free_space() < RESERVE_BYTES,
        }
    }

    fn safe_mode_seen(&self, now: Instant) -> Option<SafeMode> {
        let (silent, repair_waits) = {
            let mut safe_mode = self.safe_mode();
            if !safe_mode.deletions_wait() {
                return None;
            }
            let silent: Vec<NodeNumber> = safe_mode.silent().collect();
            (silent, safe_mode.repair_waits(now))
        };
        let membership = self.membership();
        let examples = silent.iter().take(EXAMPLES_MAX);
        Some(SafeMode {
            waiting_for: u32::try_from(silent.len()).unwrap_or(u32::MAX),
            examples: examples
                .filter_map(|node| membership.address(*node))
                .collect(),
            repair_waits,
        })
    }

    fn removable(&self, request: &RemoveNode) -> Result<NodeNumber, WireError> {
        let membership = self.membership();
        let Some(number) = membership.number(request.node) else {
            let message = format!("there is no node {} in this cluster", request.node);
            return Err(WireError::new(ErrorCode::NotFound, message));
        };
        if membership.state(number) == NodeState::Dead {
            return Ok(number);
        }
        let message = format!(
            "node {} is here, or was a moment ago: stop it, and remove it when it counts as dead, {} seconds later",
            request.node,
            self.config.failure_timeout.as_secs()
        );
        Err(WireError::new(ErrorCode::PreconditionFailed, message))
    }

    /// Refuses unless every chunk that files need has another copy that can be relied on.
    async fn check_others_hold(&self, node: NodeNumber) -> Result<(), WireError> {
        let mut after: Option<ChunkId> = None;
        loop {
            let read = move |snapshot: &Snapshot| -> Result<_, StateError> {
                let ids = snapshot.node_chunks_page(node, after.as_ref(), REMOVAL_PAGE)?;
                let rows = snapshot.chunks(&ids)?;
                Ok((ids, rows))
            };
            let (ids, rows) = self.read(read).await?;
            let rows: Vec<_> = rows.into_iter().flatten().collect();
            self.check_others_hold_these(node, &rows)?;
            if ids.len() < REMOVAL_PAGE {
                return Ok(());
            }
            after = ids.last().copied();
        }
    }

    fn check_others_hold_these(
        &self,
        node: NodeNumber,
        rows: &[ChunkRow],
    ) -> Result<(), WireError> {
        let relied_on = self.relied_on();
        let others = |row: &ChunkRow| {
            let others = row.replicas.iter().filter(|other| **other != node);
            others.copied().collect::<Vec<_>>()
        };
        let doubtful: Vec<_> = rows
            .iter()
            .filter(|row| row.references > 0)
            .map(others)
            .filter(|others| !others.iter().any(|other| relied_on.contains(other)))
            .collect();
        if doubtful.is_empty() {
            return Ok(());
        }
        let membership = self.membership();
        let is_dead = |other: &NodeNumber| membership.state(*other) == NodeState::Dead;
        let lost = doubtful.iter().filter(|others| others.iter().all(is_dead));
        let message = match (lost.count(), doubtful.len()) {
            (0, count) => format!(
                "the other copies of {count} chunks or more are on nodes that are silent, or that have just come and were \
                 not compared with the record yet: wait until they are back and compared, and try again"
            ),
            (lost, _) => format!(
                "the node holds the only copy of {lost} chunks or more: files would be lost with it. Start it again \
                 so that they can be copied, or say that they may be lost"
            ),
        };
        Err(WireError::new(ErrorCode::PreconditionFailed, message))
    }
}

impl Control {
    /// Takes a node in, if it belongs here. See [`RegisterNode`].
    async fn admit(
        &self,
        caller: &Caller,
        request: &RegisterNode,
    ) -> Result<NodeRegistered, WireError> {
        self.check_cluster(request)?;
        self.check_epoch(request).await?;
        self.membership().check(request)?;
        let number = self.record_node(request).await?;
        let now = Instant::now();
        let (heard, displaced) = {
            let mut membership = self.membership();
            let heard = membership.register(number, request, caller.connection, now)?;
            (heard, membership.displaced_by(number))
        };
        for change in displaced {
            self.node_changed(change);
        }
        self.safe_mode().note_registered(number);
        self.announced.send_replace(Some(self.state.cluster()));
        match heard.change {
            Some(change) => self.node_changed(change),
            None => self.node_is_here(number),
        }
        info!(node = number.0, id = %request.node, address = %request.address, zone = request.zone, "a node registered");
        Ok(NodeRegistered {
            cluster: self.state.cluster(),
            epoch: self.epoch(),
            rules: self.config.rules,
            heartbeat_interval_ms: u64::try_from(self.config.heartbeat_interval.as_millis())
                .unwrap_or(u64::MAX),
        })
    }

    fn check_cluster(&self, request: &RegisterNode) -> Result<(), WireError> {
        let own = self.state.cluster();
        let Some(theirs) = request.cluster.filter(|theirs| *theirs != own) else {
            return Ok(());
        };
        let is_new = self.announced.borrow().is_none();
        let message = if is_new {
            format!(
                "this master is new and empty (cluster {own}), but node {} belongs to cluster {theirs}: was the master's \
                 data folder lost, or is another one meant? Start the master with the folder of cluster {theirs}; nothing \
                 was deleted",
                request.node
            )
        } else {
            format!(
                "node {} belongs to cluster {theirs}, and this is the master of cluster {own}: give the node the right \
                 master's address, or an empty folder; nothing was deleted",
                request.node
            )
        };
        warn!(node = %request.node, "refused a node: {message}");
        Err(WireError::new(ErrorCode::WrongCluster, message))
    }

    /// A node that has seen a later master than this: this one went back in time, unless a person said that it did.
    async fn check_epoch(&self, request: &RegisterNode) -> Result<(), WireError> {
        while self.config.restored && request.epoch > self.epoch() {
            match self.committer.submit(Command::RaiseEpoch).await? {
                crate::state::Outcome::Epoch(epoch) => self.set_epoch(epoch),
                other => return Err(super::names::unexpected(&other)),
            }
        }
        if request.epoch <= self.epoch() {
            return Ok(());
        }
        if let Some(number) = self.membership().number(request.node) {
            self.note_superseded(number, Some(request.epoch));
        } else {
            self.note_superseded(NodeNumber(0), Some(request.epoch));
        }
        Err(WireError::new(
            ErrorCode::StaleEpoch,
            format!(
                "node {} has worked with start {} of the master, and this is start {}: this master's folder is an old \
                 copy. Nothing is deleted; start the master with its newest folder, or with --restored if that is lost",
                request.node,
                request.epoch,
                self.epoch()
            ),
        ))
    }

    /// Makes what is new about a node durable, and gives its number.
    async fn record_node(&self, request: &RegisterNode) -> Result<NodeNumber, WireError> {
        let id = request.node;
        let known = self
            .read(move |snapshot| match snapshot.node_number(id)? {
                Some(number) => Ok(snapshot.node(number)?.map(|row| (number, row))),
                None => Ok(None),
            })
            .await?;
        if let Some((number, row)) = known
            && row.address == request.address
            && row.zone == request.zone
            && row.receipt_key == request.receipt_key
        {
            return Ok(number);
        }
        let upsert = Command::UpsertNode {
            node: request.node,
            address: request.address.clone(),
            zone: request.zone.clone(),
            receipt_key: request.receipt_key.clone(),
        };
        match self.committer.submit(upsert).await? {
            crate::state::Outcome::Node(number) => Ok(number),
            other => Err(super::names::unexpected(&other)),
        }
    }
}

fn require_node(caller: &Caller) -> Result<(), WireError> {
    if caller.role == Role::Node {
        return Ok(());
    }
    Err(WireError::new(
        ErrorCode::Forbidden,
        "only storage nodes may ask this: say so in the hello",
    ))
}
