//! Which master is the right one: copies of its folder are found out by the nodes that have worked with the original.

use std::sync::Arc;
use std::time::Duration;

use proto::ErrorCode;
use proto::id::{ChunkId, Epoch};
use proto::master::{ClusterStatus, LeaveSafeMode};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::world::{World, config, refusal, some_chunks};

fn is_stale(status: &ClusterStatus) -> bool {
    let mut codes = status.problems.iter().map(|problem| &problem.code);
    codes.any(|code| code == "stale_master") && !status.uploads_possible
}

/// The folder is copied while the master runs, and put back later: as many starts, fewer changes.
#[tokio::test(start_paused = true)]
async fn an_old_copy_is_found_out_without_a_restart_in_between() {
    let mut world = World::new(config(), 3).await;
    let old = world.disk.fork();
    let even_older = world.disk.fork();
    let chunks = world.fill(20).await;
    // Nodes hear of it with their next heartbeat.
    sleep(Duration::from_secs(2)).await;
    world.stop_master().await;
    world.try_start_master(old).await.unwrap();
    world.until("it is found out", is_stale).await;
    let refused = refusal(world.nodes[0].register().await.unwrap_err());
    assert_eq!(refused.code, ErrorCode::StaleEpoch);
    assert!(refused.message.contains("it is behind by"), "{refused}");
    world.upload("/lost", &some_chunks(1), 3).await.unwrap_err();
    world.call(LeaveSafeMode {}).await.unwrap();
    sleep(Duration::from_secs(300)).await;
    assert!(chunks.iter().all(|chunk| world.copies(chunk) == 3));

    world.stop_master().await;
    world.config.restored = true;
    world.nodes[2].kill();
    world.try_start_master(even_older).await.unwrap();
    world
        .until("two are back", |status| status.nodes.live == 2)
        .await;
    world.stop_master().await;
    world.config.restored = false;
    world.nodes[2].start().await;
    world.start_master().await;
    world
        .until("all are back, also the one that was away", |status| {
            status.nodes.live == 3
        })
        .await;
    world.upload("/new", &some_chunks(1), 3).await.unwrap();
}

/// Two masters run on copies of one folder: nodes stay with the first, which goes on unharmed.
#[tokio::test(start_paused = true)]
async fn the_second_of_two_masters_is_fenced() {
    let mut world = World::new(config(), 3).await;
    world.stop_master().await;
    let copy = world.disk.fork();
    world.start_master().await;
    world
        .until("all are back", |status| status.nodes.live == 3)
        .await;
    let mut second = config();
    second.listen = "127.0.0.1:9100".parse().unwrap();
    second.chance_seed = 100;
    let address = second.listen.clone();
    let network = Arc::new(world.network.clone());
    let shutdown = CancellationToken::new();
    let running = master::start(second, network, copy.shared(), shutdown.clone())
        .await
        .unwrap();
    let stray = Node::new(&world.network, &address, 1, "");
    stray.disk().seen = world.nodes[0].disk().seen;
    let refused = refusal(stray.register().await.unwrap_err());
    assert_eq!(refused.code, ErrorCode::StaleEpoch);
    assert!(refused.message.contains("two masters run"), "{refused}");
    world.upload("/a", &some_chunks(1), 3).await.unwrap();
    assert!(!is_stale(&world.status().await));
    shutdown.cancel();
    running.ended().await.unwrap();
}

/// A node's record of what it has seen is damaged: it is refused, and nobody else suffers.
#[tokio::test(start_paused = true)]
async fn an_absurd_epoch_stops_nothing() {
    for restored in [false, true] {
        let mut options = config();
        options.restored = restored;
        let mut world = World::new(options, 4).await;
        if restored {
            world.call(LeaveSafeMode {}).await.unwrap();
        }
        let chunks = some_chunks(1);
        world.upload("/gone", &chunks, 3).await.unwrap();
        let damaged = world.nodes[3].clone();
        damaged.kill();
        let mut seen = damaged.disk().seen.unwrap();
        seen.epoch = Epoch(u64::MAX);
        damaged.disk().seen = Some(seen);
        world
            .until("it is away", |status| status.nodes.live == 3)
            .await;
        let refused = refusal(damaged.register().await.unwrap_err());
        assert_eq!(refused.code, ErrorCode::InvalidArgument);
        assert!(refused.message.contains("node.json"), "{refused}");
        assert!(!is_stale(&world.status().await));
        world.purge("/gone").await;
        let chunk = ChunkId::of(&chunks[0]);
        world
            .until_so("deletions go on", || {
                world.nodes[..3].iter().all(|node| !node.holds(&chunk))
            })
            .await;
    }
}

/// Two nodes change addresses while the master still has the old ones: neither gets the other's orders.
#[tokio::test(start_paused = true)]
async fn orders_reach_no_other_node() {
    let mut world = World::new(config(), 3).await;
    let chunks = some_chunks(1);
    world.upload("/gone", &chunks, 3).await.unwrap();
    let chunk = ChunkId::of(&chunks[0]);
    // A stranger takes the address of the first node, whose connection to the master lives on.
    let taken = world.nodes[0].clone();
    let stranger = taken.lose_address_to(77).await;
    stranger.disk().chunks.insert(chunk, chunks[0].clone());
    world.purge("/gone").await;
    world
        .until_so("the others carry it out", || {
            world.nodes[1..].iter().all(|node| !node.holds(&chunk))
        })
        .await;
    sleep(Duration::from_secs(60)).await;
    assert!(stranger.holds(&chunk), "it was never meant");
    assert!(stranger.disk().deleted.is_empty());
    assert!(taken.holds(&chunk), "it was never reached");
}

/// A node had worked with a later start of the lost master than the others, and was away while the restored one started.
/// It came back after one more start, and what it had seen fenced the restored master for good.
#[tokio::test(start_paused = true)]
async fn a_restored_master_is_not_fenced_by_a_node_that_was_away() {
    let mut world = World::new(config(), 3).await;
    world.stop_master().await;
    let old = world.disk.fork();
    world.nodes[0].kill();
    world.nodes[1].kill();
    world.start_master().await;
    world
        .until("one has seen it", |status| status.nodes.live == 1)
        .await;
    world.stop_master().await;
    world.nodes[2].kill();

    world.config.restored = true;
    world.nodes[0].start().await;
    world.nodes[1].start().await;
    world.try_start_master(old).await.unwrap();
    world
        .until("two are back", |status| status.nodes.live == 2)
        .await;
    world.stop_master().await;
    world.config.restored = false;
    world.start_master().await;
    world
        .until("two are back again", |status| status.nodes.live == 2)
        .await;
    world.nodes[2].start().await;
    world
        .until("the third is back", |status| status.nodes.live == 3)
        .await;
    world.upload("/new", &some_chunks(1), 3).await.unwrap();
}

/// `--restored` forgives what was before that start. A master that is found months later on a copy of the folder is not.
#[tokio::test(start_paused = true)]
async fn a_restored_master_does_not_forgive_what_came_after_it() {
    let mut options = config();
    options.restored = true;
    let mut world = World::new(options, 3).await;
    let stray = world.nodes[2].clone();
    stray.kill();
    let mut seen = stray.disk().seen.unwrap();
    seen.epoch.0 += 1;
    stray.disk().seen = Some(seen);
    world
        .until("it is away", |status| status.nodes.live == 2)
        .await;
    let refused = refusal(stray.register().await.unwrap_err());
    assert_eq!(refused.code, ErrorCode::StaleEpoch);
    world.until("it is found out", is_stale).await;
    world.upload("/lost", &some_chunks(1), 3).await.unwrap_err();
}

/// The port is taken, and whoever watches over the master starts it again and again: none of that is a start.
#[tokio::test(start_paused = true)]
async fn a_start_that_cannot_listen_is_none() {
    let world = World::new(config(), 1).await;
    let epoch = world.status().await.epoch;
    let disk = world.disk.fork();
    let start = async |listen: &str| {
        let mut other = config();
        other.listen = listen.parse().unwrap();
        let network = Arc::new(world.network.clone());
        let shutdown = CancellationToken::new();
        master::start(other, network, disk.shared(), shutdown.clone())
            .await
            .map(|running| (running, shutdown))
    };
    for _ in 0..3 {
        start("127.0.0.1:9000").await.unwrap_err();
    }
    let (running, shutdown) = start("127.0.0.1:9100").await.unwrap();
    let node = Node::new(&world.network, running.address(), 7, "");
    let (_connection, registered) = node.register().await.unwrap();
    assert_eq!(registered.master.epoch, Epoch(epoch.0 + 1));
    shutdown.cancel();
    running.ended().await.unwrap();
}

/// A node's `node.json` was put back from an old copy, and this master is one too: what the node has deleted tells it.
#[tokio::test(start_paused = true)]
async fn a_node_that_forgot_what_it_saw_is_known_by_its_last_order() {
    let world = World::new(config(), 3).await;
    let node = world.nodes[0].clone();
    node.kill();
    let seen = node.disk().seen.unwrap();
    node.disk().last_order = (Epoch(seen.epoch.0 + 3), 1);
    world
        .until("it is away", |status| status.nodes.live == 2)
        .await;
    let refused = refusal(node.register().await.unwrap_err());
    assert_eq!(refused.code, ErrorCode::StaleEpoch);
    world.until("it is found out", is_stale).await;
}
