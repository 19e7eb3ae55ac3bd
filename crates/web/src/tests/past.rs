//! The trash and versions: their routes, and the page of the trash.

use serde_json::{Value, json};

use super::{Answer, Site};
use crate::memory::Faults;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

impl Site {
    pub(super) async fn post(&self, address: &str, body: &str) -> Answer {
        let request = format!("POST {address}");
        self.send(&request, &JSON, body.to_owned()).await
    }

    pub(super) async fn delete(&self, address: &str) -> Answer {
        self.send(&format!("DELETE {address}"), &[], "").await
    }

    /// The paths in the trash, newest first.
    async fn trash(&self) -> Vec<String> {
        let page = self.get("/api/v1/trash").await.json();
        let entries = page["entries"].as_array().unwrap().iter();
        entries
            .map(|row| row["path"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test]
async fn what_was_deleted_is_listed_in_pages_newest_first() {
    let site = Site::new();
    for name in ["a", "b", "c"] {
        site.keep(&format!("/{name}"), b"x");
        site.delete(&format!("/api/v1/files/{name}")).await;
    }
    let page = site.get("/api/v1/trash?limit=2").await.json();
    let row = &page["entries"][0];
    assert_eq!((&row["path"], &row["trash"]), (&json!("/c"), &json!(3)));
    assert_eq!(row["entry"]["kind"], "file");
    assert!(row["deleted_ms"].as_u64().unwrap() > 0);
    assert_eq!((&page["more"], &page["next"]), (&json!(true), &json!(2)));
    let rest = site.get("/api/v1/trash?limit=2&before=2").await.json();
    assert_eq!(rest["entries"][0]["path"], "/a");
    assert_eq!(
        (&rest["more"], &rest["next"]),
        (&json!(false), &Value::Null)
    );
    let wrong = site.get("/api/v1/trash?before=x").await;
    wrong.expect_problem(400, "bad_request");
    let wrong = site.get("/api/v1/trash?limit=1001").await;
    wrong.expect_problem(400, "invalid_argument");
}

#[tokio::test]
async fn what_was_deleted_comes_back_where_it_was_or_elsewhere() {
    let site = Site::new();
    site.keep("/folder/file", b"old");
    let deleted = site.delete("/api/v1/folders/folder?recursive=true").await;
    assert_eq!(deleted.json(), json!({"trashed": 1}));
    site.keep("/folder/other", b"new");
    let taken = site.post("/api/v1/trash/1/restore", "{}").await;
    taken.expect_problem(409, "already_exists");
    let restored = site
        .post("/api/v1/trash/1/restore", r#"{"to": "/x/back"}"#)
        .await;
    assert_eq!(restored.json(), json!({"path": "/x/back"}));
    assert_eq!(site.get("/api/v1/files/x/back/file").await.text(), "old");
    let gone = site.post("/api/v1/trash/1/restore", "{}").await;
    gone.expect_problem(404, "not_found");
    for (address, body, status, code) in [
        ("/api/v1/trash/first/restore", "{}", 400, "invalid_argument"),
        ("/api/v1/trash/%ff/restore", "{}", 400, "invalid_argument"),
        (
            "/api/v1/trash/2/restore",
            r#"{"to": "/../a"}"#,
            400,
            "bad_request",
        ),
        (
            "/api/v1/trash/2/restore",
            r#"{"at": "/a"}"#,
            400,
            "bad_request",
        ),
        ("/api/v1/trash/2/restore", "", 400, "bad_request"),
    ] {
        site.post(address, body).await.expect_problem(status, code);
    }
    let plain = site.send("POST /api/v1/trash/2/restore", &[], "{}").await;
    plain.expect_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn one_thing_or_all_is_removed_for_good() {
    let site = Site::new();
    for name in ["a", "b", "c"] {
        site.keep(&format!("/{name}"), b"x");
        site.delete(&format!("/api/v1/files/{name}")).await;
    }
    let status = site.get("/api/v1/status").await.json();
    assert_eq!(status["trash"]["files"], 3);
    assert_eq!(site.delete("/api/v1/trash/2").await.status, 204);
    assert_eq!(site.trash().await, ["/c", "/a"]);
    // Who asks next is not told what was true before.
    let status = site.get("/api/v1/status").await.json();
    assert_eq!(status["trash"]["files"], 2);
    let gone = site.delete("/api/v1/trash/2").await;
    gone.expect_problem(404, "not_found");
    assert_eq!(site.delete("/api/v1/trash").await.status, 204);
    assert!(site.trash().await.is_empty());
    let foreign = [("sec-fetch-site", "cross-site")];
    let refused = site.send("DELETE /api/v1/trash", &foreign, "").await;
    refused.expect_problem(403, "cross_site");
}

#[tokio::test]
async fn versions_are_listed_read_restored_and_removed() {
    let site = Site::new();
    for content in ["one", "two!", "three"] {
        site.keep("/folder/a", content.as_bytes());
    }
    let address = "/api/v1/versions/folder/a";
    let page = site.get(address).await.json();
    assert_eq!(page["path"], "/folder/a");
    assert_eq!(page["current"]["version"], 3);
    assert_eq!(page["current"].get("former_for_ms"), None);
    let former: Vec<_> = page["former"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["size"])
        .collect();
    assert_eq!(former, [4, 3]);
    assert!(page["former"][0]["former_for_ms"].is_u64());
    let old = site.get("/api/v1/files/folder/a?version=1").await;
    assert_eq!((old.text(), old.header("etag")), ("one", "\"v1\""));

    let restored = site.post(address, r#"{"version": 1}"#).await;
    assert_eq!((restored.status, restored.header("etag")), (200, "\"v1\""));
    assert_eq!(restored.json()["entry"]["version"], 1);
    assert_eq!(site.get("/api/v1/files/folder/a").await.text(), "one");
    let page = site.get(&format!("{address}?limit=1")).await.json();
    assert_eq!(
        (&page["former"][0]["version"], &page["next"]),
        (&json!(3), &json!(3))
    );
    let page = site.get(&format!("{address}?before=3")).await.json();
    assert_eq!(
        (&page["former"][0]["version"], &page["next"]),
        (&json!(2), &Value::Null)
    );

    assert_eq!(
        site.delete(&format!("{address}?version=2")).await.status,
        204
    );
    let gone = site.delete(&format!("{address}?version=2")).await;
    gone.expect_problem(404, "not_found");
    let gone = site.get("/api/v1/files/folder/a?version=2").await;
    gone.expect_problem(404, "not_found");
    let current = site.delete(&format!("{address}?version=1")).await;
    current.expect_problem(412, "precondition_failed");
}

#[tokio::test]
async fn versions_that_cannot_be_are_refused() {
    let site = Site::new();
    site.keep("/folder/a", b"one");
    site.keep("/folder/b", b"two");
    for (address, body, status, code) in [
        (
            "/api/v1/versions/none",
            r#"{"version": 1}"#,
            404,
            "not_found",
        ),
        (
            "/api/v1/versions/folder",
            r#"{"version": 1}"#,
            409,
            "is_a_folder",
        ),
        (
            "/api/v1/versions/folder/b",
            r#"{"version": 1}"#,
            404,
            "not_found",
        ),
        ("/api/v1/versions/folder/b", "{}", 400, "bad_request"),
        (
            "/api/v1/versions/folder/b/",
            r#"{"version": 2}"#,
            400,
            "invalid_argument",
        ),
        (
            "/api/v1/versions/%2e%2e",
            r#"{"version": 2}"#,
            400,
            "invalid_argument",
        ),
    ] {
        site.post(address, body).await.expect_problem(status, code);
    }
    let folder = site.get("/api/v1/versions/folder").await;
    folder.expect_problem(409, "is_a_folder");
    let none = site.delete("/api/v1/versions/folder/a").await;
    none.expect_problem(400, "bad_request");
}

#[tokio::test]
async fn a_version_is_restored_only_if_the_file_is_as_it_was_seen() {
    let site = Site::new();
    for content in ["one", "two", "three"] {
        site.keep("/a", content.as_bytes());
    }
    let restore = async |headers: &[(&str, &str)], version: u64| {
        let headers = [&JSON, headers].concat();
        let body = json!({ "version": version }).to_string();
        site.send("POST /api/v1/versions/a", &headers, body).await
    };
    let stale = restore(&[("if-match", "\"v2\"")], 1).await;
    stale.expect_problem(412, "precondition_failed");
    let absent = restore(&[("if-none-match", "*")], 1).await;
    absent.expect_problem(412, "precondition_failed");
    assert_eq!(restore(&[("if-match", "\"v3\"")], 1).await.status, 200);
    let again = restore(&[("if-match", "\"v3\"")], 2).await;
    again.expect_problem(412, "precondition_failed");
    assert_eq!(restore(&[("if-match", "*")], 1).await.status, 200);
}

#[tokio::test]
async fn the_page_of_the_trash_is_whole_without_a_script() {
    let site = Site::new();
    let page = site.get("/trash").await;
    assert_eq!(page.status, 200);
    assert!(
        page.text().contains("The trash is empty"),
        "{}",
        page.text()
    );
    site.keep("/letters/<b>\u{202e}.txt", b"words");
    site.keep("/letters/<b>\u{202e}.txt", b"other words");
    site.delete("/api/v1/folders/letters?recursive=true").await;
    site.keep("/a.txt", b"12345");
    site.delete("/api/v1/files/a.txt").await;
    let page = site.get("/trash").await;
    let text = page.text();
    for expected in [
        "What is deleted stays here for 30 days",
        "Here: 2 files and 1 folder, 16 bytes.",
        "Former versions of files take 5 bytes besides; they are kept for 30 days.",
        "data-trash=\"1\"",
        "data-path=\"/letters\"",
        "was in <bdi>All files</bdi>",
        "5 bytes",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(
        page.header("content-security-policy")
            .contains("script-src")
    );
    let wrong = site.get("/trash?before=x").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("This address cannot be right"));
    let late = site.get("/trash?before=1").await;
    assert!(late.text().contains("That was all"));
    assert!(
        late.text().contains("href=\"/trash\">First page"),
        "{}",
        late.text()
    );
}

#[tokio::test]
async fn the_page_of_the_trash_says_what_is_wrong() {
    let site = Site::new();
    site.drive.set_faults(Faults {
        unreachable: true,
        ..Faults::default()
    });
    let page = site.get("/trash").await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("The trash cannot be listed right now"));
    let listed = site.get("/api/v1/trash").await;
    listed.expect_problem(503, "unavailable");
}

/// Names in the trash are those that people gave.
#[tokio::test]
async fn names_in_the_trash_do_nothing_to_the_page() {
    let site = Site::new();
    site.keep("/<script>alert(1)<\u{200f}script>", b"x");
    let listed = site.get("/api/v1/folders").await.json();
    let name = listed["entries"][0]["name"].as_str().unwrap().to_owned();
    site.delete(&format!(
        "/api/v1/files/{}",
        crate::location::encode_text(&name)
    ))
    .await;
    let page = site.get("/trash").await;
    assert!(!page.text().contains("<script>alert"));
    assert!(page.text().contains("U+200F"));
}
