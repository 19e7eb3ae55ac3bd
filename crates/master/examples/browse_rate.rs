//! Measures how long pages of one very large folder take, folders first, by name and by size.
//!
//! `cargo run --release -p master --example browse_rate -- FOLDER [ENTRIES]`: the store is made in FOLDER, which must not
//! hold one, with empty files in one folder, at times in no order, and a folder in the place of every thousandth.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use disk::{RealDisk, RedbBackend};
use master::command::{ClusterMillis, Command, TimedCommand};
use master::state::{State, StateOptions};
use proto::id::{ClusterId, RequestId, UploadId};
use proto::master::{
    BrowseCursor, BrowseFolder, BrowseOrder, ClusterRules, FolderBrowsed, Precondition,
    SEARCH_ROWS_MAX,
};
use proto::name::{EntryName, NameRules};
use uuid::Uuid;

const PAGE_LEN: u32 = 500;
/// Pages of a sorted folder that are asked for, one after another.
const SORTED_PAGES: u32 = 10;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("name a folder")?;
    let entries: u64 = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let state = open(Path::new(&folder))?;
    fill(&state, entries)?;
    let middle = EntryName::new(name(entries / 2 + 1))?;
    for (what, after) in [
        ("the first page", None),
        (
            "the first page of files",
            Some(BrowseCursor::folder(EntryName::new("z")?)),
        ),
        ("a page in the middle", Some(BrowseCursor::file(middle))),
    ] {
        let (page, took) = browse(&state, BrowseOrder::default(), after)?;
        println!("{what}: {} entries in {took:.2?}", page.entries.len());
    }
    let started = Instant::now();
    let (mut after, mut seen, mut slowest) = (None, 0, Duration::ZERO);
    loop {
        let (page, took) = browse(&state, BrowseOrder::default(), after)?;
        seen += page.entries.len() as u64;
        slowest = slowest.max(took);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    ensure!(seen == entries);
    let took = started.elapsed();
    println!("all {seen} entries in {took:.1?}; the slowest page took {slowest:.2?}");
    for order in ["-name", "size", "-size", "modified", "-modified"] {
        let (mut after, mut took) = (None, Vec::new());
        for _ in 0..SORTED_PAGES {
            let order = BrowseOrder::try_from(order.to_owned())?;
            let (page, page_took) = browse(&state, order, after)?;
            took.push(page_took);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        took.sort();
        let (median, slowest) = (took[took.len() / 2], took[took.len() - 1]);
        println!("pages by {order}: the median {median:.2?}, the slowest {slowest:.2?}");
    }
    Ok(())
}

fn browse(
    state: &State,
    order: BrowseOrder,
    after: Option<BrowseCursor>,
) -> Result<(FolderBrowsed, Duration)> {
    let request = BrowseFolder {
        path: "/large".parse()?,
        order,
        after,
        from: None,
        limit: PAGE_LEN,
        rows: SEARCH_ROWS_MAX,
    };
    let started = Instant::now();
    let page = state.read()?.browse(&request)?;
    Ok((page, started.elapsed()))
}

fn open(folder: &Path) -> Result<State> {
    let disk = RealDisk::open(folder)?;
    disk.create("state.redb")?;
    disk.sync_folder("")?;
    let options = StateOptions {
        new_cluster: ClusterId::new(Uuid::new_v4()),
        rules: ClusterRules {
            chunk_size: 1 << 20,
            replication_factor: 3,
            min_write_replicas: 2,
            file_size_max: None,
            names: NameRules::Any,
        },
        cache_bytes: 8 << 20,
    };
    let backend = move || Ok(RedbBackend::new(disk.open("state.redb")?));
    Ok(State::open(backend, &options)?)
}

fn fill(state: &State, entries: u64) -> Result<()> {
    for first in (0..entries).step_by(10_000) {
        let commands: Vec<_> = (first..entries.min(first + 10_000)).map(command).collect();
        let applied = state.write()?.run(&commands, false)?;
        ensure!(applied.outcomes.iter().all(Result::is_ok));
    }
    Ok(())
}

fn name(number: u64) -> String {
    format!("IMG_{number:07}.jpg")
}

fn command(number: u64) -> TimedCommand {
    let path = format!("/large/{}", name(number))
        .parse()
        .expect("it is a path");
    let id = Uuid::from_u128(u128::from(number) + 1);
    let command = if number.is_multiple_of(1000) {
        Command::CreateFolder {
            request: RequestId::new(id),
            path,
            parents: true,
        }
    } else {
        Command::CommitUpload {
            upload: UploadId::new(id),
            path,
            size: 0,
            modified_ms: Some(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20),
            blocks: 0,
            place: 0,
            doubtful: Vec::new(),
            chunks: Vec::new(),
            parents: true,
            precondition: Precondition::Absent,
        }
    };
    TimedCommand {
        at: ClusterMillis(number + 1),
        wall_ms: number,
        command,
    }
}
