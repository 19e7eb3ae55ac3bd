//! What the cluster has already does not leave the browser again: the page names its chunks, and sends what is between them.

use std::path::{Path, PathBuf};

use reqwest::get;

use crate::support::panel::{
    CHUNK, LEN, address, begin, count_sent, file, press, sent, until_sent, until_state,
};
use crate::support::{Cluster, Page, Screen, browse, content, download};

/// A large file of which some bytes are other ones, as they are in no other file of another `number`.
fn changed(before: &[u8], places: &[usize], number: u8) -> Vec<u8> {
    let mut bytes = before.to_vec();
    for place in places {
        bytes[*place] ^= number;
    }
    bytes
}

/// From now on the requests are counted that name chunks.
async fn count_named(page: &Page) {
    page.script(
        "const { fetch } = window; \
         window.named = 0; \
         window.fetch = (address, options) => { \
           window.named += Number(String(address).endsWith('/chunks')); \
           return fetch(address, options); \
         }",
    )
    .await;
}

/// The page stores the file; gives how many bytes left the browser for it.
async fn bytes_sent_for(page: &Page, cluster: &Cluster, path: &Path) -> usize {
    page.open(&cluster.url("/")).await;
    count_sent(page).await;
    page.choose("#file-input", &[path]).await;
    until_state(page, "done", 1).await;
    sent(page).await
}

async fn named(page: &Page) -> u64 {
    let named = page.script("return window.named").await;
    named.as_u64().unwrap()
}

/// Of an image a byte in the middle changed: one chunk is sent. The same where that is the last one. Where two changed that follow each
/// other, one more is sent: behind the second it is not tried at once. Also where requests end within a chunk.
#[tokio::test]
async fn a_changed_byte_costs_a_chunk() {
    let mut cluster = Cluster::start().await;
    let bytes = content(21, LEN);
    cluster.upload("/before.img", &bytes).await;
    let client = cluster.client();
    let last = LEN - (LEN - 1) % CHUNK - 1;
    let middle = LEN / 2;
    let cases: [(&str, &[usize], usize, &str); 4] = [
        ("middle.img", &[middle], CHUNK, ""),
        ("last.img", &[LEN - 1], LEN - last, ""),
        (
            "both.img",
            &[CHUNK, middle, middle + CHUNK, LEN - 1],
            4 * CHUNK + LEN - last,
            "",
        ),
        (
            "short.img",
            &[middle, middle + CHUNK],
            3 * CHUNK,
            "web.upload_request_max=70kB",
        ),
    ];
    for ((name, places, wanted, setting), number) in cases.into_iter().zip(1..) {
        if !setting.is_empty() {
            cluster.web().arguments(&["--set", setting]);
            cluster.web().restart().await;
        }
        let image = changed(&bytes, places, number);
        let path = file(&cluster, name, &image);
        browse(Screen::Desktop, async |page| {
            let sent = bytes_sent_for(page, &cluster, &path).await;
            assert_eq!(sent, wanted, "{name}");
            let told = page.text("#uploads .upload-state").await;
            assert!(told.ends_with("Stored, 3 of 3 copies."), "{told}");
            assert_eq!(address(page).await, None);
        })
        .await;
        let stored = download(&client, &format!("/{name}")).await;
        assert!(stored.unwrap() == image, "{name}");
    }
}

/// Of a file that is new as a whole next to nothing is named: one chunk at its front, and a few on the way.
#[tokio::test]
async fn what_is_new_is_seldom_named() {
    let cluster = Cluster::start().await;
    let bytes = content(22, LEN);
    let film = file(&cluster, "film.mp4", &bytes);
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        count_sent(page).await;
        count_named(page).await;
        page.choose("#file-input", &[&film]).await;
        until_state(page, "done", 1).await;
        assert_eq!(sent(page).await, LEN);
        let named = named(page).await;
        assert!(named <= 4, "{named}");
    })
    .await;
    let stored = download(&cluster.client(), "/film.mp4").await;
    assert!(stored.unwrap() == bytes);
}

/// The front is new, and the page goes away while it sends that: the next page sends the rest of it, and finds what follows.
#[tokio::test]
async fn behind_what_was_cut_off_it_is_named_again() {
    let cluster = Cluster::start().await;
    let bytes = content(23, LEN);
    let front = LEN / 2 / CHUNK * CHUNK;
    let image: Vec<u8> = [&content(24, front)[..], &bytes[front..]].concat();
    cluster.upload("/before.img", &bytes).await;
    let path = file(&cluster, "after.img", &image);
    browse(Screen::Desktop, async |page| {
        begin(page, &cluster, &path).await;
        press(page, "Pause").await;
        until_state(page, "paused", 1).await;
        press(page, "Resume").await;
        until_sent(page, 0.2).await;
        page.open(&cluster.url("/")).await;
        page.until("document.querySelector('#cut-off .upload')")
            .await;
        page.limit_uploads(None).await;
        count_sent(page).await;
        page.choose("#file-input", &[&path]).await;
        until_state(page, "done", 1).await;
        let sent = sent(page).await;
        assert!(sent < front, "{sent} of {front} bytes in all");
    })
    .await;
    let stored = download(&cluster.client(), "/after.img").await;
    assert!(stored.unwrap() == image);
}

/// The same film under another name: the page finds that the cluster has it, and sends nothing. Also where the browser has no hashing of
/// its own for the page, as without HTTPS.
#[tokio::test]
async fn what_the_cluster_has_is_not_sent_again() {
    let mut cluster = Cluster::start().await;
    cluster.web().arguments(&["--set", "web.hosts=nas"]);
    cluster.web().restart().await;
    let bytes = content(8, LEN);
    let client = cluster.client();
    cluster.upload("/here/already.mp4", &bytes).await;
    let film = file(&cluster, "film.mp4", &bytes);
    let port = cluster.web.address().port();
    browse(Screen::Desktop, async |page| {
        for (host, name) in [("localhost", "/film.mp4"), ("nas", "/film (2).mp4")] {
            page.open(&format!("http://{host}:{port}/")).await;
            let is_secure = page.script("return isSecureContext").await;
            assert_eq!(is_secure, host == "localhost");
            count_sent(page).await;
            page.choose("#file-input", &[&film]).await;
            if name.contains('2') {
                page.answer("Keep both").await;
            }
            until_state(page, "done", 1).await;
            let told = page.text("#uploads .upload-state").await;
            assert!(told.ends_with("Was here already, 3 of 3 copies."), "{told}");
            assert_eq!(sent(page).await, 0);
            assert_eq!(address(page).await, None);
            assert!(download(&client, name).await.unwrap() == bytes);
        }
    })
    .await;
}

/// The front of a film is there already: what follows is sent, and nothing else.
#[tokio::test]
async fn only_what_the_cluster_has_not_is_sent() {
    let cluster = Cluster::start().await;
    let bytes = content(9, LEN);
    let known = LEN / 2 / CHUNK * CHUNK;
    cluster.upload("/front", &bytes[..known]).await;
    let film = file(&cluster, "film.mp4", &bytes);
    browse(Screen::Desktop, async |page| {
        let sent = bytes_sent_for(page, &cluster, &film).await;
        assert_eq!(sent, LEN - known);
        let told = page.text("#uploads .upload-state").await;
        assert!(told.ends_with("Stored, 3 of 3 copies."), "{told}");
    })
    .await;
    let stored = download(&cluster.client(), "/film.mp4").await;
    assert!(stored.unwrap() == bytes);
}

/// Of a chunk in the middle every copy is rotten: whoever has the file still brings that chunk back by uploading it.
#[tokio::test]
async fn what_the_cluster_has_lost_is_sent() {
    let mut cluster = Cluster::start().await;
    cluster.expect_in_log("corrupt");
    cluster.expect_in_log("lost");
    let bytes = content(10, LEN);
    cluster.upload("/before.mp4", &bytes).await;
    let lost = 20 * CHUNK;
    for node in 1..=3 {
        let copies = cluster.node(node).corrupt(&bytes[lost..lost + CHUNK]);
        assert_eq!(copies, 1);
    }
    let client = cluster.client();
    download(&client, "/before.mp4").await.unwrap_err();
    cluster
        .until("the loss is known", |status| status.chunks.unavailable == 1)
        .await;
    let film = file(&cluster, "film.mp4", &bytes);
    browse(Screen::Desktop, async |page| {
        assert_eq!(bytes_sent_for(page, &cluster, &film).await, CHUNK);
    })
    .await;
    assert!(download(&client, "/film.mp4").await.unwrap() == bytes);
    assert!(download(&client, "/before.mp4").await.unwrap() == bytes);
}

/// While it is hashed, an upload pauses, is taken up by a page that was loaded anew, and is cancelled, as any other.
#[tokio::test]
async fn an_upload_that_is_hashed_pauses_goes_on_and_is_cancelled() {
    let cluster = Cluster::start().await;
    let bytes = content(11, LEN);
    cluster.upload("/here/before.mp4", &bytes).await;
    let film = file(&cluster, "film.mp4", &bytes);
    // The second request that names chunks is not answered before somebody asks for it.
    let hold = "const { fetch } = window; \
        let named = 0; \
        window.fetch = async (address, options) => { \
          const isHeld = String(address).endsWith('/chunks') && (named += 1) === 2; \
          if (isHeld) await new Promise((resolve, reject) => { \
            window.goOn = resolve; \
            options.signal.addEventListener('abort', () => reject(options.signal.reason)); \
          }); \
          return fetch(address, options); \
        }";
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.script(hold).await;
        count_sent(page).await;
        page.choose("#file-input", &[&film]).await;
        page.until("window.goOn").await;
        press(page, "Pause").await;
        until_state(page, "paused", 1).await;
        press(page, "Resume").await;
        until_state(page, "done", 1).await;
        assert_eq!(sent(page).await, 0);

        page.open(&cluster.url("/folder/here")).await;
        page.script(hold).await;
        page.choose("#file-input", &[&film]).await;
        page.until("window.goOn").await;
        page.open(&cluster.url("/folder/here")).await;
        page.until("document.querySelector('#cut-off .upload')")
            .await;
        page.script(hold).await;
        count_sent(page).await;
        page.choose("#file-input", &[&film]).await;
        page.until("window.goOn").await;
        let upload = address(page).await.unwrap();
        press(page, "Cancel").await;
        until_state(page, "cancelled", 1).await;
        assert_eq!(get(&upload).await.unwrap().status(), 404);
        press(page, "Retry").await;
        until_state(page, "done", 1).await;
        assert_eq!(sent(page).await, 0);
    })
    .await;
    let stored = download(&cluster.client(), "/here/film.mp4").await;
    assert!(stored.unwrap() == bytes);
}

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
    let client = cluster.client();
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
    for (name, _, bytes) in &files {
        let stored = download(&client, &format!("/again/{name}")).await;
        assert!(stored.unwrap() == *bytes, "{name}");
    }
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
    for (name, _, bytes) in &files {
        let stored = download(&cluster.client(), &format!("/{name}")).await;
        assert!(stored.unwrap() == *bytes, "{name}");
    }
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
    for (name, _, bytes) in &files {
        let stored = download(&cluster.client(), &format!("/{name}")).await;
        assert!(stored.unwrap() == *bytes, "{name}");
    }
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

/// Something on the way loses all forms in which files are only named, or refuses them: the files are sent many in a form, as they ever were.
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
        for (name, _, bytes) in &files {
            let stored = download(&cluster.client(), &format!("/{round}/{name}")).await;
            assert!(stored.unwrap() == *bytes, "{name}");
        }
    }
}
