//! Disks that hang: what waits for them, and that nothing else does.

use std::sync::Arc;

use bytes::Bytes;
use disk::MemoryDisk;
use futures::future::join_all;
use proto::ErrorCode;
use proto::id::ChunkId;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Duration, advance, pause, resume, timeout};

use super::support::{TestNode, chunk, extents};
use crate::{lane, writer};

const SOON: Duration = Duration::from_secs(20);

/// So much time goes by, and none of it is waited for.
async fn pass(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

/// Puts what no disk has, and does not wait for one that hangs.
async fn put_soon(node: &TestNode, chunk: &(ChunkId, Bytes)) -> bool {
    let put = timeout(SOON, node.put(chunk)).await;
    put.expect("another disk takes it").unwrap()
}

/// Somebody reads from a disk that hangs.
async fn read(node: &TestNode, disk: usize) -> JoinHandle<()> {
    let (begins, begun) = tokio::sync::oneshot::channel();
    let lane = node.node.disks()[disk].lane.clone();
    let store = Arc::clone(&node.node.disks()[disk].store);
    let reading = tokio::spawn(async move {
        let list = move || {
            begins.send(()).unwrap();
            Ok(store.disk.list("")?)
        };
        lane.run(list).await.unwrap();
    });
    begun.await.unwrap();
    reading
}

/// Two disks, of which the first has the more room.
fn two_disks() -> (MemoryDisk, MemoryDisk, TestNode) {
    let (one, two) = (MemoryDisk::new(), MemoryDisk::new());
    one.set_capacity(2 << 40);
    let node = TestNode::open_on_threads(&[&one, &two]);
    (one, two, node)
}

/// A disk hangs while it is read: the others take what comes, the node says how much they can, and the disk takes chunks
/// again when it answers.
#[tokio::test]
async fn a_disk_that_hangs_keeps_no_chunk_from_the_others() {
    let (one, two, node) = two_disks();
    let hang = one.hang();
    let one_read = read(&node, 0).await;
    pass(lane::HUNG_AFTER).await;
    assert!(put_soon(&node, &chunk(1, 1000)).await);
    assert_eq!(extents(&two).len(), 1);
    let usage = node.node.usage().await;
    assert!(usage.writable && usage.failed_disks == 1 && usage.free_bytes <= 1 << 40);
    let second = two.hang();
    let other_read = read(&node, 1).await;
    pass(lane::HUNG_AFTER).await;
    assert!(!node.node.usage().await.writable);
    let refused = node.put(&chunk(2, 1000)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::TimedOut);
    drop((hang, second));
    one_read.await.unwrap();
    other_read.await.unwrap();
    let usage = node.node.usage().await;
    assert!(usage.writable && usage.failed_disks == 0);
    assert!(node.put(&chunk(2, 1000)).await.unwrap());
    assert_eq!(extents(&one).len(), 1);
    node.stop().await;
}

/// As many read from a disk that begins to hang as may at once, so that it does not even say which chunks it has: a put
/// waits for it a moment, and goes to the other.
#[tokio::test]
async fn a_disk_that_does_not_say_what_it_has_is_not_waited_for() {
    let (one, two, node) = two_disks();
    let hang = one.hang();
    let mut reading = Vec::new();
    for _ in 0..lane::READS_MAX {
        reading.push(read(&node, 0).await);
    }
    assert!(put_soon(&node, &chunk(1, 1000)).await);
    drop(hang);
    assert_eq!((extents(&one).len(), extents(&two).len()), (0, 1));
    join_all(reading).await;
    node.stop().await;
}

/// A disk hangs while it is written: what it has begun waits for it, what comes after that goes to the other.
#[tokio::test]
async fn a_disk_that_does_not_finish_a_write_gets_no_more() {
    let (one, two, node) = two_disks();
    let hang = one.hang_writes();
    let begun = tokio::spawn({
        let node = Arc::clone(&node.node);
        let (id, bytes) = chunk(1, 1000);
        async move { node.put(id, bytes).await }
    });
    while !node.node.disks()[0].pulse.is_busy() {
        yield_now().await;
    }
    pass(writer::HUNG_AFTER).await;
    assert!(put_soon(&node, &chunk(2, 1000)).await);
    assert_eq!(extents(&two).len(), 1);
    drop(hang);
    assert!(begun.await.unwrap().unwrap());
    assert!(node.put(&chunk(3, 1000)).await.unwrap());
    assert_eq!(node.node.usage().await.failed_disks, 0);
    node.stop().await;
}

/// A disk does not even say how much room it has: the node tells soon how it is without it, with the room that it had, and
/// again when it is over.
#[tokio::test]
async fn a_disk_that_hangs_counts_as_failed_while_it_does() {
    let (one, two, node) = two_disks();
    two.set_capacity(2 << 30);
    let before = node.node.usage().await;
    assert_eq!(before.failed_disks, 0);

    let hang = one.hang();
    let asked = tokio::spawn({
        let node = Arc::clone(&node.node);
        async move { node.usage().await }
    });
    while !node.node.disks()[0].pulse.is_busy() {
        yield_now().await;
    }
    pass(lane::HUNG_AFTER).await;
    for usage in [asked.await.unwrap(), node.node.usage().await] {
        assert_eq!((usage.failed_disks, usage.writable), (1, true));
        assert_eq!(usage.capacity_bytes, before.capacity_bytes);
        assert!(usage.free_bytes > 1 << 30 && usage.free_bytes <= 2 << 30);
    }
    drop(hang);
    while node.node.disks()[0].pulse.is_busy() {
        yield_now().await;
    }
    assert_eq!(node.node.usage().await, before);
    node.stop().await;
}

/// All corrupt chunks are to be reported while a disk hangs: those of the other are, and those that were just found, and
/// the rest when that disk answers.
#[tokio::test]
async fn what_rots_is_reported_while_a_disk_hangs() {
    let (one, two, node) = two_disks();
    let (on_one, on_two) = (chunk(1, 1000), chunk(2, 1000));
    node.put(&on_one).await.unwrap();
    two.set_capacity(4 << 40);
    node.put(&on_two).await.unwrap();
    for disk in [&one, &two] {
        disk.flip(&extents(disk)[0], 4096 + 100, 1);
    }
    node.get(&on_two.0).await.unwrap_err();
    assert_eq!(node.node.take_unreported(false).await, [on_two.0]);
    node.get(&on_one.0).await.unwrap_err();

    let hang = one.hang();
    let waiting = read(&node, 0).await;
    pass(lane::HUNG_AFTER).await;
    let mut both = [on_one.0, on_two.0];
    both.sort_unstable();
    assert_eq!(node.node.take_unreported(true).await, both);
    assert!(node.node.owes_reports());
    assert_eq!(node.node.take_unreported(false).await, [on_two.0]);
    drop(hang);
    waiting.await.unwrap();
    assert_eq!(node.node.take_unreported(false).await, both);
    assert!(!node.node.owes_reports());
    node.stop().await;
}
