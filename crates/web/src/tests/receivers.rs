//! What somebody with a share link, or with none, cannot do: hold or take what others need, and go on after the link ended.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use serde_json::json;

use super::shares::FORM;
use super::{Answer, Site};

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
