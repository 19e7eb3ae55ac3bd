//! An index that fails while the node runs: it is made anew, and nothing that was acknowledged is lost by that.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use disk::{Disk, MemoryDisk};
use futures::future::join_all;
use parking_lot::Mutex;
use proto::ErrorCode;
use proto::id::ChunkId;
use proto::node::ChunkState;
use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::support::{FIRST, TestNode, chunk, config, extents, open_store, order, put_with};
use crate::catalog::Position;
use crate::error::StoreError;
use crate::extent::{EXTENT_HEADER_LEN, RECORD_HEADER_LEN};
use crate::recover::open_anew;
use crate::reopen;
use crate::store::Store;

const LEN: usize = 5000;
const RECORD_LEN: u64 = RECORD_HEADER_LEN as u64 + LEN as u64;
const THIRD: &str = "extents/00000003.extent";

fn fail_index(node: &TestNode) {
    node.node.disks()[0].store.index.fail();
}

/// Three extents: two with two chunks each, the first of which is deleted, and one with that deletion and another chunk.
async fn node_with_five(disk: &MemoryDisk) -> (TestNode, Vec<(ChunkId, Bytes)>) {
    let node = TestNode::open(&[disk]);
    let chunks: Vec<_> = (0..5).map(|number| chunk(number, LEN)).collect();
    for chunk in &chunks[..4] {
        node.put(chunk).await.unwrap();
    }
    node.node.disks()[0].writer.seal().await.unwrap();
    node.delete(&[chunks[0].0]).await.unwrap();
    node.put(&chunks[4]).await.unwrap();
    assert_eq!(extents(disk).len(), 3);
    (node, chunks)
}

async fn check_all_there(node: &TestNode, chunks: &[(ChunkId, Bytes)]) {
    for (id, bytes) in &chunks[1..] {
        assert_eq!(node.get(id).await.unwrap(), bytes);
    }
    assert_eq!(node.state(&chunks[0].0), ChunkState::Missing);
    node.check_digest(chunks[1..].iter().map(|(id, _)| *id));
}

/// The index of a node's only disk failed, and nothing on it could be read until somebody restarted the node. Meanwhile nothing is
/// said to be missing.
#[tokio::test(start_paused = true)]
async fn a_failed_index_is_made_anew_without_a_restart() {
    let disk = MemoryDisk::new();
    let (node, chunks) = node_with_five(&disk).await;
    let stop = CancellationToken::new();
    let watching = tokio::spawn(reopen::run(Arc::clone(&node.node), 0, stop.clone()));
    for _ in 0..3 {
        fail_index(&node);
        assert_eq!(node.state(&chunks[1].0), ChunkState::OnHungDisk);
        assert_eq!(node.state(&chunks[0].0), ChunkState::OnHungDisk);
        assert_eq!(node.node.usage().await.failed_disks, 1);
        let refused = node.put(&chunk(9, LEN)).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Disk);
        while node.node.usage().await.failed_disks > 0 {
            sleep(Duration::from_secs(1)).await;
        }
        check_all_there(&node, &chunks).await;
    }
    assert!(node.put(&chunk(9, LEN)).await.unwrap());
    stop.cancel();
    watching.await.unwrap();
    node.delete(&[chunk(9, LEN).0]).await.unwrap();
    node.crash(1).await;
    let node = TestNode::open(&[&disk]);
    check_all_there(&node, &chunks).await;
    node.stop().await;
}

/// Something on the disk could not be read just when the index was made anew: chunks that had been acknowledged were cut off, or
/// forgotten, or came back. Now the disk stays as it is until it shows all that was known.
#[tokio::test(start_paused = true)]
async fn a_passing_error_neither_cuts_nor_forgets() {
    let second_header = EXTENT_HEADER_LEN + RECORD_LEN;
    let faults: [fn(&MemoryDisk, u64); 9] = [
        |disk, _| disk.fail_opens_of(FIRST),
        |disk, _| disk.fail_opens_of(THIRD),
        |disk, second| disk.fail_reads(FIRST, second..second + 1),
        // The deletion, and the chunk behind it.
        |disk, _| disk.fail_reads(THIRD, EXTENT_HEADER_LEN..EXTENT_HEADER_LEN + 1),
        |disk, _| disk.fail_reads(THIRD, EXTENT_HEADER_LEN + 88..EXTENT_HEADER_LEN + 89),
        // What is hidden is as much as what comes back.
        |disk, second| {
            disk.fail_reads(FIRST, second..second + 1);
            disk.fail_reads(THIRD, EXTENT_HEADER_LEN..EXTENT_HEADER_LEN + 1);
        },
        |disk, second| disk.flip(FIRST, second, 1),
        |disk, _| disk.flip(THIRD, EXTENT_HEADER_LEN, 1),
        |disk, _| disk.cut(THIRD, EXTENT_HEADER_LEN + 100),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let disk = MemoryDisk::new();
        let (node, chunks) = node_with_five(&disk).await;
        let before: Vec<_> = extents(&disk)
            .into_iter()
            .map(|path| (path.clone(), disk.content(&path).unwrap()))
            .collect();
        fail_index(&node);
        fault(&disk, second_header);
        let spoilt: Vec<_> = before.iter().map(|(path, _)| disk.content(path)).collect();
        node.reopen(0).await.expect_err(&format!("fault {number}"));
        let after: Vec<_> = before.iter().map(|(path, _)| disk.content(path)).collect();
        assert_eq!(spoilt, after, "fault {number}");
        assert!(disk.content("index.redb").is_none(), "fault {number}");
        assert_eq!(node.state(&chunks[1].0), ChunkState::OnHungDisk);
        assert_eq!(node.node.usage().await.failed_disks, 1);
        node.put(&chunk(9, LEN)).await.unwrap_err();

        let stop = CancellationToken::new();
        let watching = tokio::spawn(reopen::run(Arc::clone(&node.node), 0, stop.clone()));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(node.node.usage().await.failed_disks, 1);
        disk.heal();
        for (path, content) in &before {
            disk.put(path, content);
        }
        while node.node.usage().await.failed_disks > 0 {
            sleep(Duration::from_secs(1)).await;
        }
        check_all_there(&node, &chunks).await;
        stop.cancel();
        watching.await.unwrap();
        node.crash(1).await;
        let node = TestNode::open(&[&disk]);
        check_all_there(&node, &chunks).await;
        node.stop().await;
    }
}

/// The disk failed in the middle of the making of a new index, and what was left of that was in the way of the next.
#[tokio::test]
async fn a_try_that_failed_is_not_in_the_way_of_the_next() {
    let disk = MemoryDisk::new();
    let (node, chunks) = node_with_five(&disk).await;
    let mut tries = 0;
    loop {
        fail_index(&node);
        disk.stop_after(tries);
        let reopened = node.reopen(0).await;
        disk.heal();
        if reopened.is_ok() {
            break;
        }
        node.reopen(0).await.unwrap();
        check_all_there(&node, &chunks).await;
        tries += 1;
    }
    assert!(tries > 3);
    node.stop().await;
}

/// The node was stopped while its disk hung in the making of a new index. Another process could take the folder, although that went
/// on.
#[tokio::test]
async fn a_disk_that_is_still_being_reopened_stays_locked() {
    let disk = MemoryDisk::new();
    let node = TestNode::open_on_threads(&[&disk]);
    node.put(&chunk(1, LEN)).await.unwrap();
    fail_index(&node);
    let hang = disk.hang_writes();
    let stop = CancellationToken::new();
    let watching = tokio::spawn(reopen::run(Arc::clone(&node.node), 0, stop.clone()));
    while disk.waiting() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    stop.cancel();
    watching.await.unwrap();
    node.stop().await;
    let refused = TestNode::try_open(&[&disk], &config()).map(drop);
    let refused = refused.unwrap_err();
    assert!(refused.contains("in use by another process"), "{refused}");
    drop(hang);
    while TestNode::try_open(&[&disk], &config()).is_err() {
        yield_now().await;
    }
}

/// A chunk was known to be corrupt, and with the index that was lost: the node called it good again, and the master counted it.
#[tokio::test]
async fn what_the_index_knew_to_be_bad_stays_known() {
    let disk = MemoryDisk::new();
    let (node, chunks) = node_with_five(&disk).await;
    let second = EXTENT_HEADER_LEN + RECORD_LEN;
    disk.flip(FIRST, second + 500, 1);
    node.get(&chunks[1].0).await.unwrap_err();
    node.stop().await;
    let node = TestNode::open(&[&disk]);
    disk.flip(THIRD, EXTENT_HEADER_LEN + 88 + 500, 1);
    node.get(&chunks[4].0).await.unwrap_err();
    let bad = BTreeSet::from([chunks[1].0, chunks[4].0]);
    let check = async |node: &TestNode| {
        for chunk in &bad {
            assert_eq!(node.state(chunk), ChunkState::Corrupt);
        }
        node.check_digest(chunks[2..4].iter().map(|(id, _)| *id));
        assert_eq!(node.to_report(true).await, Vec::from_iter(bad.clone()));
    };
    for _ in 0..2 {
        fail_index(&node);
        node.reopen(0).await.unwrap();
        check(&node).await;
    }
    node.node.mark_again(0).await;
    assert!(node.node.disks()[0].store.unmarked().is_empty());
    fail_index(&node);
    node.reopen(0).await.unwrap();
    check(&node).await;
    node.put(&chunks[1]).await.unwrap();
    assert_eq!(node.state(&chunks[1].0), ChunkState::Good);
    fail_index(&node);
    node.reopen(0).await.unwrap();
    assert_eq!(node.state(&chunks[1].0), ChunkState::Good);
    node.stop().await;
}

/// The answer that a bad record is noted came when the index that had noted it was gone: the record counted as good again.
#[tokio::test]
async fn a_late_answer_settles_nothing_in_a_new_index() {
    let disk = MemoryDisk::new();
    let (node, chunks) = node_with_five(&disk).await;
    let bad = chunks[1].0;
    let (old, writer) = {
        let disks = node.node.disks();
        (Arc::clone(&disks[0].store), disks[0].writer.clone())
    };
    let at = old.find(&bad).unwrap().unwrap().location;
    old.remember_bad(bad, at);
    assert!(writer.mark(bad, at, true).await.unwrap());
    fail_index(&node);
    node.reopen(0).await.unwrap();
    old.settle_bad(&bad, at);
    assert_eq!(node.state(&bad), ChunkState::Corrupt);
    node.stop().await;
}

/// With its index a disk lost when its extents were read last: all were read again, and nothing counted as verified.
#[tokio::test]
async fn what_was_scrubbed_stays_scrubbed() {
    let disk = MemoryDisk::new();
    let (node, _chunks) = node_with_five(&disk).await;
    node.scrub().await;
    let scrubbed = || {
        let disks = node.node.disks();
        let catalog = disks[0].store.catalog();
        let extents = catalog.extents.values();
        extents.map(|sums| sums.scrubbed_ms).collect::<Vec<_>>()
    };
    let before = scrubbed();
    assert!(before.iter().any(|ms| *ms > 0), "{before:?}");
    fail_index(&node);
    node.reopen(0).await.unwrap();
    assert_eq!(scrubbed(), before);
    node.stop().await;
}

/// What was known of a disk beside its index was forgotten with that.
#[tokio::test]
async fn what_is_known_to_be_bad_is_not_served_after_it() {
    let disk = MemoryDisk::new();
    let (node, chunks) = node_with_five(&disk).await;
    let bad = chunks[1].0;
    let old = Arc::clone(&node.node.disks()[0].store);
    let at = old.find(&bad).unwrap().unwrap().location;
    fail_index(&node);
    // Whoever found that still has the old store.
    node.reopen(0).await.unwrap();
    old.remember_bad(bad, at);
    let failed = Arc::downgrade(&old);
    drop(old);
    assert!(failed.upgrade().is_none(), "nobody uses the old one");
    assert_eq!(node.get(&bad).await.unwrap_err().code, ErrorCode::Corrupt);
    node.check_digest(chunks[2..].iter().map(|(id, _)| *id));
    node.stop().await;
}

/// A disk of which a sync failed takes no writes until a restart, whatever becomes of its index.
#[tokio::test]
async fn a_new_index_does_not_make_a_failed_disk_sound() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    node.put(&chunk(1, 900)).await.unwrap();
    disk.fail_syncs_after(0);
    node.put(&chunk(2, 900)).await.unwrap_err();
    disk.heal();
    fail_index(&node);
    node.reopen(0).await.unwrap();
    assert_eq!(node.get(&chunk(1, 900).0).await.unwrap(), chunk(1, 900).1);
    assert_eq!(node.state(&chunk(1, 900).0), ChunkState::OnFailedDisk);
    let refused = node.put(&chunk(3, 900)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Disk);
    node.crash(1).await;
    let node = TestNode::open(&[&disk]);
    node.check_digest([chunk(1, 900).0]);
    node.stop().await;
}

/// The last extent of a killed node could not be settled at the start, so its disk takes no writes, and its index does not go
/// beyond what was settled. An index made anew must not either: the next start would take the rest for settled.
#[tokio::test]
async fn what_is_not_settled_is_settled_by_the_next_start() {
    let whole = MemoryDisk::new();
    let held = chunk(1, 900);
    let node = TestNode::open(&[&whole]);
    node.put(&held).await.unwrap();
    node.kill().await;
    let mut unsettled = 0;
    for syncs in 0..12 {
        let disk = whole.fork();
        disk.fail_syncs_after(syncs);
        let Ok(node) = TestNode::try_open(&[&disk], &config()) else {
            continue;
        };
        disk.heal();
        let store = Arc::clone(&node.node.disks()[0].store);
        if store.failure().is_some_and(|why| why.contains("settle")) {
            unsettled += 1;
            store.index.fail();
            node.reopen(0).await.unwrap();
            let store = Arc::clone(&node.node.disks()[0].store);
            assert!(store.failure().unwrap().contains("settle"));
            assert_eq!(store.catalog().position, Position::default());
            assert_eq!(node.get(&held.0).await.unwrap(), held.1);
            assert_eq!(node.state(&held.0), ChunkState::OnFailedDisk);
            node.put(&chunk(2, 900)).await.unwrap_err();
        }
        drop(store);
        node.stop().await;
        let node = TestNode::open(&[&disk]);
        assert_eq!(node.node.usage().await.failed_disks, 0);
        node.crash(1).await;
        let node = TestNode::open(&[&disk]);
        node.check_digest([held.0]);
        node.stop().await;
    }
    assert!(unsettled > 0);
}

/// The index failed when a batch was synced already: who waited was refused, but somebody may have seen in the index before what
/// it did, and been told. So it counts.
#[tokio::test]
async fn a_batch_that_the_index_did_not_take_is_there() {
    let disk = MemoryDisk::new();
    let (store, mut appender) = open_store(&disk);
    put_with(&mut appender, 0);
    put_with(&mut appender, 1);
    appender.flush().unwrap();
    put_with(&mut appender, 2);
    appender.delete(order(1), &[chunk(0, 1000).0]).unwrap();
    let at = store.find(&chunk(0, 1000).0).unwrap().unwrap().location;
    store.index.fail();
    store.remember_bad(chunk(0, 1000).0, at);
    appender.flush().unwrap_err();
    appender.end();
    drop(appender);
    let (store, mut appender) = open_anew(&store).unwrap();
    assert!(store.unmarked().is_empty());
    put_with(&mut appender, 3);
    appender.flush().unwrap();
    assert_eq!(extents(&disk).len(), 2);
    let check = |store: &Store| {
        assert_eq!(store.catalog().chunks(), 3);
        assert_eq!(store.catalog().order, order(1));
        for number in 1..4 {
            let file = store.open_chunk(&chunk(number, 1000).0).unwrap();
            file.verify().unwrap();
        }
    };
    check(&store);
    drop((store, appender));
    disk.crash(&mut super::support::rng(3));
    check(&open_store(&disk).0);
    disk.crash(&mut super::support::rng(3));
    // That the new one has this name may not be durable.
    drop(disk.remove("index.redb"));
    check(&open_store(&disk).0);
}

/// An index that failed is closed by the last who uses it, maybe when the new one is there: on a full disk it took its name from it.
#[tokio::test]
async fn an_old_index_leaves_the_new_one_alone() {
    let disk = MemoryDisk::new();
    let (node, _) = node_with_five(&disk).await;
    let old = Arc::clone(&node.node.disks()[0].store);
    fail_index(&node);
    node.reopen(0).await.unwrap();
    old.index.retire().unwrap();
    disk.fill();
    drop(old);
    assert!(disk.content("index.redb").is_some());
    node.stop().await;
}

/// What was acknowledged, while the index of the disk fails again and again.
#[derive(Default)]
struct Acknowledged {
    stored: Mutex<BTreeSet<u64>>,
    deleted: Mutex<BTreeSet<u64>>,
}

impl Acknowledged {
    async fn put(&self, node: &TestNode, numbers: Range<u64>) {
        for number in numbers {
            while node.put(&chunk(number, 3000)).await.is_err() {
                yield_now().await;
            }
            self.stored.lock().insert(number);
        }
    }

    /// Deletes every third chunk; asks of every other one whether it is there.
    async fn delete_and_look(&self, node: &TestNode, is_over: &CancellationToken) {
        let mut after = 0;
        while !is_over.is_cancelled() {
            let next = self.stored.lock().range(after + 1..).next().copied();
            let Some(number) = next else {
                after = 0;
                yield_now().await;
                continue;
            };
            after = number;
            let id = chunk(number, 3000).0;
            if number % 3 == 0 {
                self.stored.lock().remove(&number);
                if node.delete(&[id]).await.is_ok() {
                    self.deleted.lock().insert(number);
                }
                continue;
            }
            let described = node.node.describe(vec![id]).await.unwrap();
            assert_ne!(described[0].state, ChunkState::Missing);
            match node.node.open_chunk(&id).await {
                Err(StoreError::NotFound(_) | StoreError::Corrupt(_)) => panic!("{number} is lost"),
                _ => yield_now().await,
            }
        }
    }
}

/// Everything goes on while an index fails and another takes its place: no chunk that was acknowledged is said to be missing at any
/// time, and none is lost; nor does any come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_goes_on_while_the_index_is_made_anew() {
    let disk = MemoryDisk::new();
    let node = TestNode::open_on_threads(&[&disk]);
    let (acknowledged, is_over) = (Acknowledged::default(), CancellationToken::new());
    let puts = async {
        join_all((1..9).map(|part| acknowledged.put(&node, part * 100..part * 100 + 40))).await;
        is_over.cancel();
    };
    let fails = async {
        while !is_over.is_cancelled() {
            sleep(Duration::from_millis(2)).await;
            fail_index(&node);
            node.reopen(0).await.unwrap();
        }
    };
    let compactions = async {
        while !is_over.is_cancelled() {
            node.compact().await;
            yield_now().await;
        }
    };
    let looks = acknowledged.delete_and_look(&node, &is_over);
    tokio::join!(puts, fails, compactions, looks);
    let check = async |node: &TestNode| {
        let stored = acknowledged.stored.lock().clone();
        for number in stored {
            assert!(node.get(&chunk(number, 3000).0).await.is_ok(), "{number}");
        }
        let deleted = acknowledged.deleted.lock().clone();
        for number in deleted {
            let error = node.get(&chunk(number, 3000).0).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::NotFound);
        }
    };
    check(&node).await;
    node.crash(1).await;
    check(&TestNode::open_on_threads(&[&disk])).await;
}
