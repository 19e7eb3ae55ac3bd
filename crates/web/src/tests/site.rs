//! The page, readiness, and what holds for all routes.

use axum::http::{StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Site;
use crate::TransferLimits;
use crate::memory::Faults;
use crate::routes::batch::CONTENT_LEN_MAX;
use crate::routes::zip::NAMES_MAX;

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

/// The pages of a file and of the links lacked one of them: the dot turned red and showed a script's error, while all was well.
#[tokio::test]
async fn every_page_has_what_the_dots_script_writes_to() {
    let site = Site::new();
    site.keep("/a.txt", b"x");
    let script = include_str!("../../../../static/status.js");
    let written: Vec<&str> = script
        .split("byId(\"")
        .skip(1)
        .map(|rest| rest.split_once('"').unwrap().0)
        .collect();
    assert!(written.contains(&"storage"));
    for address in ["/", "/search?text=a", "/trash", "/shares", "/view/a.txt"] {
        let page = site.get(address).await;
        for id in &written {
            let element = format!("id=\"{id}\"");
            assert!(page.text().contains(&element), "{address} has no {id}");
        }
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
        "/api/v1/file",
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

/// Nothing that tries to leave its place gets anywhere, and whoever sends it is told why.
#[tokio::test]
async fn addresses_that_lead_astray_are_refused_in_words() {
    let site = Site::new();
    let long = format!("/api/v1/files/{}", "a".repeat(5000));
    let deep = format!("/api/v1/files{}", "/a".repeat(3000));
    for (address, status, code) in [
        ("/api/v1/files/../a", 400, "invalid_argument"),
        ("/api/v1/files/%2e%2e/a", 400, "invalid_argument"),
        ("/api/v1/files/..%2fa", 400, "invalid_argument"),
        ("/api/v1/files/a%2Fb", 400, "invalid_argument"),
        ("/api/v1/files/a/", 400, "invalid_argument"),
        ("/api/v1/files/a//b", 400, "invalid_argument"),
        ("/api/v1/files/%00", 400, "invalid_argument"),
        ("/api/v1/files/%ff", 400, "invalid_argument"),
        (&long, 400, "invalid_argument"),
        (&deep, 400, "invalid_argument"),
        ("/api/v1/status/", 404, "no_such_route"),
        ("/api/v1//status", 404, "no_such_route"),
        ("/static/../app.js", 404, "not_found"),
    ] {
        site.get(address).await.expect_problem(status, code);
        let head = site.send(&format!("HEAD {address}"), &[], "").await;
        assert_eq!(head.status, status, "{address}");
    }
}

/// Somebody who mistyped an address got JSON.
#[tokio::test]
async fn a_browser_gets_a_page_where_there_is_nothing() {
    let site = Site::new();
    let browser = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    for address in ["/names", "/folder"] {
        let page = site.send(&format!("GET {address}"), &browser, "").await;
        assert_eq!(page.status, 404);
        assert!(page.header("content-type").starts_with("text/html"));
        assert!(page.text().contains("There is no page at this address"));
    }
    let api = site.send("GET /api/v1", &browser, "").await;
    api.expect_problem(404, "no_such_route");
}

/// The words were those of the libraries that read them.
#[tokio::test]
async fn what_does_not_fit_is_said_in_own_words() {
    let site = Site::new();
    let answer = site.get("/api/v1/folders?limit=x").await;
    answer.expect_problem(400, "bad_request");
    let detail = "the query does not fit: limit: it must be a whole number";
    assert_eq!(answer.json()["detail"], detail);
    let json = [("content-type", "application/json")];
    let answer = site.send("POST /api/v1/move", &json, "[]").await;
    let detail = "the body does not fit: an object is expected, not an array (column 2)";
    assert_eq!(answer.json()["detail"], detail);
    let answer = site.send("POST /api/v1/move", &json, "{").await;
    assert_eq!(answer.status, 400);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.starts_with("the body does not fit: it is not JSON"),
        "{detail}"
    );
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
    let both = [("host", "localhost"), ("host", "evil.example")];
    site.send("GET /", &both, "")
        .await
        .expect_problem(400, "bad_request");
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
    let missing = site.get("/folder/none").await;
    assert_eq!(missing.status, 404);
    assert!(!missing.text().contains("Try again"));
    // Within a second the last status would do.
    let site = Site::new();
    site.drive.set_faults(Faults {
        unreachable: true,
        ..Faults::default()
    });
    let page = site.get("/").await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("cannot be listed right now"));
    assert!(page.text().contains("Try again"));
}

/// In a title there are no elements: what should have marked a hidden character was shown as its text.
#[tokio::test]
async fn the_title_is_plain_text() {
    let site = Site::new();
    site.keep("/a\u{202e}<b/inner", b"x");
    let page = site.get("/folder/a%E2%80%AE%3Cb").await;
    assert!(page.text().contains("<title>aU+202E&#60;b · DFS</title>"));
}

/// It said twice that the master is away, and the system's number of the error.
#[tokio::test]
async fn a_master_that_is_away_is_said_once_and_in_words() {
    let site = Site::new();
    site.drive.set_faults(Faults {
        unreachable: true,
        ..Faults::default()
    });
    let reasons = &site.get("/readyz").await.json()["reasons"];
    assert_eq!(
        reasons[0]["message"],
        "The master at 127.0.0.1:9000 does not answer: nothing listens there. \
         Nothing is lost: start dfs-master, or wait until it is back."
    );
}

#[tokio::test]
async fn a_long_folder_is_shown_in_pages() {
    let site = Site::new();
    for number in 0..450 {
        site.keep(&format!("/n/{number:03}"), b"");
    }
    let first = site.get("/folder/n").await;
    assert!(
        first
            .text()
            .contains("href=\"/folder/n?after=files%2F199\"")
    );
    let last = site.get("/folder/n?after=files%2F399").await;
    assert!(last.text().contains("data-name=\"449\""));
    assert!(!last.text().contains("href=\"/folder/n?after="));
}

#[tokio::test]
async fn static_files_are_sent_once() {
    let site = Site::new();
    let first = site.get("/static/app.js").await;
    assert_eq!(
        (first.status, first.header("content-type")),
        (200, "text/javascript; charset=utf-8")
    );
    let gzip = [("accept-encoding", "gzip, br")];
    let smaller = site.send("GET /static/app.js", &gzip, "").await;
    assert_eq!(smaller.header("content-encoding"), "gzip");
    assert!(smaller.body.unwrap().len() < first.text().len() / 2);
    let known = [("if-none-match", first.header("etag"))];
    let again = site.send("GET /static/app.js", &known, "").await;
    assert_eq!(
        StatusCode::from_u16(again.status).unwrap(),
        StatusCode::NOT_MODIFIED
    );
    assert!(again.headers.contains_key(header::ETAG));
}

/// A browser takes a style that stands in a page by its hash only.
#[tokio::test]
async fn the_style_of_a_page_is_the_one_that_its_policy_names() {
    let site = Site::new();
    for address in ["/", "/cluster", "/s/unknown"] {
        let page = site.get(address).await;
        let (_, rest) = page.text().split_once("<style>").unwrap();
        let (style, rest) = rest.split_once("</style>").unwrap();
        assert!(!rest.contains("<style") && !rest.contains("style=\""));
        let hash = STANDARD.encode(Sha256::digest(style));
        let policy = page.header("content-security-policy");
        let source = format!("; style-src 'sha256-{hash}';");
        assert!(policy.contains(&source), "{address}: {policy}");
    }
}

/// A page names what belongs to it; a browser keeps that for good, and asks for what was replaced meanwhile.
#[tokio::test]
async fn what_a_page_names_is_asked_for_once() {
    let site = Site::new();
    let page = site.get("/").await;
    let addresses = page
        .text()
        .split('"')
        .filter(|text| text.starts_with("/static/"));
    let addresses: Vec<_> = addresses.collect();
    assert!(addresses.len() > 2, "{addresses:?}");
    for address in &addresses {
        let asset = site.get(address).await;
        let caching = asset.header("cache-control");
        assert_eq!(
            (asset.status, caching),
            (200, "public, max-age=31536000, immutable"),
            "{address}"
        );
    }
    let name = addresses[0].rsplit('/').next().unwrap();
    for (address, status, caching) in [
        (format!("/static/{name}"), 200, "no-cache"),
        (
            format!("/static/v-0123456789abcdef/{name}"),
            200,
            "no-store",
        ),
        (format!("/static/0123456789abcdef/{name}"), 404, ""),
    ] {
        let asset = site.get(&address).await;
        assert_eq!(
            (asset.status, asset.header("cache-control")),
            (status, caching),
            "{address}"
        );
    }
}

/// The page sends no longer requests than something on the way takes.
#[tokio::test]
async fn the_page_is_told_how_long_requests_may_be() {
    let limited = Site::limited(TransferLimits {
        upload_request_max: Some(1_000_000),
        ..TransferLimits::default()
    });
    for page in ["/", "/search?text=a"] {
        let attribute = "data-upload-request-max=";
        let page_text = Site::new().get(page).await;
        assert!(!page_text.text().contains(attribute));
        let longest = format!("data-small-file-max=\"{CONTENT_LEN_MAX}\"");
        assert!(page_text.text().contains(&longest));
        let most = format!("data-zip-names-max=\"{NAMES_MAX}\"");
        assert!(page_text.text().contains(&most));
        let told = limited.get(page).await;
        assert!(told.text().contains("data-upload-request-max=\"1000000\""));
    }
}

/// Its heading was that of the list of all files.
#[tokio::test]
async fn an_address_without_a_page_has_a_heading_that_says_so() {
    let wanted = [("accept", "text/html")];
    let page = Site::new().send("GET /nowhere", &wanted, "").await;
    assert_eq!(page.status, 404);
    let heading = page.text().split("</h1>").next().unwrap();
    assert!(heading.ends_with("<bdi>Not found</bdi>"), "{heading}");
    assert!(page.text().contains("<title>Not found · DFS</title>"));
}

/// White space that only the server wrote moved the links of its rows aside of those that the script makes.
#[tokio::test]
async fn nothing_stands_between_a_rows_link_and_its_menu() {
    let site = Site::new();
    site.keep("/a.txt", b"x");
    let page = site.get("/").await;
    assert!(
        page.text().contains("Download</a><details class=\"menu\">"),
        "{}",
        page.text()
    );
}
