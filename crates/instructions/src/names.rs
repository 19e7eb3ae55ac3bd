//! What the master does with names and chunks, on a disk in memory.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use disk::MemoryDisk;
use master::command::{Command, NodeNumber};
use master::placement::{Candidate, Candidates, choose};
use master::state::{Outcome, State};
use proto::id::{ClusterId, RequestId};
use proto::master::{BrowseFolder, BrowseOrder, Precondition, SEARCH_ROWS_MAX, SearchNames};
use proto::name::EntryPath;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use synthetic::{apply, nodes, open_state, timed, upload};
use uuid::Uuid;

const NODES: u32 = 3;
/// Files before the first turn.
const FILES: u64 = 100;
const CACHE_BYTES: usize = 8 << 20;
const PAGE_LEN: u32 = 100;

pub(crate) fn uploads(turns: u64) -> Result<()> {
    const TOGETHER: u64 = 16;
    let state = filled()?;
    for turn in 0..turns {
        let first = FILES + turn * TOGETHER;
        let files = first..first + TOGETHER;
        let commands: Vec<_> = files
            .flat_map(|file| upload(file, path(file), NODES))
            .collect();
        apply(&state, &commands, true)?;
    }
    Ok(())
}

pub(crate) fn open_file(turns: u64) -> Result<()> {
    let state = filled()?;
    for turn in 0..turns {
        let read = state.read()?;
        let (version, row) = read.file(&path(turn * 7 % FILES), None)?;
        let chunks = read.chunks_of(version, &row, 0, 1)?;
        let ids: Vec<_> = chunks.into_iter().map(|(chunk, _)| chunk).collect();
        ensure!(read.chunks(&ids)?.len() == 1);
    }
    Ok(())
}

pub(crate) fn browse(turns: u64) -> Result<()> {
    let state = filled()?;
    let request = BrowseFolder {
        path: "/folder".parse()?,
        order: BrowseOrder::default(),
        after: None,
        from: None,
        limit: PAGE_LEN,
        rows: SEARCH_ROWS_MAX,
    };
    for _ in 0..turns {
        let page = state.read()?.browse(&request)?;
        ensure!(page.entries.len() == PAGE_LEN as usize);
    }
    Ok(())
}

pub(crate) fn search(turns: u64) -> Result<()> {
    let state = filled()?;
    let request = SearchNames {
        text: "needle".to_owned(),
        under: EntryPath::ROOT,
        after: None,
        limit: PAGE_LEN,
        rows: SEARCH_ROWS_MAX,
    };
    for _ in 0..turns {
        ensure!(state.read()?.search(&request)?.next.is_none());
    }
    Ok(())
}

pub(crate) fn delete_and_restore(turns: u64) -> Result<()> {
    let state = filled()?;
    for turn in 0..turns {
        let request = |step: u64| RequestId::new(Uuid::from_u128(u128::from(turn * 2 + step) + 1));
        let delete = Command::DeleteEntry {
            request: request(0),
            path: "/folder".parse()?,
            recursive: true,
            purge: false,
            precondition: Precondition::Any,
        };
        let at = FILES + turn * 2;
        let deleted = state.write()?.run(&[timed(at, delete)], true)?;
        let trash = match deleted
            .outcomes
            .into_iter()
            .next()
            .context("it was deleted")??
        {
            Outcome::Deleted { trashed } => trashed.context("it is in the trash")?,
            other => anyhow::bail!("a deletion gave {other:?}"),
        };
        let restore = Command::RestoreEntry {
            request: request(1),
            trash,
            to: None,
        };
        apply(&state, &[timed(at + 1, restore)], true)?;
    }
    Ok(())
}

pub(crate) fn place(turns: u64) -> Result<()> {
    let candidate = |node: u32| Candidate {
        node: NodeNumber(node),
        zone: format!("zone {}", node % 10).into(),
        free_bytes: u64::from(node % 7 + 1) << 40,
    };
    let candidates: Candidates = (1..=1000).map(candidate).collect();
    let mut chance = SmallRng::seed_from_u64(7);
    for _ in 0..turns {
        let chosen = choose(black_box(&candidates), &[], &[], 3, &mut chance);
        ensure!(black_box(chosen).len() == 3);
    }
    Ok(())
}

fn filled() -> Result<State> {
    let disk = MemoryDisk::new().shared();
    let state = open_state(&disk, ClusterId::new(Uuid::from_u128(1)), CACHE_BYTES)?;
    let files = (0..FILES).flat_map(|file| upload(file, path(file), NODES));
    let commands: Vec<_> = nodes(NODES).chain(files).collect();
    apply(&state, &commands, true)?;
    Ok(state)
}

fn path(file: u64) -> EntryPath {
    let path = format!("/folder/file {file}.txt");
    path.parse().expect("it is a path")
}
