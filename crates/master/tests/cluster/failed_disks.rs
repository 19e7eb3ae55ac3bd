//! A disk that failed is read as long as it can be, and what it holds is copied elsewhere.

use std::time::Duration;

use bytes::Bytes;
use proto::id::ChunkId;
use proto::master::{ClusterStatus, RemoveNode};
use tokio::time::sleep;

use crate::world::{World, config, refusal, some_chunks};

/// Says so in words.
fn tells_of_failed_disk(status: &ClusterStatus) -> bool {
    let mut problems = status.problems.iter();
    problems.any(|problem| problem.code == "disk_failed")
}

/// A disk takes no more writes. Its chunks get other copies soon, nothing is deleted for it; after a restart the disk is
/// sound, its copies count again, and those that are then too many go.
#[tokio::test(start_paused = true)]
async fn what_a_failed_disk_holds_is_copied_elsewhere() {
    let mut config = config();
    config.inventory_interval = Duration::from_secs(24 * 60 * 60);
    let mut world = World::new(config, 4).await;
    let chunks = world.fill(60).await;
    let held = world.nodes[0].disk().chunks.len();
    assert!(held > 20, "{held}");
    world.nodes[0].fail_disk();
    let took = world
        .until_so("all have three copies that count", || {
            chunks.iter().all(|chunk| world.copies(chunk) == 3)
        })
        .await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    world
        .until("that is known", |status| {
            status.chunks.missing_copies == 0 && tells_of_failed_disk(status)
        })
        .await;
    let none_was_deleted = |world: &World| {
        let mut nodes = world.nodes.iter();
        nodes.all(|node| node.disk().deleted.is_empty())
    };
    assert!(none_was_deleted(&world));
    assert_eq!(world.nodes[0].disk().chunks.len(), held);

    world.nodes[0].restart_with_sound_disk().await;
    world
        .until_so("the surplus is gone", || {
            let copies: Vec<_> = chunks.iter().map(|chunk| world.copies(chunk)).collect();
            assert!(copies.iter().all(|copies| *copies >= 3));
            copies.iter().all(|copies| *copies == 3)
        })
        .await;
    let deleted = world.nodes.iter().map(|node| node.disk().deleted.len());
    assert_eq!(deleted.sum::<usize>(), held);
    world
        .until("the cluster is green", |status| status.problems.is_empty())
        .await;
}

/// A disk hangs, and answers again later, without a restart: its chunks get other copies meanwhile, nothing is deleted for it,
/// and its copies count again soon, so that just those that are then too many go.
#[tokio::test(start_paused = true)]
async fn what_a_hung_disk_holds_counts_again_when_it_answers() {
    let mut config = config();
    config.inventory_interval = Duration::from_secs(24 * 60 * 60);
    let mut world = World::new(config, 4).await;
    let chunks = world.fill(60).await;
    let held = world.nodes[0].disk().chunks.len();
    world.nodes[0].hang_disk();
    world
        .until("all have three copies that count", |status| {
            assert_eq!(status.chunks.unavailable, 0);
            chunks.iter().all(|chunk| world.copies(chunk) == 3) && tells_of_failed_disk(status)
        })
        .await;
    let mut nodes = world.nodes.iter();
    assert!(nodes.all(|node| node.disk().deleted.is_empty()));
    assert_eq!(world.nodes[0].disk().chunks.len(), held);

    world.nodes[0].wake_disk();
    world
        .until_so("the surplus is gone", || {
            let copies: Vec<_> = chunks.iter().map(|chunk| world.copies(chunk)).collect();
            assert!(copies.iter().all(|copies| *copies >= 3));
            copies.iter().all(|copies| *copies == 3)
        })
        .await;
    let deleted = world.nodes.iter().map(|node| node.disk().deleted.len());
    assert_eq!(deleted.sum::<usize>(), held);
    world
        .until("the cluster is green", |status| status.problems.is_empty())
        .await;
}

/// The only copy that is left is on a disk that hangs: it stays known that it is there, and it is copied as soon as the
/// disk answers.
#[tokio::test(start_paused = true)]
async fn the_last_copy_on_a_hung_disk_stays_known() {
    let mut world = World::new(config(), 4).await;
    let bytes = some_chunks(1);
    world.upload("/file", &bytes, 3).await.unwrap();
    let chunk = ChunkId::of(&bytes[0]);
    let (holders, others): (Vec<_>, Vec<_>) = world
        .nodes
        .clone()
        .into_iter()
        .partition(|node| node.holds(&chunk));
    holders[0].hang_disk();
    holders[1].kill();
    holders[2].kill();
    world
        .until("two are dead", |status| status.nodes.dead == 2)
        .await;
    sleep(Duration::from_secs(200)).await;
    let recorded = world.recorded_on("/file").await;
    assert!(recorded.contains(&holders[0].0.id));
    holders[0].wake_disk();
    world
        .until_so("it is copied", || others[0].holds(&chunk))
        .await;
}

/// The other two nodes that have a chunk are down when the disk of the third fails: it stays known that it is there,
/// and it is copied from there. It was forgotten then, while there was only one copy beside it that anybody could read.
#[tokio::test(start_paused = true)]
async fn the_last_copy_is_copied_from_the_failed_disk() {
    let mut world = World::new(config(), 4).await;
    let bytes = some_chunks(1);
    world.upload("/file", &bytes, 3).await.unwrap();
    let chunk = ChunkId::of(&bytes[0]);
    let (holders, others): (Vec<_>, Vec<_>) = world
        .nodes
        .clone()
        .into_iter()
        .partition(|node| node.holds(&chunk));
    holders[0].fail_disk();
    holders[1].kill();
    holders[2].kill();
    let is_readable = |status: &ClusterStatus| {
        assert_eq!(status.chunks.unavailable, 0, "its last copy was forgotten");
        others[0].holds(&chunk)
    };
    let took = world.until("it is copied", is_readable).await;
    assert!(took < Duration::from_secs(20), "{took:?}");
    sleep(Duration::from_secs(90)).await;
    let failed = holders[0].0.id;
    assert!(world.recorded_on("/file").await.contains(&failed));
    assert!(holders[0].disk().chunks.contains_key(&chunk));
}

/// All three disks that have a chunk fail at once: it stays readable all the time, and gets three copies elsewhere.
#[tokio::test(start_paused = true)]
async fn what_is_on_failed_disks_only_gets_new_copies() {
    let mut world = World::new(config(), 6).await;
    let chunks = world.fill(30).await;
    for node in &world.nodes[..3] {
        node.fail_disk();
    }
    world
        .until("all have three copies that count", |status| {
            assert_eq!(status.chunks.unavailable, 0, "a last copy was forgotten");
            chunks.iter().all(|chunk| world.copies(chunk) == 3)
        })
        .await;
    world
        .until("that is known", |status| status.chunks.missing_copies == 0)
        .await;
}

/// A deletion was planned, and the copy is on a disk that failed: it stays planned until the disk takes it. The order was
/// repeated every ten seconds, with all that the disk held, for ever.
#[tokio::test(start_paused = true)]
async fn a_deletion_on_a_failed_disk_stays_planned() {
    let mut world = World::new(config(), 3).await;
    let bytes = some_chunks(1);
    world.upload("/file", &bytes, 3).await.unwrap();
    let chunk = ChunkId::of(&bytes[0]);
    let away = world.nodes[2].clone();
    away.kill();
    world
        .until("it is dead", |status| status.nodes.dead == 1)
        .await;
    world.purge("/file").await;
    world
        .until_so("the others deleted it", || world.copies(&chunk) == 1)
        .await;
    away.fail_disk();
    away.start().await;
    world.until("it is back", tells_of_failed_disk).await;
    sleep(Duration::from_secs(20)).await;
    let last_order = away.disk().last_order;
    sleep(Duration::from_secs(100)).await;
    assert_eq!(world.status().await.chunks.to_delete, 1);
    assert_eq!(away.disk().last_order, last_order, "it is left alone");
    assert!(away.disk().chunks.contains_key(&chunk));
    away.restart_with_sound_disk().await;
    world
        .until("it is deleted", |status| status.chunks.to_delete == 0)
        .await;
    assert_eq!(away.disk().deleted, [chunk]);
}

/// A file is purged while one copy is on a failed disk and not on record any more: when the disk is back, the copy goes
/// as one that nobody knows.
#[tokio::test(start_paused = true)]
async fn what_was_purged_meanwhile_goes_when_the_disk_is_back() {
    let mut world = World::new(config(), 4).await;
    let bytes: [Bytes; 1] = some_chunks(1).try_into().unwrap();
    world.upload("/file", &bytes, 3).await.unwrap();
    let chunk = ChunkId::of(&bytes[0]);
    let failed = world.nodes.iter().find(|node| node.holds(&chunk)).unwrap();
    let failed = failed.clone();
    failed.fail_disk();
    world
        .until_so("it has three others", || world.copies(&chunk) == 3)
        .await;
    world.purge("/file").await;
    world
        .until_so("they are deleted", || world.copies(&chunk) == 0)
        .await;
    assert!(failed.disk().chunks.contains_key(&chunk));
    failed.restart_with_sound_disk().await;
    world
        .until_so("the last is deleted", || failed.disk().chunks.is_empty())
        .await;
    world
        .until("the cluster is green", |status| status.problems.is_empty())
        .await;
}

/// Files have one copy each, and the disk that has some of them fails: they can still be read, and are copied elsewhere.
#[tokio::test(start_paused = true)]
async fn the_only_copy_on_a_failed_disk_is_copied_to_another_node() {
    let mut world = World::new(one_copy(), 2).await;
    let bytes = some_chunks(20);
    for (number, one) in bytes.iter().enumerate() {
        let chunk = std::slice::from_ref(one);
        world.upload(&format!("/{number}"), chunk, 1).await.unwrap();
    }
    world.nodes[0].fail_disk();
    let held = world.nodes[0].disk().chunks.len();
    assert!(held > 0);
    let chunks: Vec<_> = bytes.iter().map(|bytes| ChunkId::of(bytes)).collect();
    let took = world
        .until("all are on the other node", |status| {
            assert_eq!(status.chunks.unavailable, 0, "an only copy was forgotten");
            chunks.iter().all(|chunk| world.nodes[1].holds(chunk))
        })
        .await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    world
        .until("that is known", |status| status.chunks.missing_copies == 0)
        .await;
    for number in 0..bytes.len() {
        let recorded = world.recorded_on(&format!("/{number}")).await;
        assert_eq!(recorded, [world.nodes[1].0.id]);
    }
    assert_eq!(world.nodes[0].disk().chunks.len(), held);
    world.assert_nothing_deleted();
}

/// One of a node's disks failed, and nobody can take a copy of what it holds: what is on the node's other disks counts
/// all the same, and what is on the failed one does not.
#[tokio::test(start_paused = true)]
async fn the_other_disks_of_a_node_with_a_failed_one_are_relied_on() {
    let mut world = World::new(one_copy(), 1).await;
    let bytes = some_chunks(2);
    world.upload("/failed", &bytes[..1], 1).await.unwrap();
    world.upload("/sound", &bytes[1..], 1).await.unwrap();
    let failed = ChunkId::of(&bytes[0]);
    world.nodes[0].disk().failed.insert(failed);
    world
        .until("the copy does not count", |status| {
            assert_eq!(status.chunks.unavailable, 0, "an only copy was forgotten");
            status.chunks.missing_copies == 1 && tells_of_failed_disk(status)
        })
        .await;
    let (_, again) = world.store(&bytes[1..], 1).await.unwrap();
    assert!(again[0].receipts.is_empty(), "it is stored");
    world.store(&bytes[..1], 1).await.unwrap_err();
    assert_eq!(world.recorded_on("/failed").await.len(), 1, "to be read");

    world.nodes[0].restart_with_sound_disk().await;
    world
        .until("it counts again", |status| {
            status.chunks.missing_copies == 0
        })
        .await;
    world.nodes[0].disk().failed.insert(failed);
    world
        .until("it fails again", |status| status.chunks.missing_copies == 1)
        .await;
    world.nodes[0].kill();
    world.nodes[0].disk().chunks.remove(&failed);
    world.nodes[0].restart_with_sound_disk().await;
    world
        .until("it is known to be lost", |status| {
            status.chunks.unavailable == 1
        })
        .await;
}

fn one_copy() -> master::Config {
    let mut config = config();
    config.rules.replication_factor = 1;
    config.rules.min_write_replicas = 1;
    config
}

/// A node with the only copy of a file, on a failed disk, is down: it is not removed as if nothing were lost with it.
#[tokio::test(start_paused = true)]
async fn a_node_whose_failed_disk_has_the_only_copy_is_not_removed_by_mistake() {
    let mut world = World::new(one_copy(), 1).await;
    world.upload("/file", &some_chunks(1), 1).await.unwrap();
    world.nodes[0].fail_disk();
    world
        .until("the copy does not count", |status| {
            status.chunks.missing_copies == 1
        })
        .await;
    world.nodes[0].kill();
    world
        .until("it is dead", |status| status.nodes.dead == 1)
        .await;
    let remove = |lose_chunks| RemoveNode {
        node: world.nodes[0].0.id,
        lose_chunks,
    };
    let refused = refusal(world.call(remove(false)).await.unwrap_err());
    assert!(refused.message.contains("only copy"), "{refused}");
    world.call(remove(true)).await.unwrap();
}

/// A disk fails between a receipt and its commit: the copy is found to be on a failed disk, although its bytes are good.
#[tokio::test(start_paused = true)]
async fn a_receipt_from_a_disk_that_failed_since_does_not_make_a_copy_count() {
    let mut config = config();
    config.inventory_interval = Duration::from_secs(24 * 60 * 60);
    let mut world = World::new(config, 4).await;
    let bytes = some_chunks(1);
    let chunk = ChunkId::of(&bytes[0]);
    let (upload, stored) = world.store(&bytes, 3).await.unwrap();
    let mut nodes = world.nodes.iter();
    let failed = nodes.find(|node| node.holds(&chunk)).unwrap();
    failed.fail_disk();
    world.until("that is known", tells_of_failed_disk).await;
    sleep(Duration::from_secs(10)).await;
    world.commit(upload, "/file", stored).await.unwrap();
    let took = world
        .until_so("it has three copies that count", || {
            world.copies(&chunk) == 3
        })
        .await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}
