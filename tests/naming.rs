//! What the cluster has already does not leave the browser again: the page names its chunks, and sends what is between them.

use std::path::Path;

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

pub(crate) async fn named(page: &Page) -> u64 {
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
