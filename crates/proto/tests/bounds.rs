//! What peers cannot do to a server however they try: take its memory, its places or the time that it needs to stop.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::WireError;
use proto::body::{Body, BodySource};
use proto::hello::Role;
use proto::memory::MemoryNetwork;
use proto::net::{Address, ByteSink, Network, Stream, Tcp};
use proto::server::{Identity, Limits, serve};
use proto::table::{Answer, Caller, OperationTable, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(5);
const MIB: usize = 1 << 20;

/// Answers `get N` with N bytes from memory, `read N` with N bytes that write themselves, and `wait N` after N seconds.
struct Echo;

struct Ask {
    op: String,
    number: usize,
    _body: Bytes,
}

impl OperationTable for Ask {
    fn parse(op: &str, _: &[u8], body: Bytes) -> Result<Self, WireError> {
        let (op, number) = op.split_once(' ').unwrap_or((op, "0"));
        Ok(Self {
            op: op.to_owned(),
            number: number.parse().unwrap(),
            _body: body,
        })
    }
}

/// Bytes that write themselves.
struct Source(usize);

impl BodySource for Source {
    fn len(&self) -> usize {
        self.0
    }

    fn write_to<'a>(
        self: Box<Self>,
        sink: &'a mut dyn ByteSink,
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>> {
        Box::pin(async move { sink.write_all(&vec![b'x'; self.0]).await })
    }
}

impl Service for Echo {
    type Request = Ask;

    async fn answer(&self, _: &Caller, ask: Ask) -> Result<Answer, WireError> {
        let number = ask.number;
        let body = match &*ask.op {
            "get" => Body::Bytes(vec![b'x'; number].into()),
            "read" => Body::Source(Box::new(Source(number))),
            "wait" => {
                sleep(Duration::from_secs(number as u64)).await;
                Body::Empty
            }
            _ => Body::Empty,
        };
        Ok(Answer {
            ok: b"{}".to_vec(),
            body,
        })
    }

    fn disconnected(&self, _: &Caller) {}
}

struct Server {
    network: Arc<dyn Network>,
    address: Address,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        Self::start_on(Arc::new(MemoryNetwork::new()), limits).await
    }

    async fn start_on(network: Arc<dyn Network>, limits: Limits) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = network.listen(&any).await.unwrap();
        let address = listener.address();
        let identity = Identity {
            role: Role::Node,
            cluster: watch::channel(None).1,
            node: None,
            secret: None,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(
            listener,
            Arc::new(Echo),
            identity,
            limits,
            stop.clone(),
        ));
        Self {
            network,
            address,
            stop,
            task,
        }
    }

    /// Somebody who said hello.
    async fn peer(&self) -> Peer {
        let stream = self.network.connect(&self.address).await.unwrap();
        let mut peer = Peer(stream);
        let hello = peer.ask("\"op\":\"hello\",\"protocol\":1").await;
        assert!(hello.contains("\"ok\""), "{hello}");
        peer
    }
}

struct Peer(Stream);

impl Peer {
    async fn send(&mut self, bytes: &[u8]) {
        self.0.sink.write_all(bytes).await.unwrap();
    }

    /// The next line that comes; what there is of one if the connection ends.
    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            match self.0.source.read_u8().await {
                Ok(byte) => line.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8(line).unwrap()
    }

    async fn ask(&mut self, fields: &str) -> String {
        self.send(format!("{{\"id\":1,{fields}}}\n").as_bytes())
            .await;
        self.line().await
    }

    async fn ping(&mut self) -> String {
        self.ask("\"op\":\"ping\"").await
    }

    /// Begins a body and sends only a part of it.
    async fn begin_body(&mut self, len: usize, part: usize) {
        let line = format!("{{\"id\":2,\"op\":\"put\",\"body_len\":{len}}}\n");
        self.send(line.as_bytes()).await;
        self.send(&vec![b'x'; part]).await;
    }

    /// Sends a body of which nothing was sent, at this rate: whether the server took it.
    async fn send_slowly(mut self, len: usize, bytes_per_second: usize) -> bool {
        let piece = vec![b'x'; bytes_per_second];
        for _ in 0..len / bytes_per_second {
            sleep(Duration::from_secs(1)).await;
            if self.0.sink.write_all(&piece).await.is_err() {
                return false;
            }
        }
        self.line().await.contains("\"ok\"")
    }

    /// Goes on with a body at this rate until the server has enough of it.
    async fn drip(mut self, bytes_per_second: usize) -> Duration {
        let begun = Instant::now();
        let piece = vec![b'x'; bytes_per_second];
        while self.0.sink.write_all(&piece).await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
        begun.elapsed()
    }
}

fn little_memory() -> Limits {
    Limits {
        request_memory_max: 2 * MIB,
        reply_memory_max: 2 * MIB,
        ..Limits::default()
    }
}

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

/// Others hold all memory for longer than anybody waits for it: small calls, as many as one connection may make at once,
/// are all answered.
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

/// Somebody sends far more garbage than the server looks at, and listens only now and then, as `nc` does: the connection
/// is not reset in the middle, which would also take away the line that says why it ends.
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
