//! Summaries of extents: a new index is the same with and without them, whatever became of them.

use disk::{Disk, MemoryDisk};
use proto::node::ChunkState;

use super::support::{TestNode, chunk, extents};
use crate::catalog::{Catalog, Row};
use crate::extent::{EXTENT_HEADER_LEN, record_len};

const LEN: usize = 3000;
const CHUNKS: u64 = 40;

/// A disk with extents of all ages, of which some were compacted, and the summaries of all that are sealed.
async fn summarized() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    for number in 0..CHUNKS {
        node.put(&chunk(number, LEN)).await.unwrap();
    }
    let ids = (0..30).filter(|number| number % 3 != 0);
    let ids: Vec<_> = ids.map(|number| chunk(number, LEN).0).collect();
    node.delete(&ids).await.unwrap();
    node.put(&chunk(1, LEN)).await.unwrap();
    node.compact().await;
    for number in 100..108 {
        node.put(&chunk(number, LEN)).await.unwrap();
    }
    node.compact().await;
    node.stop().await;
    // None has the last one, nor the one with the deletions, of which a summary says as much as they do.
    assert!(summaries(&disk).len() >= extents(&disk).len() - 2);
    disk
}

fn summaries(disk: &MemoryDisk) -> Vec<String> {
    let mut paths: Vec<_> = extents(disk)
        .iter()
        .map(|path| path.replace(".extent", ".summary"))
        .filter(|path| disk.open(path).is_ok())
        .collect();
    paths.sort();
    paths
}

/// What a new index of this disk says.
async fn rebuilt(disk: &MemoryDisk) -> (Catalog, Vec<Option<Row>>) {
    let disk = disk.fork();
    disk.remove("index.redb").unwrap();
    let node = TestNode::open(&[&disk]);
    let store = &node.node.disks()[0].store;
    let numbers = (0..CHUNKS).chain(100..108);
    let rows = numbers.map(|number| store.find(&chunk(number, LEN).0).unwrap());
    let index = (store.catalog().clone(), rows.collect());
    node.stop().await;
    index
}

#[tokio::test]
async fn a_new_index_is_the_same_with_and_without_summaries() {
    let disk = summarized().await;
    let with = rebuilt(&disk).await;
    for path in summaries(&disk) {
        disk.remove(&path).unwrap();
    }
    assert_eq!(rebuilt(&disk).await, with);
}

/// Where there is a summary, nothing is read of the extent but its header.
#[tokio::test]
async fn a_new_index_needs_no_read_for_each_record() {
    let disk = summarized().await;
    let with = rebuilt(&disk).await;
    for path in summaries(&disk) {
        let extent = path.replace(".summary", ".extent");
        disk.fail_reads(&extent, EXTENT_HEADER_LEN..u64::MAX);
    }
    assert_eq!(rebuilt(&disk).await, with);
}

#[tokio::test]
async fn a_summary_that_is_damaged_is_not_used() {
    let disk = summarized().await;
    let expected = rebuilt(&disk).await;
    let path = &summaries(&disk)[0];
    let content = disk.content(path).unwrap();
    for at in 0..content.len() {
        let (flipped, cut) = (disk.fork(), disk.fork());
        flipped.flip(path, at as u64, 0x10);
        assert_eq!(rebuilt(&flipped).await, expected, "byte {at}");
        cut.cut(path, at as u64);
        assert_eq!(rebuilt(&cut).await, expected, "cut at {at}");
    }
    let other = disk.content(&summaries(&disk)[1]).unwrap();
    disk.put(path, &other);
    assert_eq!(rebuilt(&disk).await, expected, "of another extent");
}

/// Starts a node again after its first extent was summarized, then cut, and the index was lost.
async fn cut_behind_the_first_record(node: TestNode, disk: &MemoryDisk) -> TestNode {
    node.compact().await;
    node.stop().await;
    let len = record_len(u32::try_from(LEN).unwrap());
    disk.cut(&extents(disk)[0], EXTENT_HEADER_LEN + len + 10);
    disk.remove("index.redb").unwrap();
    TestNode::open(&[disk])
}

/// An extent was cut and the index lost: its summary still tells what it held, so that it is corrupt, and has a name.
#[tokio::test]
async fn what_was_cut_off_is_known_by_the_summary() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    for number in 0..10 {
        node.put(&chunk(number, LEN)).await.unwrap();
    }
    let node = cut_behind_the_first_record(node, &disk).await;
    assert_eq!(node.state(&chunk(0, LEN).0), ChunkState::Good);
    assert_eq!(node.state(&chunk(1, LEN).0), ChunkState::Corrupt);
    node.stop().await;
}

/// The same of an extent with deletions: they need no payload, and were taken for corrupt chunks.
#[tokio::test]
async fn deletions_that_were_cut_off_are_known_by_the_summary() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    for number in 0..2 {
        node.put(&chunk(number, LEN)).await.unwrap();
    }
    node.delete(&[chunk(0, LEN).0]).await.unwrap();
    for number in 2..10 {
        node.put(&chunk(number, LEN)).await.unwrap();
    }
    let node = cut_behind_the_first_record(node, &disk).await;
    assert_eq!(node.state(&chunk(0, LEN).0), ChunkState::Missing);
    assert_eq!(node.state(&chunk(1, LEN).0), ChunkState::Corrupt);
    node.stop().await;
}

/// What was left of a summary whose extent is gone, or that was not finished, goes at a start.
#[tokio::test]
async fn nothing_is_left_of_summaries_without_an_extent() {
    let disk = summarized().await;
    let kept = summaries(&disk);
    disk.put("extents/00000099.summary", b"x");
    disk.put("extents/00000001.summary.new", b"x");
    TestNode::open(&[&disk]).stop().await;
    assert!(disk.open("extents/00000099.summary").is_err());
    assert!(disk.open("extents/00000001.summary.new").is_err());
    assert_eq!(summaries(&disk), kept);
}
