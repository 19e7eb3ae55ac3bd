//! The page in a real browser, as people use it.

use std::path::{Path, PathBuf};

use proto::master::Health;
use reqwest::get;
use serde_json::json;

use crate::support::list::{ENTER, NAMES, choose, choose_in, until_listed};
use crate::support::{Cluster, Look, Page, Screen, browse, content, download};

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// So many uploads have ended in this way, and none is under way.
async fn until_ended(page: &Page, state: &str, count: usize) {
    page.until(&format!(
        "document.querySelectorAll('.upload[data-state={state}]').length === {count} \
         && !document.querySelector('.upload[data-state=sending]')"
    ))
    .await;
}

/// Several files at once, each with its copies; what the list's link gives is what was stored.
#[tokio::test]
async fn files_are_uploaded_listed_and_downloaded() {
    let cluster = Cluster::start().await;
    let (long, short) = (content(1, 3_000_000), content(2, 1234));
    let scratch = cluster.scratch();
    let paths = [
        file(&scratch, "film.mp4", &long),
        file(&scratch, "café #1.txt", &short),
        file(&scratch, "empty", b""),
    ];
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.until("document.getElementById('status').dataset.colour === 'green'")
            .await;
        assert_eq!(page.text("#status-word").await, "Ready");
        let paths: Vec<_> = paths.iter().map(PathBuf::as_path).collect();
        page.choose("#file-input", &paths).await;
        until_ended(page, "done", 3).await;
        let uploads = page.text("#uploads-list").await;
        assert!(uploads.contains("Stored, 3 of 3 copies."), "{uploads}");
        until_listed(page, &["café #1.txt", "empty", "film.mp4"]).await;
        for (name, bytes) in [("film.mp4", &long), ("café #1.txt", &short)] {
            let link = page
                .script(&format!(
                    "return document.querySelector(\".entry[data-name='{name}'] a[download]\").href"
                ))
                .await;
            let answer = get(link.as_str().unwrap()).await.unwrap();
            assert!(answer.bytes().await.unwrap() == *bytes, "{name}");
        }
    })
    .await;
}

/// A folder goes with all that is in it, and one walks through it with the browser's own buttons.
#[tokio::test]
async fn a_folder_is_uploaded_with_what_is_in_it() {
    let cluster = Cluster::start().await;
    let scratch = cluster.scratch();
    file(&scratch, "photos/2026/a.jpg", &content(1, 100_000));
    file(&scratch, "photos/b.jpg", &content(2, 100));
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.choose("#folder-input", &[&scratch.join("photos")])
            .await;
        until_ended(page, "done", 2).await;
        until_listed(page, &["photos"]).await;
        page.click(".entry[data-name=photos] a").await;
        until_listed(page, &["2026", "b.jpg"]).await;
        page.click(".entry[data-name='2026'] a").await;
        until_listed(page, &["a.jpg"]).await;
        page.script("history.back()").await;
        until_listed(page, &["2026", "b.jpg"]).await;
        page.script("location.reload()").await;
        until_listed(page, &["2026", "b.jpg"]).await;
    })
    .await;
    let stored = download(&cluster.client(), "/photos/2026/a.jpg").await;
    assert!(stored.unwrap() == content(1, 100_000));
}

/// Folders are made, files renamed and deleted; a name that cannot be is refused with the reason in the dialog.
#[tokio::test]
async fn entries_are_made_renamed_and_deleted() {
    let cluster = Cluster::start().await;
    cluster.upload("/draft.txt", b"words").await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.click("#new-folder").await;
        page.write("dialog input", "..").await;
        page.answer("Make folder").await;
        page.until("document.querySelector('.dialog-error')?.textContent.length > 10")
            .await;
        page.write("dialog input", "letters").await;
        page.answer("Make folder").await;
        until_listed(page, &["letters", "draft.txt"]).await;
        choose(page, "draft.txt", "rename").await;
        // All but the extension is selected.
        page.press(format!("final{ENTER}")).await;
        until_listed(page, &["letters", "final.txt"]).await;
        choose(page, "letters", "delete").await;
        until_listed(page, &["final.txt"]).await;
    })
    .await;
    let stored = download(&cluster.client(), "/final.txt").await;
    assert_eq!(stored.unwrap(), b"words");
}

/// A taken name asks; nothing is replaced unless the person says so.
#[tokio::test]
async fn a_name_that_is_taken_asks_what_to_do() {
    let cluster = Cluster::start().await;
    cluster.upload("/a.txt", b"old").await;
    let new = file(&cluster.scratch(), "a.txt", b"new");
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.choose("#file-input", &[&new]).await;
        page.answer("Skip").await;
        until_ended(page, "skipped", 1).await;
        assert_eq!(page.text("#uploads-summary").await, "1 skipped");
        page.choose("#file-input", &[&new]).await;
        page.answer("Keep both").await;
        until_ended(page, "done", 1).await;
        until_listed(page, &["a (2).txt", "a.txt"]).await;
        let kept = download(&cluster.client(), "/a.txt").await;
        assert_eq!(kept.unwrap(), b"old");
        page.choose("#file-input", &[&new]).await;
        page.answer("Replace").await;
        until_ended(page, "done", 2).await;
        let replaced = download(&cluster.client(), "/a.txt").await;
        assert_eq!(replaced.unwrap(), b"new");
    })
    .await;
}

/// From now on all that rows of uploads say is noted.
const NOTE_ROWS: &str = "window.said = new Set(); \
    const note = () => document.querySelectorAll('#uploads .upload-state').forEach((state) => window.said.add(state.textContent)); \
    new MutationObserver(note).observe(document.getElementById('uploads-list'), { childList: true, subtree: true })";

/// With two nodes dead the page says why nothing can be uploaded, and what waits for them goes on by itself once they are back.
#[tokio::test]
async fn the_page_says_what_is_wrong_and_goes_on_when_it_is_mended() {
    let mut cluster = Cluster::start().await;
    let path = file(&cluster.scratch(), "film.mp4", &content(1, 500_000));
    let url = cluster.url("/");
    browse(Screen::Desktop, async |page| {
        page.open(&url).await;
        cluster.node(1).kill();
        cluster.node(2).kill();
        page.until("document.getElementById('status').dataset.colour === 'red'")
            .await;
        let reason = page.text("#status-reason").await;
        assert!(reason.contains("nothing can be uploaded"), "{reason}");
        page.script(NOTE_ROWS).await;
        page.choose("#file-input", &[&path]).await;
        page.until("document.querySelector('.upload[data-state=stuck]')")
            .await;
        let row = page.text(".upload").await;
        assert!(row.contains("Trying again."), "{row}");
        assert_eq!(page.text("#uploads-summary").await, "1 to go, 500 kB");
        let said = page.script("return [...window.said].join('\\n')").await;
        let said = said.as_str().unwrap();
        assert!(said.contains("Waits until uploads are possible."), "{said}");
        assert!(!said.contains("Making copies"), "{said}");
        until_listed(page, &[]).await;
        cluster.restart_all().await;
        cluster
            .until("uploads work", |status| status.health == Health::Green)
            .await;
        page.until("document.getElementById('status').dataset.colour === 'green'")
            .await;
        until_ended(page, "done", 1).await;
        until_listed(page, &["film.mp4"]).await;
    })
    .await;
}

/// Ten finished uploads had the whole screen, and the list of files was below it.
#[tokio::test]
async fn the_list_is_in_sight_after_ten_uploads() {
    let cluster = Cluster::start().await;
    let files = (0..10).map(|number| file(&cluster.scratch(), &format!("{number}.txt"), b"x"));
    let files: Vec<_> = files.collect();
    let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.choose("#file-input", &files).await;
        until_ended(page, "done", 10).await;
        page.until("document.querySelectorAll('#rows .entry').length === 10")
            .await;
        let look = Look {
            width: 1280,
            is_dark: false,
        };
        page.look(look).await;
        let is_seen = "document.querySelectorAll('#rows .entry')[2].getBoundingClientRect().bottom < innerHeight";
        page.until(is_seen).await;
    })
    .await;
}

/// Uploads that never end, unless they are cancelled.
const HANG: &str = "XMLHttpRequest.prototype.send = function () { \
                      this.abort = () => this.dispatchEvent(new Event('abort')); \
                    }";

/// Files that waited had no row; cancelled together they all had one, which nothing took away again.
#[tokio::test]
async fn a_long_queue_is_shown_in_part_and_cleared_as_a_whole() {
    let cluster = Cluster::start().await;
    let scratch = cluster.scratch();
    let files: Vec<_> = (0..200)
        .map(|number| file(&scratch, &format!("many/{number}"), b"x"))
        .collect();
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.script(HANG).await;
        let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
        page.choose("#file-input", &files).await;
        page.until(
            "document.querySelectorAll('.upload[data-state=waiting] progress').length === 100",
        )
        .await;
        page.until("document.getElementById('uploads-more').textContent === '4 more wait'")
            .await;
        page.click("#uploads-cancel").await;
        until_ended(page, "cancelled", 196).await;
        page.click("#uploads-clear").await;
        page.until("!document.querySelector('.upload')").await;
    })
    .await;
}

/// The second click of a double click on Retry cancelled what the first had begun; while others went on, a second click
/// put the file into the queue twice.
#[tokio::test]
async fn a_retry_that_is_clicked_twice_is_one() {
    let cluster = Cluster::start().await;
    let scratch = cluster.scratch();
    let files: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"]
        .iter()
        .map(|name| file(&scratch, name, b"x"))
        .collect();
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.script(
            "XMLHttpRequest.prototype.send = function () { \
               Object.defineProperty(this, 'status', { value: 507 }); \
               this.dispatchEvent(new Event('load')); \
             }",
        )
        .await;
        let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
        page.choose("#file-input", &files).await;
        until_ended(page, "failed", 7).await;
        page.script(HANG).await;
        // What is under the pointer the second time is another button.
        page.script(
            "for (const row of document.querySelectorAll('.upload')) { \
               for (const detail of [1, 2]) { \
                 row.querySelector('button').dispatchEvent(new MouseEvent('click', { detail })); \
               } \
             }",
        )
        .await;
        page.until(
            "JSON.stringify(Array.from(document.querySelectorAll('.upload'), row => row.dataset.state)) \
             === JSON.stringify(Array(7).fill('sending')) \
             && document.getElementById('uploads-summary').textContent.startsWith('7 to go')",
        )
        .await;
    })
    .await;
}

/// Neither a name nor a file's content runs as a script in the page's origin, and a name cannot look like another.
#[tokio::test]
async fn names_and_contents_do_nothing_to_the_page() {
    let cluster = Cluster::start().await;
    let script = "<script>document.title='harmed'</script>";
    let names = [
        "<img src=x onerror=\"document.title='harmed'\">.txt",
        "\"'><svg onload=document.title='harmed'>.txt",
        "photo\u{202e}gpj.exe",
    ];
    for name in names {
        cluster.upload(&format!("/{name}"), b"x").await;
    }
    let svg = format!("<svg xmlns='http://www.w3.org/2000/svg'>{script}</svg>");
    cluster.upload("/evil.svg", svg.as_bytes()).await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.click("#refresh").await;
        page.until(&format!("{NAMES}.length === 4")).await;
        assert_eq!(
            page.script("return document.title").await,
            "All files · DFS"
        );
        assert_eq!(
            page.script("return document.querySelectorAll('#rows img').length")
                .await,
            0
        );
        let rows = page.text("#rows").await;
        assert!(rows.contains("<img src=x"), "{rows}");
        assert!(rows.contains("U+202E"), "{rows}");
        // A stray `%`, as people type it, ended all scripts of the page.
        page.open(&cluster.url("/folder/100%")).await;
        page.until("document.getElementById('status-figures').children.length > 0")
            .await;
        page.open(&cluster.url("/api/v1/files/evil.svg")).await;
        assert_ne!(page.script("return document.title").await, "harmed");
    })
    .await;
}

/// Nothing is cut off on a phone, and everything can be hit with a finger.
#[tokio::test]
async fn the_page_fits_a_phone() {
    let cluster = Cluster::start().await;
    let long = "a very long name of a file that somebody once thought to be a good one ".repeat(3);
    cluster.upload(&format!("/{long}.txt"), b"x").await;
    cluster.upload("/folder/b", b"x").await;
    browse(Screen::Phone, async |page| {
        page.open(&cluster.url("/")).await;
        page.until(&format!("{NAMES}.length === 2")).await;
        let width = page.script("return document.documentElement.scrollWidth").await;
        assert_eq!(width, 390, "the page scrolls sideways");
        let outside = page
            .script(
                "return Array.from(document.querySelectorAll('button, a, summary')).filter(element => { \
                   const { left, right, width } = element.getBoundingClientRect(); \
                   return width > 1 && (left < 0 || right > innerWidth); \
                 }).map(element => element.textContent.trim())",
            )
            .await;
        assert_eq!(outside, json!([]));
        let small = page
            .script(
                "return Array.from(document.querySelectorAll('.button')).filter(element => { \
                   const { width, height } = element.getBoundingClientRect(); \
                   return width > 0 && height < 36; \
                 }).map(element => element.textContent.trim())",
            )
            .await;
        assert_eq!(small, json!([]), "too small for a finger");
        choose_in(page, ".entry[data-kind=folder]", "delete").await;
        page.until(&format!("{NAMES}.length === 1")).await;
    })
    .await;
}

/// Reading and downloading need no JavaScript; what does is not shown.
#[tokio::test]
async fn without_script_one_lists_and_downloads() {
    let cluster = Cluster::start().await;
    cluster.upload("/letters/a.txt", b"words").await;
    browse(Screen::WithoutScript, async |page| {
        page.open(&cluster.url("/")).await;
        page.click(".entry[data-name=letters] a").await;
        let body = page.text("body").await;
        assert!(body.contains("a.txt"), "{body}");
        assert!(body.contains("turn JavaScript on"), "{body}");
        assert!(!body.contains("Upload files"), "{body}");
    })
    .await;
}
