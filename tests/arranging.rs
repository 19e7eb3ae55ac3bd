//! What is done with files where they are listed, in a real browser: moved, renamed, by the menu under the pointer.

use crate::browsing::{
    CONTROL, DOWN, END, ENTER, ESCAPE, F2, FOCUSED, click_with, happens, is_there, until_equal,
    until_listed,
};
use crate::support::{Cluster, Screen, browse, download};
use proto::master::Entry;

/// The name becomes a field; what cannot be is said beside it, and Escape leaves it as it was.
#[tokio::test]
async fn a_name_is_changed_where_it_stands() {
    let cluster = Cluster::start().await;
    cluster.upload("/draft.txt", b"words").await;
    cluster.upload("/taken.txt", b"others").await;
    let error = "document.querySelector('.rename-error')?.textContent ?? ''";
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.until("document.querySelector('th a.sort')").await;
        page.script("document.querySelector(\".entry[data-name='draft.txt'] .open\").focus()")
            .await;
        page.press(&F2.to_string()).await;
        page.until("document.activeElement.value === 'draft.txt'")
            .await;
        // All but the extension is selected.
        page.press(&format!("taken{ENTER}")).await;
        page.until(&format!("({error}).includes('is there already')"))
            .await;
        page.press(&ESCAPE.to_string()).await;
        until_equal(page, FOCUSED, "draft.txt").await;
        until_listed(page, &["draft.txt", "taken.txt"]).await;
        page.press(&F2.to_string()).await;
        page.press(&format!("zebra{ENTER}")).await;
        until_listed(page, &["taken.txt", "zebra.txt"]).await;
        until_equal(page, FOCUSED, "zebra.txt").await;
    })
    .await;
    let stored = download(&cluster.client(), "/zebra.txt").await;
    assert_eq!(stored.unwrap(), b"words");
}

/// What was written was lost as soon as one clicked elsewhere, or a question of an upload came up.
#[tokio::test]
async fn a_new_name_is_kept_when_one_goes_elsewhere() {
    let cluster = Cluster::start().await;
    cluster.upload("/draft.txt", b"words").await;
    cluster.upload("/taken.txt", b"others").await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.until("document.querySelector('th a.sort')").await;
        page.script("document.querySelector(\".entry[data-name='draft.txt'] .open\").focus()")
            .await;
        page.press(&F2.to_string()).await;
        page.press("zebra").await;
        page.script("document.getElementById('new-folder').click()")
            .await;
        page.answer("Cancel").await;
        until_equal(page, "document.activeElement.value", "zebra.txt").await;
        page.click("#title").await;
        until_listed(page, &["taken.txt", "zebra.txt"]).await;

        page.script("document.querySelector(\".entry[data-name='zebra.txt'] .open\").focus()")
            .await;
        page.press(&F2.to_string()).await;
        page.press("taken").await;
        page.click("#title").await;
        page.until(
            "document.getElementById('notice-text').textContent.includes('is there already')",
        )
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
        page.open(&cluster.url("/")).await;
        page.until("document.querySelector('th a.sort')").await;
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
        page.click(".entry[data-name='a.txt'] .menu summary").await;
        page.click(".entry[data-name='a.txt'] [data-action=move]").await;
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
        page.open(&cluster.url("/")).await;
        page.until("document.querySelector('th a.sort')").await;
        page.click(".entry[data-name='trip'] .menu summary").await;
        page.click(".entry[data-name='trip'] [data-action=copy]")
            .await;
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

/// The menu under the pointer has what the row's own has, for all that is selected, and keys go through it.
#[tokio::test]
async fn the_menu_under_the_pointer_does_what_the_rows_does() {
    let cluster = Cluster::start().await;
    for name in ["a.txt", "b.txt"] {
        cluster.upload(&format!("/{name}"), b"x").await;
    }
    let items = "Array.from(document.querySelectorAll('.context-menu [role=menuitem]'), item => item.textContent)";
    let pointer = "new PointerEvent('contextmenu', { bubbles: true, cancelable: true, button: 2, clientX: 300, clientY: 300 })";
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.until("document.querySelector('th a.sort')").await;
        happens(page, "a.txt", pointer).await;
        page.until(&format!(
            "({items}).join() === 'Download,Share…,Rename,Move…,Copy…,Versions…,Delete'"
        ))
        .await;
        page.press(&format!("{DOWN}{ESCAPE}")).await;
        page.until("!document.querySelector('.context-menu')").await;
        until_equal(page, FOCUSED, "a.txt").await;
        page.press(&format!("{CONTROL}a")).await;
        happens(page, "a.txt", pointer).await;
        page.until(&format!(
            "({items}).join() === 'Download as zip,Move…,Copy…,Delete'"
        ))
        .await;
        page.press(&format!("{END}{ENTER}")).await;
        until_listed(page, &[]).await;
    })
    .await;
}
