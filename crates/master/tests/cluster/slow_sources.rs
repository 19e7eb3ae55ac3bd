//! Nodes that beat and do not give chunks hold up their own copies, and no others.

use std::time::Duration;

use proto::id::ChunkId;

use crate::world::{World, config};

/// Two of five nodes die, and a third goes on with its heartbeats but hangs on reads. Chunks whose last copy it has wait;
/// they were the most urgent ones, and nothing else was copied, for good.
#[tokio::test(start_paused = true)]
async fn a_node_that_gives_no_chunks_holds_up_only_its_own() {
    let mut world = World::new(config(), 5).await;
    let chunks = world.fill(600).await;
    world.nodes[2].hang_reads(true);
    world.nodes[0].kill();
    world.nodes[1].kill();
    let sound = |chunk: &&ChunkId| world.nodes[3..].iter().any(|node| node.holds(chunk));
    let (healable, stuck): (Vec<_>, Vec<_>) = chunks.iter().partition(sound);
    assert!(stuck.len() > 40, "{}", stuck.len());
    world
        .until("both are dead", |status| status.nodes.dead == 2)
        .await;
    let is_whole = |chunk: &&ChunkId| world.nodes[2..].iter().all(|node| node.holds(chunk));
    let took = world
        .until_so("all that can be is whole", || healable.iter().all(is_whole))
        .await;
    assert!(took < Duration::from_secs(120), "{took:?}");

    world.nodes[2].hang_reads(false);
    let took = world
        .until("the rest is whole", |status| {
            status.chunks.missing_copies == 0
        })
        .await;
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// A node that is sound, but slow, has the last copy of many chunks: the others do not idle until these are done.
#[tokio::test(start_paused = true)]
async fn the_last_copies_on_a_busy_node_do_not_hold_up_the_others() {
    let mut config = config();
    config.repairs_per_node = 1;
    let mut world = World::new(config, 5).await;
    let chunks = world.fill(600).await;
    world.nodes[2].give_slowly(Duration::from_secs(4));
    world.nodes[0].kill();
    world.nodes[1].kill();
    let others = |chunk: &&ChunkId| world.nodes[3..].iter().all(|node| node.holds(chunk));
    let healable: Vec<_> = chunks.iter().filter(others).collect();
    world
        .until("both are dead", |status| status.nodes.dead == 2)
        .await;
    let took = world
        .until_so("what others have is whole", || {
            healable.iter().all(|chunk| world.nodes[2].holds(chunk))
        })
        .await;
    assert!(took < Duration::from_secs(60), "{took:?}");
}
