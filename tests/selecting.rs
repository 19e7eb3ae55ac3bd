//! What is selected of folders that are too large to be here as a whole.

use serde_json::json;

use crate::browsing::HUGE;
use crate::support::list::{CONTROL, NAMES, SELECTED, click_with, open_list, until_equal};
use crate::support::{Cluster, Page, Screen, browse};

/// Pages of the folder are counted, and wait for `window.gate`, or fail.
const COUNTED: &str = "
    const fetchSoon = window.fetch;
    Object.assign(window, { asked: 0, answered: 0, isBroken: false });
    window.fetch = async (address, options) => {
      if (!String(address).includes('/folders/huge')) return fetchSoon(address, options);
      window.asked += 1;
      await window.gate;
      if (window.isBroken) throw new TypeError('no connection');
      const response = await fetchSoon(address, options);
      window.answered += 1;
      return response;
    };";

const HOLD: &str = "window.gate = new Promise((go) => { window.go = go; })";
/// Pages that come by themselves, of 500 entries: more than 10,000 of these.
const FILLED: u64 = 21;

const IS_CHECKED: &str = "return document.getElementById('pick-all').checked";

async fn open_huge(cluster: &Cluster, page: &Page) {
    open_list(page, &cluster.url("/")).await;
    page.script(HUGE).await;
    page.script(COUNTED).await;
    page.script("document.querySelector('.entry .open').click()")
        .await;
    page.until(&format!("{NAMES}[0] === 'n00000'")).await;
    page.until(&format!("window.answered === {FILLED}")).await;
    page.script(HOLD).await;
}

/// Some hundred requests went on one after the other, unseen, and nothing ended them.
#[tokio::test]
async fn selecting_all_of_a_large_folder_can_be_stopped() {
    let cluster = Cluster::start().await;
    cluster.upload("/huge/one.txt", b"x").await;
    browse(Screen::Desktop, async |page| {
        open_huge(&cluster, page).await;
        page.script("document.getElementById('title').focus()")
            .await;
        page.press(format!("{CONTROL}a")).await;
        page.until("document.querySelector('.toast .stop')").await;
        let told = page.text(".toast").await;
        assert!(told.contains("Selecting: "), "{told}");
        page.click(".toast .stop").await;
        page.script("window.go()").await;
        page.until(&format!("window.answered === {}", FILLED + 1))
            .await;
        page.script("return new Promise((soon) => setTimeout(soon))")
            .await;
        assert_eq!(page.script("return window.asked").await, FILLED + 1);
        let is_hidden = "return document.getElementById('selection').hidden";
        assert_eq!(page.script(is_hidden).await, json!(true));
        page.click("#pick-all").await;
        until_equal(page, SELECTED, "20,000 selected, 20.0 MB").await;
    })
    .await;
}

/// The box stayed checked although nothing was selected.
#[tokio::test]
async fn what_cannot_be_fetched_is_not_selected() {
    let cluster = Cluster::start().await;
    cluster.upload("/huge/one.txt", b"x").await;
    browse(Screen::Desktop, async |page| {
        open_huge(&cluster, page).await;
        page.click("#pick-all").await;
        assert_eq!(page.script(IS_CHECKED).await, json!(true));
        page.script("window.isBroken = true; window.go()").await;
        page.until("!document.getElementById('notice').hidden")
            .await;
        assert_eq!(page.script(IS_CHECKED).await, json!(false));
    })
    .await;
}

/// A folder has no size here, and what was said was that of the files beside it.
#[tokio::test]
async fn with_a_folder_no_size_is_said() {
    let cluster = Cluster::start().await;
    cluster.upload("/a.txt", b"12345").await;
    cluster.upload("/photos/b.jpg", b"many more").await;
    browse(Screen::Desktop, async |page| {
        open_list(page, &cluster.url("/")).await;
        click_with(page, "a.txt", "").await;
        until_equal(page, SELECTED, "1 selected, 5 bytes").await;
        click_with(page, "photos", "ctrlKey: true").await;
        until_equal(page, SELECTED, "2 selected").await;
    })
    .await;
}
