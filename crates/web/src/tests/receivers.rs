//! What somebody with a share link, or with none, cannot do: hold or take what others need, and go on after the link ended.

use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use serde_json::json;

use super::shares::FORM;
use super::{Answer, Site};

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
