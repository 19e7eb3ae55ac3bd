//! Names, folders and moves.

use serde_json::json;

use super::Site;

#[tokio::test]
async fn names_round_trip_and_never_leave_their_place() {
    let site = Site::new();
    for name in [
        "CON",
        "trailing ",
        "\u{202e}gpj.exe",
        "e\u{301}",
        "\u{e9}",
        "\"';<&>",
        "😀",
        "a\\b",
        "%2e%2e",
        "?#",
    ] {
        let address = format!("/api/v1/files/{}", crate::location::encode_text(name));
        assert_eq!(
            site.send(&format!("PUT {address}"), &[], name.to_owned())
                .await
                .status,
            201
        );
        assert_eq!(site.get(&address).await.text(), name);
    }
    let listed = site.get("/api/v1/folders").await.json();
    assert_eq!(listed["entries"].as_array().unwrap().len(), 10);
    for refused in [
        "..%2fa",
        "%2e%2e/a",
        "a%2fb",
        "a//b",
        "./a",
        "%00",
        "a%0ab",
        "%ff",
        "a/",
        &"a".repeat(256),
    ] {
        let put = site
            .send(&format!("PUT /api/v1/files/{refused}"), &[], "x")
            .await;
        put.expect_problem(400, "invalid_argument");
        let page = site.get(&format!("/folder/{refused}/b")).await;
        assert!(
            page.status == 400 || refused == "a/",
            "{refused}: {}",
            page.status
        );
    }
}

#[tokio::test]
async fn folders_are_made_listed_in_pages_and_deleted() {
    let site = Site::new();
    for name in ["a", "b", "c", "d", "e"] {
        let made = site
            .send(&format!("POST /api/v1/folders/{name}"), &[], "")
            .await;
        assert_eq!(made.status, 201);
    }
    site.send("POST /api/v1/folders/a", &[], "")
        .await
        .expect_problem(409, "already_exists");
    site.send("POST /api/v1/folders/x/y", &[], "")
        .await
        .expect_problem(404, "not_found");
    let nested = site
        .send("POST /api/v1/folders/x/y?parents=true", &[], "")
        .await;
    assert_eq!(nested.json(), json!({"path": "/x/y", "created": true}));
    let mut names = Vec::new();
    let mut address = String::from("/api/v1/folders/?limit=2");
    loop {
        let page = site.get(&address).await.json();
        let entries = page["entries"].as_array().unwrap();
        names.extend(
            entries
                .iter()
                .map(|entry| entry["name"].as_str().unwrap().to_owned()),
        );
        if page["more"] == false {
            break;
        }
        address = format!(
            "/api/v1/folders?limit=2&after={}",
            page["next"].as_str().unwrap()
        );
    }
    assert_eq!(names, ["a", "b", "c", "d", "e", "x"]);
    site.send("DELETE /api/v1/folders/x", &[], "")
        .await
        .expect_problem(409, "folder_not_empty");
    let deleted = site
        .send(
            "DELETE /api/v1/folders/x?recursive=true&purge=true",
            &[],
            "",
        )
        .await;
    assert_eq!(deleted.json(), json!({"trashed": null}));
    let root = site.send("DELETE /api/v1/folders/", &[], "").await;
    root.expect_problem(405, "method_not_allowed");
    assert_eq!(root.header("allow"), "GET,HEAD,POST");
    site.get("/api/v1/folders?limit=0")
        .await
        .expect_problem(400, "invalid_argument");
    site.get("/api/v1/folders?limt=1")
        .await
        .expect_problem(400, "bad_request");
}

/// Folders come first on all pages, and a cursor outlives the entry that it names.
#[tokio::test]
async fn folders_are_listed_before_files_on_all_pages() {
    let site = Site::new();
    for name in ["a.txt", "b.txt", "y.txt"] {
        site.keep(&format!("/{name}"), b"x");
    }
    for name in ["m", "z"] {
        site.send(&format!("POST /api/v1/folders/{name}"), &[], "")
            .await;
    }
    let mut names = Vec::new();
    let mut address = String::from("/api/v1/folders?order=folders_first&limit=2");
    loop {
        let page = site.get(&address).await.json();
        let entries = page["entries"].as_array().unwrap();
        let page_names = entries.iter().map(|entry| entry["name"].as_str().unwrap());
        names.extend(page_names.map(str::to_owned));
        assert_eq!(page["more"], !page["next"].is_null());
        let Some(next) = page["next"].as_str() else {
            break;
        };
        if names.last().unwrap() == "a.txt" {
            site.send("DELETE /api/v1/files/a.txt", &[], "").await;
        }
        let next = crate::location::encode_text(next);
        address = format!("/api/v1/folders?order=folders_first&limit=2&after={next}");
    }
    assert_eq!(names, ["m", "z", "a.txt", "b.txt", "y.txt"]);
    let from = site
        .get("/api/v1/folders?order=folders_first&from=c")
        .await
        .json();
    assert_eq!(from["entries"][0]["name"], "y.txt");
    for refused in [
        "order=folders_first&after=a.txt",
        "order=large",
        "order=time",
        "order=size&from=c",
        "order=-name&from=c",
        "order=size&after=files%2Fa.txt",
        "order=size&after=files%2F-1%2Fa.txt",
        "order=folders_first&after=files%2F1%2Fa.txt",
        "from=c",
        "order=folders_first&from=..",
    ] {
        let answer = site.get(&format!("/api/v1/folders?{refused}")).await;
        assert_eq!(answer.status, 400, "{refused}");
    }
}

/// All names of a folder in an order, two a page.
async fn names_in(site: &Site, order: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut address = format!("/api/v1/folders/f?order={order}&limit=2");
    for _ in 0..100 {
        let page = site.get(&address).await.json();
        let entries = page["entries"].as_array().unwrap();
        let page_names = entries.iter().map(|entry| entry["name"].as_str().unwrap());
        names.extend(page_names.map(str::to_owned));
        let Some(next) = page["next"].as_str() else {
            return names;
        };
        let next = crate::location::encode_text(next);
        address = format!("/api/v1/folders/f?order={order}&limit=2&after={next}");
    }
    panic!("the pages never end");
}

/// Folders stay first whatever the order, and names decide between equal sizes.
#[tokio::test]
async fn a_folder_is_listed_by_size_and_by_time() {
    let site = Site::new();
    for (name, content) in [("a", "xx"), ("b", "x"), ("c", "xx"), ("d", "")] {
        site.keep(&format!("/f/{name}"), content.as_bytes());
    }
    for name in ["m", "n"] {
        site.send(&format!("POST /api/v1/folders/f/{name}"), &[], "")
            .await;
    }
    for (order, expected) in [
        ("folders_first", ["m", "n", "a", "b", "c", "d"]),
        ("-name", ["n", "m", "d", "c", "b", "a"]),
        ("size", ["m", "n", "d", "b", "a", "c"]),
        ("-size", ["n", "m", "c", "a", "b", "d"]),
    ] {
        assert_eq!(names_in(&site, order).await, expected, "{order}");
    }
    let last_modified = [("last-modified", "Sat, 06 Nov 1993 08:49:37 GMT")];
    site.send("PUT /api/v1/files/f/old", &last_modified, "x")
        .await;
    assert_eq!(names_in(&site, "modified").await[2], "old");
    assert_eq!(names_in(&site, "-modified").await.last().unwrap(), "old");
}

/// A page without a script was in the order of names, whatever its address said, and its heads led nowhere.
#[tokio::test]
async fn the_page_is_sorted_without_a_script() {
    let site = Site::new();
    for number in 0..250 {
        site.keep(&format!("/f/{number:03}"), &vec![0; number]);
    }
    site.send("POST /api/v1/folders/f/folder", &[], "").await;
    let names = |html: &str| -> Vec<String> {
        let parts = html.split("data-name=\"").skip(1);
        parts
            .map(|part| part.split('"').next().unwrap().to_owned())
            .collect()
    };
    let page = site.get("/folder/f?sort=-size").await;
    assert_eq!(names(page.text())[..3], ["folder", "249", "248"]);
    for expected in [
        r#"data-sort="name"><a class="sort" href="/folder/f" data-folder>"#,
        r#"data-sort="size" aria-sort="descending"><a class="sort" href="/folder/f?sort=size" data-folder>"#,
        r#"data-sort="time"><a class="sort" href="/folder/f?sort=-time" data-folder>"#,
    ] {
        assert!(page.text().contains(expected), "{expected}");
    }
    let next = page
        .text()
        .split("id=\"next-page\" href=\"")
        .nth(1)
        .unwrap();
    let next = next.split('"').next().unwrap().replace("&#38;", "&");
    assert_eq!(next, "/folder/f?after=files%2F51%2F051&sort=-size");
    let page = site.get(&next).await;
    assert_eq!(names(page.text()).len(), 51);
    assert_eq!(names(page.text())[0], "050");
    assert!(
        page.text()
            .contains(r#"id="first-page" href="/folder/f?sort=-size""#)
    );
    let page = site.get("/folder/f?sort=-name").await;
    assert_eq!(names(page.text())[..3], ["folder", "249", "248"]);
    let page = site.get("/folder/f").await;
    assert!(page.text().contains(
        r#"data-sort="name" aria-sort="ascending"><a class="sort" href="/folder/f?sort=-name" data-folder>"#
    ));
    for address in [
        "/folder/f?sort=-size&after=files%2Fa",
        "/folder/f?sort=-size&from=a",
    ] {
        assert_eq!(site.get(address).await.status, 400, "{address}");
    }
}

/// A page began with files whose folders came only on a later one.
#[tokio::test]
async fn the_page_has_folders_before_all_files() {
    let site = Site::new();
    for number in 0..300 {
        site.keep(&format!("/f/{number:03}.txt"), b"x");
    }
    site.send("POST /api/v1/folders/f/zoo", &[], "").await;
    let page = site.get("/folder/f").await;
    let first = page.text().find("data-name=").unwrap();
    assert!(page.text()[first..].starts_with("data-name=\"zoo\""));
    let next = page
        .text()
        .split("id=\"next-page\" href=\"")
        .nth(1)
        .unwrap();
    let next = next.split('"').next().unwrap();
    assert_eq!(next, "/folder/f?after=files%2F198.txt");
    let page = site.get(next).await;
    assert!(page.text().contains("data-name=\"199.txt\""));
    for address in ["/folder/f?sort=nonsense", "/folder/f?from=2"] {
        assert_eq!(site.get(address).await.status, 200, "{address}");
    }
    assert_eq!(site.get("/folder/f?after=nonsense").await.status, 400);
}

#[tokio::test]
async fn files_and_folders_are_not_taken_for_each_other() {
    let site = Site::new();
    site.keep("/folder/file", b"x");
    site.get("/api/v1/files/folder")
        .await
        .expect_problem(409, "is_a_folder");
    site.send("DELETE /api/v1/files/folder", &[], "")
        .await
        .expect_problem(409, "is_a_folder");
    site.get("/api/v1/folders/folder/file")
        .await
        .expect_problem(409, "not_a_folder");
    let delete = "DELETE /api/v1/folders/folder/file";
    site.send(delete, &[], "")
        .await
        .expect_problem(409, "not_a_folder");
    let stale = [("if-match", "\"v9\"")];
    let delete = "DELETE /api/v1/files/folder/file";
    site.send(delete, &stale, "")
        .await
        .expect_problem(412, "precondition_failed");
    assert_eq!(
        site.send(delete, &[], "").await.json(),
        json!({"trashed": 1})
    );
    site.send(delete, &[], "")
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn entries_are_moved() {
    let site = Site::new();
    site.keep("/a", b"x");
    site.keep("/b", b"y");
    let json_body = [("content-type", "application/json")];
    let taken = r#"{"from": "/a", "to": "/b"}"#;
    let answer = site.send("POST /api/v1/move", &json_body, taken).await;
    answer.expect_problem(409, "already_exists");
    let answer = site
        .send(
            "POST /api/v1/move",
            &json_body,
            r#"{"from": "/a", "to": "/c"}"#,
        )
        .await;
    assert_eq!(answer.json()["path"], "/c");
    assert_eq!(site.get("/api/v1/files/c").await.text(), "x");
    for (body, status, code) in [
        ("{", 400, "bad_request"),
        (r#"{"from": "/a"}"#, 400, "bad_request"),
        (r#"{"from": "/../a", "to": "/b"}"#, 400, "bad_request"),
        (r#"{"from": "/none", "to": "/x"}"#, 404, "not_found"),
    ] {
        let answer = site.send("POST /api/v1/move", &json_body, body).await;
        answer.expect_problem(status, code);
    }
    let answer = site.send("POST /api/v1/move", &[], taken).await;
    answer.expect_problem(415, "unsupported_media_type");
}
