//! Share links: made on the page and by the command line, and used by whoever has one.

use serde_json::json;

use crate::support::list::choose_in;
use crate::support::panel::{ENDLESS, LEN, SLOW, count_sent, file, measure_requests};
use crate::support::{Cluster, Page, Screen, browse, content, download, run};

/// What the command line says; a link begins with the address of this cluster's page.
pub(crate) async fn said(cluster: &Cluster, arguments: &[&str]) -> String {
    let page = format!("web.public_url={}", cluster.url(""));
    let mut command = cluster.dfs(arguments);
    let output = run(command.args(["--set", &page])).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// The page makes a link, its receiver downloads by it under another name of the file, and revoking ends it.
#[tokio::test]
async fn a_link_is_made_used_and_revoked_on_the_page() {
    let cluster = Cluster::start().await;
    let bytes = content(3, 300_000);
    cluster.upload("/letters/a “b”.txt", &bytes).await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/folder/letters")).await;
        choose_in(page, ".entry", "share").await;
        page.write("dialog input[type=text]", "open sesame").await;
        page.answer("Make link").await;
        page.until("!!document.getElementById('share-link')").await;
        let link = page.script("return document.getElementById('share-link').value").await;
        let link = link.as_str().unwrap().to_owned();
        assert!(link.starts_with(&cluster.url("/s/")), "{link}");
        page.click("dialog .primary").await;
        page.until("document.querySelector('.share-news').textContent !== ''").await;
        page.answer("Close").await;
        page.until("!document.querySelector('dialog')").await;

        page.open(&link).await;
        page.write("#password", "wrong").await;
        page.click("button.primary").await;
        page.until("document.getElementById('wrong')?.textContent.includes('not the password')").await;
        page.write("#password", "open sesame").await;
        page.click("button.primary").await;
        page.until("document.querySelector('h1')?.textContent === 'a “b”.txt'").await;
        let len = page
            .script(
                "return fetch(document.querySelector('a.primary').href).then((response) => response.arrayBuffer()) \
                 .then((bytes) => bytes.byteLength)",
            )
            .await;
        assert_eq!(len, json!(bytes.len()));
        assert_eq!(page.script("return document.querySelector('a[href=\"/\"]')").await, json!(null));

        page.open(&cluster.url("/shares")).await;
        page.until("document.querySelector('.entry .size').textContent === '1 download'").await;
        let row = page.text(".entry").await;
        assert!(row.contains("asks for a password") && row.contains("letters"), "{row}");
        page.click(".entry [data-action=revoke]").await;
        page.answer("Revoke").await;
        page.until("document.querySelectorAll('.entry').length === 0").await;
        page.open(&link).await;
        assert!(page.text("h1").await.contains("leads nowhere"));
    })
    .await;
}

/// Whoever may only add files sends some by the page, sees nothing, and replaces nothing.
#[tokio::test]
async fn files_are_sent_to_a_folder_that_asks_for_them() {
    let cluster = Cluster::start().await;
    cluster.upload("/inbox/one.txt", b"old").await;
    let link = said(&cluster, &["share", "/inbox", "--upload-only"]).await;
    let folder = cluster.scratch();
    let files = ["one.txt", "two.txt"].map(|name| folder.join(name));
    for file in &files {
        std::fs::write(file, b"new").unwrap();
    }
    browse(Screen::Phone, async |page| {
        page.open(link.trim()).await;
        page.choose("#chosen", &[&files[0], &files[1]]).await;
        page.click("button.primary").await;
        page.until(
            "document.getElementById('send-summary').textContent.startsWith('2 files arrived')",
        )
        .await;
        let sent = page.text("#sent").await;
        assert!(sent.contains("Arrived") && !sent.contains("(2)"), "{sent}");
    })
    .await;
    let client = cluster.client();
    let kept = async |name: &str| crate::support::download(&client, name).await.unwrap();
    assert_eq!(kept("/inbox/one.txt").await, b"old");
    assert_eq!(kept("/inbox/one (2).txt").await, b"new");
    assert_eq!(kept("/inbox/two.txt").await, b"new");
}

async fn until_row(page: &Page, state: &str, count: usize) {
    page.until(&format!(
        "document.querySelectorAll('#sent .upload[data-state={state}]').length === {count}"
    ))
    .await;
}

async fn until_progress(page: &Page, share: f64) {
    page.until(&format!(
        "(({{ value, max }}) => value > max * {share})(document.querySelector('#sent .upload:last-child progress'))"
    ))
    .await;
}

/// Where uploads by links are that the browser remembers.
const REMEMBERED: &str =
    "return Object.keys(localStorage).filter((key) => key.startsWith('dfs::sent::')).length";

/// A film began anew when the line broke: the web process goes in the middle, and the page is loaded anew; it goes on each time where it
/// was, and arrives as it was sent, under another name than what is there.
#[tokio::test]
async fn a_large_file_goes_on_through_a_link() {
    let mut cluster = Cluster::start().await;
    cluster.upload("/inbox/film.mp4", b"old").await;
    let link = said(&cluster, &["share", "/inbox", "--upload-only"]).await;
    let bytes = content(21, LEN);
    let film = file(&cluster, "film.mp4", &bytes);
    browse(Screen::Desktop, async |page| {
        page.open(link.trim()).await;
        page.limit_uploads(SLOW).await;
        page.choose("#chosen", &[&film]).await;
        page.click("#adding > button").await;
        until_progress(page, 0.1).await;
        assert!(page.text("#sent .upload").await.contains("/s"));
        cluster.web().kill();
        until_row(page, "stuck", 1).await;
        assert!(page.text("#send-summary").await.contains("Connection lost"));
        cluster.web().start().await;
        until_progress(page, 0.5).await;

        page.open(link.trim()).await;
        let told = page.text("#send-summary").await;
        assert!(told.contains("film.mp4"), "{told}");
        count_sent(page).await;
        page.limit_uploads(None).await;
        page.choose("#chosen", &[&film]).await;
        page.click("#adding > button").await;
        until_row(page, "done", 1).await;
        let sent = page.script("return window.sentBytes").await;
        assert!(sent.as_u64().unwrap() < LEN as u64 * 3 / 4, "{sent}");
        assert_eq!(page.script(REMEMBERED).await, json!(0));
        let told = page.text("#send-summary").await;
        assert!(told.starts_with("1 file arrived"), "{told}");
    })
    .await;
    let client = cluster.client();
    let stored = download(&client, "/inbox/film (2).mp4").await;
    assert!(stored.unwrap() == bytes);
    assert_eq!(download(&client, "/inbox/film.mp4").await.unwrap(), b"old");
}

/// What goes by a link waits for the network, is cancelled and tried again; no request is longer than a proxy takes, and nothing of one
/// link is found by another.
#[tokio::test]
async fn files_through_a_link_are_cancelled_and_go_in_pieces() {
    let mut cluster = Cluster::start().await;
    cluster
        .web()
        .arguments(&["--set", "web.upload_request_max=100kB"]);
    cluster.web().restart().await;
    cluster.upload("/inbox/old", b"old").await;
    let [link, other] = [
        said(&cluster, &["share", "/inbox", "--upload-only"]).await,
        said(&cluster, &["share", "/inbox", "--upload-only"]).await,
    ];
    let bytes = content(22, 3_000_000);
    let film = file(&cluster, "film.mp4", &bytes);
    browse(Screen::Desktop, async |page| {
        page.open(link.trim()).await;
        page.limit_uploads(ENDLESS).await;
        page.choose("#chosen", &[&film]).await;
        page.click("#adding > button").await;
        until_progress(page, 0.0).await;
        page.open(other.trim()).await;
        assert_eq!(page.text("#send-summary").await, "");
        assert_eq!(page.script(REMEMBERED).await, json!(1));

        page.open(link.trim()).await;
        page.limit_uploads(SLOW).await;
        page.choose("#chosen", &[&film]).await;
        page.click("#adding > button").await;
        until_progress(page, 0.2).await;
        page.lose_network().await;
        until_row(page, "stuck", 1).await;
        page.limit_uploads(ENDLESS).await;
        until_row(page, "sending", 1).await;
        until_progress(page, 0.2).await;
        page.click("#sent button[aria-label^=Cancel]").await;
        until_row(page, "cancelled", 1).await;
        assert_eq!(page.script(REMEMBERED).await, json!(0));
        page.until("document.activeElement.matches('#sent button[aria-label^=Retry]')")
            .await;

        measure_requests(page).await;
        page.limit_uploads(None).await;
        page.click("#sent button[aria-label^=Retry]").await;
        until_row(page, "done", 1).await;
        assert_eq!(page.script("return window.longest").await, json!(100_000));
    })
    .await;
    let stored = download(&cluster.client(), "/inbox/film.mp4").await;
    assert!(stored.unwrap() == bytes);
}

/// The command line makes, lists and ends links; a password comes from a file, and the limit of downloads holds.
#[tokio::test]
async fn the_command_line_shares() {
    let cluster = Cluster::start().await;
    cluster.upload("/a.txt", b"words").await;
    let say = async |arguments: &[&str]| said(&cluster, arguments).await;
    let link = say(&["share", "/a.txt", "--limit", "1", "--expires", "7d"]).await;
    let get = async |address: &str| {
        let answer = reqwest::get(format!("{}/{address}", link.trim())).await;
        answer.unwrap()
    };
    let first = get("file").await;
    assert_eq!(first.status(), 200);
    assert_eq!(first.bytes().await.unwrap(), "words");
    assert_eq!(get("file").await.status(), 410);
    let listed = say(&["share", "list"]).await;
    assert!(
        listed.contains("1 of 1 downloads") && listed.contains("/a.txt"),
        "{listed}"
    );

    let secret = cluster.scratch().join("secret");
    std::fs::write(&secret, "open sesame\r\nrest").unwrap();
    let secret = secret.to_str().unwrap();
    let locked = say(&["share", "a.txt", "--password-file", secret]).await;
    let page = reqwest::get(locked.trim()).await.unwrap().text().await;
    assert!(page.unwrap().contains("type=\"password\""));
    let listed = say(&["share", "list", "--json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["has_password"], true);
    say(&["share", "revoke", "2"]).await;
    assert_eq!(reqwest::get(locked.trim()).await.unwrap().status(), 404);
    let gone = run(&mut cluster.dfs(&["share", "revoke", "2"])).await;
    assert_eq!(gone.status.code(), Some(3));
}
