//! What is done with files where they are listed, in a real browser: moved, renamed, by the menu under the pointer.

use client::DeleteOptions;
use proto::master::Entry;

use crate::browsing::is_there;
use crate::support::list::{
    CONTROL, DOWN, END, ENTER, ESCAPE, F2, FOCUSED, LET_ALL_GO, LET_GO, NOTICE, READY, choose,
    click_with, click_with_other_button, focus, happens, hold, open_list, until_equal,
    until_listed,
};
use crate::support::{Cluster, Page, Screen, browse, download};

/// The name becomes a field; what cannot be is said beside it, and Escape leaves it as it was.
#[tokio::test]
async fn a_name_is_changed_where_it_stands() {
    let cluster = Cluster::start().await;
    cluster.upload("/draft.txt", b"words").await;
    cluster.upload("/taken.txt", b"others").await;
    let error = "document.querySelector('.rename-error')?.textContent ?? ''";
    browse(Screen::Desktop, async |page| {
        open_list(page, &cluster.url("/")).await;
        focus(page, "draft.txt").await;
        page.press(F2).await;
        page.until("document.activeElement.value === 'draft.txt'")
            .await;
        // All but the extension is selected.
        page.press(format!("taken{ENTER}")).await;
        page.until(&format!("({error}).includes('is there already')"))
            .await;
        page.press(ESCAPE).await;
        until_equal(page, FOCUSED, "draft.txt").await;
        until_listed(page, &["draft.txt", "taken.txt"]).await;
        page.press(F2).await;
        page.press(format!("zebra{ENTER}")).await;
        until_listed(page, &["taken.txt", "zebra.txt"]).await;
        until_equal(page, FOCUSED, "zebra.txt").await;
    })
    .await;
    let stored = download(&cluster.client(), "/zebra.txt").await;
    assert_eq!(stored.unwrap(), b"words");
}

/// Names that are written from right to left were shown so, but had to be changed from left to right, with their ends in turn.
#[tokio::test]
async fn names_are_changed_in_their_own_direction() {
    let cluster = Cluster::start().await;
    cluster.upload("/שלום.txt", b"words").await;
    let direction = "getComputedStyle(document.activeElement).direction";
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.until(READY).await;
        let shown = "getComputedStyle(document.querySelector('.entry .open bdi')).direction";
        until_equal(page, shown, "rtl").await;
        page.script("document.querySelector('.entry .open').focus()")
            .await;
        page.press(&F2.to_string()).await;
        page.until("document.activeElement.value === 'שלום.txt'")
            .await;
        until_equal(page, direction, "rtl").await;
        // All but the extension is selected.
        page.press(&format!("رسالة{ENTER}")).await;
        until_listed(page, &["رسالة.txt"]).await;
        until_equal(page, FOCUSED, "رسالة.txt").await;
        page.click("#new-folder").await;
        page.write("dialog input", "מכתבים").await;
        until_equal(page, direction, "rtl").await;
        page.write("dialog input", "letters").await;
        until_equal(page, direction, "ltr").await;
        page.answer("Make folder").await;
        until_listed(page, &["letters", "رسالة.txt"]).await;
    })
    .await;
    let stored = download(&cluster.client(), "/رسالة.txt").await;
    assert_eq!(stored.unwrap(), b"words");
}

/// What was written was lost as soon as one clicked elsewhere, or a question of an upload came up.
#[tokio::test]
async fn a_new_name_is_kept_when_one_goes_elsewhere() {
    let cluster = Cluster::start().await;
    cluster.upload("/draft.txt", b"words").await;
    cluster.upload("/taken.txt", b"others").await;
    browse(Screen::Desktop, async |page| {
        open_list(page, &cluster.url("/")).await;
        focus(page, "draft.txt").await;
        page.press(F2).await;
        page.press("zebra").await;
        page.script("document.getElementById('new-folder').click()")
            .await;
        page.answer("Cancel").await;
        until_equal(page, "document.activeElement.value", "zebra.txt").await;
        page.click("#title").await;
        until_listed(page, &["taken.txt", "zebra.txt"]).await;

        focus(page, "zebra.txt").await;
        page.press(F2).await;
        page.press("taken").await;
        page.click("#title").await;
        page.until(&format!("{NOTICE}.includes('is there already')"))
            .await;
        until_listed(page, &["taken.txt", "zebra.txt"]).await;
    })
    .await;
}

/// Onto a folder's row by mouse, and by the dialog; a name that is taken asks, and all of it goes back.
#[tokio::test]
async fn entries_are_moved_by_dragging_and_by_the_dialog() {
    let cluster = Cluster::start().await;
    for path in ["/a.txt", "/b.txt", "/box/inner/a.txt"] {
        cluster.upload(path, path.as_bytes()).await;
    }
    browse(Screen::Desktop, async |page| {
        open_list(page, &cluster.url("/")).await;
        click_with(page, "a.txt", "").await;
        click_with(page, "b.txt", "ctrlKey: true").await;
        page.script("window.carried = new DataTransfer()").await;
        let event = |kind| {
            format!(
                "new DragEvent('{kind}', {{ bubbles: true, cancelable: true, dataTransfer: window.carried }})"
            )
        };
        happens(page, "a.txt", &event("dragstart")).await;
        happens(page, "box", &event("dragover")).await;
        page.until("document.querySelector('.drop-target').dataset.name === 'box'")
            .await;
        happens(page, "box", &event("drop")).await;
        until_listed(page, &["box"]).await;
        page.until("document.getElementById('toast-text').textContent === '2 things are in “box” now.'")
            .await;
        assert!(is_there(&cluster, "/box/b.txt").await);
        page.click("#toast-action").await;
        until_listed(page, &["box", "a.txt", "b.txt"]).await;

        // By the dialog, to a folder further down, in which the name is taken.
        choose(page, "a.txt", "move").await;
        page.until("document.querySelector('.picker-folder')").await;
        page.click(".picker-folder").await;
        page.until("document.querySelector('.picker-folder')?.textContent === 'inner'")
            .await;
        page.click(".picker-folder").await;
        page.until("document.querySelector('.picker-about').textContent.includes('no folder')")
            .await;
        page.answer("Move here").await;
        page.until("document.querySelector('dialog[open]')?.textContent.includes('already')")
            .await;
        page.answer("Keep both").await;
        until_listed(page, &["box", "b.txt"]).await;
        assert!(is_there(&cluster, "/box/inner/a (2).txt").await);
    })
    .await;
    let kept = download(&cluster.client(), "/box/inner/a.txt").await;
    assert_eq!(kept.unwrap(), b"/box/inner/a.txt");
}

/// A folder had no *Copy…*: it goes with all that is in it, not into itself, and beside one of its name.
#[tokio::test]
async fn a_folder_is_copied_with_all_that_is_in_it() {
    let cluster = Cluster::start().await;
    for path in ["/trip/day 1/a.txt", "/trip/day 1/b.txt", "/trip/c.txt"] {
        cluster.upload(path, path.as_bytes()).await;
    }
    let (client, empty) = (cluster.client(), "/trip/none".parse().unwrap());
    client.create_folder(&empty, true).await.unwrap();
    cluster.upload("/box/trip/other.txt", b"other").await;
    browse(Screen::Desktop, async |page| {
        open_list(page, &cluster.url("/")).await;
        choose(page, "trip", "copy").await;
        page.until("Array.from(document.querySelectorAll('.picker-folder'), one => one.textContent + one.disabled).join() === 'boxfalse,triptrue'")
            .await;
        page.click(".picker-folder").await;
        page.until("document.querySelector('.picker-folder')?.textContent === 'trip'")
            .await;
        page.answer("Copy here").await;
        page.until("document.querySelector('dialog[open]')?.textContent.includes('already')")
            .await;
        page.answer("Keep both").await;
        page.until("document.getElementById('announce').textContent === 'Copied to /box.'")
            .await;
    })
    .await;
    for name in ["day 1/a.txt", "day 1/b.txt", "c.txt"] {
        let copied = download(&cluster.client(), &format!("/box/trip (2)/{name}")).await;
        assert_eq!(copied.unwrap(), format!("/trip/{name}").as_bytes());
    }
    let empty = "/box/trip (2)/none".parse().unwrap();
    let empty = client.entry(&empty).await;
    assert!(matches!(empty.unwrap(), Entry::Folder { .. }));
    assert!(
        !is_there(&cluster, "/box/trip/c.txt").await,
        "the other folder is as it was"
    );
}

/// Which requests copy files, and which make the folders for them.
const FILES: &str = "address === '/api/v1/copy'";
const FOLDERS: &str =
    "method === 'POST' && String(address).startsWith('/api/v1/folders/box/trip/')";
/// Whether the page says that something was copied.
const SAYS_COPIED: &str = "document.getElementById('announce').textContent.includes('Copied')";
const STOP: &str = "document.querySelector('#toasts .stop')";

/// Opens the list, where requests of this kind are held, and copies the folder `trip` into `box`, in which nothing is.
async fn begin_copy_while_held(page: &Page, cluster: &Cluster, held: &str) {
    open_list(page, &cluster.url("/")).await;
    hold(page, held).await;
    begin_copy(page).await;
}

async fn begin_copy(page: &Page) {
    choose(page, "trip", "copy").await;
    page.until("document.querySelector('.picker-folder')").await;
    page.click(".picker-folder").await;
    page.until("document.querySelector('.picker-about').textContent.includes('no folder')")
        .await;
    page.answer("Copy here").await;
}

async fn make_folder(cluster: &Cluster, path: &str) {
    let path = path.parse().unwrap();
    cluster.client().create_folder(&path, true).await.unwrap();
}

async fn delete_folder(cluster: &Cluster, path: &str) {
    let options = DeleteOptions {
        recursive: true,
        ..DeleteOptions::default()
    };
    let path = path.parse().unwrap();
    cluster.client().delete(&path, options).await.unwrap();
}

/// What was on its way arrives, the rest is left, and the page says how many that are, and nothing else.
#[tokio::test]
async fn a_copy_that_is_stopped_has_whole_files_and_says_what_it_lacks() {
    let cluster = Cluster::start().await;
    make_folder(&cluster, "/box").await;
    let mut names: Vec<_> = (1..=10).map(|number| format!("{number:02}.txt")).collect();
    // Files of folders come behind those beside the folders.
    names.extend(["day 1/a.txt", "day 1/b.txt"].map(str::to_owned));
    for name in &names {
        cluster
            .upload(&format!("/trip/{name}"), name.as_bytes())
            .await;
    }
    browse(Screen::Desktop, async |page| {
        begin_copy_while_held(page, &cluster, FILES).await;
        page.until("window.held.length === 4").await;
        page.script(LET_GO).await;
        page.until(&format!("window.held.length === 4 && {STOP}"))
            .await;
        let told = page.text("#toasts .toast p").await;
        assert_eq!(told, "Copying… 4 of 12");
        page.click("#toasts .stop").await;
        page.script(LET_ALL_GO).await;
        until_equal(page, NOTICE, "4 were not tried.").await;
        page.until(&format!("!{STOP} && !({SAYS_COPIED})")).await;
    })
    .await;
    let client = cluster.client();
    for name in &names[..8] {
        let copied = download(&client, &format!("/box/trip/{name}")).await;
        assert_eq!(copied.unwrap(), name.as_bytes(), "{name}");
    }
    for name in &names[8..] {
        assert!(
            !is_there(&cluster, &format!("/box/trip/{name}")).await,
            "{name}"
        );
    }
}

/// Stop was taken for the folders alone when it came while they were made: all files for which there was one were copied.
#[tokio::test]
async fn a_copy_that_is_stopped_among_its_folders_copies_no_file() {
    let cluster = Cluster::start().await;
    make_folder(&cluster, "/box").await;
    for name in ["a/1.txt", "b/1.txt", "c/1.txt", "x.txt"] {
        cluster.upload(&format!("/trip/{name}"), b"x").await;
    }
    browse(Screen::Desktop, async |page| {
        begin_copy_while_held(page, &cluster, FOLDERS).await;
        page.until(&format!("window.held.length === 1 && {STOP}"))
            .await;
        page.click("#toasts .stop").await;
        page.script(LET_ALL_GO).await;
        until_equal(page, NOTICE, "6 were not tried.").await;
        page.until(&format!("!({SAYS_COPIED})")).await;
    })
    .await;
    for (path, expected) in [
        ("a", true),
        ("a/1.txt", false),
        ("b", false),
        ("x.txt", false),
    ] {
        let is_there = is_there(&cluster, &format!("/box/trip/{path}")).await;
        assert_eq!(is_there, expected, "{path}");
    }
}

/// Somebody deletes the folder that a copy goes into: it ends after a few tries, and does not bring the folder back.
#[tokio::test]
async fn a_copy_ends_with_the_folder_that_it_goes_into() {
    let cluster = Cluster::start().await;
    make_folder(&cluster, "/box").await;
    for number in 1..=20 {
        cluster
            .upload(&format!("/trip/{number:02}.txt"), b"x")
            .await;
    }
    let said = format!(
        "({NOTICE}.match(/^(\\d+) of 21 could not be copied\\. .* (\\d+) were not tried\\.$/) ?? [])"
    );
    browse(Screen::Desktop, async |page| {
        begin_copy_while_held(page, &cluster, FILES).await;
        page.until("window.held.length === 4").await;
        delete_folder(&cluster, "/box").await;
        page.script(LET_ALL_GO).await;
        page.until(&format!("{said}.length === 3")).await;
        // Three others may be under way when the eighth fails.
        let numbers = page.script(&format!("return {said}.slice(1).map(Number)")).await;
        let [failed, untried] = [&numbers[0], &numbers[1]].map(|number| number.as_u64().unwrap());
        assert!((8..=11).contains(&failed) && failed + untried == 20, "{numbers}");
        page.until(&format!("!({SAYS_COPIED})")).await;
        assert!(!is_there(&cluster, "/box").await);

        // The same while its folders are made, one after the other.
        make_folder(&cluster, "/box").await;
        for number in 1..=12 {
            make_folder(&cluster, &format!("/trip/{number}")).await;
        }
        begin_copy_while_held(page, &cluster, FOLDERS).await;
        page.until("window.held.length === 1").await;
        delete_folder(&cluster, "/box").await;
        page.script(LET_ALL_GO).await;
        page.until(&format!(
            "{NOTICE}.startsWith('8 of 33 could not be copied. ') && {NOTICE}.endsWith(' 24 were not tried.')"
        ))
        .await;
        assert!(!is_there(&cluster, "/box").await);
    })
    .await;
}

/// A folder `trip` seems to have 150 pages of a thousand files; what would change anything is counted.
const ENDLESS: &str = "
    const fetchNow = window.fetch;
    const entries = Array.from({ length: 1000 }, (_, number) => ({ kind: 'file', name: `${number}`, size: 1, modified_ms: 0, version: 1 }));
    Object.assign(window, { pages: 0, changes: 0 });
    window.fetch = async (address, options) => {
      if (!['GET', 'HEAD'].includes(options?.method ?? 'GET')) window.changes += 1;
      if (!String(address).startsWith('/api/v1/folders/trip?')) return fetchNow(address, options);
      window.pages += 1;
      return Response.json({ entries, next: window.pages < 150 ? 'files/999' : null });
    };";

/// A browser would need an hour for more than 100,000 entries: the command line is named before anything is copied.
#[tokio::test]
async fn a_folder_with_too_much_in_it_is_not_copied_by_the_page() {
    let cluster = Cluster::start().await;
    make_folder(&cluster, "/box").await;
    make_folder(&cluster, "/trip").await;
    browse(Screen::Desktop, async |page| {
        open_list(page, &cluster.url("/")).await;
        page.script(ENDLESS).await;
        begin_copy(page).await;
        until_equal(
            page,
            NOTICE,
            "There are more than 100,000 things in it: nothing was copied. Copy it with “dfs copy -r”.",
        )
        .await;
        page.until(&format!("window.pages === 101 && window.changes === 0 && !{STOP}")).await;
    })
    .await;
    assert!(!is_there(&cluster, "/box/trip").await);
}

/// The menu under the pointer has what the row's own has, for all that is selected, and keys go through it.
#[tokio::test]
async fn the_menu_under_the_pointer_does_what_the_rows_does() {
    let cluster = Cluster::start().await;
    for name in ["a.txt", "b.txt"] {
        cluster.upload(&format!("/{name}"), b"x").await;
    }
    let items = "Array.from(document.querySelectorAll('.context-menu [role=menuitem]'), item => item.textContent)";
    browse(Screen::Desktop, async |page| {
        open_list(page, &cluster.url("/")).await;
        click_with_other_button(page, "a.txt").await;
        page.until(&format!(
            "({items}).join() === 'Download,Share…,Rename,Move…,Copy…,Versions…,Delete'"
        ))
        .await;
        page.press(format!("{DOWN}{ESCAPE}")).await;
        page.until("!document.querySelector('.context-menu')").await;
        until_equal(page, FOCUSED, "a.txt").await;
        page.press(format!("{CONTROL}a")).await;
        click_with_other_button(page, "a.txt").await;
        page.until(&format!(
            "({items}).join() === 'Download as zip,Move…,Copy…,Delete'"
        ))
        .await;
        page.press(format!("{END}{ENTER}")).await;
        until_listed(page, &[]).await;
    })
    .await;
}
