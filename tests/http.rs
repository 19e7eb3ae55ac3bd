//! The HTTP API as scripts and browsers use it.

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Cluster, content, download};

fn header<'a>(response: &'a reqwest::Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// A file goes in and comes out by HTTP, in whole and in part, and its validators hold.
#[tokio::test]
async fn a_file_goes_in_and_comes_out() {
    let cluster = Cluster::start().await;
    let http = Client::new();
    let url = cluster.url("/api/v1/files/photos/caf%C3%A9%20%231.jpg");
    let bytes = content(1, 300_000);
    let put = http.put(&url).body(bytes.clone()).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::CREATED);
    let put: Value = put.json().await.unwrap();
    assert_eq!((&put["size"], &put["copies"]), (&300_000.into(), &3.into()));
    let get = http.get(&url).send().await.unwrap();
    assert_eq!(get.status(), StatusCode::OK);
    assert_eq!(header(&get, "content-type"), "image/jpeg");
    assert_eq!(header(&get, "content-length"), "300000");
    assert!(header(&get, "content-disposition").contains("filename*=UTF-8''caf%C3%A9%20#1.jpg"));
    let etag = header(&get, "etag").to_owned();
    assert!(get.bytes().await.unwrap() == bytes);
    let part = http
        .get(&url)
        .header("range", "bytes=65530-65545")
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(header(&part, "content-range"), "bytes 65530-65545/300000");
    assert!(part.bytes().await.unwrap() == bytes[65530..=65545]);
    let beyond = http
        .get(&url)
        .header("range", "bytes=300000-")
        .send()
        .await
        .unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let same = http
        .get(&url)
        .header("if-none-match", &etag)
        .send()
        .await
        .unwrap();
    assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
    let stale = http
        .put(&url)
        .header("if-none-match", "*")
        .body("x")
        .send()
        .await
        .unwrap();
    assert_eq!(stale.status(), StatusCode::PRECONDITION_FAILED);
    let fresh = http
        .put(&url)
        .header("if-match", &etag)
        .body("new")
        .send()
        .await
        .unwrap();
    assert_eq!(fresh.status(), StatusCode::OK);
    let again = http
        .put(&url)
        .header("if-match", &etag)
        .body("newer")
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), StatusCode::PRECONDITION_FAILED);
    let delete = http.delete(&url).send().await.unwrap();
    assert!(delete.status().is_success());
    let gone = http.get(&url).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    assert_eq!(header(&gone, "content-type"), "application/problem+json");
}

/// Names come back exactly as they were given, and none of them reaches a disk or a header as more than data.
#[tokio::test]
async fn hostile_names_are_data_or_refused() {
    let cluster = Cluster::start().await;
    let http = Client::new();
    let kept = [
        "CON",
        "trailing%20",
        "%22quote%22",
        "%F0%9F%92%BE",
        "%E2%80%AEgpj.exe",
        "cafe%CC%81",
        "caf%C3%A9",
        "%3Cb%3E",
        "a%5Cb",
    ];
    for name in kept {
        let url = cluster.url(&format!("/api/v1/files/names/{name}"));
        let put = http.put(&url).body(name).send().await.unwrap();
        assert_eq!(put.status(), StatusCode::CREATED, "{name}");
        let get = http.get(&url).send().await.unwrap();
        assert_eq!(
            get.headers().get_all("content-disposition").iter().count(),
            1,
            "{name}"
        );
        assert_eq!(get.text().await.unwrap(), name);
    }
    let refused = [
        "..%2f..%2fetc%2fpasswd",
        "a%00b",
        "a%0d%0aSet-Cookie:x",
        "%ff%fe",
        "names%2f%2e%2e",
    ];
    for name in refused {
        let put = http
            .put(cluster.url(&format!("/api/v1/files/{name}")))
            .body("x")
            .send()
            .await
            .unwrap();
        assert_eq!(put.status(), StatusCode::BAD_REQUEST, "{name}");
    }
    let page: Value = http
        .get(cluster.url("/api/v1/folders/names"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(page["entries"].as_array().unwrap().len(), kept.len());
}

/// Other sites cannot act for the user, and files are not shown as pages of ours.
#[tokio::test]
async fn other_sites_and_hosts_are_refused() {
    let cluster = Cluster::start().await;
    let http = Client::new();
    let url = cluster.url("/api/v1/files/evil.html");
    let cross = http
        .put(&url)
        .header("sec-fetch-site", "cross-site")
        .body("x")
        .send()
        .await
        .unwrap();
    assert_eq!(cross.status(), StatusCode::FORBIDDEN);
    let rebound = http
        .get(cluster.url("/"))
        .header("host", "evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(rebound.status(), StatusCode::MISDIRECTED_REQUEST);
    http.put(&url)
        .body("<script>alert(1)</script>")
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    let get = http.get(&url).send().await.unwrap();
    assert_eq!(header(&get, "x-content-type-options"), "nosniff");
    assert!(header(&get, "content-security-policy").contains("sandbox"));
    assert!(header(&get, "content-disposition").starts_with("attachment"));
}

/// A script sees whether uploads would succeed, and why not.
#[tokio::test]
async fn readiness_names_its_reasons() {
    let mut cluster = Cluster::start().await;
    let get = async |path: &str| reqwest::get(cluster.url(path)).await.unwrap();
    assert_eq!(get("/healthz").await.status(), StatusCode::OK);
    assert_eq!(get("/readyz").await.status(), StatusCode::OK);
    assert_eq!(get("/").await.status(), StatusCode::OK);
    let document: Value = get("/api/v1/openapi.json").await.json().await.unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    for node in 1..=3 {
        cluster.node(node).kill();
    }
    cluster
        .until("uploads are not possible", |status| {
            !status.uploads_possible
        })
        .await;
    crate::support::until("readyz says so", || async {
        let answer = reqwest::get(cluster.url("/readyz")).await.unwrap();
        answer.status() == StatusCode::SERVICE_UNAVAILABLE
            && answer.text().await.unwrap().contains("too_few_nodes")
    })
    .await;
    cluster.master().kill();
    let answer = reqwest::get(cluster.url("/readyz")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        reqwest::get(cluster.url("/healthz"))
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );
}

/// The web process is killed in the middle of an upload and of a download: of the one nothing is there, and the other does not look whole.
#[tokio::test]
async fn what_the_death_of_the_web_process_cuts_off_does_not_look_whole() {
    let mut cluster = Cluster::start().await;
    let bytes = content(1, 32 << 20);
    cluster.upload("/a", &bytes).await;
    let mut get = Client::new()
        .get(cluster.url("/api/v1/files/a"))
        .send()
        .await
        .unwrap();
    let mut read = get.chunk().await.unwrap().expect("it begins").len();

    let host = cluster.web.address();
    let mut put = TcpStream::connect(host.as_str()).await.unwrap();
    let head = format!(
        "PUT /api/v1/files/b HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    put.write_all(head.as_bytes()).await.unwrap();
    put.write_all(&bytes[..8 << 20]).await.unwrap();
    cluster.web().kill();
    let ended = loop {
        match get.chunk().await {
            Ok(Some(part)) => read += part.len(),
            ended => break ended,
        }
    };
    assert!(ended.is_err(), "it ended well after {read} bytes");
    assert!(read < bytes.len());

    cluster.web().start().await;
    let gone = Client::new().head(cluster.url("/api/v1/files/b"));
    assert_eq!(gone.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert!(download(&cluster.client(), "/a").await.unwrap() == bytes);
}
