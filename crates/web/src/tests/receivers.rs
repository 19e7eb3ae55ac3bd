//! What somebody with a share link, or with none, cannot do: hold or take what others need, and go on after the link ended.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use proto::master::ShareId;
use serde_json::json;
use tower::ServiceExt;

use super::shares::FORM;
use super::{Answer, Site};
use crate::drive::{Drive, Shares};
use crate::memory::{Faults, Hold, MemoryDrive};

const FILES: [(&str, &str); 2] = [
    ("accept", "application/json"),
    ("content-type", "multipart/form-data; boundary=XX"),
];

/// A file's head in a form.
fn part(name: &str) -> String {
    format!("--XX\r\ncontent-disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\r\n")
}

/// A body that begins so and never goes on.
fn stopped(begin: &str) -> Body {
    let begin = Bytes::copy_from_slice(begin.as_bytes());
    Body::from_stream(stream::iter([Ok::<_, io::Error>(begin)]).chain(stream::pending()))
}

/// A body of two pieces: when the first one was looked at, something happens, and then the second one is sent.
fn interrupted(
    first: String,
    happens: impl Future<Output = ()> + Send + 'static,
    second: String,
) -> Body {
    let second = stream::once(async move {
        tokio::task::yield_now().await;
        happens.await;
        second
    });
    let pieces = stream::iter([first]).chain(second);
    Body::from_stream(pieces.map(|piece| Ok::<_, io::Error>(Bytes::from(piece))))
}

async fn until_there(drive: &MemoryDrive, path: &str) {
    let path = path.parse().unwrap();
    while drive.entry(&path).await.is_err() {
        tokio::task::yield_now().await;
    }
}

impl Site {
    /// The answer, if there is ever one.
    async fn answer(&self, request: &str, headers: &[(&str, &str)], body: Body) -> Answer {
        let answer = self.send(request, headers, body);
        let answer = tokio::time::timeout(Duration::from_secs(3600), answer);
        answer.await.expect("answered within an hour")
    }

    async fn inbox(&self) -> String {
        self.keep("/inbox/old", b"x");
        self.share(json!({"path": "/inbox", "upload_only": true}))
            .await
    }
}

/// Whoever sent all but the last byte of a password kept the connection for ever, and needed no link for it.
#[tokio::test(start_paused = true)]
async fn a_form_that_stops_is_answered() {
    let site = Site::new();
    site.keep("/f", b"x");
    let link = site.share(json!({"path": "/f", "password": "right"})).await;
    let nobody = site
        .answer("POST /s/x", &[FORM], stopped("password="))
        .await;
    assert_eq!(nobody.status, 404);
    let request = format!("POST {link}");
    let slow = site.answer(&request, &[FORM], stopped("password=")).await;
    assert_eq!(slow.status, 403);
    let long = site.unlock(&link, &"x".repeat(1 << 20)).await;
    assert_eq!(long.status, 403);
    assert_eq!(site.unlock(&link, "right").await.status, 303);
}

/// The same of what a program sends.
#[tokio::test(start_paused = true)]
async fn a_json_body_that_stops_is_answered() {
    let site = Site::new();
    let json = [("content-type", "application/json")];
    let slow = site.answer("POST /api/v1/move", &json, stopped("{")).await;
    slow.expect_problem(408, "too_slow");
}

/// What came before a file in a form was kept, however much it was.
#[tokio::test(start_paused = true)]
async fn only_so_much_is_kept_before_a_file_begins() {
    let site = Site::new();
    let link = site.inbox().await;
    for begin in ["", "--XX\r\ncontent-disposition: form-data; x=", &part("")] {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let rest = stream::repeat(Bytes::from(vec![b'a'; 64 << 10])).take(1000);
        let rest = rest.inspect(move |bytes| {
            count.fetch_add(bytes.len(), Ordering::Relaxed);
        });
        let begin = stream::iter([Bytes::copy_from_slice(begin.as_bytes())]);
        let body = Body::from_stream(begin.chain(rest).map(Ok::<_, io::Error>));
        let refused = site
            .answer(&format!("POST {link}/files"), &FILES, body)
            .await;
        refused.expect_problem(400, "upload_interrupted");
        assert!(taken.load(Ordering::Relaxed) < 2 << 20, "{taken:?}");
    }
}

/// A form without an end added files for days after its link was revoked.
#[tokio::test]
async fn a_file_is_not_added_after_the_link_was_revoked() {
    let site = Site::new();
    let link = site.inbox().await;
    let drive = site.drive.clone();
    let revoke = async move {
        until_there(&drive, "/inbox/one").await;
        drive.revoke_share(ShareId(1)).await.unwrap();
    };
    let first = format!("{}1\r\n--XX", part("one"));
    let second = format!("{}2\r\n--XX--\r\n", &part("two")[4..]);
    let request = format!("POST {link}/files");
    let refused = site
        .answer(&request, &FILES, interrupted(first, revoke, second))
        .await;
    refused.expect_problem(404, "not_found");
    assert_eq!(site.get("/api/v1/files/inbox/one").await.status, 200);
    assert_eq!(site.get("/api/v1/files/inbox/two").await.status, 404);
}

/// While a file came, its folder was moved or the link revoked: it went to whatever was at the old path by then.
#[tokio::test]
async fn a_file_is_not_added_beside_what_is_shared() {
    let is_there = async |site: &Site, address: &str| site.get(address).await.status == 200;
    for revokes in [true, false] {
        let site = Site::new();
        let link = site.inbox().await;
        let drive = site.drive.clone();
        let change = async move {
            if revokes {
                drive.revoke_share(ShareId(1)).await.unwrap();
                return;
            }
            let (from, to) = ("/inbox".parse().unwrap(), "/elsewhere".parse().unwrap());
            Drive::move_entry(&drive, &from, &to, false).await.unwrap();
            drive.put(&"/inbox/private".parse().unwrap(), Bytes::new(), 0);
        };
        let body = interrupted(
            format!("{}half", part("f")),
            change,
            "\r\n--XX--\r\n".into(),
        );
        let refused = site
            .answer(&format!("POST {link}/files"), &FILES, body)
            .await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(!is_there(&site, "/api/v1/files/inbox/f").await);
        assert!(!is_there(&site, "/api/v1/files/elsewhere/f").await);
    }
}

/// A few dozen receivers who sent slowly took all turns, and the owner was told to come back later.
#[tokio::test(start_paused = true)]
async fn slow_receivers_keep_the_owner_from_nothing() {
    let site = Site::new();
    let link = site.inbox().await;
    let request = format!("POST {link}/files");
    let begin = format!("{}half", part("f"));
    let slow = join_all((0..40).map(|_| site.send(&request, &FILES, stopped(&begin))));
    let put = tokio::select! {
        biased;
        _ = slow => panic!("they go on"),
        put = site.send("PUT /api/v1/files/own", &[], "x") => put,
    };
    assert_eq!(put.status, 201, "{}", put.text());
}

/// A few who sent slowly by one link took the turns of all links.
#[tokio::test(start_paused = true)]
async fn slow_receivers_of_one_link_keep_those_of_others_from_nothing() {
    let site = Site::new();
    let link = site.inbox().await;
    let other = site.inbox().await;
    let request = format!("POST {link}/files");
    let begin = format!("{}half", part("f"));
    let slow = join_all((0..40).map(|_| site.send(&request, &FILES, stopped(&begin))));
    let whole = format!("{}whole\r\n--XX--\r\n", part("f"));
    let request = format!("POST {other}/files");
    let added = tokio::select! {
        biased;
        _ = slow => panic!("they go on"),
        added = site.send(&request, &FILES, whole) => added,
    };
    assert_eq!(added.status, 201, "{}", added.text());
}

/// A link for one download was used up by a request that got no byte.
#[tokio::test]
async fn a_download_without_a_byte_is_none() {
    let site = Site::new();
    site.keep("/f", &[7; 1000]);
    let link = site.share(json!({"path": "/f", "downloads_max": 1})).await;
    site.drive.set_faults(Faults {
        reads_fail_after: Some(0),
        ..Faults::default()
    });
    let file = format!("{link}/file");
    assert_eq!(site.get(&file).await.status, 503);
    assert_eq!(site.downloads().await, 0);
    site.drive.set_faults(Faults::default());
    assert_eq!(site.get(&file).await.status, 200);
    assert_eq!(site.get(&file).await.status, 410);
    assert_eq!(site.downloads().await, 1);
}

/// A zip by a link went on by the folder's name: where that was moved away, and another put in its place, strangers got what nobody
/// had shared with them; where none was, what was left out looked whole.
#[tokio::test]
async fn a_zip_ends_where_its_link_does() {
    for after in ["moved and replaced", "moved", "revoked"] {
        let site = Site::new();
        for number in 0..300 {
            site.keep(&format!("/album/{number}.jpg"), &[b'x'; 1000]);
        }
        let link = site.share(json!({"path": "/album"})).await;
        let request = Request::get(format!("{link}/zip")).header("host", "localhost");
        let request = request.body(Body::empty()).unwrap();
        let response = site.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut zip = response.into_body().into_data_stream();
        let mut came = zip.next().await.unwrap().unwrap().to_vec();
        if after == "revoked" {
            let revoked = site.send("DELETE /api/v1/shares/1", &[], "").await;
            assert_eq!(revoked.status, 204);
        } else {
            let json = ("content-type", "application/json");
            let body = json!({"from": "/album", "to": "/elsewhere"}).to_string();
            let moved = site.send("POST /api/v1/move", &[json], body).await;
            assert_eq!(moved.status, 200, "{}", moved.text());
        }
        if after == "moved and replaced" {
            for number in 0..300 {
                site.keep(&format!("/album/{number}.jpg"), b"secret");
            }
        }
        let mut is_whole = true;
        while let Some(bytes) = zip.next().await {
            match bytes {
                Ok(bytes) => came.extend_from_slice(&bytes),
                Err(_) => is_whole = false,
            }
        }
        let came = String::from_utf8_lossy(&came);
        assert!(!is_whole && !came.contains("secret"), "{after}");
    }
}

/// Between finding the share and opening what is in it by its path, the folder was moved away and another put in its place: strangers
/// got what nobody had shared with them.
#[tokio::test]
async fn what_takes_the_place_of_what_is_shared_is_not_shown() {
    for below in ["/file/a", "/folder/deep", "/zip/deep", ""] {
        let site = Site::new();
        site.keep("/album/a", b"holiday");
        site.keep("/album/holiday", b"");
        site.keep("/album/deep/holiday", b"");
        let link = site.share(json!({"path": "/album"})).await;
        let hold = Arc::new(Hold::default());
        site.drive.set_faults(Faults {
            looks_held: Some(Arc::clone(&hold)),
            ..Faults::default()
        });
        let change = async {
            hold.until_one_came().await;
            let (from, to) = ("/album".parse().unwrap(), "/elsewhere".parse().unwrap());
            let moved = Drive::move_entry(&site.drive, &from, &to, false);
            moved.await.unwrap();
            site.keep("/album/a", b"secret");
            site.keep("/album/secret", b"");
            site.keep("/album/deep/secret", b"");
            (0..100).for_each(|_| hold.let_one_go());
        };
        let address = format!("{link}{below}");
        let (answer, ()) = tokio::join!(site.get(&address), change);
        assert_eq!(answer.status, 200, "{below}");
        let came = answer.body.unwrap();
        let came = String::from_utf8_lossy(&came);
        assert!(!came.contains("secret"), "{below}: {came}");
        assert!(came.contains("holiday"), "{below}: {came}");
    }
}

/// Whoever moves it again and again keeps nobody looking for ever.
#[tokio::test]
async fn what_is_moved_again_and_again_is_not_found() {
    let site = Site::new();
    site.keep("/0/a", b"holiday");
    let link = site.share(json!({"path": "/0"})).await;
    let hold = Arc::new(Hold::default());
    site.drive.set_faults(Faults {
        looks_held: Some(Arc::clone(&hold)),
        ..Faults::default()
    });
    let change = async {
        for number in 0.. {
            hold.until_one_came().await;
            let path = |number: u32| format!("/{number}").parse().unwrap();
            let moved =
                Drive::move_entry(&site.drive, &path(number), &path(number + 1), false).await;
            moved.unwrap();
            site.keep(&format!("/{number}/a"), b"secret");
            hold.let_one_go();
        }
    };
    let address = format!("{link}/file/a");
    let answer = tokio::select! {
        answer = site.get(&address) => answer,
        () = change => panic!("it has no end"),
    };
    assert_eq!(answer.status, 404);
    assert!(!answer.text().contains("secret"));
}
