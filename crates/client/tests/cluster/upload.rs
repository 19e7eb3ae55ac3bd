//! Uploads while nothing is wrong: sizes, equal chunks, bounds, and what a caller can do wrong.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::{Error, UploadOptions};
use proto::master::Precondition;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

use crate::node::Mood;
use crate::support::{TestCluster, Watched, content, name, options};

const CHUNK: u32 = 1000;

async fn check_round_trip(chunk_size: u32, len: usize) {
    let cluster = TestCluster::start(3, chunk_size).await;
    let bytes = content(len);
    let uploaded = cluster.upload("/a/file.bin", &bytes).await.unwrap();
    assert_eq!((uploaded.size, uploaded.copies), (len as u64, 3), "{len}");
    assert!(uploaded.created);
    assert!(
        cluster.download("/a/file.bin").await.unwrap() == bytes,
        "{len}"
    );

    // The same again: a new version, and nothing is sent.
    let puts = cluster.puts();
    let again = cluster.upload("/a/file.bin", &bytes).await.unwrap();
    assert!(again.version > uploaded.version && !again.created);
    assert_eq!(cluster.puts(), puts);
    cluster.client.settle().await;
    assert!(cluster.master().lock().uploads.is_empty(), "{len}");
}

#[tokio::test(start_paused = true)]
async fn files_of_every_size_come_back() {
    for (len, _reason) in [
        (0, "no chunk at all"),
        (1, "the shortest chunk"),
        (999, "just below a chunk"),
        (1000, "exactly a chunk: the reader's end comes alone"),
        (1001, "a second chunk of one byte"),
        (3000, "several chunks"),
        (20_500, "more chunks than are in flight at once"),
    ] {
        check_round_trip(CHUNK, len).await;
    }
}

#[tokio::test(start_paused = true)]
async fn files_of_many_chunks_come_back() {
    for (chunks, _reason) in [
        (511, "all of it goes with the commit"),
        (512, "a full block, and nothing for the commit"),
        (513, "a block and a chunk"),
        (1025, "two blocks and a chunk"),
        (1600, "more blocks than may be pending"),
    ] {
        check_round_trip(8, chunks * 8).await;
    }
    check_round_trip(8, 513 * 8 - 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_small_file_takes_two_calls_to_the_master_and_one_to_each_node() {
    let cluster = TestCluster::start(3, CHUNK).await;
    cluster.upload("/a", b"first").await.unwrap();
    let calls = cluster.master().lock().calls.clone();
    let expected = [
        ("get_status", 1),
        ("allocate_chunks", 1),
        ("commit_upload", 1),
    ];
    assert_eq!(calls, expected.into());
    assert!(cluster.nodes().all(|node| node.puts() == 1));
}

#[tokio::test(start_paused = true)]
async fn equal_chunks_are_sent_once() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let zeros = vec![0; 1300 * CHUNK as usize];
    cluster.upload("/zeros", &zeros).await.unwrap();
    assert!(cluster.nodes().all(|node| node.puts() == 1));
    assert!(cluster.download("/zeros").await.unwrap() == zeros);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_by_the_chunks_in_flight() {
    let cluster = TestCluster::start(3, CHUNK).await;
    cluster.nodes().for_each(|node| node.become_(Mood::Hung));
    let bytes = content(100_000);
    let reader = Watched::new(&bytes[..]);
    let read = reader.counter();
    let path = name("/a");
    let upload = cluster
        .client
        .upload(&path, reader, UploadOptions::default());
    tokio::pin!(upload);
    tokio::select! {
        _ = &mut upload => panic!("no node answers"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    let in_flight = options().chunks_in_flight as u64;
    assert_eq!(read.load(Ordering::Relaxed), in_flight * u64::from(CHUNK));
    cluster.nodes().for_each(|node| node.become_(Mood::Good));
    assert_eq!(upload.await.unwrap().copies, 3);
}

#[tokio::test(start_paused = true)]
async fn progress_counts_up_to_the_size() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let last = Arc::new(AtomicU64::new(0));
    let seen = last.clone();
    let options = UploadOptions {
        progress: Some(Arc::new(move |bytes| {
            assert!(seen.swap(bytes, Ordering::Relaxed) <= bytes);
        })),
        ..UploadOptions::default()
    };
    let mut bytes = content(5500);
    bytes.extend_from_within(..4000);
    let path = name("/a");
    let upload = cluster.client.upload(&path, &bytes[..], options);
    upload.await.unwrap();
    assert_eq!(last.load(Ordering::Relaxed), 9500);
}

/// Whoever changed their mind while it was stored found it under its name all the same.
#[tokio::test(start_paused = true)]
async fn what_is_not_wanted_any_more_gets_no_name() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let options = UploadOptions {
        still_wanted: Some(Arc::new(|| false)),
        ..UploadOptions::default()
    };
    let (path, bytes) = (name("/a"), content(5500));
    let result = cluster.client.upload(&path, &bytes[..], options).await;
    assert!(matches!(result, Err(Error::Withdrawn)), "{result:?}");
    cluster.assert_nothing_left("/a").await;
    assert!(!cluster.master().lock().calls.contains_key("commit_upload"));
}

async fn check_size_hint(len: usize, hint: u64, expected: Option<u64>) {
    let cluster = TestCluster::start(3, CHUNK).await;
    let options = UploadOptions {
        size_hint: Some(hint),
        ..UploadOptions::default()
    };
    let bytes = content(len);
    let result = cluster
        .client
        .upload(&name("/a"), &bytes[..], options)
        .await;
    match (result, expected) {
        (Ok(uploaded), None) => assert_eq!(uploaded.size, hint),
        (Err(error @ Error::SizeMismatch { expected, read }), Some(said)) => {
            let grew = error.to_string().contains("it grew");
            assert_eq!(grew, read > hint, "{error}");
            assert_eq!((expected, read), (hint, said));
            cluster.assert_nothing_left("/a").await;
        }
        (result, _) => panic!("{len} bytes instead of {hint}: {result:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn another_size_than_announced_is_an_error() {
    check_size_hint(0, 0, None).await;
    check_size_hint(2500, 2500, None).await;
    check_size_hint(3000, 3000, None).await;
    check_size_hint(2500, 2501, Some(2500)).await;
    check_size_hint(2500, 2499, Some(2500)).await;
    check_size_hint(3000, 2000, Some(3000)).await;
    check_size_hint(2000, 3000, Some(2000)).await;
    check_size_hint(0, 1, Some(0)).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_too_large_is_refused_before_it_is_read() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let options = UploadOptions {
        size_hint: Some((1 << 30) + 1),
        ..UploadOptions::default()
    };
    let reader = Watched::new(tokio::io::repeat(1));
    let read = reader.counter();
    let result = cluster.client.upload(&name("/a"), reader, options).await;
    assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
    assert_eq!(read.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_fails_leaves_nothing() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let bytes = content(50_000);
    for at in [0, 1, 999, 1000, 30_500] {
        let fail = || Err(io::Error::other("the cable"));
        let reader = Watched::new(&bytes[..]).at(at, fail);
        // Small reads, so that it fails in the middle of a chunk too.
        let reader = tokio::io::BufReader::with_capacity(100, reader);
        let options = UploadOptions::default();
        let result = cluster.client.upload(&name("/a"), reader, options).await;
        assert!(matches!(result, Err(Error::Read(_))), "{at}: {result:?}");
        cluster.assert_nothing_left("/a").await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_dropped_is_abandoned() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let bytes = content(20_000);
    let stuck = Watched::new((&bytes[..]).chain(Never));
    let path = name("/a");
    let upload = cluster
        .client
        .upload(&path, stuck, UploadOptions::default());
    assert!(
        tokio::time::timeout(Duration::from_secs(1), upload)
            .await
            .is_err()
    );
    assert_eq!(cluster.master().lock().uploads.len(), 1);
    cluster.assert_nothing_left("/a").await;
    assert_eq!(cluster.master().calls("abandon_upload"), 1);
}

/// A reader that gives nothing, for ever.
struct Never;

impl tokio::io::AsyncRead for Never {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_rests_for_an_hour_keeps_its_lease() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let bytes = content(20_000);
    let (reader, mut writer) = tokio::io::duplex(500);
    let path = name("/a");
    let write = async {
        use tokio::io::AsyncWriteExt;
        writer.write_all(&bytes[..10_500]).await.unwrap();
        sleep(Duration::from_secs(3600)).await;
        writer.write_all(&bytes[10_500..]).await.unwrap();
        drop(writer);
    };
    let upload = cluster
        .client
        .upload(&path, reader, UploadOptions::default());
    let (uploaded, ()) = tokio::join!(upload, write);
    uploaded.unwrap();
    assert!(cluster.download("/a").await.unwrap() == bytes);
    assert_eq!(cluster.puts(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_cannot_be_given_ends_a_large_upload_early() {
    let cluster = TestCluster::start(3, CHUNK).await;
    cluster.upload("/taken", b"old").await.unwrap();
    cluster
        .client
        .create_folder(&name("/folder"), true)
        .await
        .unwrap();
    for (path, precondition) in [
        ("/taken", Precondition::Absent),
        ("/folder", Precondition::Any),
        ("/missing", Precondition::Present),
        ("/taken", Precondition::Version(proto::id::VersionId(77))),
    ] {
        let endless = tokio::io::repeat(1);
        let options = UploadOptions {
            precondition,
            ..UploadOptions::default()
        };
        let result = cluster.client.upload(&name(path), endless, options).await;
        let error = result.unwrap_err();
        let expected = matches!(
            error,
            Error::PreconditionFailed { .. } | Error::IsAFolder { .. }
        );
        assert!(expected, "{path}: {error:?}");
    }
    assert_eq!(cluster.download("/taken").await.unwrap(), b"old");
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_while_nothing_is_wrong() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let started = Instant::now();
    cluster.upload("/a", &content(700_000)).await.unwrap();
    cluster.download("/a").await.unwrap();
    assert!(
        started.elapsed() < Duration::from_millis(10),
        "{:?}",
        started.elapsed()
    );
}
