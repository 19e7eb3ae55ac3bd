//! Uploads by the tus protocol, through whatever happens to the processes between two requests.

use reqwest::{Client, RequestBuilder, Response, StatusCode};

use crate::support::{Cluster, Screen, browse, content, download};

const METADATA: &str = "path L2Evcy5iaW4="; // /a/s.bin

fn tus(request: RequestBuilder) -> RequestBuilder {
    request.header("tus-resumable", "1.0.0")
}

async fn patch(url: &str, offset: usize, bytes: &[u8]) -> Response {
    tus(Client::new().patch(url))
        .header("content-type", "application/offset+octet-stream")
        .header("upload-offset", offset)
        .body(bytes.to_vec())
        .send()
        .await
        .unwrap()
}

/// How far the upload is, as any web process says.
async fn offset(url: &str) -> usize {
    let head = tus(Client::new().head(url)).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    let offset = &head.headers()["upload-offset"];
    offset.to_str().unwrap().parse().unwrap()
}

/// The web process, the master and a node are killed in the middle of an upload, and at last all of them at once: it goes on behind the
/// last whole chunk each time, and the file is what was sent.
#[tokio::test]
async fn an_upload_goes_on_after_the_death_of_each_process_and_of_all() {
    let mut cluster = Cluster::start().await;
    let bytes = content(1, 6 * (1 << 20) + 5000);
    let created = tus(Client::new().post(cluster.url("/api/v1/uploads")))
        .header("upload-length", bytes.len())
        .header("upload-metadata", METADATA)
        .send()
        .await
        .unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    let place = created.headers()["location"].to_str().unwrap().to_owned();
    let mut at = 0;
    for round in 0..4 {
        let url = cluster.url(&place);
        let end = at + (1 << 20) + 700;
        let patched = patch(&url, at, &bytes[at..end]).await;
        assert_eq!(patched.status(), StatusCode::NO_CONTENT, "round {round}");
        match round {
            0 => {
                cluster.web().kill();
                cluster.web().restart().await;
            }
            1 => {
                cluster.master().kill();
                cluster.master().restart().await;
            }
            2 => cluster.node(1).kill(),
            _ => {
                cluster.kill_all();
                cluster.restart_all().await;
            }
        }
        cluster
            .until("uploads work", |status| status.uploads_possible)
            .await;
        let url = cluster.url(&place);
        at = offset(&url).await;
        let whole_chunks = end - end % (1 << 20);
        assert!((whole_chunks..=end).contains(&at), "{at} in round {round}");
    }
    let url = cluster.url(&place);
    let last = patch(&url, at, &bytes[at..]).await;
    assert_eq!(last.status(), StatusCode::NO_CONTENT);
    assert_eq!(offset(&url).await, bytes.len());
    let stored = download(&cluster.client(), "/a/s.bin").await;
    assert!(stored.unwrap() == bytes);
}

/// The stock client of tus, as it comes, without a line of the page's own: it opens an upload, is stopped in the middle, finds the upload
/// again and ends it.
#[tokio::test]
async fn the_stock_client_opens_an_upload_and_goes_on_with_it() {
    let cluster = Cluster::start().await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.script(
            "const bytes = new Uint8Array(1000000).map((_, place) => place % 251); \
             window.file = new File([bytes], 'stock.bin', { lastModified: 7 }); \
             window.options = { \
               endpoint: '/api/v1/uploads', chunkSize: 300000, retryDelays: [], \
               metadata: { path: '/stock.bin' }, \
               onError: ({ message }) => { window.outcome = message; }, \
               onSuccess: () => { window.outcome = 'stored'; }, \
             }; \
             return import('/static/vendor/tus.min.js').then(() => new Promise((resolve) => { \
               const upload = new tus.Upload(window.file, { \
                 ...window.options, \
                 onChunkComplete: () => upload.abort().then(resolve), \
               }); \
               upload.start(); \
             }))",
        )
        .await;
        assert!(page.script("return window.outcome ?? null").await.is_null());
        let before = page
            .script(
                "const upload = new tus.Upload(window.file, window.options); \
                 return upload.findPreviousUploads().then(([before]) => { \
                   upload.resumeFromPreviousUpload(before); \
                   upload.start(); \
                   return before.uploadUrl; \
                 })",
            )
            .await;
        page.until("window.outcome").await;
        assert_eq!(page.script("return window.outcome").await, "stored");
        let upload = cluster.url(before.as_str().unwrap());
        assert_eq!(offset(&upload).await, 1_000_000);
    })
    .await;
    let expected: Vec<_> = (0..=250).cycle().take(1_000_000).collect();
    assert!(download(&cluster.client(), "/stock.bin").await.unwrap() == expected);
}
