//! Uploads that can be gone on with, as tus clients see them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::*;
use crate::memory::Faults;

pub(super) const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
pub(super) const BYTES: (&str, &str) = ("content-type", "application/offset+octet-stream");
/// A chunk of the drive in memory.
pub(super) const CHUNK: usize = 64 * 1024;

impl Site {
    /// A site, and what goes on there after its request is gone.
    pub(super) fn with_appends() -> (Self, TaskTracker) {
        let drive = MemoryDrive::default();
        let state = server(&drive);
        let appends = state.appends();
        let router = app(state);
        (Self { drive, router }, appends)
    }

    /// Opens an upload and gives its address.
    pub(super) async fn begin(&self, path: &str, size: usize) -> String {
        let answer = self.create(path, size, &[], "").await;
        assert_eq!(answer.status, 201);
        assert_eq!(answer.header("upload-offset"), "0");
        answer.header("location").to_owned()
    }

    pub(super) async fn create(
        &self,
        path: &str,
        size: usize,
        more: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let metadata = format!("path {},extra", STANDARD.encode(path));
        let (size, metadata) = (size.to_string(), metadata.as_str());
        let own = [
            TUS,
            ("upload-length", &*size),
            ("upload-metadata", metadata),
        ];
        let headers = [&own, more].concat();
        self.send("POST /api/v1/uploads", &headers, body).await
    }

    pub(super) async fn patch(
        &self,
        address: &str,
        offset: usize,
        body: impl Into<Body>,
    ) -> Answer {
        let offset = offset.to_string();
        let headers = [TUS, BYTES, ("upload-offset", &*offset)];
        self.send(&format!("PATCH {address}"), &headers, body).await
    }

    /// How many bytes are here.
    pub(super) async fn offset(&self, address: &str) -> usize {
        let answer = self.send(&format!("HEAD {address}"), &[TUS], "").await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("cache-control").ends_with("no-store"));
        assert_eq!(answer.header("tus-resumable"), "1.0.0");
        answer.header("upload-offset").parse().unwrap()
    }

    /// The same drive, asked through another process.
    pub(super) fn restarted(&self) -> Self {
        let drive = self.drive.clone();
        let router = app(server(&drive));
        Self { drive, router }
    }
}

pub(super) fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// A body whose pieces come as the sender gives them.
fn held_body() -> (mpsc::Sender<Result<Bytes, std::io::Error>>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let pieces = futures::stream::unfold(receiver, async |mut receiver| {
        Some((receiver.recv().await?, receiver))
    });
    (sender, Body::from_stream(pieces.boxed()))
}

#[tokio::test]
async fn a_file_comes_in_pieces_and_is_there_with_the_last() {
    let site = Site::new();
    let bytes = content(3 * CHUNK + 5);
    let address = site.begin("/a/ü.bin", bytes.len()).await;
    let mut at = 0;
    for end in [10, 10, CHUNK, 2 * CHUNK + 1] {
        let answer = site.patch(&address, at, bytes[at..end].to_vec()).await;
        assert_eq!(
            (answer.status, answer.header("upload-offset")),
            (204, &*end.to_string())
        );
        assert!(!answer.header("upload-expires").is_empty());
        at = end;
        assert_eq!(site.offset(&address).await, at);
        site.get("/api/v1/files/a/%C3%BC.bin")
            .await
            .expect_problem(404, "not_found");
    }
    let open = site.get(&address).await.json();
    assert_eq!(
        (open["offset"].as_u64(), &open["path"]),
        (Some(at as u64), &"/a/ü.bin".into())
    );
    let last = site.patch(&address, at, bytes[at..].to_vec()).await;
    assert_eq!(
        (last.status, last.header("upload-offset")),
        (204, &*bytes.len().to_string())
    );
    assert_eq!(
        (last.header("x-copies"), last.header("x-copies-wanted")),
        ("3", "3")
    );
    let file = site.get("/api/v1/files/a/%C3%BC.bin").await;
    assert_eq!(file.header("etag"), last.header("etag"));
    assert!(file.body.unwrap() == bytes);
    // Whoever did not hear the last answer asks again.
    assert_eq!(site.offset(&address).await, bytes.len());
    let committed = site.get(&address).await.json();
    assert_eq!(
        (committed["copies"].as_u64(), &committed["path"]),
        (Some(3), &Value::Null)
    );
}

#[tokio::test]
async fn a_file_may_come_with_the_request_that_opens_its_upload() {
    let site = Site::new();
    let whole = site.create("/whole", 5, &[BYTES], "bytes").await;
    assert_eq!((whole.status, whole.header("upload-offset")), (201, "5"));
    assert_eq!(site.get("/api/v1/files/whole").await.text(), "bytes");
    let part = site.create("/part", 5, &[BYTES], "by").await;
    assert_eq!((part.status, part.header("upload-offset")), (201, "2"));
    let rest = site.patch(part.header("location"), 2, "tes").await;
    assert_eq!(rest.status, 204);
    assert_eq!(site.get("/api/v1/files/part").await.text(), "bytes");
    let empty = site.create("/empty", 0, &[], "").await;
    assert_eq!((empty.status, empty.header("upload-offset")), (201, "0"));
    assert_eq!(site.get("/api/v1/files/empty").await.text(), "");
}

/// A laptop's lid closes in the middle: what came counts.
#[tokio::test]
async fn a_body_that_breaks_off_is_gone_on_with_where_it_broke() {
    let site = Site::new();
    let bytes = content(2 * CHUNK);
    let address = site.begin("/f", bytes.len()).await;
    let pieces = [
        Ok(Bytes::copy_from_slice(&bytes[..CHUNK + 7])),
        Err(std::io::Error::other("the connection broke")),
    ];
    let body = Body::from_stream(futures::stream::iter(pieces));
    let broken = site.patch(&address, 0, body).await;
    broken.expect_problem(400, "upload_interrupted");
    assert_eq!(site.offset(&address).await, CHUNK + 7);
    let rest = site
        .patch(&address, CHUNK + 7, bytes[CHUNK + 7..].to_vec())
        .await;
    assert_eq!(rest.status, 204);
    assert!(site.get("/api/v1/files/f").await.body.unwrap() == bytes);
}

/// The process was restarted: whole chunks are kept by the cluster.
#[tokio::test]
async fn another_process_goes_on_at_the_last_chunks_end() {
    let site = Site::new();
    let bytes = content(3 * CHUNK);
    let address = site.begin("/f", bytes.len()).await;
    site.patch(&address, 0, bytes[..2 * CHUNK + 9].to_vec())
        .await;
    let site = site.restarted();
    let stale = site.patch(&address, 2 * CHUNK + 9, "x").await;
    stale.expect_problem(409, "offset_mismatch");
    let offset = site.offset(&address).await;
    assert_eq!(offset, 2 * CHUNK);
    let rest = site.patch(&address, offset, bytes[offset..].to_vec()).await;
    assert_eq!(rest.status, 204);
    assert!(site.get("/api/v1/files/f").await.body.unwrap() == bytes);
    let site = site.restarted();
    assert_eq!(site.offset(&address).await, bytes.len());
}

/// A request hung on a dead connection, and nobody could go on until it timed out.
#[tokio::test]
async fn a_newer_request_stops_the_one_that_hangs() {
    let site = Site::new();
    let bytes = content(CHUNK);
    let address = site.begin("/f", bytes.len()).await;
    let (sender, body) = held_body();
    let hanging = site.patch(&address, 0, body);
    let newer = async {
        sender
            .send(Ok(Bytes::copy_from_slice(&bytes[..100])))
            .await
            .unwrap();
        // What is taken out of the channel was read.
        sender.reserve().await.unwrap().send(Ok(Bytes::new()));
        let _room = sender.reserve().await.unwrap();
        assert_eq!(site.offset(&address).await, 100);
        let rest = site.patch(&address, 100, bytes[100..].to_vec()).await;
        assert_eq!(rest.status, 204);
    };
    let (stopped, ()) = tokio::join!(hanging, newer);
    stopped.expect_problem(423, "locked");
    assert!(site.get("/api/v1/files/f").await.body.unwrap() == bytes);
}

/// Whoever watches an upload stopped it.
#[tokio::test]
async fn an_upload_can_be_watched() {
    let site = Site::new();
    let address = site.begin("/f", 10).await;
    let (sender, body) = held_body();
    let patching = site.patch(&address, 0, body);
    let watching = async {
        sender.send(Ok(Bytes::from_static(b"01234"))).await.unwrap();
        sender.send(Ok(Bytes::new())).await.unwrap();
        let watched = site.get(&address).await.json();
        assert_eq!(
            (watched["offset"].as_u64(), watched["size"].as_u64()),
            (Some(0), Some(10))
        );
        sender.send(Ok(Bytes::from_static(b"56789"))).await.unwrap();
        drop(sender);
    };
    let (patched, ()) = tokio::join!(patching, watching);
    assert_eq!(
        (patched.status, patched.header("upload-offset")),
        (204, "10")
    );
    let ended = site.send(&format!("DELETE {address}"), &[TUS], "").await;
    ended.expect_problem(409, "already_exists");
    assert_eq!(site.get("/api/v1/files/f").await.text(), "0123456789");
}

/// Stock clients begin anew, from the first byte, when they cannot learn where an upload is for another reason than this.
#[tokio::test]
async fn while_the_master_is_away_the_client_waits() {
    let site = Site::new();
    let address = site.begin("/f", 10).await;
    site.patch(&address, 0, "01234").await;
    site.drive.set_faults(Faults {
        unreachable: true,
        ..Faults::default()
    });
    let head = site.send(&format!("HEAD {address}"), &[TUS], "").await;
    assert_eq!((head.status, head.header("retry-after")), (423, "5"));
    site.patch(&address, 5, "56")
        .await
        .expect_problem(503, "unavailable");
    site.drive.set_faults(Faults::default());
    assert_eq!(
        site.offset(&address).await,
        5,
        "what was told to be here still is"
    );
    assert_eq!(site.patch(&address, 5, "56789").await.status, 204);
}

/// The upload went on through another process, and what this one held was believed for ever.
#[tokio::test]
async fn what_is_held_gives_way_to_what_the_cluster_says() {
    let site = Site::new();
    let bytes = content(2 * CHUNK);
    let address = site.begin("/f", bytes.len()).await;
    site.patch(&address, 0, bytes[..10].to_vec()).await;
    let other = site.restarted();
    other.patch(&address, 0, bytes[..CHUNK + 5].to_vec()).await;
    assert_eq!(site.offset(&address).await, CHUNK);
    site.patch(&address, 10, "x")
        .await
        .expect_problem(409, "offset_mismatch");
    let rest = other
        .patch(&address, CHUNK + 5, bytes[CHUNK + 5..].to_vec())
        .await;
    assert_eq!(rest.status, 204);
    assert_eq!(site.offset(&address).await, bytes.len());
    assert!(site.get("/api/v1/files/f").await.body.unwrap() == bytes);
}

#[tokio::test]
async fn an_upload_that_is_given_up_is_gone() {
    let site = Site::new();
    let address = site.begin("/f", 10).await;
    site.patch(&address, 0, "half").await;
    let ended = site.send(&format!("DELETE {address}"), &[TUS], "").await;
    assert_eq!(ended.status, 204);
    site.patch(&address, 4, "x")
        .await
        .expect_problem(404, "not_found");
    let head = site.send(&format!("HEAD {address}"), &[TUS], "").await;
    assert_eq!(head.status, 404);
    site.get("/api/v1/uploads/none")
        .await
        .expect_problem(404, "not_found");
}

/// Somebody else took the name meanwhile.
#[tokio::test]
async fn a_name_that_was_to_be_free_is_not_replaced() {
    let site = Site::new();
    let free = [("if-none-match", "*")];
    let answer = site.create("/f", 4, &free, "").await;
    let address = answer.header("location").to_owned();
    site.keep("/f", b"theirs");
    site.patch(&address, 0, "ours")
        .await
        .expect_problem(412, "precondition_failed");
    assert_eq!(site.get("/api/v1/files/f").await.text(), "theirs");
    let early = site.create("/f", 4, &free, "").await;
    early.expect_problem(412, "precondition_failed");
}

/// Whoever heard "the upload is elsewhere" asked where, was told the place at which it was, and tried the same again, for ever.
#[tokio::test]
async fn a_commit_that_is_refused_says_why() {
    let site = Site::new();
    let bytes = content(CHUNK + 5);
    let address = site.begin("/a", bytes.len()).await;
    site.patch(&address, 0, bytes[..CHUNK].to_vec()).await;
    site.drive.set_faults(Faults {
        commits_refused: Some("the file breaks a rule"),
        ..Faults::default()
    });
    let last = site.patch(&address, CHUNK, bytes[CHUNK..].to_vec()).await;
    last.expect_problem(400, "invalid_argument");
    assert!(last.text().contains("breaks a rule"));
}

/// The server stopped while it was storing what came of an upload whose connection was gone already, and did not wait for it.
#[tokio::test]
async fn what_is_stored_after_its_request_is_gone_can_be_waited_for() {
    let (site, appends) = Site::with_appends();
    let address = site.begin("/a", 3 * CHUNK).await;
    let (sender, body) = held_body();
    let (router, to) = (site.router.clone(), address.clone());
    let patching = tokio::spawn(async move {
        let request = Request::patch(to)
            .header("host", "localhost:5000")
            .header("tus-resumable", "1.0.0")
            .header("content-type", BYTES.1)
            .header("upload-offset", "0");
        router.oneshot(request.body(body).unwrap()).await
    });
    let piece = Bytes::from(content(CHUNK));
    sender.send(Ok(piece.clone())).await.unwrap();
    // Taken once there is room for another one.
    sender.send(Ok(piece)).await.unwrap();
    patching.abort();
    assert!(patching.await.unwrap_err().is_cancelled());
    assert_eq!(appends.len(), 1);
    drop(sender);
    appends.close();
    appends.wait().await;
    let stored = site.get(&address).await.json();
    assert_eq!(stored["offset"].as_u64(), Some(2 * CHUNK as u64));
}

/// A file of all the bytes that a number can count was taken on, and refused after days.
#[tokio::test]
async fn a_file_that_never_fits_is_refused_before_its_first_byte() {
    let site = Site::new();
    let small_disks = Faults {
        disks: Some(60_000_000),
        ..Faults::default()
    };
    site.drive.set_faults(small_disks.clone());
    let address = site.begin("/large", 60_000_000).await;
    let refused = site.patch(&address, 0, "first").await;
    refused.expect_problem(507, "no_space");
    assert!(refused.text().contains("room for about"));
    assert_eq!(site.offset(&address).await, 0);
    let refused = site.create("/larger", 60_000_001, &[], "").await;
    refused.expect_problem(413, "too_large");
    assert!(refused.text().contains("all disks of the cluster"));
    let refused = site.create("/absurd", usize::MAX, &[], "").await;
    refused.expect_problem(413, "too_large");
    site.drive.set_faults(Faults {
        not_ready: true,
        ..small_disks
    });
    let other = site.restarted();
    let waiting = other.create("/larger", 60_000_001, &[], "").await;
    assert_eq!(waiting.status, 201, "nobody knows what has room");
}
