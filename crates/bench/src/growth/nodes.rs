//! The master with more and more nodes, which are simulated, and the same files.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proto::hello::Role;
use proto::master::{ClusterStatus, GetStatus, ListNodes};
use synthetic::digests;

use super::caller::{Caller, rate};
use super::curve::{Curves, Kind, Subject};
use super::files::{cluster, fill, start, store, until_compared};
use super::simulated::SimulatedNode;
use crate::machine::{cpu_seconds, resident};

/// Files, each of one chunk with three copies.
const FILES: u64 = 100_000;
const SPAN: Duration = Duration::from_secs(3);
/// So long heartbeats alone are watched.
const QUIET: Duration = Duration::from_secs(20);
const REPAIR_MAX: Duration = Duration::from_secs(900);

const fn subject(title: &'static str, unit: &'static str, kind: Kind, least: f64) -> Subject {
    Subject {
        of: "nodes",
        title,
        unit,
        kind,
        least,
    }
}

const START: Subject = subject("start, with 100,000 files", "s", Kind::Whole, 0.5);
const JOINED: Subject = subject("all joined and compared", "s", Kind::Whole, 1.0);
const BEATS: Subject = subject("heartbeats: a core's share", "%", Kind::Whole, 0.5);
const MEMORY: Subject = subject("memory", "MB", Kind::Whole, 30.0);
const UPLOADS: Subject = subject("uploads, 16 at once, fsynced", "/s", Kind::Rate, 0.0);
const STATUS: Subject = subject("status", "ms", Kind::Each, 2.0);
const PAGE: Subject = subject("a page of 100 nodes", "ms", Kind::Each, 5.0);
const COPIES: Subject = subject("copies that a lost node had", "", Kind::Found, 0.0);
const REPAIRED: Subject = subject("made again, once it is dead, in", "s", Kind::Whole, 1.0);
const ORDERS: Subject = subject("which is", "/s", Kind::Found, 0.0);

/// One store for each number of nodes.
pub(crate) async fn measure(folder: &Path, sizes: &[u32], curves: &mut Curves) -> Result<()> {
    for size in sizes {
        let here = folder.join(size.to_string());
        std::fs::create_dir_all(&here)?;
        std::fs::copy(folder.join("config.toml"), here.join("config.toml"))?;
        fill(&here.join("master"), 0..FILES, *size).await?;
        turn(&here, *size, curves).await?;
        std::fs::remove_dir_all(&here)?;
    }
    Ok(())
}

async fn turn(folder: &Path, count: u32, curves: &mut Curves) -> Result<()> {
    let size = u64::from(count);
    let (process, address) = start(folder, size, START, curves).await?;
    let begun = Instant::now();
    let mut nodes = Vec::new();
    for (number, digest) in (1..).zip(digests(0..FILES, count)) {
        nodes.push(SimulatedNode::start(number, &address, cluster(), digest).await?);
    }
    let caller = Caller::connect(&address, Role::Client, cluster()).await?;
    until_compared(&caller).await?;
    curves.add(JOINED, size, begun.elapsed().as_secs_f64());
    let before = cpu_seconds(&process.ids());
    tokio::time::sleep(QUIET).await;
    let busy = (cpu_seconds(&process.ids()) - before) / QUIET.as_secs_f64();
    curves.add(BEATS, size, busy * 100.0);
    let uploads = rate(16, SPAN, |turn| store(&caller, &nodes, 1 << 40 | turn));
    curves.add(UPLOADS, size, uploads.await?);
    curves.add(STATUS, size, caller.median_ms(|_| GetStatus {}).await?);
    let page = |_| ListNodes {
        after: None,
        limit: 100,
    };
    curves.add(PAGE, size, caller.median_ms(page).await?);
    curves.add(MEMORY, size, resident(&process.ids()));
    lose_one(&caller, nodes, size, curves).await
}

/// Takes a node away, and waits until all that it had was copied, by nodes that only say so.
async fn lose_one(
    caller: &Caller,
    mut nodes: Vec<SimulatedNode>,
    size: u64,
    curves: &mut Curves,
) -> Result<()> {
    drop(nodes.pop().context("there are nodes")?);
    let dead = look(caller, |status| {
        status.nodes.dead == 1 && status.chunks.missing_copies > 0
    });
    dead.await?;
    let begun = Instant::now();
    look(caller, |status| status.chunks.missing_copies == 0).await?;
    let took = begun.elapsed().as_secs_f64();
    let copied: u64 = nodes.iter().map(SimulatedNode::copied).sum();
    curves.add(COPIES, size, copied as f64);
    curves.add(REPAIRED, size, took);
    curves.add(ORDERS, size, copied as f64 / took);
    Ok(())
}

async fn look(caller: &Caller, is_so: impl Fn(&ClusterStatus) -> bool) -> Result<()> {
    let begun = Instant::now();
    loop {
        let status = caller.call(GetStatus {}).await?;
        if is_so(&status) {
            return Ok(());
        }
        ensure!(begun.elapsed() < REPAIR_MAX, "still: {status:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
