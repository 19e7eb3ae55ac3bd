//! Files are looked at without leaving the list, and the cluster while it changes.

use serde_json::json;

use crate::support::list::{ESCAPE, RIGHT, open_list};
use crate::support::{Cluster, Page, Screen, browse};

const OPEN: &str = "document.querySelector('dialog.viewer[open]')";

/// A second of a tone.
pub(crate) fn wav() -> Vec<u8> {
    const RATE: u32 = 8000;
    let samples: Vec<u8> = (0..RATE)
        .map(|at| if at / 20 % 2 == 0 { 100 } else { 156 })
        .collect();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + RATE).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(RATE.to_le_bytes());
    bytes.extend(RATE.to_le_bytes());
    bytes.extend(b"\x01\0\x08\0data");
    bytes.extend(RATE.to_le_bytes());
    bytes.extend(samples);
    bytes
}

/// A red bitmap of 400 x 300 pixels.
fn picture() -> Vec<u8> {
    const WIDTH: u32 = 400;
    const HEIGHT: u32 = 300;
    let len = WIDTH * HEIGHT * 3;
    let mut bytes = b"BM".to_vec();
    bytes.extend((54 + len).to_le_bytes());
    bytes.extend([0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0]);
    bytes.extend(WIDTH.to_le_bytes());
    bytes.extend(HEIGHT.to_le_bytes());
    bytes.extend([1, 0, 24, 0, 0, 0, 0, 0]);
    bytes.extend(len.to_le_bytes());
    bytes.extend([0; 16]);
    bytes.extend([30, 40, 200].repeat(len as usize / 3));
    bytes
}

async fn until_shown(page: &Page, name: &str, what: &str) {
    page.until(&format!(
        "{OPEN}?.querySelector('.view').dataset.name === '{name}' && {OPEN}.querySelector(\"{what}\")"
    ))
    .await;
}

/// With its own address, from which back leads to the list; arrows go on to the next file; nothing that is in a file runs.
#[tokio::test]
async fn files_are_looked_at_over_their_list() {
    let cluster = Cluster::start().await;
    let script = "<script>parent.document.title = document.title = 'harmed'</script>";
    let evil = format!(
        "# Trip\n\n{script}\n\n**bold** <img src=x onerror=\"document.title='harmed'\">\n\n|a|\n|-:|\n|1|"
    );
    for (name, content) in [
        ("a.bmp", &picture()[..]),
        ("b.wav", &wav()),
        ("c.txt", "für alle\n".as_bytes()),
        ("d.md", evil.as_bytes()),
        ("e.html", script.as_bytes()),
        ("f.bin", b"\0\x01\x02\0"),
    ] {
        cluster.upload(&format!("/trip/{name}"), content).await;
    }
    let list = cluster.url("/folder/trip");
    browse(Screen::Desktop, async |page| {
        page.open(&list).await;
        page.until("document.querySelector('.entry[data-name=\"a.bmp\"] img.picture')?.naturalWidth === 320")
            .await;
        page.click(".entry[data-name='a.bmp'] td.name a").await;
        until_shown(page, "a.bmp", "img").await;
        page.until(&format!("{OPEN}.querySelector('img').naturalWidth === 400")).await;
        assert_eq!(page.script("return location.pathname").await, "/view/trip/a.bmp");
        // The sound can be heard from the middle on.
        page.press(RIGHT).await;
        until_shown(page, "b.wav", "audio").await;
        page.until(&format!("{OPEN}.querySelector('audio').readyState > 0")).await;
        page.script(&format!("{OPEN}.querySelector('audio').currentTime = 0.5")).await;
        page.until(&format!("!{OPEN}.querySelector('audio').seeking && {OPEN}.querySelector('audio').currentTime >= 0.5"))
            .await;
        page.script("document.getElementById('view-next').click()").await;
        until_shown(page, "c.txt", "pre").await;
        assert!(page.text("dialog pre").await.contains("für alle"));
        page.script("document.getElementById('view-next').click()").await;
        until_shown(page, "d.md", ".view-prose strong").await;
        let shown = page.text("dialog .view-prose").await;
        assert!(shown.contains("<script>") && shown.contains("<img"), "{shown}");
        page.script("document.getElementById('view-next').click()").await;
        until_shown(page, "e.html", "pre").await;
        assert!(page.text("dialog pre").await.contains("<script>"));
        assert_eq!(page.script("return document.title").await, "e.html · DFS");
        page.script("document.getElementById('view-next').click()").await;
        until_shown(page, "f.bin", ".view-nothing").await;
        assert_eq!(page.script("return document.getElementById('view-next').hidden").await, true);
        // Escape leads back to the list, at once, whatever was looked at in between.
        page.press(ESCAPE).await;
        page.until(&format!("!{OPEN} && location.pathname === '/folder/trip'")).await;
        page.until("document.activeElement.closest('.entry')?.dataset.name === 'f.bin'").await;
        page.script("history.forward()").await;
        until_shown(page, "f.bin", ".view-nothing").await;
        // The address is that of a page of its own.
        page.script("location.reload()").await;
        page.until("document.body.classList.contains('viewing') && !document.getElementById('view-previous').hidden")
            .await;
        page.until("document.getElementById('status-figures').children.length > 0")
            .await;
        assert_eq!(page.text("#status-word").await, "Ready");
        page.script("document.getElementById('view-previous').click()").await;
        page.until("document.getElementById('file-view').dataset.name === 'e.html'").await;
        assert_ne!(page.script("return document.title").await, "harmed");
        // On a page of its own no style of an element would be taken.
        page.open(&cluster.url("/view/trip/d.md")).await;
        let side = "return getComputedStyle(document.querySelector('.view-prose td')).textAlign";
        assert_eq!(page.script(side).await, "right");
    })
    .await;
}

/// A node that is stopped shows within a moment, on a page that nobody touches.
#[tokio::test]
async fn the_cluster_is_watched_while_a_node_is_killed() {
    let mut cluster = Cluster::start().await;
    cluster.upload("/a.txt", b"words").await;
    let address = cluster.nodes()[1].address().to_string();
    let url = cluster.url("/cluster");
    let shows = |state: &str| {
        format!(
            "document.querySelector(\".node[data-address='{address}']\")?.dataset.state === '{state}'"
        )
    };
    browse(Screen::Desktop, async |page| {
        page.open(&url).await;
        page.until(&shows("live")).await;
        assert!(page.text("#cluster-state").await.contains("Nothing to do."));
        // The dot follows the same events: what it asks for by itself is not answered.
        page.until("document.getElementById('status-figures').children.length > 0")
            .await;
        page.script("window.fetch = () => new Promise(() => {})")
            .await;
        cluster.node(2).kill();
        page.until(&shows("suspect")).await;
        page.until("document.getElementById('status').dataset.colour === 'yellow'")
            .await;
        page.until(&shows("dead")).await;
        let state = page.text("#cluster-state").await;
        assert!(state.contains("does not answer"), "{state}");
        cluster.node(2).start().await;
        page.until(&shows("live")).await;
    })
    .await;
}

/// Both pages are complete without a script.
#[tokio::test]
async fn files_and_the_cluster_are_shown_without_a_script() {
    let cluster = Cluster::start().await;
    cluster.upload("/a.txt", b"words").await;
    browse(Screen::WithoutScript, async |page| {
        page.open(&cluster.url("/")).await;
        page.click(".entry[data-name='a.txt'] td.name a").await;
        assert!(page.text("#file-view").await.contains("words"));
        page.open(&cluster.url("/cluster")).await;
        assert!(page.text("#cluster").await.contains("Nothing to do."));
    })
    .await;
}

/// The second time a browser asks whether its copy is still good, and the answer to that once kept it from showing any document. Those
/// who listen hear the file's name as that of the frame.
#[tokio::test]
async fn a_document_is_shown_again_in_a_frame_with_its_name() {
    const EMPTY: &[u8] = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n\
        trailer<</Root 1 0 R>>\n%%EOF";
    let cluster = Cluster::start().await;
    cluster.upload("/trip/plan.pdf", EMPTY).await;
    browse(Screen::Desktop, async |page| {
        open_list(page, &cluster.url("/folder/trip")).await;
        page.click(".entry[data-name='plan.pdf'] td.name a").await;
        until_shown(page, "plan.pdf", "object").await;
        until_framed(page, "plan.pdf").await;
        page.open(&cluster.url("/view/trip/plan.pdf")).await;
        until_framed(page, "plan.pdf").await;
    })
    .await;
}

/// The browser's own viewer has the document, and its name for those who listen is this one.
async fn until_framed(page: &Page, name: &str) {
    page.until("document.querySelector('object').contentDocument")
        .await;
    let tree = page
        .devtools("Accessibility.getFullAXTree", json!({}))
        .await;
    let nodes = tree["nodes"].as_array().unwrap().iter();
    let mut frames = nodes.filter(|node| node["role"]["value"] == "PluginObject");
    assert_eq!(frames.next().unwrap()["name"]["value"], name);
}
