//! The page of the cluster: how it does in one sentence, its nodes, and where copies lie. cluster.js keeps it up to date with
//! what is drawn here.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use proto::master::{ClusterStatus, NodeState, NodeSummary};

use super::{Page, StatusView, answer};
use crate::Shared;
use crate::readiness::Known;
use crate::texts::Texts;
use crate::watch::ClusterNow;

/// The cluster, or that the master does not answer.
#[derive(Template)]
#[template(path = "cluster.html")]
struct ClusterView {
    page: Page,
    texts: &'static Texts,
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
    /// The key of a text.
    state_text: &'static str,
    heard: String,
    copies: String,
    /// Per mille of its disks that are in use.
    used: u64,
    space: String,
    trouble: Vec<String>,
}

/// Colours and textures of nodes.
const SHADES: usize = 6;

/// A node's part of the picture, in per mille of its width.
struct Share {
    state: &'static str,
    /// Which colour and texture; further nodes begin again.
    shade: usize,
    begin: u64,
    width: u64,
    address: String,
    percent: String,
}

/// `GET /cluster`
pub(crate) async fn cluster(State(state): State<Shared>, page: Page) -> Response {
    let seen = state.watch.look(&*state.drive, &state.status).await;
    let view = ClusterView::new(page, &seen.now);
    let status = match seen.now.known {
        Known::Status(_) => StatusCode::OK,
        Known::Unknown(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer(&view, status, &view.page)
}

impl ClusterView {
    fn new(page: Page, now: &ClusterNow) -> Self {
        let texts = page.texts;
        let (sentence, figures) = match &now.known {
            Known::Status(status) => (sentence(texts, status), figures(texts, status)),
            Known::Unknown(_) => (texts.say("cluster.unknown").to_owned(), Vec::new()),
        };
        // As people look for them, and `dfs` lists them.
        let mut nodes = now.nodes.clone();
        nodes.sort_by(|one, other| one.address.cmp(&other.address));
        let shares = shares(texts, &nodes);
        let words = shares.iter().map(|share| {
            let values = [("address", &*share.address), ("percent", &share.percent)];
            texts.fill("cluster.share", &values)
        });
        let words = words.collect::<Vec<_>>().join(", ");
        Self {
            page,
            texts,
            status: StatusView::new(texts, &now.known),
            sentence,
            figures,
            nodes: nodes
                .iter()
                .map(|node| NodeView::new(texts, node))
                .collect(),
            more_nodes: now.more_nodes,
            shares_text: texts.fill("cluster.copiesText", &[("shares", &words)]),
            shares,
        }
    }
}

/// How it does, with what is to be done about it if it is nothing.
fn sentence(texts: &Texts, status: &ClusterStatus) -> String {
    let chunks = &status.chunks;
    if chunks.unavailable > 0 {
        return texts.count("cluster.lost", chunks.unavailable);
    }
    if chunks.missing_copies > 0 {
        return missing(texts, status);
    }
    if !status.uploads_possible {
        return texts.say("cluster.noUploads").to_owned();
    }
    match (status.problems.is_empty(), chunks.total) {
        (true, 0) => texts.say("cluster.nothingKept").to_owned(),
        (true, total) => {
            let wanted = status.rules.replication_factor.to_string();
            texts.count_with("cluster.allWell", total, &[("wanted", &wanted)])
        }
        (false, _) => texts.say("cluster.needsLook").to_owned(),
    }
}

fn missing(texts: &Texts, status: &ClusterStatus) -> String {
    let wanted = status.rules.replication_factor;
    let (missing, one) = (status.chunks.missing_copies, status.chunks.one_copy);
    let copies = if one == missing {
        "cluster.justOneCopy"
    } else if one == 0 && wanted == 3 {
        "cluster.twoCopies"
    } else {
        "cluster.fewerCopies"
    };
    let missing = texts.count_with(copies, missing, &[("wanted", &wanted.to_string())]);
    match status.repair.seconds_left {
        Some(seconds) => {
            let span = texts.span(seconds.saturating_mul(1000));
            texts.fill("cluster.safeIn", &[("missing", &missing), ("span", &span)])
        }
        None if status.repair.running > 0 => {
            texts.fill("cluster.copying", &[("missing", &missing)])
        }
        None => texts.fill("cluster.missing", &[("missing", &missing)]),
    }
}

fn figures(texts: &'static Texts, status: &ClusterStatus) -> Vec<(&'static str, String)> {
    let files = texts.count("units.files", status.files);
    let folders = texts.count("cluster.inFolders", status.folders);
    let size = size_text(texts, status.file_bytes);
    let kept = [("files", &*files), ("folders", &folders), ("size", &size)];
    let room = size_text(texts, status.room_bytes);
    let mut figures = vec![
        (
            texts.say("cluster.files"),
            texts.fill("cluster.filesIn", &kept),
        ),
        (
            texts.say("cluster.room"),
            texts.fill("cluster.roomMore", &[("size", &room)]),
        ),
        (texts.say("cluster.repair"), repair(texts, status)),
    ];
    if status.chunks.to_delete > 0 {
        let text = texts.count("cluster.toDelete", status.chunks.to_delete);
        figures.push((texts.say("cluster.notNeeded"), text));
    }
    figures
}

/// With its unit in the same line.
fn size_text(texts: &Texts, bytes: u64) -> String {
    texts.size(bytes).replace(' ', "\u{a0}")
}

fn repair(texts: &Texts, status: &ClusterStatus) -> String {
    let repair = &status.repair;
    let chunks = &status.chunks;
    let under_way = u64::from(repair.running) + repair.queued;
    // Nothing can be done about these with the nodes that are here; what has no copy may have been lost for good.
    let stuck = chunks
        .missing_copies
        .saturating_sub(chunks.unavailable + under_way);
    let mut parts = Vec::new();
    if under_way > 0 {
        parts.push(texts.count("cluster.beingCopied", repair.running));
    }
    if repair.queued > 0 {
        parts.push(texts.count("cluster.wait", repair.queued));
    }
    if under_way > 0 && repair.bytes_per_second > 0 {
        let size = size_text(texts, repair.bytes_per_second);
        parts.push(texts.fill("cluster.aSecond", &[("size", &size)]));
    }
    if stuck > 0 {
        parts.push(texts.count("cluster.waitForNode", stuck));
    }
    if parts.is_empty() {
        return texts.say("cluster.noRepair").to_owned();
    }
    parts.join(", ")
}

fn state(node: &NodeSummary) -> (&'static str, &'static str) {
    match node.state {
        NodeState::Live => ("live", "cluster.live"),
        NodeState::Suspect => ("suspect", "cluster.suspect"),
        NodeState::Dead => ("dead", "cluster.dead"),
    }
}

impl NodeView {
    fn new(texts: &Texts, node: &NodeSummary) -> Self {
        const RECENT_MS: u64 = 10_000;
        let usage = &node.usage;
        let (state, state_text) = state(node);
        let heard = match node.heartbeat_age_ms {
            None => texts.say("cluster.neverHeard").to_owned(),
            Some(age) if age < RECENT_MS && node.state == NodeState::Live => {
                texts.say("cluster.heardNow").to_owned()
            }
            Some(age) => texts.fill("cluster.heard", &[("ago", &texts.ago(age))]),
        };
        let mut trouble = Vec::new();
        if usage.failed_disks > 0 {
            trouble.push(texts.count("cluster.disksFailed", usage.failed_disks));
        }
        if usage.corrupt_chunks > 0 {
            trouble.push(texts.count("cluster.damaged", usage.corrupt_chunks));
        }
        if !usage.writable && node.state == NodeState::Live {
            trouble.push(texts.say("cluster.takesNone").to_owned());
        }
        let chunks = texts.count("units.chunks", node.chunks);
        let stored = size_text(texts, usage.stored_bytes);
        let free = size_text(texts, usage.free_bytes);
        let capacity = size_text(texts, usage.capacity_bytes);
        let used = usage.capacity_bytes.saturating_sub(usage.free_bytes);
        Self {
            address: node.address.to_string(),
            zone: node.zone.clone(),
            state,
            state_text,
            heard,
            copies: texts.fill(
                "cluster.nodeCopies",
                &[("chunks", &chunks), ("size", &stored)],
            ),
            used: per_mille(used, usage.capacity_bytes),
            space: texts.fill("cluster.free", &[("free", &free), ("capacity", &capacity)]),
            trouble,
        }
    }
}

fn per_mille(part: u64, whole: u64) -> u64 {
    let share = u128::from(part) * 1000 / u128::from(whole.max(1));
    u64::try_from(share.min(1000)).expect("at most a thousand")
}

fn shares(texts: &Texts, nodes: &[NodeSummary]) -> Vec<Share> {
    let all = nodes
        .iter()
        .fold(0_u64, |sum, node| sum.saturating_add(node.chunks));
    let mut before = 0_u64;
    nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.chunks > 0)
        .map(|(place, node)| {
            let begin = per_mille(before, all);
            before = before.saturating_add(node.chunks);
            let width = per_mille(before, all) - begin;
            Share {
                state: state(node).0,
                shade: place % SHADES,
                begin,
                width,
                address: node.address.to_string(),
                percent: texts.percent((width + 5) / 10),
            }
        })
        .collect()
}
