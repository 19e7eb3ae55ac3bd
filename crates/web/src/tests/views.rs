//! Files that are looked at: nothing of what is in them acts in this origin.

use super::Site;

const SCRIPT: &str = "<script>document.title='harmed'</script>";

/// What each address of a hostile file is answered with.
#[tokio::test]
async fn hostile_content_is_never_active() {
    let site = Site::new();
    let svg = format!("<svg xmlns='http://www.w3.org/2000/svg'>{SCRIPT}</svg>");
    // A PDF, a GIF and HTML at once.
    let polyglot = format!("GIF89a/*%PDF-1.4*/=1;//<html>{SCRIPT}");
    for (name, content_type, inline) in [
        ("evil.html", "text/html; charset=utf-8", false),
        ("evil.xhtml", "application/xhtml+xml", false),
        ("evil.svg", "image/svg+xml", false),
        ("evil.js", "text/javascript; charset=utf-8", false),
        ("evil.md", "text/markdown; charset=utf-8", false),
        ("evil.pdf", "application/pdf", true),
        ("evil.gif", "image/gif", true),
        ("evil.txt", "text/plain; charset=utf-8", true),
        ("evil", "application/octet-stream", false),
    ] {
        for content in [&svg, &polyglot] {
            site.keep(&format!("/{name}"), content.as_bytes());
            for query in ["", "?download=1"] {
                let answer = site.get(&format!("/api/v1/files/{name}{query}")).await;
                assert_eq!(answer.status, 200);
                assert_eq!(answer.header("content-type"), content_type, "{name}");
                assert_eq!(answer.header("x-content-type-options"), "nosniff");
                let shown = answer.header("content-disposition").starts_with("inline");
                assert_eq!(shown, inline && query.is_empty(), "{name}{query}");
                let policy = answer.header("content-security-policy");
                assert!(policy.contains("default-src 'none'"), "{policy}");
                assert!(!policy.contains("script-src"), "{policy}");
                if content_type == "application/pdf" && shown {
                    // Some browsers' viewers do not start in a sandbox; nobody else may frame it.
                    assert!(policy.contains("frame-ancestors 'self'"), "{policy}");
                    assert_eq!(answer.header("x-frame-options"), "SAMEORIGIN");
                } else {
                    assert!(policy.starts_with("sandbox;"), "{policy}");
                    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
                    assert_eq!(answer.header("x-frame-options"), "DENY");
                }
                assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
                // A browser takes these from an answer that nothing has changed, too.
                let known = [("if-none-match", answer.header("etag"))];
                let request = format!("GET /api/v1/files/{name}{query}");
                let same = site.send(&request, &known, "").await;
                assert_eq!(same.status, 304);
                for header in ["content-security-policy", "x-frame-options"] {
                    assert_eq!(same.header(header), answer.header(header), "{name}{query}");
                }
            }
        }
    }
}

#[tokio::test]
async fn every_kind_of_file_is_shown_as_what_it_is() {
    let site = Site::new();
    for (name, content, part) in [
        (
            "a.svg",
            "<svg/>",
            "<img class=\"view-media\" src=\"/api/v1/files/a.svg?version=",
        ),
        (
            "a.mp4",
            "x",
            "<video class=\"view-media\" src=\"/api/v1/files/a.mp4?version=",
        ),
        ("a.wav", "x", "<audio class=\"view-media\""),
        (
            "a.pdf",
            "x",
            "<object class=\"view-pdf\" data=\"/api/v1/files/a.pdf?version=",
        ),
        ("a.md", "# Trip", "<h2>Trip</h2>"),
        ("a.rs", "fn a() {}", "\nfn a() {}</pre>"),
        ("Makefile", "all:", "\nall:</pre>"),
        (
            "a.zip",
            "PK\u{3}\u{4}\0\0",
            "There is no preview of this kind of file.",
        ),
        ("a.txt", "", "The file is empty."),
    ] {
        site.keep(&format!("/{name}"), content.as_bytes());
        let page = site.get(&format!("/view/{name}")).await;
        assert_eq!(page.status, 200, "{name}");
        assert!(page.text().contains(part), "{name}: {}", page.text());
        assert!(
            page.text()
                .contains(&format!("href=\"/api/v1/files/{name}?version=")),
            "{name}"
        );
        let policy = page.header("content-security-policy");
        assert!(
            policy.contains("script-src localhost:5000/static/;"),
            "{policy}"
        );
    }
}

#[tokio::test]
async fn text_is_escaped_and_markdown_has_no_html_of_its_own() {
    let site = Site::new();
    let text = format!("{SCRIPT}</pre><img src=x onerror=alert(1)>");
    for name in ["evil.html", "evil.js", "evil.md", "evil.xml", "evil"] {
        site.keep(&format!("/{name}"), text.as_bytes());
        let page = site.get(&format!("/view/{name}")).await;
        assert!(!page.text().contains("<script>"), "{name}");
        assert!(!page.text().contains("<img src=x"), "{name}");
        assert!(page.text().contains("harmed"), "{name}");
    }
}

#[tokio::test]
async fn a_long_text_and_one_of_another_time_say_so() {
    let site = Site::new();
    let long = "0123456789abcde\n".repeat(20_000);
    site.keep("/long.txt", long.as_bytes());
    let page = site.get("/view/long.txt").await;
    assert!(
        page.text()
            .contains("Only the first 256 kB of 320 kB are shown here.")
    );
    assert!(page.text().len() < 270_000 + crate::assets::style().len());
    site.keep("/old.txt", b"f\xfcr <b>");
    let page = site.get("/view/old.txt").await;
    assert!(page.text().contains("für &#60;b&#62;"), "{}", page.text());
    assert!(page.text().contains("is shown as Latin-1"));
}

#[tokio::test]
async fn a_former_version_is_shown_as_it_was() {
    let site = Site::new();
    site.keep("/a.txt", b"before");
    let version = site.get("/api/v1/files/a.txt").await;
    let version = version.header("etag").trim_matches(['"', 'v']).to_owned();
    site.keep("/a.txt", b"after");
    let page = site.get(&format!("/view/a.txt?version={version}")).await;
    assert!(page.text().contains("\nbefore</pre>"), "{}", page.text());
    assert!(page.text().contains("A version of the file"));
    assert!(
        site.get("/view/a.txt")
            .await
            .text()
            .contains("\nafter</pre>")
    );
}

#[tokio::test]
async fn what_cannot_be_shown_is_said_on_the_page() {
    let site = Site::new();
    site.keep("/folder/a.txt", b"x");
    for (address, status, words) in [
        ("/view/none.txt", 404, "There is no file /none.txt"),
        ("/view/folder", 409, "/folder is a folder"),
        ("/view/a%2fb", 400, "This address cannot be right"),
        (
            "/view/folder/a.txt?version=x",
            400,
            "This address cannot be right",
        ),
    ] {
        let page = site.get(address).await;
        assert_eq!(page.status, status, "{address}");
        assert!(page.text().contains(words), "{address}: {}", page.text());
    }
}
