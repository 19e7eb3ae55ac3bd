//! Uploads that others go on with: pieces of any length, processes that vanish between them, and a master that forgets.

use std::sync::Arc;

use bytes::Bytes;
use client::{Appended, Cluster, Error, OpenUpload, Uploaded};
use proto::id::UploadId;
use proto::master::{Precondition, UploadFound, UploadPlan};
use tokio::io::AsyncReadExt;

use crate::support::{TestCluster, Watched, content, name};

const CHUNK: u32 = 1000;
const PATH: &str = "/a/film.mp4";

async fn begin(cluster: &Cluster, size: usize) -> UploadId {
    let plan = UploadPlan {
        path: name(PATH),
        size: size as u64,
        modified_ms: Some(7),
        parents: true,
        precondition: Precondition::Absent,
        note: "a note".to_owned(),
    };
    cluster.begin_upload(&plan).await.unwrap().0
}

/// What somebody knows who comes anew.
async fn find(cluster: &Cluster, upload: UploadId) -> OpenUpload {
    match cluster.find_upload(upload).await.unwrap() {
        UploadFound::Open {
            plan,
            chunks,
            bytes,
            ..
        } => OpenUpload {
            upload,
            plan,
            chunks,
            bytes,
        },
        found @ UploadFound::Committed { .. } => panic!("{found:?}"),
    }
}

/// Sends `bytes` in pieces that end at these places, by one process that keeps what is left over.
async fn send(cluster: &Cluster, bytes: &[u8], ends: &[usize]) -> Uploaded {
    let upload = begin(cluster, bytes.len()).await;
    let mut open = find(cluster, upload).await;
    let (mut rest, mut begin) = (Bytes::new(), 0);
    for end in ends {
        let reader = AsyncReadExt::chain(&rest[..], &bytes[begin..*end]);
        let appended = cluster.append(open.clone(), reader).await.unwrap();
        begin = *end;
        (open, rest) = match appended {
            Appended::Committed(uploaded) => {
                assert_eq!(*end, bytes.len(), "committed before its end");
                return uploaded;
            }
            Appended::Open { open, rest } => (open, rest),
        };
        assert_eq!(open.bytes + rest.len() as u64, *end as u64);
        assert!(rest.len() < CHUNK as usize);
        assert_eq!(
            find(cluster, upload).await,
            open,
            "it says what is recorded"
        );
    }
    panic!("it was not committed at its end");
}

#[tokio::test(start_paused = true)]
async fn a_file_comes_in_pieces_of_any_length() {
    for (ends, _reason) in [
        (&[0][..], "no byte at all"),
        (&[1], "all at once"),
        (&[1, 999, 1000, 1001], "around a chunk's end"),
        (&[0, 0, 1, 2, 3000], "pieces without a byte"),
        (
            &[31_500, 31_500, 32_000, 70_123],
            "more chunks than are recorded at once",
        ),
        (&[511_999, 512_001, 513_000], "around a block's end"),
        (
            &[600_000, 1_200_000],
            "blocks, the end of the file at a chunk's",
        ),
    ] {
        let cluster = TestCluster::start(3, CHUNK).await;
        let bytes = content(*ends.last().unwrap());
        let uploaded = send(&cluster.client, &bytes, ends).await;
        assert_eq!(uploaded.size, bytes.len() as u64, "{ends:?}");
        assert!(cluster.download(PATH).await.unwrap() == bytes, "{ends:?}");
        assert!(cluster.master().lock().uploads.is_empty(), "{ends:?}");
    }
}

/// The process dies in the middle: another one finds what is recorded, at most three small pieces behind, and sends
/// nothing of that again.
#[tokio::test(start_paused = true)]
async fn another_process_goes_on_behind_what_is_recorded() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let bytes = content(300_000);
    let upload = begin(&cluster.client, bytes.len()).await;
    let open = find(&cluster.client, upload).await;
    // The reader never ends: the process is killed while it waits.
    let (stuck, _writer) = tokio::io::duplex(1);
    let reader = AsyncReadExt::chain(&bytes[..200_500], stuck);
    let killed = cluster.client.append(open, reader);
    tokio::time::timeout(std::time::Duration::from_secs(60), killed)
        .await
        .unwrap_err();
    cluster.client.settle().await;

    let open = find(&cluster.client, upload).await;
    assert!((104_000..=200_000).contains(&open.bytes), "{}", open.bytes);
    let puts = cluster.puts();
    let from = usize::try_from(open.bytes).unwrap();
    let appended = cluster.client.append(open, &bytes[from..]).await.unwrap();
    assert!(matches!(appended, Appended::Committed(_)));
    assert!(cluster.download(PATH).await.unwrap() == bytes);
    let left = u32::try_from(bytes.len() - from).unwrap().div_ceil(CHUNK);
    assert_eq!(cluster.puts() - puts, 3 * left);
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_the_master_does_not_end_it() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let bytes = content(100_000);
    let upload = begin(&cluster.client, bytes.len()).await;
    cluster.master().crash();
    let open = find(&cluster.client, upload).await;
    let cluster = Arc::new(cluster);
    let crashing = cluster.clone();
    let reader = Watched::new(&bytes[..]).at(50_500, move || {
        crashing.master().crash();
        Ok(())
    });
    let appended = cluster.client.append(open, reader).await.unwrap();
    assert!(matches!(appended, Appended::Committed(_)));
    assert!(cluster.download(PATH).await.unwrap() == bytes);
}

/// The last piece was full and so recorded before the commit: when that failed, all bytes seemed to be here, and the file was not.
#[tokio::test(start_paused = true)]
async fn an_upload_that_is_not_committed_never_looks_whole() {
    for len in [31_500, 32_000, 64_000, 512_000, 511_999] {
        let cluster = TestCluster::start(3, CHUNK).await;
        let bytes = content(len);
        let upload = begin(&cluster.client, len).await;
        let open = find(&cluster.client, upload).await;
        cluster.upload("/other", b"content").await.unwrap();
        let cluster = Arc::new(cluster);
        let theirs = cluster.clone();
        // Somebody takes the name in the last moment.
        let reader = Watched::new(&bytes[..]).at(len as u64, move || {
            let mut state = theirs.master().lock();
            let file = state.files[&name("/other")].clone();
            state.files.insert(name(PATH), file);
            Ok(())
        });
        let refused = cluster.client.append(open, reader).await;
        let is_expected = matches!(refused, Err(Error::PreconditionFailed { .. }));
        assert!(is_expected, "{len}: {refused:?}");
        let open = find(&cluster.client, upload).await;
        assert!(open.bytes < len as u64, "{} of {len}", open.bytes);
        cluster.master().lock().files.clear();
        let from = usize::try_from(open.bytes).unwrap();
        let appended = cluster.client.append(open, &bytes[from..]).await;
        assert!(
            matches!(appended, Ok(Appended::Committed(_))),
            "{appended:?}"
        );
        assert!(cluster.download(PATH).await.unwrap() == bytes);
    }
}

/// Whoever did not hear the answer to the last piece finds the file committed.
#[tokio::test(start_paused = true)]
async fn what_became_of_it_is_known_after_its_end() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let bytes = content(2500);
    let upload = begin(&cluster.client, bytes.len()).await;
    let open = find(&cluster.client, upload).await;
    let appended = cluster.client.append(open, &bytes[..]).await.unwrap();
    let Appended::Committed(uploaded) = appended else {
        panic!("{appended:?}");
    };
    match cluster.client.find_upload(upload).await.unwrap() {
        UploadFound::Committed { size, committed } => {
            assert_eq!((size, committed.version), (2500, uploaded.version));
        }
        found @ UploadFound::Open { .. } => panic!("{found:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_ended_or_is_not_as_far_says_so() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let bytes = content(2500);
    let upload = begin(&cluster.client, bytes.len()).await;
    let open = find(&cluster.client, upload).await;
    let ahead = OpenUpload {
        chunks: 2,
        bytes: 2000,
        ..open.clone()
    };
    let refused = cluster.client.append(ahead, &bytes[2000..]).await;
    assert!(
        matches!(refused, Err(Error::NotFound { .. })),
        "{refused:?}"
    );
    let long = [&bytes[..], b"x"].concat();
    let refused = cluster.client.append(open.clone(), &long[..]).await;
    assert!(
        matches!(refused, Err(Error::SizeMismatch { expected: 2500, .. })),
        "{refused:?}"
    );
    cluster.client.end_upload(upload).await.unwrap();
    let refused = cluster.client.append(open, &bytes[..]).await;
    assert!(
        matches!(refused, Err(Error::NotFound { .. })),
        "{refused:?}"
    );
    let refused = cluster.client.find_upload(upload).await;
    assert!(
        matches!(refused, Err(Error::NotFound { .. })),
        "{refused:?}"
    );
    assert!(matches!(
        cluster.download(PATH).await,
        Err(Error::NotFound { .. })
    ));
}
