//! Starts of a master after a power cut at any change of its disk, and on files that were cut or rotted anywhere: it has all that it
//! had answered, or refuses and says that the folder is to be restored.

use std::collections::BTreeSet;

use disk::{Blocking, MemoryDisk, SECTOR_LEN};
use proto::id::{NodeId, RequestId, UploadId};
use proto::master::Precondition;
use proto::name::EntryPath;

use super::*;
use crate::command::{ClusterMillis, NodeNumber};
use crate::folder::STORE;
use crate::state::CHECKSUMS;
use crate::witness::WITNESS;

const IDENTITY: &str = "master.json";
const PAGE_LEN: usize = 4096;

/// A master without its network and its loops.
struct Started {
    state: Arc<State>,
    committer: Committer,
    writing: JoinHandle<Result<(), StateError>>,
    _folder: Folder,
}

/// The part of a start that reads and writes the disk, in its order.
async fn start_on(disk: &MemoryDisk, seed: u128) -> Result<Started, StartError> {
    let config = Config {
        blocking: Blocking::inline(),
        cache_bytes: 1 << 20,
        ..Config::default()
    };
    let cluster = ClusterId::new(Uuid::from_u128(seed));
    let (folder, state) = open(&config, cluster, disk.shared()).await?;
    let options = CommitOptions {
        blocking: config.blocking,
        disk: disk.shared(),
        wall_ms: Arc::new(|| 0),
    };
    let (committer, writer) = Committer::new(state.clone(), options)?;
    let writing = tokio::spawn(writer.run());
    raise_epoch(&committer, RunId::new(Uuid::from_u128(seed)), false).await?;
    Ok(Started {
        state,
        committer,
        writing,
        _folder: folder,
    })
}

impl Started {
    async fn stop(self) {
        drop((self.committer, self.state));
        // It may have lost its disk.
        drop(self.writing.await.unwrap());
    }

    /// All names, what is in the trash, and the nodes.
    fn seen(&self) -> BTreeSet<String> {
        let snapshot = self.state.read().unwrap();
        let mut seen = BTreeSet::new();
        let mut folders = vec![EntryPath::ROOT];
        while let Some(folder) = folders.pop() {
            for entry in snapshot.folder_page(&folder, None, 100).unwrap().entries {
                let path = folder.join(entry.name().unwrap().clone()).unwrap();
                seen.insert(path.to_string());
                folders.push(path);
            }
        }
        for entry in snapshot.trash_page(None, 100).unwrap().entries {
            seen.insert(format!("trash: {}", entry.path));
        }
        for (number, _) in snapshot.nodes().unwrap() {
            seen.insert(format!("node {}", number.0));
        }
        seen
    }
}

/// Each makes a difference that is seen, except for promises, which may be lost.
fn commands() -> Vec<Command> {
    let request = |number| RequestId::new(Uuid::from_u128(number));
    let path = |text: &str| text.parse::<EntryPath>().unwrap();
    let folder = |number, text: &str| Command::CreateFolder {
        request: request(number),
        path: path(text),
        parents: true,
    };
    let node = |number: u8| Command::UpsertNode {
        node: NodeId::new(Uuid::from_u128(u128::from(number))),
        address: format!("127.0.0.1:{}", 9000 + u16::from(number))
            .parse()
            .unwrap(),
        zone: String::new(),
        receipt_key: proto::hello::ReceiptKey::from_bytes([number; 32]),
    };
    let promise = Command::AllocateChunks {
        upload: UploadId::new(Uuid::from_u128(7)),
        lease_until: ClusterMillis(1 << 40),
        promise: proto::id::PromiseId::new(Uuid::from_u128(7)),
        doubtful: vec![NodeNumber(1)],
        deletions_wait: false,
        chunks: Vec::new(),
    };
    vec![
        folder(1, "/a/b/c"),
        node(1),
        Command::MoveEntry {
            request: request(2),
            from: path("/a/b"),
            to: path("/d"),
            replace: false,
        },
        promise,
        folder(3, "/e"),
        Command::DeleteEntry {
            request: request(4),
            path: path("/d"),
            recursive: true,
            purge: false,
            precondition: Precondition::Any,
        },
        node(2),
    ]
}

/// Does as much as the disk lets it; says how much was answered.
async fn do_all(started: &Started) -> usize {
    let mut answered = 0;
    for command in commands() {
        if started.committer.submit(command).await.is_err() {
            break;
        }
        answered += 1;
    }
    answered
}

/// What is seen after each number of commands.
async fn views() -> Vec<BTreeSet<String>> {
    let started = start_on(&MemoryDisk::new(), 1).await.unwrap();
    let mut views = vec![started.seen()];
    for command in commands() {
        started.committer.submit(command).await.unwrap();
        views.push(started.seen());
    }
    started.stop().await;
    views
}

/// Power is lost after each change that a new master makes to its disk, in several ways each, and again after each change of some
/// of the starts that follow.
#[tokio::test]
async fn a_power_cut_after_any_change_loses_nothing_that_was_answered() {
    let views = views().await;
    let seeds = 3 * u64::from(fuzz::effort());
    for stop in 0.. {
        let mut made = 0;
        for seed in 0..seeds {
            let disk = MemoryDisk::new();
            disk.stop_after(stop);
            let mut answered = 0;
            let started = start_on(&disk, 1).await.ok();
            if let Some(started) = &started {
                answered = do_all(started).await;
            }
            made = disk.changes();
            disk.crash(&mut StdRng::seed_from_u64(seed * 1000 + stop));
            if let Some(started) = started {
                started.stop().await;
            }
            let what = format!("cut after {stop}, seed {seed}");
            check_start(&disk, &views[answered..], &what).await;
            // The start after that is cut off too.
            let again = (stop * 7 + seed) % 40;
            disk.stop_after(again);
            if let Ok(started) = start_on(&disk, 3).await {
                disk.crash(&mut StdRng::seed_from_u64(seed));
                started.stop().await;
            } else {
                disk.crash(&mut StdRng::seed_from_u64(seed));
            }
            check_start(
                &disk,
                &views[answered..],
                &format!("{what}, and after {again}"),
            )
            .await;
        }
        if made < stop {
            println!("{stop} changes of the disk, {seeds} power cuts each");
            return;
        }
    }
}

/// It starts, and has what was answered, or with it what was under way.
async fn check_start(disk: &MemoryDisk, views: &[BTreeSet<String>], what: &str) {
    let started = match start_on(disk, 2).await {
        Ok(started) => started,
        Err(error) => panic!("{what}: {error}"),
    };
    let seen = started.seen();
    // A promise under way makes no difference that is seen.
    assert!(
        views.iter().take(3).any(|view| *view == seen),
        "{what}: {seen:?}, but {:?}",
        views[0]
    );
    started.stop().await;
}

/// The disk of a master that did all, and was killed or stopped.
async fn done(kill: bool) -> (MemoryDisk, BTreeSet<String>) {
    let disk = MemoryDisk::new();
    let started = start_on(&disk, 1).await.unwrap();
    assert_eq!(do_all(&started).await, commands().len());
    let seen = started.seen();
    if kill {
        disk.kill();
    }
    started.stop().await;
    (disk, seen)
}

/// What became of a start on harmed files.
async fn check_harmed(disk: &MemoryDisk, expected: &BTreeSet<String>, what: &str) -> bool {
    match start_on(disk, 2).await {
        Ok(started) => {
            assert_eq!(started.seen(), *expected, "{what}");
            started.stop().await;
            true
        }
        Err(error) => {
            let sentence = error.to_string();
            let says = ["backup", "newer dfs-master"]
                .iter()
                .any(|part| sentence.contains(part));
            assert!(says, "{what}: {sentence}");
            false
        }
    }
}

/// Cut at the end of each page, and at bytes of the last one.
#[tokio::test]
async fn a_store_cut_anywhere_is_whole_or_refused() {
    for kill in [false, true] {
        let (disk, seen) = done(kill).await;
        let len = disk.content(STORE).unwrap().len();
        let last = len - 1 - (len - 1) % PAGE_LEN;
        let (pages, bytes) = if fuzz::effort() > 1 { (1, 1) } else { (3, 61) };
        for cut in (0..last)
            .step_by(pages * PAGE_LEN)
            .chain((last..len).step_by(bytes))
        {
            let disk = disk.fork();
            disk.cut(STORE, cut as u64);
            check_harmed(&disk, &seen, &format!("cut at {cut}, killed: {kill}")).await;
        }
    }
}

/// A bit flipped in each sector that holds anything: it is found, or one that means nothing.
#[tokio::test]
async fn a_store_with_a_bit_flipped_anywhere_is_whole_or_refused() {
    for kill in [false, true] {
        let (disk, seen) = done(kill).await;
        let content = disk.content(STORE).unwrap();
        let (mut flips, mut refused) = (0, 0);
        for (number, sector) in content.chunks(SECTOR_LEN).enumerate() {
            let filled = sector.iter().position(|byte| *byte != 0);
            let Some(filled) = filled else { continue };
            for place in [filled, (number * 191) % sector.len()]
                .into_iter()
                .take(1 + fuzz::effort() as usize)
            {
                let at = number * SECTOR_LEN + place;
                let disk = disk.fork();
                disk.flip(STORE, at as u64, 1 << (at % 8));
                let what = format!("byte {at}, killed: {kill}");
                refused += usize::from(!check_harmed(&disk, &seen, &what).await);
                flips += 1;
            }
        }
        println!("{flips} flips, {refused} refused, killed: {kill}");
        assert!(refused > 0);
    }
}

/// The small files beside the store, cut at each byte, with each bit flipped, and gone.
#[tokio::test]
async fn small_files_that_are_harmed_do_no_harm() {
    let (killed, seen) = done(true).await;
    let (stopped, _) = done(false).await;
    let files = [
        (&killed, WITNESS),
        (&killed, IDENTITY),
        (&stopped, CHECKSUMS),
    ];
    for (disk, path) in files {
        let len = disk.content(path).unwrap().len() as u64;
        for at in 0..len {
            let cut = disk.fork();
            cut.cut(path, at);
            check_harmed(&cut, &seen, &format!("{path} cut at {at}")).await;
            for bit in [0, 1, 5, 7] {
                let flipped = disk.fork();
                flipped.flip(path, at, 1 << bit);
                check_harmed(&flipped, &seen, &format!("{path}: bit {bit} of {at}")).await;
            }
        }
    }
    for (disk, path) in [(&killed, WITNESS), (&stopped, CHECKSUMS)] {
        let gone = disk.fork();
        gone.remove(path).unwrap();
        assert!(check_harmed(&gone, &seen, &format!("no {path}")).await);
    }
}
