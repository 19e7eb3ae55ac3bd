//! Full disks, reserves, and space that comes back.

use disk::{Disk, MemoryDisk};
use proto::ErrorCode;

use super::support::{TestNode, chunk, config, extents};
use crate::config::Config;

/// The reserve is reached: puts are refused with `no_space`, the heartbeat says so, reads and deletes work, and
/// what is deleted makes room again.
#[tokio::test]
async fn a_full_disk_refuses_puts_and_recovers() {
    let disk = MemoryDisk::new();
    disk.set_capacity(64 << 20);
    let config = Config {
        reserve: 1 << 20,
        extent_size: 1 << 20,
        ..config()
    };
    let node = TestNode::open_with(&[&disk], &config);
    let mut stored = Vec::new();
    let error = loop {
        let chunk = chunk(stored.len() as u64, 400_000);
        match node.put(&chunk).await {
            Ok(_) => stored.push(chunk),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code, ErrorCode::NoSpace);
    assert!(stored.len() > 100);
    assert!(disk.space().unwrap().free >= config.reserve);
    let usage = node.node.usage().await;
    assert!(!usage.writable && usage.failed_disks == 0, "{usage:?}");
    assert_eq!(node.get(&stored[0].0).await.unwrap(), stored[0].1);
    assert!(
        !node.put(&stored[0]).await.unwrap(),
        "what is here needs no room"
    );
    let ids: Vec<_> = stored.iter().take(100).map(|(id, _)| *id).collect();
    assert_eq!(node.delete(&ids).await.unwrap(), 100);
    assert!(node.node.usage().await.reclaimable_bytes > 39_000_000);
    node.compact().await;
    assert!(node.node.usage().await.writable);
    assert!(node.put(&stored[0]).await.unwrap());
    node.check_digest(stored[100..].iter().chain(&stored[..1]).map(|(id, _)| *id));
    node.stop().await;
}

/// The file system is full although there is no reserve: a put is refused, what was half written is no harm.
#[tokio::test]
async fn a_write_that_hits_the_end_of_the_disk_is_refused() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    node.put(&chunk(1, 2000)).await.unwrap();
    disk.fill();
    assert_eq!(
        node.put(&chunk(2, 2000)).await.unwrap_err().code,
        ErrorCode::NoSpace
    );
    assert_eq!(node.get(&chunk(1, 2000).0).await.unwrap(), chunk(1, 2000).1);
    disk.set_capacity(1 << 30);
    assert!(node.put(&chunk(2, 2000)).await.unwrap());
    node.crash(1).await;
    let node = TestNode::open(&[&disk]);
    node.check_digest([chunk(1, 2000).0, chunk(2, 2000).0]);
    node.stop().await;
}

/// Somebody else fills the disk to the last byte, below the reserve: puts are refused, reads and deletes work, nothing
/// half made stays behind, and when there is space again the node takes puts without a restart.
#[tokio::test]
async fn a_disk_that_others_fill_still_deletes_and_recovers_by_itself() {
    let disk = MemoryDisk::new();
    disk.set_capacity(1 << 30);
    let config = Config {
        reserve: 8 << 20,
        ..config()
    };
    let node = TestNode::open_with(&[&disk], &config);
    let chunks: Vec<_> = (0..40).map(|number| chunk(number, 3000)).collect();
    for chunk in &chunks {
        node.put(chunk).await.unwrap();
    }
    let files = extents(&disk).len();
    disk.fill();
    let refused = node.put(&chunk(100, 3000)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::NoSpace);
    // The place of the scrubber, a rotten chunk: what else writes the index.
    disk.flip(&extents(&disk)[0], 4096 + 100, 1);
    node.scrub().await;
    assert_eq!(node.state(&chunks[0].0), proto::node::ChunkState::Corrupt);
    node.node.disks()[0].writer.seal().await.ok();
    assert_eq!(extents(&disk).len(), files);
    assert_eq!(node.get(&chunks[39].0).await.unwrap(), chunks[39].1);
    let ids: Vec<_> = chunks[..30].iter().map(|(id, _)| *id).collect();
    assert_eq!(node.delete(&ids).await.unwrap(), 30);
    assert_eq!(node.node.disks()[0].store.failure(), None);
    node.compact().await;
    assert!(extents(&disk).len() < files, "its own space comes back");
    disk.set_capacity(1 << 30);
    assert!(node.put(&chunk(100, 3000)).await.unwrap());
    assert!(node.node.usage().await.writable && node.node.usage().await.failed_disks == 0);
    let live = chunks[30..].iter().map(|(id, _)| *id);
    let live: Vec<_> = live.chain([chunk(100, 3000).0]).collect();
    node.check_digest(live.iter().copied());
    node.crash(1).await;
    let node = TestNode::open_with(&[&disk], &config);
    node.check_digest(live);
    node.stop().await;
}

/// Deleted everything: nothing but a few bytes of deletions stays.
#[tokio::test]
async fn compaction_wins_deleted_space_back() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let chunks: Vec<_> = (0..100).map(|number| chunk(number, 3000)).collect();
    for chunk in &chunks {
        node.put(chunk).await.unwrap();
    }
    let before = node.node.usage().await;
    assert_eq!(before.chunks, 100);
    assert!(extents(&disk).len() >= 25);
    let ids: Vec<_> = chunks.iter().map(|(id, _)| *id).collect();
    node.delete(&ids[..90]).await.unwrap();
    node.compact().await;
    let after = node.node.usage().await;
    assert!(after.stored_bytes < before.stored_bytes / 4, "{after:?}");
    node.check_digest(ids[90..].iter().copied());
    node.stop().await;
    disk.kill();
    let node = TestNode::open(&[&disk]);
    node.check_digest(ids[90..].iter().copied());
    node.stop().await;
}

/// All that was stored was deleted: of the extents that are full of deletions none stays but the last, with the index or
/// without.
#[tokio::test]
async fn extents_of_deletions_go_too() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let chunks: Vec<_> = (0..500).map(|number| chunk(number, 8)).collect();
    for chunk in &chunks {
        node.put(chunk).await.unwrap();
    }
    for (id, _) in &chunks {
        node.delete(&[*id]).await.unwrap();
    }
    assert!(extents(&disk).len() >= 6);
    node.compact().await;
    assert_eq!(extents(&disk).len(), 1);
    node.stop().await;
    disk.remove("index.redb").unwrap();
    let node = TestNode::open(&[&disk]);
    node.check_digest([]);
    node.stop().await;
}

/// Each write that fails leaves an extent behind. Those that hold no record stayed for ever.
#[tokio::test]
async fn extents_without_a_record_go_too() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    node.put(&chunk(1, 3000)).await.unwrap();
    for _ in 0..3 {
        disk.fail_next_sync();
        node.put(&chunk(2, 3000)).await.unwrap_err();
    }
    node.put(&chunk(3, 3000)).await.unwrap();
    assert_eq!(extents(&disk).len(), 4);
    node.compact().await;
    assert_eq!(extents(&disk).len(), 2);
    node.crash(1).await;
    let node = TestNode::open(&[&disk]);
    node.check_digest([chunk(1, 3000).0, chunk(3, 3000).0]);
    node.stop().await;
}
