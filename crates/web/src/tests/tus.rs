//! What the tus protocol demands of a server, beside uploads that succeed.

use super::uploads::{BYTES, TUS};
use super::*;

#[tokio::test]
async fn requests_that_break_the_protocol_are_told_so() {
    let site = Site::new();
    let address = site.begin("/f", 4).await;
    let patch = format!("PATCH {address}");
    let offset = ("upload-offset", "0");
    for (headers, status, code) in [
        (&[BYTES, offset][..], 412, "unsupported_tus_version"),
        (
            &[("tus-resumable", "0.2.2"), BYTES, offset],
            412,
            "unsupported_tus_version",
        ),
        (&[TUS, offset], 415, "unsupported_media_type"),
        (&[TUS, BYTES], 400, "bad_request"),
        (&[TUS, BYTES, ("upload-offset", "-1")], 400, "bad_request"),
        (
            &[TUS, BYTES, ("upload-offset", "1")],
            409,
            "offset_mismatch",
        ),
    ] {
        let answer = site.send(&patch, headers, "data").await;
        answer.expect_problem(status, code);
        assert_eq!(answer.header("tus-resumable"), "1.0.0");
    }
    site.patch(&address, 0, "too long")
        .await
        .expect_problem(413, "request_too_large");
    assert_eq!(site.offset(&address).await, 0);
    let place = ("upload-metadata", "path L2Y=");
    for (headers, code) in [
        (&[TUS, place][..], "bad_request"),
        (&[TUS, ("upload-length", "4")], "invalid_argument"),
        (
            &[TUS, ("upload-length", "4"), ("upload-metadata", "path ?")],
            "bad_request",
        ),
        (
            &[
                TUS,
                ("upload-length", "4"),
                ("upload-metadata", "path Lw=="),
            ],
            "invalid_argument",
        ),
    ] {
        let answer = site.send("POST /api/v1/uploads", headers, "").await;
        answer.expect_problem(400, code);
    }
    let huge = [TUS, place, ("upload-length", "1073741825")];
    let answer = site.send("POST /api/v1/uploads", &huge, "").await;
    answer.expect_problem(413, "too_large");
}

#[tokio::test]
async fn clients_learn_what_is_spoken_here_and_may_use_post_for_all() {
    let site = Site::new();
    let options = site.send("OPTIONS /api/v1/uploads", &[], "").await;
    assert_eq!(options.status, 204);
    assert_eq!(options.header("tus-version"), "1.0.0");
    assert_eq!(options.header("tus-max-size"), "1073741824");
    assert!(options.header("tus-extension").contains("creation"));
    let address = site.begin("/f", 4).await;
    let post = format!("POST {address}");
    let headers = [
        TUS,
        BYTES,
        ("upload-offset", "0"),
        ("x-http-method-override", "PATCH"),
    ];
    let patched = site.send(&post, &headers, "data").await;
    assert_eq!(
        (patched.status, patched.header("upload-offset")),
        (204, "4")
    );
    let bare = site.send(&post, &[TUS], "").await;
    bare.expect_problem(400, "bad_request");
}

/// Metadata is given back as it came.
#[tokio::test]
async fn what_the_caller_said_is_told_again() {
    let site = Site::new();
    let address = site.begin("/f", 4).await;
    let answer = site.send(&format!("HEAD {address}"), &[TUS], "").await;
    assert_eq!(answer.header("upload-metadata"), "path L2Y=,extra");
    assert_eq!(answer.header("upload-length"), "4");
}

/// A refusal that came before the route did not say that tus is spoken here, as each answer to a client of it has to.
#[tokio::test]
async fn refusals_of_any_kind_speak_tus() {
    let site = Site::new();
    let foreign = [TUS, ("sec-fetch-site", "cross-site")];
    let answer = site.send("POST /api/v1/uploads", &foreign, "").await;
    answer.expect_problem(403, "cross_site");
    assert_eq!(answer.header("tus-resumable"), "1.0.0");
    let other = site.send("POST /api/v1/move", &foreign, "").await;
    assert_eq!((other.status, other.header("tus-resumable")), (403, ""));
}

/// Of two values nobody knows which one was meant: the first was taken.
#[tokio::test]
async fn headers_that_come_twice_are_refused() {
    let site = Site::new();
    let address = site.begin("/f", 4).await;
    let offsets = [TUS, BYTES, ("upload-offset", "0"), ("upload-offset", "4")];
    let answer = site
        .send(&format!("PATCH {address}"), &offsets, "data")
        .await;
    answer.expect_problem(400, "bad_request");
    let places = [
        TUS,
        ("upload-length", "4"),
        ("upload-metadata", "path L2Y="),
        ("upload-metadata", "path L2c="),
    ];
    let answer = site.send("POST /api/v1/uploads", &places, "").await;
    answer.expect_problem(400, "bad_request");
    let times = [("x-modified-ms", "1"), ("x-modified-ms", "2")];
    let answer = site.send("PUT /api/v1/files/f", &times, "data").await;
    answer.expect_problem(400, "bad_request");
    site.keep("/f", b"data");
    let ranges = [("range", "bytes=0-0"), ("range", "bytes=1-1")];
    let answer = site.send("GET /api/v1/files/f", &ranges, "").await;
    assert_eq!((answer.status, answer.text()), (200, "data"));
}
