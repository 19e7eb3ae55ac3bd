//! What is asked about the cluster, by people, clients and nodes.

use std::time::Duration;

use proto::hello::Role;
use proto::master::{
    BadReplicaNoted, ChunkCounts, ClusterStatus, CorruptChunksNoted, DeleteFuse, DeleteFuseReset,
    FormerVersionsKept, GetStatus, HeartbeatNoted, LeaveSafeMode, ListNodes, NodeRegistered,
    NodeRemoved, NodeState, NodeSummary, NodesListed, PAGE_LEN_MAX, RegisterNode, RemoveNode,
    ReportBadReplica, ReportCorruptChunks, ReportHeartbeat, ResetDeleteFuse, SafeMode,
    SafeModeLeft, TrashKept,
};
use proto::net::Address;
use proto::node::CHUNKS_PER_MESSAGE_MAX;
use proto::table::Caller;
use proto::{ErrorCode, HistoryPoint, WireError};
use tokio::time::Instant;
use tracing::{info, warn};

use super::ControlHandlers;
use crate::command::{ClusterMillis, Command, NodeNumber};
use crate::commit::RESERVE_BYTES;
use crate::control::Control;
use crate::membership::DiskNews;
use crate::repair::RepairReport;
use crate::state::{Counters, NodeTally, Snapshot, StateError, Sums, TrippedFuse, VersionSums};
use crate::status::{self, Facts};

/// Nodes named in a status.
const EXAMPLES_MAX: usize = 5;

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
        let report = self.repair.report();
        let recorded = self.recorded(&report).await?;
        let Recorded { sums, counters, .. } = recorded;
        let facts = self.facts(&report, &recorded);
        let HistoryPoint {
            epoch,
            run,
            position,
        } = self.point();
        let problems = facts.problems();
        let rules = self.config.rules;
        let ((capacity_bytes, free_bytes), room) = {
            let membership = self.membership();
            (membership.space(), membership.room(&rules))
        };
        let uploads_possible = facts.uploads_possible();
        Ok(ClusterStatus {
            cluster: self.state.cluster(),
            epoch,
            run,
            position,
            health: status::health(&problems),
            problems,
            uploads_possible,
            nodes: facts.nodes,
            files: sums.files,
            folders: sums.folders,
            file_bytes: sums.bytes,
            trash: self.trash_kept(&counters),
            former_versions: self.former_versions_kept(&counters),
            capacity_bytes,
            free_bytes,
            room_bytes: if uploads_possible { room } else { 0 },
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
        let (page, more) = self.membership().page(request.after, limit, Instant::now());
        let numbers: Vec<_> = page.iter().map(|(number, _)| *number).collect();
        let tallies = self.read(move |snapshot| snapshot.node_tallies(&numbers));
        let nodes = page.into_iter().zip(tallies.await?);
        let nodes =
            nodes.map(|((_, node), NodeTally { chunks, .. })| NodeSummary { chunks, ..node });
        Ok(NodesListed {
            nodes: nodes.collect(),
            more,
        })
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
        self.remove(&request).await?;
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
        self.refuse_if_superseded()?;
        let heard = self
            .membership()
            .heartbeat(&request, caller.connection, Instant::now())?;
        if let Some(change) = heard.change {
            self.node_changed(change);
        }
        if heard.has_room_again {
            self.repair.survey();
        }
        match heard.disks {
            DiskNews::None => {}
            DiskNews::Lost => {
                warn!(
                    node = self.name_of(heard.node),
                    "a disk of a node failed or hangs: what it holds is copied elsewhere"
                );
                self.inventories.notify_one();
            }
            news @ (DiskNews::Back | DiskNews::PerhapsBack) => {
                if news == DiskNews::Back {
                    info!(
                        node = self.name_of(heard.node),
                        "a disk of a node answers again: what it holds counts"
                    );
                }
                self.compare_soon(heard.node);
                self.deletions.wake(heard.node);
            }
        }
        let master = self.point();
        Ok(HeartbeatNoted { master })
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
        // Of what is reported again, nothing is on record any more.
        let count = self.remove_replicas(node, request.chunks.clone()).await?;
        if count > 0 {
            warn!(
                node = self.name_of(node),
                count, "a node found corrupt copies; they are replaced"
            );
        }
        self.repair.remove_corrupt(node, request.chunks);
        Ok(CorruptChunksNoted {})
    }

    fn disconnected(&self, caller: &Caller) {
        let change = self.membership().disconnected(caller.connection);
        if let Some(change) = change {
            self.node_changed(change);
        }
    }
}

/// What the status needs of the state, of one moment.
struct Recorded {
    sums: Sums,
    counters: Counters,
    fuse: Option<TrippedFuse>,
    /// Since when the oldest garbage is.
    oldest_garbage: Option<ClusterMillis>,
    /// The most chunks of a node that died since repair's last survey.
    on_newly_dead: u64,
    /// Bytes that the master's own disk has left; of one that cannot say, as many as it likes.
    free_space: u64,
}

impl Control {
    async fn recorded(&self, report: &RepairReport) -> Result<Recorded, StateError> {
        let mut newly_dead = self.membership().in_state(NodeState::Dead);
        newly_dead.retain(|node| !report.dead.contains(node));
        let disk = self.disk.clone();
        self.read(move |snapshot| {
            let oldest = snapshot.garbage_page(ClusterMillis(u64::MAX), None, 1)?;
            Ok(Recorded {
                sums: snapshot.sums()?,
                counters: snapshot.counters()?,
                fuse: snapshot.fuse()?.tripped(),
                oldest_garbage: oldest.first().map(|(since, _)| *since),
                on_newly_dead: most_chunks(snapshot, &newly_dead)?,
                free_space: disk.space().map_or(u64::MAX, |space| space.free),
            })
        })
        .await
    }

    /// What the status is made from.
    fn facts(&self, report: &RepairReport, recorded: &Recorded) -> Facts {
        let counters = &recorded.counters;
        let tally = status::at_least_recorded(
            report.tally,
            counters,
            self.config.rules.replication_factor,
            recorded.on_newly_dead,
        );
        let space_comes_in = if counters.planned_deletions > 0 {
            Some(Duration::ZERO)
        } else {
            recorded.oldest_garbage.map(|since| self.kept_for(since))
        };
        let now = Instant::now();
        let safe_mode = self.safe_mode_seen(now);
        let is_held = self.safe_mode().is_held();
        let not_compared = self.not_compared();
        let membership = self.membership();
        Facts {
            rules: self.config.rules,
            nodes: membership.counts(),
            down: membership.down(now),
            full: membership.full(),
            trashed_bytes: counters.trashed.bytes,
            space_comes_in,
            open_uploads: counters.uploads,
            upload_lease: self.config.upload_lease,
            garbage_grace: self.config.garbage_grace,
            failed_disks: membership.with_failed_disks(),
            failure_timeout: self.config.failure_timeout,
            tally,
            repair: status::repair_status(report, tally),
            safe_mode,
            safe_mode_is_held: is_held,
            not_compared,
            delete_fuse: recorded.fuse.map(|fuse| DeleteFuse {
                copies: fuse.copies,
                of: fuse.of,
            }),
            damaged_row: self.committer.damage().map(str::to_owned),
            damaged_store: self.store_damage.get().cloned(),
            refused: self.lately_refused(),
            superseded: self.committer.fenced().map(str::to_owned),
            master_disk_full: recorded.free_space < RESERVE_BYTES,
        }
    }

    fn trash_kept(&self, counters: &Counters) -> TrashKept {
        let Sums {
            files,
            folders,
            bytes,
        } = counters.trashed;
        TrashKept {
            files,
            folders,
            bytes,
            kept_ms: milliseconds(self.config.trash_retention),
        }
    }

    fn former_versions_kept(&self, counters: &Counters) -> FormerVersionsKept {
        let VersionSums { versions, bytes } = counters.former;
        FormerVersionsKept {
            versions,
            bytes,
            kept_ms: milliseconds(self.config.version_retention),
        }
    }

    fn not_compared(&self) -> Option<(Address, String)> {
        let (node, reason) = {
            let safe_mode = self.safe_mode();
            let (node, reason) = safe_mode.not_compared()?;
            (node, reason.to_owned())
        };
        Some((self.membership().address(node)?, reason))
    }

    /// How long a chunk is kept yet that nothing needs since then.
    fn kept_for(&self, since: ClusterMillis) -> Duration {
        let age = self.committer.now().0.saturating_sub(since.0);
        let grace = self.config.garbage_grace;
        grace.saturating_sub(Duration::from_millis(age))
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
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
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

/// The most chunks that one of these nodes has on record: at least so many lack a copy if they are all dead.
fn most_chunks(snapshot: &Snapshot, nodes: &[NodeNumber]) -> Result<u64, StateError> {
    nodes.iter().try_fold(0, |most, node| {
        Ok(most.max(snapshot.node_tally(*node)?.chunks))
    })
}
