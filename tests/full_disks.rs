//! Real file systems that are full to the last byte: what works goes on, what does not says why, and when there is room
//! again everything recovers by itself.

use client::{DeleteOptions, Error, UploadOptions};
use proto::master::Health;
use proto::name::EntryPath;

use crate::support::panel::{file, until_state};
use crate::support::small_disk::SmallDisk;
use crate::support::{Cluster, Screen, browse, content, download, files_below};

const CHUNK: usize = 64 << 10;

fn purge() -> DeleteOptions {
    DeleteOptions {
        purge: true,
        ..DeleteOptions::default()
    }
}

fn path(name: &str) -> EntryPath {
    name.parse().unwrap()
}

/// Somebody else fills a node's disk: uploads go to the others, nothing half made stays, deletions reach the full disk
/// too, and when there is room again the missing copies are made.
#[tokio::test]
async fn a_full_node_is_left_out_and_comes_back() {
    let Some(disk) = SmallDisk::mount(96) else {
        return;
    };
    let mut cluster = Cluster::plan()
        .nodes(2)
        .set("garbage_grace", "\"1s\"")
        .start()
        .await;
    cluster.expect_in_log("the disk is full");
    let folder = disk.path().join("node");
    cluster.add_node_in(&folder).await;
    cluster.until_healthy().await;
    let (first, second) = (content(1, 100 * CHUNK), content(2, 50 * CHUNK));
    cluster.upload("/first", &first).await;
    cluster.until_healthy().await;
    disk.fill();
    let extents = files_below(&folder.join("extents")).len();
    let client = cluster.client();
    for round in 0..3 {
        let name = path(&format!("/second/{round}"));
        let uploaded = client.upload(&name, &second[..], UploadOptions::default());
        assert_eq!(uploaded.await.unwrap().copies, 2);
    }
    assert!(download(&client, "/first").await.unwrap() == first);
    let left = files_below(&folder.join("extents")).len();
    assert_eq!(left, extents, "something half made was left");
    client.delete(&path("/first"), purge()).await.unwrap();
    let full = cluster.nodes()[2].address();
    crate::support::until("the full node has deleted its copies", || async {
        let nodes = client.nodes(None, 10).await.unwrap().nodes;
        let node = nodes.iter().find(|node| node.address == full).unwrap();
        node.usage.chunks == 0
    })
    .await;
    disk.make_room();
    cluster
        .until("the copies are there again", |status| {
            status.health == Health::Green && status.chunks.missing_copies == 0
        })
        .await;
    cluster.node(1).kill();
    cluster.node(2).kill();
    assert!(download(&cluster.client(), "/second/0").await.unwrap() == second);
}

/// Somebody else fills the master's disk: reads work, what is new is refused with the reason, deletions work, and when
/// there is room again uploads go on.
#[tokio::test]
async fn a_full_master_reads_and_deletes() {
    let Some(disk) = SmallDisk::mount(160) else {
        return;
    };
    let mut cluster = Cluster::plan()
        .master_in(&disk.path().join("master"))
        .start()
        .await;
    let bytes = content(1, 20 * CHUNK);
    for name in ["/first", "/second", "/third"] {
        cluster.upload(name, &bytes).await;
    }
    let reserve = disk.path().join("master/reserve");
    crate::support::until("space is set aside for deletions", || async {
        std::fs::metadata(&reserve).is_ok_and(|file| file.len() == 16 << 20)
    })
    .await;
    disk.fill();
    cluster.master();
    let client = cluster.client();
    let refused = client
        .upload(
            &path("/new"),
            &content(3, CHUNK)[..],
            UploadOptions::default(),
        )
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused:?}");
    let refused = refused.to_string();
    assert!(refused.contains("master's disk"), "{refused}");
    assert!(download(&client, "/first").await.unwrap() == bytes);
    client.delete(&path("/second"), purge()).await.unwrap();
    client
        .delete(&path("/third"), DeleteOptions::default())
        .await
        .unwrap();
    assert!(download(&client, "/first").await.unwrap() == bytes);
    cluster.master().restart().await;
    assert!(
        download(&client, "/first").await.unwrap() == bytes,
        "after a restart"
    );
    let gone = client.entry(&path("/second")).await.unwrap_err();
    assert!(matches!(gone, Error::NotFound { .. }), "{gone:?}");
    disk.make_room();
    cluster.until_healthy().await;
    cluster.upload("/new", &bytes).await;
    assert!(download(&client, "/new").await.unwrap() == bytes);
}

/// The disks of two of three nodes are full: what is dropped onto the page is not stored, small or large, and the page says why and what
/// to do. When there is room again a click stores both.
#[tokio::test]
async fn a_full_cluster_says_so_on_the_page_and_stores_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(192) else {
        return;
    };
    let mut cluster = Cluster::plan().nodes(1).start().await;
    cluster.expect_in_log("the disk is full");
    cluster.expect_in_log("free space, or add nodes");
    for name in ["second", "third"] {
        cluster.add_node_in(&disk.path().join(name)).await;
    }
    cluster.until_healthy().await;
    let (small, large) = (content(1, 5000), content(2, 30 * CHUNK));
    let files = [
        file(&cluster, "small", &small),
        file(&cluster, "large", &large),
    ];
    disk.fill();
    // What the nodes still take of their own is soon over.
    let client = cluster.client();
    let (more, bytes) = (path("/more"), content(3, 16 * CHUNK));
    crate::support::until("the cluster takes nothing more", || async {
        let uploaded = client.upload(&more, &bytes[..], UploadOptions::default());
        uploaded.await.is_err()
    })
    .await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        let files: Vec<_> = files.iter().map(std::path::PathBuf::as_path).collect();
        page.choose("#file-input", &files).await;
        until_state(page, "failed", 2).await;
        let told = page.text("#uploads").await;
        let reason = "a write needs 2: free space, or add nodes.";
        assert_eq!(told.matches(reason).count(), 2, "{told}");
        for name in ["small", "large"] {
            assert!(client.entry(&path(&format!("/{name}"))).await.is_err());
        }
        disk.make_room();
        cluster.until_healthy().await;
        page.click("#uploads .upload button[aria-label^='Retry']")
            .await;
        page.click("#uploads .upload[data-state=failed] button[aria-label^='Retry']")
            .await;
        until_state(page, "done", 2).await;
    })
    .await;
    assert!(download(&client, "/small").await.unwrap() == small);
    assert!(download(&client, "/large").await.unwrap() == large);
}
