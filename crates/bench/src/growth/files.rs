//! The master with more and more files.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use disk::RealDisk;
use master::folder::Folder;
use proto::hello::Role;
use proto::id::{ClusterId, PromiseId, RequestId, UploadId};
use proto::master::{
    AllocateChunks, BrowseCursor, BrowseFolder, BrowseOrder, ChunkToStore, CommitUpload,
    DeleteEntry, GetStatus, LeaveSafeMode, OpenFile, Placement, Precondition, RestoreEntry,
    SEARCH_ROWS_MAX, SearchNames, StoredChunk,
};
use proto::name::{EntryName, EntryPath};
use proto::net::Address;
use proto::node::Receipt;
use synthetic::{FILE_LEN, apply, chunk_of, digests, open_state, upload};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::caller::{Caller, rate};
use super::curve::{Curves, Kind, Subject};
use super::simulated::SimulatedNode;
use crate::machine::{cpu_seconds, resident};
use crate::process::{Ending, Process};
use crate::systems::server;

const NODES: u32 = 3;
const AT_ONCE: usize = 16;
const SPAN: Duration = Duration::from_secs(3);
const PAGE_LEN: u32 = 500;
/// Files of one transaction while the store is filled: so many that a page, which their chunks change in no order, is written once for
/// several.
const TOGETHER: u64 = 250_000;
/// Memory of whoever fills it, at most, of which a small store needs little; the master has its own.
const FILLING_CACHE: u64 = 8 << 30;
/// A store of ten million files is written anew after a kill.
const START_MAX: Duration = Duration::from_secs(1800);

const fn subject(title: &'static str, unit: &'static str, kind: Kind, least: f64) -> Subject {
    Subject {
        of: "files",
        title,
        unit,
        kind,
        least,
    }
}

const FILLED: Subject = subject("stored, in large transactions", "/s", Kind::Rate, 0.0);
const STORE: Subject = subject("the store", "MB", Kind::Whole, 10.0);
const START: Subject = subject("start", "s", Kind::Whole, 0.1);
const START_KILLED: Subject = subject("start after a kill", "s", Kind::Whole, 0.1);
const JOINED: Subject = subject("three nodes compared", "s", Kind::Whole, 0.1);
const SURVEYED: Subject = subject("all looked through for lost copies", "s", Kind::Whole, 0.5);
const MEMORY: Subject = subject("memory after a start", "MB", Kind::Whole, 10.0);
const MEMORY_AFTER: Subject = subject("memory after all of this", "MB", Kind::Whole, 20.0);
const UPLOADS: Subject = subject("uploads, 16 at once, fsynced", "/s", Kind::Rate, 0.0);
const UPLOAD_CPU: Subject = subject("the master's processor time of each", "ms", Kind::Each, 0.1);
const OPENS: Subject = subject("files opened, 16 at once", "/s", Kind::Rate, 0.0);
const PAGE: Subject = subject("a page of 500, of half of them", "ms", Kind::Each, 5.0);
const SEARCH: Subject = subject("search of all names, in vain", "s", Kind::Whole, 0.05);
const STATUS: Subject = subject("status", "ms", Kind::Each, 1.0);
const DELETE: Subject = subject("deletion of the folder with all", "ms", Kind::Each, 20.0);
const RESTORE: Subject = subject("restore of it", "ms", Kind::Each, 20.0);

/// Fills one store from size to size.
pub(crate) async fn measure(folder: &Path, sizes: &[u64], curves: &mut Curves) -> Result<()> {
    let data = folder.join("master");
    let mut filled = 0;
    for size in sizes {
        let size = *size;
        let took = fill(&data, filled..size, NODES).await?;
        curves.add(FILLED, size, (size - filled) as f64 / took.as_secs_f64());
        let len = std::fs::metadata(data.join(master::folder::STORE))?.len();
        curves.add(STORE, size, len as f64 / 1e6);
        filled = size;

        let mut process = start(folder, size, START, curves).await?;
        curves.add(MEMORY, size, resident(&process.0.ids()));
        warm(&data.join(master::folder::STORE))?;
        let digest = digests(0..size, NODES);
        work(&process, size, digest, curves).await?;
        curves.add(MEMORY_AFTER, size, resident(&process.0.ids()));
        process.0.kill()?;
        let mut process = start(folder, size, START_KILLED, curves).await?;
        process.0.end()?;
    }
    Ok(())
}

/// Reads a file once, so that the system has it in memory whatever else it did: with a small store it has in any case.
fn warm(path: &Path) -> Result<()> {
    std::io::copy(&mut std::fs::File::open(path)?, &mut std::io::sink())?;
    Ok(())
}

/// Adds files, which nodes 1 to `nodes` have, to the store in this folder, or makes one; says how long that took.
pub(crate) async fn fill(data: &Path, files: Range<u64>, nodes: u32) -> Result<Duration> {
    let data = data.to_owned();
    // Interrupted, this is dropped, and nobody waits for the rest.
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let _stop = stop.drop_guard();
    let filling = move || fill_here(data, files, nodes, &stopped);
    tokio::task::spawn_blocking(filling).await?
}

fn fill_here(
    data: PathBuf,
    files: Range<u64>,
    nodes: u32,
    stopped: &CancellationToken,
) -> Result<Duration> {
    let disk = RealDisk::open(data)?;
    let mut folder = Folder::open(disk.clone(), cluster())?;
    let cache = usize::try_from(FILLING_CACHE).unwrap_or(usize::MAX);
    let state = open_state(&disk, folder.cluster(), cache)?;
    folder.store_is_made()?;
    if files.start == 0 {
        apply(&state, &synthetic::nodes(nodes).collect::<Vec<_>>(), true)?;
    }
    let begun = Instant::now();
    let mut first = files.start;
    while first < files.end && !stopped.is_cancelled() {
        let end = files.end.min(first + TOGETHER);
        let uploads = (first..end).flat_map(|file| upload(file, path(file), nodes));
        apply(&state, &uploads.collect::<Vec<_>>(), true)?;
        first = end;
    }
    Ok(begun.elapsed())
}

/// All of a measurement's stores are of this one.
pub(crate) fn cluster() -> ClusterId {
    ClusterId::new(Uuid::from_u128(7))
}

/// Every other file is in one large folder, the others in folders of 500.
pub(crate) fn path(file: u64) -> EntryPath {
    let name = name(file);
    let path = if file.is_multiple_of(2) {
        format!("/all/large/{name}")
    } else {
        format!("/all/folder {:06}/{name}", file / 1000)
    };
    path.parse().expect("it is a path")
}

fn name(file: u64) -> String {
    format!("IMG_{file:08}.jpg")
}

/// A master that runs, and where it listens.
pub(crate) type Master = (Process, Address);

/// Starts the master on what is in the folder, and says how long that took.
pub(crate) async fn start(
    folder: &Path,
    size: u64,
    subject: Subject,
    curves: &mut Curves,
) -> Result<Master> {
    let master = server("dfs-master", folder, "master-log")?;
    let mut master = master
        .ended_by(Ending::Terminate)
        .with(["--config", "config.toml", "--listen", "127.0.0.1:0"])
        .with(["--data", "master"]);
    let begun = Instant::now();
    let address = master.start_listening_within(START_MAX).await?;
    curves.add(subject, size, begun.elapsed().as_secs_f64());
    Ok((master, address.parse()?))
}

async fn work(
    (process, address): &Master,
    size: u64,
    digests: Vec<Vec<proto::node::BucketDigest>>,
    curves: &mut Curves,
) -> Result<()> {
    let begun = Instant::now();
    let mut nodes = Vec::new();
    for (number, digest) in (1..).zip(digests) {
        nodes.push(SimulatedNode::start(number, address, cluster(), digest).await?);
    }
    let caller = Caller::connect(address, Role::Client, cluster()).await?;
    until_compared(&caller).await?;
    curves.add(JOINED, size, begun.elapsed().as_secs_f64());
    until_idle(process).await?;
    curves.add(SURVEYED, size, begun.elapsed().as_secs_f64());

    let before = cpu_seconds(&process.ids());
    let uploads = rate(AT_ONCE, SPAN, |turn| {
        store(&caller, &nodes, size << 24 | turn)
    });
    let uploads = uploads.await?;
    let cpu = (cpu_seconds(&process.ids()) - before) * 1000.0;
    curves.add(UPLOADS, size, uploads);
    curves.add(UPLOAD_CPU, size, cpu / (uploads * SPAN.as_secs_f64()));
    let opens = rate(AT_ONCE, SPAN, async |turn| {
        let file = turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) % size;
        let path = path(file);
        let opened = caller.call(OpenFile {
            path,
            version: None,
            chunks: 8,
        });
        ensure!(opened.await?.size == u64::from(FILE_LEN));
        Ok(())
    });
    curves.add(OPENS, size, opens.await?);
    look(&caller, size, curves).await?;
    delete_and_restore(&caller, size, curves).await
}

/// Waits until the master has ended what it does of its own accord after nodes joined: it tells nobody when.
async fn until_idle(process: &Process) -> Result<()> {
    const LOOK: Duration = Duration::from_millis(500);
    const IDLE: f64 = 0.05;
    let begun = Instant::now();
    loop {
        let before = cpu_seconds(&process.ids());
        tokio::time::sleep(LOOK).await;
        if cpu_seconds(&process.ids()) - before < IDLE * LOOK.as_secs_f64() {
            return Ok(());
        }
        ensure!(begun.elapsed() < START_MAX, "the master is never idle");
    }
}

/// What only reads.
async fn look(caller: &Caller, size: u64, curves: &mut Curves) -> Result<()> {
    let page = |turn: u64| BrowseFolder {
        path: "/all/large".parse().expect("it is a path"),
        order: BrowseOrder::default(),
        after: Some(BrowseCursor::file(
            EntryName::new(name(size / 32 * (turn + 1))).expect("it is a name"),
        )),
        from: None,
        limit: PAGE_LEN,
        rows: SEARCH_ROWS_MAX,
    };
    ensure!(caller.call(page(0)).await?.entries.len() == PAGE_LEN as usize);
    curves.add(PAGE, size, caller.median_ms(page).await?);
    curves.add(STATUS, size, caller.median_ms(|_| GetStatus {}).await?);
    let begun = Instant::now();
    let mut after = None;
    loop {
        let found = caller.call(SearchNames {
            text: "needle".to_owned(),
            under: EntryPath::ROOT,
            after,
            limit: 50,
            rows: SEARCH_ROWS_MAX,
        });
        after = found.await?.next;
        if after.is_none() {
            break;
        }
    }
    curves.add(SEARCH, size, begun.elapsed().as_secs_f64());
    Ok(())
}

async fn delete_and_restore(caller: &Caller, size: u64, curves: &mut Curves) -> Result<()> {
    const TURNS: u32 = 5;
    let (mut deleting, mut restoring) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..TURNS {
        let begun = Instant::now();
        let deleted = caller.call(DeleteEntry {
            request: RequestId::new(Uuid::new_v4()),
            path: "/all".parse()?,
            recursive: true,
            purge: false,
            precondition: Precondition::Any,
        });
        let trash = deleted.await?.trashed.context("it is in the trash")?;
        deleting += begun.elapsed();
        let begun = Instant::now();
        let restored = caller.call(RestoreEntry {
            request: RequestId::new(Uuid::new_v4()),
            trash,
            to: None,
        });
        restored.await?;
        restoring += begun.elapsed();
    }
    let ms = |took: Duration| took.as_secs_f64() * 1000.0 / f64::from(TURNS);
    curves.add(DELETE, size, ms(deleting));
    curves.add(RESTORE, size, ms(restoring));
    Ok(())
}

/// Waits until the master relies on its nodes: what they have was compared with the record.
pub(crate) async fn until_compared(caller: &Caller) -> Result<()> {
    caller.call(LeaveSafeMode {}).await?;
    let begun = Instant::now();
    loop {
        let status = caller.call(GetStatus {}).await?;
        let chunks = status.chunks;
        if status.uploads_possible && chunks.missing_copies + chunks.unavailable == 0 {
            return Ok(());
        }
        ensure!(begun.elapsed() < START_MAX, "still: {:?}", status.problems);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Uploads a file as a client does, to nodes that say they have it.
pub(crate) async fn store(caller: &Caller, nodes: &[SimulatedNode], file: u64) -> Result<()> {
    let upload = UploadId::new(Uuid::new_v4());
    let chunk = ChunkToStore {
        chunk: chunk_of(file),
        len: FILE_LEN,
    };
    let allocated = caller.call(AllocateChunks {
        upload,
        chunks: vec![chunk],
        avoid: Vec::new(),
    });
    let allocated = allocated.await?;
    let Some(Placement::Promised {
        promise,
        nodes: places,
    }) = allocated.placements.first()
    else {
        anyhow::bail!("a new chunk was not promised: {:?}", allocated.placements);
    };
    let mut receipts = Vec::new();
    for place in places {
        let node = allocated.nodes[usize::from(*place)].node;
        let number = u32::try_from(node.uuid().as_u128())?;
        nodes[number as usize - 1].add(&chunk.chunk);
        receipts.push(receipt(number, *promise, &chunk));
    }
    let committed = caller.call(CommitUpload {
        upload,
        path: format!("/new/{file}").parse()?,
        size: FILE_LEN.into(),
        modified_ms: None,
        blocks: 0,
        place: 0,
        chunks: vec![StoredChunk {
            chunk: chunk.chunk,
            len: chunk.len,
            receipts,
        }],
        parents: true,
        precondition: Precondition::Any,
    });
    committed.await?;
    Ok(())
}

fn receipt(node: u32, promise: PromiseId, chunk: &ChunkToStore) -> Receipt {
    let key = synthetic::receipt_key(node);
    Receipt {
        node: synthetic::node_id(node),
        mac: key.receipt(promise, &chunk.chunk, u64::from(chunk.len)),
    }
}
