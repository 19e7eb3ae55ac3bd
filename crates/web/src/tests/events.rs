//! The cluster as it is watched: by events, and on its page.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures::StreamExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{Site, server};
use crate::app;
use crate::memory::{Faults, MemoryDrive};

/// A connection that listens.
async fn listen(router: &axum::Router) -> (u16, axum::body::BodyDataStream) {
    let request = Request::get("/api/v1/events").header("host", "localhost:5000");
    let request = request.body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    (
        response.status().as_u16(),
        response.into_body().into_data_stream(),
    )
}

async fn next(events: &mut axum::body::BodyDataStream) -> Value {
    loop {
        let bytes = events.next().await.unwrap().unwrap();
        let text = std::str::from_utf8(&bytes).unwrap();
        if let Some(data) = text.lines().find_map(|line| line.strip_prefix("data: ")) {
            assert!(text.contains("event: cluster\n"), "{text}");
            return serde_json::from_str(data).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_changes_is_told_to_all_and_nothing_else() {
    let drive = MemoryDrive::default();
    let router = app(server(&drive));
    let (status, mut one) = listen(&router).await;
    assert_eq!(status, 200);
    let (_, mut other) = listen(&router).await;
    assert_eq!(next(&mut one).await["ready"], true);
    assert_eq!(next(&mut other).await["cluster"]["health"], "green");
    // Only that somebody is still there.
    let quiet = tokio::time::timeout(Duration::from_secs(60), next(&mut one)).await;
    assert!(quiet.is_err());
    drive.set_faults(Faults {
        node_down: true,
        ..Faults::default()
    });
    assert_eq!(next(&mut one).await["cluster"]["health"], "yellow");
    assert_eq!(next(&mut other).await["cluster"]["health"], "yellow");
    drive.set_faults(Faults {
        unreachable: true,
        ..Faults::default()
    });
    let gone = next(&mut one).await;
    assert_eq!(gone["reasons"][0]["code"], "master_unreachable");
    assert!(gone.get("cluster").is_none());
}

#[tokio::test(start_paused = true)]
async fn they_end_when_the_server_stops_and_are_bounded() {
    let stopping = CancellationToken::new();
    let router = app(server(&MemoryDrive::default()).until(stopping.clone()));
    let mut all = Vec::new();
    loop {
        let (status, events) = listen(&router).await;
        if status != 200 {
            assert_eq!(status, 503);
            break;
        }
        all.push(events);
    }
    assert_eq!(all.len(), 64);
    all.pop();
    assert_eq!(listen(&router).await.0, 200);
    stopping.cancel();
    for mut events in all {
        while let Some(bytes) = events.next().await {
            bytes.unwrap();
        }
    }
}

#[tokio::test]
async fn the_page_says_how_the_cluster_does() {
    let site = Site::new();
    site.keep("/a.txt", b"x");
    let page = site.get("/cluster").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Nothing to do."), "{}", page.text());
    assert!(page.text().contains("<dd>no copies to make</dd>"));
    let addresses = page.text().split("data-address=\"").skip(1);
    let addresses: Vec<_> = addresses
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(
        addresses,
        ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"]
    );
    let site = Site::new();
    site.drive.set_faults(Faults {
        unreachable: true,
        ..Faults::default()
    });
    let page = site.get("/cluster").await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("How the cluster does is not known."));
    assert!(page.text().contains("start dfs-master"));
}

/// Copies that no node is there for were none that were to be made.
#[tokio::test]
async fn the_page_says_which_copies_wait_for_a_node() {
    for (names, words) in [
        (&["/a.txt"][..], "<dd>1 chunk waits for a storage node</dd>"),
        (
            &["/a.txt", "/b.txt"],
            "<dd>2 chunks wait for a storage node</dd>",
        ),
    ] {
        let site = Site::new();
        for name in names {
            site.keep(name, b"x");
        }
        site.drive.set_faults(Faults {
            not_ready: true,
            ..Faults::default()
        });
        let page = site.get("/cluster").await;
        assert!(page.text().contains(words), "{}", page.text());
    }
}
