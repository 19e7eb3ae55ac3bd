//! The cluster of which the drive in memory says that it has it: three nodes, as many of them live as it was told.

use proto::id::{ClusterId, Epoch, NodeId, RunId};
use proto::master::{
    ChunkCounts, ClusterRules, ClusterStatus, Health, NodeCounts, NodeState, NodeSummary, Problem,
    RepairStatus,
};
use proto::name::NameRules;
use proto::node::NodeUsage;

use super::{Faults, Kept, Node};

/// Bytes of all disks together, unless it was told of others.
const DISKS_LEN: u64 = 4_800_000_000_000;

/// Of three nodes.
fn live(faults: &Faults) -> u32 {
    match (faults.not_ready, faults.node_down) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 3,
    }
}

pub(super) fn status(kept: &Kept) -> ClusterStatus {
    let disks = kept.faults.disks.unwrap_or(DISKS_LEN);
    let faults = &kept.faults;
    let files = kept.entries.values().filter_map(|node| match node {
        Node::File(file) => Some(file.bytes.len()),
        Node::Folder { .. } => None,
    });
    let sizes: Vec<u64> = files.collect();
    let live = live(faults);
    ClusterStatus {
        cluster: ClusterId::new(uuid::Uuid::nil()),
        epoch: Epoch(1),
        run: RunId::new(uuid::Uuid::nil()),
        position: 1,
        health: match live {
            3 => Health::Green,
            2 => Health::Yellow,
            _ => Health::Red,
        },
        problems: problems(live),
        uploads_possible: live >= 2,
        nodes: NodeCounts {
            total: 3,
            live,
            suspect: 0,
            dead: 3 - live,
            writable: live,
        },
        files: sizes.len() as u64,
        folders: (kept.entries.len() - sizes.len()) as u64,
        file_bytes: sizes.iter().sum(),
        trash: kept.trash_kept(),
        former_versions: kept.former_versions_kept(),
        capacity_bytes: disks,
        free_bytes: disks / 2,
        room_bytes: disks / 6,
        chunks: ChunkCounts {
            total: sizes.len() as u64,
            missing_copies: if live < 3 { sizes.len() as u64 } else { 0 },
            one_copy: if live < 2 { sizes.len() as u64 } else { 0 },
            ..ChunkCounts::default()
        },
        repair: RepairStatus::default(),
        safe_mode: None,
        delete_fuse: None,
        rules: ClusterRules {
            chunk_size: 1 << 20,
            replication_factor: 3,
            min_write_replicas: 2,
            file_size_max: Some(1 << 30),
            names: NameRules::Any,
        },
    }
}

/// As many nodes as the status says, in the order of their ids.
pub(super) fn nodes(faults: &Faults) -> Vec<NodeSummary> {
    let live = live(faults);
    let ports = [9001, 9003, 9002].into_iter().zip(0..);
    let nodes = ports.map(|(port, place): (u16, u32)| NodeSummary {
        node: NodeId::new(uuid::Uuid::from_u128(place.into())),
        address: std::net::SocketAddr::from(([127, 0, 0, 1], port)).into(),
        zone: String::new(),
        state: if place < live {
            NodeState::Live
        } else {
            NodeState::Dead
        },
        heartbeat_age_ms: Some(100),
        chunks: 0,
        usage: NodeUsage {
            capacity_bytes: DISKS_LEN / 3,
            free_bytes: DISKS_LEN / 6,
            writable: true,
            ..NodeUsage::default()
        },
    });
    nodes.collect()
}

fn problems(live: u32) -> Vec<Problem> {
    let (code, health, message) = match live {
        3 => return Vec::new(),
        2 => (
            "node_down",
            Health::Yellow,
            "1 of 3 storage nodes is down (127.0.0.1:9003). Everything can be read, new files get 2 copies for now; \
             the third follows by itself when the node is back.",
        ),
        _ => (
            "too_few_nodes",
            Health::Red,
            "2 of 3 storage nodes are down. Everything can be read, but nothing can be stored until one of them is \
             back: start 127.0.0.1:9002 or 127.0.0.1:9003.",
        ),
    };
    vec![Problem {
        code: code.into(),
        health,
        message: message.into(),
    }]
}
