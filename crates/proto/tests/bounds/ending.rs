//! Places and ends: who makes room, who is waited for, and who still hears why.

use std::time::Duration;

use proto::net::Tcp;
use proto::server::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::support::{MIB, Peer, Server};

/// All places are taken: the connection that does nothing makes room, not the one whose body is on its way.
#[tokio::test(start_paused = true)]
async fn whoever_sends_a_body_is_not_idle() {
    let server = Server::start(Limits {
        connections_max: 2,
        ..Limits::default()
    })
    .await;
    let mut sender = server.peer().await;
    sender.begin_body(3000, 1000).await;
    sleep(Duration::from_secs(1)).await;
    let mut idle = server.peer().await;
    sleep(Duration::from_secs(1)).await;
    let mut third = server.peer().await;
    assert_eq!(idle.line().await, "", "the idle one makes room");
    sender.send(&[b'x'; 2000]).await;
    assert!(sender.line().await.contains("\"ok\""));
    assert!(third.ping().await.contains("\"ok\""));
}

/// Whoever has sent half a request is not waited for when the server stops.
#[tokio::test(start_paused = true)]
async fn half_a_request_does_not_hold_up_a_stop() {
    for half in ["body", "line", "hello"] {
        let server = Server::start(Limits::default()).await;
        let mut peer = match half {
            "hello" => Peer(server.network.connect(&server.address).await.unwrap()),
            _ => server.peer().await,
        };
        match half {
            "body" => peer.begin_body(1000, 10).await,
            _ => peer.send(b"{\"id\":1").await,
        }
        sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        server.stop.cancel();
        server.task.await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(10), "half a {half}");
    }
}

/// Somebody sends far more garbage than the server looks at, and listens only now and then, as `nc` does: the
/// connection is not reset in the middle, which would also take away the line that says why it ends.
#[tokio::test]
async fn who_sends_garbage_hears_why_it_is_refused() {
    let server = Server::start_on(Tcp::shared(), Limits::default()).await;
    for _ in 0..20 {
        let mut peer = Peer(server.network.connect(&server.address).await.unwrap());
        peer.send(&vec![b'x'; 20_000]).await;
        let mut heard = vec![peer.0.source.read_u8().await.unwrap()];
        for _ in 0..28 {
            peer.send(&vec![b'x'; 10_000]).await;
            tokio::task::yield_now().await;
        }
        peer.0.sink.shutdown().await.unwrap();
        peer.0.source.read_to_end(&mut heard).await.unwrap();
        let heard = String::from_utf8(heard).unwrap();
        assert!(heard.contains("\"error\""), "{heard}");
    }
}

/// Whoever goes on sending after that is heard for a moment only, and never keeps the server from stopping.
#[tokio::test(start_paused = true)]
async fn who_is_refused_is_not_heard_for_long() {
    let server = Server::start(Limits::default()).await;
    let mut peer = server.peer().await;
    peer.send(b"garbage\n").await;
    assert!(peer.line().await.contains("\"error\""));
    assert_eq!(peer.line().await, "", "nothing more comes");
    let begun = Instant::now();
    while peer.0.sink.write_all(b"more").await.is_ok() {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );

    let mut quick = server.peer().await;
    quick.send(b"garbage\n").await;
    assert!(quick.line().await.contains("\"error\""));
    let begun = Instant::now();
    let flood = vec![b'x'; 64 << 10];
    let mut sent = 0;
    while quick.0.sink.write_all(&flood).await.is_ok() {
        sent += flood.len();
    }
    assert!(sent < 5 * MIB, "{sent}");
    assert!(begun.elapsed() < Duration::from_secs(1));

    let mut last = server.peer().await;
    last.send(b"garbage\n").await;
    assert!(last.line().await.contains("\"error\""));
    let begun = Instant::now();
    server.stop.cancel();
    server.task.await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_millis(100),
        "{:?}",
        begun.elapsed()
    );
}

/// Whoever connects and says nothing hears that a hello was awaited.
#[tokio::test(start_paused = true)]
async fn who_says_nothing_hears_what_was_awaited() {
    let server = Server::start(Limits::default()).await;
    let mut silent = Peer(server.network.connect(&server.address).await.unwrap());
    let refused = silent.line().await;
    assert!(refused.contains("no hello within 10s"), "{refused}");
}

/// A place is not kept for those who are refused: as soon as somebody else wants it, it is free.
#[tokio::test(start_paused = true)]
async fn who_is_refused_makes_room() {
    let limits = Limits {
        connections_max: 1,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut refused = server.peer().await;
    refused.send(b"garbage\n").await;
    assert!(refused.line().await.contains("\"error\""));
    let begun = Instant::now();
    assert!(server.peer().await.ping().await.contains("\"ok\""));
    assert!(begun.elapsed() < Duration::from_millis(100));
}
