//! After a start, the master believes nothing before it has heard from the nodes.

use std::time::Duration;

use master::folder::STORE;
use master::{Config, StartError};
use proto::ErrorCode;
use proto::id::ChunkId;
use proto::master::{ClusterStatus, Health, LeaveSafeMode, OpenFile};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::world::{World, config, refusal, some_chunks};

/// The disk of a running master rots. Whoever reads what is damaged is told so; then all of the store is verified, and the master ends:
/// it said that the store was being opened again, and went on saying so.
#[tokio::test(start_paused = true)]
async fn a_master_ends_when_it_reads_what_was_not_written() {
    let config = Config {
        cache_bytes: 0,
        ..config()
    };
    let mut world = World::new(config, 3).await;
    world.fill(20).await;
    let len = world.disk.content(STORE).unwrap().len() as u64;
    for offset in (4096..len).step_by(4096) {
        world.disk.flip(STORE, offset, 1);
    }
    let path = "/fill/0-0".parse().unwrap();
    let opened = world.call(OpenFile {
        path,
        version: None,
        chunks: 8,
    });
    let refusal = opened.await.unwrap_err().to_string();
    assert!(refusal.contains("not what was written"), "{refusal}");
    let ended = world.master_ended().await.unwrap_err().to_string();
    assert!(ended.contains("from a backup"), "{ended}");
}

/// The master comes back while a node is away: no deletion before that node has come too, or a person says so.
#[tokio::test(start_paused = true)]
async fn deletions_wait_for_all_nodes_after_a_start() {
    let mut world = World::new(config(), 3).await;
    let chunks = some_chunks(1);
    world.upload("/gone", &chunks, 3).await.unwrap();
    let chunk = ChunkId::of(&chunks[0]);
    world.purge("/gone").await;
    world.nodes[2].kill();
    world.stop_master().await;
    world.start_master().await;
    world
        .until("two are back", |status| status.nodes.live == 2)
        .await;
    let status = world.status().await;
    let safe_mode = status.safe_mode.unwrap();
    assert_eq!(safe_mode.waiting_for, 1);
    assert_eq!(safe_mode.examples, [world.nodes[2].0.address.clone()]);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(world.copies(&chunk), 3);

    world.call(LeaveSafeMode {}).await.unwrap();
    world
        .until_so("it is gone", || world.copies(&chunk) == 1)
        .await;
    assert_eq!(world.status().await.safe_mode, None);
}

/// Repair waits until most nodes are back, and then for the failure timeout of the rest.
#[tokio::test(start_paused = true)]
async fn repair_waits_for_most_nodes_after_a_start() {
    let mut world = World::new(config(), 4).await;
    let chunks = world.fill(30).await;
    for node in &world.nodes {
        node.kill();
    }
    world.stop_master().await;
    world.start_master().await;
    world.nodes[0].start().await;
    world.nodes[1].start().await;
    sleep(Duration::from_secs(60)).await;
    assert!(
        world
            .nodes
            .iter()
            .all(|node| node.disk().fetched.is_empty())
    );
    assert!(world.status().await.safe_mode.unwrap().repair_waits);
    world.nodes[2].start().await;
    world
        .until_so("all have three copies on three nodes", || {
            chunks.iter().all(|chunk| {
                world.nodes[..3]
                    .iter()
                    .filter(|node| node.holds(chunk))
                    .count()
                    == 3
            })
        })
        .await;
}

/// All nodes come back with what they had: safe mode ends by itself, and the restarted master finds nothing to do.
#[tokio::test(start_paused = true)]
async fn a_restart_changes_nothing() {
    let mut world = World::new(config(), 3).await;
    let chunks = world.fill(30).await;
    for _ in 0..5 {
        world.stop_master().await;
        world.start_master().await;
    }
    let took = world
        .until("it is green", |status| status.health == Health::Green)
        .await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(chunks.iter().all(|chunk| world.copies(chunk) == 3));
    assert!(
        world
            .nodes
            .iter()
            .all(|node| node.disk().fetched.is_empty())
    );
}

/// A node could not tell what it holds: the master stayed in safe mode for good, and went on to say that it had just started.
#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_be_compared_is_named() {
    let mut world = World::new(config(), 3).await;
    world.nodes[1].disk().inventory_fails = true;
    world.stop_master().await;
    world.start_master().await;
    let named = world.nodes[1].0.address.clone();
    world
        .until("it is told which and why", |status| {
            status.problems.iter().any(|problem| {
                problem.message.contains(named.as_str())
                    && problem.message.contains("the index cannot be read")
            })
        })
        .await;
    world.nodes[1].disk().inventory_fails = false;
    world
        .until("it is green", |status| status.health == Health::Green)
        .await;
}

/// The folder is an old copy: nodes that saw later masters are refused, loudly, and nothing is deleted. Started with
/// `restored`, it takes them in, and still deletes nothing before a person says so.
#[tokio::test(start_paused = true)]
async fn an_old_copy_of_the_folder_is_found_out() {
    let mut world = World::new(config(), 3).await;
    world.stop_master().await;
    let old = world.disk.fork();
    world.start_master().await;
    world
        .until("all are back", |status| status.nodes.live == 3)
        .await;
    let chunks = world.fill(20).await;
    for _ in 0..3 {
        world.stop_master().await;
        world.start_master().await;
    }
    world
        .until("all are back", |status| status.nodes.live == 3)
        .await;
    world.stop_master().await;
    let even_older = old.fork();
    world.try_start_master(old).await.unwrap();
    world
        .until("it is found out", |status| {
            status
                .problems
                .iter()
                .any(|problem| problem.code == "stale_master")
        })
        .await;
    let refused = refusal(world.nodes[0].register().await.unwrap_err());
    assert_eq!(refused.code, ErrorCode::StaleEpoch, "{refused}");
    world.call(LeaveSafeMode {}).await.unwrap();
    sleep(Duration::from_secs(300)).await;
    assert!(chunks.iter().all(|chunk| world.copies(chunk) == 3));

    world.stop_master().await;
    world.config.restored = true;
    world.try_start_master(even_older).await.unwrap();
    world
        .until("all are back", |status| status.nodes.live == 3)
        .await;
    sleep(Duration::from_secs(300)).await;
    assert!(chunks.iter().all(|chunk| world.copies(chunk) == 3));
    assert!(world.status().await.safe_mode.is_some());
    world.upload("/new", &some_chunks(1), 3).await.unwrap();
}

/// An old copy of the folder still has deletions to order, and one node has not seen any later master: it is taken in,
/// but as soon as another one shows that this master went back in time, nothing is deleted, whatever a person says.
#[tokio::test(start_paused = true)]
async fn a_master_that_went_back_in_time_deletes_nothing() {
    let mut world = World::new(config(), 3).await;
    let chunks = some_chunks(1);
    world.upload("/gone", &chunks, 3).await.unwrap();
    let chunk = ChunkId::of(&chunks[0]);
    world.purge("/gone").await;
    world.nodes[2].kill();
    world.stop_master().await;
    let old = world.disk.fork();
    for _ in 0..3 {
        world.start_master().await;
        world
            .until("two are back", |status| status.nodes.live == 2)
            .await;
        world.stop_master().await;
    }
    world.nodes[0].kill();
    world.nodes[1].kill();
    world.try_start_master(old).await.unwrap();
    world.nodes[2].start().await;
    world
        .until("the third is taken in", |status| status.nodes.live == 1)
        .await;
    world.nodes[0].start().await;
    world.nodes[1].start().await;
    world
        .until("the others show it", |status| {
            let mut problems = status.problems.iter();
            problems.any(|problem| problem.code == "stale_master")
        })
        .await;
    world.call(LeaveSafeMode {}).await.unwrap();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(world.copies(&chunk), 3);
}

/// The master's folder is gone and it starts empty: nodes of the old cluster are refused with a clear sentence.
#[tokio::test(start_paused = true)]
async fn a_new_master_refuses_nodes_of_another_cluster() {
    let mut world = World::new(config(), 3).await;
    let chunks = world.fill(10).await;
    world.stop_master().await;
    world
        .try_start_master(disk::MemoryDisk::new())
        .await
        .unwrap();
    let refused = refusal(world.nodes[0].register().await.unwrap_err());
    assert_eq!(refused.code, ErrorCode::WrongCluster);
    assert!(refused.message.contains("new and empty"), "{refused}");
    let status = world.status().await;
    let told = |status: &ClusterStatus| status.problems[0].message.contains("new and empty");
    assert!(told(&status), "{:?}", status.problems);
    let address = "127.0.0.1:9000".parse().unwrap();
    let stranger = Node::new(&world.network, &address, 9, "");
    stranger.register().await.unwrap();
    let refused = refusal(world.nodes[0].register().await.unwrap_err());
    assert!(
        refused.message.contains("right master's address"),
        "{refused}"
    );
    sleep(Duration::from_secs(300)).await;
    assert!(!told(&world.status().await));
    assert!(chunks.iter().all(|chunk| world.copies(chunk) == 3));
}

/// On a full disk a start makes room by giving up the space that is set aside. Started by mistake in a folder that a running
/// master uses, or in somebody else's, it took that space, or a file of theirs that has the same name.
#[tokio::test(start_paused = true)]
async fn a_start_that_is_refused_makes_no_room() {
    let world = World::new(config(), 0).await;
    sleep(Duration::from_secs(2)).await;
    assert!(world.disk.content("reserve").is_some());
    world.disk.fill();
    refuses_to_start(&world, &world.disk).await;
    assert!(world.disk.content("reserve").is_some());

    let strange = disk::MemoryDisk::new();
    strange.put("reserve", b"seats 7 and 8");
    strange.fill();
    refuses_to_start(&world, &strange).await;
    assert!(strange.content("reserve").is_some());
}

async fn refuses_to_start(world: &World, disk: &disk::MemoryDisk) {
    let mut config = world.config.clone();
    config.listen = "127.0.0.1:9500".parse().unwrap();
    let network = std::sync::Arc::new(world.network.clone());
    let started = master::start(config, network, disk.shared(), CancellationToken::new()).await;
    assert!(matches!(started, Err(StartError::Folder(_))), "{started:?}");
}
