//! Bad days at the start: one sentence that says what happened and what to do, an exit code that is not 0, and
//! nothing lost.

use std::path::Path;
use std::process::Output;

use crate::support::{Cluster, content, download, program, run, taken_address, until};

fn check(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    assert!(
        !said.contains("panicked") && !said.contains("RUST_BACKTRACE"),
        "{said}"
    );
}

async fn start(name: &str, folder: &Path, arguments: &[&str]) -> Output {
    run(program(name).current_dir(folder).args(arguments)).await
}

/// A port that somebody else has is named, by every server.
#[tokio::test]
async fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (_listener, address) = taken_address();
    let port = address.port().to_string();
    let address = address.as_str();
    let servers: [(&str, &[&str]); 3] = [
        ("dfs-master", &["--listen", address, "--data", "m"]),
        ("dfs-storage-node", &["127.0.0.1", &port, "n"]),
        ("dfs-web", &["--listen", address]),
    ];
    for (server, arguments) in servers {
        let output = start(server, folder.path(), arguments).await;
        check(&output, 1, &[&port, "in use"]);
    }
}

/// Two processes never share a data folder.
#[tokio::test]
async fn a_data_folder_in_use_is_refused() {
    let cluster = Cluster::start().await;
    let master = cluster.scratch().parent().unwrap().join("master");
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--data",
        master.to_str().unwrap(),
    ];
    check(
        &start("dfs-master", &cluster.scratch(), &arguments).await,
        1,
        &["already uses", "master"],
    );
    let node = cluster.nodes()[0].data();
    let output = start(
        "dfs-storage-node",
        &cluster.scratch(),
        &["127.0.0.1", "0", node.to_str().unwrap()],
    )
    .await;
    check(&output, 1, &["in use", "node1"]);
}

/// A node's folder is copied, and a second node started on the copy: it is refused, and is no other copy of anything.
#[tokio::test]
async fn the_second_of_two_nodes_on_copies_of_a_folder_is_refused() {
    let mut cluster = Cluster::start().await;
    cluster.expect_in_log("two processes have the same node.json");
    let bytes = content(1, 3 * (64 << 10));
    cluster.upload("/a", &bytes).await;
    let copy = cluster.scratch().join("copy");
    cluster.nodes()[0].copy_data_to(&copy);
    cluster.add_node_in(&copy).await;
    until("the second says why", || async {
        cluster.nodes()[3].log().contains("same node.json")
    })
    .await;
    let nodes = cluster.client().nodes(None, 10).await.unwrap().nodes;
    assert_eq!(nodes.len(), 3);
    let first = cluster.nodes()[0].address();
    assert!(nodes.iter().any(|node| node.address == first));
    cluster.node(1).kill();
    cluster
        .until("the second takes the first one's place", |status| {
            status.nodes.live == 3
        })
        .await;
    assert!(download(&cluster.client(), "/a").await.unwrap() == bytes);
}

/// A folder with somebody's files is not touched.
#[tokio::test]
async fn a_foreign_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.doc"), "years of work").unwrap();
    let data = folder.path().to_str().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    check(
        &start(
            "dfs-master",
            elsewhere.path(),
            &["--listen", "127.0.0.1:0", "--data", data],
        )
        .await,
        1,
        &[data],
    );
    check(
        &start(
            "dfs-storage-node",
            elsewhere.path(),
            &["127.0.0.1", "0", data],
        )
        .await,
        1,
        &[data],
    );
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing was added"
    );
}

/// A mistake in the configuration is shown with its line and key.
#[tokio::test]
async fn a_mistake_in_the_configuration_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("[cluster]\nchunk_sise = \"1MiB\"\n", "chunk_sise"),
        ("[cluster]\nchunk_size = \"huge\"\n", "chunk_size"),
        ("[cluster\n", "line 1"),
        ("[cluster]\nmin_write_replicas = 5\n", "min_write_replicas"),
    ];
    for (text, word) in cases {
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        for server in ["dfs-master", "dfs-web"] {
            let output = start(server, folder.path(), &["--config", "config.toml"]).await;
            check(&output, 2, &["config.toml", word]);
        }
    }
    check(
        &start("dfs-web", folder.path(), &["--config", "nowhere.toml"]).await,
        2,
        &["nowhere.toml"],
    );
}

/// Without a secret nobody listens to other machines.
#[tokio::test]
async fn an_exposed_address_needs_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let output = start(
        "dfs-master",
        folder.path(),
        &["--listen", "0.0.0.0:0", "--data", "m"],
    )
    .await;
    check(&output, 2, &["0.0.0.0:0", "secret"]);
}

/// A node of one cluster that comes to another is refused, and deletes nothing.
#[tokio::test]
async fn a_node_of_another_cluster_is_refused() {
    let mut one = Cluster::start().await;
    let mut other = Cluster::plan().nodes(0).start().await;
    other.expect_in_log("refused a node");
    let bytes = content(1, 100_000);
    one.upload("/a", &bytes).await;
    one.node(1).kill();
    let data = one.nodes()[0].data();
    let arguments = [
        "127.0.0.1",
        "0",
        data.to_str().unwrap(),
        "--master",
        other.master.address().as_str(),
    ]
    .map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut stray = program("dfs-storage-node");
    let stray = stray
        .current_dir(one.scratch())
        .args(&arguments)
        .kill_on_drop(true);
    let outcome = tokio::time::timeout(std::time::Duration::from_secs(20), stray.output()).await;
    let output = outcome.expect("it gives up").unwrap();
    check(&output, 1, &["cluster"]);
    one.node(1).start().await;
    one.node(2).kill();
    one.node(3).kill();
    assert!(download(&one.client(), "/a").await.unwrap() == bytes);
}
