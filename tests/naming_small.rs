//! Small files that the cluster has already: the page names them, many in a form, and sends those that are new.

use std::path::{Path, PathBuf};

use crate::naming::named;
use crate::support::panel::{CHUNK, file, press, sent, until_state};
use crate::support::{Cluster, Page, Screen, browse, content, download};

/// Some dozens of small files: most of one chunk, some of several, one empty; with their names and their bytes.
fn small_files(cluster: &Cluster, first: u64, count: u64) -> Vec<(String, PathBuf, Vec<u8>)> {
    let files = (first..first + count).map(|number| {
        let len = match number % 10 {
            0 => 3 * CHUNK + 5,
            1 => CHUNK,
            _ => 20_000,
        };
        let len = if number == 5 { 0 } else { len };
        let name = format!("ä {number}.jpg");
        let bytes = content(100 + number, len);
        let path = file(cluster, &format!("photos/{name}"), &bytes);
        (name, path, bytes)
    });
    files.collect()
}

async fn choose(page: &Page, files: &[(String, PathBuf, Vec<u8>)]) {
    let paths: Vec<&Path> = files.iter().map(|(_, path, _)| path.as_path()).collect();
    page.choose("#file-input", &paths).await;
}

async fn until_stored(page: &Page, count: usize) {
    page.until(&format!(
        "document.getElementById('uploads-summary').textContent === '{count} stored'"
    ))
    .await;
}

/// All are in this folder, with their own bytes.
async fn expect_stored(cluster: &Cluster, folder: &str, files: &[(String, PathBuf, Vec<u8>)]) {
    let client = cluster.client();
    for (name, _, bytes) in files {
        let stored = download(&client, &format!("{folder}/{name}")).await;
        assert!(stored.unwrap() == *bytes, "{name}");
    }
}

/// From now on the bytes of small files that leave the browser are counted, and the forms in which files are only named.
async fn count_forms(page: &Page) {
    page.script(
        "const { send } = XMLHttpRequest.prototype; \
         window.sentBytes = 0; \
         window.named = 0; \
         XMLHttpRequest.prototype.send = function (body) { \
           const contents = body.getAll('content'); \
           window.sentBytes += contents.reduce((sum, { size }) => sum + size, 0); \
           window.named += Number(contents.length === 0); \
           send.call(this, body); \
         }",
    )
    .await;
}

/// Photos that were dropped a second time were sent in full. Now one that changed is, and one asks, whose name is taken.
#[tokio::test]
async fn small_files_that_the_cluster_has_are_not_sent_again() {
    let cluster = Cluster::start().await;
    let mut files = small_files(&cluster, 0, 60);
    cluster.upload("/again/ä 7.jpg", b"other").await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        count_forms(page).await;
        choose(page, &files).await;
        until_stored(page, 60).await;
        let all: usize = files.iter().map(|(_, _, bytes)| bytes.len()).sum();
        assert_eq!(sent(page).await, all);

        let (_, path, bytes) = &mut files[30];
        bytes[CHUNK] ^= 1;
        std::fs::write(path, &bytes).unwrap();
        let changed = bytes.len();
        page.open(&cluster.url("/folder/again")).await;
        count_forms(page).await;
        choose(page, &files).await;
        page.answer("Replace").await;
        until_stored(page, 60).await;
        assert_eq!(sent(page).await, changed);
        let told = "[...document.querySelectorAll('#uploads .upload-state')].filter((state) => \
             state.textContent.endsWith('Was here already, 3 of 3 copies.')).length";
        // All that are shown but the empty one and the changed one.
        let shown = "document.querySelectorAll('#uploads .upload').length";
        page.until(&format!("{told} >= {shown} - 2 && {told} > 0"))
            .await;
    })
    .await;
    expect_stored(&cluster, "/again", &files).await;
}

/// Of hundreds of files that are new few are named in vain, and each is sent once.
#[tokio::test]
async fn small_files_that_are_new_are_seldom_named() {
    let cluster = Cluster::start().await;
    let files = small_files(&cluster, 100, 300);
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        count_forms(page).await;
        choose(page, &files).await;
        until_stored(page, 300).await;
        let all: usize = files.iter().map(|(_, _, bytes)| bytes.len()).sum();
        assert_eq!(sent(page).await, all);
        let named = named(page).await;
        assert!((1..=4).contains(&named), "{named}");
    })
    .await;
    expect_stored(&cluster, "", &files).await;
}

/// New files, with one among each few that lies in every folder: they are not held up for its sake.
#[tokio::test]
async fn one_known_file_among_many_new_ones_is_not_asked_for() {
    let cluster = Cluster::start().await;
    let mut files = small_files(&cluster, 500, 300);
    let known = content(26, 5000);
    cluster.upload("/before/Thumbs.db", &known).await;
    for (_, path, bytes) in files.iter_mut().skip(3).step_by(10) {
        bytes.clone_from(&known);
        std::fs::write(path, bytes).unwrap();
    }
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        count_forms(page).await;
        choose(page, &files).await;
        until_stored(page, 300).await;
        let named = named(page).await;
        assert!((1..=4).contains(&named), "{named}");
    })
    .await;
    expect_stored(&cluster, "", &files).await;
}

/// When the server is asked: a value, without a server.
#[tokio::test]
async fn questions_that_do_not_pay_become_rare() {
    let cluster = Cluster::start().await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        let course = page
            .script(
                "return import('/static/sampling.js').then(({ Sampling }) => { \
                   const sampling = new Sampling(); \
                   const course = []; \
                   const next = (...answers) => { \
                     const said = sampling.next(); \
                     course.push(said); \
                     if (said === 'ask') answers.forEach((share) => sampling.heard(share)); \
                   }; \
                   next(); \
                   next(); \
                   sampling.heard(0); \
                   for (let one = 0; one < 8; one += 1) next(0.1); \
                   for (let one = 0; one < 5; one += 1) next(0.9); \
                   return course.join(' '); \
                 })",
            )
            .await;
        // The second waits for the first; then 1, 2 and 4 go without; then much is known, and all are asked for.
        let expected = "ask wait send ask send send ask send send send send ask ask ask ask";
        assert_eq!(course, expected);
    })
    .await;
}

/// What the cluster has is cancelled on its way, and comes all the same: it is not stored.
#[tokio::test]
async fn a_small_file_that_is_named_is_cancelled() {
    let cluster = Cluster::start().await;
    let bytes = content(25, 20_000);
    cluster.upload("/before.txt", &bytes).await;
    let path = file(&cluster, "small.txt", &bytes);
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.script(
            "const { send } = XMLHttpRequest.prototype; \
             window.late = 0; \
             XMLHttpRequest.prototype.send = function (body) { \
               window.goOn = () => send.call(this, body); \
             }; \
             XMLHttpRequest.prototype.abort = function () { \
               this.dispatchEvent(new Event('abort')); \
               this.addEventListener('loadend', () => { window.late += 1; }); \
             }",
        )
        .await;
        page.choose("#file-input", &[&path]).await;
        page.until("window.goOn").await;
        press(page, "Cancel").await;
        until_state(page, "cancelled", 1).await;
        page.script("window.goOn()").await;
        page.until("window.late === 1").await;
    })
    .await;
    download(&cluster.client(), "/small.txt").await.unwrap_err();
}

/// While small files are hashed, one of them is cancelled: the others are named as if it had not been among them.
#[tokio::test]
async fn one_of_small_files_that_are_hashed_is_cancelled() {
    let cluster = Cluster::start().await;
    let mut files = small_files(&cluster, 41, 4);
    for (name, _, bytes) in &files {
        cluster.upload(&format!("/before/{name}"), bytes).await;
    }
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        count_forms(page).await;
        page.script(
            "const { postMessage } = Worker.prototype; \
             Worker.prototype.postMessage = function (wanted) { \
               window.goOn = () => postMessage.call(this, wanted); \
               Worker.prototype.postMessage = postMessage; \
             }",
        )
        .await;
        choose(page, &files).await;
        page.until("window.goOn").await;
        press(page, &format!("Cancel {}", files[2].0)).await;
        until_state(page, "cancelled", 1).await;
        page.script("window.goOn()").await;
        until_state(page, "done", 3).await;
        assert_eq!((sent(page).await, named(page).await), (0, 1));
    })
    .await;
    let (name, ..) = files.remove(2);
    expect_stored(&cluster, "", &files).await;
    let stored = download(&cluster.client(), &format!("/{name}")).await;
    stored.unwrap_err();
}

/// Something on the way loses all forms in which files are only named, or refuses them: the files are sent many in a form, as they ever
/// were.
#[tokio::test]
async fn small_files_that_cannot_be_named_are_sent() {
    let cluster = Cluster::start().await;
    for (round, failure) in (0_u64..).zip([
        "this.dispatchEvent(new Event('error'))",
        "Object.defineProperty(this, 'status', { value: 403 }) && this.dispatchEvent(new Event('load'))",
    ]) {
        let files = small_files(&cluster, 1000 * round, 200);
        browse(Screen::Desktop, async |page| {
            page.open(&cluster.url(&format!("/folder/{round}"))).await;
            page.script(&format!(
                "const {{ send }} = XMLHttpRequest.prototype; \
                 window.forms = 0; \
                 XMLHttpRequest.prototype.send = function (body) {{ \
                   window.forms += 1; \
                   if (body.getAll('content').length > 0) return send.call(this, body); \
                   setTimeout(() => {failure}); \
                 }}"
            ))
            .await;
            choose(page, &files).await;
            until_stored(page, 200).await;
            let forms = page.script("return window.forms").await;
            assert!(forms.as_u64().unwrap() < 30, "{forms}");
        })
        .await;
        expect_stored(&cluster, &format!("/{round}"), &files).await;
    }
}
