//! Copies move from full nodes to empty ones, and then rest.

use std::time::Duration;

use proto::master::LeaveSafeMode;
use tokio::time::sleep;

use crate::world::{World, config};

/// A node that joins empty takes over copies from the fullest, and all keep their three. It looked at 64 chunks every five
/// seconds, however fast these were copied.
#[tokio::test(start_paused = true)]
async fn an_empty_node_gets_its_share() {
    let mut config = config();
    config.rebalance_min_bytes = 1;
    let mut world = World::new(config, 3).await;
    let chunks = world.fill(400).await;
    let joined = world.add_node("").await;
    let took = world
        .until_so("it has most of its share", || {
            assert!(chunks.iter().all(|chunk| world.copies(chunk) >= 3));
            joined.disk().chunks.len() >= 160
        })
        .await;
    assert!(took < Duration::from_secs(8), "{took:?}");
    world.until_three_copies(&chunks).await;
}

/// The master was started from a restored folder, and a node joined: while nothing could be deleted, each move left one
/// more copy.
#[tokio::test(start_paused = true)]
async fn nothing_moves_while_nothing_may_be_deleted() {
    let mut config = config();
    config.rebalance_min_bytes = 1;
    let mut world = World::new(config, 3).await;
    world.fill(100).await;
    world.stop_master().await;
    world.config.restored = true;
    world.start_master().await;
    let joined = world.add_node("").await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(joined.disk().chunks.len(), 0);
    world.call(LeaveSafeMode {}).await.unwrap();
    world
        .until_so("it gets its share", || joined.disk().chunks.len() >= 30)
        .await;
}

/// Zones of one, one and three nodes: each of the three can hold a third of the chunks at most, which is much less than its
/// share by size. Copies were made there and taken away again, for ever.
#[tokio::test(start_paused = true)]
async fn nothing_moves_for_ever_where_zones_are_uneven() {
    let mut config = config();
    config.rebalance_min_bytes = 1;
    let mut world = World::new(config, 0).await;
    for zone in ["a", "b", "c", "c", "c"] {
        world.add_node(zone).await;
    }
    world.fill(600).await;
    // Six ways between two nodes, and each takes a minute to be found of no use.
    sleep(Duration::from_secs(600)).await;
    let copied = || -> usize {
        let nodes = world.nodes.iter();
        nodes.map(|node| node.disk().fetched.len()).sum()
    };
    let before = copied();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(copied(), before, "it has come to rest");
}

/// A zone gets a second node: what can move from the first one does, although another zone cannot be relieved.
#[tokio::test(start_paused = true)]
async fn a_new_node_in_a_full_zone_gets_its_share_of_it() {
    let mut config = config();
    config.rebalance_min_bytes = 1;
    let mut world = World::new(config, 0).await;
    for zone in ["a", "b", "c"] {
        world.add_node(zone).await;
    }
    let chunks = world.fill(200).await;
    let joined = world.add_node("b").await;
    world
        .until_so("it has most of its share", || {
            joined.disk().chunks.len() >= 80
        })
        .await;
    world.until_three_copies(&chunks).await;
    for node in [0, 2] {
        assert_eq!(world.nodes[node].disk().chunks.len(), 200);
    }
}
