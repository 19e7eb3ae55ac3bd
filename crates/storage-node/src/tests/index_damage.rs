//! An index that does not know what the extents hold: from another moment than its sums, or with pages that rotted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use disk::{Blocking, Disk, MemoryDisk};
use proto::ErrorCode;
use proto::id::Epoch;
use proto::node::ChunkState;

use super::support::{FIRST, TestNode, chunk, config, open_store, order, put_with, rng};
use crate::appender::Moved;
use crate::environment::Environment;
use crate::extent::Order;
use crate::store::Store;
use crate::verified::VerifiedChunk;

const SECOND: &str = "extents/00000002.extent";

fn reads_well(store: &Store, number: u64) -> bool {
    let file = store.open_chunk(&chunk(number, 1000).0);
    file.and_then(|file| file.verify()).is_ok()
}

fn len_of(store: &Store, extent: u64) -> u64 {
    store.catalog().extents[&extent].len
}

/// A sync failed, so that an extent was begun without a checkpoint, and the index was closed without its sums: what was stored
/// in the extent before, after the last checkpoint, is still there when the new one is compacted.
#[test]
fn compaction_leaves_the_extent_before_whole() {
    let disk = MemoryDisk::new();
    let (store, mut appender) = open_store(&disk);
    put_with(&mut appender, 1);
    appender.flush().unwrap();
    appender.checkpoint_if_due(true).unwrap();
    put_with(&mut appender, 2);
    appender.flush().unwrap();
    disk.fail_next_sync();
    put_with(&mut appender, 3);
    appender.flush().unwrap_err();
    disk.heal();
    put_with(&mut appender, 4);
    appender.flush().unwrap();
    let len = len_of(&store, 1);
    drop((store, appender));

    let (store, mut appender) = open_store(&disk);
    assert_eq!(len_of(&store, 1), len);
    let order = Order {
        epoch: Epoch(1),
        sequence: 1,
    };
    appender.delete(order, &[chunk(4, 1000).0]).unwrap();
    appender.seal().unwrap();
    assert!(appender.remove_extent(2).unwrap());
    assert!(reads_well(&store, 1) && reads_well(&store, 2));
    drop((store, appender));
    let (store, _appender) = open_store(&disk);
    assert!(reads_well(&store, 1) && reads_well(&store, 2));
}

/// Whatever the sums say of an extent's length: what the index points to is not cut off.
#[test]
fn nothing_that_the_index_points_to_is_cut_off() {
    let disk = MemoryDisk::new();
    let (store, mut appender) = open_store(&disk);
    put_with(&mut appender, 1);
    put_with(&mut appender, 2);
    appender.seal().unwrap();
    let order = Order {
        epoch: Epoch(1),
        sequence: 1,
    };
    appender.delete(order, &[]).unwrap();
    appender.seal().unwrap();
    let first = store
        .catalog()
        .extents
        .get_mut(&1)
        .map(|sums| &mut sums.len)
        .map(|len| *len -= 1088);
    assert!(first.is_some());
    assert!(appender.remove_extent(2).unwrap());
    assert!(reads_well(&store, 1) && reads_well(&store, 2));
}

/// The extent before one that goes has a tail that was refused. It could not be cut off, and the extent went with the word on
/// where that one ends: a new index would have taken what was refused. Nor was the cut durable.
#[test]
fn what_was_refused_is_cut_off_for_good() {
    let disk = MemoryDisk::new();
    let (store, mut appender) = open_store(&disk);
    put_with(&mut appender, 1);
    appender.seal().unwrap();
    put_with(&mut appender, 2);
    appender.delete(order(1), &[chunk(2, 1000).0]).unwrap();
    appender.seal().unwrap();
    let len = len_of(&store, 1);
    disk.cut(FIRST, len + 100);
    disk.fail_next_write();
    assert!(!appender.remove_extent(2).unwrap());
    assert!(disk.content(SECOND).is_some());
    assert!(appender.remove_extent(2).unwrap());
    for seed in 0..8 {
        let disk = disk.fork();
        disk.crash(&mut rng(seed));
        let left = disk.content(FIRST).unwrap().len() as u64;
        assert_eq!(left, len);
    }
}

/// An extent could not be removed, and was not known any more: so deletions of its chunks seemed to undo nothing, and with a new
/// index the chunks came back.
#[test]
fn an_extent_that_could_not_be_removed_stays_known() {
    let disk = MemoryDisk::new();
    let (store, mut appender) = open_store(&disk);
    let id = chunk(1, 1000).0;
    put_with(&mut appender, 1);
    appender.seal().unwrap();
    appender.delete(order(1), &[id]).unwrap();
    appender.seal().unwrap();
    disk.fail_removes();
    appender.remove_extent(1).unwrap_err();
    disk.heal();
    let deletion = Moved::Delete(id, order(1));
    appender.relocate(2, &[deletion]).unwrap();
    appender.flush().unwrap();
    assert!(appender.remove_extent(2).unwrap());
    drop((store, appender));
    disk.remove("index.redb").unwrap();
    let (store, mut appender) = open_store(&disk);
    assert!(store.find(&id).unwrap().is_none());
    assert!(appender.remove_extent(1).unwrap());
}

/// The last extent was compacted away with the last order in it: with a new index, the order could be given once more.
#[test]
fn the_last_order_outlives_its_extent() {
    let disk = MemoryDisk::new();
    let (store, mut appender) = open_store(&disk);
    put_with(&mut appender, 1);
    appender.delete(order(7), &[chunk(1, 1000).0]).unwrap();
    appender.seal().unwrap();
    assert!(appender.remove_extent(1).unwrap());
    drop((store, appender));
    disk.remove("index.redb").unwrap();
    let (store, _appender) = open_store(&disk);
    assert_eq!(store.catalog().order, order(7));
}

/// Power was lost while compaction copied a chunk, and of the copy's batch a later record is whole. Then the index was lost: the
/// torn copy hid the original, which was still there.
#[test]
fn a_torn_copy_does_not_hide_the_original() {
    let disk = MemoryDisk::new();
    let (store, mut appender) = open_store(&disk);
    put_with(&mut appender, 1);
    appender.seal().unwrap();
    let (id, bytes) = chunk(1, 1000);
    let at = store.find(&id).unwrap().unwrap().location;
    let copied = Moved::Put(VerifiedChunk::check(id, bytes).unwrap(), at);
    appender.relocate(1, &[copied]).unwrap();
    put_with(&mut appender, 2);
    appender.flush().unwrap();
    drop((store, appender));
    disk.remove("index.redb").unwrap();
    disk.flip(SECOND, 4096 + 500, 1);
    let (store, mut appender) = open_store(&disk);
    assert!(reads_well(&store, 1) && reads_well(&store, 2));
    appender.seal().unwrap();
    put_with(&mut appender, 3);
    appender.flush().unwrap();
    drop((store, appender));
    disk.remove("index.redb").unwrap();
    let (store, _appender) = open_store(&disk);
    assert!((1..4).all(|number| reads_well(&store, number)));
}

/// A reader opens an extent while compaction removes it: it is not kept open for others, which would keep its room.
#[test]
fn an_extent_that_goes_is_not_kept_open() {
    let disk = MemoryDisk::new();
    let (store, mut appender) = open_store(&disk);
    put_with(&mut appender, 1);
    appender.flush().unwrap();
    assert!(reads_well(&store, 1) && store.keeps_open(1));
    store.forget_file(1);
    // As the removal begins.
    store.catalog().extents.remove(&1);
    assert!(reads_well(&store, 1) && !store.keeps_open(1));
}

/// Chunks whose rows do not fit the cache of the index, so that its pages are read from the disk.
const MANY: u64 = 12_000;

async fn node_with_many(disk: &MemoryDisk) -> TestNode {
    let node = TestNode::open(&[disk]);
    for number in 0..MANY {
        node.put(&chunk(number, 8)).await.unwrap();
    }
    node
}

/// The first byte of every page says what it is: redb panics where that cannot be.
fn let_index_rot(disk: &MemoryDisk) {
    let len = disk.content("index.redb").unwrap().len() as u64;
    for page in (8192..len).step_by(4096) {
        disk.flip("index.redb", page, 0xf0);
    }
}

async fn check_given_up(disk: &MemoryDisk, node: TestNode, first: u64) {
    let usage = node.node.usage().await;
    assert_eq!((usage.writable, usage.failed_disks), (false, 1));
    let refused = node.put(&chunk(MANY, 8)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Disk);
    assert!(disk.content("index.redb").is_none(), "nobody uses it again");
    node.stop().await;
    let node = TestNode::open(&[disk]);
    node.check_digest((first..MANY).map(|number| chunk(number, 8).0));
    node.put(&chunk(MANY, 8)).await.unwrap();
    node.stop().await;
}

#[tokio::test]
async fn a_writer_that_meets_rot_in_the_index_fails_the_disk() {
    let disk = MemoryDisk::new();
    let node = node_with_many(&disk).await;
    let_index_rot(&disk);
    let mut deleted = 0;
    while node.delete(&[chunk(deleted, 8).0]).await.is_ok() {
        deleted += 1;
    }
    check_given_up(&disk, node, deleted).await;
}

#[tokio::test]
async fn a_reader_that_meets_rot_in_the_index_fails_the_disk() {
    let disk = MemoryDisk::new();
    let node = node_with_many(&disk).await;
    let_index_rot(&disk);
    let mut read = 0;
    while node.get(&chunk(read, 8).0).await.is_ok() {
        read += 1;
    }
    check_given_up(&disk, node, 0).await;
}

#[tokio::test]
async fn a_list_that_meets_rot_in_the_index_fails_the_disk() {
    let disk = MemoryDisk::new();
    let node = node_with_many(&disk).await;
    let_index_rot(&disk);
    let mut bucket = 0;
    while node.node.list_bucket(bucket, None, 4096).await.is_ok() {
        bucket += 1;
    }
    check_given_up(&disk, node, 0).await;
}

/// The index of a disk failed: nothing on the disk could be read until somebody restarted the node. A new one is made while the node
/// runs, and what was known of the disk beside the index is not forgotten.
#[tokio::test]
async fn an_index_that_failed_is_made_anew_while_the_node_runs() {
    let disk = MemoryDisk::new();
    let node = node_with_many(&disk).await;
    let bad = chunk(0, 8).0;
    let at = node.node.disks()[0].store.find(&bad).unwrap().unwrap();
    node.node.disks()[0].store.remember_bad(bad, at.location);
    let_index_rot(&disk);
    let mut read = 1;
    while node.get(&chunk(read, 8).0).await.is_ok() {
        read += 1;
    }
    let failed = Arc::downgrade(&node.node.disks()[0].store);
    assert_eq!(node.state(&chunk(MANY, 8).0), ChunkState::OnHungDisk);
    node.reopen(0).await.unwrap();
    assert!(failed.upgrade().is_none(), "nobody uses the old one");
    assert_eq!(node.node.usage().await.failed_disks, 0);
    assert_eq!(node.get(&chunk(read, 8).0).await.unwrap(), chunk(read, 8).1);
    let refused = node.get(&bad).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Corrupt);
    assert!(node.put(&chunk(MANY, 8)).await.unwrap());
    node.delete(&[bad]).await.unwrap();
    node.crash(1).await;
    let node = TestNode::open(&[&disk]);
    node.check_digest((1..=MANY).map(|number| chunk(number, 8).0));
    node.stop().await;
}

/// Whatever makes a writer panic: its disk is a failed one, and what was acknowledged is there after a restart.
#[tokio::test]
async fn a_writer_that_panics_fails_the_disk() {
    let disk = MemoryDisk::new();
    let panics = Arc::new(AtomicBool::new(false));
    let clock = Arc::clone(&panics);
    let clock = move || {
        assert!(!clock.load(Ordering::Relaxed), "the clock panics");
        1
    };
    let environment = Environment::new(Blocking::inline(), clock, |bytes| bytes.fill(7));
    let node = TestNode::try_open_in(&environment, &[&disk], &config()).unwrap();
    node.put(&chunk(1, 8)).await.unwrap();
    panics.store(true, Ordering::Relaxed);
    let refused = node.put(&chunk(2, 8)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Stopping);
    let refused = node.put(&chunk(3, 8)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Disk);
    panics.store(false, Ordering::Relaxed);
    let usage = node.node.usage().await;
    assert_eq!((usage.writable, usage.failed_disks), (false, 1));
    node.stop().await;
    let node = TestNode::open(&[&disk]);
    node.check_digest([chunk(1, 8).0]);
    node.stop().await;
}
