//! Corrupt copies are replaced, and go.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::master::ReportBadReplica;

use crate::world::{World, config};

/// Corrupt copies, found by their node or by a reader, are replaced where they are.
#[tokio::test(start_paused = true)]
async fn bad_copies_are_replaced() {
    let mut world = World::new(config(), 3).await;
    let chunks = world.fill(10).await;
    let (found, read, fine) = (chunks[0], chunks[1], chunks[2]);
    world.nodes[0].disk().corrupt.insert(found);
    world.nodes[1].disk().chunks.remove(&read);
    for chunk in [read, fine] {
        let report = ReportBadReplica {
            chunk,
            node: world.nodes[1].0.id,
        };
        world.call(report).await.unwrap();
    }
    world
        .until_so("all copies are good", || {
            chunks.iter().all(|chunk| world.copies(chunk) == 3)
        })
        .await;
    assert_eq!(world.nodes[0].disk().fetched, [found]);
    assert_eq!(world.nodes[1].disk().fetched, [read]);
    world
        .until("the cluster is green", |status| status.problems.is_empty())
        .await;
}

/// All copies on a node rot, and most of the new ones are made elsewhere. Nobody knew of the rotten ones any more: they, and
/// the extents that they are in, stayed for good, also when their files were purged.
#[tokio::test(start_paused = true)]
async fn a_rotten_copy_goes_when_enough_good_ones_are_elsewhere() {
    let mut world = World::new(config(), 5).await;
    let chunks = world.fill(20).await;
    let rotten = world.rot_all_on(0);
    world
        .until_so("every rotten copy is replaced or gone", || {
            world.nodes[0].disk().corrupt.is_empty()
        })
        .await;
    world.until_three_copies(&chunks).await;
    let deleted: BTreeSet<_> = world.nodes[0].disk().deleted.iter().copied().collect();
    let fetched: BTreeSet<_> = world.nodes[0].disk().fetched.iter().copied().collect();
    assert!(deleted.is_subset(&rotten), "nothing else was deleted");
    assert!(deleted.len() + fetched.len() >= rotten.len());
    assert!(!deleted.is_empty());
    for node in &world.nodes[1..] {
        assert!(node.disk().deleted.is_empty(), "no good copy went");
    }
}

/// Rotten bytes are kept as long as there are too few good copies: somebody may still want to rescue what can be read of them.
#[tokio::test(start_paused = true)]
async fn a_rotten_copy_stays_while_good_ones_are_missing() {
    let mut world = World::new(config(), 3).await;
    world.fill(10).await;
    world.nodes[2].kill();
    world
        .until("it is dead", |status| status.nodes.dead == 1)
        .await;
    for node in &world.nodes[..2] {
        node.refuse_copies(true);
    }
    let rotten = world.rot_all_on(0);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.nodes[0].disk().corrupt, rotten);
    world.assert_nothing_deleted();
}

/// The files of rotten copies are purged: the copies go although they are not on record.
#[tokio::test(start_paused = true)]
async fn rotten_copies_of_purged_files_go() {
    let mut world = World::new(config(), 3).await;
    world.fill(10).await;
    for node in &world.nodes {
        node.refuse_copies(true);
    }
    for node in 0..3 {
        world.rot_all_on(node);
    }
    world
        .until("all is lost", |status| status.chunks.unavailable == 10)
        .await;
    world.purge("/fill").await;
    world
        .until_so("no node holds anything", || {
            world.nodes.iter().all(|node| node.disk().chunks.is_empty())
        })
        .await;
}

/// A copy was reported to be corrupt while its file was there, and the file was purged before good copies had been made: the copy was
/// not on record any more, so it did not go with the chunk, and stayed a day longer, as one that the master does not know.
#[tokio::test(start_paused = true)]
async fn a_rotten_copy_goes_with_the_file_that_is_purged_before_its_repair() {
    let mut config = config();
    config.unknown_chunk_grace = Duration::from_secs(24 * 60 * 60);
    let mut world = World::new(config, 4).await;
    world.fill(10).await;
    for node in &world.nodes {
        node.refuse_copies(true);
    }
    world.rot_all_on(0);
    world
        .until("copies are missing", |status| {
            status.chunks.missing_copies > 0
        })
        .await;
    world.purge("/fill").await;
    let took = world
        .until_so("no node holds anything", || {
            world.nodes.iter().all(|node| node.disk().chunks.is_empty())
        })
        .await;
    assert!(took < Duration::from_secs(3600), "{took:?}");
}
