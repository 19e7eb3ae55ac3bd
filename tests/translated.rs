//! Another language: who chose German reads German, in what the server draws, in what scripts say, and as a receiver of a link; it
//! keeps nobody out, and long words break nothing.

use std::path::Path;

use crate::sharing::said;
use crate::support::list::{CONTROL, DELETE, READY, choose, until_equal};
use crate::support::{Cluster, Look, Page, Screen, browse, content};

/// What only a text that was not found, or not filled in, has in it. Names of files here have no such thing.
const RAW: &str = "\
    const seen = [document.body.innerText, document.title, ...Array.from(document.querySelectorAll('[aria-label], [title], [placeholder]'), \
      (element) => ['aria-label', 'title', 'placeholder'].map((name) => element.getAttribute(name) ?? '').join(' '))].join('\\n'); \
    return [...seen.matchAll(/\\{\\w*\\}|\\b[a-z]+\\.[a-z]+[A-Z]\\w*|\\bundefined\\b/g)].map(([text]) => text)";

const WIDE: Look = Look {
    width: 1280,
    is_dark: false,
};
const NARROW: Look = Look {
    width: 390,
    is_dark: true,
};

/// Says what is seen now in words of the page's language.
async fn look(page: &Page, name: &str, words: &[&str]) {
    for look in [WIDE, NARROW] {
        page.look(look).await;
        let title = format!("german-{name}-{}", look.width);
        page.screenshot(&title).await;
        let text = page.text("body").await;
        for word in words {
            assert!(text.contains(word), "{title} has no {word:?}:\n{text}");
        }
        let raw = page.script(RAW).await;
        assert_eq!(raw.as_array().map(Vec::len), Some(0), "{title}: {raw}");
        assert_eq!(
            page.script("return document.documentElement.lang").await,
            "de"
        );
        let wide = "return document.documentElement.scrollWidth - innerWidth";
        let wide = page.script(wide).await.as_i64();
        assert!(wide <= Some(0), "{title} scrolls sideways by {wide:?}");
        let violations = page.violations().await;
        assert!(violations.is_empty(), "{title}: {}", violations.join("\n"));
    }
    page.look(WIDE).await;
}

async fn choose_german(page: &Page) {
    page.click(".language button[value=de]").await;
    page.until("document.documentElement.lang === 'de'").await;
}

/// The list, an upload, and what is deleted and comes back.
async fn look_at_the_list(page: &Page, photos: &[&Path]) {
    let words = [
        "Alle Dateien",
        "Dateien hochladen",
        "Neuer Ordner",
        "Gartenplan.pdf",
        "812 kB",
    ];
    look(page, "folder", &words).await;
    look_at_the_phones_menu(page).await;
    look_at_the_phones_head(page).await;
    page.choose("#file-input", photos).await;
    page.until("document.querySelector('.upload[data-state=done]')")
        .await;
    look(
        page,
        "uploaded",
        &["Gespeichert", "12,3 kB", "Fertige ausblenden"],
    )
    .await;
    choose(page, "Gartenplan.pdf", "delete").await;
    page.until("document.querySelector('#toast:not([hidden])')")
        .await;
    look(
        page,
        "deleted",
        &["„Gartenplan.pdf“ ist im Papierkorb.", "Rückgängig"],
    )
    .await;
    page.click("#toast-action").await;
    page.until("document.querySelector(\".entry[data-name='Gartenplan.pdf']\")")
        .await;
}

/// What a phone has no room for is in a menu, which closes when something is chosen; in German it is for wide screens, too.
async fn look_at_the_phones_menu(page: &Page) {
    let is_seen = "document.getElementById('refresh').checkVisibility()";
    page.look(NARROW).await;
    page.until(&format!("!{is_seen}")).await;
    page.click(".lesser summary").await;
    page.until(is_seen).await;
    page.screenshot("german-menu-390").await;
    let violations = page.violations().await;
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    page.click("#refresh").await;
    page.until(&format!("!{is_seen}")).await;
    page.look(WIDE).await;
    let is_beside = "document.getElementById('choose-files').getBoundingClientRect().top \
                     < document.getElementById('title').getBoundingClientRect().bottom";
    page.until(is_beside).await;
}

/// The head has one line, and the search below it.
async fn look_at_the_phones_head(page: &Page) {
    page.look(NARROW).await;
    let is_in_line = "document.getElementById('status').getBoundingClientRect().top \
                      < document.querySelector('.brand').getBoundingClientRect().bottom";
    page.until(is_in_line).await;
    page.look(WIDE).await;
}

/// Sharing, and a question whose answer is refused.
async fn look_at_dialogs(page: &Page) {
    choose(page, "Briefe", "share").await;
    look(page, "share", &["„Briefe“ freigeben", "bis zum Widerruf"]).await;
    page.answer("Link anlegen").await;
    page.until("document.querySelector('#share-link')").await;
    look(page, "link", &["Der Link ist fertig."]).await;
    page.answer("Schließen").await;
    page.click("#new-folder").await;
    page.write("dialog[open] input", "Briefe").await;
    page.answer("Ordner anlegen").await;
    page.until("document.querySelector('dialog .dialog-error:not([hidden])')")
        .await;
    look(page, "refused", &["Der Name ist vergeben."]).await;
    page.answer("Abbrechen").await;
}

/// The other pages of the drive.
async fn look_at_other_pages(page: &Page, cluster: &Cluster) {
    choose(page, "Notizen.txt", "delete").await;
    page.until("!document.querySelector(\".entry[data-name='Notizen.txt']\")")
        .await;
    page.open(&cluster.url("/trash")).await;
    look(page, "trash", &["Papierkorb leeren", "war in Alle Dateien"]).await;
    page.open(&cluster.url("/shares")).await;
    look(
        page,
        "links",
        &["Freigaben", "bis zum Widerruf", "0 Downloads"],
    )
    .await;
    page.open(&cluster.url("/view/Gartenplan.pdf")).await;
    look(page, "view", &["In neuem Tab öffnen", "Herunterladen"]).await;
    page.open(&cluster.url("/cluster")).await;
    page.until("document.querySelector('#status-figures dd')")
        .await;
    look(
        page,
        "cluster",
        &["Speicherknoten", "Läuft", "Wo Kopien liegen", "Bereit"],
    )
    .await;
}

/// What whoever has a link sees, who may choose, too.
async fn look_at_what_receivers_see(page: &Page, cluster: &Cluster, photos: &[&Path]) {
    let link = said(cluster, &["share", "/Briefe"]).await;
    page.open(link.trim()).await;
    look(
        page,
        "received",
        &["Alles als ZIP herunterladen", "Freigegeben von"],
    )
    .await;
    let link = said(cluster, &["share", "/Briefe", "--upload-only"]).await;
    page.open(link.trim()).await;
    look(
        page,
        "received-adding",
        &["Dateien an „Briefe“ senden", "Senden"],
    )
    .await;
    page.choose("#chosen", photos).await;
    page.click("button.primary").await;
    page.until("document.getElementById('send-summary').textContent.includes('Vielen Dank')")
        .await;
    look(
        page,
        "received-sent",
        &["1 Datei angekommen.", "Angekommen"],
    )
    .await;
    page.click(".language button[value=en]").await;
    page.until("document.documentElement.lang === 'en'").await;
    assert!(page.text("body").await.contains("Send files to “Briefe”"));
}

#[tokio::test]
async fn who_chose_german_reads_german() {
    let cluster = Cluster::start().await;
    for (number, path, len) in [
        (1, "/Briefe/An die Bank.odt", 48_000),
        (2, "/Gartenplan.pdf", 812_345),
        (3, "/Notizen.txt", 930),
    ] {
        cluster.upload(path, &content(number, len)).await;
    }
    let photo = cluster.scratch().join("Sommer.bin");
    std::fs::write(&photo, content(4, 12_345)).unwrap();
    let photos: [&Path; 1] = [&photo];
    browse(Screen::Desktop, async |page| {
        page.look(WIDE).await;
        page.open(&cluster.url("/")).await;
        page.until(READY).await;
        assert_eq!(
            page.script("return document.documentElement.lang").await,
            "en"
        );
        choose_german(page).await;
        page.until(READY).await;
        look_at_the_list(page, &photos).await;
        look_at_dialogs(page).await;
        look_at_other_pages(page, &cluster).await;
        look_at_what_receivers_see(page, &cluster, &photos).await;
    })
    .await;
}

/// What the server says of itself is in its own language; pages find the reader's by its code.
#[tokio::test]
async fn trouble_speaks_german_too() {
    let mut cluster = Cluster::start().await;
    cluster.upload("/Notizen.txt", b"Bank anrufen").await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        choose_german(page).await;
        cluster.node(2).kill();
        page.open(&cluster.url("/cluster")).await;
        page.until("document.querySelector('.node[data-state=dead]')")
            .await;
        page.until("document.querySelector('#cluster-state li')")
            .await;
        look(
            page,
            "harmed",
            &["Keine Antwort von 1 der 3 Speicherknoten.", "Ausgefallen"],
        )
        .await;
        cluster.master().kill();
        page.open(&cluster.url("/")).await;
        // A status may be a second old.
        page.until("document.querySelector('#status[data-colour=red]')")
            .await;
        look(
            page,
            "trouble",
            &[
                "Die Dateien können gerade nicht gezeigt werden",
                "Der Master antwortet nicht.",
            ],
        )
        .await;
    })
    .await;
}

/// Deletions are refused with a sentence that no catalogue has.
const REFUSED: &str = "
    const fetchNow = window.fetch;
    window.fetch = async (address, options) => (options?.method === 'DELETE'
      ? Response.json({ code: 'unheard_of', detail: 'The moon is full.' }, { status: 409 })
      : fetchNow(address, options));";

/// A screen reader read English sentences within German ones as if they were German.
#[tokio::test]
async fn what_the_server_says_in_english_is_marked_as_english() {
    let plan = Cluster::plan().set("file_size_max", "\"10kB\"");
    let cluster = plan.start().await;
    for name in ["/a.txt", "/b.txt"] {
        cluster.upload(name, b"x").await;
    }
    let photo = cluster.scratch().join("Sommer.bin");
    std::fs::write(&photo, content(4, 12_345)).unwrap();
    let english = |place: &str| {
        format!(
            "Array.from(document.querySelectorAll(\"{place} [lang=en]\"), (part) => part.textContent).join('|')"
        )
    };
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        choose_german(page).await;
        page.until(READY).await;
        page.choose("#file-input", &[&photo]).await;
        page.until("document.querySelector('.upload[data-state=failed]')")
            .await;
        let row = "#uploads .upload-state";
        let detail = page.script(&format!("return {}", english(row))).await;
        let detail = detail.as_str().unwrap();
        assert!(detail.contains("12,345 bytes"), "{detail}");
        assert_eq!(
            page.text(row).await,
            format!("Nicht gespeichert: Die Datei ist zu groß. Genauer, auf Englisch: „{detail}“"),
        );
        until_equal(page, &english("#announce"), detail).await;

        page.script(REFUSED).await;
        page.press(format!("{CONTROL}a")).await;
        page.press(DELETE).await;
        until_equal(
            page,
            &english("#notice-text"),
            "The moon is full.|The moon is full.",
        )
        .await;
        let notice = page.text("#notice-text").await;
        assert!(
            notice.starts_with("2 von 2 ließen sich nicht löschen. „a.txt“: "),
            "{notice}"
        );
    })
    .await;
}
