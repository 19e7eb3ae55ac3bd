//! A master's folder that is an old copy, or a copy that another master runs on: found out, said loudly, and nothing lost.

use std::time::Duration;

use proto::connection::{CallerIdentity, Connection};
use proto::hello::Role;
use proto::id::ChunkId;
use proto::master::ClusterStatus;
use proto::net::Tcp;
use proto::node::{ChunkState, DescribeChunks};

use crate::support::{Cluster, client_of, content, download, run};

const CHUNK: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(20);

fn is_stale(status: &ClusterStatus) -> bool {
    let mut codes = status.problems.iter().map(|problem| &problem.code);
    codes.any(|code| code == "stale_master") && !status.uploads_possible
}

/// A copy of the master's folder from yesterday is put back while the nodes run on. The master had not been started in
/// between, so that only what it did tells the two apart.
#[tokio::test]
async fn an_old_copy_of_the_masters_folder_is_refused_until_a_person_says_restored() {
    let mut cluster = Cluster::start().await;
    cluster.expect_in_log("old copy");
    let (before, after) = (content(1, 3 * CHUNK), content(2, 30 * CHUNK));
    cluster.upload("/before", &before).await;
    let copy = cluster.scratch().join("yesterday");
    cluster.master.copy_data_to(&copy);
    for file in 0..5 {
        cluster.upload(&format!("/after/{file}"), &after).await;
    }
    cluster.until_nodes_hear_of_it().await;
    assert_eq!(good_copies(&cluster, &after).await, 3 * 30);

    cluster.master().kill();
    cluster.master.put_back(&copy);
    cluster.master().start().await;
    cluster.until("the master says what it is", is_stale).await;
    assert!(cluster.master.log().contains("this master is superseded"));
    let refused = run(&mut cluster.dfs(&["safe-mode", "leave"])).await;
    assert!(refused.status.success(), "it is no use, but may be asked");
    cluster
        .client()
        .create_folder(&"/lost".parse().unwrap(), true)
        .await
        .unwrap_err();
    assert_eq!(
        download(&cluster.client(), "/before").await.unwrap(),
        before
    );

    cluster.master().kill();
    cluster.master().start_with("--restored").await;
    cluster
        .until("all nodes are back", |status| {
            status.nodes.live == 3 && status.uploads_possible
        })
        .await;
    cluster.upload("/new", &content(3, CHUNK)).await;
    assert_eq!(
        download(&cluster.client(), "/before").await.unwrap(),
        before
    );
    cluster.master().restart().await;
    cluster
        .until("all nodes are back after one more start", |status| {
            status.nodes.live == 3 && !is_stale(status)
        })
        .await;
    let kept = good_copies(&cluster, &after).await;
    assert_eq!(kept, 3 * 30, "no chunk was deleted");
}

/// Two masters run on copies of one folder. A node that asks the second one stays with the first.
#[tokio::test]
async fn the_second_of_two_masters_on_copies_is_fenced_and_says_why() {
    let mut cluster = Cluster::start().await;
    cluster.expect_in_log("two masters");
    cluster.expect_in_log("old copy");
    let bytes = content(1, 10 * CHUNK);
    cluster.master().kill();
    let copy = cluster.scratch().join("copy");
    cluster.master.copy_data_to(&copy);
    cluster.master().start().await;
    cluster.until_healthy().await;

    let second = cluster.second_master(&copy).await;
    cluster.prefer(3, &second);
    cluster.node(3).restart().await;
    cluster
        .until_of(&second, "it says that it is the second", is_stale)
        .await;
    assert!(second.log().contains("two masters run on copies"));
    cluster.until_healthy().await;
    cluster.upload("/a", &bytes).await;
    assert!(!cluster.master.log().contains("superseded"));
    let status = client_of(&second).status().await.unwrap();
    assert_eq!(status.nodes.live, 0, "nobody follows it");
}

/// How many good copies the nodes say that they hold of a content's chunks.
async fn good_copies(cluster: &Cluster, content: &[u8]) -> usize {
    let chunks: Vec<_> = content.chunks(CHUNK).map(ChunkId::of).collect();
    let caller = CallerIdentity {
        role: Role::Client,
        cluster: None,
        secret: None,
    };
    let mut copies = 0;
    for node in cluster.nodes() {
        let opened = Connection::open(&Tcp, &node.address(), &caller, PATIENCE).await;
        let describe = DescribeChunks {
            chunks: chunks.clone(),
        };
        let described = opened.unwrap().call(describe, PATIENCE).await.unwrap();
        let states = described.chunks.iter().map(|row| row.state);
        copies += states.filter(|state| *state == ChunkState::Good).count();
    }
    copies
}
