//! Many small files in one request.

use std::io;

use axum::body::Body;
use futures::stream;
use serde_json::{Value, json};

use super::{Answer, Site};

pub(super) const FORM: [(&str, &str); 1] = [("content-type", "multipart/form-data; boundary=XX")];

pub(super) const END: &str = "--XX--\r\n";

fn field(name: &str, content: &str) -> String {
    format!("--XX\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
}

/// A file as a form has it.
pub(super) fn file(said: &Value, content: &str) -> String {
    let name = "content\"; filename=\"any";
    field("file", &said.to_string()) + &field(name, content)
}

/// A file that is named, and not sent: its chunks are said with all else that is.
pub(super) fn named(said: &Value) -> String {
    field("file", &said.to_string())
}

pub(super) fn form(files: &[(Value, &str)]) -> String {
    let files = files.iter().map(|(said, content)| file(said, content));
    files.collect::<String>() + END
}

pub(super) async fn send(site: &Site, form: impl Into<Body>) -> Answer {
    site.send("POST /api/v1/files", &FORM, form).await
}

pub(super) fn statuses(answer: &Answer) -> Vec<u64> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let files = answer["files"].as_array().unwrap().iter();
    files.map(|file| file["status"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn each_file_is_stored_by_itself() {
    let site = Site::new();
    site.keep("/taken", b"before");
    site.keep("/folder/a", b"");
    let form = form(&[
        (
            json!({"path": "/new/b c", "modified_ms": 784_111_777_123_u64, "if_none_match": "*"}),
            "one",
        ),
        (json!({"path": "/taken", "if_none_match": "*"}), "two"),
        (json!({"path": "/taken", "if_match": "\"v1\""}), "three"),
        (json!({"path": "/folder"}), "four"),
        (json!({"path": "/a/../b"}), "five"),
        (json!({"path": "/c", "if_match": "\n"}), "six"),
        (json!({}), "seven"),
        (json!({"path": "/d", "size": 1}), "eight"),
        (json!({"path": "/empty"}), ""),
    ]);
    let answer = send(&site, form).await;
    assert_eq!(
        statuses(&answer),
        [201, 412, 200, 409, 400, 400, 400, 400, 201]
    );
    let files = answer.json();
    let stored = &files["files"][0]["stored"];
    let expected = ("/new/b c", 3, 3);
    let said = |field: &str| stored[field].as_u64().unwrap();
    assert_eq!(
        (
            stored["path"].as_str().unwrap(),
            said("size"),
            said("copies")
        ),
        expected
    );
    let problem = &files["files"][1]["problem"];
    assert_eq!(problem["code"], "precondition_failed");
    assert_eq!(files["files"][4]["problem"]["code"], "invalid_argument");
    assert_eq!(site.get("/api/v1/files/new/b%20c").await.text(), "one");
    assert_eq!(site.get("/api/v1/files/taken").await.text(), "three");
    assert_eq!(site.get("/api/v1/files/empty").await.text(), "");
    let listed = site.get("/api/v1/folders/new").await.json();
    assert_eq!(listed["entries"][0]["modified_ms"], 784_111_777_123_u64);
}

#[tokio::test]
async fn the_answer_is_in_the_order_of_the_form() {
    let site = Site::new();
    let paths: Vec<String> = (0..100).map(|number| format!("/{number:02}")).collect();
    let files: Vec<_> = paths
        .iter()
        .map(|path| (json!({"path": path}), &path[..]))
        .collect();
    let answer = send(&site, form(&files)).await;
    let answer = answer.json();
    let stored = answer["files"].as_array().unwrap().iter();
    let stored: Vec<_> = stored
        .map(|file| file["stored"]["path"].as_str().unwrap())
        .collect();
    assert_eq!(stored, paths);
    for path in paths {
        assert_eq!(site.get(&format!("/api/v1/files{path}")).await.text(), path);
    }
}

#[tokio::test]
async fn forms_that_cannot_be_read_say_what_is_wrong() {
    let site = Site::new();
    let said = json!({"path": "/a"}).to_string();
    let (end, content) = (END, field("content", "a"));
    for (form, word) in [
        (content.clone() + end, "`file` is due"),
        (field("file", &said) + end, "content of the last file"),
        (
            field("file", &said) + &field("file", &said) + end,
            "`content` is due",
        ),
        ("nothing".to_owned(), "form"),
    ] {
        let answer = send(&site, form.clone()).await;
        assert_eq!(answer.status, 400, "{form}: {}", answer.text());
        let problem = answer.json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{form}: {detail}");
    }
    let json = [("content-type", "application/json")];
    let answer = site.send("POST /api/v1/files", &json, "{}").await;
    answer.expect_problem(415, "unsupported_media_type");
    assert_eq!(send(&site, end).await.json(), json!({"files": []}));
}

#[tokio::test]
async fn a_form_holds_only_so_much() {
    let site = Site::new();
    let said = |number: usize| json!({"path": format!("/{number}")});
    let long = "a".repeat((1 << 20) + 1);
    let most = &long[1..];
    let answer = send(&site, form(&[(said(0), most), (said(1), &long)])).await;
    answer.expect_problem(413, "request_too_large");
    let stored = site.get("/api/v1/files/0").await;
    assert_eq!(stored.body.unwrap().len(), most.len());
    site.get("/api/v1/files/1")
        .await
        .expect_problem(404, "not_found");
    let large: Vec<_> = (0..9).map(|number| (said(number), most)).collect();
    let answer = send(&site, form(&large)).await;
    answer.expect_problem(413, "request_too_large");
    let many: Vec<_> = (0..257).map(|number| (said(number), "")).collect();
    let answer = send(&site, form(&many)).await;
    answer.expect_problem(413, "request_too_large");
    let path = "/ä".repeat(3000);
    let answer = send(&site, form(&[(json!({"path": path}), "")])).await;
    assert_eq!(statuses(&answer), [400]);
}

#[tokio::test]
async fn a_form_that_breaks_off_stores_no_part_of_a_file() {
    let site = Site::new();
    let whole = file(&json!({"path": "/whole"}), "whole");
    let half = field("file", r#"{"path": "/half"}"#)
        + "--XX\r\ncontent-disposition: form-data; name=\"content\"\r\n\r\nha";
    let pieces = [Ok(whole + &half), Err(io::Error::other("connection reset"))];
    let answer = send(&site, Body::from_stream(stream::iter(pieces))).await;
    answer.expect_problem(400, "upload_interrupted");
    site.get("/api/v1/files/half")
        .await
        .expect_problem(404, "not_found");
}
