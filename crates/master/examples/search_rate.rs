//! Measures how many names a search looks at in a second, where none of them is found.
//!
//! `cargo run --release -p master --example search_rate -- FOLDER [NAMES]`: the store is made in FOLDER, which must not
//! hold one, with empty files in folders of a thousand.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use disk::{RealDisk, RedbBackend};
use master::command::{ClusterMillis, Command, TimedCommand};
use master::state::{State, StateOptions};
use proto::id::{ClusterId, UploadId};
use proto::master::{ClusterRules, Precondition, SEARCH_ROWS_MAX, SearchNames};
use proto::name::{EntryPath, NameRules};
use uuid::Uuid;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("name a folder")?;
    let names: u64 = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let state = open(Path::new(&folder))?;
    fill(&state, names)?;
    for text in ["needle", "img 9999999", "Straße"] {
        let started = Instant::now();
        let calls = search(&state, text)?;
        let took = started.elapsed();
        let in_a_second = u128::from(names) * 1000 / took.as_millis().max(1);
        println!("{text:?}: {took:.0?} in {calls} calls, {in_a_second} names a second");
    }
    Ok(())
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

/// Names as a camera gives them, and every tenth with letters of other alphabets.
fn fill(state: &State, names: u64) -> Result<()> {
    for first in (0..names).step_by(10_000) {
        let commands: Vec<_> = (first..names.min(first + 10_000)).map(command).collect();
        let applied = state.write()?.run(&commands, false)?;
        ensure!(applied.outcomes.iter().all(Result::is_ok));
    }
    Ok(())
}

fn command(number: u64) -> TimedCommand {
    let (folder, marks) = (
        number / 1000,
        if number.is_multiple_of(10) { " é" } else { "" },
    );
    let path = format!("/folder {folder:06}/IMG_{number:07}{marks}.jpg");
    TimedCommand {
        at: ClusterMillis(number + 1),
        wall_ms: number,
        command: Command::CommitUpload {
            upload: UploadId::new(Uuid::from_u128(u128::from(number) + 1)),
            path: path.parse().expect("it is a path"),
            size: 0,
            modified_ms: None,
            blocks: 0,
            place: 0,
            doubtful: Vec::new(),
            chunks: Vec::new(),
            parents: true,
            precondition: Precondition::Absent,
        },
    }
}

/// Looks at every name, and says in how many calls.
fn search(state: &State, text: &str) -> Result<u32> {
    let mut after = None;
    for calls in 1.. {
        let request = SearchNames {
            text: text.to_owned(),
            under: EntryPath::ROOT,
            after,
            limit: 50,
            rows: SEARCH_ROWS_MAX,
        };
        after = state.read()?.search(&request)?.next;
        if after.is_none() {
            return Ok(calls);
        }
    }
    unreachable!("a search ends")
}
