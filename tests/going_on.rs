//! A page that was closed in the middle of uploads: one click on the next one goes on with all of them.

use reqwest::get;
use serde_json::Value;

use crate::support::panel::{LEN, SLOW, address, until_sent, until_state};
use crate::support::{Cluster, Page, Screen, browse, download};

/// Has *Upload files* give files of the browser's own, whose handles need no window to be chosen in and no permission.
async fn offer_files(page: &Page) {
    page.script(&format!(
            "const keep = async (root, name, bytes) => {{ \
               const handle = await root.getFileHandle(name, {{ create: true }}); \
               const writer = await handle.createWritable(); \
               await writer.write(bytes); \
               await writer.close(); \
               return handle; \
             }}; \
             const film = new Uint8Array({LEN}); \
             for (let at = 0, state = 1; at < film.length; at += 1) {{ \
               state = (Math.imul(state, 1664525) + 1013904223) >>> 0; \
               film[at] = state >>> 24; \
             }} \
             return navigator.storage.getDirectory().then(async (root) => {{ \
               const handles = [await keep(root, 'film.mp4', film)]; \
               for (let one = 0; one < 9; one += 1) handles.push(await keep(root, one + '.txt', 'words')); \
               window.showOpenFilePicker = async () => handles; \
             }})"
        ))
        .await;
}

/// Where the files are is noted now and then; here it is, of so many at least.
async fn until_noted(page: &Page, many: usize) {
    page.script(&format!(
        "const noted = (opened) => new Promise((resolve) => {{ \
               const getting = opened.transaction('sources').objectStore('sources').getAll(); \
               getting.onsuccess = () => resolve(getting.result.some(({{ files }}) => files.length >= {many})); \
             }}); \
             return new Promise((resolve) => {{ \
               indexedDB.open('dfs-uploads', 1).onsuccess = async ({{ target: {{ result }} }}) => {{ \
                 while (!await noted(result)) await new Promise((soon) => setTimeout(soon, 50)); \
                 result.close(); \
                 resolve(); \
               }}; \
             }})"
    ))
    .await;
}

/// Has *Upload files* give one more, as long as the film, and another all the same.
async fn offer_another(page: &Page) {
    page.script(
        "const [film] = window.offered; \
         return navigator.storage.getDirectory().then(async (root) => { \
           const handle = await root.getFileHandle('other.mp4', { create: true }); \
           const writer = await handle.createWritable(); \
           const bytes = new Uint8Array(await (await film.getFile()).arrayBuffer()); \
           await writer.write(bytes.map((byte) => ~byte)); \
           await writer.close(); \
           window.showOpenFilePicker = async () => [handle]; \
         })",
    )
    .await;
}

/// Where the browser keeps handles of files, one click goes on with all that a page that was closed had left, large and small.
#[tokio::test]
async fn one_click_goes_on_with_all_that_was_cut_off() {
    let cluster = Cluster::start().await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        offer_files(page).await;
        page.limit_uploads(SLOW).await;
        page.click("#choose-files").await;
        page.until("document.querySelectorAll('#uploads .upload').length === 10")
            .await;
        page.until("localStorage.length > 0 && document.querySelector('#uploads .upload progress').value > 0.2")
            .await;
        let upload = address(page).await.unwrap();
        until_noted(page, 1).await;
        page.open(&cluster.url("/")).await;
        page.limit_uploads(None).await;
        page.until("document.querySelector('#cut-off:not([hidden]) button.primary:not([hidden])')")
            .await;
        page.click("#cut-off button.primary").await;
        page.until("document.getElementById('cut-off').hidden").await;
        page.until(
            "document.querySelectorAll('#uploads .upload').length > 0 && \
             document.querySelectorAll('#uploads .upload:not([data-state=done])').length === 0",
        )
        .await;
        let state: Value = get(&upload).await.unwrap().json().await.unwrap();
        assert!(state["version"].as_u64().is_some(), "{state}");
        page.open(&cluster.url("/")).await;
        page.until("document.querySelector('#rows .entry')").await;
    })
    .await;
    let client = cluster.client();
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let film: Vec<u8> = (0..LEN).map(|_| next()).collect();
    assert!(download(&client, "/film.mp4").await.unwrap() == film);
    for one in 0..9 {
        let stored = download(&client, &format!("/{one}.txt")).await;
        assert_eq!(stored.unwrap(), b"words");
    }
}

/// A file that was kept beside another of its name began anew under one click, and what was sent of it stayed in *Cut off*.
#[tokio::test]
async fn what_is_kept_beside_another_goes_on_where_it_was() {
    let cluster = Cluster::start().await;
    cluster.upload("/film.mp4", b"old").await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        offer_files(page).await;
        page.script(
            "return window.showOpenFilePicker().then((offered) => { \
               window.offered = offered.slice(0, 1); \
               window.showOpenFilePicker = async () => window.offered; \
             })",
        )
        .await;
        page.limit_uploads(SLOW).await;
        page.click("#choose-files").await;
        page.answer("Keep both").await;
        until_sent(page, 0.2).await;
        let upload = address(page).await.unwrap();
        // What is noted with another one is noted after the answer.
        offer_another(page).await;
        page.click("#choose-files").await;
        until_noted(page, 2).await;
        page.open(&cluster.url("/")).await;
        page.limit_uploads(None).await;
        page.until("document.querySelector('#cut-off:not([hidden]) button.primary:not([hidden])')")
            .await;
        page.click("#cut-off button.primary").await;
        until_state(page, "done", 2).await;
        page.until("document.getElementById('cut-off').hidden")
            .await;
        let state: Value = get(&upload).await.unwrap().json().await.unwrap();
        assert!(state["version"].as_u64().is_some(), "{state}");
    })
    .await;
    let client = cluster.client();
    assert_eq!(download(&client, "/film.mp4").await.unwrap(), b"old");
    assert_eq!(download(&client, "/film (2).mp4").await.unwrap().len(), LEN);
}

const MANY: usize = 150;
const MANY_LEN: usize = 20_000;

/// Has *Upload files* give so many small files, each with bytes of its own.
async fn offer_many(page: &Page) {
    page.script(&format!(
        "return navigator.storage.getDirectory().then(async (root) => {{ \
           const handles = []; \
           for (let one = 0; one < {MANY}; one += 1) {{ \
             const handle = await root.getFileHandle(one + '.jpg', {{ create: true }}); \
             const writer = await handle.createWritable(); \
             await writer.write(new Uint8Array({MANY_LEN}).map((_, place) => one + (place >> 8) * place)); \
             await writer.close(); \
             handles.push(handle); \
           }} \
           window.showOpenFilePicker = async () => handles; \
         }})"
    ))
    .await;
}

/// What `offer_many` gives.
fn one_of_many(one: usize) -> Vec<u8> {
    let byte = |place: usize| ((one + (place >> 8) * place) % 256).to_le_bytes()[0];
    (0..MANY_LEN).map(byte).collect()
}

/// Some of many small files were stored when the page was closed: one click goes on with the others, and none is stored twice.
#[tokio::test]
async fn one_click_goes_on_in_the_middle_of_many_small_files() {
    let cluster = Cluster::start().await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        offer_many(page).await;
        page.limit_uploads(Some(500_000)).await;
        page.click("#choose-files").await;
        let done = "document.querySelectorAll('#uploads .upload[data-state=done]').length";
        page.until(&format!("{done} > 0")).await;
        until_noted(page, 1).await;
        let stored = page.script(&format!("return {done}")).await;
        assert!(stored.as_u64().unwrap() < MANY as u64, "all were stored");
        page.open(&cluster.url("/")).await;
        page.limit_uploads(None).await;
        page.until("document.querySelector('#cut-off:not([hidden]) button.primary:not([hidden])')")
            .await;
        page.click("#cut-off button.primary").await;
        page.until("document.getElementById('cut-off').hidden")
            .await;
        page.until(
            "document.querySelectorAll('#uploads .upload').length > 0 && \
             document.querySelectorAll('#uploads .upload:not([data-state=done])').length === 0",
        )
        .await;
    })
    .await;
    let client = cluster.client();
    for one in 0..MANY {
        let stored = download(&client, &format!("/{one}.jpg")).await;
        assert!(stored.unwrap() == one_of_many(one), "file {one}");
    }
    let root = "/".parse().unwrap();
    let listed = client.list(&root, None, 1000).await.unwrap();
    assert_eq!(listed.entries.len(), MANY, "some are stored twice");
}
