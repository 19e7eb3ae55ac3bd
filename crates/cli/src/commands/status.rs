//! `dfs status`: a colour, what is wrong, what happens next and how long it takes, and how each node is.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use proto::master::{ClusterStatus, Health, NodeSummary};
use serde::Serialize;

use super::node::{all_nodes, node_table};
use crate::context::Context;
use crate::output::{Colour, Output, span};
use client::people::{count, grouped, size};

/// What `--json` shows.
#[derive(Debug, Serialize)]
struct Everything<'a> {
    #[serde(flatten)]
    status: &'a ClusterStatus,
    node_list: &'a [NodeSummary],
}

pub(super) async fn run(context: &Context, json: bool) -> anyhow::Result<()> {
    let status = context.cluster.status().await;
    let status = status.context("ask how the cluster does")?;
    let nodes = all_nodes(context).await?;
    let mut output = Output::stdout();
    if json {
        output.json(&Everything {
            status: &status,
            node_list: &nodes,
        })?;
    } else {
        output.line(&headline(&output, &status))?;
        for problem in &status.problems {
            let mark = output.paint(colour(problem.health), word(problem.health));
            output.line(&format!("  {mark}: {}", problem.message))?;
        }
        for line in sums(&status) {
            output.line(&format!("  {line}"))?;
        }
        for line in node_table(&output, &nodes).lines("  ") {
            output.line(&line)?;
        }
    }
    output.flush()?;
    Ok(())
}

fn headline(output: &Output, status: &ClusterStatus) -> String {
    let what = match (status.health, status.uploads_possible) {
        (Health::Green, _) => "everything has all its copies, and uploads work",
        (Health::Yellow, true) => "everything can be read, and uploads work",
        (Health::Yellow, false) => "everything can be read, but uploads do not work now",
        (Health::Red, true) => "something cannot be read now; uploads work",
        (Health::Red, false) => "uploads do not work now",
    };
    let mark = output.paint(colour(status.health), word(status.health));
    format!("{mark}: {what}")
}

const fn word(health: Health) -> &'static str {
    match health {
        Health::Green => "green",
        Health::Yellow => "yellow",
        Health::Red => "red",
    }
}

const fn colour(health: Health) -> Colour {
    match health {
        Health::Green => Colour::Green,
        Health::Yellow => Colour::Yellow,
        Health::Red => Colour::Red,
    }
}

/// The figures, a line each; what is zero and should be is left out.
fn sums(status: &ClusterStatus) -> Vec<String> {
    let mut lines = vec![format!(
        "{} in {}, {}",
        count(status.files, "file"),
        count(status.folders, "folder"),
        size(status.file_bytes)
    )];
    lines.extend(trash(status));
    lines.extend(former_versions(status));
    lines.push(format!(
        "{} of {} live, {} free of {}{}",
        status.nodes.live,
        count(u64::from(status.nodes.total), "node"),
        size(status.free_bytes),
        size(status.capacity_bytes),
        room(status)
    ));
    lines.extend(copies(status));
    lines.extend(repair(status));
    lines
}

fn trash(status: &ClusterStatus) -> Option<String> {
    let trash = &status.trash;
    (trash.files + trash.folders > 0).then(|| {
        format!(
            "in the trash: {} in {}, {}; kept for {}",
            count(trash.files, "file"),
            count(trash.folders, "folder"),
            size(trash.bytes),
            span(Duration::from_millis(trash.kept_ms))
        )
    })
}

fn former_versions(status: &ClusterStatus) -> Option<String> {
    let former = &status.former_versions;
    (former.versions > 0).then(|| {
        format!(
            "former versions: {}, {}; kept for {}",
            grouped(former.versions),
            size(former.bytes),
            span(Duration::from_millis(former.kept_ms))
        )
    })
}

/// What still fits; nothing where nothing can be uploaded, which a problem says.
fn room(status: &ClusterStatus) -> String {
    if !status.uploads_possible {
        return String::new();
    }
    format!(": room for about {} more", size(status.room_bytes))
}

fn copies(status: &ClusterStatus) -> Option<String> {
    let chunks = &status.chunks;
    let of = |number, one, more| if number == 1 { one } else { more };
    let mut line = format!(
        "{} of {} {} copies",
        grouped(chunks.missing_copies),
        count(chunks.total, "chunk"),
        of(chunks.missing_copies, "lacks", "lack")
    );
    let parts = [
        (chunks.one_copy, "one copy left"),
        (chunks.unavailable, "none now"),
    ];
    for (number, what) in parts {
        let what = format!("{} {what}", of(number, "has", "have"));
        if number > 0 {
            // Writing to a String cannot fail.
            write!(line, ", {} {what}", grouped(number)).expect("a String takes any text");
        }
    }
    (chunks.missing_copies > 0 || chunks.unavailable > 0).then_some(line)
}

fn repair(status: &ClusterStatus) -> Option<String> {
    let repair = &status.repair;
    if repair.running == 0 && repair.queued == 0 {
        return None;
    }
    let left = match repair.seconds_left {
        Some(secs) => format!(", about {} left", span(Duration::from_secs(secs))),
        None => String::new(),
    };
    Some(format!(
        "repair: {} being copied, {} waiting, {}/s{left}",
        count(u64::from(repair.running), "chunk"),
        grouped(repair.queued),
        size(repair.bytes_per_second)
    ))
}

#[cfg(test)]
mod tests {
    use proto::id::{ClusterId, Epoch, RunId};
    use proto::master::{
        ChunkCounts, ClusterRules, FormerVersionsKept, NodeCounts, RepairStatus, TrashKept,
    };
    use proto::name::NameRules;

    use super::*;

    fn status() -> ClusterStatus {
        ClusterStatus {
            cluster: ClusterId::new(uuid::Uuid::nil()),
            epoch: Epoch(3),
            run: RunId::new(uuid::Uuid::nil()),
            position: 1234,
            health: Health::Green,
            problems: Vec::new(),
            uploads_possible: true,
            nodes: NodeCounts {
                total: 3,
                live: 2,
                ..NodeCounts::default()
            },
            files: 1,
            folders: 0,
            file_bytes: 1024,
            trash: TrashKept::default(),
            former_versions: FormerVersionsKept::default(),
            capacity_bytes: 4096,
            free_bytes: 2048,
            room_bytes: 682,
            chunks: ChunkCounts::default(),
            repair: RepairStatus::default(),
            safe_mode: None,
            delete_fuse: None,
            rules: ClusterRules {
                chunk_size: 1 << 20,
                replication_factor: 3,
                min_write_replicas: 2,
                file_size_max: None,
                names: NameRules::Any,
            },
        }
    }

    #[test]
    fn a_healthy_cluster_needs_two_lines() {
        assert_eq!(
            sums(&status()),
            [
                "1 file in 0 folders, 1.0 kB",
                "2 of 3 nodes live, 2.0 kB free of 4.1 kB: room for about 682 bytes more"
            ]
        );
    }

    #[test]
    fn what_was_deleted_and_overwritten_is_said_with_how_long_it_is_kept() {
        const DAY_MS: u64 = 24 * 3600 * 1000;
        let mut status = status();
        status.trash = TrashKept {
            files: 2,
            folders: 1,
            bytes: 3000,
            kept_ms: 30 * DAY_MS,
        };
        status.former_versions = FormerVersionsKept {
            versions: 1500,
            bytes: 1,
            kept_ms: 7 * DAY_MS,
        };
        assert_eq!(
            sums(&status)[1..3],
            [
                "in the trash: 2 files in 1 folder, 3.0 kB; kept for 30 days",
                "former versions: 1,500, 1 byte; kept for 7 days"
            ]
        );
    }

    #[test]
    fn what_lacks_copies_and_how_long_it_takes_is_said() {
        let mut status = status();
        status.chunks = ChunkCounts {
            total: 10,
            missing_copies: 4,
            one_copy: 1,
            ..ChunkCounts::default()
        };
        status.repair = RepairStatus {
            running: 2,
            queued: 2,
            bytes_per_second: 1 << 20,
            seconds_left: Some(90),
        };
        assert_eq!(
            sums(&status)[2..],
            [
                "4 of 10 chunks lack copies, 1 has one copy left",
                "repair: 2 chunks being copied, 2 waiting, 1.0 MB/s, about 90 seconds left"
            ]
        );
    }
}
