//! Syncs and writes that fail, crashes at every step, and orders that come late, twice or from the past.

use std::sync::Arc;

use bytes::Bytes;
use disk::{Disk, MemoryDisk};
use futures::future::join_all;
use proto::ErrorCode;
use proto::id::{ChunkId, Epoch};
use proto::node::ChunkState;

use super::support::{FIRST, TestNode, chunk, config, environment, extents};
use crate::catalog::Position;
use crate::extent::Order;
use crate::identity::Acceptance;
use crate::opening::Opened;

/// All syncs fail from now on: what waited is refused, the disk takes no more, its chunks are still read. What was
/// refused is not there after the power failed, and what was acknowledged is.
#[tokio::test]
async fn a_disk_whose_syncs_fail_takes_no_more() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let (before, refused, after) = (chunk(1, 900), chunk(2, 900), chunk(3, 900));
    node.put(&before).await.unwrap();
    let sealed = disk.content(&extents(&disk)[0]).unwrap().len();
    disk.fail_syncs_after(0);
    assert_eq!(node.put(&refused).await.unwrap_err().code, ErrorCode::Disk);
    assert_eq!(node.state(&refused.0), ChunkState::Missing);
    assert!(
        node.node.disks()[0].store.failure().is_some(),
        "no new extent could be made"
    );
    disk.heal();
    assert_eq!(node.put(&after).await.unwrap_err().code, ErrorCode::Disk);
    assert_eq!(node.get(&before.0).await.unwrap(), before.1, "reads go on");
    assert!(!node.node.usage().await.writable);
    assert_eq!(node.node.usage().await.failed_disks, 1);
    node.crash(3).await;
    let node = TestNode::open(&[&disk]);
    assert_eq!(node.get(&before.0).await.unwrap(), before.1);
    assert_eq!(
        node.state(&refused.0),
        ChunkState::Missing,
        "it was lost by the sync"
    );
    assert!(disk.content(&extents(&disk)[0]).unwrap().len() <= sealed);
    node.put(&after).await.unwrap();
    node.stop().await;
}

/// A put was refused, because its sync failed and no other extent could be made, and yet it reached the disk: after a
/// restart the chunk is there, whole or not at all, and can be deleted like any other that the master does not know.
#[tokio::test]
async fn a_refused_put_that_comes_back_is_whole_and_can_be_deleted() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let (before, refused) = (chunk(1, 900), chunk(2, 900));
    node.put(&before).await.unwrap();
    disk.fail_syncs_after(0);
    node.put(&refused).await.unwrap_err();
    let done = node.delete_what_can(&[refused.0, before.0]).await.unwrap();
    assert_eq!((done.deleted, done.kept), (0, vec![before.0]));
    disk.heal();
    node.kill().await;
    let node = TestNode::open(&[&disk]);
    node.check_digest([before.0, refused.0]);
    assert_eq!(node.get(&refused.0).await.unwrap(), refused.1);
    assert_eq!(node.delete(&[refused.0, before.0]).await.unwrap(), 2);
    node.crash(1).await;
    let node = TestNode::open(&[&disk]);
    node.check_digest([]);
    node.stop().await;
}

/// Only one sync fails: the next extent takes over at once, and says where the failed one ends.
#[tokio::test]
async fn one_failed_sync_costs_one_batch() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let (before, refused, after) = (chunk(1, 900), chunk(2, 900), chunk(3, 900));
    node.put(&before).await.unwrap();
    disk.fail_next_sync();
    assert_eq!(node.put(&refused).await.unwrap_err().code, ErrorCode::Disk);
    assert!(node.node.disks()[0].store.failure().is_none());
    assert!(node.put(&after).await.unwrap());
    assert_eq!(extents(&disk).len(), 2);
    disk.remove("index.redb").unwrap();
    // The records that were refused are still in the system's memory: nobody may believe them.
    node.kill().await;
    let node = TestNode::open(&[&disk]);
    assert_eq!(node.state(&refused.0), ChunkState::Missing);
    node.check_digest([before.0, after.0]);
    assert!(node.put(&refused).await.unwrap());
    node.crash(1).await;
    let node = TestNode::open(&[&disk]);
    node.check_digest([before.0, after.0, refused.0]);
    node.stop().await;
}

/// A sync fails while the node starts after a kill, so that what replay found may not be on the disk: the disk is a
/// failed one, what it has can be read, and the next start settles it.
#[tokio::test]
async fn a_start_that_cannot_settle_what_it_found_reads_on() {
    let held = chunk(1, 900);
    check_unsettled(&killed_with(&held).await, &held).await;
}

/// The header of the last extent was damaged, too: what replay found was then believed without having been made durable once
/// more.
#[tokio::test]
async fn what_an_extent_without_its_header_has_is_settled() {
    let held = chunk(1, 900);
    let disk = killed_with(&held).await;
    disk.flip(FIRST, 9, 1);
    disk.flip(FIRST, 2050, 1);
    check_unsettled(&disk, &held).await;
}

/// A disk whose node was killed right after it had this chunk.
async fn killed_with(held: &(ChunkId, Bytes)) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    node.put(held).await.unwrap();
    node.kill().await;
    disk
}

async fn check_unsettled(whole: &MemoryDisk, held: &(ChunkId, Bytes)) {
    let mut unsettled = 0;
    for syncs in 0..12 {
        let disk = whole.fork();
        disk.fail_syncs_after(syncs);
        let Ok(node) = TestNode::try_open(&[&disk], &config()) else {
            continue;
        };
        let store = Arc::clone(&node.node.disks()[0].store);
        if store.failure().is_some_and(|why| why.contains("settle")) {
            unsettled += 1;
            assert_eq!(store.catalog().position, Position::default());
            assert_eq!(node.get(&held.0).await.unwrap(), held.1);
            assert_eq!(node.state(&held.0), ChunkState::OnFailedDisk);
            node.put(&chunk(2, 900)).await.unwrap_err();
        }
        disk.heal();
        node.kill().await;
        let node = TestNode::open(&[&disk]);
        node.check_digest([held.0]);
        node.put(&chunk(2, 900)).await.unwrap();
        node.stop().await;
    }
    assert!(unsettled > 0);
}

#[tokio::test]
async fn a_failed_write_refuses_and_the_node_goes_on() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    node.put(&chunk(1, 900)).await.unwrap();
    disk.fail_writes_after(0);
    node.put(&chunk(2, 900)).await.unwrap_err();
    disk.heal();
    node.stop().await;
    let node = TestNode::open(&[&disk]);
    node.check_digest([chunk(1, 900).0]);
    node.put(&chunk(2, 900)).await.unwrap();
    node.stop().await;
}

/// Power fails after each change that a compaction makes to the disk, in many ways each: nothing is lost, and
/// nothing deleted comes back, with the index or without.
#[tokio::test]
async fn a_crash_at_any_step_of_a_compaction_loses_nothing() {
    let whole = MemoryDisk::new();
    let node = TestNode::open(&[&whole]);
    let chunks: Vec<_> = (0..8).map(|number| chunk(number, 3500)).collect();
    for chunk in &chunks {
        node.put(chunk).await.unwrap();
    }
    // Two extents with a live one each, and deletions that must outlive the extent they are in.
    let dead = [0, 1, 2, 4, 5, 6].map(|place: usize| chunks[place].0);
    node.delete(&dead).await.unwrap();
    node.put(&chunks[0]).await.unwrap();
    node.stop().await;
    let live = [0, 3, 7].map(|place: usize| chunks[place].0);

    let full = whole.fork();
    let before = full.changes();
    let node = TestNode::open(&[&full]);
    node.compact().await;
    node.check_digest(live);
    node.stop().await;
    let steps = full.changes() - before;
    assert!(
        extents(&full).len() < extents(&whole).len(),
        "something was compacted"
    );

    for stop in 0..=steps {
        for seed in 0..4 {
            let disk = whole.fork();
            if let Ok(node) = {
                disk.stop_after(stop);
                TestNode::try_open(&[&disk], &config())
            } {
                node.compact().await;
                node.crash(seed * 1000 + stop).await;
            } else {
                disk.crash(&mut super::support::rng(seed));
            }
            if seed % 2 == 1 {
                drop(disk.remove("index.redb"));
            }
            let node = TestNode::open(&[&disk]);
            node.check_digest(live);
            for place in [0, 3, 7] {
                assert_eq!(node.get(&chunks[place].0).await.unwrap(), chunks[place].1);
            }
            node.stop().await;
        }
    }
}

/// A batch of a put and a deletion is torn. If the deletion behind the put reached the disk, it holds from the start on, as any
/// deletion that was ordered. If the node is seen without it, that stays so: also when the put is sent again and takes the
/// very same bytes of the file, nothing behind it comes to life by that.
#[tokio::test]
async fn what_was_cut_off_never_comes_back_to_life() {
    let (kept, lost) = (chunk(1, 100), chunk(2, 5000));
    let (mut torn, mut deleted) = (0, 0);
    for seed in 0..200 {
        let disk = MemoryDisk::new();
        let node = TestNode::open(&[&disk]);
        node.put(&kept).await.unwrap();
        // The write gets through to the system, the sync does not come.
        disk.stop_after(1);
        let ids = [kept.0];
        let (put, delete) = futures::join!(node.put(&lost), node.delete(&ids));
        assert!(put.is_err() && delete.is_err());
        node.crash(seed).await;
        let node = TestNode::open(&[&disk]);
        let states = [node.state(&lost.0), node.state(&kept.0)];
        deleted += usize::from(states[1] == ChunkState::Missing);
        if states == [ChunkState::Missing, ChunkState::Good] {
            torn += 1;
            node.put(&lost).await.unwrap();
            node.crash(seed).await;
            // The crash may have taken it already.
            drop(disk.remove("index.redb"));
            let node = TestNode::open(&[&disk]);
            node.check_digest([kept.0, lost.0]);
            node.stop().await;
        }
    }
    assert!(
        torn > 20 && deleted > 20,
        "{torn} and {deleted} of 200 crashes tore the batch"
    );
}

/// Whatever asks for it, an extent with a chunk in it stays.
#[tokio::test]
async fn an_extent_that_is_needed_is_not_removed() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let needed = chunk(1, 100);
    node.put(&needed).await.unwrap();
    let writer = &node.node.disks()[0].writer;
    assert!(!writer.remove_extent(1).await.unwrap());
    writer.seal().await.unwrap();
    assert!(!writer.remove_extent(1).await.unwrap());
    assert_eq!(node.get(&needed.0).await.unwrap(), needed.1);
    assert_eq!(extents(&disk).len(), 1);
    node.stop().await;
}

/// Puts of one chunk at once write it once, and each is told only when it is durable.
#[tokio::test]
async fn puts_of_one_chunk_at_once_write_once() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let one = chunk(1, 2000);
    let stored = join_all((0..20).map(|_| node.put(&one))).await;
    let written = stored
        .into_iter()
        .filter(|stored| *stored.as_ref().unwrap())
        .count();
    assert_eq!(written, 1);
    let len = disk.content(&extents(&disk)[0]).unwrap().len();
    assert!(len < 4096 + 2 * 2088, "{len} bytes hold it more than once");
    node.crash(7).await;
    let node = TestNode::open(&[&disk]);
    assert_eq!(node.get(&one.0).await.unwrap(), one.1);
    node.stop().await;
}

/// Many puts at once share a sync.
#[tokio::test]
async fn puts_at_once_share_a_sync() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    node.put(&chunk(0, 8)).await.unwrap();
    let before = disk.changes();
    let chunks: Vec<_> = (1..50).map(|number| chunk(number, 100)).collect();
    for stored in join_all(chunks.iter().map(|chunk| node.put(chunk))).await {
        assert!(stored.unwrap());
    }
    let changes = disk.changes() - before;
    assert!(changes <= 8, "{changes} changes of the disk for 49 puts");
    node.stop().await;
}

#[tokio::test]
async fn wrong_bytes_and_wrong_lengths_are_refused() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let (one, other) = (chunk(1, 100), chunk(2, 100));
    let code = |result: Result<bool, proto::WireError>| result.unwrap_err().code;
    let wrong = (one.0, other.1.clone());
    assert_eq!(code(node.put(&wrong).await), ErrorCode::Corrupt);
    assert_eq!(
        code(node.put(&(one.0, bytes::Bytes::new())).await),
        ErrorCode::InvalidArgument
    );
    node.put(&one).await.unwrap();
    // A receipt names a length: it must be the chunk's, also when nothing is written.
    assert_eq!(
        code(node.put(&(one.0, one.1.slice(1..))).await),
        ErrorCode::Corrupt
    );
    node.check_digest([one.0]);
    node.stop().await;
}

/// An order that is not above all before is refused, also after any restart, also if it deleted nothing.
#[tokio::test]
async fn delete_orders_are_taken_once_and_never_from_the_past() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let one = chunk(1, 100);
    let order = |epoch, sequence| Order {
        epoch: Epoch(epoch),
        sequence,
    };
    let done = node.node.delete(order(2, 5), &[one.0]).await.unwrap();
    assert_eq!(done.deleted, 0);
    node.crash(1).await;
    let node = TestNode::open(&[&disk]);
    node.put(&one).await.unwrap();
    for (stale, why) in [
        (order(2, 5), ErrorCode::StaleOrder),
        (order(2, 4), ErrorCode::StaleOrder),
        (order(1, 99), ErrorCode::StaleEpoch),
        (order(0, 0), ErrorCode::StaleEpoch),
    ] {
        let error = node.node.delete(stale, &[one.0]).await.unwrap_err();
        assert_eq!(error.code, why, "{stale:?}");
    }
    assert_eq!(node.state(&one.0), ChunkState::Good);
    disk.remove("index.redb").unwrap();
    node.crash(2).await;
    let node = TestNode::open(&[&disk]);
    let error = node.node.delete(order(2, 5), &[one.0]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StaleOrder, "the extents know it too");
    assert_eq!(
        node.node
            .delete(order(2, 6), &[one.0, one.0])
            .await
            .unwrap()
            .deleted,
        1
    );
    let done = node.node.delete(order(3, 1), &[one.0]).await.unwrap();
    assert_eq!(done.deleted, 0);
    node.stop().await;
}

#[tokio::test]
async fn one_process_a_folder() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let error = TestNode::try_open(&[&disk], &config()).err().unwrap();
    assert!(error.contains("in use by another process"), "{error}");
    node.stop().await;
    TestNode::open(&[&disk]).stop().await;
}

#[tokio::test]
async fn foreign_and_newer_folders_are_refused_untouched() {
    let foreign = MemoryDisk::new();
    foreign.put("thesis.tex", b"x");
    let error = TestNode::try_open(&[&foreign], &config()).err().unwrap();
    assert!(error.contains("thesis.tex"), "{error}");

    let existing = crate::config::Config {
        acceptance: Acceptance {
            existing_only: true,
            ..Acceptance::default()
        },
        ..config()
    };
    let error = TestNode::try_open(&[&MemoryDisk::new()], &existing)
        .err()
        .unwrap();
    assert!(error.contains("--existing"), "{error}");

    let newer = MemoryDisk::new();
    let node = TestNode::open(&[&newer]);
    node.put(&chunk(1, 10)).await.unwrap();
    node.stop().await;
    let path = &extents(&newer)[0];
    let mut bytes = newer.content(path).unwrap();
    for at in [0, 2048] {
        bytes[at + 8] = 9;
        let sum = crc32c::crc32c(&bytes[at..at + 124]).to_le_bytes();
        bytes[at + 124..at + 128].copy_from_slice(&sum);
    }
    newer.put(path, &bytes);
    let error = TestNode::try_open(&[&newer], &config()).err().unwrap();
    assert!(error.contains("newer version"), "{error}");
}

/// Somebody's folder was given by mistake: nothing is added to it, not even a lock, and not to the new folder that
/// was given beside it.
#[tokio::test]
async fn a_refused_folder_is_left_as_it_was() {
    let (new, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(foreign.path().join("thesis.tex"), "x").unwrap();
    let disks = [&new, &foreign].map(|folder| disk::RealDisk::open(folder.path()).unwrap());
    let error = Opened::open(&config(), &environment(), &disks)
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    let names = |disk: &dyn Disk| disk.list("").unwrap().into_iter().map(|entry| entry.name);
    assert_eq!(names(&*disks[1]).collect::<Vec<_>>(), ["thesis.tex"]);
    assert_eq!(names(&*disks[0]).count(), 0);
}

/// The root of a new disk on Windows, which is never quite empty, was taken for somebody's folder.
#[tokio::test]
async fn what_a_system_puts_into_every_disk_is_nobodys() {
    let root = tempfile::tempdir().unwrap();
    for name in ["System Volume Information", "$RECYCLE.BIN", "lost+found"] {
        std::fs::create_dir(root.path().join(name)).unwrap();
    }
    let disks = [disk::RealDisk::open(root.path()).unwrap()];
    Opened::open(&config(), &environment(), &disks)
        .await
        .unwrap();
}

/// What is not ours among the extents is left alone.
#[tokio::test]
async fn foreign_files_among_the_extents_do_no_harm() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    node.put(&chunk(1, 10)).await.unwrap();
    node.stop().await;
    disk.put("extents/notes.txt", b"mine");
    disk.put("extents/1.extent", b"mine");
    let node = TestNode::open(&[&disk]);
    node.check_digest([chunk(1, 10).0]);
    node.stop().await;
    assert_eq!(disk.content("extents/notes.txt").unwrap(), b"mine");
    assert!(disk.open("extents/1.extent").is_ok());
}
