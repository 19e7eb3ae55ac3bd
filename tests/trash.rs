//! What was deleted or overwritten comes back: by the page, by HTTP and by the command line.

use std::process::Output;

use client::Cluster as Client;
use proto::master::Precondition;
use proto::name::EntryPath;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::list::{NAMES, choose, choose_in};
use crate::support::{Cluster, Page, Screen, browse, content, download, run};

const PATHS: &str =
    "Array.from(document.querySelectorAll('#rows .entry'), row => row.dataset.path)";
const FOCUSED: &str = "document.activeElement";

fn path(text: &str) -> EntryPath {
    text.parse().unwrap()
}

fn said(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn failed(output: &Output, code: i32, words: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(words), "{words:?} is not in: {error}");
}

/// The rows are these, in this order; `of` reads them.
async fn until_rows(page: &Page, of: &str, rows: &[&str]) {
    let wanted = serde_json::to_string(rows).unwrap();
    page.until(&format!(
        "JSON.stringify({of}) === JSON.stringify({wanted})"
    ))
    .await;
}

async fn trashed(client: &Client) -> Vec<String> {
    let page = client.list_trash(None, 100).await.unwrap();
    let paths = page.entries.iter().map(|entry| entry.path.to_string());
    paths.collect()
}

/// Deleting asks nothing: a notice has the way back, by a button or by the keyboard, for a folder with entries, too.
#[tokio::test]
async fn a_deletion_is_undone_from_the_list() {
    let cluster = Cluster::start().await;
    cluster.upload("/letters/a.txt", b"words").await;
    cluster.upload("/b.txt", b"more words").await;
    let client = cluster.client();
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        choose(page, "letters", "delete").await;
        until_rows(page, NAMES, &["b.txt"]).await;
        let notice = page.text("#toast").await;
        assert!(notice.contains("“letters” is in the trash."), "{notice}");
        page.until(&format!("{FOCUSED}.closest('.entry')?.dataset.name === 'b.txt'"))
            .await;
        assert_eq!(trashed(&client).await, ["/letters"]);
        page.click("#toast-action").await;
        until_rows(page, NAMES, &["letters", "b.txt"]).await;
        page.until("document.getElementById('toast').hidden").await;
        assert_eq!(download(&client, "/letters/a.txt").await.unwrap(), b"words");

        choose(page, "b.txt", "delete").await;
        until_rows(page, NAMES, &["letters"]).await;
        page.until("!document.getElementById('toast').hidden").await;
        page.script(
            "document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'z', ctrlKey: true, bubbles: true }))",
        )
        .await;
        until_rows(page, NAMES, &["letters", "b.txt"]).await;
        page.until("document.getElementById('announce').textContent.includes('is back')")
            .await;
    })
    .await;
}

/// Its place is taken meanwhile: the page asks where to, and says why.
#[tokio::test]
async fn what_has_no_place_any_more_is_restored_elsewhere() {
    let cluster = Cluster::start().await;
    cluster.upload("/a.txt", b"old").await;
    let client = cluster.client();
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        choose(page, "a.txt", "delete").await;
        until_rows(page, NAMES, &[]).await;
        cluster.upload("/a.txt", b"new").await;
        page.open(&cluster.url("/trash")).await;
        until_rows(page, PATHS, &["/a.txt"]).await;
        page.click(".entry [data-action=restore]").await;
        page.until(
            "document.querySelector('dialog[open]')?.textContent.includes('is there already')",
        )
        .await;
        page.write("dialog input", "/kept/old.txt").await;
        page.answer("Restore").await;
        until_rows(page, PATHS, &[]).await;
        assert!(page.text("#empty").await.contains("The trash is empty"));
        let notice = page.text("#toast").await;
        assert!(notice.contains("“a.txt” is back."), "{notice}");
        page.click("#toast-action").await;
        until_rows(page, NAMES, &["old.txt"]).await;
    })
    .await;
    assert_eq!(download(&client, "/kept/old.txt").await.unwrap(), b"old");
    assert_eq!(download(&client, "/a.txt").await.unwrap(), b"new");
}

/// One thing, and then all, goes for good, each after a question; what is said of the space keeps up.
#[tokio::test]
async fn the_trash_is_emptied_after_a_question() {
    let cluster = Cluster::start().await;
    for name in ["one", "two", "three"] {
        cluster.upload(&format!("/{name}"), &content(1, 1000)).await;
        let client = cluster.client();
        client
            .delete(&path(&format!("/{name}")), client::DeleteOptions::default())
            .await
            .unwrap();
    }
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/trash")).await;
        until_rows(page, PATHS, &["/three", "/two", "/one"]).await;
        let space = page.text("#space").await;
        assert_eq!(space, "Here: 3 files and 0 folders, 3.0 kB.");
        choose_in(page, ".entry[data-path='/two']", "remove").await;
        page.answer("Cancel").await;
        choose_in(page, ".entry[data-path='/two']", "remove").await;
        page.answer("Delete for good").await;
        until_rows(page, PATHS, &["/three", "/one"]).await;
        page.until("document.getElementById('space').textContent.includes('2 files')")
            .await;
        page.until(&format!(
            "{FOCUSED}.closest('.entry')?.dataset.path === '/one'"
        ))
        .await;
        page.click("#empty-trash").await;
        page.answer("Empty the trash").await;
        until_rows(page, PATHS, &[]).await;
        page.until("document.getElementById('space').textContent === ''")
            .await;
        page.until("document.getElementById('empty-trash').hidden")
            .await;
        page.until(&format!("{FOCUSED}.id === 'title'")).await;
    })
    .await;
    assert!(trashed(&cluster.client()).await.is_empty());
}

/// A file's versions are listed with their links, one is restored, and one deleted for good.
#[tokio::test]
async fn versions_are_restored_and_deleted_in_their_panel() {
    let cluster = Cluster::start().await;
    for words in ["first", "second!", "third one"] {
        cluster.upload("/a.txt", words.as_bytes()).await;
    }
    let client = cluster.client();
    let rows = "document.querySelectorAll('.versions li')";
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        choose(page, "a.txt", "versions").await;
        page.until(&format!("{rows}.length === 3")).await;
        let list = page.text(".versions").await;
        assert!(
            list.contains("9 bytes") && list.contains("5 bytes"),
            "{list}"
        );
        assert!(
            list.contains("Current") && list.contains("goes in about"),
            "{list}"
        );
        let address = page
            .script(&format!(
                "return {rows}[2].querySelector('a[download]').href"
            ))
            .await;
        let old = reqwest::get(address.as_str().unwrap()).await.unwrap();
        assert_eq!(old.text().await.unwrap(), "first");

        // The current one cannot be restored; of the others, the oldest is.
        page.until(&format!(
            "{rows}[0].querySelectorAll('button').length === 0"
        ))
        .await;
        page.script(&format!("{rows}[2].querySelectorAll('button')[0].click()"))
            .await;
        page.until(&format!("{rows}[0].textContent.includes('5\\u00a0bytes')"))
            .await;
        page.until(&format!("{FOCUSED}.id === 'versions-title'"))
            .await;
        assert_eq!(download(&client, "/a.txt").await.unwrap(), b"first");
        // What was current until then is the latest former one.
        page.script(&format!("{rows}[1].querySelectorAll('button')[1].click()"))
            .await;
        page.answer("Delete for good").await;
        page.until(&format!("{rows}.length === 2")).await;
        let list = page.text(".versions").await;
        assert!(!list.contains("9 bytes"), "{list}");
        page.script("document.querySelector('dialog .dialog-actions button').click()")
            .await;
        page.until("!document.querySelector('dialog')").await;
        page.until(&format!(
            "{FOCUSED}.closest('.entry')?.dataset.name === 'a.txt'"
        ))
        .await;
        page.until("document.querySelector('#rows .size').textContent === '5\\u00a0bytes'")
            .await;
    })
    .await;
}

/// The trash can be read without JavaScript, and fits a phone with it.
#[tokio::test]
async fn the_page_of_the_trash_is_for_everybody() {
    let cluster = Cluster::start().await;
    let name = "a very long name that somebody once thought to be a good one ".repeat(3);
    cluster
        .upload(&format!("/letters/{name}.txt"), b"words")
        .await;
    cluster
        .upload(&format!("/letters/{name}.txt"), b"other words")
        .await;
    let client = cluster.client();
    let deleted = path(&format!("/letters/{name}.txt"));
    client
        .delete(&deleted, client::DeleteOptions::default())
        .await
        .unwrap();
    browse(Screen::WithoutScript, async |page| {
        page.open(&cluster.url("/")).await;
        page.click("#trash-link").await;
        let body = page.text("body").await;
        assert!(body.contains("was in /letters"), "{body}");
        assert!(body.contains("stays here for 30 days"), "{body}");
        assert!(body.contains("dfs restore"), "{body}");
        assert!(!body.contains("Empty the trash"), "{body}");
    })
    .await;
    browse(Screen::Phone, async |page| {
        page.open(&cluster.url("/trash")).await;
        page.until("document.querySelector('#status-figures').children.length > 0")
            .await;
        let width = page
            .script("return document.documentElement.scrollWidth")
            .await;
        assert_eq!(width, 390, "the page scrolls sideways");
        choose_in(page, ".entry", "restore").await;
        until_rows(page, PATHS, &[]).await;
        page.open(&cluster.url("/folder/letters")).await;
        choose_in(page, ".entry", "versions").await;
        page.until("document.querySelectorAll('.versions li').length === 2")
            .await;
        let outside = page
            .script(
                "return Array.from(document.querySelectorAll('dialog *')).filter(element => { \
                   const { left, right, width } = element.getBoundingClientRect(); \
                   return width > 1 && (left < 0 || right > innerWidth); \
                 }).map(element => element.textContent.trim())",
            )
            .await;
        assert_eq!(outside, json!([]));
    })
    .await;
}

/// What the page does, a script can do.
#[tokio::test]
async fn the_api_restores_and_removes() {
    let cluster = Cluster::start().await;
    let http = reqwest::Client::new();
    let file = cluster.url("/api/v1/files/folder/a.txt");
    for words in ["one", "two"] {
        http.put(&file).body(words).send().await.unwrap();
    }
    let versions = cluster.url("/api/v1/versions/folder/a.txt");
    let page: Value = reqwest::get(&versions).await.unwrap().json().await.unwrap();
    let (first, second) = (&page["former"][0]["version"], &page["current"]["version"]);
    let etag = format!("\"v{second}\"");
    let restore = async || {
        let body = json!({ "version": first });
        let request = http.post(&versions).header("if-match", &etag).json(&body);
        request.send().await.unwrap().status()
    };
    assert_eq!(restore().await, StatusCode::OK);
    assert_eq!(restore().await, StatusCode::PRECONDITION_FAILED);
    let now = reqwest::get(&file).await.unwrap().text().await.unwrap();
    assert_eq!(now, "one");
    let removed = http.delete(format!("{versions}?version={second}")).send();
    assert_eq!(removed.await.unwrap().status(), StatusCode::NO_CONTENT);

    let folder = cluster.url("/api/v1/folders/folder?recursive=true");
    let deleted: Value = http
        .delete(&folder)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let row = cluster.url(&format!("/api/v1/trash/{}", deleted["trashed"]));
    let restored = http
        .post(format!("{row}/restore"))
        .json(&json!({"to": "/back"}));
    assert_eq!(restored.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(
        download(&cluster.client(), "/back/a.txt").await.unwrap(),
        b"one"
    );
    let gone = http.delete(&row).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    let emptied = http.delete(cluster.url("/api/v1/trash")).send();
    assert_eq!(emptied.await.unwrap().status(), StatusCode::NO_CONTENT);
}

/// A name is enough to get back what was deleted last, and a number to get back a version.
#[tokio::test]
async fn the_command_line_restores() {
    let cluster = Cluster::start().await;
    let dfs = async |arguments: &[&str]| run(&mut cluster.dfs(arguments)).await;
    cluster.upload("/a.txt", b"first").await;
    cluster.upload("/a.txt", b"second!").await;
    let listed = said(&dfs(&["versions", "a.txt"]).await);
    assert!(
        listed.lines().next().unwrap().ends_with("current"),
        "{listed}"
    );
    assert!(
        listed.contains("5 bytes") && listed.contains("7 bytes"),
        "{listed}"
    );
    let json = said(&dfs(&["versions", "a.txt", "--json"]).await);
    let versions: Vec<Value> = serde_json::from_str(&json).unwrap();
    let number = |place: usize| versions[place]["version"].to_string();
    let (second, first) = (number(0), number(1));
    let old = said(&dfs(&["download", "a.txt", "-", "--version", &first]).await);
    assert_eq!(old, "first");
    said(&dfs(&["download", "a.txt", "old.txt", "--version", &first]).await);
    let restored = said(&dfs(&["versions", "a.txt", "--restore", &first]).await);
    assert!(restored.contains("is kept too"), "{restored}");
    assert_eq!(said(&dfs(&["download", "a.txt", "-"]).await), "first");
    failed(
        &dfs(&["versions", "a.txt", "--remove", &first]).await,
        4,
        "what /a.txt is now",
    );
    said(&dfs(&["versions", "a.txt", "--remove", &second]).await);
    failed(
        &dfs(&["download", "a.txt", "-", "--version", &second]).await,
        3,
        "has no version",
    );

    said(&dfs(&["rm", "a.txt"]).await);
    cluster.upload("/a.txt", b"in its place").await;
    let status = said(&dfs(&["status"]).await);
    assert!(
        status.contains("in the trash: 1 file in 0 folders, 5 bytes"),
        "{status}"
    );
    failed(&dfs(&["restore", "a.txt"]).await, 4, "--to");
    said(&dfs(&["restore", "a.txt", "--to", "b.txt"]).await);
    assert_eq!(said(&dfs(&["download", "b.txt", "-"]).await), "first");
    failed(&dfs(&["restore", "a.txt"]).await, 3, "dfs trash list");
    // It lies in the trash with its folder, of which nothing was said.
    cluster.upload("/gone/c.txt", b"words").await;
    said(&dfs(&["rm", "-r", "gone"]).await);
    failed(
        &dfs(&["restore", "gone/c.txt"]).await,
        3,
        "the folder /gone",
    );
    failed(
        &dfs(&["versions", "/"]).await,
        4,
        "only files have versions",
    );
    said(&dfs(&["mkdir", "d"]).await);
    failed(
        &dfs(&["download", "d", "--version", "1"]).await,
        2,
        "only files",
    );
}

/// The master is killed between what was done and what is asked: all of it is there.
#[tokio::test]
async fn what_was_restored_survives_a_kill() {
    let mut cluster = Cluster::start().await;
    for words in ["one", "two"] {
        cluster.upload("/a", words.as_bytes()).await;
    }
    let (client, a) = (cluster.client(), path("/a"));
    let listed = client.versions(&a, None, 9).await.unwrap();
    let (first, second) = (listed.former[0].version, listed.current.version);
    let unchanged = Precondition::Version(second);
    client.restore_version(&a, first, unchanged).await.unwrap();
    cluster.master().restart().await;
    cluster.until_healthy().await;
    let client = cluster.client();
    let listed = client.versions(&a, None, 9).await.unwrap();
    assert_eq!(
        (listed.current.version, listed.former[0].version),
        (first, second)
    );
    assert_eq!(download(&client, "/a").await.unwrap(), b"one");
    let former = client.status().await.unwrap().former_versions;
    assert_eq!((former.versions, former.bytes), (1, 3));
}
