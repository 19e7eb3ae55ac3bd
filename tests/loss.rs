//! Machines fail: what was acknowledged is read at once from whoever is left, and becomes whole again by itself.

use std::time::Duration;

use client::{Error, UploadOptions};
use proto::connection::{CallerIdentity, Channel};
use proto::hello::Role;
use proto::id::ChunkId;
use proto::master::Health;
use proto::name::EntryPath;
use proto::net::{Address, Tcp};
use proto::node::{ChunkState, VerifyChunk};
use tokio::time::Instant;

use crate::support::{Cluster, content, download, until};

const CHUNK: usize = 64 << 10;

/// Two of three nodes die: every file is read at once, without waiting for a timeout.
#[tokio::test]
async fn with_two_of_three_nodes_dead_everything_is_read() {
    let mut cluster = Cluster::plan()
        .set("failure_timeout", "\"60s\"")
        .start()
        .await;
    let bytes = content(1, 30 * CHUNK + 7);
    cluster.upload("/film", &bytes).await;
    cluster.node(1).kill();
    cluster.node(3).kill();
    let begun = Instant::now();
    assert!(download(&cluster.client(), "/film").await.unwrap() == bytes);
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "it waited for the failure timeout"
    );
}

/// One of three nodes is dead: uploads work, say that copies are missing, and the copies come with the node.
#[tokio::test]
async fn with_one_node_dead_uploads_work_and_become_whole_when_it_returns() {
    let mut cluster = Cluster::start().await;
    let before = content(2, 2 * CHUNK);
    cluster.upload("/before", &before).await;
    cluster.node(2).kill();
    let bytes = content(1, 10 * CHUNK);
    let path: EntryPath = "/a".parse().unwrap();
    let client = cluster.client();
    let uploaded = client
        .upload(&path, &bytes[..], UploadOptions::default())
        .await
        .unwrap();
    assert_eq!((uploaded.copies, uploaded.copies_wanted), (2, 3));
    let again: EntryPath = "/before-again".parse().unwrap();
    let stored_before = client
        .upload(&again, &before[..], UploadOptions::default())
        .await
        .unwrap();
    assert_eq!(stored_before.copies, 2, "the third is on the dead node");
    cluster
        .until("it says that copies are missing", |status| {
            status.health == Health::Yellow && status.chunks.missing_copies == 12
        })
        .await;
    cluster.node(2).start().await;
    cluster.until_healthy().await;
    cluster.node(1).kill();
    cluster.node(3).kill();
    assert!(download(&cluster.client(), "/a").await.unwrap() == bytes);
}

/// A node is lost for good: another one that joins takes its place.
#[tokio::test]
async fn a_node_that_joins_takes_the_place_of_a_lost_one() {
    let mut cluster = Cluster::start().await;
    let bytes = content(1, 20 * CHUNK);
    cluster.upload("/a", &bytes).await;
    cluster.node(1).wipe();
    cluster.add_node().await;
    cluster
        .until("the lost node is dead", |status| status.nodes.dead == 1)
        .await;
    // In the first moment nobody has counted yet what is missing with it.
    let (client, new) = (cluster.client(), cluster.node(4).address());
    until("the new node has a copy of each chunk", || async {
        let listed = client.nodes(None, 10).await.unwrap();
        let mut nodes = listed.nodes.iter();
        nodes.any(|node| node.address == new && node.chunks == 20)
    })
    .await;
    cluster.node(2).kill();
    cluster.node(3).kill();
    assert!(download(&cluster.client(), "/a").await.unwrap() == bytes);
}

/// Two nodes of five are lost for good at once, and with them two of three copies of some chunks: all is read meanwhile, and there
/// are three copies of all again without anybody doing anything.
#[tokio::test]
async fn two_nodes_that_are_lost_at_once_are_made_up_for() {
    let mut cluster = Cluster::plan().nodes(5).start().await;
    let bytes = content(1, 60 * CHUNK);
    cluster.upload("/a", &bytes).await;
    cluster.node(1).wipe();
    cluster.node(2).wipe();
    assert!(download(&cluster.client(), "/a").await.unwrap() == bytes);
    cluster
        .until("both are dead", |status| status.nodes.dead == 2)
        .await;
    let (client, lost) = (cluster.client(), [1, 2]);
    let lost = lost.map(|number: usize| cluster.nodes()[number - 1].address());
    until("those that are left have three copies of all", || async {
        let nodes = client.nodes(None, 10).await.unwrap().nodes;
        let left = nodes.iter().filter(|node| !lost.contains(&node.address));
        left.map(|node| node.chunks).sum::<u64>() == 3 * 60
    })
    .await;
    cluster.node(3).kill();
    cluster.node(4).kill();
    assert!(download(&cluster.client(), "/a").await.unwrap() == bytes);
}

/// With two of three nodes dead nothing is acknowledged, and the reason is said.
#[tokio::test]
async fn what_cannot_be_stored_twice_is_refused() {
    let mut cluster = Cluster::start().await;
    cluster.node(1).kill();
    cluster.node(2).kill();
    let path: EntryPath = "/a".parse().unwrap();
    let error = cluster
        .client()
        .upload(&path, &b"abc"[..], UploadOptions::default())
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::NotEnoughReplicas { .. }),
        "{error:?}"
    );
    assert!(matches!(
        cluster.client().entry(&path).await,
        Err(Error::NotFound { .. })
    ));
}

/// A node dies in the middle of an upload: the upload goes on without it.
#[tokio::test]
async fn an_upload_survives_the_death_of_a_node() {
    let mut cluster = Cluster::plan().nodes(4).start().await;
    let bytes = content(1, 200 * CHUNK);
    let (mut writer, reader) = tokio::io::duplex(CHUNK);
    let client = cluster.client();
    let path: EntryPath = "/film".parse().unwrap();
    let upload = async move { client.upload(&path, reader, UploadOptions::default()).await };
    let feed = async {
        let (first, second) = bytes.split_at(100 * CHUNK);
        tokio::io::AsyncWriteExt::write_all(&mut writer, first)
            .await
            .unwrap();
        cluster.node(2).kill();
        tokio::io::AsyncWriteExt::write_all(&mut writer, second)
            .await
            .unwrap();
        drop(writer);
    };
    let (uploaded, ()) = tokio::join!(upload, feed);
    uploaded.unwrap();
    assert!(download(&cluster.client(), "/film").await.unwrap() == bytes);
}

/// Every process dies at once: what was acknowledged is there when they come back.
#[tokio::test]
async fn nothing_acknowledged_is_lost_when_everything_dies() {
    let mut cluster = Cluster::start().await;
    for round in 0..3 {
        let bytes = content(round, 5 * CHUNK);
        cluster.upload(&format!("/round/{round}"), &bytes).await;
        cluster.kill_all();
        cluster.restart_all().await;
        for earlier in 0..=round {
            let read = download(&cluster.client(), &format!("/round/{earlier}"))
                .await
                .unwrap();
            assert!(
                read == content(earlier, 5 * CHUNK),
                "{earlier} after round {round}"
            );
        }
    }
    cluster.until_healthy().await;
}

/// Copies rot on two of three nodes: wrong bytes are never delivered, and the copies are made anew.
#[tokio::test]
async fn rotten_copies_are_neither_delivered_nor_kept() {
    let mut cluster = Cluster::start().await;
    cluster.expect_in_log("corrupt");
    let bytes = content(1, 3 * CHUNK);
    cluster.upload("/a", &bytes).await;
    for node in 1..=2 {
        assert_eq!(cluster.node(node).corrupt(&bytes[CHUNK..2 * CHUNK]), 1);
    }
    for _ in 0..6 {
        assert!(download(&cluster.client(), "/a").await.unwrap() == bytes);
    }
    let chunk = ChunkId::of(&bytes[CHUNK..2 * CHUNK]);
    crate::support::until("every node holds a good copy again", || async {
        let mut good = 0;
        for node in cluster.nodes() {
            good += usize::from(verify(&node.address(), chunk).await == ChunkState::Good);
        }
        good == 3
    })
    .await;
    cluster.until_healthy().await;
    cluster.node(3).kill();
    assert!(download(&cluster.client(), "/a").await.unwrap() == bytes);
}

/// Has a node read a chunk and say how it is.
async fn verify(node: &Address, chunk: ChunkId) -> ChunkState {
    let identity = CallerIdentity {
        role: Role::Client,
        cluster: None,
        secret: None,
    };
    let patience = Duration::from_secs(10);
    let channel = Channel::open(&Tcp, node, &identity, patience).await;
    let verified = channel.unwrap().exchange(VerifyChunk { chunk }).await;
    verified.unwrap().state
}

/// All copies rot: the read fails honestly, and other files are unharmed.
#[tokio::test]
async fn when_all_copies_are_rotten_the_read_fails_honestly() {
    let mut cluster = Cluster::start().await;
    cluster.expect_in_log("corrupt");
    cluster.expect_in_log("lost");
    let (bytes, others) = (content(1, 2 * CHUNK), content(2, 2 * CHUNK));
    cluster.upload("/a", &bytes).await;
    cluster.upload("/b", &others).await;
    for node in 1..=3 {
        assert_eq!(cluster.node(node).corrupt(&bytes[CHUNK..]), 1);
    }
    let error = download(&cluster.client(), "/a").await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert!(download(&cluster.client(), "/b").await.unwrap() == others);
    cluster
        .until("the loss is known", |status| status.chunks.unavailable == 1)
        .await;
    let error = download(&cluster.client(), "/a").await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    let explained = cluster.dfs(&["explain", "/"]).output().await.unwrap();
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert_eq!(
        explained,
        "/a: 1 of 2 chunks cannot be read now\n1 of 2 files with fewer than 3 copies; 1 of them cannot be read whole now\n"
    );
}

/// A node stands still without dying: reads and writes go on.
#[cfg(unix)]
#[tokio::test]
async fn a_frozen_node_stalls_nobody_for_long() {
    let mut cluster = Cluster::start().await;
    let bytes = content(1, 20 * CHUNK);
    cluster.upload("/a", &bytes).await;
    cluster.node(1).freeze();
    let read = download(&cluster.client(), "/a").await;
    let path: EntryPath = "/b".parse().unwrap();
    let uploaded = cluster
        .client()
        .upload(&path, &bytes[..], UploadOptions::default())
        .await;
    cluster.node(1).thaw();
    assert!(read.unwrap() == bytes);
    assert!(uploaded.unwrap().copies >= 2);
    cluster.until_healthy().await;
}

/// The master dies and comes back: nodes and clients find it again, and uploads in between go on.
#[tokio::test]
async fn an_upload_survives_the_masters_restart() {
    let mut cluster = Cluster::start().await;
    let bytes = content(1, 200 * CHUNK);
    let (mut writer, reader) = tokio::io::duplex(CHUNK);
    let client = cluster.client();
    let path: EntryPath = "/film".parse().unwrap();
    let upload = async move { client.upload(&path, reader, UploadOptions::default()).await };
    let feed = async {
        let (first, second) = bytes.split_at(100 * CHUNK);
        tokio::io::AsyncWriteExt::write_all(&mut writer, first)
            .await
            .unwrap();
        cluster.master().restart().await;
        tokio::io::AsyncWriteExt::write_all(&mut writer, second)
            .await
            .unwrap();
        drop(writer);
    };
    let (uploaded, ()) = tokio::join!(upload, feed);
    uploaded.unwrap();
    assert!(download(&cluster.client(), "/film").await.unwrap() == bytes);
    cluster.until_healthy().await;
}
