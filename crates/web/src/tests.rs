//! The routes as callers see them: requests go through the whole router to a drive in memory.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::memory::{Faults, MemoryDrive};
use crate::{AppState, Hosts, Shared, TransferLimits, app};

const MODIFIED_MS: u64 = 784_111_777_000;

pub(crate) fn state() -> Shared {
    Arc::new(server(&MemoryDrive::default()))
}

fn server(drive: &MemoryDrive) -> AppState {
    let listen = "127.0.0.1:5000".parse().unwrap();
    let limits = TransferLimits::default();
    AppState::new(Arc::new(drive.clone()), Hosts::new(&listen, &[]), limits)
}

struct Site {
    drive: MemoryDrive,
    router: Router,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    /// Nothing when the body broke off.
    body: Option<Bytes>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(self.body.as_ref().unwrap()).unwrap()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code);
        assert_eq!(problem["status"], status);
        for field in ["type", "title", "detail"] {
            assert!(!problem[field].as_str().unwrap().is_empty(), "{field}");
        }
    }
}

impl Site {
    fn new() -> Self {
        let drive = MemoryDrive::default();
        let router = app(server(&drive));
        Self { drive, router }
    }

    fn keep(&self, path: &str, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.drive.put(&path.parse().unwrap(), bytes, MODIFIED_MS);
    }

    /// `request` is a method and an address.
    async fn send(&self, request: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let (method, address) = request.split_once(' ').unwrap();
        let mut builder = Request::builder().method(method).uri(address);
        if !headers.iter().any(|(name, _)| *name == "host") {
            builder = builder.header("host", "localhost:5000");
        }
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let request = builder.body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .ok()
            .map(http_body_util::Collected::to_bytes);
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    async fn get(&self, address: &str) -> Answer {
        self.send(&format!("GET {address}"), &[], "").await
    }
}

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

#[tokio::test]
async fn names_round_trip_and_never_leave_their_place() {
    let site = Site::new();
    for name in [
        "CON",
        "trailing ",
        "\u{202e}gpj.exe",
        "e\u{301}",
        "\u{e9}",
        "\"';<&>",
        "😀",
        "a\\b",
        "%2e%2e",
        "?#",
    ] {
        let address = format!("/api/v1/files/{}", crate::location::encode_text(name));
        assert_eq!(
            site.send(&format!("PUT {address}"), &[], name.to_owned())
                .await
                .status,
            201
        );
        assert_eq!(site.get(&address).await.text(), name);
    }
    let listed = site.get("/api/v1/folders").await.json();
    assert_eq!(listed["entries"].as_array().unwrap().len(), 10);
    for refused in [
        "..%2fa",
        "%2e%2e/a",
        "a%2fb",
        "a//b",
        "./a",
        "%00",
        "a%0ab",
        "%ff",
        "a/",
        &"a".repeat(256),
    ] {
        let put = site
            .send(&format!("PUT /api/v1/files/{refused}"), &[], "x")
            .await;
        put.expect_problem(400, "invalid_argument");
        let page = site.get(&format!("/folder/{refused}/b")).await;
        assert!(
            page.status == 400 || refused == "a/",
            "{refused}: {}",
            page.status
        );
    }
}

#[tokio::test]
async fn folders_are_made_listed_in_pages_and_deleted() {
    let site = Site::new();
    for name in ["a", "b", "c", "d", "e"] {
        let made = site
            .send(&format!("POST /api/v1/folders/{name}"), &[], "")
            .await;
        assert_eq!(made.status, 201);
    }
    site.send("POST /api/v1/folders/a", &[], "")
        .await
        .expect_problem(409, "already_exists");
    site.send("POST /api/v1/folders/x/y", &[], "")
        .await
        .expect_problem(404, "not_found");
    let nested = site
        .send("POST /api/v1/folders/x/y?parents=true", &[], "")
        .await;
    assert_eq!(nested.json(), json!({"path": "/x/y", "created": true}));
    let mut names = Vec::new();
    let mut address = String::from("/api/v1/folders/?limit=2");
    loop {
        let page = site.get(&address).await.json();
        let entries = page["entries"].as_array().unwrap();
        names.extend(
            entries
                .iter()
                .map(|entry| entry["name"].as_str().unwrap().to_owned()),
        );
        if page["more"] == false {
            break;
        }
        address = format!(
            "/api/v1/folders?limit=2&after={}",
            page["next"].as_str().unwrap()
        );
    }
    assert_eq!(names, ["a", "b", "c", "d", "e", "x"]);
    site.send("DELETE /api/v1/folders/x", &[], "")
        .await
        .expect_problem(409, "folder_not_empty");
    let deleted = site
        .send(
            "DELETE /api/v1/folders/x?recursive=true&purge=true",
            &[],
            "",
        )
        .await;
    assert_eq!(deleted.json(), json!({"trashed": null}));
    site.send("DELETE /api/v1/folders/", &[], "")
        .await
        .expect_problem(400, "invalid_argument");
    site.get("/api/v1/folders?limit=0")
        .await
        .expect_problem(400, "invalid_argument");
    site.get("/api/v1/folders?limt=1")
        .await
        .expect_problem(400, "bad_request");
}

#[tokio::test]
async fn files_and_folders_are_not_taken_for_each_other() {
    let site = Site::new();
    site.keep("/folder/file", b"x");
    site.get("/api/v1/files/folder")
        .await
        .expect_problem(409, "is_a_folder");
    site.send("DELETE /api/v1/files/folder", &[], "")
        .await
        .expect_problem(409, "is_a_folder");
    site.get("/api/v1/folders/folder/file")
        .await
        .expect_problem(409, "not_a_folder");
    let delete = "DELETE /api/v1/folders/folder/file";
    site.send(delete, &[], "")
        .await
        .expect_problem(409, "not_a_folder");
    let stale = [("if-match", "\"v9\"")];
    let delete = "DELETE /api/v1/files/folder/file";
    site.send(delete, &stale, "")
        .await
        .expect_problem(412, "precondition_failed");
    assert_eq!(
        site.send(delete, &[], "").await.json(),
        json!({"trashed": 1})
    );
    site.send(delete, &[], "")
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn entries_are_moved() {
    let site = Site::new();
    site.keep("/a", b"x");
    site.keep("/b", b"y");
    let json_body = [("content-type", "application/json")];
    let taken = r#"{"from": "/a", "to": "/b"}"#;
    let answer = site.send("POST /api/v1/move", &json_body, taken).await;
    answer.expect_problem(409, "already_exists");
    let answer = site
        .send(
            "POST /api/v1/move",
            &json_body,
            r#"{"from": "/a", "to": "/c"}"#,
        )
        .await;
    assert_eq!(answer.json()["path"], "/c");
    assert_eq!(site.get("/api/v1/files/c").await.text(), "x");
    for (body, status, code) in [
        ("{", 400, "bad_request"),
        (r#"{"from": "/a"}"#, 400, "bad_request"),
        (r#"{"from": "/../a", "to": "/b"}"#, 400, "bad_request"),
        (r#"{"from": "/none", "to": "/x"}"#, 404, "not_found"),
    ] {
        let answer = site.send("POST /api/v1/move", &json_body, body).await;
        answer.expect_problem(status, code);
    }
    let answer = site.send("POST /api/v1/move", &[], taken).await;
    answer.expect_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn readiness_has_its_reasons() {
    let site = Site::new();
    assert_eq!(site.get("/healthz").await.status, 200);
    assert_eq!(
        site.get("/readyz").await.json(),
        json!({"ready": true, "reasons": []})
    );
    let status = site.get("/api/v1/status").await.json();
    assert_eq!(
        (&status["ready"], &status["health"]),
        (&json!(true), &json!("green"))
    );
    for (faults, code) in [
        (
            Faults {
                not_ready: true,
                ..Faults::default()
            },
            "too_few_nodes",
        ),
        (
            Faults {
                unreachable: true,
                ..Faults::default()
            },
            "master_unreachable",
        ),
    ] {
        let site = Site::new();
        site.drive.set_faults(faults);
        let answer = site.get("/readyz").await;
        answer.expect_problem(503, "not_ready");
        assert_eq!(answer.json()["reasons"][0]["code"], code);
        assert_eq!(answer.header("retry-after"), "5");
        assert_eq!(site.get("/healthz").await.status, 200);
    }
}

#[tokio::test]
async fn what_is_not_here_is_said_in_the_same_way() {
    let site = Site::new();
    for address in [
        "/nothing",
        "/api/v1",
        "/api/v2/files/a",
        "/api/v1/files/",
        "/api/v1/files",
    ] {
        site.get(address).await.expect_problem(404, "no_such_route");
    }
    site.get("/static/none.js")
        .await
        .expect_problem(404, "not_found");
    let answer = site.send("PATCH /api/v1/files/a", &[], "").await;
    answer.expect_problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "GET,HEAD,PUT,DELETE");
    site.send("POST /", &[], "")
        .await
        .expect_problem(405, "method_not_allowed");
}

#[tokio::test]
async fn other_sites_can_neither_change_nor_frame_nor_rebind() {
    let site = Site::new();
    for header in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        for request in [
            "PUT /api/v1/files/a",
            "DELETE /api/v1/files/a",
            "POST /api/v1/folders/a",
            "POST /api/v1/move",
        ] {
            site.send(request, &[header], "")
                .await
                .expect_problem(403, "cross_site");
        }
    }
    let evil = site.send("GET /", &[("host", "evil.example")], "").await;
    evil.expect_problem(421, "unknown_host");
    for address in [
        "/",
        "/api/v1/status",
        "/nothing",
        "/static/app.js",
        "/folder/none",
    ] {
        let answer = site.get(address).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{address}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{address}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(!answer.header("referrer-policy").is_empty());
    }
}

#[tokio::test]
async fn the_page_lists_folders_first_and_escapes_names() {
    let site = Site::new();
    site.keep("/<script>alert(1)</script>.txt", b"x");
    site.keep("/photo\u{202e}gpj.exe", b"x");
    site.keep("/Zoo/inner", b"x");
    let page = site.get("/").await;
    assert_eq!(page.status, 200);
    let html = page.text();
    assert!(!html.contains("<script>alert"));
    assert!(html.contains("&#60;script&#62;alert(1)&#60;"));
    assert!(html.contains(r#"<span class="hidden-character">U+202E</span>gpj.exe"#));
    assert!(html.find("/folder/Zoo").unwrap() < html.find("gpj.exe").unwrap());
    assert!(html.contains("data-colour=\"green\""));
    let inner = site.get("/folder/Zoo").await;
    assert!(
        inner
            .text()
            .contains("href=\"/api/v1/files/Zoo/inner?download=1\"")
    );
    assert_eq!(site.get("/folder/none").await.status, 404);
    // Within a second the last status would do.
    let site = Site::new();
    site.drive.set_faults(Faults {
        unreachable: true,
        ..Faults::default()
    });
    let page = site.get("/").await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("cannot be listed right now"));
}

#[tokio::test]
async fn a_long_folder_is_shown_in_pages() {
    let site = Site::new();
    for number in 0..450 {
        site.keep(&format!("/n/{number:03}"), b"");
    }
    let first = site.get("/folder/n").await;
    assert!(first.text().contains("href=\"/folder/n?after=199\""));
    let last = site.get("/folder/n?after=399").await;
    assert!(last.text().contains("data-name=\"449\""));
    assert!(!last.text().contains("?after="));
}

#[tokio::test]
async fn static_files_are_sent_once() {
    let site = Site::new();
    let first = site.get("/static/style.css").await;
    assert_eq!(
        (first.status, first.header("content-type")),
        (200, "text/css; charset=utf-8")
    );
    let known = [("if-none-match", first.header("etag"))];
    let again = site.send("GET /static/style.css", &known, "").await;
    assert_eq!(
        StatusCode::from_u16(again.status).unwrap(),
        StatusCode::NOT_MODIFIED
    );
    assert!(again.headers.contains_key(header::ETAG));
}
