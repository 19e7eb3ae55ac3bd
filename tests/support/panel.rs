//! The panel of uploads in the page: files for it, what it shows, and what leaves the browser.

use std::path::{Path, PathBuf};

use super::{Cluster, Page};

pub(crate) const SLOW: Option<u32> = Some(2_000_000);
/// Nothing ends at this rate as long as a test lasts.
pub(crate) const ENDLESS: Option<u32> = Some(20_000);
pub(crate) const LEN: usize = 12_000_000;
pub(crate) const CHUNK: usize = 64 << 10;

pub(crate) fn file(cluster: &Cluster, name: &str, bytes: &[u8]) -> PathBuf {
    let path = cluster.scratch().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

pub(crate) async fn until_state(page: &Page, state: &str, count: usize) {
    page.until(&format!(
        "document.querySelectorAll('#uploads .upload[data-state={state}]').length === {count}"
    ))
    .await;
}

/// So large a share of the only upload has left the browser.
pub(crate) async fn until_sent(page: &Page, share: f64) {
    page.until(&format!(
        "document.querySelector('#uploads .upload progress').value > {share}"
    ))
    .await;
}

/// Begins an upload, and waits until some of it has left the browser.
pub(crate) async fn begin(page: &Page, cluster: &Cluster, path: &Path) {
    page.open(&cluster.url("/")).await;
    page.limit_uploads(SLOW).await;
    page.choose("#file-input", &[path]).await;
    until_sent(page, 0.1).await;
}

/// Where the upload is that the browser remembers.
pub(crate) async fn address(page: &Page) -> Option<String> {
    let found = page
        .script(
            "const key = Object.keys(localStorage).find((key) => key.startsWith('tus::')); \
             return key ? JSON.parse(localStorage.getItem(key)).uploadUrl : null",
        )
        .await;
    found.as_str().map(str::to_owned)
}

/// From now on `window.longest` has the bytes of the longest body that leaves the browser.
pub(crate) async fn measure_requests(page: &Page) {
    page.script(
        "const { send } = XMLHttpRequest.prototype; \
         window.longest = 0; \
         XMLHttpRequest.prototype.send = function (body) { \
           window.longest = Math.max(window.longest, body?.size ?? 0); \
           send.call(this, body); \
         }",
    )
    .await;
}

/// From now on the bytes of files that leave the browser are counted.
pub(crate) async fn count_sent(page: &Page) {
    page.script(
        "const { send } = XMLHttpRequest.prototype; \
         window.sentBytes = 0; \
         XMLHttpRequest.prototype.send = function (body) { \
           window.sentBytes += body?.size ?? 0; \
           send.call(this, body); \
         }",
    )
    .await;
}

pub(crate) async fn sent(page: &Page) -> usize {
    let sent = page.script("return window.sentBytes").await;
    usize::try_from(sent.as_u64().unwrap()).unwrap()
}

pub(crate) async fn press(page: &Page, button: &str) {
    page.click(&format!("#uploads .upload button[aria-label^='{button}']"))
        .await;
}
