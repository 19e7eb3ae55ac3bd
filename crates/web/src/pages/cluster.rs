//! The page of the cluster: how it does in one sentence, its nodes, and where copies lie. cluster.js keeps it up to date with
//! what is drawn here.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use client::people::{self, count, grouped};
use proto::master::{ClusterStatus, NodeState, NodeSummary};

use super::{StatusView, answer};
use crate::Shared;
use crate::guard::page_policy;
use crate::present;
use crate::readiness::Known;
use crate::watch::ClusterNow;

/// The cluster, or that the master does not answer.
#[derive(Template)]
#[template(path = "cluster.html")]
struct ClusterView {
    status: StatusView,
    sentence: String,
    figures: Vec<(&'static str, String)>,
    nodes: Vec<NodeView>,
    more_nodes: bool,
    /// What share of all copies each node has, for a picture of it.
    shares: Vec<Share>,
    /// The same in words.
    shares_text: String,
}

struct NodeView {
    address: String,
    zone: String,
    state: &'static str,
    state_text: &'static str,
    heartbeat: String,
    copies: String,
    /// Per mille of its disks that are in use.
    used: u64,
    space: String,
    trouble: Vec<String>,
}

/// A node's part of the picture, in per mille of its width.
struct Share {
    state: &'static str,
    begin: u64,
    width: u64,
    address: String,
    percent: u64,
}

/// `GET /cluster`
pub(crate) async fn cluster(State(state): State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    let seen = state.watch.look(&*state.drive, &state.status).await;
    let view = ClusterView::new(&seen.now);
    let status = match seen.now.known {
        Known::Status(_) => StatusCode::OK,
        Known::Unknown(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer(&view, status, page_policy(&uri, &headers))
}

impl ClusterView {
    fn new(now: &ClusterNow) -> Self {
        let (sentence, figures) = match &now.known {
            Known::Status(status) => (sentence(status), figures(status)),
            Known::Unknown(_) => ("How the cluster does is not known.".to_owned(), Vec::new()),
        };
        let shares = shares(&now.nodes);
        let words: Vec<_> = shares
            .iter()
            .map(|share| format!("{} has {} %", share.address, share.percent))
            .collect();
        Self {
            status: StatusView::new(&now.known),
            sentence,
            figures,
            nodes: now.nodes.iter().map(NodeView::new).collect(),
            more_nodes: now.more_nodes,
            shares_text: words.join(", "),
            shares,
        }
    }
}

/// How it does, with what is to be done about it if it is nothing.
fn sentence(status: &ClusterStatus) -> String {
    let wanted = status.rules.replication_factor;
    let missing = status.chunks.missing_copies;
    if status.chunks.unavailable > 0 {
        let lost = count(status.chunks.unavailable, "chunk");
        return format!("{lost} of files cannot be read now.");
    }
    if missing > 0 {
        let one = status.chunks.one_copy;
        let copies = if one == missing {
            format!("just 1 of {wanted} copies")
        } else if one == 0 && wanted == 3 {
            format!("2 of {wanted} copies")
        } else {
            format!("fewer than {wanted} copies")
        };
        let verb = if missing == 1 { "has" } else { "have" };
        let chunks = format!("{} {verb} {copies}", count(missing, "chunk"));
        return match status.repair.seconds_left {
            Some(seconds) => {
                let left = present::span(seconds.saturating_mul(1000));
                format!("{chunks}; safe again in about {left}; nothing to do.")
            }
            None if status.repair.running > 0 => {
                format!("{chunks}; the missing ones are being made; nothing to do.")
            }
            None => format!("{chunks}."),
        };
    }
    if !status.uploads_possible {
        return "Every file can be read, but nothing can be uploaded now.".to_owned();
    }
    match (status.problems.is_empty(), status.chunks.total) {
        (true, 0) => "Ready, and nothing is kept yet. Nothing to do.".to_owned(),
        (true, chunks) => format!(
            "All {} have their {wanted} copies, and uploads work. Nothing to do.",
            count(chunks, "chunk")
        ),
        (false, _) => "Every file has its copies; something needs a look.".to_owned(),
    }
}

fn figures(status: &ClusterStatus) -> Vec<(&'static str, String)> {
    let repair = &status.repair;
    let repairing = if repair.running == 0 && repair.queued == 0 {
        "no copies to make".to_owned()
    } else {
        let mut parts = vec![format!("{} being copied", count(repair.running, "chunk"))];
        if repair.queued > 0 {
            parts.push(format!("{} wait", grouped(repair.queued)));
        }
        if repair.bytes_per_second > 0 {
            parts.push(format!(
                "{} a second",
                people::size(repair.bytes_per_second)
            ));
        }
        parts.join(", ")
    };
    let mut figures = vec![
        (
            "Files",
            format!(
                "{} in {}, {}",
                count(status.files, "file"),
                count(status.folders, "folder"),
                people::size(status.file_bytes)
            ),
        ),
        (
            "Room",
            format!("for {} more", people::size(status.room_bytes)),
        ),
        ("Repair", repairing),
    ];
    if status.chunks.to_delete > 0 {
        let text = format!("{} to be deleted", grouped(status.chunks.to_delete));
        figures.push(("Copies not needed", text));
    }
    figures
}

fn state(node: &NodeSummary) -> (&'static str, &'static str) {
    match node.state {
        NodeState::Live => ("live", "Live"),
        NodeState::Suspect => ("suspect", "Does not answer"),
        NodeState::Dead => ("dead", "Gone"),
    }
}

impl NodeView {
    fn new(node: &NodeSummary) -> Self {
        const RECENT_MS: u64 = 10_000;
        let usage = &node.usage;
        let (state, state_text) = state(node);
        let heartbeat = match node.heartbeat_age_ms {
            None => "not since the master's start".to_owned(),
            Some(age) if age < RECENT_MS && node.state == NodeState::Live => "just now".to_owned(),
            Some(age) => format!("{} ago", present::span(age)),
        };
        let mut trouble = Vec::new();
        if usage.failed_disks > 0 {
            trouble.push(format!("{} failed", count(usage.failed_disks, "disk")));
        }
        if usage.corrupt_chunks > 0 {
            trouble.push(format!("{} damaged", count(usage.corrupt_chunks, "chunk")));
        }
        if !usage.writable && node.state == NodeState::Live {
            trouble.push("takes no new chunks".to_owned());
        }
        let used = usage.capacity_bytes.saturating_sub(usage.free_bytes);
        Self {
            address: node.address.to_string(),
            zone: node.zone.clone(),
            state,
            state_text,
            heartbeat,
            copies: format!(
                "{}, {}",
                count(node.chunks, "chunk"),
                people::size(usage.stored_bytes)
            ),
            used: per_mille(used, usage.capacity_bytes),
            space: format!(
                "{} free of {}",
                people::size(usage.free_bytes),
                people::size(usage.capacity_bytes)
            ),
            trouble,
        }
    }
}

fn per_mille(part: u64, whole: u64) -> u64 {
    let share = u128::from(part) * 1000 / u128::from(whole.max(1));
    u64::try_from(share.min(1000)).expect("at most a thousand")
}

fn shares(nodes: &[NodeSummary]) -> Vec<Share> {
    let all = nodes
        .iter()
        .fold(0_u64, |sum, node| sum.saturating_add(node.chunks));
    let mut before = 0_u64;
    nodes
        .iter()
        .filter(|node| node.chunks > 0)
        .map(|node| {
            let begin = per_mille(before, all);
            before = before.saturating_add(node.chunks);
            let width = per_mille(before, all) - begin;
            Share {
                state: state(node).0,
                begin,
                width,
                address: node.address.to_string(),
                percent: (width + 5) / 10,
            }
        })
        .collect()
}
