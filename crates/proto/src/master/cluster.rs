//! How the cluster does, and what its keeper may decide.

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, Epoch, NodeId, RunId};
use crate::name::NameRules;
use crate::net::Address;
use crate::node::NodeUsage;
use crate::table::without_body;

without_body!(
    GetStatus,
    ClusterStatus,
    ListNodes,
    NodesListed,
    LeaveSafeMode,
    SafeModeLeft,
    ResetDeleteFuse,
    DeleteFuseReset,
    RemoveNode,
    NodeRemoved
);

/// See [`get_status`](super::MasterHandlers::get_status).
#[derive(Debug, Serialize, Deserialize)]
pub struct GetStatus {}

/// How the cluster does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Which cluster.
    pub cluster: ClusterId,
    /// The master's start.
    pub epoch: Epoch,
    /// Which start that was: of two masters on copies of one folder, each has its own.
    pub run: RunId,
    /// How many steps of its log are durable: of two masters, the one with more has done more.
    pub position: u64,
    /// In one colour.
    pub health: Health,
    /// Why it is not green, worst first, each a sentence for a person.
    pub problems: Vec<Problem>,
    /// Whether an upload would succeed now.
    pub uploads_possible: bool,
    /// Nodes by state.
    pub nodes: NodeCounts,
    /// Files, in their current versions.
    pub files: u64,
    /// Folders, the root not counted.
    pub folders: u64,
    /// Bytes of all current versions.
    pub file_bytes: u64,
    /// What lies in the trash.
    #[serde(default)]
    pub trash: TrashKept,
    /// What former versions of files take.
    #[serde(default)]
    pub former_versions: FormerVersionsKept,
    /// Bytes of the disks of live nodes; a disk that several of them are on counts once.
    pub capacity_bytes: u64,
    /// Bytes that live nodes can still take, copies included; counted likewise.
    pub free_bytes: u64,
    /// Bytes of files that still fit, each copy on another node; 0 while uploads are not possible.
    #[serde(default)]
    pub room_bytes: u64,
    /// Chunks by their copies.
    pub chunks: ChunkCounts,
    /// What repair does.
    pub repair: RepairStatus,
    /// Present in safe mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe_mode: Option<SafeMode>,
    /// Present when the fuse stopped deletions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_fuse: Option<DeleteFuse>,
    /// What the cluster was made with.
    pub rules: ClusterRules,
}

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Everything has all its copies, and uploads work.
    Green,
    /// Everything can be read; something has fewer copies than it should, or needs a look.
    Yellow,
    /// Something cannot be read, or nothing can be stored.
    Red,
}

/// Something that keeps the cluster from being green.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For scripts, in `snake_case`: `too_few_nodes`, `node_down`, `chunks_missing_copies`, `chunks_lost`, `no_space`,
    /// `safe_mode`, `delete_fuse`, `disk_failed`, `stale_master`, `store_damaged`,
    /// `store_file_damaged`.
    pub code: String,
    /// How bad: never green.
    pub health: Health,
    /// What is wrong, what happens next and how long it takes, or what to do.
    pub message: String,
}

/// How many nodes there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCounts {
    /// All that the cluster knows.
    pub total: u32,
    /// Those whose heartbeats come.
    pub live: u32,
    /// Those whose connection broke, or whose heartbeat is late.
    pub suspect: u32,
    /// Those silent for the failure timeout.
    pub dead: u32,
    /// Live ones that take writes.
    pub writable: u32,
}

/// What lies in the trash. Former versions of its files are in [`FormerVersionsKept`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashKept {
    /// Files, in the versions that were current.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// How long each is kept, in milliseconds that the master runs.
    pub kept_ms: u64,
}

/// The versions that were replaced and are still there: of files that have a name, of files in the trash, and of those whose
/// space is about to be freed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerVersionsKept {
    /// How many.
    pub versions: u64,
    /// Their bytes, each version counted whole.
    pub bytes: u64,
    /// How long each is kept, in milliseconds that the master runs.
    pub kept_ms: u64,
}

/// How many chunks there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkCounts {
    /// All that files need.
    pub total: u64,
    /// With fewer good copies on nodes that are not dead than they should have.
    pub missing_copies: u64,
    /// With just one good copy on a node that is not dead, where more are wanted.
    pub one_copy: u64,
    /// With no good copy on a node that is not dead.
    pub unavailable: u64,
    /// Copies that are to be deleted: garbage and surplus.
    pub to_delete: u64,
}

/// What repair does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RepairStatus {
    /// Chunks being copied now.
    pub running: u32,
    /// Chunks that wait and can be repaired with the nodes that are here.
    pub queued: u64,
    /// Copied in the last ten seconds or so, in bytes a second.
    pub bytes_per_second: u64,
    /// How long it will take at this rate, in seconds, if that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

/// After a start the master neither deletes nor repairs until it has heard from the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SafeMode {
    /// How many nodes have not reported.
    pub waiting_for: u32,
    /// Some of them, by address.
    pub examples: Vec<Address>,
    /// Whether repair waits too, or only deletions.
    pub repair_waits: bool,
}

/// Deletions that nobody asked for were stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteFuse {
    /// How many copies would have gone.
    pub copies: u64,
    /// Of how many.
    pub of: u64,
}

/// What a cluster was made with, the same for all its processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRules {
    /// Bytes of a chunk.
    pub chunk_size: u32,
    /// Copies that each chunk gets.
    pub replication_factor: u8,
    /// Copies without which a write fails.
    pub min_write_replicas: u8,
    /// Largest file in bytes, if there is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size_max: Option<u64>,
    /// Which names are taken.
    pub names: NameRules,
}

/// See [`list_nodes`](super::MasterHandlers::list_nodes).
#[derive(Debug, Serialize, Deserialize)]
pub struct ListNodes {
    /// Only ids above this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<NodeId>,
    /// At most [`PAGE_LEN_MAX`](super::PAGE_LEN_MAX).
    pub limit: u32,
}

/// A page of nodes.
#[derive(Debug, Serialize, Deserialize)]
pub struct NodesListed {
    /// By id.
    pub nodes: Vec<NodeSummary>,
    /// Whether more follow.
    pub more: bool,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSummary {
    /// Who.
    pub node: NodeId,
    /// Where it listens, or did.
    pub address: Address,
    /// Its zone, for example a room or a power line: copies go to distinct ones.
    pub zone: String,
    /// How it is.
    pub state: NodeState,
    /// How long ago its last heartbeat came; nothing if none came since the master's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_age_ms: Option<u64>,
    /// Copies that the master has recorded there.
    pub chunks: u64,
    /// What it said of itself last.
    pub usage: NodeUsage,
}

/// Whether a node is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Heartbeats come.
    Live,
    /// Its connection broke, or its heartbeat is late: read from others first.
    Suspect,
    /// Silent for the failure timeout: its copies do not count.
    Dead,
}

/// See [`leave_safe_mode`](super::MasterHandlers::leave_safe_mode).
#[derive(Debug, Serialize, Deserialize)]
pub struct LeaveSafeMode {}

/// Deletions and repair go on.
#[derive(Debug, Serialize, Deserialize)]
pub struct SafeModeLeft {}

/// See [`reset_delete_fuse`](super::MasterHandlers::reset_delete_fuse).
#[derive(Debug, Serialize, Deserialize)]
pub struct ResetDeleteFuse {}

/// The deletions that were stopped go on.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeleteFuseReset {}

/// See [`remove_node`](super::MasterHandlers::remove_node). Fails with `not_found`, `precondition_failed` (the node is
/// live, or holds the only copy of a chunk and `lose_chunks` is not said).
#[derive(Debug, Serialize, Deserialize)]
pub struct RemoveNode {
    /// Which.
    pub node: NodeId,
    /// Although chunks are lost by it.
    #[serde(default)]
    pub lose_chunks: bool,
}

/// The cluster does not know it any more.
#[derive(Debug, Serialize, Deserialize)]
pub struct NodeRemoved {}
