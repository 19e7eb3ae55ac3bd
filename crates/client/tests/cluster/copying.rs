//! Copies: what the cluster has is not moved, and what it has not is, as an upload does it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use client::{Error, UploadOptions, Uploaded};
use proto::master::Precondition;
use tokio::time::sleep;

use crate::node::Mood;
use crate::support::{TestCluster, content, name, options};

const CHUNK: u32 = 1000;

async fn copy(cluster: &TestCluster, from: &str, to: &str) -> Result<Uploaded, Error> {
    let options = UploadOptions::default();
    cluster.client.copy(&name(from), &name(to), options).await
}

/// Of two nodes out of five the master hears nothing any more: of some chunks it knows one copy, of some none.
fn lose_nodes(cluster: &TestCluster) {
    let lost = [cluster.node(1).id, cluster.node(2).id];
    cluster.master().lock().dead.extend(lost);
}

async fn check_nothing_is_moved(chunk_size: u32, len: usize) {
    let cluster = TestCluster::start(3, chunk_size).await;
    let bytes = content(len);
    let uploaded = cluster.upload("/a", &bytes).await.unwrap();
    let puts = cluster.puts();
    let copied = copy(&cluster, "/a", "/b/c").await.unwrap();
    assert_eq!((copied.size, copied.copies), (len as u64, 3), "{len}");
    assert!(copied.created && copied.version > uploaded.version);
    assert_eq!((cluster.puts(), cluster.gets()), (puts, 0), "{len}");
    assert!(cluster.download("/b/c").await.unwrap() == bytes, "{len}");
    assert!(cluster.download("/a").await.unwrap() == bytes, "{len}");
    cluster.client.settle().await;
    assert!(cluster.master().lock().uploads.is_empty(), "{len}");
}

#[tokio::test(start_paused = true)]
async fn a_copy_moves_no_bytes_whatever_its_size() {
    for (len, _reason) in [
        (0, "no chunk at all"),
        (1, "the shortest chunk"),
        (1000, "exactly a chunk"),
        (20_500, "more chunks than are in flight at once"),
    ] {
        check_nothing_is_moved(CHUNK, len).await;
    }
    for (chunks, _reason) in [
        (512, "a full block, and nothing for the commit"),
        (513, "a block and a chunk"),
        (1600, "more blocks than may be pending"),
    ] {
        check_nothing_is_moved(8, chunks * 8).await;
    }
}

/// A file of equal chunks, of which the later blocks wait for the record of the first.
#[tokio::test(start_paused = true)]
async fn a_file_of_equal_chunks_is_copied() {
    let cluster = TestCluster::start(3, 8).await;
    let zeros = vec![0; 1300 * 8 + 3];
    cluster.upload("/a", &zeros).await.unwrap();
    copy(&cluster, "/a", "/b").await.unwrap();
    assert!(cluster.download("/b").await.unwrap() == zeros);
}

/// A large file takes a few calls for each 512 chunks.
#[tokio::test(start_paused = true)]
async fn a_large_copy_takes_few_calls() {
    let cluster = TestCluster::start(3, 8).await;
    cluster.upload("/a", &content(5000 * 8)).await.unwrap();
    cluster.master().lock().calls.clear();
    copy(&cluster, "/a", "/b").await.unwrap();
    let calls: u32 = cluster.master().lock().calls.values().sum();
    assert!(calls < 60, "{:?}", cluster.master().lock().calls);
}

#[tokio::test(start_paused = true)]
async fn what_has_too_few_copies_is_fetched_and_stored() {
    let cluster = TestCluster::start(5, CHUNK).await;
    let bytes = content(100_500);
    cluster.upload("/a", &bytes).await.unwrap();
    lose_nodes(&cluster);
    let puts = cluster.puts();
    let counted = Arc::new(AtomicU64::new(0));
    let last = counted.clone();
    let options = UploadOptions {
        progress: Some(Arc::new(move |stored| {
            assert!(last.swap(stored, Ordering::Relaxed) <= stored);
        })),
        ..UploadOptions::default()
    };
    let client = &cluster.client;
    let copied = client.copy(&name("/a"), &name("/b"), options).await;
    assert_eq!(copied.unwrap().copies, 3);
    assert_eq!(counted.load(Ordering::Relaxed), 100_500);
    let moved = cluster.puts() - puts;
    assert!(moved > 0 && moved < 3 * 101, "{moved}");
    cluster.node(1).kill();
    cluster.node(2).kill();
    assert!(cluster.download("/b").await.unwrap() == bytes);
}

/// Of what is fetched no more is in memory than an upload would have there.
#[tokio::test(start_paused = true)]
async fn memory_is_bounded_by_the_chunks_in_flight() {
    let cluster = TestCluster::start(5, CHUNK).await;
    cluster.upload("/a", &content(400_000)).await.unwrap();
    lose_nodes(&cluster);
    cluster.nodes().for_each(|node| node.become_(Mood::Hung));
    let copy = copy(&cluster, "/a", "/b");
    tokio::pin!(copy);
    tokio::select! {
        _ = &mut copy => panic!("no node answers"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    let asked = cluster.gets();
    let at_once = u32::try_from(options().chunks_in_flight * 5).unwrap();
    assert!(asked > 0 && asked <= at_once, "{asked}");
    cluster.nodes().for_each(|node| node.become_(Mood::Good));
    assert_eq!(copy.await.unwrap().copies, 3);
}

/// A chunk whose last copies rotted: nothing wrong is stored under the new name, and nothing at all.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_not_copied() {
    let cluster = TestCluster::start(5, CHUNK).await;
    cluster.upload("/a", &content(100_000)).await.unwrap();
    lose_nodes(&cluster);
    cluster.nodes().for_each(|node| node.become_(Mood::Lying));
    let copied = copy(&cluster, "/a", "/b").await;
    assert!(matches!(copied, Err(Error::Corrupt { .. })), "{copied:?}");
    cluster.assert_nothing_left("/b").await;
}

/// The answer to the commit gets lost: it is asked for again, and there is one new version.
#[tokio::test(start_paused = true)]
async fn a_copy_is_made_once_although_its_answer_is_lost() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let uploaded = cluster.upload("/a", &content(5000)).await.unwrap();
    cluster.master().lock().cut_answer_to = Some("commit_upload");
    let copied = copy(&cluster, "/a", "/b").await.unwrap();
    assert_eq!(copied.version.0, uploaded.version.0 + 1);
    assert_eq!(cluster.master().calls("commit_upload"), 3);
}

/// The master forgets the upload after the first blocks: they are recorded again.
#[tokio::test(start_paused = true)]
async fn a_copy_goes_on_when_the_master_forgot_it() {
    let cluster = Arc::new(TestCluster::start(3, 8).await);
    let bytes = content(1600 * 8);
    cluster.upload("/a", &bytes).await.unwrap();
    let (forgetful, done) = (cluster.clone(), AtomicBool::new(false));
    let options = UploadOptions {
        progress: Some(Arc::new(move |stored| {
            if stored > 1100 * 8 && !done.swap(true, Ordering::Relaxed) {
                forgetful.master().end_uploads();
            }
        })),
        ..UploadOptions::default()
    };
    let client = &cluster.client;
    let copied = client.copy(&name("/a"), &name("/b"), options).await;
    assert_eq!(copied.unwrap().size, 1600 * 8);
    assert!(cluster.download("/b").await.unwrap() == bytes);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_cannot_be_is_refused() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let client = &cluster.client;
    cluster.upload("/a", &content(5000)).await.unwrap();
    cluster.upload("/b", b"old").await.unwrap();
    client.create_folder(&name("/folder"), false).await.unwrap();
    let own = copy(&cluster, "/a", "/a").await;
    assert!(matches!(own, Err(Error::InvalidArgument { .. })), "{own:?}");
    let root = copy(&cluster, "/a", "/").await;
    assert!(
        matches!(root, Err(Error::InvalidArgument { .. })),
        "{root:?}"
    );
    let none = copy(&cluster, "/none", "/c").await;
    assert!(matches!(none, Err(Error::NotFound { .. })), "{none:?}");
    let folder = copy(&cluster, "/a", "/folder").await;
    assert!(matches!(folder, Err(Error::IsAFolder { .. })), "{folder:?}");
    let options = UploadOptions {
        precondition: Precondition::Absent,
        ..UploadOptions::default()
    };
    let taken = client.copy(&name("/a"), &name("/b"), options).await;
    assert!(
        matches!(taken, Err(Error::PreconditionFailed { .. })),
        "{taken:?}"
    );
    assert_eq!(cluster.download("/b").await.unwrap(), b"old");
    copy(&cluster, "/a", "/b").await.unwrap();
    assert_eq!(cluster.download("/b").await.unwrap(), content(5000));
}
