//! Chunks get back the copies that they should have, and no more.

use std::time::Duration;

use proto::ErrorCode;
use proto::id::ChunkId;
use proto::master::RemoveNode;

use crate::world::{World, config, refusal, some_chunks};

/// A node dies for good. Its chunks must be whole again on the others, soon after it was declared dead.
#[tokio::test(start_paused = true)]
async fn a_dead_nodes_chunks_are_copied_to_the_others() {
    let mut world = World::new(config(), 4).await;
    let chunks = world.fill(200).await;
    world
        .until("all is whole", |status| status.chunks.missing_copies == 0)
        .await;
    world.nodes[0].kill();
    world
        .until("it is suspect", |status| status.nodes.suspect == 1)
        .await;
    world
        .until("it is dead", |status| status.nodes.dead == 1)
        .await;
    world
        .until("its chunks are missed", |status| {
            status.chunks.missing_copies > 100
        })
        .await;
    let took = world
        .until("they are whole again", |status| {
            status.chunks.missing_copies == 0
        })
        .await;
    assert!(
        took < Duration::from_secs(5),
        "{took:?} for 150 copies of 1 ms"
    );
    for chunk in &chunks {
        let others = world.nodes[1..].iter().filter(|node| node.holds(chunk));
        assert_eq!(others.count(), 3);
    }
}

/// An upload that found two nodes only is given its third copy as soon as there is a node for it.
#[tokio::test(start_paused = true)]
async fn a_file_with_copies_missing_gets_them_at_once() {
    let mut world = World::new(config(), 3).await;
    let chunks = some_chunks(2);
    world.upload("/two", &chunks[..1], 2).await.unwrap();
    let chunk = ChunkId::of(&chunks[0]);
    let took = world
        .until_so("it has three", || world.copies(&chunk) == 3)
        .await;
    assert!(took < Duration::from_secs(1), "{took:?}");

    world.nodes[2].kill();
    world
        .until("it is dead", |status| status.nodes.dead == 1)
        .await;
    world.upload("/later", &chunks[1..], 3).await.unwrap();
    let status = world.status().await;
    assert!(status.uploads_possible);
    let joined = world.add_node_after_death().await;
    world
        .until_so("the new node has both", || joined.disk().chunks.len() == 2)
        .await;
}

/// Two nodes are lost at once: chunks with just one copy left are copied before those with two.
#[tokio::test(start_paused = true)]
async fn the_fewest_copies_come_first() {
    let mut config = config();
    config.repairs_per_node = 1;
    let mut world = World::new(config, 5).await;
    let chunks = world.fill(120).await;
    world.nodes[0].kill();
    world.nodes[1].kill();
    let one_left: Vec<_> = chunks
        .iter()
        .filter(|chunk| {
            world.nodes[2..]
                .iter()
                .filter(|node| node.holds(chunk))
                .count()
                == 1
        })
        .copied()
        .collect();
    assert!(one_left.len() > 10, "{}", one_left.len());
    for node in &world.nodes {
        *node.0.fetch_time.lock().unwrap() = Duration::from_millis(100);
    }
    world
        .until("both are dead", |status| status.nodes.dead == 2)
        .await;
    let all_twice = || {
        let copies = |chunk: &ChunkId| {
            world.nodes[2..]
                .iter()
                .filter(|node| node.holds(chunk))
                .count()
        };
        one_left.iter().all(|chunk| copies(chunk) >= 2)
    };
    world
        .until_so("no chunk has just one copy", all_twice)
        .await;
    let fetched: usize = world
        .nodes
        .iter()
        .map(|node| node.disk().fetched.len())
        .sum();
    // Between them come some of those that nodes with nothing more urgent to give can give meanwhile.
    assert!(
        fetched <= one_left.len() * 3 / 2,
        "{fetched} for {}",
        one_left.len()
    );
    world
        .until("all is whole", |status| status.chunks.missing_copies == 0)
        .await;
}

/// Source and target die in the middle of repair: it goes on with others, and no half copy is counted.
#[tokio::test(start_paused = true)]
async fn repair_survives_the_death_of_nodes_that_take_part() {
    let mut world = World::new(config(), 6).await;
    let chunks = world.fill(100).await;
    for node in &world.nodes {
        *node.0.fetch_time.lock().unwrap() = Duration::from_millis(200);
    }
    world.nodes[0].kill();
    world
        .until("repair runs", |status| status.repair.running > 2)
        .await;
    world.nodes[1].kill();
    world.nodes[2].hang(true);
    world
        .until("three are dead", |status| status.nodes.dead == 3)
        .await;
    let took = world
        .until("all that can be is whole", |status| {
            status.chunks.missing_copies == status.chunks.unavailable
        })
        .await;
    assert!(
        took < Duration::from_secs(12),
        "{took:?}: no copy waits for a dead node"
    );
    let lost = world.status().await.chunks.unavailable;
    let really_lost = chunks
        .iter()
        .filter(|chunk| !world.nodes[3..].iter().any(|node| node.holds(chunk)));
    assert_eq!(lost, really_lost.count() as u64);

    world.nodes[2].hang(false);
    world.nodes[1].start().await;
    world
        .until("nothing is lost", |status| status.chunks.unavailable == 0)
        .await;
    let took = world
        .until_so("each has three copies and no more", || {
            chunks.iter().all(|chunk| {
                world.nodes[1..]
                    .iter()
                    .filter(|node| node.holds(chunk))
                    .count()
                    == 3
            })
        })
        .await;
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// A node was away so long that its chunks were copied elsewhere. When it is back there are too many copies: the
/// surplus goes, and never the last good ones.
#[tokio::test(start_paused = true)]
async fn surplus_goes_when_a_node_comes_back() {
    let mut world = World::new(config(), 4).await;
    let chunks = world.fill(60).await;
    world.lose_the_first_node(&chunks).await;
    world.nodes[0].start().await;
    world
        .until_so("there are three copies of each", || {
            let copies: Vec<_> = chunks.iter().map(|chunk| world.copies(chunk)).collect();
            assert!(copies.iter().all(|copies| *copies >= 3), "{copies:?}");
            copies.iter().all(|copies| *copies == 3)
        })
        .await;
    world
        .until("the cluster is green", |status| status.problems.is_empty())
        .await;
}

/// The nodes that shall keep copies have lost them without knowing: then none is surplus. Whichever node still has
/// them, its copies stay.
#[tokio::test(start_paused = true)]
async fn nothing_is_surplus_unless_the_other_copies_are_confirmed() {
    for intact in 1..4 {
        check_surplus_beside_lost_copies(intact).await;
    }
}

async fn check_surplus_beside_lost_copies(intact: usize) {
    let mut world = World::new(config(), 4).await;
    let chunks = world.fill(40).await;
    world.lose_the_first_node(&chunks).await;
    for node in (1..4).filter(|node| *node != intact) {
        world.nodes[node].disk().chunks.clear();
    }
    let good: Vec<_> = chunks.iter().map(|chunk| world.copies(chunk)).collect();
    assert!(
        good.contains(&2),
        "node 0 has it, and the one that is intact"
    );
    world.nodes[0].start().await;
    world
        .until_so("each has three good copies again", || {
            let now: Vec<_> = chunks.iter().map(|chunk| world.copies(chunk)).collect();
            let is_kept = good.iter().zip(&now).all(|(good, now)| now >= good);
            assert!(
                is_kept,
                "a good copy went for one that was not there: {now:?}"
            );
            now.iter().all(|copies| *copies == 3)
        })
        .await;
    world
        .until("the cluster is green", |status| status.problems.is_empty())
        .await;
}

/// All that should have a chunk but a dead node have lost it without knowing: that is found out when repair asks them,
/// and told, and mended when the node comes back.
#[tokio::test(start_paused = true)]
async fn sources_that_lost_a_chunk_are_found_out() {
    let mut config = config();
    config.inventory_interval = Duration::from_secs(3600);
    let mut world = World::new(config, 4).await;
    let chunks = world.fill(8).await;
    let holders: Vec<_> = (0..4)
        .filter(|node| world.nodes[*node].holds(&chunks[0]))
        .collect();
    world.nodes[holders[0]].kill();
    for node in &holders[1..] {
        world.nodes[*node].disk().chunks.remove(&chunks[0]);
    }
    let took = world
        .until("it is told", |status| status.chunks.unavailable == 1)
        .await;
    assert!(took < Duration::from_secs(20), "{took:?}");
    world.nodes[holders[0]].start().await;
    world
        .until_so("all are whole again", || {
            chunks.iter().all(|chunk| world.copies(chunk) == 3)
        })
        .await;
}

/// A limit on the rate holds over all nodes together.
#[tokio::test(start_paused = true)]
async fn repair_keeps_to_its_rate() {
    let mut config = config();
    config.repair_rate = Some(100);
    let mut world = World::new(config, 4).await;
    world.fill(100).await;
    world.nodes[0].kill();
    world
        .until("its chunks are missed", |status| {
            status.chunks.missing_copies > 50
        })
        .await;
    let missing = world.status().await.chunks.missing_copies;
    let took = world
        .until("all is whole", |status| status.chunks.missing_copies == 0)
        .await;
    let seconds = missing * 8 / 100;
    assert!(
        took >= Duration::from_secs(seconds - 2),
        "{took:?} for {missing} chunks"
    );
}

/// A node may be removed only when it is dead, and not with the last copy of something unless a person says so.
#[tokio::test(start_paused = true)]
async fn a_node_is_removed_when_nothing_is_lost_by_it() {
    let mut world = World::new(config(), 3).await;
    world.fill(20).await;
    let remove = |node: usize, lose_chunks| RemoveNode {
        node: world.nodes[node].0.id,
        lose_chunks,
    };
    let refused = refusal(world.call(remove(0, true)).await.unwrap_err());
    assert_eq!(refused.code, ErrorCode::PreconditionFailed, "{refused}");
    for node in &world.nodes {
        node.kill();
    }
    world
        .until("all are dead", |status| status.nodes.dead == 3)
        .await;
    let refused = refusal(world.call(remove(0, false)).await.unwrap_err());
    assert!(refused.message.contains("only copy"), "{refused}");

    // Two are back, and nobody knows yet whether their disks are.
    let _second = world.nodes[1].register().await.unwrap();
    let _third = world.nodes[2].register().await.unwrap();
    let refused = refusal(world.call(remove(0, false)).await.unwrap_err());
    assert!(refused.message.contains("not compared"), "{refused}");
    world
        .until("they are lost sight of", |status| status.nodes.suspect == 2)
        .await;
    let refused = refusal(world.call(remove(0, false)).await.unwrap_err());
    assert!(refused.message.contains("silent"), "{refused}");
    world
        .until("all are dead again", |status| status.nodes.dead == 3)
        .await;
    world.call(remove(0, true)).await.unwrap();
    assert_eq!(world.status().await.nodes.total, 2);
}

/// A node comes back with an empty disk, and hangs before its inventory was compared. Its recorded copies were taken for
/// proof, and uploads acknowledged that had one copy.
#[tokio::test(start_paused = true)]
async fn an_upload_counts_no_copy_of_a_node_that_was_not_compared_since_it_came() {
    let mut world = World::new(config(), 3).await;
    let chunks = some_chunks(1);
    let chunk = ChunkId::of(&chunks[0]);
    world.upload("/a", &chunks, 3).await.unwrap();
    world.nodes[1].kill();
    world.nodes[2].kill();
    world
        .until("two are away", |status| status.nodes.live == 1)
        .await;
    world.nodes[1].disk().chunks.clear();
    world.nodes[1].hang(true);
    world.nodes[1].start().await;
    world
        .until("one is back", |status| status.nodes.live == 2)
        .await;
    world.upload("/b", &chunks, 3).await.unwrap();
    assert!(world.nodes[1].holds(&chunk), "it was sent again");
}

/// A node signs for a chunk, loses the disk behind it, and comes back and is compared, all before the commit: nothing was on
/// record then that could have been missed.
#[tokio::test(start_paused = true)]
async fn a_receipt_of_a_node_that_came_anew_is_looked_into() {
    let mut world = World::new(config(), 4).await;
    let chunks = some_chunks(1);
    let chunk = ChunkId::of(&chunks[0]);
    let (upload, stored) = world.store(&chunks, 3).await.unwrap();
    let signed = world.nodes.iter().find(|node| node.holds(&chunk));
    let signed = signed.unwrap().clone();
    signed.kill();
    world
        .until("it is away", |status| status.nodes.live == 3)
        .await;
    signed.disk().chunks.clear();
    signed.start().await;
    world
        .until("it is back", |status| status.nodes.live == 4)
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.commit(upload, "/a", stored).await.unwrap();
    let took = world
        .until_so("it has three", || world.copies(&chunk) == 3)
        .await;
    assert!(
        took < Duration::from_secs(5),
        "{took:?}: not with the next inventory"
    );
}
