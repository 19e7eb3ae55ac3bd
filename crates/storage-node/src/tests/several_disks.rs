//! One node with a folder on each of several disks.

use bytes::Bytes;
use disk::{Disk, MemoryDisk};
use futures::future::join_all;
use proto::ErrorCode;
use proto::id::ChunkId;
use proto::node::ChunkState;

use super::support::{TestNode, chunk, config, extents};
use crate::config::Config;
use crate::node_disk::NodeDisk;

/// Puts go where there is most room, and everything is found wherever it is.
#[tokio::test]
async fn chunks_go_to_the_disk_with_the_most_room() {
    let (small, large) = (MemoryDisk::new(), MemoryDisk::new());
    small.set_capacity(1 << 30);
    large.set_capacity(2 << 30);
    let node = TestNode::open(&[&small, &large]);
    let chunks: Vec<_> = (0..10).map(|number| chunk(number, 1000)).collect();
    for chunk in &chunks {
        node.put(chunk).await.unwrap();
    }
    assert!(extents(&small).is_empty());
    small.set_capacity(8 << 30);
    let more: Vec<_> = (10..20).map(|number| chunk(number, 1000)).collect();
    for chunk in chunks.iter().chain(&more) {
        node.put(chunk).await.unwrap();
    }
    assert_eq!(extents(&small).len(), 1);
    let ids = chunks.iter().chain(&more).map(|(id, _)| *id);
    node.check_digest(ids.clone());
    let mut listed = Vec::new();
    for bucket in 0..=255 {
        let mut after = None;
        loop {
            let (page, more) = node.node.list_bucket(bucket, after, 1).await.unwrap();
            after = page.last().map(|(id, _)| *id);
            listed.extend(page.into_iter().map(|(id, _)| id));
            if !more {
                break;
            }
        }
    }
    let mut expected: Vec<_> = ids.collect();
    expected.sort();
    assert_eq!(listed, expected);
    assert_eq!(node.delete(&expected).await.unwrap(), 20);
    node.check_digest([]);
    node.stop().await;
}

/// Two folders on one file system: its room counts once.
#[tokio::test]
async fn a_file_system_with_two_folders_counts_once() {
    let disks = [MemoryDisk::new(), MemoryDisk::new(), MemoryDisk::new()];
    for (disk, file_system) in disks.iter().zip([1, 1, 2]) {
        disk.set_capacity(1 << 30);
        disk.set_file_system(file_system);
    }
    let node = TestNode::open(&[&disks[0], &disks[1], &disks[2]]);
    let usage = node.node.usage().await;
    assert_eq!(usage.capacity_bytes, 2 << 30);
    assert!(usage.free_bytes > 3 << 29 && usage.free_bytes <= 2 << 30);
    assert_eq!(usage.file_system, None, "it is on two");
    disks[2].set_file_system(1);
    assert_eq!(node.node.usage().await.file_system, Some(1));
    node.stop().await;
}

/// A disk fails: its chunks are read as long as it can be, the other takes what comes, the node lives.
#[tokio::test]
async fn a_failed_disk_does_not_take_the_node_with_it() {
    let (one, two) = (MemoryDisk::new(), MemoryDisk::new());
    one.set_capacity(2 << 40);
    let node = TestNode::open(&[&one, &two]);
    let first = chunk(1, 1000);
    node.put(&first).await.unwrap();
    one.fail_syncs_after(0);
    node.put(&chunk(2, 1000)).await.unwrap_err();
    assert!(node.put(&chunk(3, 1000)).await.unwrap());
    assert_eq!(extents(&two).len(), 1);
    let usage = node.node.usage().await;
    assert!(usage.writable && usage.failed_disks == 1);
    assert_eq!(node.get(&first.0).await.unwrap(), first.1);
    // An order is carried out where that is possible; what the failed disk has is kept, and named.
    let ids = [first.0, chunk(3, 1000).0, chunk(4, 1000).0];
    let done = node.delete_what_can(&ids).await.unwrap();
    assert_eq!((done.deleted, done.kept), (1, vec![first.0]));
    assert_eq!(node.state(&first.0), ChunkState::OnFailedDisk);
    // A chunk that rots on the failed disk is replaced on the other.
    one.flip(&extents(&one)[0], 4096 + 100, 1);
    node.get(&first.0).await.unwrap_err();
    assert!(node.put(&first).await.unwrap());
    assert_eq!(node.get(&first.0).await.unwrap(), first.1);
    assert_eq!(node.state(&first.0), ChunkState::Good);
    node.stop().await;
}

/// What is on a disk that failed can be read, and does not count as a copy: not in the inventory, and not when the chunk
/// is stored again, which the other disk does. When the failed disk is back, both have it, and it is one copy.
#[tokio::test]
async fn what_is_on_a_failed_disk_does_not_count() {
    let (one, two) = (MemoryDisk::new(), MemoryDisk::new());
    one.set_capacity(2 << 40);
    let node = TestNode::open(&[&one, &two]);
    let (first, second) = (chunk(1, 1000), chunk(2, 1000));
    node.put(&first).await.unwrap();
    node.put(&second).await.unwrap();
    node.check_digest([first.0, second.0]);
    one.fail_syncs_after(0);
    node.put(&chunk(3, 1000)).await.unwrap_err();

    node.check_digest([]);
    let bucket = first.0.bucket();
    assert_eq!(node.node.list_bucket(bucket, None, 9).await.unwrap().0, []);
    assert_eq!(node.state(&first.0), ChunkState::OnFailedDisk);
    assert_eq!(node.get(&first.0).await.unwrap(), first.1);
    assert!(!node.node.holds_good(&first.0).await);

    assert!(node.put(&first).await.unwrap(), "written to the other disk");
    assert!(!node.put(&first).await.unwrap());
    assert!(node.node.holds_good(&first.0).await);
    node.check_digest([first.0]);
    assert_eq!(node.state(&first.0), ChunkState::Good);
    assert_eq!(node.state(&second.0), ChunkState::OnFailedDisk);

    one.heal();
    node.kill().await;
    let node = TestNode::open(&[&one, &two]);
    for (id, bytes) in [&first, &second] {
        assert_eq!(node.state(id), ChunkState::Good);
        assert_eq!(node.get(id).await.unwrap(), bytes);
        let (listed, more) = node.node.list_bucket(id.bucket(), None, 9).await.unwrap();
        assert_eq!((listed, more), (vec![(*id, 1000)], false));
    }
    node.delete(&[first.0, second.0]).await.unwrap();
    for id in [first.0, second.0] {
        assert_eq!(node.state(&id), ChunkState::Missing, "on both disks");
    }
    node.stop().await;
}

/// Two disks both have two chunks, since one was out while the other got them.
async fn both_have_two() -> (MemoryDisk, MemoryDisk, TestNode, [(ChunkId, Bytes); 2]) {
    let (one, two) = (MemoryDisk::new(), MemoryDisk::new());
    one.set_capacity(2 << 40);
    let node = TestNode::open(&[&one, &two]);
    let chunks = [chunk(1, 1000), chunk(2, 1000)];
    for chunk in &chunks {
        node.put(chunk).await.unwrap();
    }
    one.fail_syncs_after(0);
    node.put(&chunk(3, 1000)).await.unwrap_err();
    for chunk in &chunks {
        assert!(node.put(chunk).await.unwrap(), "to the other disk");
    }
    one.heal();
    node.kill().await;
    let node = TestNode::open(&[&one, &two]);
    // What was refused may have been written.
    node.delete(&[chunk(3, 1000).0]).await.unwrap();
    assert_eq!(node.node.usage().await.chunks, 4);
    (one, two, node, chunks)
}

/// Has the node find what is on two disks, as an inventory does, and look at it.
async fn drop_duplicates(node: &TestNode, chunks: &[(ChunkId, Bytes)]) {
    for (id, _) in chunks {
        let listed = node.node.list_bucket(id.bucket(), None, 9).await.unwrap();
        assert_eq!(listed, (vec![(*id, 1000)], false));
    }
    node.node.drop_duplicates().await;
}

/// A failed disk comes back after its chunks were copied to another of the same node: one copy of each stays, also after a
/// power cut.
#[tokio::test]
async fn what_two_disks_have_stays_on_one() {
    let (one, two, node, chunks) = both_have_two().await;
    drop_duplicates(&node, &chunks).await;
    assert_eq!(node.node.usage().await.chunks, 2);
    node.check_digest(chunks.iter().map(|(id, _)| *id));
    node.crash(1).await;
    let node = TestNode::open(&[&one, &two]);
    node.check_digest(chunks.iter().map(|(id, _)| *id));
    for (id, bytes) in &chunks {
        assert_eq!(node.get(id).await.unwrap(), bytes);
    }
    node.stop().await;
}

/// Of a chunk on two disks one copy rotted, on the one or on the other disk: the good one stays.
#[tokio::test]
async fn of_two_copies_the_good_one_stays() {
    let (one, two, node, chunks) = both_have_two().await;
    // The second record begins where the first, of a header and 1000 bytes, ends.
    let first = extents(&one)[0].clone();
    one.flip(&first, 4096 + 100, 1);
    let first = extents(&two)[0].clone();
    let second = 4096 + crate::extent::record_len(1000);
    two.flip(&first, second + 100, 1);
    drop_duplicates(&node, &chunks).await;
    for (id, bytes) in &chunks {
        assert_eq!(node.get(id).await.unwrap(), bytes);
        assert_eq!(node.state(id), ChunkState::Good);
    }
    node.stop().await;
}

/// A copy rotted on a disk that is full: the chunk could not be stored anew although the other disk had room. It goes there,
/// and the bad copy goes for it.
#[tokio::test]
async fn a_bad_copy_on_a_full_disk_is_replaced_on_another() {
    let (one, two) = (MemoryDisk::new(), MemoryDisk::new());
    one.set_capacity(2 << 40);
    let config = Config {
        reserve: 8 << 20,
        ..config()
    };
    let node = TestNode::open_with(&[&one, &two], &config);
    let rotten = chunk(1, 1000);
    node.put(&rotten).await.unwrap();
    one.flip(&extents(&one)[0], 4096 + 100, 1);
    node.get(&rotten.0).await.unwrap_err();
    assert_eq!(node.to_report(false).await, [rotten.0]);
    let space = one.space().unwrap();
    one.set_capacity(space.capacity - space.free + config.reserve + 500);

    assert!(node.put(&rotten).await.unwrap());
    assert_eq!(extents(&two).len(), 1);
    assert_eq!(node.get(&rotten.0).await.unwrap(), rotten.1);
    node.node.drop_duplicates().await;
    assert_eq!(node.node.usage().await.corrupt_chunks, 0);
    assert_eq!(node.to_report(true).await, []);
    node.crash(1).await;
    let node = TestNode::open_with(&[&one, &two], &config);
    node.check_digest([rotten.0]);
    assert_eq!(node.get(&rotten.0).await.unwrap(), rotten.1);
    node.stop().await;
}

/// A copy was read and found to be one too many, and before it goes the chunk is deleted and stored again, on that disk only:
/// what was stored stays.
#[tokio::test]
async fn what_is_stored_again_does_not_go_for_what_was_there() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let again = chunk(1, 1000);
    node.put(&again).await.unwrap();
    let NodeDisk { store, writer, .. } = &node.node.disks()[0];
    let before = store.find(&again.0).unwrap().unwrap().location;
    node.delete(&[again.0]).await.unwrap();
    node.put(&again).await.unwrap();
    assert!(!writer.drop_copy(again.0, before).await.unwrap());
    assert_eq!(node.get(&again.0).await.unwrap(), again.1);
    node.stop().await;
}

/// The only disk failed: a chunk that it holds is not answered for, however often it is sent.
#[tokio::test]
async fn a_failed_disk_gives_no_word_for_what_it_holds() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let held = chunk(1, 1000);
    node.put(&held).await.unwrap();
    disk.fail_syncs_after(0);
    node.put(&chunk(2, 1000)).await.unwrap_err();
    let refused = node.put(&held).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Disk);
    assert_eq!(node.get(&held.0).await.unwrap(), held.1);
    node.stop().await;
}

/// Puts of one chunk at once, while the room on the disks changes order, still write it on one disk.
#[tokio::test]
async fn puts_of_one_chunk_at_once_go_to_one_disk() {
    let (one, two) = (MemoryDisk::new(), MemoryDisk::new());
    let node = TestNode::open(&[&one, &two]);
    for number in 0..20 {
        let chunk = chunk(number, 5000);
        let stored = join_all((0..4).map(|_| node.put(&chunk))).await;
        assert_eq!(
            stored
                .into_iter()
                .filter(|stored| *stored.as_ref().unwrap())
                .count(),
            1
        );
    }
    assert!(!extents(&one).is_empty() && !extents(&two).is_empty());
    assert_eq!(node.node.usage().await.chunks, 20);

    let last = chunk(20, 5000);
    one.set_capacity(2 << 40);
    let mut first = Box::pin(node.put(&last));
    assert!(futures::poll!(&mut first).is_pending());
    two.set_capacity(4 << 40);
    let (first, second) = futures::join!(first, node.put(&last));
    assert!(first.unwrap() && !second.unwrap());
    assert_eq!(node.node.usage().await.chunks, 21);
    node.stop().await;
}

/// One disk of two died while the node was off: its file cannot be opened, or not be read, or it takes no lock any more. The
/// node starts with the other one; but not if the dead one is the first.
#[tokio::test]
async fn a_node_starts_without_a_disk_that_died() {
    let deaths: [fn(&MemoryDisk); 3] = [
        |disk| disk.fail_opens(),
        |disk| disk.fail_reads("node.json", 0..10_000),
        |disk| disk.fail_locks(),
    ];
    for die in deaths {
        let (one, two) = (MemoryDisk::new(), MemoryDisk::new());
        one.set_capacity(4 << 40);
        let node = TestNode::open(&[&one, &two]);
        let held = chunk(1, 1000);
        node.put(&held).await.unwrap();
        node.stop().await;
        die(&two);
        let node = TestNode::open(&[&one, &two]);
        assert_eq!(node.get(&held.0).await.unwrap(), held.1);
        node.put(&chunk(2, 1000)).await.unwrap();
        let usage = node.node.usage().await;
        assert_eq!((usage.writable, usage.failed_disks), (true, 1));
        node.stop().await;
        two.heal();
        die(&one);
        TestNode::try_open(&[&one, &two], &config())
            .map(drop)
            .unwrap_err();
        one.heal();
        let node = TestNode::open(&[&one, &two]);
        assert_eq!(node.node.usage().await.failed_disks, 0);
        node.stop().await;
    }
}

/// A folder that was not the node's before has to work.
#[tokio::test]
async fn a_node_does_not_begin_with_a_dead_disk() {
    for die in [MemoryDisk::fail_opens, MemoryDisk::fail_locks] {
        let (one, two) = (MemoryDisk::new(), MemoryDisk::new());
        die(&two);
        TestNode::try_open(&[&one, &two], &config())
            .map(drop)
            .unwrap_err();
        TestNode::open(&[&one]).stop().await;
        TestNode::try_open(&[&one, &two], &config())
            .map(drop)
            .unwrap_err();
    }
}
