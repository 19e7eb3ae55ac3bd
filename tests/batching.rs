//! Many small files, which the page sends together: each is a file of its own all the same.

use std::path::{Path, PathBuf};

use crate::support::list::{open_list, rename, until_equal, until_listed};
use crate::support::panel::{ENDLESS, until_sent, until_state};
use crate::support::{Cluster, Page, Screen, browse, content, download};

const COUNT: u64 = 200;
const LEN: usize = 20_000;

/// Small files, each with bytes of its own.
fn files(cluster: &Cluster) -> Vec<PathBuf> {
    let folder = cluster.scratch().join("photos");
    std::fs::create_dir_all(&folder).unwrap();
    let files = (0..COUNT).map(|number| {
        let path = folder.join(format!("ä {number}.jpg"));
        std::fs::write(&path, content(number, LEN)).unwrap();
        path
    });
    files.collect()
}

async fn choose(page: &Page, files: &[PathBuf]) {
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    page.choose("#file-input", &files).await;
}

async fn until_summed(page: &Page, sum: &str) {
    let summary = "document.getElementById('uploads-summary').textContent";
    until_equal(page, summary, sum).await;
}

/// All but these are there, with their own bytes.
async fn expect_stored(cluster: &Cluster, missing: &[u64]) {
    let client = cluster.client();
    for number in 0..COUNT {
        let stored = download(&client, &format!("/ä {number}.jpg")).await.ok();
        let expected = (!missing.contains(&number)).then(|| content(number, LEN));
        assert!(stored == expected, "file {number}");
    }
}

/// Of hundreds of files that go in a few requests, one has a name that is taken: it alone asks.
#[tokio::test]
async fn small_files_go_together_and_each_is_stored() {
    let cluster = Cluster::start().await;
    let files = files(&cluster);
    let taken = "/ä 150.jpg".parse().unwrap();
    let options = client::UploadOptions::default();
    let client = cluster.client();
    let uploaded = client.upload(&taken, &b"other"[..], options);
    uploaded.await.unwrap();
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.script(
            "const { open } = XMLHttpRequest.prototype; \
             window.requests = []; \
             XMLHttpRequest.prototype.open = function (method, address) { \
               window.requests.push(`${method} ${address}`); \
               open.call(this, method, address); \
             }",
        )
        .await;
        choose(page, &files).await;
        page.answer("Replace").await;
        until_summed(page, "200 stored").await;
        let requests = page.script("return window.requests").await;
        let requests = requests.as_array().unwrap();
        assert!(requests.len() < 20, "{requests:?}");
        assert!(
            requests.contains(&"POST /api/v1/files".into()),
            "{requests:?}"
        );
    })
    .await;
    expect_stored(&cluster, &[]).await;
}

/// The network goes, and the web process, the master and a node die, while hundreds of small files are on their way: each is stored, and
/// once.
#[tokio::test]
async fn small_files_outlive_the_network_and_each_process() {
    let mut cluster = Cluster::start().await;
    let files = files(&cluster);
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.limit_uploads(SLOW_FORMS).await;
        choose(page, &files).await;
        until_moving(page).await;
        page.lose_network().await;
        let is_stuck = "document.querySelector('#uploads .upload[data-state=stuck]')";
        page.until(is_stuck).await;
        page.limit_uploads(SLOW_FORMS).await;
        until_more_are_stored(&cluster).await;
        cluster.web().kill();
        page.until(is_stuck).await;
        cluster.web().start().await;
        until_more_are_stored(&cluster).await;
        cluster.master().kill();
        cluster.master().start().await;
        until_more_are_stored(&cluster).await;
        cluster.node(1).kill();
        until_more_are_stored(&cluster).await;
        page.limit_uploads(None).await;
        until_summed(page, "200 stored").await;
    })
    .await;
    expect_stored(&cluster, &[]).await;
    let root = "/".parse().unwrap();
    let listed = cluster.client().list(&root, None, 1000).await.unwrap();
    assert_eq!(listed.entries.len() as u64, COUNT, "some are stored twice");
}

/// So slow that a form of forty files takes a moment, and all of them some.
const SLOW_FORMS: Option<u32> = Some(500_000);

/// Some bytes of a form have left.
async fn until_moving(page: &Page) {
    page.until("[...document.querySelectorAll('#uploads .upload progress')].some(({ value }) => value > 0)")
        .await;
}

/// More than until now, and not all.
async fn until_more_are_stored(cluster: &Cluster) {
    let client = cluster.client();
    let stored = async || client.status().await.map_or(0, |status| status.files);
    let before = stored().await;
    crate::support::until("more files are stored", async || stored().await > before).await;
    let now = stored().await;
    assert!(now < COUNT, "all {now} were stored before it was harmed");
}

/// A proxy on the way takes no request longer than the setting says: forms are not longer either.
#[tokio::test]
async fn no_form_is_longer_than_the_setting_says() {
    let mut cluster = Cluster::start().await;
    cluster
        .web()
        .arguments(&["--set", "web.upload_request_max=100kB"]);
    cluster.web().restart().await;
    let files = files(&cluster);
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.script(
            "const { send } = XMLHttpRequest.prototype; \
             window.forms = []; \
             XMLHttpRequest.prototype.send = function (body) { \
               if (!(body instanceof FormData)) return send.call(this, body); \
               window.forms.push(new Response(body).arrayBuffer().then(({ byteLength }) => byteLength)); \
               send.call(this, body); \
             }",
        )
        .await;
        choose(page, &files).await;
        until_summed(page, "200 stored").await;
        let lengths = page.script("return Promise.all(window.forms)").await;
        let lengths = lengths.as_array().unwrap().iter();
        let lengths: Vec<_> = lengths.map(|len| len.as_u64().unwrap()).collect();
        assert!(lengths.len() > 1, "no forms were sent");
        assert!(lengths.iter().all(|len| *len <= 100_000), "{lengths:?}");
    })
    .await;
    expect_stored(&cluster, &[]).await;
}

/// One is cancelled while it goes with others: it is not there, and they are.
#[tokio::test]
async fn one_that_goes_with_others_is_cancelled_alone() {
    let cluster = Cluster::start().await;
    let files = files(&cluster);
    let mut cancelled = None;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.limit_uploads(SLOW_FORMS).await;
        choose(page, &files).await;
        until_moving(page).await;
        let name = page
            .script(
                "const row = [...document.querySelectorAll('#uploads .upload[data-state=sending]')].at(-1); \
                 row.querySelector(\"button[aria-label^='Cancel']\").click(); \
                 return row.querySelector('.upload-name').textContent",
            )
            .await;
        let name = name.as_str().unwrap();
        cancelled = name.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().ok();
        page.limit_uploads(None).await;
        until_summed(page, "199 stored").await;
        page.until("document.querySelectorAll('#uploads .upload[data-state=cancelled]').length === 1").await;
    })
    .await;
    expect_stored(&cluster, &[cancelled.unwrap()]).await;
}

/// From now on what the page gives up goes on to its end, as through a proxy that sends it on all the same; `window.late` counts those
/// that got there.
const UNSTOPPABLE: &str = "window.late = 0; \
    XMLHttpRequest.prototype.abort = function () { \
      this.dispatchEvent(new Event('abort')); \
      this.addEventListener('loadend', () => { window.late += 1; }); \
    }";

/// Small, and long on its way.
const SLOW_LEN: usize = 900_000;

async fn slow_file(page: &Page, cluster: &Cluster) -> PathBuf {
    let path = cluster.scratch().join("small.txt");
    std::fs::write(&path, content(1, SLOW_LEN)).unwrap();
    page.limit_uploads(ENDLESS).await;
    page.script(UNSTOPPABLE).await;
    path
}

/// What came after it was cancelled was stored, and the row said that nothing was.
#[tokio::test]
async fn a_small_file_that_comes_after_it_was_cancelled_is_not_stored() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        let path = slow_file(page, &cluster).await;
        page.choose("#file-input", &[&path]).await;
        until_sent(page, 0.01).await;
        page.click("#uploads .upload button[aria-label^='Cancel']")
            .await;
        until_state(page, "cancelled", 1).await;
        page.limit_uploads(None).await;
        page.until("window.late === 1").await;
        assert!(download(&client, "/small.txt").await.is_err());
    })
    .await;
}

/// Its commit waited for a master that was away: the row said that what was sent goes by itself, and some seconds later it was stored.
#[tokio::test]
async fn what_nobody_decided_is_not_called_cancelled() {
    let cluster = Cluster::start().await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        let path = slow_file(page, &cluster).await;
        page.script(
            "const { fetch } = window; \
             window.asked = 0; \
             window.fetch = async (address, options) => { \
               if (address !== '/api/v1/cancel') return fetch(address, options); \
               window.asked += 1; \
               const files = JSON.parse(options.body).ids.map((id) => ({ id, outcome: 'committing' })); \
               return Response.json({ files }); \
             }",
        )
        .await;
        page.choose("#file-input", &[&path]).await;
        until_sent(page, 0.01).await;
        page.click("#uploads .upload button[aria-label^='Cancel']")
            .await;
        // Whoever comes back online asks again at once.
        page.until(
            "dispatchEvent(new Event('online')) && \
             document.querySelector('#uploads .upload[data-state=failed]')",
        )
        .await;
        page.until(
            "document.querySelector('#uploads .upload-state').textContent.includes('nobody said')",
        )
        .await;
        assert_eq!(page.script("return window.asked").await, 4);
    })
    .await;
}

/// Its folder got another name while it was sent; what came late was stored, in a folder of the old name.
#[tokio::test]
async fn a_small_file_whose_folder_was_renamed_is_stored_once() {
    let cluster = Cluster::start().await;
    cluster.upload("/old/first", b"first").await;
    let client = cluster.client();
    browse(Screen::Desktop, async |page| {
        open_list(page, &cluster.url("/")).await;
        let path = slow_file(page, &cluster).await;
        page.drop_onto(".entry[data-name=old] .name", &[&path])
            .await;
        until_sent(page, 0.01).await;
        rename(page, "old", "new").await;
        until_listed(page, &["new"]).await;
        page.limit_uploads(None).await;
        page.until("window.late === 1").await;
        until_state(page, "done", 1).await;
    })
    .await;
    assert!(download(&client, "/new/small.txt").await.unwrap() == content(1, SLOW_LEN));
    assert!(client.entry(&"/old".parse().unwrap()).await.is_err());
}

/// A filter on the way refused all files that went together because of one of them.
#[tokio::test]
async fn a_filter_that_refuses_one_file_stops_no_others() {
    let cluster = Cluster::start().await;
    let files = files(&cluster);
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.script(
            "const { send } = XMLHttpRequest.prototype; \
             XMLHttpRequest.prototype.send = function (body) { \
               const isBad = body instanceof FormData \
                 && body.getAll('file').some((said) => said.includes('/ä 77.jpg')); \
               if (!isBad) return send.call(this, body); \
               Object.defineProperty(this, 'status', { value: 403 }); \
               setTimeout(() => this.dispatchEvent(new Event('load'))); \
             }",
        )
        .await;
        choose(page, &files).await;
        until_summed(page, "199 stored · 1 not stored").await;
        let failed = page
            .text("#uploads .upload[data-state=failed] .upload-name")
            .await;
        assert!(failed.contains("77"), "{failed}");
    })
    .await;
    expect_stored(&cluster, &[77]).await;
}
