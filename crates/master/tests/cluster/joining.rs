//! Who may join, and what a node's coming and going means.

use std::time::Duration;

use proto::ErrorCode;
use proto::master::{Health, ListNodes, NodeState};

use crate::node::Node;
use crate::world::{World, config, refusal, some_chunks};

impl World {
    /// Adds a node while others are dead.
    pub(crate) async fn add_node_after_death(&mut self) -> Node {
        let address = "127.0.0.1:9000".parse().unwrap();
        let number = u16::try_from(self.nodes.len()).unwrap() + 1;
        let node = Node::new(&self.network, &address, number, "");
        node.start().await;
        self.nodes.push(node.clone());
        node
    }
}

/// A copied disk is started beside the first: it is refused, and does not count as a second node.
#[tokio::test(start_paused = true)]
async fn two_nodes_with_one_id_are_not_two() {
    let world = World::new(config(), 3).await;
    let address = "127.0.0.1:9000".parse().unwrap();
    let clone = Node::new(&world.network, &address, 1, "");
    let refused = refusal(clone.register().await.unwrap_err());
    assert_eq!(refused.code, ErrorCode::DuplicateNode, "{refused}");
    assert_eq!(world.status().await.nodes.total, 3);
}

/// A node whose disk was emptied comes back under its old address with a new id: the old one is dead at once, and
/// the new one is filled.
#[tokio::test(start_paused = true)]
async fn an_emptied_node_comes_back_as_a_new_one() {
    let mut world = World::new(config(), 3).await;
    let chunks = world.fill(50).await;
    world.nodes[0].kill();
    world
        .until("it is suspect", |status| status.nodes.suspect == 1)
        .await;
    let address = "127.0.0.1:9000".parse().unwrap();
    let mut emptied = Node::new(&world.network, &address, 77, "");
    let inner = std::sync::Arc::get_mut(&mut emptied.0).unwrap();
    inner.address = world.nodes[0].0.address.clone();
    emptied.start().await;
    let took = world
        .until_so("it holds all", || {
            emptied.disk().chunks.len() == chunks.len()
        })
        .await;
    assert!(
        took < Duration::from_secs(4),
        "{took:?}: before the failure timeout"
    );
    assert_eq!(world.status().await.nodes.dead, 1);
}

/// A hung node keeps its connections: it is late, then dead, and live again when it goes on.
#[tokio::test(start_paused = true)]
async fn a_hung_node_dies_and_comes_back() {
    let mut world = World::new(config(), 4).await;
    world.fill(40).await;
    world.nodes[0].hang(true);
    world
        .until("it is suspect", |status| status.nodes.suspect == 1)
        .await;
    world
        .upload("/meanwhile", &some_chunks(1), 3)
        .await
        .unwrap();
    world
        .until("it is dead", |status| status.nodes.dead == 1)
        .await;
    world.nodes[0].hang(false);
    world
        .until("it is live", |status| status.nodes.live == 4)
        .await;
    let took = world
        .until("all is green", |status| status.health == Health::Green)
        .await;
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// Nodes come and go all the time: in the end every chunk has its copies.
#[tokio::test(start_paused = true)]
async fn flapping_nodes_lose_nothing() {
    let mut world = World::new(config(), 4).await;
    let chunks = world.fill(60).await;
    for round in 0..12 {
        let node = world.nodes[round % 4].clone();
        node.kill();
        let away = Duration::from_millis(1500 * (1 + round as u64 % 5));
        tokio::time::sleep(away).await;
        node.start().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(chunks.iter().all(|chunk| world.copies(chunk) >= 3));
    }
    world
        .until("all is green", |status| status.health == Health::Green)
        .await;
    world.until_three_copies(&chunks).await;
}

/// Copies go to distinct zones, and nodes are listed with what is recorded of them.
#[tokio::test(start_paused = true)]
async fn copies_go_to_distinct_zones() {
    let mut world = World::new(config(), 0).await;
    for zone in ["cellar", "cellar", "hall", "attic"] {
        world.add_node(zone).await;
    }
    let chunks = world.fill(40).await;
    for chunk in &chunks {
        assert!(world.nodes[2].holds(chunk) && world.nodes[3].holds(chunk));
    }
    let list = ListNodes {
        after: None,
        limit: 3,
    };
    let page = world.call(list).await.unwrap();
    assert!(page.more);
    assert_eq!(page.nodes[2].zone, "hall");
    assert_eq!(page.nodes[2].chunks, 40);
    assert_eq!(page.nodes[2].state, NodeState::Live);
}
