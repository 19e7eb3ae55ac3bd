//! Copies within the drive.

use serde_json::json;

use super::{MODIFIED_MS, Site};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn a_copy_has_the_bytes_and_the_time_of_its_original() {
    let site = Site::new();
    site.keep("/a.txt", b"words");
    let request = r#"{"from": "/a.txt", "to": "/new/b c.txt"}"#;
    let copied = site.send("POST /api/v1/copy", &JSON, request).await;
    assert_eq!(copied.status, 201, "{}", copied.text());
    assert_eq!(copied.header("location"), "/api/v1/files/new/b%20c.txt");
    let expected = json!({
        "path": "/new/b c.txt", "version": 2, "size": 5, "created": true, "copies": 3, "copies_wanted": 3,
        "message": "stored, 3 copies",
    });
    assert_eq!(copied.json(), expected);
    assert_eq!(site.get("/api/v1/files/a.txt").await.text(), "words");
    assert_eq!(
        site.get("/api/v1/files/new/b%20c.txt").await.text(),
        "words"
    );
    let listed = site.get("/api/v1/folders/new").await.json();
    assert_eq!(listed["entries"][0]["modified_ms"], MODIFIED_MS);
}

#[tokio::test]
async fn a_copy_replaces_only_what_it_is_told_to() {
    let site = Site::new();
    site.keep("/a", b"new");
    site.keep("/b", b"old");
    site.keep("/folder/c", b"");
    for (request, status, code) in [
        (r#"{"from": "/a", "to": "/b"}"#, 409, "already_exists"),
        (r#"{"from": "/none", "to": "/c"}"#, 404, "not_found"),
        (r#"{"from": "/folder", "to": "/c"}"#, 409, "is_a_folder"),
        (r#"{"from": "/a", "to": "/folder"}"#, 409, "is_a_folder"),
        (r#"{"from": "/a"}"#, 400, "bad_request"),
    ] {
        let answer = site.send("POST /api/v1/copy", &JSON, request).await;
        answer.expect_problem(status, code);
    }
    assert_eq!(site.get("/api/v1/files/b").await.text(), "old");
    let request = r#"{"from": "/a", "to": "/b", "replace": true}"#;
    let copied = site.send("POST /api/v1/copy", &JSON, request).await;
    assert_eq!(
        (copied.status, &copied.json()["created"]),
        (200, &json!(false))
    );
    assert_eq!(site.get("/api/v1/files/b").await.text(), "new");
}

/// A folder's copy that was deleted while it was being filled came back with the rest of its files.
#[tokio::test]
async fn folders_are_not_made_for_who_wants_none() {
    let site = Site::new();
    site.keep("/a.txt", b"x");
    let request = r#"{"from":"/a.txt","to":"/gone/a.txt","parents":false}"#;
    let answer = site.send("POST /api/v1/copy", &JSON, request).await;
    answer.expect_problem(404, "not_found");
    assert_eq!(site.get("/api/v1/folders/gone").await.status, 404);
}
