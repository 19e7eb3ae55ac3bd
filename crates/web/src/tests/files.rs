//! Uploads and downloads.

use axum::body::Body;
use bytes::Bytes;
use serde_json::json;

use super::Site;
use crate::memory::Faults;

#[tokio::test]
async fn a_file_comes_back_as_it_was_put() {
    let site = Site::new();
    for size in [0, 1, 65_535, 65_536, 65_537, 3 << 20] {
        let bytes: Vec<u8> = (0..=250).cycle().take(size).collect();
        let address = format!("/api/v1/files/new%20folder/{size}.bin");
        let put = site
            .send(&format!("PUT {address}"), &[], bytes.clone())
            .await;
        assert_eq!(put.status, 201, "{}", put.text());
        assert_eq!(put.header("location"), address);
        assert_eq!(put.json()["size"], size);
        let got = site.get(&address).await;
        assert_eq!(got.status, 200);
        assert_eq!(got.header("etag"), put.header("etag"));
        assert_eq!(got.header("content-length"), size.to_string());
        assert!(got.body.unwrap() == bytes, "{size} bytes");
    }
}

#[tokio::test]
async fn an_upload_says_how_many_copies_there_are() {
    let site = Site::new();
    let put = site.send("PUT /api/v1/files/a.txt", &[], "one").await;
    assert_eq!(put.json()["message"], "stored, 3 copies");
    assert_eq!(put.header("etag"), "\"v1\"");
    site.drive.set_faults(Faults {
        node_down: true,
        ..Faults::default()
    });
    let put = site.send("PUT /api/v1/files/a.txt", &[], "two").await;
    assert_eq!(put.status, 200);
    let expected = json!({
        "path": "/a.txt", "version": 2, "size": 3, "created": false, "copies": 2, "copies_wanted": 3,
        "message": "2 of 3 copies for now; the rest follows by itself",
    });
    assert_eq!(put.json(), expected);
}

#[tokio::test]
async fn a_body_that_breaks_off_or_lies_about_its_length_leaves_nothing() {
    let site = Site::new();
    let pieces = [Ok("first"), Err(std::io::Error::other("connection reset"))];
    let body = Body::from_stream(futures::stream::iter(pieces));
    let put = site.send("PUT /api/v1/files/a", &[], body).await;
    put.expect_problem(400, "upload_interrupted");
    let long = [("content-length", "2000000")];
    let put = site.send("PUT /api/v1/files/a", &long, "short").await;
    put.expect_problem(400, "upload_interrupted");
    site.get("/api/v1/files/a")
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn conditions_are_checked_before_the_body_comes() {
    let site = Site::new();
    site.keep("/a", b"one");
    site.keep("/folder/b", b"");
    // A body that nobody may read.
    let untouched =
        || Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    for (headers, address, status, code) in [
        (("if-none-match", "*"), "a", 412, "precondition_failed"),
        (("if-match", "\"v9\""), "a", 412, "precondition_failed"),
        (("if-match", "*"), "absent", 412, "precondition_failed"),
        (("if-none-match", "*"), "folder", 409, "is_a_folder"),
        (("content-length", "5000000000"), "large", 413, "too_large"),
        (("content-length", "5000000"), "folder", 409, "is_a_folder"),
        (("content-range", "bytes 0-1/5"), "part", 400, "bad_request"),
        (("x-modified-ms", "soon"), "a", 400, "invalid_argument"),
    ] {
        let request = format!("PUT /api/v1/files/{address}");
        let put = site.send(&request, &[headers], untouched()).await;
        put.expect_problem(status, code);
    }
    let put = site
        .send("PUT /api/v1/files/a", &[("if-match", "\"v1\"")], "two")
        .await;
    assert_eq!(put.status, 200);
}

/// It was called a file that is too large.
#[tokio::test]
async fn a_request_that_is_too_long_is_told_from_a_file() {
    let site = Site::new();
    let body = format!("{{\"from\":\"/a\",\"to\":\"{}\"}}", "x".repeat(3 << 20));
    let json = ("content-type", "application/json");
    let moved = site.send("POST /api/v1/move", &[json], body).await;
    moved.expect_problem(413, "request_too_large");
}

#[tokio::test]
async fn the_time_of_a_file_can_be_given() {
    let site = Site::new();
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    for header in [("x-modified-ms", "784111777123"), ("last-modified", date)] {
        site.send("PUT /api/v1/files/a", &[header], "x").await;
        assert_eq!(
            site.get("/api/v1/files/a").await.header("last-modified"),
            date
        );
    }
}

#[tokio::test]
async fn one_range_is_served() {
    let site = Site::new();
    site.keep("/a", b"0123456789");
    for (range, status, body, content_range) in [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=0-1,4-5", 200, "0123456789", ""),
        ("bytes=0-9,0-9,0-9", 200, "0123456789", ""),
    ] {
        let answer = site
            .send("GET /api/v1/files/a", &[("range", range)], "")
            .await;
        assert_eq!((answer.status, answer.text()), (status, body), "{range}");
        assert_eq!(answer.header("content-range"), content_range);
        assert_eq!(answer.header("content-length"), body.len().to_string());
    }
    for range in ["bytes=10-", "bytes=5-2"] {
        let answer = site
            .send("GET /api/v1/files/a", &[("range", range)], "")
            .await;
        answer.expect_problem(416, "range_not_satisfiable");
        assert_eq!(answer.header("content-range"), "bytes */10");
    }
    let changed = [("range", "bytes=2-4"), ("if-range", "\"v0\"")];
    assert_eq!(
        site.send("GET /api/v1/files/a", &changed, "").await.status,
        200
    );
    let same = [("range", "bytes=2-4"), ("if-range", "\"v1\"")];
    assert_eq!(
        site.send("GET /api/v1/files/a", &same, "").await.status,
        206
    );
}

#[tokio::test]
async fn who_has_a_version_does_not_get_it_again() {
    let site = Site::new();
    site.keep("/a", b"one");
    let known = [("if-none-match", "\"v1\"")];
    let answer = site.send("GET /api/v1/files/a", &known, "").await;
    assert_eq!((answer.status, answer.text()), (304, ""));
    assert_eq!(answer.header("etag"), "\"v1\"");
    // That of the file, if any: 0 would say that it is empty.
    let head = site.send("HEAD /api/v1/files/a", &known, "").await;
    assert_eq!((head.status, head.header("content-length")), (304, "3"));
    site.keep("/a", b"two");
    assert_eq!(
        site.send("GET /api/v1/files/a", &known, "").await.status,
        200
    );
    assert_eq!(site.get("/api/v1/files/a?version=1").await.text(), "one");
    site.get("/api/v1/files/a?version=9")
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn head_is_get_without_the_bytes() {
    let site = Site::new();
    site.keep("/a.txt", b"0123456789");
    let range = [("range", "bytes=2-4")];
    let head = site.send("HEAD /api/v1/files/a.txt", &range, "").await;
    assert_eq!((head.status, head.text()), (200, ""));
    assert_eq!(head.header("content-length"), "10");
    assert_eq!(head.header("content-type"), "text/plain; charset=utf-8");
}

#[tokio::test]
async fn a_download_that_cannot_go_on_breaks_off() {
    let site = Site::new();
    site.keep("/a", &vec![7; 1 << 20]);
    site.drive.set_faults(Faults {
        reads_fail_after: Some(200_000),
        ..Faults::default()
    });
    let answer = site.get("/api/v1/files/a").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.is_none(), "it must not end cleanly");
    site.drive.set_faults(Faults {
        reads_fail_after: Some(0),
        ..Faults::default()
    });
    site.get("/api/v1/files/a")
        .await
        .expect_problem(503, "unavailable");
}

/// An uploaded page could act as ours: it is saved, and never shown.
#[tokio::test]
async fn what_can_carry_a_script_is_never_shown_here() {
    let site = Site::new();
    for name in ["a.html", "a.svg", "a.xml", "a.xhtml", "a"] {
        site.keep(&format!("/{name}"), b"<script>alert(1)</script>");
        let answer = site.get(&format!("/api/v1/files/{name}")).await;
        assert!(
            answer
                .header("content-disposition")
                .starts_with("attachment; "),
            "{name}"
        );
        assert!(
            answer
                .header("content-security-policy")
                .starts_with("sandbox; ")
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    site.keep("/a.png", b"");
    let shown = site.get("/api/v1/files/a.png").await;
    assert!(shown.header("content-disposition").starts_with("inline; "));
    let saved = site.get("/api/v1/files/a.png?download=1").await;
    assert!(
        saved
            .header("content-disposition")
            .starts_with("attachment; ")
    );
}

/// Its length, ranges and version are those of its own bytes.
#[tokio::test]
async fn a_file_is_never_compressed_on_the_way() {
    let site = Site::new();
    site.keep("/a.txt", &[b'a'; 10_000]);
    let gzip = [("accept-encoding", "gzip")];
    let answer = site.send("GET /api/v1/files/a.txt", &gzip, "").await;
    assert_eq!(answer.header("content-encoding"), "");
    assert_eq!(answer.header("content-length"), "10000");
}
