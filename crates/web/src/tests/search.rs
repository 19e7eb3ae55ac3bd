//! Searching, through the API and as a page.

use serde_json::json;

use super::Site;
use crate::memory::Faults;

fn paths(page: &serde_json::Value) -> Vec<String> {
    let found = page["found"].as_array().unwrap();
    let path = |found: &serde_json::Value| found["path"].as_str().unwrap().to_owned();
    found.iter().map(path).collect()
}

#[tokio::test]
async fn names_are_found_by_their_words() {
    let site = Site::new();
    for path in [
        "/Letters/to the Bank.odt",
        "/bank/2026/letter.pdf",
        "/bank/notes",
    ] {
        site.keep(path, b"x");
    }
    let page = site.get("/api/v1/search?text=BANK").await.json();
    assert_eq!(paths(&page), ["/Letters/to the Bank.odt", "/bank"]);
    assert_eq!(
        (&page["more"], &page["next"]),
        (&json!(false), &json!(null))
    );
    assert_eq!(page["found"][1]["entry"]["kind"], "folder");
    let page = site.get("/api/v1/search?text=letter&under=/bank").await;
    assert_eq!(paths(&page.json()), ["/bank/2026/letter.pdf"]);
    let page = site.get("/api/v1/search?text=bank%20odt").await;
    assert_eq!(paths(&page.json()), ["/Letters/to the Bank.odt"]);
}

/// As in a large cluster, one answer may have fewer than asked for, or none, and say where to go on.
#[tokio::test]
async fn a_search_goes_on_with_what_the_answer_says() {
    let site = Site::new();
    for number in 0..2500 {
        site.keep(&format!("/n/{number:04} of them"), b"");
    }
    site.keep("/z/needle", b"");
    let mut found = Vec::new();
    let mut address = String::from("/api/v1/search?text=needle");
    for answers in 1.. {
        let page = site.get(&address).await.json();
        found.extend(paths(&page));
        let Some(next) = page["next"].as_str() else {
            assert_eq!((found.as_slice(), answers), (&["/z/needle".into()][..], 3));
            break;
        };
        assert_eq!(page["more"], true);
        let next = crate::location::encode_text(next);
        address = format!("/api/v1/search?text=needle&after={next}");
    }
    let page = site.get("/api/v1/search?text=them&limit=1").await.json();
    assert_eq!(page["next"], "/n/0000 of them");
    let page = site.get("/search?text=needle").await;
    assert!(page.text().contains("1 found."), "{}", page.text());
}

#[tokio::test]
async fn what_cannot_be_looked_for_is_refused() {
    let site = Site::new();
    site.keep("/a/file", b"x");
    for (query, status, code) in [
        ("", 400, "bad_request"),
        ("?text=", 400, "invalid_argument"),
        ("?text=%20", 400, "invalid_argument"),
        ("?text=a&limit=0", 400, "invalid_argument"),
        ("?text=a&under=/../b", 400, "bad_request"),
        ("?text=a&after=/", 400, "bad_request"),
        ("?text=a&what=b", 400, "bad_request"),
        ("?text=a&under=/none", 404, "not_found"),
        ("?text=a&under=/a/file", 409, "not_a_folder"),
    ] {
        let answer = site.get(&format!("/api/v1/search{query}")).await;
        answer.expect_problem(status, code);
    }
}

/// Without a script the field's form leads to a page, and that to the next one.
#[tokio::test]
async fn a_search_is_a_page() {
    let site = Site::new();
    for number in 0..60 {
        site.keep(&format!("/a b/<i>{number:02}"), b"x");
    }
    site.keep("/photo\u{202e}gpj.exe", b"x");
    let page = site.get("/search?text=%3Ci%3E").await;
    assert_eq!(page.status, 200);
    let html = page.text();
    assert!(html.contains("value=\"&#60;i&#62;\""), "{html}");
    assert!(!html.contains("<i>"), "{html}");
    assert!(html.contains("50 found so far"), "{html}");
    assert!(html.contains("href=\"/folder/a%20b\""), "{html}");
    let next = "/search?text=%3Ci%3E&after=%2Fa%20b%2F%3Ci%3E49";
    let escaped = next.replace('&', "&#38;");
    assert!(html.contains(&format!("href=\"{escaped}\"")), "{html}");
    let last = site.get(next).await;
    assert!(last.text().contains("10 more found; that is all."));
    let none = site.get("/search?text=nothing").await;
    assert!(none.text().contains("No name has all these words."));
    let hidden = site.get("/search?text=gpj").await;
    assert!(hidden.text().contains("U+202E"));
    let empty = site.get("/search").await;
    assert!(empty.text().contains("Type a part of a name"));
    let wrong = site.get("/search?after=/..").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("This cannot be looked for"));
}

#[tokio::test]
async fn a_search_says_that_the_master_is_away() {
    let site = Site::new();
    site.drive.set_faults(Faults {
        unreachable: true,
        ..Faults::default()
    });
    let answer = site.get("/api/v1/search?text=a").await;
    answer.expect_problem(503, "unavailable");
    let page = site.get("/search?text=a").await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("Nothing can be looked for right now"));
    assert!(page.text().contains("href=\"/search?text=a\""));
}

/// What was found is not in the order of a folder, which the table said to those who listen.
#[tokio::test]
async fn the_table_says_that_it_was_found() {
    let site = Site::new();
    site.keep("/a.txt", b"x");
    let page = site.get("/search?text=a").await;
    assert!(page.text().contains(">Files and folders that were found<"));
    assert!(!page.text().contains("folders first"), "{}", page.text());
    let page = site.get("/").await;
    assert!(page.text().contains(">Files and folders, folders first<"));
}
