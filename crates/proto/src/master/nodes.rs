//! What storage nodes tell the master.

use serde::{Deserialize, Serialize};

use super::cluster::ClusterRules;
use crate::hello::ReceiptKey;
use crate::history::HistoryPoint;
use crate::id::{BootId, ChunkId, ClusterId, Epoch, NodeId};
use crate::net::Address;
use crate::node::NodeUsage;
use crate::table::without_body;

without_body!(
    RegisterNode,
    NodeRegistered,
    ReportHeartbeat,
    HeartbeatNoted,
    ReportCorruptChunks,
    CorruptChunksNoted
);

/// See [`register_node`](super::MasterHandlers::register_node). Fails with `wrong_cluster`, `duplicate_node`,
/// `stale_epoch` (the node has worked with, or deleted for, a master that is not part of this one's history: this
/// folder is an old copy, or two masters run), `invalid_argument` (what it says that it has seen cannot be).
#[derive(Debug, Serialize, Deserialize)]
pub struct RegisterNode {
    /// Who.
    pub node: NodeId,
    /// This start of it.
    pub boot: BootId,
    /// Where others reach it.
    pub address: Address,
    /// Its zone.
    pub zone: String,
    /// The cluster that it belongs to; nothing for a new node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterId>,
    /// The latest point of the master's history that it has seen; nothing for a new node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<HistoryPoint>,
    /// The epoch of the last delete order that it had carried out before its start, which its extents remember; 0 if
    /// there was none. Beyond what it has `seen` only where its `node.json` was put back from an old copy.
    pub last_order: Epoch,
    /// With which it signs receipts.
    pub receipt_key: ReceiptKey,
    /// How full it is.
    pub usage: NodeUsage,
}

/// The node is a member.
#[derive(Debug, Serialize, Deserialize)]
pub struct NodeRegistered {
    /// The cluster, which the node keeps from now on.
    pub cluster: ClusterId,
    /// Where its history stands; of a new start, the node makes it durable before it goes on.
    pub master: HistoryPoint,
    /// What the cluster was made with.
    pub rules: ClusterRules,
    /// How often heartbeats are wanted.
    pub heartbeat_interval_ms: u64,
}

/// See [`report_heartbeat`](super::MasterHandlers::report_heartbeat). Fails with `not_found` (register again), and with
/// `stale_epoch` (this master was found to be superseded: try another).
#[derive(Debug, Serialize, Deserialize)]
pub struct ReportHeartbeat {
    /// Who.
    pub node: NodeId,
    /// This start of it.
    pub boot: BootId,
    /// Counts its heartbeats since then: an older one is ignored.
    pub sequence: u64,
    /// How full it is.
    pub usage: NodeUsage,
}

/// The master heard it.
#[derive(Debug, Serialize, Deserialize)]
pub struct HeartbeatNoted {
    /// Where the master's history stands.
    pub master: HistoryPoint,
}

/// See [`report_corrupt_chunks`](super::MasterHandlers::report_corrupt_chunks).
#[derive(Debug, Serialize, Deserialize)]
pub struct ReportCorruptChunks {
    /// Who.
    pub node: NodeId,
    /// This start of it.
    pub boot: BootId,
    /// What does not verify there, at most 4,096 a message.
    pub chunks: Vec<ChunkId>,
}

/// They do not count as copies any more, and are replaced.
#[derive(Debug, Serialize, Deserialize)]
pub struct CorruptChunksNoted {}
