//! Disks that hang: what waits for them, and that nothing else does.

use std::sync::Arc;

use bytes::Bytes;
use disk::MemoryDisk;
use futures::future::join_all;
use proto::ErrorCode;
use proto::id::{ChunkId, Epoch};
use proto::node::ChunkState;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Duration, advance, pause, resume, timeout};

use super::support::{TestNode, chunk, config, extents, threads};
use crate::config::Config;
use crate::error::StoreError;
use crate::extent::{Order, PAYLOAD_LEN_MAX};
use crate::opening::{self, Opened};
use crate::run::join_late;
use crate::verified::VerifiedChunk;
use crate::{lane, writer};

const SOON: Duration = Duration::from_secs(20);

/// So much time goes by, and none of it is waited for.
async fn pass(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

/// Waits until it is so.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        yield_now().await;
    }
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
    until(|| one.waiting() > 0).await;
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
    until(|| one.waiting() > 0).await;
    pass(lane::HUNG_AFTER).await;
    for usage in [asked.await.unwrap(), node.node.usage().await] {
        assert_eq!((usage.failed_disks, usage.writable), (1, true));
        assert_eq!(usage.capacity_bytes, before.capacity_bytes);
        assert!(usage.free_bytes > 1 << 30 && usage.free_bytes <= 2 << 30);
    }
    drop(hang);
    until(|| !node.node.disks()[0].pulse.is_busy()).await;
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
    assert_eq!(node.to_report(false).await, [on_two.0]);
    node.get(&on_one.0).await.unwrap_err();

    let hang = one.hang();
    let waiting = read(&node, 0).await;
    pass(lane::HUNG_AFTER).await;
    let mut both = [on_one.0, on_two.0];
    both.sort_unstable();
    assert_eq!(node.to_report(true).await, both);
    assert!(node.node.owes_reports());
    assert_eq!(node.to_report(false).await, []);
    drop(hang);
    waiting.await.unwrap();
    assert_eq!(node.to_report(false).await, [on_one.0]);
    assert!(!node.node.owes_reports());
    node.stop().await;
}

/// A chunk on each of two disks, of which the first hangs.
async fn one_of_two_hangs() -> (TestNode, [ChunkId; 2], disk::Hang, JoinHandle<()>) {
    let (one, two, node) = two_disks();
    let chunks = [chunk(1, 1000), chunk(2, 1000)];
    node.put(&chunks[0]).await.unwrap();
    two.set_capacity(4 << 40);
    node.put(&chunks[1]).await.unwrap();
    let hang = one.hang();
    let waiting = read(&node, 0).await;
    pass(lane::HUNG_AFTER).await;
    (node, chunks.map(|(id, _)| id), hang, waiting)
}

/// A disk hangs: the node answers for the others, does not count what the disk has as copies, and does not say either that
/// it is missing. When the disk answers, all is as before.
#[tokio::test]
async fn what_a_hung_disk_has_does_not_count_and_is_not_missing() {
    use ChunkState::{Good, Missing, OnHungDisk};
    let (node, [on_one, on_two], hang, waiting) = one_of_two_hangs().await;
    let nowhere = chunk(3, 1000).0;
    let states = async || {
        let chunks = vec![on_one, on_two, nowhere];
        let described = node.node.describe(chunks).await.unwrap();
        described.iter().map(|one| one.state).collect::<Vec<_>>()
    };
    let listed = async |chunk: ChunkId| {
        let listed = node.node.list_bucket(chunk.bucket(), None, 9).await;
        listed
            .unwrap()
            .0
            .into_iter()
            .map(|(id, _)| id)
            .collect::<Vec<_>>()
    };
    assert_eq!(states().await, [OnHungDisk, Good, OnHungDisk]);
    assert_eq!(listed(on_one).await, []);
    assert_eq!(listed(on_two).await, [on_two]);
    node.check_digest([on_two]);
    drop(hang);
    waiting.await.unwrap();
    assert_eq!(states().await, [Good, Good, Missing]);
    assert_eq!(listed(on_one).await, [on_one]);
    node.check_digest([on_one, on_two]);
    node.stop().await;
}

/// A deletion is ordered while a disk hangs: the others carry it out at once, and what only that disk may have is kept until
/// it answers.
#[tokio::test]
async fn a_deletion_is_carried_out_on_the_disks_that_answer() {
    let (node, [on_one, on_two], hang, waiting) = one_of_two_hangs().await;
    let ordered = timeout(SOON, node.delete_what_can(&[on_one, on_two])).await;
    let done = ordered.expect("nobody waits for the disk").unwrap();
    assert_eq!((done.deleted, done.kept), (1, vec![on_one]));
    drop(hang);
    waiting.await.unwrap();
    assert_eq!(node.delete(&[on_one]).await.unwrap(), 1);
    node.check_digest([]);
    node.stop().await;
}

/// A disk hangs with a deletion that it has begun: as long as it may still delete them, none of the chunks is said to be
/// gone, so that none is stored again and then deleted. Others can be deleted meanwhile.
#[tokio::test]
async fn what_a_hung_disk_may_still_delete_is_not_said_to_be_gone() {
    let (one, two, node) = two_disks();
    let on_one = chunk(1, 1000);
    let on_two = [chunk(2, 1000), chunk(3, 1000)];
    node.put(&on_one).await.unwrap();
    two.set_capacity(4 << 40);
    for chunk in &on_two {
        node.put(chunk).await.unwrap();
    }
    let hang = one.hang_writes();
    let mut ordered = vec![on_one.0, on_two[0].0];
    ordered.sort_unstable();
    let (order, chunks) = (node.next_order(), ordered.clone());
    let begun = tokio::spawn({
        let node = Arc::clone(&node.node);
        async move { node.delete(order, &chunks).await }
    });
    let other = &node.node.disks()[1];
    let is_deleted = || other.store.find(&on_two[0].0).unwrap().is_none();
    until(|| one.waiting() > 0 && is_deleted() && !other.pulse.is_busy()).await;
    pass(writer::HUNG_AFTER * 2).await;
    assert_eq!(begun.await.unwrap().unwrap().kept, ordered);
    assert_eq!(node.delete_what_can(&ordered).await.unwrap().kept, ordered);
    assert_eq!(node.delete(&[on_two[1].0]).await.unwrap(), 1);
    drop(hang);
    until(|| !node.node.disks()[0].pulse.is_busy()).await;
    assert_eq!(node.delete(&ordered).await.unwrap(), 0);
    node.check_digest([]);
    node.stop().await;
}

/// Puts wait for a disk that hangs, and nobody waits for them any more: their bytes still count until the disk lets go of
/// them, so that memory is bounded, and it does not write them then.
#[tokio::test]
async fn bytes_that_wait_for_a_hung_disk_are_bounded() {
    let disk = MemoryDisk::new();
    let config = Config {
        extent_size: 1 << 30,
        ..config()
    };
    let node = TestNode::open_on_threads_with(&[&disk], &config);
    node.put(&chunk(1, 1000)).await.unwrap();
    let writer = node.node.disks()[0].writer.clone();
    let payload = Bytes::from(vec![0; PAYLOAD_LEN_MAX]);
    let put = |number: u64| {
        let (writer, payload) = (writer.clone(), payload.clone());
        let chunk = ChunkId::of(&number.to_be_bytes());
        tokio::spawn(async move {
            let payload_crc = 0;
            let verified = VerifiedChunk {
                chunk,
                payload,
                payload_crc,
            };
            writer.put(verified).await
        })
    };
    let hang = disk.hang_writes();
    let first = put(0);
    until(|| disk.waiting() > 0).await;
    let begun = writer::WAITING_BYTES_MAX - writer.free_bytes();
    assert_eq!(begun, PAYLOAD_LEN_MAX, "what is being written counts");
    let fitting = (writer::WAITING_BYTES_MAX / PAYLOAD_LEN_MAX) as u64;
    let others: Vec<_> = (1..fitting + 2).map(put).collect();
    until(|| writer.free_bytes() < PAYLOAD_LEN_MAX).await;
    pass(writer::ANSWER_TIMEOUT).await;
    for put in std::iter::once(first).chain(others) {
        assert!(matches!(put.await.unwrap(), Err(StoreError::TimedOut)));
    }
    assert!(
        writer.free_bytes() < PAYLOAD_LEN_MAX,
        "they are still there"
    );
    drop(hang);
    until(|| writer.free_bytes() == writer::WAITING_BYTES_MAX).await;
    assert_eq!(node.node.usage().await.chunks, 2, "only what was begun");
    drop(writer);
    node.stop().await;
}

/// A disk hung when the node started, before its folder was read or when its store was opened: the node waited for it with all that
/// its other disks had. Now it serves without the disk, does not say of any chunk that it is not there, and the disk joins when it
/// answers.
#[tokio::test]
async fn a_disk_that_hangs_at_the_start_joins_later() {
    use ChunkState::{Good, Missing, OnHungDisk};
    let hangs: [fn(&MemoryDisk) -> disk::Hang; 2] = [MemoryDisk::hang, MemoryDisk::hang_writes];
    for hang in hangs {
        let (one, two, node) = two_disks();
        let (on_one, on_two) = (chunk(1, 1000), chunk(2, 1000));
        node.put(&on_one).await.unwrap();
        two.set_capacity(4 << 40);
        node.put(&on_two).await.unwrap();
        node.stop().await;

        let hang = hang(&two);
        let disks = [one.shared(), two.shared()];
        let opening =
            tokio::spawn(async move { Opened::open(&config(), &threads(), &disks).await });
        until(|| two.waiting() > 0).await;
        pass(opening::PATIENCE).await;
        let opened = opening.await.unwrap().unwrap();
        let mut started = opened.start(threads());
        let node = started.node;
        assert_eq!(node.usage().await.failed_disks, 1);
        node.open_chunk(&on_one.0).await.unwrap();
        let unknown = node.open_chunk(&on_two.0).await.map(drop).unwrap_err();
        assert!(matches!(unknown, StoreError::TimedOut));
        let states = async || {
            let chunks = vec![on_one.0, on_two.0, chunk(3, 1000).0];
            let described = node.describe(chunks).await.unwrap();
            described.iter().map(|one| one.state).collect::<Vec<_>>()
        };
        assert_eq!(states().await, [Good, OnHungDisk, OnHungDisk]);
        let order = |sequence| Order {
            epoch: Epoch(1),
            sequence,
        };
        let done = node.delete(order(1), &[on_two.0]).await.unwrap();
        assert_eq!((done.deleted, done.kept), (0, vec![on_two.0]));

        drop(hang);
        let late = started.late.pop().unwrap();
        assert_eq!(join_late(&node, late).await, Some(1));
        assert_eq!(node.usage().await.failed_disks, 0);
        assert_eq!(states().await, [Good, Good, Missing]);
        let done = node.delete(order(2), &[on_two.0]).await.unwrap();
        assert_eq!((done.deleted, done.kept), (1, vec![]));
    }
}

/// A disk hung when the node started, and when it answered it was another node's: from then on its chunks were said to be missing.
/// They may be on the disk that belongs there.
#[tokio::test]
async fn what_a_late_disk_has_that_is_refused_is_not_missing() {
    let (one, two, node) = two_disks();
    let on_one = chunk(1, 1000);
    node.put(&on_one).await.unwrap();
    node.stop().await;
    let foreign = MemoryDisk::new();
    TestNode::open(&[&foreign]).stop().await;

    let hang = two.hang();
    let disks = [one.shared(), two.shared()];
    let opening = tokio::spawn(async move { Opened::open(&config(), &threads(), &disks).await });
    until(|| two.waiting() > 0).await;
    pass(opening::PATIENCE).await;
    let mut started = opening.await.unwrap().unwrap().start(threads());
    two.put("node.json", &foreign.content("node.json").unwrap());
    drop(hang);
    let node = started.node;
    let late = started.late.pop().unwrap();
    assert_eq!(join_late(&node, late).await, None);
    let chunks = vec![on_one.0, chunk(2, 1000).0];
    let described = node.describe(chunks).await.unwrap();
    let states: Vec<_> = described.iter().map(|one| one.state).collect();
    assert_eq!(states, [ChunkState::Good, ChunkState::OnHungDisk]);
    assert_eq!(node.usage().await.failed_disks, 1);
}

/// The first disk, which is waited for, took long to say who the node is. Then there was no time left for the others, which were
/// well: they were taken for disks that hang.
#[tokio::test]
async fn a_slow_first_disk_makes_no_other_late() {
    let (one, two, node) = two_disks();
    node.stop().await;
    let hang = one.hang();
    let disks = [one.shared(), two.shared()];
    let opening = tokio::spawn(async move { Opened::open(&config(), &threads(), &disks).await });
    until(|| one.waiting() > 0).await;
    pass(opening::PATIENCE).await;
    drop(hang);
    let started = opening.await.unwrap().unwrap().start(threads());
    assert!(started.late.is_empty());
    assert_eq!(started.node.usage().await.failed_disks, 0);
}

/// A chunk that rotted is read while the disk does not finish any write: who reads it is told at once, nobody is served it
/// from then on, and that is noted when the disk can.
#[tokio::test]
async fn rot_is_told_before_it_is_noted() {
    let disk = MemoryDisk::new();
    let node = TestNode::open_on_threads(&[&disk]);
    let (id, bytes) = chunk(1, 1000);
    node.put(&(id, bytes)).await.unwrap();
    disk.flip(&extents(&disk)[0], 4096 + 100, 1);
    let hang = disk.hang_writes();
    let putting = tokio::spawn({
        let node = Arc::clone(&node.node);
        let (id, bytes) = chunk(2, 1000);
        async move { node.put(id, bytes).await }
    });
    until(|| disk.waiting() > 0).await;
    for _ in 0..2 {
        let read = timeout(SOON, node.node.open_chunk(&id)).await;
        let read = read.expect("the disk can be read");
        assert!(matches!(read, Err(StoreError::Corrupt(_))));
    }
    let described = node.node.describe(vec![id]).await.unwrap();
    assert_eq!(described[0].state, ChunkState::Corrupt);
    drop(hang);
    putting.await.unwrap().unwrap();
    node.node.marks_are_done().await;
    assert_eq!(node.to_report(false).await, [id]);
    let store = &node.node.disks()[0].store;
    assert!(store.unmarked().is_empty());
    assert!(store.index.get(&id).unwrap().unwrap().corrupt);
    node.stop().await;
}
