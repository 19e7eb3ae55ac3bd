//! Connections as peers make them: slow ones, silent ones, ones that break off, too many of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use web::memory::{Faults, MemoryDrive};
use web::{AppState, Hosts, Limits, TransferLimits, app, serve};

/// Soon for a machine.
const SOON: Duration = Duration::from_millis(200);

struct Server {
    address: SocketAddr,
    drive: MemoryDrive,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let drive = MemoryDrive::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let transfers = TransferLimits {
            patience: limits.patience,
            ..TransferLimits::default()
        };
        let hosts = Hosts::new(&address.into(), &[]);
        let state = AppState::new(Arc::new(drive.clone()), hosts, transfers);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(serve(listener, app(state), limits, shutdown.clone()));
        Self {
            address,
            drive,
            shutdown,
            running,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// All that comes back until the server closes.
    async fn ask(&self, request: &str) -> String {
        let mut peer = self.connect().await;
        peer.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut peer).await
    }

    async fn get(&self, path: &str) -> String {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        self.ask(&request).await
    }

    fn keep(&self, path: &str, len: usize) {
        let bytes = Bytes::from(vec![b'x'; len]);
        self.drive.put(&path.parse().unwrap(), bytes, 0);
    }
}

async fn read_to_end(peer: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset is an end, too.
    let _ended = peer.read_to_end(&mut all).await;
    String::from_utf8_lossy(&all).into_owned()
}

async fn read_until(peer: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut byte = [0];
        peer.read_exact(&mut byte).await.unwrap();
        text.push(char::from(byte[0]));
    }
    text
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let server = Server::start(Limits::default()).await;
    let mut peer = server.connect().await;
    let head = "PUT /api/v1/files/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\
                Expect: 100-continue\r\nConnection: close\r\n\r\n";
    peer.write_all(head.as_bytes()).await.unwrap();
    let told = read_until(&mut peer, "\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 100 "), "{told}");
    peer.write_all(b"hello").await.unwrap();
    let answer = read_to_end(&mut peer).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(server.get("/api/v1/files/a").await.ends_with("hello"));
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let server = Server::start(Limits::default()).await;
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut peer = server.connect().await;
        let begin = format!(
            "PUT /api/v1/files/a HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n5\r\nhello\r\n"
        );
        peer.write_all(begin.as_bytes()).await.unwrap();
        peer.shutdown().await.unwrap();
        read_to_end(&mut peer).await;
        let answer = server.get("/api/v1/files/a").await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
}

#[tokio::test]
async fn a_download_that_breaks_off_is_seen_to() {
    let server = Server::start(Limits::default()).await;
    server.keep("/a", 1 << 20);
    server.drive.set_faults(Faults {
        reads_fail_after: Some(300_000),
        ..Faults::default()
    });
    let answer = server.get("/api/v1/files/a").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: 1048576"), "{head}");
    assert!(body.len() <= 300_000, "{} bytes", body.len());
}

/// Closed at once, the connection would take the answer with it.
#[tokio::test]
async fn who_is_still_sending_gets_the_refusal() {
    let server = Server::start(Limits::default()).await;
    server.keep("/a", 1);
    let mut peer = server.connect().await;
    let len = 32 << 20;
    let head = format!(
        "PUT /api/v1/files/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\nIf-None-Match: *\r\n\r\n"
    );
    peer.write_all(head.as_bytes()).await.unwrap();
    peer.write_all(&vec![0; len]).await.unwrap();
    peer.shutdown().await.unwrap();
    let answer = read_to_end(&mut peer).await;
    assert!(answer.starts_with("HTTP/1.1 412 "), "{answer}");
}

#[tokio::test]
async fn silent_and_slow_peers_are_dropped_and_others_served() {
    let server = Server::start(Limits {
        header_timeout: SOON,
        patience: SOON,
        ..Limits::default()
    })
    .await;
    let len = 64 << 20;
    server.keep("/large", len);
    let mut silent = server.connect().await;
    let mut dripping = server.connect().await;
    dripping.write_all(b"GET / HT").await.unwrap();
    let mut sending = server.connect().await;
    let head =
        "PUT /api/v1/files/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhello";
    sending.write_all(head.as_bytes()).await.unwrap();
    let mut deaf = server.connect().await;
    let head = "GET /api/v1/files/large HTTP/1.1\r\nHost: localhost\r\n\r\n";
    deaf.write_all(head.as_bytes()).await.unwrap();

    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
    assert_eq!(read_to_end(&mut silent).await, "");
    read_to_end(&mut dripping).await;
    let refused = read_to_end(&mut sending).await;
    assert!(refused.starts_with("HTTP/1.1 408 "), "{refused}");
    assert!(
        server
            .get("/api/v1/files/a")
            .await
            .starts_with("HTTP/1.1 404 ")
    );
    // Long enough for the server to give the deaf one up: otherwise it would get all of it now.
    tokio::time::sleep(SOON * 5).await;
    let received = read_to_end(&mut deaf).await.len();
    assert!(received < len, "{received} bytes");
}

/// So many connections that do nothing kept people out of the page, again and again.
#[tokio::test]
async fn over_the_cap_whoever_is_idle_longest_makes_room() {
    let server = Server::start(Limits {
        connections_max: 2,
        ..Limits::default()
    })
    .await;
    let mut idle = Vec::new();
    for begin in [
        "",
        "GET / HT",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let mut peer = server.connect().await;
        peer.write_all(begin.as_bytes()).await.unwrap();
        idle.push(peer);
    }
    for _ in 0..3 {
        assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
    }
    for mut peer in idle.drain(..2) {
        read_to_end(&mut peer).await;
    }
}

#[tokio::test]
async fn over_the_cap_nobody_who_is_served_is_cut_off() {
    let server = Server::start(Limits {
        connections_max: 2,
        ..Limits::default()
    })
    .await;
    let len = 64 << 20;
    server.keep("/large", len);
    let mut held = Vec::new();
    for (request, begin) in [
        (
            "PUT /api/v1/files/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\
             Expect: 100-continue\r\nConnection: close\r\n\r\n",
            "100 Continue\r\n\r\n",
        ),
        (
            "GET /api/v1/files/large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            "\r\n\r\n",
        ),
    ] {
        let mut peer = server.connect().await;
        peer.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut peer, begin).await;
        held.push(peer);
    }
    let refused = server.ask("").await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("\"code\":\"busy\""), "{refused}");
    let [sending, reading] = &mut held[..] else {
        unreachable!("there are two")
    };
    sending.write_all(b"hello").await.unwrap();
    let stored = read_to_end(sending).await;
    assert!(stored.starts_with("HTTP/1.1 201 "), "{stored}");
    assert_eq!(read_to_end(reading).await.len(), len);
    // The places are free as soon as the server has seen the ends.
    while !server.get("/healthz").await.starts_with("HTTP/1.1 200 ") {}
}

#[tokio::test]
async fn garbage_is_refused() {
    let server = Server::start(Limits::default()).await;
    let long_head = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\n\r\n",
        &long_head,
    ] {
        let answer = server.ask(garbage).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn on_shutdown_transfers_finish_and_no_more_begin() {
    let server = Server::start(Limits::default()).await;
    let mut peer = server.connect().await;
    let head = "PUT /api/v1/files/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\
                Expect: 100-continue\r\n\r\n";
    peer.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut peer, "\r\n\r\n").await;
    let idle = server.connect().await;
    server.shutdown.cancel();
    peer.write_all(b"hello").await.unwrap();
    let answer = read_to_end(&mut peer).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    server.running.await.unwrap();
    drop(idle);
    assert!(TcpStream::connect(server.address).await.is_err());
}
