//! What may be deleted is, in the end; nothing else ever is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use proto::id::ChunkId;
use proto::master::ResetDeleteFuse;
use tokio::time::sleep;

use crate::world::{World, config, some_chunks};

/// A purged file's chunks stay for the grace period, then go from all nodes, those included that were away.
#[tokio::test(start_paused = true)]
async fn chunks_that_nothing_needs_go_after_their_grace() {
    let mut world = World::new(config(), 3).await;
    let chunks = some_chunks(3);
    world.upload("/kept", &chunks[..1], 3).await.unwrap();
    for (number, bytes) in chunks.iter().enumerate() {
        let path = format!("/gone/{number}");
        let bytes = std::slice::from_ref(bytes);
        world.upload(&path, bytes, 3).await.unwrap();
    }
    world.nodes[2].kill();
    world
        .until("it is dead", |status| status.nodes.dead == 1)
        .await;
    world.purge("/gone").await;
    sleep(Duration::from_secs(15)).await;
    let ids: Vec<_> = chunks.iter().map(|bytes| ChunkId::of(bytes)).collect();
    assert!(
        ids.iter().all(|chunk| world.copies(chunk) == 3),
        "still in grace"
    );
    world
        .until_so("they are gone where a node is", || {
            ids[1..].iter().all(|c| world.copies(c) == 1)
        })
        .await;
    world.nodes[2].start().await;
    world
        .until_so("they are gone", || {
            ids[1..].iter().all(|chunk| world.copies(chunk) == 0)
        })
        .await;
    assert_eq!(world.copies(&ids[0]), 3, "another file needs it");
    world
        .until("the cluster is green", |status| status.problems.is_empty())
        .await;
}

/// A chunk that the master does not know stays for its grace and two inventories, and then goes.
#[tokio::test(start_paused = true)]
async fn unknown_chunks_wait_for_their_grace_and_two_inventories() {
    let mut world = World::new(config(), 3).await;
    world.fill(20).await;
    let stray = Bytes::from_static(b"nobody knows me");
    let id = ChunkId::of(&stray);
    world.nodes[0].disk().chunks.insert(id, stray);
    sleep(Duration::from_secs(55)).await;
    assert_eq!(world.copies(&id), 1);
    world
        .until_so("it is gone", || world.copies(&id) == 0)
        .await;
    assert_eq!(world.nodes[0].disk().deleted, [id]);
}

/// The master went wrong, or is an old copy, and knows nothing of most chunks: the fuse stops it from deleting them.
#[tokio::test(start_paused = true)]
async fn the_fuse_stops_mass_deletion_until_a_person_lets_it_go_on() {
    let mut world = World::new(config(), 3).await;
    let known = world.fill(10).await;
    let strays: BTreeSet<_> = (0..1200_u32)
        .map(|number| {
            let bytes = Bytes::from(format!("stray {number}"));
            let id = ChunkId::of(&bytes);
            world.nodes[0].disk().chunks.insert(id, bytes);
            id
        })
        .collect();
    world
        .until("the fuse has tripped", |status| {
            status.delete_fuse.is_some()
        })
        .await;
    let status = world.status().await;
    assert!(
        status
            .problems
            .iter()
            .any(|problem| problem.code == "delete_fuse")
    );
    sleep(Duration::from_secs(200)).await;
    assert!(world.nodes[0].disk().deleted.is_empty());

    world.call(ResetDeleteFuse {}).await.unwrap();
    world
        .until_so("they are gone", || {
            strays.iter().all(|chunk| world.copies(chunk) == 0)
        })
        .await;
    assert!(known.iter().all(|chunk| world.copies(chunk) == 3));
    assert_eq!(world.status().await.delete_fuse, None);
}

/// Chunks that the master does not know turn up bit by bit, and it restarts in between: they count together.
#[tokio::test(start_paused = true)]
async fn the_fuse_counts_what_went_before_and_before_a_restart() {
    let mut world = World::new(config(), 3).await;
    let stray = |world: &World, from: u32, count: u32| {
        let bytes = (from..from + count).map(|number| Bytes::from(format!("stray {number}")));
        let strays = bytes.map(|bytes| (ChunkId::of(&bytes), bytes));
        let strays: BTreeMap<_, _> = strays.collect();
        world.nodes[0].disk().chunks.extend(strays.clone());
        strays
    };
    let gone = |world: &World, strays: &BTreeMap<ChunkId, Bytes>| {
        let disk = world.nodes[0].disk();
        strays.keys().all(|chunk| !disk.chunks.contains_key(chunk))
    };
    let first = stray(&world, 0, 700);
    world
        .until_so("the first are gone", || gone(&world, &first))
        .await;
    world.stop_master().await;
    world.start_master().await;
    let second = stray(&world, 1000, 700);
    world
        .until("the fuse has tripped", |status| {
            status.delete_fuse.is_some()
        })
        .await;
    assert_eq!(world.nodes[0].disk().deleted.len(), 700);

    world.call(ResetDeleteFuse {}).await.unwrap();
    world.stop_master().await;
    world.start_master().await;
    world
        .until_so("a reset outlives a restart", || gone(&world, &second))
        .await;
    stray(&world, 2000, 301);
    world
        .until("it trips again", |status| status.delete_fuse.is_some())
        .await;
    assert_eq!(world.nodes[0].disk().deleted.len(), 1400);
}

/// A node lost its disk, or part of it, and knows nothing of it: the inventory finds out, and repair replaces.
#[tokio::test(start_paused = true)]
async fn an_inventory_finds_what_a_node_lost_and_what_it_has() {
    let mut world = World::new(config(), 3).await;
    let chunks = world.fill(300).await;
    let lost: Vec<_> = chunks.iter().step_by(7).collect();
    for chunk in &lost {
        world.nodes[1].disk().chunks.remove(chunk);
    }
    world.nodes[1].kill();
    world.nodes[1].start().await;
    let took = world
        .until_so("they are back", || {
            chunks.iter().all(|chunk| world.copies(chunk) == 3)
        })
        .await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(world.nodes[1].disk().fetched.len(), lost.len());
    world.assert_nothing_deleted();
}

/// A node lost chunks, and the master's disk fails just when that is recorded: the comparison is made again soon, and
/// not only with the next day's inventory.
#[tokio::test(start_paused = true)]
async fn an_inventory_whose_findings_are_not_recorded_is_compared_again() {
    let mut config = config();
    config.inventory_interval = Duration::from_secs(24 * 60 * 60);
    let mut world = World::new(config, 3).await;
    let chunks = world.fill(3).await;
    world.nodes[1].kill();
    world
        .until("it is dead", |status| status.nodes.dead == 1)
        .await;
    world.nodes[1].disk().chunks.clear();
    world.disk.fail_next_write();
    world.nodes[1].start().await;
    let took = world
        .until_so("they are back", || {
            chunks.iter().all(|chunk| world.copies(chunk) == 3)
        })
        .await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// An uploader is between storing its chunks and committing when inventories are compared: its chunks are not touched.
#[tokio::test(start_paused = true)]
async fn inventories_do_not_disturb_uploads() {
    let mut config = config();
    config.inventory_interval = Duration::from_secs(1);
    config.unknown_chunk_grace = Duration::from_secs(1);
    let mut world = World::new(config, 3).await;
    for (number, bytes) in some_chunks(40).into_iter().enumerate() {
        let path = format!("/{number}");
        world
            .upload(&path, std::slice::from_ref(&bytes), 3)
            .await
            .unwrap();
        sleep(Duration::from_millis(100)).await;
        assert_eq!(world.copies(&ChunkId::of(&bytes)), 3);
        assert_eq!(world.recorded_copies(&path).await, 3);
    }
    world.assert_nothing_deleted();
}

/// The answers to a delete order were lost again and again with their connections, and the order came a second time each
/// time: the refusal was taken for that of another master's node, and a healthy master gave up.
#[tokio::test(start_paused = true)]
async fn orders_that_arrive_twice_do_no_harm() {
    let mut world = World::new(config(), 3).await;
    let chunks = some_chunks(1);
    world.upload("/gone", &chunks, 3).await.unwrap();
    world.nodes[0].disk().orders_doubled = 5;
    world.purge("/gone").await;
    let chunk = ChunkId::of(&chunks[0]);
    world
        .until_so("it is deleted", || world.copies(&chunk) == 0)
        .await;
    world
        .until("that is recorded", |status| status.chunks.to_delete == 0)
        .await;
    assert!(world.status().await.uploads_possible);
}
