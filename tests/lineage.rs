//! A master's folder that is an old copy, or a copy that another master runs on: found out, said loudly, and nothing lost.

use proto::master::ClusterStatus;

use crate::support::{Cluster, client_of, content, download, files_below, run};

const CHUNK: usize = 64 << 10;

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
    let held = bytes_held(&cluster);

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
    cluster.upload("/new", &after).await;
    assert_eq!(
        download(&cluster.client(), "/before").await.unwrap(),
        before
    );
    assert!(bytes_held(&cluster) >= held, "something was deleted");
    cluster.master().restart().await;
    cluster
        .until("all nodes are back after one more start", |status| {
            status.nodes.live == 3 && !is_stale(status)
        })
        .await;
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

fn bytes_held(cluster: &Cluster) -> u64 {
    let extents = cluster
        .nodes()
        .iter()
        .map(|node| node.data().join("extents"));
    let files = extents.flat_map(|folder| files_below(&folder));
    files.map(|file| file.metadata().unwrap().len()).sum()
}
