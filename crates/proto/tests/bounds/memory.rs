//! Lines, bodies and replies: no more memory than there is, and some for everybody.

use std::time::Duration;

use proto::server::Limits;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{MIB, Peer, SOON, Server, little_memory};

/// Lines without an end take the memory for lines: small calls of others pass, long ones wait until the lines that
/// never end are dropped.
#[tokio::test(start_paused = true)]
async fn long_lines_take_no_more_than_there_is() {
    let server = Server::start(little_memory()).await;
    let mut greedy = Vec::new();
    for _ in 0..20 {
        let mut peer = server.peer().await;
        peer.send(&vec![b' '; 40_000]).await;
        greedy.push(peer);
    }
    let mut other = server.peer().await;
    let begun = Instant::now();
    assert!(other.ping().await.contains("\"ok\""));
    assert!(begun.elapsed() < Duration::from_secs(1));
    let refused = greedy.pop().unwrap().line().await;
    assert!(
        refused.contains("\"busy\""),
        "only two have memory: {refused}"
    );
    drop(greedy);
    let padding = " ".repeat(500_000);
    let long = other.ask(&format!("\"op\":\"ping\"{padding}")).await;
    assert!(long.contains("\"ok\""), "{long}");
}

/// Strangers announce large bodies, and send long lines, in the place of a hello: they are refused before any memory is
/// set aside, and those who are known go on.
#[tokio::test(start_paused = true)]
async fn strangers_get_no_memory() {
    let server = Server::start(little_memory()).await;
    let mut known = server.peer().await;
    let hello = format!("{{\"id\":1,\"op\":\"hello\",\"protocol\":1,\"body_len\":{MIB}}}\n");
    let long = " ".repeat(20_000);
    let mut strangers = Vec::new();
    for greeting in [&hello, &hello, &long, &long] {
        let mut stranger = Peer(server.network.connect(&server.address).await.unwrap());
        stranger.send(greeting.as_bytes()).await;
        strangers.push(stranger);
    }
    sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    known.begin_body(2 * MIB - 10_000, 2 * MIB - 10_000).await;
    assert!(known.line().await.contains("\"ok\""));
    assert!(begun.elapsed() < Duration::from_millis(10));
    for mut stranger in strangers {
        let refused = stranger.line().await;
        assert!(refused.contains("\"too_large\""), "{refused}");
    }
}

/// Somebody sends a body as slowly as is allowed, and that takes all memory: it may go on while nobody needs it, and
/// not when others wait.
#[tokio::test(start_paused = true)]
async fn a_slow_body_gives_way_when_others_wait() {
    let server = Server::start(little_memory()).await;
    let mut slow = server.peer().await;
    slow.begin_body(2 * MIB, 0).await;
    let slow = tokio::spawn(slow.drip(11 << 10));
    sleep(Duration::from_secs(100)).await;
    assert!(!slow.is_finished(), "nobody needs the memory");
    let mut other = server.peer().await;
    other.begin_body(MIB, MIB).await;
    let begun = Instant::now();
    assert!(other.line().await.contains("\"ok\""));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(timeout(SOON, slow).await.is_ok());
}

/// As many as there is memory for send their bodies slowly, but well above the least rate, when one more comes: it goes
/// through, and so do all the others but the one that began first.
#[tokio::test(start_paused = true)]
async fn one_gives_way_to_one() {
    let server = Server::start(Limits::default()).await;
    let mut senders = Vec::new();
    for _ in 0..63 {
        let mut sender = server.peer().await;
        sender.begin_body(MIB, 0).await;
        senders.push(tokio::spawn(sender.send_slowly(MIB, 64 << 10)));
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_secs(11)).await;
    let mut other = server.peer().await;
    let begun = Instant::now();
    other.begin_body(MIB, MIB).await;
    assert!(other.line().await.contains("\"ok\""));
    assert!(begun.elapsed() < Duration::from_secs(2));
    let mut stored = Vec::new();
    for sender in senders {
        stored.push(sender.await.unwrap());
    }
    assert!(!stored[0], "the first gave way");
    assert_eq!(stored.iter().filter(|stored| **stored).count(), 62);
}

/// All memory was just taken by those who are slow: whoever comes now gets some before there is no more waiting.
#[tokio::test(start_paused = true)]
async fn newcomers_outlast_the_slow() {
    let server = Server::start(little_memory()).await;
    let mut slow = server.peer().await;
    slow.begin_body(2 * MIB, 0).await;
    let slow = tokio::spawn(slow.drip(11 << 10));
    sleep(Duration::from_millis(1)).await;
    let mut other = server.peer().await;
    other.begin_body(MIB, MIB).await;
    let answer = other.line().await;
    assert!(answer.contains("\"ok\""), "{answer}");
    assert!(timeout(SOON, slow).await.is_ok());
}

/// Others hold all memory for longer than anybody waits for it: small calls, as many as one connection may make at
/// once, are all answered.
#[tokio::test(start_paused = true)]
async fn small_calls_wait_for_their_own_at_most() {
    let server = Server::start(little_memory()).await;
    let mut greedy = server.peer().await;
    let line = format!(
        "{{\"id\":2,\"op\":\"wait 600\",\"body_len\":{}}}\n",
        2 * MIB
    );
    greedy.send(line.as_bytes()).await;
    greedy.send(&vec![b'x'; 2 * MIB]).await;
    let mut other = server.peer().await;
    for id in 1..=64 {
        let line = format!("{{\"id\":{id},\"op\":\"wait 5\"}}\n");
        other.send(line.as_bytes()).await;
    }
    for number in 1..=64 {
        let answer = other.line().await;
        assert!(answer.contains("\"ok\""), "{number}: {answer}");
    }
}

/// Others hold all memory, and as many calls of one connection as fit into its own share take long: further small calls
/// of it, and of all who are in the same case, are answered meanwhile.
#[tokio::test(start_paused = true)]
async fn small_calls_do_not_wait_for_slow_ones() {
    let server = Server::start(little_memory()).await;
    let mut greedy = server.peer().await;
    let line = format!(
        "{{\"id\":2,\"op\":\"wait 600\",\"body_len\":{}}}\n",
        2 * MIB
    );
    greedy.send(line.as_bytes()).await;
    greedy.send(&vec![b'x'; 2 * MIB]).await;
    let begun = Instant::now();
    let mut others = Vec::new();
    for _ in 0..10 {
        let mut other = server.peer().await;
        for id in 10..20 {
            let line = format!("{{\"id\":{id},\"op\":\"wait 600\"}}\n");
            other.send(line.as_bytes()).await;
        }
        assert!(other.ping().await.contains("\"id\":1,"));
        others.push(other);
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
}

/// More are read at once than there is memory for: what is not in memory yet waits for its turn.
#[tokio::test(start_paused = true)]
async fn bodies_that_can_wait_do() {
    let server = Server::start(little_memory()).await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        let mut reader = server.peer().await;
        let request = format!("{{\"id\":1,\"op\":\"read {MIB}\"}}\n");
        reader.send(request.as_bytes()).await;
        readers.push(reader);
    }
    sleep(Duration::from_secs(1)).await;
    for mut reader in readers {
        let answer = reader.line().await;
        assert!(answer.contains("\"body_len\":1048576"), "{answer}");
        reader.0.source.read_exact(&mut vec![0; MIB]).await.unwrap();
    }
}

/// Nobody holds memory for a line while it waits for more.
#[tokio::test(start_paused = true)]
async fn a_long_line_has_no_body() {
    let server = Server::start(Limits::default()).await;
    let mut peer = server.peer().await;
    let padding = " ".repeat(20_000);
    let fields = format!("\"op\":\"put\",\"body_len\":1{padding}");
    let refused = peer.ask(&fields).await;
    assert!(refused.contains("\"too_large\""), "{refused}");
    assert!(refused.contains("\"id\":1"), "{refused}");
}

/// A body that hardly moves is dropped at once, not when all of it should have come.
#[tokio::test(start_paused = true)]
async fn a_body_that_hardly_moves_is_dropped() {
    let server = Server::start(Limits::default()).await;
    let mut slow = server.peer().await;
    slow.begin_body(16 * MIB, 1000).await;
    let lasted = slow.drip(100).await;
    assert!(lasted < Duration::from_secs(15), "{lasted:?}");
}

/// Replies that nobody reads take the memory for replies, and no more; small calls of others pass.
#[tokio::test(start_paused = true)]
async fn unread_replies_take_no_more_than_there_is() {
    let server = Server::start(little_memory()).await;
    let mut greedy = Vec::new();
    for _ in 0..8 {
        let mut peer = server.peer().await;
        for _ in 0..20 {
            peer.send(b"{\"id\":1,\"op\":\"get 500000\"}\n").await;
        }
        greedy.push(peer);
    }
    let mut other = server.peer().await;
    assert!(other.ping().await.contains("\"ok\""));
    let refused = other.ask("\"op\":\"get 500000\"").await;
    assert!(refused.contains("\"busy\""), "{refused}");
    assert!(
        other.ping().await.contains("\"ok\""),
        "the connection goes on"
    );
    // Whoever does not read gives way as soon as others ask.
    sleep(Duration::from_secs(11)).await;
    other.ask("\"op\":\"get 500000\"").await;
    let read = other.ask("\"op\":\"get 500000\"").await;
    assert!(read.contains("\"body_len\":500000"), "{read}");
}
