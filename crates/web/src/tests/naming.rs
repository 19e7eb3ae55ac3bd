//! Uploads that name their chunks.

use proto::id::ChunkId;

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
