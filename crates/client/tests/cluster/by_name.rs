//! Uploads that name their chunks: what the cluster has is not sent, and what it has not is named in vain.

use std::sync::Arc;

use client::{Appended, Error, OpenUpload, UploadOptions, Uploaded};
use proto::id::{ChunkId, UploadId};
use proto::master::{Precondition, UploadFound, UploadPlan};

use crate::support::{TestCluster, content, name};

const PATH: &str = "/b";

fn chunks(bytes: &[u8], chunk_size: usize) -> Vec<ChunkId> {
    bytes.chunks(chunk_size).map(ChunkId::of).collect()
}

async fn begin(cluster: &TestCluster, size: usize) -> OpenUpload {
    let plan = UploadPlan {
        path: name(PATH),
        size: size as u64,
        modified_ms: None,
        parents: true,
        precondition: Precondition::Absent,
        note: String::new(),
    };
    let (upload, _) = cluster.client.begin_upload(&plan).await.unwrap();
    OpenUpload {
        upload,
        plan,
        chunks: 0,
        bytes: 0,
    }
}

async fn recorded(cluster: &TestCluster, upload: UploadId) -> u64 {
    match cluster.client.find_upload(upload).await.unwrap() {
        UploadFound::Open { bytes, .. } => bytes,
        UploadFound::Committed { size, .. } => panic!("{size} bytes were committed"),
    }
}

/// The content is there under another name: not a byte of it is sent again, in whichever portions it is named.
#[tokio::test(start_paused = true)]
async fn what_the_cluster_has_is_not_sent() {
    for (count, portion, _reason) in [
        (1, 1, "a single chunk"),
        (5, 2, "a few at a time"),
        (512, 512, "exactly a block"),
        (1100, 700, "portions that do not end where blocks do"),
    ] {
        let cluster = TestCluster::start(3, 8).await;
        let bytes = content(count * 8 - 3);
        cluster.upload("/a", &bytes).await.unwrap();
        let puts = cluster.puts();
        let mut open = begin(&cluster, bytes.len()).await;
        let mut uploaded = None;
        for portion in chunks(&bytes, 8).chunks(portion) {
            assert_eq!(recorded(&cluster, open.upload).await, open.bytes);
            match cluster.client.append_stored(open.clone(), portion).await {
                Ok(Appended::Open { open: now, rest }) => {
                    assert!(rest.is_empty());
                    assert_eq!(now.chunks, open.chunks + portion.len() as u64);
                    open = now;
                }
                Ok(Appended::Committed(committed)) => uploaded = Some(committed),
                Err(error) => panic!("{error}"),
            }
        }
        let uploaded = uploaded.expect("all of it was named");
        assert_eq!((uploaded.size, uploaded.copies), (bytes.len() as u64, 3));
        assert_eq!(cluster.puts(), puts, "{count}");
        assert!(cluster.download(PATH).await.unwrap() == bytes, "{count}");
    }
}

/// The front is there, and what follows has to be sent: also a chunk behind it that is there.
#[tokio::test(start_paused = true)]
async fn it_ends_before_the_first_that_is_missing() {
    let cluster = TestCluster::start(3, 1000).await;
    let bytes = content(9500);
    cluster.upload("/front", &bytes[..4000]).await.unwrap();
    cluster.upload("/end", &bytes[9000..]).await.unwrap();
    let open = begin(&cluster, bytes.len()).await;
    let named = chunks(&bytes, 1000);
    let appended = cluster.client.append_stored(open, &named).await.unwrap();
    let Appended::Open { open, .. } = appended else {
        panic!("{appended:?}");
    };
    assert_eq!((open.chunks, open.bytes), (4, 4000));
    assert_eq!(recorded(&cluster, open.upload).await, 4000);
    let puts = cluster.puts();
    let appended = cluster.client.append(open, &bytes[4000..]).await.unwrap();
    assert!(matches!(appended, Appended::Committed(_)));
    assert_eq!(cluster.puts() - puts, 5 * 3);
    assert!(cluster.download(PATH).await.unwrap() == bytes);
}

/// One goes while they are named: what is before it need not be sent.
#[tokio::test(start_paused = true)]
async fn what_goes_meanwhile_is_the_only_one_that_is_sent() {
    let cluster = TestCluster::start(3, 1000).await;
    let bytes = content(9500);
    cluster.upload("/a", &bytes).await.unwrap();
    let named = chunks(&bytes, 1000);
    cluster.master().lock().deleted_behind_count = Some(named[6]);
    let open = begin(&cluster, bytes.len()).await;
    let appended = cluster.client.append_stored(open, &named).await.unwrap();
    let Appended::Open { open, .. } = appended else {
        panic!("{appended:?}");
    };
    assert_eq!(open.chunks, 6);
    let puts = cluster.puts();
    let appended = cluster.client.append(open, &bytes[6000..]).await.unwrap();
    assert!(matches!(appended, Appended::Committed(_)));
    assert_eq!(cluster.puts() - puts, 3);
    assert!(cluster.download(PATH).await.unwrap() == bytes);
}

/// Two of three copies are on nodes of which the master hears nothing any more: a write demands more.
#[tokio::test(start_paused = true)]
async fn what_has_too_few_copies_is_missing() {
    let cluster = TestCluster::start(5, 1000).await;
    let bytes = content(40_000);
    cluster.upload("/a", &bytes).await.unwrap();
    let lost = [cluster.node(1).id, cluster.node(2).id];
    cluster.master().lock().dead.extend(lost);
    let open = begin(&cluster, bytes.len()).await;
    let named = chunks(&bytes, 1000);
    let appended = cluster.client.append_stored(open, &named).await.unwrap();
    let Appended::Open { open, .. } = appended else {
        panic!("{appended:?}");
    };
    let enough = |chunk: &&ChunkId| {
        let state = cluster.master().lock();
        let holders = &state.chunks[*chunk];
        holders.iter().filter(|node| !lost.contains(node)).count() >= 2
    };
    let expected = named.iter().take_while(enough).count();
    assert!(expected < named.len(), "some have one copy left");
    assert_eq!(open.chunks, expected as u64);
    let from = usize::try_from(open.bytes).unwrap();
    let appended = cluster.client.append(open, &bytes[from..]).await.unwrap();
    assert!(matches!(appended, Appended::Committed(_)));
    assert!(cluster.download(PATH).await.unwrap() == bytes);
}

#[tokio::test(start_paused = true)]
async fn more_than_the_file_has_and_uploads_that_ended_are_refused() {
    let cluster = TestCluster::start(3, 1000).await;
    let bytes = content(2500);
    cluster.upload("/a", &bytes).await.unwrap();
    let open = begin(&cluster, bytes.len()).await;
    let named = chunks(&bytes, 1000);
    let many = [&named[..], &named[..1]].concat();
    let refused = cluster.client.append_stored(open.clone(), &many).await;
    assert!(
        matches!(refused, Err(Error::InvalidArgument { .. })),
        "{refused:?}"
    );
    cluster.client.end_upload(open.upload).await.unwrap();
    let refused = cluster.client.append_stored(open, &named).await;
    assert!(
        matches!(refused, Err(Error::NotFound { .. })),
        "{refused:?}"
    );
}

async fn upload_named(
    cluster: &TestCluster,
    bytes: &[u8],
    chunk_size: usize,
    options: UploadOptions,
) -> Result<Option<Uploaded>, Error> {
    let named = chunks(bytes, chunk_size);
    let content = (bytes.len() as u64, &named[..]);
    let client = &cluster.client;
    client.upload_stored(&name(PATH), content, options).await
}

/// A whole file that is there under another name, or whose chunks are: no byte of it is sent.
#[tokio::test(start_paused = true)]
async fn a_file_is_stored_by_its_names_alone() {
    let zeros = [0; 7 * 8];
    for (bytes, _reason) in [
        (&content(3)[..], "a short chunk"),
        (&content(8), "a whole one"),
        (&content(512 * 8), "a block"),
        (&zeros, "equal chunks"),
        (&[], "none"),
    ] {
        let len = bytes.len();
        let cluster = TestCluster::start(3, 8).await;
        cluster.upload("/a", bytes).await.unwrap();
        let puts = cluster.puts();
        let options = UploadOptions::default();
        let uploaded = upload_named(&cluster, bytes, 8, options).await.unwrap();
        let uploaded = uploaded.expect("it is all there");
        assert_eq!((uploaded.size, uploaded.copies), (len as u64, 3));
        assert!(uploaded.created, "{len}");
        assert_eq!(cluster.puts(), puts, "{len}");
        assert!(cluster.download(PATH).await.unwrap() == bytes, "{len}");
        cluster.client.settle().await;
        assert!(cluster.master().lock().uploads.is_empty(), "{len}");
    }
}

/// What the cluster has not leaves nothing there, and what is new takes one call.
#[tokio::test(start_paused = true)]
async fn a_file_of_which_a_chunk_is_missing_leaves_nothing() {
    let cluster = TestCluster::start(3, 1000).await;
    let bytes = content(4500);
    cluster.upload("/front", &bytes[..4000]).await.unwrap();
    let opened = cluster.master().calls("allocate_chunks");
    for (bytes, chunk_size) in [
        (&bytes[..], 1000),
        (&bytes[..4000], 500),
        (&bytes[..900], 1000),
    ] {
        let options = UploadOptions::default();
        let uploaded = upload_named(&cluster, bytes, chunk_size, options).await;
        assert_eq!(uploaded.unwrap(), None, "{chunk_size}");
    }
    assert_eq!(cluster.master().calls("allocate_chunks"), opened);
    cluster.assert_nothing_left(PATH).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_of_which_a_chunk_goes_meanwhile_leaves_nothing() {
    let cluster = TestCluster::start(3, 1000).await;
    let bytes = content(4500);
    cluster.upload("/a", &bytes).await.unwrap();
    cluster.master().lock().deleted_behind_count = Some(chunks(&bytes, 1000)[2]);
    let options = UploadOptions::default();
    let uploaded = upload_named(&cluster, &bytes, 1000, options).await;
    assert_eq!(uploaded.unwrap(), None);
    cluster.assert_nothing_left(PATH).await;
}

/// The last word is with whoever wanted it, and with what stands under the name.
#[tokio::test(start_paused = true)]
async fn a_named_file_that_cannot_be_leaves_nothing() {
    let cluster = TestCluster::start(3, 1000).await;
    let bytes = content(4500);
    cluster.upload("/a", &bytes).await.unwrap();
    let options = UploadOptions {
        still_wanted: Some(Arc::new(|| false)),
        ..UploadOptions::default()
    };
    let refused = upload_named(&cluster, &bytes, 1000, options).await;
    assert!(matches!(refused, Err(Error::Withdrawn)), "{refused:?}");
    cluster.assert_nothing_left(PATH).await;
    cluster.upload(PATH, b"theirs").await.unwrap();
    let options = UploadOptions {
        precondition: Precondition::Absent,
        ..UploadOptions::default()
    };
    let refused = upload_named(&cluster, &bytes, 1000, options).await;
    assert!(
        matches!(refused, Err(Error::PreconditionFailed { .. })),
        "{refused:?}"
    );
    cluster.client.settle().await;
    assert!(cluster.master().lock().uploads.is_empty());
    assert_eq!(cluster.download(PATH).await.unwrap(), b"theirs");
}
