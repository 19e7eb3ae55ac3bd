//! For everybody: no page, in no state, keeps anybody from using it, by the rules of axe-core; and all works by keyboard.
//!
//! Each state is looked at wide and narrow, by day and by night. What is seen is written to `target/screenshots`: the pictures
//! in `docs/` are from there.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use client::DeleteOptions;
use serde_json::json;

use crate::sharing::said;
use crate::support::list::{
    CONTROL, DELETE, DOWN, ENTER, ESCAPE, F2, F10, FOCUSED, SHIFT, TAB, choose, focus, open_list,
    until_listed,
};
use crate::support::{Cluster, Look, Page, Screen, browse, content};
use crate::viewing::wav;

/// Each width and each scheme: colours do not depend on the width.
const LOOKS: [Look; 2] = [
    Look {
        width: 1280,
        is_dark: false,
    },
    Look {
        width: 390,
        is_dark: true,
    },
];
/// For the states that one meets first, the rest of them.
const OTHER_LOOKS: [Look; 2] = [
    Look {
        width: 1280,
        is_dark: true,
    },
    Look {
        width: 390,
        is_dark: false,
    },
];

/// Landscapes that the browser paints, stored through the API.
const PHOTOS: &str = "\
    const paint = async (name, hue, seed) => { \
      const canvas = new OffscreenCanvas(960, 640); \
      const brush = canvas.getContext('2d'); \
      const sky = brush.createLinearGradient(0, 0, 0, 480); \
      sky.addColorStop(0, `hsl(${hue} 55% 52%)`); \
      sky.addColorStop(1, `hsl(${hue + 40} 75% 86%)`); \
      brush.fillStyle = sky; \
      brush.fillRect(0, 0, 960, 640); \
      brush.fillStyle = `hsl(${hue + 60} 90% 92%)`; \
      brush.beginPath(); \
      brush.arc(200 + seed * 110 % 600, 190, 48, 0, 7); \
      brush.fill(); \
      for (let hill = 0; hill < 4; hill += 1) { \
        brush.fillStyle = `hsl(${hue + 150 + hill * 12} ${28 + hill * 6}% ${58 - hill * 12}%)`; \
        brush.beginPath(); \
        brush.moveTo(0, 640); \
        for (let x = 0; x <= 960; x += 8) { \
          const wave = Math.sin(x / (150 - hill * 18) + seed + hill * 2) * (54 - hill * 8); \
          brush.lineTo(x, 330 + hill * 76 + wave + Math.sin(x / 47 + seed * 3) * 12); \
        } \
        brush.lineTo(960, 640); \
        brush.fill(); \
      } \
      const body = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.9 }); \
      const stored = await fetch(`/api/v1/files/Photos/${encodeURIComponent(name)}`, { method: 'PUT', body }); \
      if (!stored.ok) throw new Error(await stored.text()); \
    }; \
    const names = ['Above the lake.jpg', 'Dunes at noon.jpg', 'Evening in the hills.jpg', 'First snow.jpg', \
      'Grandmother’s valley.jpg', 'Morning fog.jpg', 'The pass.jpg', 'Towards the sea.jpg']; \
    return Promise.all(names.map((name, at) => paint(name, 185 + at * 23, at + 1))).then(() => names.length)";

const BREAD: &str = "# Bread\n\nFor **two** loaves, in the evening:\n\n* 1 kg of flour\n* 700 g of water\n* 20 g of salt\n\n\
    | step | time |\n|---|---|\n| rest | 12 h |\n| bake at `240 °C` | 45 min |\n\n> Steam makes the crust.\n\nFrom [the mill](https://example.com).\n";

/// What was found wrong in the states that were looked at.
struct Review<'a> {
    page: &'a Page,
    wrong: RefCell<Vec<String>>,
}

impl<'a> Review<'a> {
    fn of(page: &'a Page) -> Self {
        Self {
            page,
            wrong: RefCell::default(),
        }
    }

    /// Looks at what is shown now, in which `selector` finds something.
    async fn state(&self, name: &str, selector: &str) {
        self.state_made(name, selector, "").await;
    }

    /// The same, in every look.
    async fn main_state(&self, name: &str, selector: &str) {
        self.state(name, selector).await;
        self.looks(&OTHER_LOOKS, name, selector, "").await;
    }

    /// The same, of what a script has to make again for each look.
    async fn state_made(&self, name: &str, selector: &str, script: &str) {
        self.looks(&LOOKS, name, selector, script).await;
    }

    async fn looks(&self, looks: &[Look], name: &str, selector: &str, script: &str) {
        for &look in looks {
            self.page.look(look).await;
            self.page.script(script).await;
            let seen = format!(
                "Array.from(document.querySelectorAll(\"{selector}\")).some((element) => element.checkVisibility())"
            );
            self.page.until(&seen).await;
            let light = if look.is_dark { "dark" } else { "light" };
            let title = format!("{name}-{}-{light}", look.width);
            self.page.screenshot(&title).await;
            let violations = self.page.violations().await;
            let told = violations.iter().map(|text| format!("{title}: {text}"));
            self.wrong.borrow_mut().extend(told);
            let wide = "return document.documentElement.scrollWidth - innerWidth";
            if self.page.script(wide).await.as_i64() > Some(0) {
                self.wrong
                    .borrow_mut()
                    .push(format!("{title}: it scrolls sideways"));
            }
        }
        self.page.look(LOOKS[0]).await;
    }

    fn end(self) {
        let wrong = self.wrong.into_inner();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

fn file(cluster: &Cluster, name: &str, bytes: &[u8]) -> PathBuf {
    let path = cluster.scratch().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// What a household keeps: folders, documents, and photos that the browser paints.
async fn furnish(cluster: &Cluster, page: &Page) {
    for (number, (path, len)) in (1..).zip([
        ("/Letters/To the bank.odt", 48_000),
        ("/Taxes 2026/Receipts.pdf", 391_000),
        ("/Garden plan.pdf", 812_345),
        ("/Household accounts.ods", 182_400),
        ("/Rental contract.pdf", 640_100),
        ("/Summer playlist.m3u", 930),
    ]) {
        cluster.upload(path, &content(number, len)).await;
    }
    cluster.upload("/Recipes/Bread.md", BREAD.as_bytes()).await;
    for lines in 1..4 {
        cluster
            .upload(
                "/Notes.txt",
                "Call the bank about the contract.\n"
                    .repeat(lines)
                    .as_bytes(),
            )
            .await;
    }
    page.open(&cluster.url("/")).await;
    page.script(PHOTOS).await;
    for path in ["/Old drafts/Letter.odt", "/Blurred.jpg"] {
        cluster.upload(path, &content(7, 34_000)).await;
    }
    for path in ["/Old drafts", "/Blurred.jpg"] {
        let options = DeleteOptions {
            recursive: true,
            ..DeleteOptions::default()
        };
        cluster
            .client()
            .delete(&path.parse().unwrap(), options)
            .await
            .unwrap();
    }
    cluster
        .client()
        .create_folder(&"/Empty".parse().unwrap(), false)
        .await
        .unwrap();
}

/// Lists, tiles, menus, and what stands in their place where there is nothing.
async fn look_at_lists(review: &Review<'_>, cluster: &Cluster) {
    let page = review.page;
    open_list(page, &cluster.url("/")).await;
    review.main_state("folder", "#rows .entry").await;
    page.click("#status summary").await;
    review.state("status", ".status-panel").await;
    page.click("#status summary").await;
    for name in ["Garden plan.pdf", "Notes.txt"] {
        page.click(&format!(".entry[data-name='{name}'] .pick input"))
            .await;
    }
    review.main_state("selection", "#selection").await;
    page.click("#selection-clear").await;
    page.click(".entry[data-name='Notes.txt'] .menu summary")
        .await;
    review.state("row-menu", ".menu[open] .menu-items").await;
    page.press(ESCAPE).await;
    let pointer = "document.querySelector(\".entry[data-name='Notes.txt'] td.name\").dispatchEvent(new PointerEvent(\
        'contextmenu', { bubbles: true, cancelable: true, button: 2, clientX: 200, clientY: 420 }))";
    review
        .state_made("context-menu", ".context-menu", pointer)
        .await;
    page.press(ESCAPE).await;
    focus(page, "Notes.txt").await;
    page.press(F2).await;
    review.state("rename", ".rename input").await;
    page.press(format!("either/or{ENTER}")).await;
    review.state("rename-refused", ".rename-error").await;
    open_list(page, &cluster.url("/folder/Empty")).await;
    review.state("empty-folder", "#empty").await;
    open_list(page, &cluster.url("/folder/Photos")).await;
    page.click("#view").await;
    review.main_state("tiles", "[data-view=grid] .entry").await;
    page.click(".entry .pick input").await;
    review.state("tiles-selection", "#selection").await;
    page.click("#selection-clear").await;
    page.click("#view").await;
    page.open(&cluster.url("/search?text=an")).await;
    review.state("search", ".whereabouts").await;
    page.open(&cluster.url("/search?text=nothing+like+it"))
        .await;
    review.state("search-without-result", "#found").await;
}

/// Files over their list, and as a page.
async fn look_at_files(review: &Review<'_>, cluster: &Cluster) {
    let page = review.page;
    cluster.upload("/Birds.wav", &wav()).await;
    open_list(page, &cluster.url("/folder/Photos")).await;
    page.script(
        "const dataTransfer = new DataTransfer(); \
         dataTransfer.items.add(new File(['words'], 'a.txt')); \
         document.body.dispatchEvent(new DragEvent('dragenter', { dataTransfer, bubbles: true, cancelable: true }))",
    )
    .await;
    review.state("dropping", ".drop-over").await;
    open_list(page, &cluster.url("/folder/Photos")).await;
    page.click(".entry[data-name='First snow.jpg'] td.name a")
        .await;
    page.until("document.querySelector('dialog.viewer img')?.naturalWidth === 960")
        .await;
    review.main_state("viewer", "dialog.viewer img").await;
    for (name, path, selector) in [
        ("view-photo", "/Photos/First%20snow.jpg", "img.view-media"),
        ("view-text", "/Notes.txt", ".view-text"),
        ("view-markdown", "/Recipes/Bread.md", ".view-prose"),
        ("view-nothing", "/Household%20accounts.ods", ".view-nothing"),
        ("view-pdf", "/Garden%20plan.pdf", ".view-pdf"),
        ("view-audio", "/Birds.wav", "audio.view-media"),
    ] {
        page.open(&cluster.url(&format!("/view{path}"))).await;
        review.state(name, selector).await;
    }
}

/// Every question that the list asks.
async fn look_at_dialogs(review: &Review<'_>, cluster: &Cluster) {
    let page = review.page;
    let escape = async || {
        page.press(ESCAPE).await;
        page.until("!document.querySelector('dialog')").await;
    };
    open_list(page, &cluster.url("/")).await;
    page.click("#new-folder").await;
    review.state("new-folder", "dialog[open] input").await;
    escape().await;
    choose(page, "Notes.txt", "move").await;
    review.state("move", ".picker-folder").await;
    escape().await;
    choose(page, "Notes.txt", "versions").await;
    review.state("versions", ".versions li").await;
    escape().await;
    choose(page, "Photos", "share").await;
    review.main_state("share", "dialog[open] select").await;
    page.answer("Make link").await;
    review.state("share-link", "#share-link").await;
    escape().await;
    let notes = file(cluster, "Notes.txt", b"other words");
    page.choose("#file-input", &[&notes]).await;
    review.state("conflict", "dialog[open]").await;
    page.answer("Skip").await;
    page.until("document.querySelector('.upload[data-state=skipped]')")
        .await;
    choose(page, "Summer playlist.m3u", "delete").await;
    review.state("toast", "#toast").await;
}

/// Uploads that run, that failed, that have ended, and that were cut off.
async fn look_at_uploads(review: &Review<'_>, cluster: &Cluster) {
    let page = review.page;
    let film = file(cluster, "Film of the holidays.mp4", &content(1, 6_000_000));
    let films: [&Path; 1] = [&film];
    open_list(page, &cluster.url("/folder/Photos")).await;
    page.limit_uploads(Some(60_000)).await;
    page.choose("#file-input", &films).await;
    page.until("document.querySelector('.upload progress')?.value > 0")
        .await;
    review
        .main_state("uploading", ".upload[data-state=sending]")
        .await;
    page.click("#uploads .upload button[aria-label^='Pause']")
        .await;
    review
        .state("upload-paused", ".upload[data-state=paused]")
        .await;
    open_list(page, &cluster.url("/folder/Photos")).await;
    page.limit_uploads(None).await;
    review.state("upload-cut-off", "#cut-off .upload").await;
    page.choose("#file-input", &films).await;
    page.until("document.querySelector('.upload[data-state=done]')")
        .await;
    review.state("uploaded", ".upload[data-state=done]").await;
    page.script(
        "XMLHttpRequest.prototype.send = function () { \
           Object.defineProperty(this, 'status', { value: 507 }); \
           this.dispatchEvent(new Event('load')); \
         }",
    )
    .await;
    let list = file(cluster, "Shopping list.txt", b"bread");
    page.choose("#file-input", &[&list]).await;
    review
        .state("upload-failed", ".upload[data-state=failed]")
        .await;
}

/// Trash and links, with something in them and without.
async fn look_at_other_lists(review: &Review<'_>, cluster: &Cluster) {
    let page = review.page;
    said(cluster, &["share", "/Photos", "--expires", "7d"]).await;
    said(cluster, &["share", "/Letters", "--upload-only"]).await;
    page.open(&cluster.url("/trash")).await;
    review.state("trash", "#rows .entry").await;
    page.click(".entry .menu summary").await;
    review.state("trash-menu", ".menu[open] .menu-items").await;
    page.click("#empty-trash").await;
    review.state("empty-trash", "dialog[open]").await;
    page.answer("Empty the trash").await;
    review.state("trash-empty", "#empty").await;
    page.open(&cluster.url("/shares")).await;
    review.state("links", "#rows .entry").await;
    page.click(".entry [data-action=revoke]").await;
    review.state("revoke", "dialog[open]").await;
    page.press(ESCAPE).await;
}

/// The cluster, whole and harmed, and what the list says without its master.
async fn look_at_the_cluster(review: &Review<'_>, cluster: &mut Cluster) {
    let page = review.page;
    page.open(&cluster.url("/cluster")).await;
    review.main_state("cluster", ".node").await;
    cluster.node(2).kill();
    page.until("document.querySelector('.node[data-state=dead]')")
        .await;
    review
        .state("cluster-harmed", ".node[data-state=dead]")
        .await;
    open_list(page, &cluster.url("/")).await;
    review.state("folder-while-harmed", "#status-reason").await;
    cluster.master().kill();
    page.open(&cluster.url("/")).await;
    review.state("trouble", ".trouble").await;
}

/// What whoever has a link sees.
async fn look_at_what_receivers_see(review: &Review<'_>, cluster: &Cluster) {
    let page = review.page;
    let secret = file(cluster, "secret", b"open sesame");
    let secret = secret.to_str().unwrap();
    for (name, selector, arguments) in [
        ("received-folder", ".entry", vec!["/Photos"]),
        ("received-file", ".one-file", vec!["/Garden plan.pdf"]),
        (
            "received-locked",
            "#password",
            vec!["/Letters", "--password-file", secret],
        ),
        (
            "received-adding",
            "#adding",
            vec!["/Letters", "--upload-only"],
        ),
    ] {
        let link = said(cluster, &[&["share"], &arguments[..]].concat()).await;
        page.open(link.trim()).await;
        review.state(name, selector).await;
        if name == "received-locked" {
            page.write("#password", "open says me").await;
            page.press(ENTER).await;
            review.state("received-wrong", "#wrong").await;
        }
    }
    let list = file(cluster, "A list.txt", b"bread");
    let film = file(cluster, "Film of the holidays.mp4", &content(2, 6_000_000));
    page.limit_uploads(Some(60_000)).await;
    page.choose("#chosen", &[&list, &film]).await;
    page.click("#adding > button").await;
    page.until("document.querySelector('.upload[data-state=sending] progress')?.value > 5")
        .await;
    review
        .main_state("received-sending", ".upload[data-state=sending]")
        .await;
    page.click("#sent button[aria-label^=Cancel]").await;
    page.limit_uploads(None).await;
    page.until("document.getElementById('send-summary').textContent.includes('arrived')")
        .await;
    review
        .state("received-sent", ".upload[data-state=done]")
        .await;
    page.open(&cluster.url(&format!("/s/{}", "a".repeat(43))))
        .await;
    review.state("received-gone", "h1").await;
}

/// A cluster that keeps something, in a browser; no violation of a rule of axe-core is in what is looked at.
async fn review(look_at: impl AsyncFnOnce(&Review<'_>, &mut Cluster)) {
    let mut cluster = Cluster::start().await;
    browse(Screen::Desktop, async |page| {
        page.look(LOOKS[0]).await;
        furnish(&cluster, page).await;
        let review = Review::of(page);
        look_at(&review, &mut cluster).await;
        review.end();
    })
    .await;
}

#[tokio::test]
async fn lists_keep_nobody_out() {
    review(async |review, cluster| look_at_lists(review, cluster).await).await;
}

#[tokio::test]
async fn dialogs_keep_nobody_out() {
    review(async |review, cluster| look_at_dialogs(review, cluster).await).await;
}

#[tokio::test]
async fn uploads_keep_nobody_out() {
    review(async |review, cluster| look_at_uploads(review, cluster).await).await;
}

#[tokio::test]
async fn the_trash_and_links_keep_nobody_out() {
    review(async |review, cluster| look_at_other_lists(review, cluster).await).await;
}

#[tokio::test]
async fn what_receivers_see_keeps_nobody_out() {
    review(async |review, cluster| look_at_what_receivers_see(review, cluster).await).await;
}

#[tokio::test]
async fn files_that_are_looked_at_keep_nobody_out() {
    review(async |review, cluster| look_at_files(review, cluster).await).await;
}

#[tokio::test]
async fn a_harmed_cluster_keeps_nobody_out() {
    review(async |review, cluster| look_at_the_cluster(review, cluster).await).await;
}

async fn until_focused(page: &Page, name: &str) {
    page.until(&format!("{FOCUSED} === '{name}'")).await;
}

/// From the first Tab into the list, into a folder and out of it, to a button and its dialog.
async fn go_around_by_keyboard(page: &Page, cluster: &Cluster) {
    open_list(page, &cluster.url("/")).await;
    page.press(TAB).await;
    page.until("document.activeElement.matches('.skip')").await;
    page.press(ENTER).await;
    page.until("document.activeElement.id === 'files'").await;
    page.press(DOWN).await;
    until_focused(page, "box").await;
    page.press(ENTER).await;
    until_listed(page, &["inside.txt"]).await;
    page.until("document.activeElement.id === 'title'").await;
    page.press(format!("{SHIFT}{TAB}")).await;
    page.until("document.activeElement.matches('.crumbs a')")
        .await;
    page.script("document.querySelector('.crumbs a').focus()")
        .await;
    page.press(ENTER).await;
    until_listed(page, &["box", "a.txt", "b.txt"]).await;

    // Buttons are reached by Tab, and their dialogs give the focus back.
    while page.script("return document.activeElement.id").await != json!("new-folder") {
        page.press(TAB).await;
    }
    page.press(ENTER).await;
    page.press(ESCAPE).await;
    page.until("document.activeElement.id === 'new-folder'")
        .await;
    page.press(ENTER).await;
    page.press(format!("new{ENTER}")).await;
    until_listed(page, &["box", "new", "a.txt", "b.txt"]).await;
}

/// Rename, delete and back, the menu and its dialog, and the search.
async fn work_by_keyboard(page: &Page) {
    page.script("document.getElementById('title').focus()")
        .await;
    page.press("a").await;
    until_focused(page, "a.txt").await;
    page.press(F2).await;
    page.press(format!("c{ENTER}")).await;
    until_listed(page, &["box", "new", "b.txt", "c.txt"]).await;
    until_focused(page, "c.txt").await;
    page.press(DELETE).await;
    until_listed(page, &["box", "new", "b.txt"]).await;
    until_focused(page, "b.txt").await;
    page.press(format!("{CONTROL}z")).await;
    until_listed(page, &["box", "new", "b.txt", "c.txt"]).await;

    focus(page, "c.txt").await;
    page.press(format!("{SHIFT}{F10}")).await;
    page.until("document.activeElement.matches('.context-menu [role=menuitem]')")
        .await;
    while page
        .script("return document.activeElement.dataset.action")
        .await
        != json!("move")
    {
        page.press(DOWN).await;
    }
    page.press(ENTER).await;
    page.until("document.activeElement.matches('.picker-folder')")
        .await;
    page.press(ESCAPE).await;
    until_focused(page, "c.txt").await;

    page.press("/").await;
    page.until("document.activeElement.id === 'search-text'")
        .await;
    page.press("inside").await;
    until_listed(page, &["inside.txt"]).await;
    page.press(ESCAPE).await;
    until_listed(page, &["box", "new", "b.txt", "c.txt"]).await;
}

/// From the first Tab to the last Escape, no mouse is needed.
#[tokio::test]
async fn the_work_is_done_by_keyboard_alone() {
    let cluster = Cluster::start().await;
    for path in ["/box/inside.txt", "/a.txt", "/b.txt"] {
        cluster.upload(path, b"words").await;
    }
    browse(Screen::Desktop, async |page| {
        go_around_by_keyboard(page, &cluster).await;
        work_by_keyboard(page).await;
    })
    .await;
}
