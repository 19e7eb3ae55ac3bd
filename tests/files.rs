//! Files in, the same files out: every size that could matter, and what people do with names.

use client::{DeleteOptions, Error, UploadOptions};
use proto::master::{Entry, Precondition};
use proto::name::EntryPath;

use crate::support::{Cluster, collect, content, download};

const CHUNK: usize = 64 << 10;

fn path(text: &str) -> EntryPath {
    text.parse().unwrap()
}

/// A file comes back bit for bit, in whole and in part, whatever its size.
#[tokio::test]
async fn files_of_every_size_come_back() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    let sizes = [
        (0, "no chunk at all"),
        (1, "the smallest chunk"),
        (CHUNK - 1, "just under one chunk"),
        (CHUNK, "exactly one"),
        (CHUNK + 1, "one and a byte"),
        (3 * CHUNK, "several, the last one full"),
        (520 * CHUNK + 5, "more chunks than fit into one block"),
    ];
    for (size, why) in sizes {
        let bytes = content(size as u64, size);
        cluster.upload("/sizes/file", &bytes).await;
        assert!(
            download(&client, "/sizes/file").await.unwrap() == bytes,
            "{size}: {why}"
        );
        let file = client.open(&path("/sizes/file"), None).await.unwrap();
        let (from, to) = (size / 3, size / 3 + size / 2);
        let part = collect(file.read(from as u64..to as u64)).await.unwrap();
        assert!(part == bytes[from..to], "{from}..{to} of {size}: {why}");
    }
}

/// Equal content is stored once, and stays while one of its names does.
#[tokio::test]
async fn equal_files_share_their_chunks() {
    let cluster = Cluster::start().await;
    let bytes = content(1, 5 * CHUNK);
    cluster.upload("/one", &bytes).await;
    cluster.upload("/two", &bytes).await;
    let client = cluster.client();
    assert_eq!(client.status().await.unwrap().chunks.total, 5);
    let purge = DeleteOptions {
        purge: true,
        ..DeleteOptions::default()
    };
    client.delete(&path("/one"), purge).await.unwrap();
    assert_eq!(download(&client, "/two").await.unwrap(), bytes);
}

/// A new version takes the name at once; whoever reads the old one reads it to its end.
#[tokio::test]
async fn an_overwrite_does_not_disturb_readers() {
    let cluster = Cluster::start().await;
    let (old, new) = (content(1, 20 * CHUNK), content(2, 3 * CHUNK));
    cluster.upload("/a", &old).await;
    let client = cluster.client();
    let reading = client.open(&path("/a"), None).await.unwrap();
    cluster.upload("/a", &new).await;
    assert!(collect(reading.read(0..old.len() as u64)).await.unwrap() == old);
    assert!(download(&client, "/a").await.unwrap() == new);
}

/// Of two who write with the same precondition, one succeeds.
#[tokio::test]
async fn a_precondition_is_met_once() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    let absent = || UploadOptions {
        precondition: Precondition::Absent,
        ..UploadOptions::default()
    };
    let (one, two) = (content(1, 100), content(2, 100));
    let name = path("/a");
    let (first, second) = tokio::join!(
        client.upload(&name, &one[..], absent()),
        client.upload(&name, &two[..], absent())
    );
    let refused = [first.err(), second.err()];
    assert_eq!(refused.iter().flatten().count(), 1, "{refused:?}");
    assert!(matches!(
        refused.iter().flatten().next(),
        Some(Error::PreconditionFailed { .. })
    ));
}

/// Folders are made, listed in pages, moved with all that is in them, and deleted.
#[tokio::test]
async fn folders_hold_and_move_their_entries() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    for number in 0..25 {
        cluster
            .upload(
                &format!("/photos/2024/{number:02}.jpg"),
                &content(number, 10),
            )
            .await;
    }
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = client.list(&path("/photos/2024"), after, 10).await.unwrap();
        for entry in &page.entries {
            let Entry::File { name, size: 10, .. } = entry else {
                panic!("{entry:?}")
            };
            names.push(name.clone());
        }
        after = names.last().cloned();
        if !page.more {
            break;
        }
    }
    assert_eq!(names.len(), 25);
    client
        .move_entry(&path("/photos"), &path("/pictures"), false)
        .await
        .unwrap();
    assert_eq!(
        download(&client, "/pictures/2024/07.jpg").await.unwrap(),
        content(7, 10)
    );
    let gone = client.entry(&path("/photos")).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    let into_itself = client
        .move_entry(&path("/pictures"), &path("/pictures/2024/x"), false)
        .await;
    assert!(
        matches!(into_itself, Err(Error::InvalidArgument { .. })),
        "{into_itself:?}"
    );
    let not_empty = client
        .delete(&path("/pictures"), DeleteOptions::default())
        .await;
    assert!(
        matches!(not_empty, Err(Error::FolderNotEmpty { .. })),
        "{not_empty:?}"
    );
    let recursive = DeleteOptions {
        recursive: true,
        ..DeleteOptions::default()
    };
    let trashed = client
        .delete(&path("/pictures"), recursive)
        .await
        .unwrap()
        .unwrap();
    client.restore(trashed, None).await.unwrap();
    assert_eq!(
        download(&client, "/pictures/2024/07.jpg").await.unwrap(),
        content(7, 10)
    );
}

/// What is purged gives its space back, on every node.
#[tokio::test]
async fn purged_files_leave_nothing_behind() {
    let plan = Cluster::plan().set("garbage_grace", "\"100ms\"");
    let cluster = plan.start().await;
    cluster.upload("/keep", &content(1, 3 * CHUNK)).await;
    cluster
        .upload("/gone/deep/file", &content(2, 40 * CHUNK))
        .await;
    let client = cluster.client();
    let purge = DeleteOptions {
        recursive: true,
        purge: true,
        ..DeleteOptions::default()
    };
    client.delete(&path("/gone"), purge).await.unwrap();
    crate::support::until("only three chunks are left on every node", || async {
        let nodes = client.nodes(None, 10).await.unwrap().nodes;
        nodes
            .iter()
            .all(|node| node.chunks == 3 && node.usage.chunks == 3)
    })
    .await;
    assert_eq!(
        download(&client, "/keep").await.unwrap(),
        content(1, 3 * CHUNK)
    );
}

/// An upload that ends in the middle leaves no name, and its chunks are collected.
#[tokio::test]
async fn an_upload_cut_off_leaves_nothing() {
    let plan = Cluster::plan().set("garbage_grace", "\"100ms\"");
    let cluster = plan.start().await;
    let client = cluster.client();
    let broken = breaks_behind(content(1, 30 * CHUNK));
    let error = client
        .upload(&path("/a"), broken, UploadOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Read(_)), "{error}");
    assert!(matches!(
        client.entry(&path("/a")).await,
        Err(Error::NotFound { .. })
    ));
    crate::support::until("no chunk is left on any node", || async {
        let nodes = client.nodes(None, 10).await.unwrap().nodes;
        nodes.iter().all(|node| node.usage.chunks == 0)
    })
    .await;
}

/// Gives these bytes, and then an error instead of an end.
fn breaks_behind(bytes: Vec<u8>) -> impl tokio::io::AsyncRead + Send + Unpin {
    let (mut writer, reader) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut writer, &bytes)
            .await
            .ok();
    });
    tokio::io::AsyncReadExt::chain(reader, Broken)
}

struct Broken;

impl tokio::io::AsyncRead for Broken {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Err(std::io::Error::other("the cable was pulled")))
    }
}
