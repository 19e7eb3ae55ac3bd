//! What is lost or damaged under a node that runs: the scrubber and compaction find it, and nothing keeps them from the
//! rest.

use bytes::Bytes;
use std::collections::BTreeSet;

use disk::{Disk, MemoryDisk};
use proto::id::ChunkId;
use proto::node::ChunkState;

use super::support::{TestNode, chunk, config, extents};
use crate::compact::compact_all;
use crate::config::Config;
use crate::extent::{EXTENT_HEADER_LEN, record_len};
use crate::scrub::scrub_extent;

const LEN: usize = 6000;

/// A node with three extents of two chunks each, all of which were read.
async fn three_extents() -> (MemoryDisk, TestNode, Vec<(ChunkId, Bytes)>) {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let chunks: Vec<_> = (0..6).map(|number| chunk(number, LEN)).collect();
    for chunk in &chunks {
        node.put(chunk).await.unwrap();
    }
    assert_eq!(extents(&disk).len(), 3);
    for (id, bytes) in &chunks {
        assert_eq!(node.get(id).await.unwrap(), bytes);
    }
    (disk, node, chunks)
}

fn states(node: &TestNode, chunks: &[(ChunkId, Bytes)]) -> Vec<ChunkState> {
    chunks.iter().map(|(id, _)| node.state(id)).collect()
}

const GOOD: ChunkState = ChunkState::Good;
const CORRUPT: ChunkState = ChunkState::Corrupt;

/// Somebody removed an extent's file. The scrubber, which had the file open, saw nothing; without it, it tried that extent
/// for ever, and read none behind it. Once all that it held is elsewhere, it is forgotten.
#[tokio::test]
async fn a_removed_extent_is_found_and_keeps_nobody_from_the_next() {
    let (disk, node, chunks) = three_extents().await;
    let paths = extents(&disk);
    disk.remove(&paths[0]).unwrap();
    disk.flip(&paths[1], EXTENT_HEADER_LEN + 200, 1);
    node.scrub().await;
    let expected = [CORRUPT, CORRUPT, CORRUPT, GOOD, GOOD, GOOD];
    assert_eq!(states(&node, &chunks), expected);
    for (id, _) in &chunks[..2] {
        let verified = node.node.verify_chunk(id).await.unwrap();
        assert_eq!(verified, CORRUPT, "an open file is not what is here");
    }
    for chunk in &chunks {
        node.put(chunk).await.unwrap();
    }
    node.compact().await;
    assert!(
        !node.node.disks()[0]
            .store
            .catalog()
            .extents
            .contains_key(&1)
    );
    node.check_digest(chunks.iter().map(|(id, _)| *id));
    node.kill().await;
    let node = TestNode::open(&[&disk]);
    node.check_digest(chunks.iter().map(|(id, _)| *id));
    node.stop().await;
}

/// The file that is being written was removed: what is put from then on goes to one that has a name.
#[tokio::test]
async fn nothing_more_is_written_to_a_removed_extent() {
    let (disk, node, chunks) = three_extents().await;
    disk.remove(&extents(&disk)[2]).unwrap();
    node.scrub().await;
    assert_eq!(states(&node, &chunks)[3..], [GOOD, CORRUPT, CORRUPT]);
    let new = chunk(7, 100);
    node.put(&new).await.unwrap();
    node.kill().await;
    let node = TestNode::open(&[&disk]);
    assert_eq!(node.get(&new.0).await.unwrap(), new.1);
    node.stop().await;
}

/// An extent could not be opened for another reason, which says nothing of its chunks. The scrubber and compaction tried
/// it again and again, and came to no other.
#[tokio::test]
async fn an_extent_that_cannot_be_opened_keeps_nobody_from_the_next() {
    let (disk, node, chunks) = three_extents().await;
    let paths = extents(&disk);
    disk.remove(&paths[0]).unwrap();
    disk.create_folder(&paths[0]).unwrap();
    disk.flip(&paths[2], EXTENT_HEADER_LEN + 200, 1);
    node.scrub().await;
    let expected = [GOOD, GOOD, GOOD, GOOD, CORRUPT, GOOD];
    assert_eq!(states(&node, &chunks), expected);
    let ids: Vec<_> = chunks[..4].iter().map(|(id, _)| *id).collect();
    node.delete(&ids).await.unwrap();
    node.compact().await;
    assert!(!extents(&disk).contains(&paths[1]));
    node.stop().await;
}

/// An extent was cut: the walk ended with the file, so what was missing was never found, the extent was said to be
/// verified, and compaction chose it for ever.
#[tokio::test]
async fn what_was_cut_off_an_extent_is_found() {
    let cut = EXTENT_HEADER_LEN + record_len(u32::try_from(LEN).unwrap());
    for len in [cut, cut + 50, EXTENT_HEADER_LEN, 100, 0] {
        let (disk, node, chunks) = three_extents().await;
        let paths = extents(&disk);
        disk.cut(&paths[0], len);
        node.scrub().await;
        let first = if len >= cut { GOOD } else { CORRUPT };
        let expected = [first, CORRUPT, GOOD, GOOD, GOOD, GOOD];
        assert_eq!(states(&node, &chunks), expected, "cut at {len}");
        node.stop().await;

        let (disk, node, chunks) = three_extents().await;
        disk.cut(&paths[0], len);
        let ids = [chunks[0].0, chunks[2].0, chunks[3].0];
        node.delete(&ids).await.unwrap();
        compact_all(&node.node, 0, 0.6, &mut BTreeSet::new()).await;
        assert_eq!(node.state(&chunks[1].0), CORRUPT, "cut at {len}");
        assert!(!extents(&disk).contains(&paths[1]), "cut at {len}");
        node.stop().await;
    }
}

/// Compaction itself found that a chunk is bad: the extent was kept until a restart, and so was all its room, although the
/// chunk was deleted, or stored anew, a moment later.
#[tokio::test]
async fn an_extent_with_a_bad_chunk_goes_once_that_is_deleted() {
    let (disk, node, chunks) = three_extents().await;
    let first = extents(&disk)[0].clone();
    disk.flip(&first, EXTENT_HEADER_LEN + 200, 1);
    node.delete(&[chunks[1].0]).await.unwrap();
    let mut kept = BTreeSet::new();
    compact_all(&node.node, 0, 0.6, &mut kept).await;
    assert_eq!(node.state(&chunks[0].0), CORRUPT);
    assert!(extents(&disk).contains(&first));
    node.delete(&[chunks[0].0]).await.unwrap();
    compact_all(&node.node, 0, 0.6, &mut kept).await;
    assert!(!extents(&disk).contains(&first));
    node.stop().await;
}

/// A disk of few chunks was read again every half hour, and could never rest.
#[tokio::test]
async fn what_was_read_is_not_read_again_and_a_disk_that_rests_is_not_written() {
    let (disk, node, _) = three_extents().await;
    node.scrub().await;
    let usage = node.node.usage().await;
    assert_eq!(usage.scrubbed_bytes, usage.stored_bytes);
    let changes = disk.changes();
    disk.fail_opens();
    assert!(!scrub_extent(&node.node, 0, None).await.unwrap());
    assert_eq!(disk.changes(), changes);
    node.stop().await;
}

/// That a copy is bad could not be noted, for want of room. After the chunk was stored anew, the good copy was called
/// corrupt at each registration until a restart, and its old extent was compacted in vain for ever.
#[tokio::test]
async fn a_copy_stored_anew_is_not_called_by_what_the_old_one_was() {
    let (disk, node, id, config) = unmarked().await;
    disk.set_capacity(1 << 30);
    let old = node.node.disks()[0].store.find(&id).unwrap().unwrap();
    assert!(node.put(&chunk(0, LEN)).await.unwrap());
    assert_eq!(node.to_report(true).await, []);
    assert_eq!(node.node.disks()[0].store.unmarked(), []);
    assert_eq!(node.state(&id), GOOD);
    // A reader of the old record comes late.
    let store = &node.node.disks()[0].store;
    store.remember_bad(id, old.location);
    assert_eq!(node.to_report(true).await, []);
    node.delete(&[chunk(1, LEN).0]).await.unwrap();
    node.compact().await;
    assert!(!extents(&disk).contains(&"extents/00000001.extent".to_owned()));
    node.kill().await;
    let node = TestNode::open_with(&[&disk], &config);
    assert_eq!(node.state(&id), GOOD);
    node.stop().await;
}

/// The same, and the chunk is not stored anew: its extent is held meanwhile, others are compacted, and that it is bad is
/// noted as soon as the disk takes it.
#[tokio::test]
async fn what_could_not_be_noted_is_noted_later() {
    let (disk, node, id, config) = unmarked().await;
    let ids: Vec<_> = (1..4).map(|number| chunk(number, LEN).0).collect();
    disk.set_capacity(1 << 30);
    node.delete(&ids).await.unwrap();
    node.compact().await;
    let paths = extents(&disk);
    assert!(
        paths.contains(&"extents/00000001.extent".to_owned()),
        "{paths:?}"
    );
    assert!(
        !paths.contains(&"extents/00000002.extent".to_owned()),
        "{paths:?}"
    );
    node.node.mark_again(0).await;
    assert_eq!(node.node.disks()[0].store.unmarked(), []);
    node.stop().await;
    let node = TestNode::open_with(&[&disk], &config);
    assert_eq!(node.state(&id), CORRUPT);
    node.stop().await;
}

/// A node with a chunk that is known to be bad, of which the index of its full disk could not note it.
async fn unmarked() -> (MemoryDisk, TestNode, ChunkId, Config) {
    let disk = MemoryDisk::new();
    disk.set_capacity(1 << 30);
    let config = Config {
        reserve: 8 << 20,
        ..config()
    };
    let node = TestNode::open_with(&[&disk], &config);
    for number in 0..6 {
        node.put(&chunk(number, LEN)).await.unwrap();
    }
    disk.flip(&extents(&disk)[0], EXTENT_HEADER_LEN + 200, 1);
    disk.remove("reserve").unwrap();
    disk.fill();
    let id = chunk(0, LEN).0;
    node.get(&id).await.unwrap_err();
    assert_eq!(node.to_report(true).await, [id]);
    assert_eq!(node.node.disks()[0].store.unmarked().len(), 1);
    (disk, node, id, config)
}
