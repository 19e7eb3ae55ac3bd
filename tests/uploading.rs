//! Uploads by the page, through whatever happens to them: the stock client of tus in a real browser, against real processes.
//!
//! The browser is made slow where something has to happen in the middle of an upload.

use std::path::PathBuf;

use reqwest::get;
use serde_json::Value;

use crate::support::list::{DELETE, focus, open_list, rename, until_listed};
use crate::support::panel::{
    CHUNK, ENDLESS, LEN, SLOW, address, begin, count_sent, file, measure_requests, press, sent,
    until_sent, until_state,
};
use crate::support::{Cluster, Screen, browse, content, download};

/// The tab is closed in the middle, and opened again: it says what was cut off, and the same file goes on where it was.
#[tokio::test]
async fn an_upload_goes_on_after_the_page_was_loaded_anew() {
    let cluster = Cluster::start().await;
    let bytes = content(1, LEN);
    let film = file(&cluster, "film: #1.mp4", &bytes);
    browse(Screen::Desktop, async |page| {
        begin(page, &cluster, &film).await;
        let upload = address(page).await.unwrap();
        page.open(&cluster.url("/")).await;
        page.until("document.querySelector('#cut-off .upload')")
            .await;
        let told = page.text("#cut-off").await;
        assert!(told.contains("film: #1.mp4"), "{told}");
        assert!(told.contains("of 12.0 MB are here"), "{told}");
        page.limit_uploads(None).await;
        page.choose("#file-input", &[&film]).await;
        until_state(page, "done", 1).await;
        page.until("document.getElementById('cut-off').hidden")
            .await;
        let state: Value = get(&upload).await.unwrap().json().await.unwrap();
        assert!(state["version"].as_u64().is_some(), "{state}");
        assert_eq!(address(page).await, None);
        until_listed(page, &["film: #1.mp4"]).await;
    })
    .await;
    let stored = download(&cluster.client(), "/film: #1.mp4").await;
    assert!(stored.unwrap() == bytes);
}

/// The web process, the master and a node die in the middle: the row says that it tries again, and the file is whole.
#[tokio::test]
async fn an_upload_outlives_each_process() {
    let mut cluster = Cluster::start().await;
    let bytes = content(2, LEN);
    let film = file(&cluster, "film.mp4", &bytes);
    browse(Screen::Desktop, async |page| {
        begin(page, &cluster, &film).await;
        cluster.web().kill();
        until_state(page, "stuck", 1).await;
        let row = page.text("#uploads .upload-state").await;
        assert_eq!(row, "Connection lost, trying again.");
        cluster.web().start().await;
        until_sent(page, 0.4).await;
        cluster.master().kill();
        cluster.master().start().await;
        until_sent(page, 0.7).await;
        cluster.node(1).kill();
        page.limit_uploads(None).await;
        until_state(page, "done", 1).await;
    })
    .await;
    let stored = download(&cluster.client(), "/film.mp4").await;
    assert!(stored.unwrap() == bytes);
}

/// Paused, it sends nothing, and goes on where it was; cancelled, nothing of it is left anywhere.
#[tokio::test]
async fn an_upload_pauses_goes_on_and_is_cancelled() {
    let cluster = Cluster::start().await;
    let bytes = content(3, LEN);
    let film = file(&cluster, "film.mp4", &bytes);
    browse(Screen::Desktop, async |page| {
        begin(page, &cluster, &film).await;
        press(page, "Pause").await;
        until_state(page, "paused", 1).await;
        let upload = address(page).await.unwrap();
        let held = get(&upload).await.unwrap();
        assert_eq!(held.status(), 200);
        page.limit_uploads(None).await;
        press(page, "Resume").await;
        until_state(page, "done", 1).await;
        let state: Value = get(&upload).await.unwrap().json().await.unwrap();
        assert!(state["version"].as_u64().is_some(), "{state}");

        let other = file(&cluster, "other.mp4", &content(4, LEN));
        page.limit_uploads(SLOW).await;
        page.choose("#file-input", &[&other]).await;
        until_state(page, "sending", 1).await;
        until_sent(page, 0.1).await;
        let upload = address(page).await.unwrap();
        press(page, "Cancel").await;
        until_state(page, "cancelled", 1).await;
        assert_eq!(get(&upload).await.unwrap().status(), 404);
        assert_eq!(address(page).await, None);
        page.click("#refresh").await;
        until_listed(page, &["film.mp4"]).await;
    })
    .await;
    let stored = download(&cluster.client(), "/film.mp4").await;
    assert!(stored.unwrap() == bytes);
}

/// A large file's name is taken from the beginning, or by somebody else while it is sent: it asks, and replaces nothing by itself.
#[tokio::test]
async fn a_large_file_asks_where_its_name_is_taken() {
    let cluster = Cluster::start().await;
    cluster.upload("/film.mp4", b"old").await;
    let bytes = content(5, LEN);
    let film = file(&cluster, "film.mp4", &bytes);
    let late_bytes = content(12, LEN);
    let late = file(&cluster, "late.mp4", &late_bytes);
    let client = cluster.client();
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.choose("#file-input", &[&film]).await;
        page.answer("Skip").await;
        until_state(page, "skipped", 1).await;
        page.choose("#file-input", &[&film]).await;
        page.answer("Keep both").await;
        until_state(page, "done", 1).await;
        assert!(download(&client, "/film (2).mp4").await.unwrap() == bytes);
        assert_eq!(download(&client, "/film.mp4").await.unwrap(), b"old");
        page.choose("#file-input", &[&film]).await;
        page.answer("Replace").await;
        until_state(page, "done", 2).await;
        assert!(download(&client, "/film.mp4").await.unwrap() == bytes);

        page.open(&cluster.url("/")).await;
        count_sent(page).await;
        page.limit_uploads(SLOW).await;
        page.choose("#file-input", &[&late]).await;
        until_sent(page, 0.1).await;
        cluster.upload("/late.mp4", b"quicker").await;
        page.limit_uploads(None).await;
        page.answer("Keep both").await;
        until_state(page, "done", 1).await;
        assert_eq!(download(&client, "/late.mp4").await.unwrap(), b"quicker");
        // What was sent stays, but for the last few chunks, which wait for their commit.
        let again = sent(page).await - LEN;
        assert!(again <= 33 * CHUNK, "{again} bytes were sent again");
        assert!(download(&client, "/late (2).mp4").await.unwrap() == late_bytes);
        assert_eq!(address(page).await, None);
    })
    .await;
}

/// The question named the folder that is shown, although the file goes into one below it.
#[tokio::test]
async fn the_question_names_the_folder_that_has_the_name() {
    let cluster = Cluster::start().await;
    cluster.upload("/Walk/Trip/day 1/a.jpg", b"old").await;
    file(&cluster, "Trip/day 1/a.jpg", b"new");
    let trip = cluster.scratch().join("Trip");
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/folder/Walk")).await;
        page.drop_onto("#title", &[&trip]).await;
        page.until("document.querySelector('dialog[open]')").await;
        let question = page.text("dialog p").await;
        assert!(
            question.starts_with("“a.jpg” is in “Walk / Trip / day 1” already."),
            "{question}"
        );
        page.answer("Skip").await;
        until_state(page, "skipped", 1).await;
    })
    .await;
}

/// A proxy takes no long requests: with the setting, no body is longer, whatever the file's size.
#[tokio::test]
async fn no_request_is_longer_than_the_setting_says() {
    let mut cluster = Cluster::start().await;
    cluster
        .web()
        .arguments(&["--set", "web.upload_request_max=100kB"]);
    cluster.web().restart().await;
    let (long, short) = (content(6, 1_234_567), content(7, 99_000));
    let paths = [
        file(&cluster, "long", &long),
        file(&cluster, "short", &short),
    ];
    let client = cluster.client();
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        measure_requests(page).await;
        let paths: Vec<_> = paths.iter().map(PathBuf::as_path).collect();
        page.choose("#file-input", &paths).await;
        until_state(page, "done", 2).await;
        assert_eq!(page.script("return window.longest").await, 100_000);
    })
    .await;
    assert!(download(&client, "/long").await.unwrap() == long);
    assert!(download(&client, "/short").await.unwrap() == short);
}

/// Folders come with all that is in them, and with those that have nothing in them; on a folder's row they go into that folder.
#[tokio::test]
async fn folders_are_dropped_onto_the_page_and_onto_a_folder() {
    let cluster = Cluster::start().await;
    cluster.upload("/photos/old.jpg", b"old").await;
    file(&cluster, "photos/new.jpg", b"new");
    file(&cluster, "letters/2026/a.txt", b"words");
    std::fs::create_dir_all(cluster.scratch().join("letters/empty/deep")).unwrap();
    let [photos, letters] = ["photos", "letters"].map(|name| cluster.scratch().join(name));
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.drop_onto("#title", &[&photos]).await;
        until_state(page, "done", 1).await;
        page.drop_onto(".entry[data-name=photos] .name", &[&letters])
            .await;
        until_state(page, "done", 2).await;
        page.open(&cluster.url("/folder/photos")).await;
        until_listed(page, &["letters", "new.jpg", "old.jpg"]).await;
        page.open(&cluster.url("/folder/photos/letters/empty")).await;
        until_listed(page, &["deep"]).await;
        page.script(
            "const transfer = new DataTransfer(); \
             transfer.items.add(new File(['words'], 'pasted.txt')); \
             document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true }))",
        )
        .await;
        until_listed(page, &["deep", "pasted.txt"]).await;
    })
    .await;
    let client = cluster.client();
    for (path, words) in [
        ("/photos/letters/2026/a.txt", "words"),
        ("/photos/letters/empty/pasted.txt", "words"),
        ("/photos/new.jpg", "new"),
    ] {
        assert_eq!(download(&client, path).await.unwrap(), words.as_bytes());
    }
}

/// Somebody stored another version while the person was asked about the one before: that is asked about again, and not replaced unseen.
#[tokio::test]
async fn only_what_was_asked_about_is_replaced() {
    let cluster = Cluster::start().await;
    cluster.upload("/words.txt", b"old").await;
    cluster.upload("/film.mp4", b"old").await;
    let words = file(&cluster, "words.txt", b"mine");
    let bytes = content(13, 2_000_000);
    let film = file(&cluster, "film.mp4", &bytes);
    let client = cluster.client();
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        for (name, path, mine) in [
            ("/words.txt", &words, &b"mine"[..]),
            ("/film.mp4", &film, &bytes),
        ] {
            page.choose("#file-input", &[path]).await;
            page.until("document.querySelector('dialog[open]')").await;
            page.script("document.querySelector('dialog').dataset.isFirst = 'yes'")
                .await;
            cluster.upload(name, b"somebody's").await;
            page.answer("Replace").await;
            page.until("document.querySelector('dialog[open]:not([data-is-first])')")
                .await;
            assert_eq!(download(&client, name).await.unwrap(), b"somebody's");
            page.answer("Replace").await;
            page.until("!document.querySelector('dialog')").await;
            page.until("document.querySelector('#uploads .upload').dataset.state === 'done'")
                .await;
            assert!(download(&client, name).await.unwrap() == mine);
        }
    })
    .await;
}

/// The answer to a small file was lost, and another of its size and time took the name: it was taken for the one that was sent.
#[tokio::test]
async fn a_file_of_unsure_fate_is_known_by_its_content() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    let [mine, same] = ["mine.txt", "same.txt"].map(|name| file(&cluster, name, b"words"));
    let modified = std::fs::metadata(&mine).unwrap().modified().unwrap();
    let since_1970 = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
    let options = || client::UploadOptions {
        modified_ms: Some(u64::try_from(since_1970.as_millis()).unwrap()),
        ..client::UploadOptions::default()
    };
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.script(
            "const { send } = XMLHttpRequest.prototype; \
             window.isCut = true; \
             XMLHttpRequest.prototype.send = function (body) { \
               if (window.isCut) setTimeout(() => this.dispatchEvent(new Event('error'))); \
               else send.call(this, body); \
             }",
        )
        .await;
        page.choose("#file-input", &[&mine, &same]).await;
        until_state(page, "stuck", 2).await;
        let theirs = "/mine.txt".parse().unwrap();
        let uploaded = client.upload(&theirs, &b"other"[..], options()).await;
        uploaded.unwrap();
        let equal = "/same.txt".parse().unwrap();
        let uploaded = client.upload(&equal, &b"words"[..], client::UploadOptions::default());
        uploaded.await.unwrap();
        page.script("window.isCut = false; dispatchEvent(new Event('online'))")
            .await;
        page.answer("Keep both").await;
        until_state(page, "done", 2).await;
    })
    .await;
    for (name, words) in [
        ("/mine.txt", "other"),
        ("/mine (2).txt", "words"),
        ("/same.txt", "words"),
    ] {
        let stored = download(&client, name).await.unwrap();
        assert_eq!(stored, words.as_bytes(), "{name}");
    }
    let missing = download(&client, "/same (2).txt").await;
    assert!(missing.is_err(), "it was there already");
}

/// The same drop twice, as by an impatient hand: each file goes once.
#[tokio::test]
async fn what_is_under_way_is_not_begun_again() {
    let cluster = Cluster::start().await;
    let films = [("/films/a.mp4", 14), ("/films/b.mp4", 16)]
        .map(|(path, seed)| (path, file(&cluster, &path[1..], &content(seed, LEN))));
    let folder = cluster.scratch().join("films");
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.limit_uploads(ENDLESS).await;
        page.drop_onto("#title", &[&folder]).await;
        page.until("document.querySelectorAll('#uploads .upload').length === 2")
            .await;
        page.drop_onto("#title", &[&folder]).await;
        page.until("document.getElementById('notice').textContent.includes('already')")
            .await;
        page.limit_uploads(None).await;
        until_state(page, "done", 2).await;
        let rows = "return document.querySelectorAll('#uploads .upload').length";
        assert_eq!(page.script(rows).await, 2);
    })
    .await;
    let client = cluster.client();
    for (name, path) in films {
        let stored = download(&client, name).await.unwrap();
        assert!(stored == std::fs::read(path).unwrap(), "{name}");
    }
}

/// The folder that files are on their way into gets another name: they follow, and nothing makes the old one again.
#[tokio::test]
async fn what_goes_into_a_folder_follows_it() {
    let cluster = Cluster::start().await;
    cluster.upload("/old/first", b"first").await;
    let bytes = content(15, LEN);
    let film = file(&cluster, "in/film.mp4", &bytes);
    let small = file(&cluster, "in/small.txt", b"words");
    browse(Screen::Desktop, async |page| {
        open_list(page, &cluster.url("/")).await;
        page.script("XMLHttpRequest.prototype.realSend = XMLHttpRequest.prototype.send")
            .await;
        page.limit_uploads(SLOW).await;
        page.drop_onto(".entry[data-name=old] .name", &[&film])
            .await;
        until_sent(page, 0.3).await;
        // The connection breaks for a small one: its fate is unsure.
        page.script(
            "XMLHttpRequest.prototype.send = function (body) { \
               if (!(body instanceof FormData)) this.realSend(body); \
               else setTimeout(() => this.dispatchEvent(new Event('error'))); \
             }",
        )
        .await;
        page.drop_onto(".entry[data-name=old] .name", &[&small])
            .await;
        until_state(page, "stuck", 1).await;
        page.script("XMLHttpRequest.prototype.send = XMLHttpRequest.prototype.realSend")
            .await;
        rename(page, "old", "new").await;
        until_listed(page, &["new"]).await;
        page.limit_uploads(None).await;
        until_state(page, "done", 2).await;
        let told = page.text("#uploads").await;
        assert!(told.contains("in new"), "{told}");
        page.click("#refresh").await;
        until_listed(page, &["new"]).await;
    })
    .await;
    let client = cluster.client();
    assert!(download(&client, "/new/film.mp4").await.unwrap() == bytes);
    assert_eq!(download(&client, "/new/small.txt").await.unwrap(), b"words");
    assert!(client.entry(&"/old".parse().unwrap()).await.is_err());
}

/// The folder that files were on their way into was deleted: they made it anew.
#[tokio::test]
async fn what_goes_into_a_folder_ends_with_it() {
    let cluster = Cluster::start().await;
    cluster.upload("/old/first", b"first").await;
    let film = file(&cluster, "in/film.mp4", &content(15, LEN));
    let small = file(&cluster, "in/small.txt", &content(16, 900_000));
    let elsewhere = file(&cluster, "elsewhere.txt", b"words");
    browse(Screen::Desktop, async |page| {
        open_list(page, &cluster.url("/")).await;
        page.limit_uploads(ENDLESS).await;
        page.drop_onto(".entry[data-name=old] .name", &[&film, &small])
            .await;
        page.until(
            "document.querySelectorAll('#uploads .upload[data-state=sending]').length === 2",
        )
        .await;
        until_sent(page, 0.001).await;
        focus(page, "old").await;
        page.press(DELETE).await;
        until_state(page, "cancelled", 2).await;
        page.until(
            "document.getElementById('notice').textContent.includes('2 uploads into it were cancelled')",
        )
        .await;
        assert_eq!(address(page).await, None);
        page.limit_uploads(None).await;
        page.choose("#file-input", &[&elsewhere]).await;
        until_state(page, "done", 1).await;
        until_listed(page, &["elsewhere.txt"]).await;
        page.click(".toast .button").await;
        until_listed(page, &["old", "elsewhere.txt"]).await;
    })
    .await;
    let client = cluster.client();
    assert_eq!(download(&client, "/old/first").await.unwrap(), b"first");
    for name in ["/old/film.mp4", "/old/small.txt"] {
        assert!(client.entry(&name.parse().unwrap()).await.is_err());
    }
}
