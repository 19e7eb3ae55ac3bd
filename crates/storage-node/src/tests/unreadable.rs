//! Places that cannot be read and extents that cannot be opened, for a moment or for good.

use bytes::Bytes;
use disk::{Disk, MemoryDisk};
use proto::id::ChunkId;
use proto::node::ChunkState;

use super::support::{
    FIRST, TestNode, chunk, disk_with, disk_with_three_extents, extents, lose_index, small_chunks,
};
use crate::extent::{EXTENT_HEADER_LEN, RECORD_HEADER_LEN, record_len};
use crate::scrub::reread_bad;

/// The disk of a node that was killed when it had stored these.
async fn killed_with_three_chunks() -> (MemoryDisk, [(ChunkId, Bytes); 3]) {
    let chunks = [1, 2, 3].map(|number| chunk(number, 3000));
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    for chunk in &chunks {
        node.put(chunk).await.unwrap();
    }
    node.kill().await;
    (disk, chunks)
}

/// The disk can be read again: a start finds just these chunks, and takes writes.
async fn check_once_healed(disk: &MemoryDisk, chunks: &[(ChunkId, Bytes)]) {
    disk.heal();
    let node = TestNode::open(&[disk]);
    node.check_digest(chunks.iter().map(|(id, _)| *id));
    node.put(&chunk(9, 100)).await.unwrap();
    for (id, bytes) in chunks {
        assert_eq!(node.get(id).await.unwrap(), bytes);
    }
    node.stop().await;
}

/// A bad sector: the chunk on it is reported and given up, the node and all else go on.
#[tokio::test]
async fn an_unreadable_place_costs_one_chunk() {
    let (disk, chunks) = disk_with_three_extents().await;
    let node = TestNode::open(&[&disk]);
    let path = &extents(&disk)[1];
    disk.fail_reads(path, EXTENT_HEADER_LEN + 200..EXTENT_HEADER_LEN + 300);
    node.scrub().await;
    assert_eq!(node.state(&chunks[2].0), ChunkState::Corrupt);
    assert_eq!(node.get(&chunks[3].0).await.unwrap(), chunks[3].1);
    assert!(node.put(&chunks[2]).await.unwrap());
    node.check_digest(chunks.iter().map(|(id, _)| *id));
    node.stop().await;
}

/// A place in the last extent could not be read when the node started after a kill, and was to be written once more like all
/// that replay found: for that one chunk the whole disk could not be opened.
#[tokio::test]
async fn a_node_starts_with_an_unreadable_place_in_its_last_extent() {
    let (disk, chunks) = killed_with_three_chunks().await;
    let second = EXTENT_HEADER_LEN + record_len(3000);
    let (header, payload) = (second + 10, second + RECORD_HEADER_LEN as u64 + 10);
    for place in [header, payload] {
        let disk = disk.fork();
        disk.fail_reads(FIRST, place..place + 1);
        let node = TestNode::open(&[&disk]);
        assert_ne!(node.state(&chunks[1].0), ChunkState::Good);
        for (id, bytes) in [&chunks[0], &chunks[2]] {
            assert_eq!(node.get(id).await.unwrap(), bytes);
        }
        if place == payload {
            assert!(node.put(&chunks[1]).await.unwrap());
            node.check_digest(chunks.iter().map(|(id, _)| *id));
        }
        node.stop().await;
        check_once_healed(&disk, &chunks).await;
    }
}

/// A deletion could not be read for a moment at a start, and its chunk seemed to be there still: a put of it was answered without
/// being written, and when an index was made that had read the deletion, an acknowledged chunk was gone.
#[tokio::test]
async fn what_may_be_an_unread_deletion_is_waited_for() {
    let chunks = [1, 2, 3, 4].map(|number| chunk(number, 3000));
    let disk = disk_with(&chunks[..2]).await;
    let early_index = disk.content("index.redb").unwrap();
    let node = TestNode::open(&[&disk]);
    node.delete(&[chunks[0].0]).await.unwrap();
    for chunk in &chunks[2..] {
        node.put(chunk).await.unwrap();
    }
    node.kill().await;
    let deletion = EXTENT_HEADER_LEN + 2 * record_len(3000);
    let has_index: [fn(&MemoryDisk, &[u8]); 2] = [
        |disk, index| disk.put("index.redb", index),
        |disk, _| drop(disk.remove("index.redb")),
    ];
    for prepare in has_index {
        let disk = disk.fork();
        prepare(&disk, &early_index);
        disk.fail_reads(FIRST, deletion + 10..deletion + 11);
        let node = TestNode::open(&[&disk]);
        let error = node.put(&chunks[0]).await.unwrap_err();
        assert!(error.message.contains(FIRST), "{error}");
        // A whole sector is given up, and what follows is found again.
        assert_eq!(node.get(&chunks[3].0).await.unwrap(), chunks[3].1);
        node.stop().await;
        check_once_healed(&disk, &chunks[1..]).await;
        let node = TestNode::open(&[&disk]);
        node.put(&chunks[0]).await.unwrap();
        node.kill().await;
        drop(disk.remove("index.redb"));
        let node = TestNode::open(&[&disk]);
        assert_eq!(node.get(&chunks[0].0).await.unwrap(), chunks[0].1);
        node.stop().await;
    }
}

/// The end of the last extent could not be read when the node started, for a moment: it was taken for what a kill left
/// unfinished, and cut off, with acknowledged chunks. Now it stays, and is there at the next start.
#[tokio::test]
async fn what_cannot_be_read_at_the_end_is_not_cut_off() {
    let (disk, chunks) = killed_with_three_chunks().await;
    let third = EXTENT_HEADER_LEN + 2 * record_len(3000);
    for place in [third + 10, third + RECORD_HEADER_LEN as u64 + 10] {
        let disk = disk.fork();
        disk.fail_reads(FIRST, place..place + 1);
        let node = TestNode::open(&[&disk]);
        for (id, bytes) in &chunks[..2] {
            assert_eq!(node.get(id).await.unwrap(), bytes);
        }
        let error = node.put(&chunk(4, 100)).await.unwrap_err();
        assert!(error.message.contains(FIRST), "{error}");
        node.stop().await;
        check_once_healed(&disk, &chunks).await;
    }
}

/// The last extent opened, but for a moment neither its header nor its end could be read. It was taken for one whose header is
/// damaged, and a new extent was to say where it ends: acknowledged chunks behind that were given up for good.
#[tokio::test]
async fn an_extent_of_which_nothing_can_be_read_is_not_given_up() {
    let chunks = [1, 2, 3].map(|number| chunk(number, 3000));
    let disk = disk_with(&chunks[..1]).await;
    let index = disk.content("index.redb").unwrap();
    let node = TestNode::open(&[&disk]);
    for chunk in &chunks[1..] {
        node.put(chunk).await.unwrap();
    }
    node.kill().await;
    let third = EXTENT_HEADER_LEN + 2 * record_len(3000);
    let faults = [[0..third, third..u64::MAX], [0..1, third..third + 1]];
    for (fault, has_index) in faults
        .iter()
        .flat_map(|fault| [(fault, true), (fault, false)])
    {
        let disk = disk.fork();
        drop(disk.remove("index.redb"));
        if has_index {
            disk.put("index.redb", &index);
        }
        for range in fault {
            disk.fail_reads(FIRST, range.clone());
        }
        let node = TestNode::open(&[&disk]);
        node.put(&chunk(4, 100)).await.unwrap_err();
        node.stop().await;
        check_once_healed(&disk, &chunks).await;
    }
}

/// A place could not be read for a moment, and its chunk was taken for corrupt for ever: also when the disk was well again after
/// a restart, and it was the last copy.
#[tokio::test]
async fn what_could_not_be_read_is_read_again_after_a_start() {
    let (disk, chunks) = disk_with_three_extents().await;
    let node = TestNode::open(&[&disk]);
    let path = &extents(&disk)[1];
    disk.fail_reads(path, EXTENT_HEADER_LEN + 200..EXTENT_HEADER_LEN + 300);
    node.scrub().await;
    assert_eq!(node.state(&chunks[2].0), ChunkState::Corrupt);
    node.reread_bad().await;
    assert_eq!(node.state(&chunks[2].0), ChunkState::Corrupt);
    node.stop().await;
    disk.heal();
    let node = TestNode::open(&[&disk]);
    assert_eq!(node.state(&chunks[2].0), ChunkState::Corrupt);
    node.reread_bad().await;
    assert_eq!(node.get(&chunks[2].0).await.unwrap(), chunks[2].1);
    node.check_digest(chunks.iter().map(|(id, _)| *id));
    node.stop().await;
}

/// One of many bad chunks lay in an extent that could not be opened: those that came after it in the order of ids, and could be read
/// again, were not read any more until the next start.
#[tokio::test]
async fn one_bad_chunk_does_not_keep_others_from_being_read_again() {
    let (disk, chunks) = disk_with_three_extents().await;
    let paths = extents(&disk);
    let node = TestNode::open(&[&disk]);
    for path in &paths {
        disk.fail_reads(path, EXTENT_HEADER_LEN..u64::MAX);
    }
    for (id, _) in &chunks {
        node.get(id).await.unwrap_err();
    }
    node.stop().await;
    for unopened in [0, 1] {
        let disk = disk.fork();
        disk.heal();
        disk.fail_opens_of(&paths[unopened]);
        let node = TestNode::open(&[&disk]);
        reread_bad(&node.node, 0, None).await.unwrap_err();
        for (place, (id, _)) in chunks.iter().enumerate() {
            let expected = if place / 2 == unopened {
                ChunkState::Corrupt
            } else {
                ChunkState::Good
            };
            assert_eq!(node.state(id), expected, "chunk {place}");
        }
        node.stop().await;
    }
}

/// One extent could not be opened, and kept the node from all that its disk had: its chunks are corrupt now and replaced. What
/// was deleted meanwhile does not come back with it.
#[tokio::test]
async fn an_extent_that_cannot_be_opened_costs_its_chunks() {
    let (disk, chunks) = disk_with_three_extents().await;
    let paths = extents(&disk);
    disk.fail_opens_of(&paths[0]);
    let node = TestNode::open(&[&disk]);
    let states: Vec<_> = chunks.iter().map(|(id, _)| node.state(id)).collect();
    let (good, corrupt) = (ChunkState::Good, ChunkState::Corrupt);
    assert_eq!(states, [corrupt, corrupt, good, good, good, good]);
    node.put(&chunks[0]).await.unwrap();
    node.delete(&[chunks[1].0, chunks[2].0, chunks[3].0])
        .await
        .unwrap();
    node.compact().await;
    node.stop().await;
    disk.heal();
    lose_index(&disk);
    let node = TestNode::open(&[&disk]);
    node.check_digest([0, 4, 5].map(|place: usize| chunks[place].0));
    node.put(&chunk(9, 100)).await.unwrap();
    node.stop().await;
}

/// An extent that cannot be opened may hold what the index does not know: the disk is read, and takes no writes until it is known.
#[tokio::test]
async fn a_disk_of_which_not_all_is_known_takes_no_writes() {
    let (disk, chunks) = disk_with_three_extents().await;
    let paths = extents(&disk);
    disk.fail_opens_of(&paths[2]);
    let node = TestNode::open(&[&disk]);
    assert_eq!(node.get(&chunks[0].0).await.unwrap(), chunks[0].1);
    node.put(&chunk(9, 100)).await.unwrap_err();
    node.stop().await;
    check_once_healed(&disk, &chunks).await;
}

/// An extent could not be opened at one start, and later ones were replayed without it: the index was then behind it, and
/// never learned what was in there. Chunks were missing, and deleted ones were back.
#[tokio::test]
async fn what_one_start_could_not_open_is_replayed_by_the_next() {
    let first = [chunk(0, 3000), chunk(1, 3000)];
    let disk = disk_with(&first).await;
    let early_index = disk.content("index.redb").unwrap();
    let node = TestNode::open(&[&disk]);
    node.delete(&[first[0].0]).await.unwrap();
    let later = [2, 3, 4, 5].map(|number| chunk(number, 5000));
    for chunk in &later {
        node.put(chunk).await.unwrap();
    }
    node.delete(&[first[1].0, later[0].0]).await.unwrap();
    node.put(&first[0]).await.unwrap();
    node.stop().await;
    assert!(extents(&disk).len() > 1);
    let has_index: [fn(&MemoryDisk, &[u8]); 2] = [
        |disk, index| disk.put("index.redb", index),
        |disk, _| lose_index(disk),
    ];
    for prepare in has_index {
        let disk = disk.fork();
        prepare(&disk, &early_index);
        for path in [&extents(&disk)[0], &extents(&disk)[1]] {
            disk.fail_opens_of(path);
            let node = TestNode::open(&[&disk]);
            node.put(&chunk(9, 100)).await.unwrap_err();
            node.scrub().await;
            node.stop().await;
            disk.heal();
        }
        let node = TestNode::open(&[&disk]);
        let here = [&first[0], &later[1], &later[2], &later[3]];
        node.check_digest(here.map(|(id, _)| *id));
        for (id, bytes) in here {
            assert_eq!(node.get(id).await.unwrap(), bytes);
        }
        node.put(&chunk(9, 100)).await.unwrap();
        node.stop().await;
    }
}

/// A process without a free descriptor cannot open its extents. That says nothing about the chunks in them: were they
/// called corrupt, a burst of connections would take good copies out of service.
#[tokio::test]
async fn what_cannot_be_opened_is_not_called_corrupt() {
    let chunks = small_chunks();
    let disk = disk_with(&chunks).await;
    let node = TestNode::open(&[&disk]);
    disk.fail_opens();
    node.node.verify_chunk(&chunks[0].0).await.unwrap_err();
    node.node.open_chunk(&chunks[0].0).await.unwrap_err();
    node.scrub().await;
    disk.heal();
    for (id, bytes) in &chunks {
        assert_eq!(node.state(id), ChunkState::Good);
        assert_eq!(node.get(id).await.unwrap(), bytes);
    }
    node.stop().await;
}

/// A chunk could not be read while its extent was compacted. It may be the last copy, and readable again tomorrow: the
/// extent stays until the master has had it replaced or deleted, and others are compacted meanwhile.
#[tokio::test]
async fn compaction_keeps_what_it_could_not_read() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let chunks: Vec<_> = (0..20).map(|number| chunk(number, 3000)).collect();
    for chunk in &chunks {
        node.put(chunk).await.unwrap();
    }
    let paths = extents(&disk);
    disk.fail_reads(
        &paths[0],
        EXTENT_HEADER_LEN + 1000..EXTENT_HEADER_LEN + 1001,
    );
    let deleted: Vec<_> = chunks[1..10].iter().map(|(id, _)| *id).collect();
    node.delete(&deleted).await.unwrap();
    node.compact().await;
    assert_eq!(node.state(&chunks[0].0), ChunkState::Corrupt);
    let left = extents(&disk);
    assert!(
        left.contains(&paths[0]) && !left.contains(&paths[1]),
        "{left:?}"
    );

    disk.heal();
    let verified = node.node.verify_chunk(&chunks[0].0).await.unwrap();
    assert_eq!(verified, ChunkState::Good);
    assert_eq!(node.get(&chunks[0].0).await.unwrap(), chunks[0].1);
    node.compact().await;
    assert!(!extents(&disk).contains(&paths[0]));
    assert_eq!(node.get(&chunks[0].0).await.unwrap(), chunks[0].1);
    node.stop().await;
}
