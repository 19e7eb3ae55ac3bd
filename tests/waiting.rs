//! Uploads that wait in the page: for an answer, for their turn, or for somebody who goes on with them.

use std::path::PathBuf;

use crate::support::panel::{ENDLESS, SLOW, file, until_state};
use crate::support::{Cluster, Screen, browse, content};

/// While an answer is awaited nothing is sent, and that it would take years at this rate was nonsense.
#[tokio::test]
async fn while_an_answer_is_awaited_no_time_left_is_said() {
    let cluster = Cluster::start().await;
    cluster.upload("/taken.mp4", b"old").await;
    let [free, taken] = [("free.mp4", 31), ("taken.mp4", 32)]
        .map(|(name, seed)| file(&cluster, name, &content(seed, 3_000_000)));
    let summary = "document.getElementById('uploads-summary').textContent";
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.limit_uploads(SLOW).await;
        page.choose("#file-input", &[&free, &taken]).await;
        page.until(&format!("{summary}.includes('left')")).await;
        until_state(page, "done", 1).await;
        until_state(page, "asking", 1).await;
        page.until(&format!("{summary}.includes('1 stored')")).await;
        let said = page.text("#uploads-summary").await;
        assert_eq!(said, "1 to go, 3.0 MB · 1 stored");
        page.limit_uploads(None).await;
        page.answer("Skip").await;
        until_state(page, "skipped", 1).await;
    })
    .await;
}

/// The tab was closed while small files waited: the next page says so, until they come again or somebody dismisses it.
#[tokio::test]
async fn a_new_page_says_what_had_not_begun() {
    let cluster = Cluster::start().await;
    let files: Vec<_> = (0..7)
        .map(|number| file(&cluster, &format!("{number}.txt"), b"x"))
        .collect();
    let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.script("XMLHttpRequest.prototype.send = () => {}")
            .await;
        page.choose("#file-input", &files).await;
        until_state(page, "sending", 7).await;
        page.open(&cluster.url("/")).await;
        page.until("document.querySelector('#cut-off .upload')")
            .await;
        let told = page.text("#cut-off").await;
        assert!(told.contains("0.txt and 6 others"), "{told}");
        page.choose("#file-input", &files).await;
        until_state(page, "done", 7).await;
        page.until("document.getElementById('cut-off').hidden")
            .await;
    })
    .await;
}

/// What was dropped again after *Pause all* went on where it had begun, and the rest waited without a word.
#[tokio::test]
async fn what_is_dropped_again_goes_on_also_where_it_had_not_begun() {
    let cluster = Cluster::start().await;
    for seed in 21..26 {
        file(
            &cluster,
            &format!("films/{seed}.mp4"),
            &content(seed, 2_000_000),
        );
    }
    let folder = cluster.scratch().join("films");
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.limit_uploads(ENDLESS).await;
        page.drop_onto("#title", &[&folder]).await;
        until_state(page, "sending", 3).await;
        page.click("#uploads-pause").await;
        until_state(page, "paused", 3).await;
        page.drop_onto("#title", &[&folder]).await;
        until_state(page, "sending", 3).await;
        page.limit_uploads(None).await;
        until_state(page, "done", 5).await;
    })
    .await;
}
