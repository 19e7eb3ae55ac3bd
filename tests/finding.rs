//! Finding names, copying, and folders as zips: on the page, over HTTP and on the command line.

use std::io::{Cursor, Read};

use futures::StreamExt;
use reqwest::get;
use serde_json::{Value, json};

use crate::support::list::{ENTER, ESCAPE, choose, choose_in};
use crate::support::{Cluster, Page, Screen, browse, content, download, run};

/// The list shows just these, in this order.
async fn until_listed(page: &Page, paths: &[&str]) {
    let wanted = serde_json::to_string(paths).unwrap();
    page.until(&format!(
        "JSON.stringify(Array.from(document.querySelectorAll('#rows .entry'), \
           row => row.dataset.path ?? row.dataset.name)) === JSON.stringify({wanted})"
    ))
    .await;
}

async fn keep(cluster: &Cluster, paths: &[&str]) {
    for path in paths {
        cluster.upload(path, b"words").await;
    }
}

async fn address(page: &Page) -> String {
    let address = page
        .script("return location.pathname + location.search")
        .await;
    address.as_str().unwrap().to_owned()
}

/// What the table is to those who listen.
async fn caption(page: &Page) -> String {
    let text = page
        .script("return document.querySelector('#table caption').textContent")
        .await;
    text.as_str().unwrap().to_owned()
}

/// What is found shows as one types, at an address of its own, and the browser's buttons and Escape lead back.
#[tokio::test]
async fn names_are_found_as_one_types() {
    let cluster = Cluster::start().await;
    keep(
        &cluster,
        &["/Letters/to the Bank.odt", "/bank/notes.txt", "/other.txt"],
    )
    .await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        until_listed(page, &["bank", "Letters", "other.txt"]).await;
        page.press("/").await;
        page.press("ban").await;
        until_listed(page, &["/Letters/to the Bank.odt", "/bank"]).await;
        assert_eq!(address(page).await, "/search?text=ban");
        page.until("document.getElementById('announce').textContent === '2 found.'")
            .await;
        assert_eq!(caption(page).await, "Files and folders that were found");
        page.press("k odt").await;
        until_listed(page, &["/Letters/to the Bank.odt"]).await;
        assert_eq!(address(page).await, "/search?text=bank%20odt");
        page.click(".whereabouts a").await;
        until_listed(page, &["to the Bank.odt"]).await;
        assert_eq!(address(page).await, "/folder/Letters");
        assert_eq!(caption(page).await, "Files and folders, folders first");
        page.script("history.back()").await;
        until_listed(page, &["/Letters/to the Bank.odt"]).await;
        page.script("location.reload()").await;
        until_listed(page, &["/Letters/to the Bank.odt"]).await;
        let field = page
            .script("return document.getElementById('search-text').value")
            .await;
        assert_eq!(field, "bank odt");
        page.press(ESCAPE).await;
        until_listed(page, &["bank", "Letters", "other.txt"]).await;
        assert_eq!(address(page).await, "/");
    })
    .await;
}

/// What the menu does to a result happens where that is, and the list shows it.
#[tokio::test]
async fn results_are_renamed_and_deleted_where_they_are() {
    let cluster = Cluster::start().await;
    keep(&cluster, &["/a/draft", "/b/draft"]).await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/search?text=draft")).await;
        until_listed(page, &["/a/draft", "/b/draft"]).await;
        choose_in(page, ".entry[data-path='/b/draft']", "rename").await;
        page.press(format!("second draft{ENTER}")).await;
        until_listed(page, &["/a/draft", "/b/second draft"]).await;
        choose_in(page, ".entry[data-path='/a/draft']", "delete").await;
        until_listed(page, &["/b/second draft"]).await;
    })
    .await;
}

/// The answer for what was typed first comes last, and is not shown any more.
#[tokio::test]
async fn an_older_answer_does_not_take_the_place_of_a_newer_one() {
    let cluster = Cluster::start().await;
    keep(&cluster, &["/a", "/ab"]).await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.script(
            "const ask = window.fetch; \
             window.fetch = async (address, options) => { \
               const answer = await ask(address, { ...options, signal: undefined }); \
               if (String(address).includes('text=a&')) { \
                 window.isHeld = true; \
                 await new Promise((resolve) => { window.letGo = resolve; }); \
                 window.isLetGo = true; \
               } \
               return answer; \
             }",
        )
        .await;
        page.write("#search-text", "a").await;
        page.until("window.isHeld").await;
        page.press("b").await;
        until_listed(page, &["/ab"]).await;
        page.script("window.letGo()").await;
        page.until("window.isLetGo").await;
        // All that the late answer sets off is done before this.
        page.script("return new Promise((resolve) => setTimeout(resolve))")
            .await;
        until_listed(page, &["/ab"]).await;
    })
    .await;
}

/// More than a page of them is shown page after page, in one list.
#[tokio::test]
async fn a_search_of_many_goes_on() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    for number in 0..120 {
        let path = format!("/some/scan {number:03}").parse().unwrap();
        client.create_folder(&path, true).await.unwrap();
    }
    let rows = "document.querySelectorAll('#rows .entry').length";
    for screen in [Screen::Desktop, Screen::Phone] {
        browse(screen, async |page| {
            page.open(&cluster.url("/")).await;
            page.write("#search-text", "scan").await;
            page.until(&format!("{rows} === 50")).await;
            let found = page.text("#found").await;
            assert_eq!(found, "50 found so far; there may be more.");
            let width = page
                .script(
                    "const page = document.documentElement; return page.scrollWidth - page.clientWidth",
                )
                .await;
            assert_eq!(width, 0, "the page scrolls sideways");
            for count in [100, 120] {
                page.click("#next-page").await;
                page.until(&format!("{rows} === {count}")).await;
            }
            page.until("document.getElementById('pager').hidden").await;
            assert_eq!(page.text("#found").await, "120 found.");
            let focused = "document.activeElement.closest('.entry').dataset.path";
            page.until(&format!("{focused} === '/some/scan 100'")).await;
        })
        .await;
    }
}

/// The field is a form, and what it finds is a page.
#[tokio::test]
async fn without_script_one_finds_names() {
    let cluster = Cluster::start().await;
    keep(&cluster, &["/letters/to the bank.txt", "/other"]).await;
    browse(Screen::WithoutScript, async |page| {
        page.open(&cluster.url("/")).await;
        page.write("#search-text", "BANK").await;
        page.press(ENTER).await;
        page.until("document.getElementById('found').textContent === '1 found.'")
            .await;
        page.click(".whereabouts a").await;
        let body = page.text("body").await;
        assert!(body.contains("to the bank.txt"), "{body}");
    })
    .await;
}

/// A file is copied beside itself, and into a folder; a name that is taken is refused, and says so.
#[tokio::test]
async fn the_menu_copies_a_file() {
    let cluster = Cluster::start().await;
    keep(&cluster, &["/a.txt", "/folder/b.txt"]).await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        let copy = async || choose(page, "a.txt", "copy").await;
        copy().await;
        page.answer("Copy").await;
        until_listed(page, &["folder", "a (copy).txt", "a.txt"]).await;
        copy().await;
        page.answer("Copy").await;
        page.until(
            "document.querySelector('.dialog-error')?.textContent.includes('is there already')",
        )
        .await;
        page.write("dialog input", "/folder").await;
        page.answer("Copy").await;
        page.until("!document.querySelector('dialog')").await;
        page.click(".entry[data-name='folder'] a").await;
        until_listed(page, &["a.txt", "b.txt"]).await;
    })
    .await;
    let copied = download(&cluster.client(), "/folder/a.txt").await;
    assert_eq!(copied.unwrap(), b"words");
}

/// A folder's menu and its page lead to a zip of all that is in it.
#[tokio::test]
async fn a_folder_is_downloaded_as_a_zip() {
    let cluster = Cluster::start().await;
    let film = content(1, 3_000_000);
    cluster.upload("/photos/2026/film.mp4", &film).await;
    cluster.upload("/photos/é.txt", b"words").await;
    browse(Screen::WithoutScript, async |page| {
        page.open(&cluster.url("/")).await;
        for selector in [".entry[data-name=photos] .menu-item[href*=zip]", "#zip"] {
            let link = page
                .script(&format!("return document.querySelector('{selector}').href"))
                .await;
            let zip = get(link.as_str().unwrap()).await.unwrap();
            let mut zip = zip::ZipArchive::new(Cursor::new(zip.bytes().await.unwrap())).unwrap();
            let mut bytes = Vec::new();
            let mut member = zip.by_name("photos/2026/film.mp4").unwrap();
            member.read_to_end(&mut bytes).unwrap();
            assert!(bytes == film, "{selector}");
            drop(member);
            assert_eq!(zip.by_name("photos/é.txt").unwrap().size(), 5);
        }
    })
    .await;
}

/// The nodes die in the middle of it: the connection breaks, and what came is not taken for a whole zip.
#[tokio::test]
async fn a_zip_that_cannot_go_on_is_broken_off() {
    let mut cluster = Cluster::start().await;
    cluster.upload("/films/long", &content(1, 40_000_000)).await;
    let zip = get(cluster.url("/api/v1/zip/films")).await.unwrap();
    assert_eq!(zip.status(), 200);
    let mut zip = zip.bytes_stream();
    zip.next().await.unwrap().unwrap();
    for number in 1..=3 {
        cluster.node(number).kill();
    }
    while let Some(bytes) = zip.next().await {
        if bytes.is_err() {
            return;
        }
    }
    panic!("it ended as if it were whole");
}

async fn said(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = run(&mut cluster.dfs(arguments)).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

async fn failed(cluster: &Cluster, arguments: &[&str], code: i32, words: &str) {
    let output = run(&mut cluster.dfs(arguments)).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(error.contains(words), "{words:?} is not in: {error}");
}

#[tokio::test]
async fn the_command_line_finds_names() {
    let cluster = Cluster::start().await;
    keep(&cluster, &["/a/Letter to the bank", "/b/letter", "/bank/x"]).await;
    let found = said(&cluster, &["search", "LETTER"]).await;
    let lines: Vec<_> = found.lines().collect();
    assert_eq!(lines.len(), 2, "{found}");
    assert!(lines[0].contains("5 bytes") && lines[0].ends_with("/a/Letter to the bank"));
    let found = said(&cluster, &["search", "bank", "letter", "--json"]).await;
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found[0]["path"], "/a/Letter to the bank");
    assert_eq!(found.as_array().unwrap().len(), 1);
    let below = said(&cluster, &["search", "x", "--under", "bank"]).await;
    assert!(below.ends_with("/bank/x\n"), "{below}");
    assert_eq!(said(&cluster, &["search", "nothing"]).await, "");
    let none = said(&cluster, &["search", "nothing", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&none).unwrap(), json!([]));
    failed(&cluster, &["search", "a", "--under", "/none"], 3, "/none").await;
}

#[tokio::test]
async fn the_command_line_copies_files_and_folders() {
    let cluster = Cluster::start().await;
    let film = content(1, 300_000);
    cluster.upload("/films/film", &film).await;
    keep(&cluster, &["/films/old/a", "/films/old/b", "/other"]).await;
    said(&cluster, &["mkdir", "/films/none"]).await;
    let chunks = cluster.client().status().await.unwrap().chunks.total;
    said(&cluster, &["copy", "/films/film", "/copy of it"]).await;
    failed(&cluster, &["copy", "/films", "/more"], 4, "--recursive").await;
    let done = said(&cluster, &["cp", "-r", "/films", "/more"]).await;
    assert!(done.contains("3 files"), "{done}");
    let status = cluster.client().status().await.unwrap();
    assert_eq!(status.chunks.total, chunks, "nothing was stored again");
    for path in ["/copy of it", "/more/film", "/films/film"] {
        let copied = download(&cluster.client(), path).await.unwrap();
        assert!(copied == film, "{path}");
    }
    let list = said(&cluster, &["list", "-R1", "/more"]).await;
    let expected = ["film", "none/", "old/", "old/a", "old/b"].map(|name| format!("/more/{name}"));
    assert_eq!(list.lines().collect::<Vec<_>>(), expected);
    failed(&cluster, &["copy", "/other", "/copy of it"], 4, "--replace").await;
    said(&cluster, &["copy", "/other", "/copy of it", "--replace"]).await;
    let replaced = download(&cluster.client(), "/copy of it").await;
    assert_eq!(replaced.unwrap(), b"words");
    failed(&cluster, &["cp", "-r", "/films", "/films/old"], 2, "itself").await;
    failed(&cluster, &["copy", "/none", "/x"], 3, "/none").await;
}
