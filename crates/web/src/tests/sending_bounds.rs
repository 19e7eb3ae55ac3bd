//! Files that are added by a link: how many, how much, and how large, so that no link keeps others from theirs.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use futures::future::join_all;
use futures::stream;
use proto::id::UploadId;
use proto::master::NOTE_LEN_MAX;
use tower::ServiceExt;

use super::Site;
use super::sending::interrupted;
use super::uploads::{BYTES, TUS};
use crate::TransferLimits;
use crate::drive::Drafts;

/// The cluster keeps only so much of what is said of a file.
#[tokio::test]
async fn too_much_that_is_said_of_a_file_is_refused() {
    let site = Site::new();
    let link = site.letterbox("/box").await;
    let fits = NOTE_LEN_MAX - "1\n".len();
    for (len, expected) in [(fits, 201), (fits + 4, 400)] {
        let begin = "filename Zg==,abc ";
        let filler = "A".repeat(len - begin.len());
        let metadata = format!("{begin}{filler}");
        let headers = [TUS, ("upload-length", "4"), ("upload-metadata", &*metadata)];
        let answer = site
            .send(&format!("POST {link}/uploads"), &headers, "")
            .await;
        assert_eq!(answer.status, expected, "{}", answer.text());
        if expected == 400 {
            answer.expect_problem(400, "bad_request");
            assert!(answer.text().contains("Upload-Metadata is too long"));
        }
    }
}

/// One link could begin as many uploads as the master keeps of all.
#[tokio::test(start_paused = true)]
async fn one_link_begins_only_so_many() {
    let site = Site::new();
    let (link, other) = (site.letterbox("/box").await, site.letterbox("/other").await);
    let mut begun = Vec::new();
    let refused = loop {
        let answer = site.offer(&link, "f", 4, &[]).await;
        if answer.status != 201 {
            break answer;
        }
        begun.push(answer.header("location").to_owned());
        assert!(begun.len() < 1000, "it has no end");
        // Nothing is held of those that rest.
        tokio::time::advance(Duration::from_secs(10)).await;
    };
    refused.expect_problem(503, "busy");
    assert_eq!(begun.len(), 256);
    site.offered(&other, "f", 4).await;
    site.begin("/own", 4).await;
    assert_eq!(site.patch(&begun[0], 0, "sent").await.status, 204);
    site.offered(&link, "g", 4).await;
    let ended = site.send(&format!("DELETE {}", begun[1]), &[TUS], "").await;
    assert_eq!(ended.status, 204);
    site.offered(&link, "h", 4).await;
    site.offer(&link, "i", 4, &[])
        .await
        .expect_problem(503, "busy");
}

/// Whoever hung up while an upload was begun left one that nobody counted, as often as they liked.
#[tokio::test]
async fn an_upload_of_which_nobody_heard_is_ended() {
    let (site, appends) = Site::with_appends();
    let link = site.letterbox("/box").await;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let piece = stream::once(async move { receiver.await.unwrap() });
    let request = Request::post(format!("{link}/uploads"))
        .header("host", "localhost:5000")
        .header(TUS.0, TUS.1)
        .header(BYTES.0, BYTES.1)
        .header("upload-length", "4")
        .header("upload-metadata", "filename Zg==");
    let request = request.body(Body::from_stream(piece)).unwrap();
    let mut creating = tokio::spawn(site.router.clone().oneshot(request));
    let upload = UploadId::new(uuid::Uuid::from_u128(1));
    let begun = async {
        while site.drive.find_upload(upload).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = begun => {}
        response = &mut creating => panic!("it ended before its bytes came: {response:?}"),
    }
    creating.abort();
    assert!(creating.await.unwrap_err().is_cancelled());
    let broken = Err::<Bytes, _>(std::io::Error::other("the connection broke"));
    sender.send(broken).unwrap();
    appends.close();
    appends.wait().await;
    let found = site.drive.find_upload(upload).await;
    assert!(matches!(found, Err(client::Error::NotFound { .. })));
}

/// What is held of files that many send by one link left no room for those of others.
#[tokio::test(start_paused = true)]
async fn one_link_keeps_no_room_from_others() {
    let site = Site::new();
    let (link, other) = (site.letterbox("/box").await, site.letterbox("/other").await);
    let fill = async |link| {
        for _ in 0..1000 {
            if site.offer(link, "f", 4, &[]).await.status != 201 {
                return;
            }
        }
        panic!("it has no end");
    };
    fill(&link).await;
    site.offered(&other, "f", 4).await;
    fill(&other).await;
    site.begin("/own", 4).await;
}

/// A few who sent slowly took the turns of all.
#[tokio::test(start_paused = true)]
async fn slow_senders_keep_nobody_from_sending() {
    let site = Site::new();
    let (link, other) = (site.letterbox("/box").await, site.letterbox("/other").await);
    let mut addresses = Vec::new();
    for _ in 0..30 {
        addresses.push(site.offered(&link, "f", 10).await);
    }
    let next = site.offered(&other, "f", 4).await;
    let slow = join_all(addresses.iter().map(|address| {
        site.patch(
            address,
            0,
            interrupted(b"half", std::future::pending(), b""),
        )
    }));
    let sent = async {
        let sent = site.patch(&next, 0, "sent").await;
        assert_eq!(sent.status, 204, "{}", sent.text());
        let put = site.send("PUT /api/v1/files/own", &[], "x").await;
        assert_eq!(put.status, 201, "{}", put.text());
    };
    tokio::select! {
        biased;
        _ = slow => panic!("they go on"),
        () = sent => {}
    }
}

/// The owner says how large a file by a link may be: it is refused before its first byte, or in a form where it is longer.
#[tokio::test]
async fn files_by_links_have_a_limit() {
    let site = Site::limited(TransferLimits {
        request_file_max: Some(4),
        ..TransferLimits::default()
    });
    let link = site.letterbox("/box").await;
    let refused = site.offer(&link, "f", 5, &[]).await;
    refused.expect_problem(413, "too_large");
    assert!(refused.text().contains("f was not stored"));
    let address = site.offered(&link, "f", 4).await;
    assert_eq!(site.patch(&address, 0, "sent").await.status, 204);
    let headers = [
        ("accept", "application/json"),
        ("content-type", "multipart/form-data; boundary=XX"),
    ];
    let form = |name: &str, content: &str| {
        format!(
            "--XX\r\ncontent-disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\r\n{content}\r\n--XX--\r\n"
        )
    };
    let request = format!("POST {link}/files");
    let refused = site.send(&request, &headers, form("g", "large")).await;
    refused.expect_problem(413, "too_large");
    assert_eq!(site.stored("/box/g").await, None);
    let added = site.send(&request, &headers, form("g", "less")).await;
    assert_eq!(added.status, 201, "{}", added.text());
    site.begin("/own", 5).await;
}

/// Clients were told of a limit above what the cluster takes.
#[tokio::test]
async fn the_smaller_limit_is_told() {
    for (limit, told) in [
        (None, "1073741824"),
        (Some(4), "4"),
        (Some(2 << 30), "1073741824"),
    ] {
        let site = Site::limited(TransferLimits {
            request_file_max: limit,
            ..TransferLimits::default()
        });
        let link = site.letterbox("/box").await;
        let options = site.send(&format!("OPTIONS {link}/uploads"), &[], "").await;
        assert_eq!(options.header("tus-max-size"), told, "{limit:?}");
    }
}
