//! Uploads, and files of forms, that name their chunks.

use proto::id::ChunkId;
use serde_json::json;
use uuid::Uuid;

use super::batch::{END, file, named, send, statuses};
use super::cancelling::outcome;
use super::uploads::{CHUNK, content};
use super::*;

impl Site {
    /// Says which chunks come next.
    async fn name(&self, address: &str, offset: usize, bytes: &[u8]) -> Answer {
        let chunks: Vec<_> = bytes.chunks(CHUNK).map(ChunkId::of).collect();
        let body = serde_json::json!({ "offset": offset, "chunks": chunks });
        self.post_names(address, &body.to_string()).await
    }

    async fn post_names(&self, address: &str, body: &str) -> Answer {
        let json = [("content-type", "application/json")];
        let request = format!("POST {address}/chunks");
        self.send(&request, &json, body.to_owned()).await
    }
}

/// A second upload of the same film sent all of it again.
#[tokio::test]
async fn what_is_here_already_is_named_and_not_sent() {
    let site = Site::new();
    let bytes = content(3 * CHUNK + 5);
    site.keep("/first", &bytes);
    let address = site.begin("/second", bytes.len()).await;
    let one = site.name(&address, 0, &bytes[..CHUNK]).await;
    assert_eq!((one.status, one.header("upload-offset")), (200, "65536"));
    assert_eq!(one.header("tus-resumable"), "1.0.0");
    assert_eq!(one.json()["path"], "/second");
    let rest = site.name(&address, CHUNK, &bytes[CHUNK..]).await;
    assert_eq!((rest.status, rest.header("x-copies")), (200, "3"));
    assert_eq!(rest.json()["version"].as_u64(), Some(2));
    let file = site.get("/api/v1/files/second").await;
    assert_eq!(file.header("etag"), rest.header("etag"));
    assert!(file.body.unwrap() == bytes);
    // Whoever did not hear the answer asks again.
    let again = site.name(&address, bytes.len(), &bytes[..CHUNK]).await;
    assert_eq!(again.header("upload-offset"), bytes.len().to_string());
}

#[tokio::test]
async fn bytes_go_on_where_names_do_not() {
    let site = Site::new();
    let bytes = content(4 * CHUNK + 5);
    site.keep("/front", &bytes[..2 * CHUNK]);
    let address = site.begin("/f", bytes.len()).await;
    let named = site.name(&address, 0, &bytes).await;
    assert_eq!(
        (named.status, named.header("upload-offset")),
        (200, "131072")
    );
    let none = site.name(&address, 2 * CHUNK, &bytes[2 * CHUNK..]).await;
    assert_eq!((none.status, none.header("upload-offset")), (200, "131072"));
    let more = site.patch(
        &address,
        2 * CHUNK,
        bytes[2 * CHUNK..2 * CHUNK + 9].to_vec(),
    );
    assert_eq!(more.await.status, 204);
    // Only bytes can complete a chunk.
    let within = site.name(&address, 2 * CHUNK + 9, &bytes[..CHUNK]).await;
    within.expect_problem(409, "offset_mismatch");
    let behind = site.name(&address, 2 * CHUNK, &bytes[..CHUNK]).await;
    behind.expect_problem(409, "offset_mismatch");
    let at = 2 * CHUNK + 9;
    assert_eq!(
        site.patch(&address, at, bytes[at..].to_vec()).await.status,
        204
    );
    assert!(site.get("/api/v1/files/f").await.body.unwrap() == bytes);
}

#[tokio::test]
async fn names_that_break_a_rule_are_told_so() {
    let site = Site::new();
    let bytes = content(2 * CHUNK);
    site.keep("/first", &bytes);
    let free = [("if-none-match", "*")];
    let address = site.create("/f", bytes.len(), &free, "").await;
    let address = address.header("location").to_owned();
    let hash = ChunkId::of(&bytes[..CHUNK]).to_string();
    for body in [
        r#"{"offset":0,"chunks":[]}"#.to_owned(),
        r#"{"offset":0,"chunks":["xyz"]}"#.to_owned(),
        r#"{"chunks":[]}"#.to_owned(),
        format!(r#"{{"offset":-1,"chunks":["{hash}"]}}"#),
        serde_json::json!({ "offset": 0, "chunks": vec![&hash; 513] }).to_string(),
    ] {
        let answer = site.post_names(&address, &body).await;
        answer.expect_problem(400, "bad_request");
    }
    let long = "x".repeat(70_000);
    let answer = site.post_names(&address, &long).await;
    answer.expect_problem(413, "request_too_large");
    let many = [&bytes[..], &bytes[..1]].concat();
    let answer = site.name(&address, 0, &many).await;
    answer.expect_problem(400, "invalid_argument");
    let answer = site.name("/api/v1/uploads/none", 0, &bytes).await;
    answer.expect_problem(404, "not_found");
    assert_eq!(site.offset(&address).await, 0);
    site.keep("/f", b"theirs");
    let late = site.name(&address, 0, &bytes).await;
    late.expect_problem(412, "precondition_failed");
    assert_eq!(site.get("/api/v1/files/f").await.text(), "theirs");
}

/// What is said of a file with these bytes.
fn by_name(bytes: &[u8]) -> Value {
    let chunks: Vec<_> = bytes.chunks(CHUNK).map(ChunkId::of).collect();
    json!({ "size": bytes.len(), "chunks": chunks })
}

fn codes(answer: &Answer) -> Vec<String> {
    let answer = answer.json();
    let files = answer["files"].as_array().unwrap().iter();
    let code = |file: &Value| file["problem"]["code"].as_str().unwrap_or("-").to_owned();
    files.map(code).collect()
}

/// Thousands of photos that were dropped a second time were sent in full.
#[tokio::test]
async fn a_form_names_files_that_are_here_already() {
    let site = Site::new();
    let (large, small) = (content(3 * CHUNK + 5), content(7));
    site.keep("/large", &large);
    site.keep("/small", &small);
    site.keep("/taken", b"before");
    let free = "*";
    let files = [
        named(
            &json!({"path": "/new/large", "by_name": by_name(&large), "if_none_match": free, "modified_ms": 5}),
        ),
        named(&json!({"path": "/new/none", "by_name": by_name(b"none")})),
        file(&json!({"path": "/new/sent"}), "sent"),
        named(&json!({"path": "/taken", "by_name": by_name(&small), "if_none_match": free})),
        named(&json!({"path": "/taken", "by_name": by_name(&small), "if_match": "\"v3\""})),
        named(&json!({"path": "/new", "by_name": by_name(&small)})),
        named(&json!({"path": "/new/empty", "by_name": by_name(b"")})),
    ];
    let answer = send(&site, files.concat() + END).await;
    assert_eq!(statuses(&answer), [201, 404, 201, 412, 200, 409, 201]);
    let problems = ["content_not_here", "-", "precondition_failed"];
    assert_eq!(codes(&answer)[1..4], problems);
    for (path, bytes) in [
        ("/new/large", &large[..]),
        ("/new/sent", b"sent"),
        ("/taken", &small),
        ("/new/empty", b""),
    ] {
        let stored = site.get(&format!("/api/v1/files{path}")).await;
        assert!(stored.body.unwrap() == bytes, "{path}");
    }
    let listed = site.get("/api/v1/folders/new").await.json();
    let names = listed["entries"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|entry| &entry["name"]).collect();
    assert_eq!(names, ["empty", "large", "sent"]);
    assert_eq!(listed["entries"][1]["modified_ms"], 5);
}

/// The last file with this content is deleted for good in the moment in which another one gets its name.
#[tokio::test]
async fn what_goes_while_it_is_named_is_not_stored() {
    let site = Site::new();
    site.keep("/first", b"bytes");
    let (hold, id) = (site.hold_commits(), Uuid::new_v4());
    let said = json!({"path": "/second", "id": id, "by_name": by_name(b"bytes")});
    let purge = async {
        hold.until_one_came().await;
        let deleted = site.send("DELETE /api/v1/files/first?purge=true", &[], "");
        assert_eq!(deleted.await.status, 200);
        hold.let_one_go();
    };
    let (answer, ()) = tokio::join!(send(&site, named(&said) + END), purge);
    assert_eq!(codes(&answer), ["content_not_here"]);
    assert_eq!(outcome(&site, id).await["outcome"], "not_stored");
    let second = site.get("/api/v1/files/second").await;
    second.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_named_file_is_cancelled_as_any_other() {
    let site = Site::new();
    site.keep("/first", b"bytes");
    let (hold, id) = (site.hold_unasked(), Uuid::new_v4());
    let said = json!({"path": "/second", "id": id, "by_name": by_name(b"bytes")});
    let cancel = async {
        hold.until_one_came().await;
        assert_eq!(outcome(&site, id).await["outcome"], "not_stored");
        hold.let_one_go();
    };
    let (answer, ()) = tokio::join!(send(&site, named(&said) + END), cancel);
    assert_eq!(codes(&answer), ["cancelled"]);
    let second = site.get("/api/v1/files/second").await;
    second.expect_problem(404, "not_found");
}

#[tokio::test]
async fn files_that_are_named_wrongly_are_told_so() {
    let site = Site::new();
    let bytes = content(2 * CHUNK);
    site.keep("/first", &bytes);
    let hash = ChunkId::of(&bytes[..CHUNK]);
    let cases = [
        (json!({"size": 1, "chunks": ["xyz"]}), 400, "bad_request"),
        (json!({"size": 1}), 400, "bad_request"),
        (json!({"size": -1, "chunks": [hash]}), 400, "bad_request"),
        (
            json!({"size": 2 * CHUNK, "chunks": [hash]}),
            404,
            "content_not_here",
        ),
        (
            json!({"size": CHUNK - 1, "chunks": [hash]}),
            404,
            "content_not_here",
        ),
        (
            json!({"size": CHUNK, "chunks": [hash, hash]}),
            404,
            "content_not_here",
        ),
        (
            json!({"size": (1 << 20) + 1, "chunks": [hash]}),
            413,
            "request_too_large",
        ),
        (json!({"size": CHUNK, "chunks": [hash]}), 201, "-"),
    ];
    let files = cases.iter().zip(0..).map(|((by_name, ..), number)| {
        named(&json!({"path": format!("/{number}"), "by_name": by_name}))
    });
    let answer = send(&site, files.collect::<String>() + END).await;
    let (expected, codes_expected): (Vec<_>, Vec<_>) = cases
        .iter()
        .map(|(_, status, code)| (*status, *code))
        .unzip();
    assert_eq!(statuses(&answer), expected);
    assert_eq!(codes(&answer), codes_expected);
    let said = json!({"path": "/a", "by_name": by_name(&bytes)});
    for form in [file(&said, "a"), named(&json!({"path": "/a"}))] {
        send(&site, form + END)
            .await
            .expect_problem(400, "bad_request");
    }
    let many = vec![hash; 1000];
    let long = named(&json!({"path": "/a", "by_name": {"size": 1, "chunks": many}}));
    let answer = send(&site, long + END).await;
    answer.expect_problem(413, "request_too_large");
    let files = (0..257)
        .map(|number| named(&json!({"path": format!("/{number}"), "by_name": by_name(b"")})));
    let answer = send(&site, files.collect::<String>() + END).await;
    answer.expect_problem(413, "request_too_large");
}
