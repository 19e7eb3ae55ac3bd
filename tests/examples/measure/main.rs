//! Measures a whole cluster on this machine, beside what its disk can do in the same run, and prints a table.
//!
//! `cargo run --release -p tests --example measure -- [--folder DIR] [--big MB] [--huge MB]
//! [--repair CHUNKS]`. Everything goes through the
//! HTTP API, as a browser or a script would; each upload is new content, so that nothing is saved by knowing it
//! already; what is downloaded is compared. Rates are of one run on one machine: compare them with the disk's rate beside
//! them, not with another day's.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a measurement may fail, and its figures are rounded"
)]

#[path = "../../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "it has what the tests need too")]
mod support;

mod http;
mod repair;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use http::{Http, Pattern};
use support::Cluster;

const MIB: u64 = 1 << 20;
/// Small files: one page each.
const SMALL: usize = 4096;
const SMALL_COUNT: u64 = 8000;
const CONNECTIONS: u64 = 16;

struct Options {
    folder: PathBuf,
    big: u64,
    huge: u64,
    repair: u64,
}

fn options() -> Options {
    let mut options = Options {
        folder: std::env::temp_dir(),
        big: 512,
        huge: 0,
        repair: 0,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().expect("every option has a value");
        match name.as_str() {
            "--folder" => options.folder = value.into(),
            "--big" => options.big = value.parse().unwrap(),
            "--huge" => options.huge = value.parse().unwrap(),
            "--repair" => options.repair = value.parse().unwrap(),
            _ => panic!("{name}: the options are --folder, --big, --huge and --repair"),
        }
    }
    options
}

#[tokio::main]
async fn main() {
    let options = options();
    // Memory that a virtual machine's host has yet to give is slow the first time: not what is to be measured.
    append_rate(&options.folder, 3, options.big);
    if options.repair > 0 {
        return repair::measure(&options, options.repair).await;
    }
    let append = append_rate(&options.folder, 1, options.big);
    let append_thrice = append_rate(&options.folder, 3, options.big);
    row("disk: append with fsync", append, "MB/s");
    row(
        "disk: three files at once, of each",
        append_thrice / 3.0,
        "MB/s",
    );
    let cluster = Cluster::plan()
        .set("chunk_size", "\"1MiB\"")
        .set("heartbeat_interval", "\"5s\"")
        .set("failure_timeout", "\"15s\"")
        .start_in(&options.folder)
        .await;
    cluster.until_nodes_hear_of_it().await;
    row("memory of all processes, idle", memory(&cluster), "MB");
    let big = options.big * MIB;
    let rate = timed(
        &cluster,
        "upload of one file",
        big,
        put(&cluster, "big", 1, big),
    )
    .await;
    row(
        "  as a share of a third of the disk's rate",
        rate / (append / 3.0),
        "",
    );
    timed(
        &cluster,
        "download of one file",
        big,
        get(&cluster, "big", 1, big),
    )
    .await;
    let four = || async {
        let gets = (0..4).map(|_| get(&cluster, "big", 1, big));
        futures::future::join_all(gets).await;
    };
    timed(&cluster, "download, four at once", 4 * big, four()).await;
    small(&cluster).await;
    memory_of_each(&cluster);
    if options.huge > 0 {
        let huge = options.huge * MIB;
        timed(
            &cluster,
            "upload of a huge file",
            huge,
            put(&cluster, "huge", 2, huge),
        )
        .await;
        memory_of_each(&cluster);
    }
}

/// Many small files, over a few connections.
async fn small(cluster: &Cluster) {
    let share = SMALL_COUNT / CONNECTIONS;
    for (what, is_put) in [("uploads of 4 KiB", true), ("downloads of 4 KiB", false)] {
        let cpu = cpu_seconds(cluster);
        let begun = Instant::now();
        let workers = (0..CONNECTIONS).map(|worker| {
            let address = cluster.web.address();
            tokio::spawn(async move {
                let mut http = Http::connect(&address).await;
                for number in 0..share {
                    let seed = worker * share + number + 1000;
                    let path = format!("/api/v1/files/small/{worker}/{number}");
                    let pattern = Pattern::new(seed, SMALL as u64);
                    if is_put {
                        http.put(&path, pattern).await;
                    } else {
                        http.get(&path, pattern).await;
                    }
                }
            })
        });
        for worker in futures::future::join_all(workers).await {
            worker.unwrap();
        }
        let rate = SMALL_COUNT as f64 / begun.elapsed().as_secs_f64();
        row(what, rate, "/s");
        let cpu = (cpu_seconds(cluster) - cpu) / SMALL_COUNT as f64 * 1e3;
        row("  processor time for each, of all processes", cpu, "ms");
    }
}

async fn put(cluster: &Cluster, name: &str, seed: u64, len: u64) {
    let mut http = Http::connect(&cluster.web.address()).await;
    http.put(&format!("/api/v1/files/{name}"), Pattern::new(seed, len))
        .await;
}

async fn get(cluster: &Cluster, name: &str, seed: u64, len: u64) {
    let mut http = Http::connect(&cluster.web.address()).await;
    http.get(&format!("/api/v1/files/{name}"), Pattern::new(seed, len))
        .await;
}

async fn timed(cluster: &Cluster, what: &str, len: u64, work: impl Future<Output = ()>) -> f64 {
    let cpu = cpu_seconds(cluster);
    let begun = Instant::now();
    work.await;
    let rate = len as f64 / 1e6 / begun.elapsed().as_secs_f64();
    row(what, rate, "MB/s");
    let cpu = (cpu_seconds(cluster) - cpu) / (len as f64 / 1e9);
    row("  processor time of all processes", cpu, "s/GB");
    rate
}

/// What the disk takes when `files` are appended to at once, a MiB at a time with an fsync each four; the files are kept
/// until all are done, so that blocks are new.
fn append_rate(folder: &Path, files: usize, megabytes: u64) -> f64 {
    let scratch = tempfile::tempdir_in(folder).unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..files {
            let path = scratch.path().join(number.to_string());
            scope.spawn(move || {
                let mut file = std::fs::File::create(path).unwrap();
                let block = support::content(number as u64, 1 << 20);
                for count in 1..=megabytes {
                    file.write_all(&block).unwrap();
                    if count % 4 == 0 {
                        file.sync_data().unwrap();
                    }
                }
            });
        }
    });
    files as f64 * (megabytes * MIB) as f64 / 1e6 / begun.elapsed().as_secs_f64()
}

fn row(what: &str, figure: f64, unit: &str) {
    println!("{what:<45} {figure:>10.2} {unit}");
}

/// Resident memory of all five processes, in MB; nothing where the system does not tell.
fn memory(cluster: &Cluster) -> f64 {
    cluster.process_ids().into_iter().map(resident).sum()
}

fn memory_of_each(cluster: &Cluster) {
    row("memory of all processes, after that", memory(cluster), "MB");
    let nodes = cluster.nodes().iter();
    for process in nodes.chain([&cluster.master, &cluster.web]) {
        let name = format!("  of {}", process.name());
        row(&name, process.id().map_or(0.0, resident), "MB");
    }
}

fn resident(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or(0.0) * 1024.0 / 1e6
}

/// Processor time of all five processes so far.
fn cpu_seconds(cluster: &Cluster) -> f64 {
    let ticks = |id: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let behind_name = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .to_owned();
        let fields = behind_name.split_whitespace().skip(11).take(2);
        fields
            .filter_map(|field| field.parse::<f64>().ok())
            .sum::<f64>()
    };
    let all: f64 = cluster.process_ids().into_iter().map(ticks).sum();
    all / 100.0
}
