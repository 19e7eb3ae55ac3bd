//! Share links: the owner's routes, and what whoever has a link gets to see.

use serde_json::{Value, json};

use super::{Answer, Site};
use crate::memory::Faults;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
pub(super) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

impl Site {
    async fn try_share(&self, body: Value) -> Answer {
        let body = body.to_string();
        self.send("POST /api/v1/shares", &JSON, body).await
    }

    /// Shares something, and gives the address of the link without its host.
    pub(super) async fn share(&self, body: Value) -> String {
        let made = self.try_share(body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let link = made.json()["link"].as_str().unwrap().to_owned();
        let (host, address) = link.split_at("http://localhost:5000".len());
        assert_eq!(host, "http://localhost:5000");
        assert!(address.starts_with("/s/") && address.len() == 3 + 32);
        address.to_owned()
    }

    pub(super) async fn downloads(&self) -> u64 {
        let page = self.get("/api/v1/shares").await.json();
        page["shares"][0]["downloads"].as_u64().unwrap()
    }

    /// With a cookie.
    async fn get_with(&self, address: &str, cookie: &str, range: &str) -> Answer {
        let headers = [("cookie", cookie), ("range", range)];
        let headers: Vec<_> = headers.into_iter().filter(|(_, v)| !v.is_empty()).collect();
        self.send(&format!("GET {address}"), &headers, "").await
    }

    pub(super) async fn unlock(&self, address: &str, password: &str) -> Answer {
        let request = format!("POST {address}");
        let body = format!("password={password}");
        self.send(&request, &[FORM], body).await
    }

    async fn add(&self, address: &str, headers: &[(&str, &str)], files: &[(&str, &str)]) -> Answer {
        let part = |(name, content): &(&str, &str)| {
            format!(
                "--XX\r\ncontent-disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\r\n{content}\r\n"
            )
        };
        let body: String = files.iter().map(part).collect();
        let form = ("content-type", "multipart/form-data; boundary=XX");
        let headers: Vec<_> = headers.iter().copied().chain([form]).collect();
        let request = format!("POST {address}/files");
        self.send(&request, &headers, format!("{body}--XX--\r\n"))
            .await
    }
}

/// What every answer to a receiver has.
#[track_caller]
fn expect_hidden(answer: &Answer) {
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("x-robots-tag"), "noindex, nofollow");
    assert_eq!(answer.header("cache-control"), "private, no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("x-frame-options"), "DENY");
}

fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie");
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_link_to_a_file_shows_it_and_gives_it() {
    let site = Site::new();
    site.keep("/secret/place/report \"1\".html", b"<script>");
    let link = site
        .share(json!({"path": "/secret/place/report \"1\".html"}))
        .await;
    let page = site.get(&link).await;
    assert_eq!(page.status, 200);
    expect_hidden(&page);
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src localhost:5000/static/;"));
    assert!(page.text().contains("8 bytes") && page.text().contains(&format!("{link}/file")));
    assert!(!page.text().contains("secret") && !page.text().contains("/api/"));
    let file = site.get(&format!("{link}/file")).await;
    assert_eq!(file.status, 200);
    assert_eq!(file.body.as_deref(), Some(&b"<script>"[..]));
    expect_hidden(&file);
    assert!(
        file.header("content-disposition")
            .starts_with("attachment; ")
    );
    assert!(
        file.header("content-security-policy")
            .starts_with("sandbox;")
    );
    let head = site.send(&format!("HEAD {link}/file"), &[], "").await;
    assert_eq!((head.status, head.header("content-length")), (200, "8"));
    // Nobody who comes from elsewhere by the link is turned away.
    let cross = [
        ("sec-fetch-site", "cross-site"),
        ("referer", "https://mail.example/"),
    ];
    let page = site.send(&format!("GET {link}"), &cross, "").await;
    assert_eq!(page.status, 200);
    for added in ["/", "?utm_source=mail", "?after=%00"] {
        let page = site.get(&format!("{link}{added}")).await;
        assert_eq!(page.status, 200, "{added}");
    }
    for other in ["/file/x", "/folder/x", "/zip"] {
        assert_eq!(
            site.get(&format!("{link}{other}")).await.status,
            404,
            "{other}"
        );
    }
    let added = site.add(&link, &[], &[("x", "y")]).await;
    assert_eq!(added.status, 404);
}

#[tokio::test]
async fn a_link_to_a_folder_shows_what_is_in_it_and_nothing_above() {
    let site = Site::new();
    site.keep("/secret/album/a.jpg", b"1");
    site.keep("/secret/album/deep/b <i>.jpg", b"22");
    site.keep("/secret/neighbour", b"x");
    site.keep("/album", b"x");
    let link = site.share(json!({"path": "/secret/album"})).await;
    let page = site.get(&link).await;
    assert_eq!(page.status, 200);
    expect_hidden(&page);
    for part in [
        format!("{link}/file/a.jpg"),
        format!("{link}/folder/deep"),
        format!("{link}/zip"),
    ] {
        assert!(page.text().contains(&part), "{part}");
    }
    let deep = site.get(&format!("{link}/folder/deep")).await;
    assert!(
        deep.text()
            .contains(&format!("{link}/file/deep/b%20%3Ci%3E.jpg"))
    );
    assert!(deep.text().contains("b &#60;i&#62;.jpg"));
    assert!(
        deep.text().contains(&format!("<a href=\"{link}\">")),
        "a way up"
    );
    let file = site.get(&format!("{link}/file/deep/b%20%3Ci%3E.jpg")).await;
    assert_eq!(file.body.as_deref(), Some(&b"22"[..]));
    for shown in [&page, &deep] {
        assert!(!shown.text().contains("secret") && !shown.text().contains("neighbour"));
    }
    for above in [
        "/file/../neighbour",
        "/file/%2e%2e/neighbour",
        "/file/..%2fneighbour",
        "/file/deep/..",
        "/file/",
        "/file",
        "/file/deep",
        "/file/secret/neighbour",
        "/folder/..",
        "/folder/%2e%2e/",
        "/folder/a.jpg",
        "/folder/none",
        "/zip/..",
        "/zip/a.jpg",
        "/zip/%2e%2e%2f",
    ] {
        let answer = site.get(&format!("{link}{above}")).await;
        assert_eq!(answer.status, 404, "{above}");
        assert!(
            !answer.text().contains("secret"),
            "{above}: {}",
            answer.text()
        );
        expect_hidden(&answer);
    }
    let zip = site.get(&format!("{link}/zip")).await;
    assert_eq!(
        (zip.status, zip.header("content-type")),
        (200, "application/zip")
    );
    expect_hidden(&zip);
    let zip = zip.body.unwrap();
    let zip = String::from_utf8_lossy(&zip);
    assert!(zip.contains("album/deep/b <i>.jpg") && !zip.contains("secret"));
    let zip = site.get(&format!("{link}/zip/deep")).await.body.unwrap();
    let zip = String::from_utf8_lossy(&zip);
    assert!(zip.contains("deep/b <i>.jpg") && !zip.contains("album"));
}

#[tokio::test]
async fn long_folders_come_in_pages() {
    let site = Site::new();
    for number in 0..502 {
        site.keep(&format!("/a/{number:03}"), b"");
    }
    let link = site.share(json!({"path": "/a"})).await;
    let page = site.get(&link).await;
    let next = format!("{link}?after=499");
    assert!(page.text().contains(&next));
    let page = site.get(&next).await;
    assert!(page.text().contains(&format!("{link}/file/501")));
    assert!(!page.text().contains(&format!("{link}/file/499")));
}

#[tokio::test]
async fn links_that_lead_nowhere_have_a_plain_page() {
    let site = Site::new();
    site.keep("/f", b"x");
    let check = async |address: &str, status: u16, text: &str| {
        for below in ["", "/file", "/zip", "/folder/x"] {
            let page = site.get(&format!("{address}{below}")).await;
            assert_eq!(page.status, status, "{address}{below}");
            assert!(page.text().contains(text), "{}", page.text());
            expect_hidden(&page);
        }
    };
    check("/s/short", 404, "This link leads nowhere").await;
    check(
        &format!("/s/{}", "A".repeat(32)),
        404,
        "This link leads nowhere",
    )
    .await;
    check(
        &format!("/s/{}", "%41".repeat(32)),
        404,
        "This link leads nowhere",
    )
    .await;

    let link = site.share(json!({"path": "/f"})).await;
    site.send("DELETE /api/v1/files/f", &[], "").await;
    check(&link, 410, "no longer there").await;
    site.send("POST /api/v1/trash/1/restore", &JSON, "{\"to\":\"/g\"}")
        .await;
    assert!(site.get(&link).await.text().contains(">g<"));
    assert_eq!(
        site.send("DELETE /api/v1/shares/1", &[], "").await.status,
        204
    );
    check(&link, 404, "This link leads nowhere").await;
    site.send("DELETE /api/v1/shares/1", &[], "")
        .await
        .expect_problem(404, "not_found");

    let ends = crate::receivers::now_ms() + 40;
    let link = site.share(json!({"path": "/g", "expires_ms": ends})).await;
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    check(&link, 410, "This link has expired").await;
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_said_without_its_sentences() {
    let site = Site::new();
    site.keep("/f", b"x");
    let link = site.share(json!({"path": "/f"})).await;
    site.drive.set_faults(Faults {
        unreachable: true,
        ..Faults::default()
    });
    let page = site.get(&link).await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("cannot be shown right now"));
    assert!(!page.text().contains("127.0.0.1"));
    expect_hidden(&page);
}

#[tokio::test]
async fn a_password_opens_its_link_for_whoever_gave_it() {
    let site = Site::new();
    site.keep("/f", b"bytes");
    let link = site
        .share(json!({"path": "/f", "password": "open sesame"}))
        .await;
    let page = site.get(&link).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("type=\"password\"") && !page.text().contains("5 bytes"));
    let locked = site.get(&format!("{link}/file")).await;
    assert!(locked.text().contains("type=\"password\""));

    let wrong = site.unlock(&link, "open").await;
    assert_eq!(wrong.status, 403);
    assert!(wrong.text().contains("not the password"));
    assert_eq!(wrong.header("set-cookie"), "");
    let right = site.unlock(&link, "open+sesame").await;
    assert_eq!(
        (right.status, right.header("location")),
        (303, link.as_str())
    );
    expect_hidden(&right);
    let cookie = right.header("set-cookie");
    let attributes = format!("; HttpOnly; SameSite=Lax; Path={link}; Max-Age=7200");
    assert!(cookie.ends_with(&attributes), "{cookie}");
    let cookie = cookie_of(&right);
    let page = site.get_with(&link, &format!("a=b; {cookie}"), "").await;
    assert!(page.text().contains("5 bytes"));
    let file = site.get_with(&format!("{link}/file"), &cookie, "").await;
    assert_eq!(file.body.as_deref(), Some(&b"bytes"[..]));

    // It opens no other link, and is worth nothing when changed.
    let other = site
        .share(json!({"path": "/f", "password": "open sesame"}))
        .await;
    for (link, cookie) in [(&other, cookie.clone()), (&link, format!("{cookie}x"))] {
        let page = site.get_with(link, &cookie, "").await;
        assert!(page.text().contains("type=\"password\""));
    }
    let https = [FORM, ("x-forwarded-proto", "https")];
    let request = format!("POST {link}");
    let secure = site.send(&request, &https, "password=open+sesame").await;
    assert!(secure.header("set-cookie").ends_with("; Secure"));
}

#[tokio::test]
async fn a_password_cannot_be_guessed() {
    let site = Site::new();
    site.keep("/f", b"bytes");
    let link = site.share(json!({"path": "/f", "password": "right"})).await;
    for _ in 0..10 {
        assert_eq!(site.unlock(&link, "wrong").await.status, 403);
    }
    // Not even the right one is looked at any more.
    let refused = site.unlock(&link, "right").await;
    assert_eq!(refused.status, 429);
    assert!(refused.text().contains("Too many wrong passwords"));
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=300).contains(&seconds));
    expect_hidden(&refused);
}

#[tokio::test]
async fn a_form_comes_from_the_page_itself() {
    let site = Site::new();
    site.keep("/f", b"bytes");
    let link = site.share(json!({"path": "/f", "password": "right"})).await;
    let request = format!("POST {link}");
    for (field, value, expected) in [
        ("sec-fetch-site", "same-origin", 303),
        ("sec-fetch-site", "cross-site", 403),
        // A page without referrer, over plain HTTP.
        ("origin", "null", 303),
        ("origin", "https://evil.example", 403),
    ] {
        let headers = [FORM, (field, value)];
        let answer = site.send(&request, &headers, "password=right").await;
        assert_eq!(answer.status, expected, "{field} {value}");
    }
    let elsewhere = [JSON[0], ("origin", "null")];
    site.send("POST /api/v1/shares", &elsewhere, "{}")
        .await
        .expect_problem(403, "cross_site");
}

#[tokio::test]
async fn a_download_counts_when_it_begins() {
    let site = Site::new();
    site.keep("/f", &[7; 1000]);
    let link = site.share(json!({"path": "/f", "downloads_max": 2})).await;
    let file = format!("{link}/file");
    let first = site.get_with(&file, "", "bytes=0-").await;
    assert_eq!((first.status, site.downloads().await), (206, 1));
    let cookie = first.header("set-cookie");
    assert!(cookie.contains(&format!("; HttpOnly; SameSite=Lax; Path={file}; ")));
    let cookie = cookie_of(&first);
    // It goes on with what it has begun, and that is no other download.
    for range in ["bytes=500-", "bytes=1-2", "bytes=-1"] {
        let part = site.get_with(&file, &cookie, range).await;
        assert_eq!((part.status, site.downloads().await), (206, 1), "{range}");
    }
    let head = site.send(&format!("HEAD {file}"), &[], "").await;
    let wrong = site.get_with(&file, &cookie, "bytes=5000-").await;
    assert_eq!(
        (head.status, wrong.status, site.downloads().await),
        (200, 416, 1)
    );
    // Without having begun, the middle is a download, too.
    let other = site.get_with(&file, "", "bytes=1-").await;
    assert_eq!((other.status, site.downloads().await), (206, 2));
    for range in ["", "bytes=0-", "bytes=1-"] {
        let refused = site.get_with(&file, "", range).await;
        assert_eq!(refused.status, 410, "{range}");
        assert!(refused.text().contains("used up"));
    }
    assert_eq!(
        site.get_with(&file, &cookie, "bytes=500-").await.status,
        206
    );
    assert_eq!(site.get(&link).await.status, 410);
    assert_eq!(site.downloads().await, 2);
}

#[tokio::test]
async fn without_a_limit_only_beginnings_are_counted() {
    let site = Site::new();
    site.keep("/a/f", &[7; 1000]);
    let link = site.share(json!({"path": "/a"})).await;
    site.get(&format!("{link}/file/f")).await;
    site.get_with(&format!("{link}/file/f"), "", "bytes=1-")
        .await;
    site.get(&link).await;
    assert_eq!(site.downloads().await, 1);
    let zip = site.get(&format!("{link}/zip")).await;
    assert_eq!(zip.header("set-cookie"), "");
    assert_eq!(site.downloads().await, 2);
}

#[tokio::test]
async fn files_can_be_added_where_nothing_can_be_seen() {
    let site = Site::new();
    site.keep("/inbox/taken.txt", b"old");
    let link = site
        .share(json!({"path": "/inbox", "upload_only": true}))
        .await;
    let page = site.get(&link).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("multipart/form-data") && !page.text().contains("taken"));
    for hidden in ["/file/taken.txt", "/zip", "/file", "/zip/x"] {
        assert_eq!(
            site.get(&format!("{link}{hidden}")).await.status,
            404,
            "{hidden}"
        );
    }
    assert!(
        !site
            .get(&format!("{link}/folder/x"))
            .await
            .text()
            .contains("taken")
    );
    let files = [
        ("taken.txt", "new"),
        ("b", ""),
        ("%22q%22 🎉", "x"),
        ("", ""),
    ];
    let sent = site.add(&link, &[], &files).await;
    let back = format!("{link}?received=3");
    assert_eq!((sent.status, sent.header("location")), (303, back.as_str()));
    expect_hidden(&sent);
    assert!(site.get(&back).await.text().contains("3 files arrived"));
    let taken = site.get("/api/v1/files/inbox/taken.txt").await;
    assert_eq!(taken.text(), "old", "nothing is replaced");
    let added = site.get("/api/v1/files/inbox/taken%20(2).txt").await;
    assert_eq!(added.text(), "new");
    let quoted = site.get("/api/v1/files/inbox/%22q%22%20%F0%9F%8E%89").await;
    assert_eq!(quoted.text(), "x");

    let script = [("accept", "application/json")];
    let sent = site.add(&link, &script, &[("taken.txt", "newest")]).await;
    assert_eq!(sent.status, 201);
    assert_eq!(sent.json(), json!({"names": ["taken.txt"]}));
    let wrong = site.add(&link, &script, &[("../up", "x")]).await;
    wrong.expect_problem(400, "invalid_argument");
    assert!(!wrong.text().contains("inbox"));
    let locked = site
        .share(json!({"path": "/inbox", "upload_only": true, "password": "x"}))
        .await;
    let refused = site.add(&locked, &script, &[("a", "b")]).await;
    refused.expect_problem(403, "password_needed");
    expect_hidden(&refused);
    let request = format!("POST {link}/files");
    let headers = [script[0], ("content-type", "text/plain")];
    site.send(&request, &headers, "x")
        .await
        .expect_problem(415, "unsupported_media_type");
    let cut = [
        script[0],
        ("content-type", "multipart/form-data; boundary=XX"),
    ];
    let body = "--XX\r\ncontent-disposition: form-data; name=\"f\"; filename=\"cut\"\r\n\r\nhalf";
    let cut = site.send(&request, &cut, body).await;
    assert_eq!(cut.status, 400, "{}", cut.text());
    assert_eq!(site.get("/api/v1/files/inbox/cut").await.status, 404);
}

#[tokio::test]
async fn links_are_listed_without_their_secrets() {
    let site = Site::new();
    site.keep("/a", b"x");
    let link = site
        .share(json!({"path": "/a", "password": "open sesame", "downloads_max": 3}))
        .await;
    site.share(json!({"path": "/a"})).await;
    let page = site.get("/api/v1/shares?limit=1").await;
    let page = page.json();
    assert_eq!((&page["more"], &page["next"]), (&json!(true), &json!(2)));
    let rest = site.get("/api/v1/shares?limit=1&before=2").await;
    assert!(!rest.text().contains("argon") && !rest.text().contains(&link[3..]));
    let share = &rest.json()["shares"][0];
    assert_eq!(share["shared"]["path"], "/a");
    assert_eq!(
        (&share["has_password"], &share["downloads_max"]),
        (&json!(true), &json!(3))
    );
    site.get("/api/v1/shares?before=x")
        .await
        .expect_problem(400, "bad_request");
}

#[tokio::test]
async fn what_cannot_be_shared_is_refused() {
    let site = Site::new();
    site.keep("/a", b"x");
    for (body, status, code) in [
        (json!({"path": "/none"}), 404, "not_found"),
        (json!({"path": "/"}), 400, "invalid_argument"),
        (
            json!({"path": "/a", "upload_only": true}),
            400,
            "invalid_argument",
        ),
        (
            json!({"path": "/a", "expires_ms": 1}),
            400,
            "invalid_argument",
        ),
        (
            json!({"path": "/a", "password": ""}),
            400,
            "invalid_argument",
        ),
        (json!({"path": "/a", "other": 1}), 400, "bad_request"),
        (json!({}), 400, "bad_request"),
    ] {
        let refused = site.try_share(body).await;
        refused.expect_problem(status, code);
    }
    site.send("DELETE /api/v1/shares/x", &[], "")
        .await
        .expect_problem(400, "invalid_argument");
}

#[tokio::test]
async fn the_page_of_links_says_what_is_left_of_each() {
    let site = Site::new();
    site.keep("/a/f \"1\"", b"x");
    site.keep("/gone", b"x");
    let page = site.get("/shares").await;
    assert!(page.text().contains("Nothing is shared"));
    let limited = json!({"path": "/a/f \"1\"", "downloads_max": 1, "password": "x"});
    let link = site.share(limited).await;
    site.share(json!({"path": "/gone"})).await;
    site.share(json!({"path": "/a", "upload_only": true})).await;
    site.send("DELETE /api/v1/files/gone", &[], "").await;
    let page = site.get("/shares").await;
    assert_eq!(page.status, 200);
    for part in [
        "0 of 1 download<",
        "asks for a password",
        "others can add files",
        "in the trash, or deleted",
        "until revoked",
        "Revoke the link to f &#34;1&#34;",
        "<a href=\"/folder/a\">",
    ] {
        assert!(page.text().contains(part), "{part}");
    }
    assert!(!page.text().contains(&link));
    let wrong = site.get("/shares?before=x").await;
    assert_eq!(wrong.status, 400);
    site.drive.set_faults(Faults {
        unreachable: true,
        ..Faults::default()
    });
    let page = site.get("/shares").await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("cannot be listed right now"));
}
