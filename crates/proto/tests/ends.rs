//! The two ends of the protocol against each other, and the answering end against peers that break every rule.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::connection::{CallError, CallerIdentity, Channel, Connection, Peer};
use proto::hello::{ClusterSecret, PROTOCOL, Role};
use proto::id::{ChunkId, ClusterId, NodeId};
use proto::memory::MemoryNetwork;
use proto::net::{Address, Network};
use proto::node::{
    BucketListed, ChunkRead, ChunkReplicated, ChunkState, ChunkStored, ChunkVerified,
    ChunksDeleted, ChunksDescribed, DeleteChunks, DescribeChunks, DigestInventory, GetChunk,
    GetNodeStatus, InventoryDigest, ListBucket, NodeHandlers, NodeServer, NodeStatus, NodeUsage,
    PutChunk, ReplicateChunk, VerifyChunk,
};
use proto::pool::{Pool, PoolOptions};
use proto::server::{Identity, Limits, serve};
use proto::table::Caller;
use proto::{ErrorCode, WireError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(5);

/// A node that keeps nothing: puts are acknowledged, gets give the id's bytes many times over.
struct Echo {
    left: mpsc::UnboundedSender<u64>,
}

impl NodeHandlers for Echo {
    async fn put_chunk(&self, _: &Caller, request: PutChunk) -> Result<ChunkStored, WireError> {
        if ChunkId::of(&request.body) != request.chunk {
            return Err(WireError::new(ErrorCode::Corrupt, "wrong bytes"));
        }
        Ok(ChunkStored {
            stored: true,
            receipt: None,
        })
    }

    async fn get_chunk(&self, _: &Caller, request: GetChunk) -> Result<ChunkRead, WireError> {
        let body = Bytes::from(request.chunk.as_bytes().repeat(10_000));
        Ok(ChunkRead { body: body.into() })
    }

    async fn verify_chunk(&self, _: &Caller, _: VerifyChunk) -> Result<ChunkVerified, WireError> {
        std::future::pending::<()>().await;
        Ok(ChunkVerified {
            state: ChunkState::Good,
        })
    }

    async fn get_node_status(&self, _: &Caller, _: GetNodeStatus) -> Result<NodeStatus, WireError> {
        Ok(NodeStatus {
            node: NodeId::new(Uuid::from_u128(1)),
            registered: true,
            usage: NodeUsage::default(),
        })
    }

    async fn describe_chunks(
        &self,
        _: &Caller,
        _: DescribeChunks,
    ) -> Result<ChunksDescribed, WireError> {
        panic!("a defect");
    }

    async fn replicate_chunk(
        &self,
        _: &Caller,
        _: ReplicateChunk,
    ) -> Result<ChunkReplicated, WireError> {
        Err(unavailable())
    }

    async fn delete_chunks(&self, _: &Caller, _: DeleteChunks) -> Result<ChunksDeleted, WireError> {
        Err(unavailable())
    }

    async fn digest_inventory(
        &self,
        _: &Caller,
        _: DigestInventory,
    ) -> Result<InventoryDigest, WireError> {
        Err(unavailable())
    }

    async fn list_bucket(&self, _: &Caller, _: ListBucket) -> Result<BucketListed, WireError> {
        Err(unavailable())
    }

    fn disconnected(&self, caller: &Caller) {
        // The test may have ended already.
        self.left.send(caller.connection).ok();
    }
}

fn unavailable() -> WireError {
    WireError::new(ErrorCode::Unavailable, "not here")
}

struct Server {
    network: MemoryNetwork,
    address: Address,
    left: mpsc::UnboundedReceiver<u64>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(secret: Option<&str>, limits: Limits) -> Self {
        let network = MemoryNetwork::new();
        let listener = network
            .listen(&"127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let address = listener.address();
        let (sender, left) = mpsc::unbounded_channel();
        let identity = Identity {
            role: Role::Node,
            cluster: watch::channel(Some(cluster(1))).1,
            node: Some(node(1)),
            secret: secret.map(ClusterSecret::new),
        };
        let stop = CancellationToken::new();
        let service = Arc::new(NodeServer(Echo { left: sender }));
        let task = tokio::spawn(serve(listener, service, identity, limits, stop.clone()));
        Self {
            network,
            address,
            left,
            stop,
            task,
        }
    }

    async fn channel(&self, identity: &CallerIdentity) -> Result<Channel, CallError> {
        Channel::open(&self.network, &self.address, identity, SOON).await
    }

    async fn connection(&self) -> Connection {
        Connection::open(&self.network, &self.address, &somebody(), SOON)
            .await
            .unwrap()
    }

    fn pool(&self) -> Pool {
        Pool::new(
            Arc::new(self.network.clone()),
            somebody(),
            PoolOptions::default(),
        )
    }

    /// What the server answers to these bytes before it closes the connection.
    async fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.network.connect(&self.address).await.unwrap();
        let mut answer = String::new();
        let (written, read) = tokio::join!(
            stream.sink.write_all(bytes),
            stream.source.read_to_string(&mut answer)
        );
        // The server may close before it has read all.
        written.ok();
        read.unwrap();
        answer
    }
}

fn node(number: u128) -> NodeId {
    NodeId::new(Uuid::from_u128(number))
}

fn cluster(number: u128) -> ClusterId {
    ClusterId::new(Uuid::from_u128(number))
}

fn somebody() -> CallerIdentity {
    CallerIdentity {
        role: Role::Client,
        cluster: None,
        secret: None,
    }
}

fn put(bytes: &[u8]) -> PutChunk {
    PutChunk {
        chunk: ChunkId::of(bytes),
        promise: None,
        body: bytes.to_vec().into(),
    }
}

const HELLO: &str = "{\"id\":1,\"op\":\"hello\",\"protocol\":1}\n";

#[tokio::test]
async fn requests_and_replies_carry_their_bodies() {
    let server = Server::start(None, Limits::default()).await;
    let mut channel = server.channel(&somebody()).await.unwrap();
    assert_eq!(channel.cluster(), Some(cluster(1)));
    for len in [0, 1, 16 << 10, (16 << 10) + 1, 1 << 20, 3_000_000] {
        let bytes: Vec<u8> = (0..len).map(|i: u32| (i % 253).to_le_bytes()[0]).collect();
        assert!(channel.exchange(put(&bytes)).await.unwrap().stored, "{len}");
    }
    let chunk = ChunkId::of(b"x");
    let read = channel.exchange(GetChunk { chunk }).await.unwrap();
    assert_eq!(
        read.body.into_bytes().unwrap(),
        chunk.as_bytes().repeat(10_000)
    );
}

#[tokio::test]
async fn an_error_keeps_its_code_and_the_channel_goes_on() {
    let server = Server::start(None, Limits::default()).await;
    let mut channel = server.channel(&somebody()).await.unwrap();
    let mut wrong = put(b"right");
    wrong.body = Bytes::from_static(b"wrong");
    let error = channel.exchange(wrong).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Corrupt));
    let error = channel
        .exchange(DescribeChunks { chunks: vec![] })
        .await
        .unwrap_err();
    assert_eq!(
        error.code(),
        Some(ErrorCode::Internal),
        "a panic is an answer too"
    );
    assert!(channel.exchange(put(b"right")).await.unwrap().stored);
}

#[tokio::test]
async fn a_slow_request_does_not_hold_up_the_others() {
    let server = Server::start(None, Limits::default()).await;
    let connection = server.connection().await;
    let slow = connection.call(
        VerifyChunk {
            chunk: ChunkId::of(b""),
        },
        SOON,
    );
    let quick = connection.call(GetNodeStatus {}, SOON);
    tokio::select! {
        _ = slow => panic!("it never answers"),
        status = quick => assert!(status.unwrap().registered),
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_times_out_and_the_connection_goes_on() {
    let server = Server::start(None, Limits::default()).await;
    let connection = server.connection().await;
    let error = connection
        .call(
            VerifyChunk {
                chunk: ChunkId::of(b""),
            },
            SOON,
        )
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. }), "{error}");
    assert!(connection.call(GetNodeStatus {}, SOON).await.is_ok());
}

#[tokio::test]
async fn the_server_hears_that_a_caller_is_gone() {
    let mut server = Server::start(None, Limits::default()).await;
    drop(server.connection().await);
    assert_eq!(server.left.recv().await, Some(1));
}

#[tokio::test]
async fn a_pool_uses_its_connections_again_and_replaces_dead_ones() {
    let mut server = Server::start(None, Limits::default()).await;
    let pool = server.pool();
    for _ in 0..3 {
        pool.transfer(&server.address, put(b"x"), SOON)
            .await
            .unwrap();
        pool.call(&server.address, GetNodeStatus {}, SOON)
            .await
            .unwrap();
    }
    server.stop.cancel();
    server.task.await.unwrap();
    for connection in 1..=2 {
        assert_eq!(
            server.left.recv().await.map(|n| n.clamp(1, 2) == n),
            Some(true),
            "{connection}"
        );
    }
    let listener = server.network.listen(&server.address).await.unwrap();
    let identity = Identity {
        role: Role::Node,
        cluster: watch::channel(None).1,
        node: Some(node(2)),
        secret: None,
    };
    let (left, _) = mpsc::unbounded_channel();
    let service = Arc::new(NodeServer(Echo { left }));
    tokio::spawn(serve(
        listener,
        service,
        identity,
        Limits::default(),
        CancellationToken::new(),
    ));
    pool.transfer(&server.address, put(b"x"), SOON)
        .await
        .unwrap();
    pool.call(&server.address, GetNodeStatus {}, SOON)
        .await
        .unwrap();
    // Whoever means a node gets that one only, also where a connection to its address is kept.
    for (expected, code) in [(node(2), None), (node(1), Some(ErrorCode::WrongNode))] {
        let peer = Peer::node(expected, &server.address);
        let called = pool.call(peer, GetNodeStatus {}, SOON).await;
        let moved = pool.transfer(peer, put(b"x"), SOON).await;
        assert_eq!(called.err().and_then(|error| error.code()), code);
        assert_eq!(moved.err().and_then(|error| error.code()), code);
    }
}

#[tokio::test]
async fn a_server_of_another_cluster_refuses() {
    let server = Server::start(None, Limits::default()).await;
    let identity = CallerIdentity {
        cluster: Some(cluster(2)),
        ..somebody()
    };
    let error = server.channel(&identity).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::WrongCluster));
}

#[tokio::test]
async fn only_who_knows_the_secret_is_answered() {
    let server = Server::start(Some("open sesame"), Limits::default()).await;
    let knows = |secret: &str| CallerIdentity {
        secret: Some(ClusterSecret::new(secret)),
        ..somebody()
    };
    let mut channel = server.channel(&knows("open sesame")).await.unwrap();
    assert!(channel.exchange(GetNodeStatus {}).await.is_ok());
    for identity in [somebody(), knows("open barley")] {
        let error = server.channel(&identity).await.unwrap_err();
        assert_eq!(
            error.code(),
            Some(ErrorCode::Unauthenticated),
            "{identity:?}"
        );
    }
    let skipped = "{\"id\":1,\"op\":\"hello\",\"protocol\":1,\"nonce\":\"00000000000000000000000000000000\"}\n\
                   {\"id\":2,\"op\":\"get_node_status\"}\n";
    assert!(
        server
            .say(skipped.as_bytes())
            .await
            .contains("unauthenticated")
    );
}

/// Somebody recorded all that one who knows the secret said, and says it again.
#[tokio::test]
async fn a_proof_that_is_said_again_proves_nothing() {
    let server = Server::start(Some("open sesame"), Limits::default()).await;
    let listener = server
        .network
        .listen(&"127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let between = listener.address();
    let record = async {
        let mut near = listener.accept().await.unwrap();
        let mut server_side = server.network.connect(&server.address).await.unwrap();
        let mut said = Vec::new();
        let ask = async {
            let mut bytes = [0; 4096];
            loop {
                let len = near.source.read(&mut bytes).await.unwrap();
                if len == 0 {
                    return;
                }
                said.extend_from_slice(&bytes[..len]);
                server_side.sink.write_all(&bytes[..len]).await.unwrap();
            }
        };
        let answer = tokio::io::copy(&mut server_side.source, &mut near.sink);
        tokio::select! {
            () = ask => {}
            _ = answer => panic!("the server hung up"),
        }
        said
    };
    let speak = async {
        let knows = CallerIdentity {
            secret: Some(ClusterSecret::new("open sesame")),
            ..somebody()
        };
        let channel = Channel::open(&server.network, &between, &knows, SOON).await;
        let answered = channel.unwrap().exchange(GetNodeStatus {}).await;
        answered.unwrap();
    };
    let (said, ()) = tokio::join!(record, speak);
    let answer = server.say(&said).await;
    assert!(answer.contains("unauthenticated"), "{answer}");
    assert!(!answer.contains("registered"), "{answer}");
}

#[tokio::test]
async fn what_breaks_the_protocol_gets_one_error_and_is_closed() {
    let server = Server::start(None, Limits::default()).await;
    let hello = |rest: &str| format!("{HELLO}{rest}");
    let long_line = hello(&"a".repeat(2 << 20));
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n", "bad_message"),
        ("\n", "bad_message"),
        ("{\"id\":1,\"op\":\"get_node_status\"}\n", "hello_required"),
        (
            "{\"id\":1,\"op\":\"hello\",\"protocol\":0}\n",
            "version 0 of the protocol is too old",
        ),
        (
            "{\"id\":1,\"op\":\"hello\",\"protocol\":99}\n",
            "version 99 of the protocol is too new",
        ),
        ("{\"id\":1,\"op\":\"hello\"}\n", "missing field `protocol`"),
        (&hello("not json\n"), "bad_message"),
        (
            &hello("{\"id\":2,\"op\":\"get_chunk\",\"body_len\":99999999999}\n"),
            "too_large",
        ),
        (&long_line, "too_large"),
    ];
    for (bytes, expected) in cases {
        let answer = server.say(bytes.as_bytes()).await;
        assert!(answer.contains(expected), "{expected}: {answer}");
    }
    let garbage: Vec<u8> = (0..100_000_u32)
        .map(|i| (i * 31).to_le_bytes()[0])
        .collect();
    assert!(server.say(&garbage).await.contains("bad_message"));
    assert!(
        server.channel(&somebody()).await.is_ok(),
        "others are unharmed"
    );
}

/// So that a cluster can be upgraded one process after another.
#[tokio::test(start_paused = true)]
async fn a_caller_of_the_next_version_is_answered_with_the_servers() {
    let server = Server::start(None, Limits::default()).await;
    let hello = format!(
        "{{\"id\":1,\"op\":\"hello\",\"protocol\":{}}}\n",
        PROTOCOL + 1
    );
    let answer = server.say(hello.as_bytes()).await;
    assert!(
        answer.contains(&format!("\"protocol\":{PROTOCOL},")),
        "{answer}"
    );
}

#[tokio::test]
async fn what_is_only_wrong_is_answered_and_the_connection_goes_on() {
    let server = Server::start(None, Limits::default()).await;
    let mut stream = server.network.connect(&server.address).await.unwrap();
    let lines = format!(
        "{HELLO}{}{}{}{}",
        "{\"id\":2,\"op\":\"make_coffee\"}\n",
        "{\"id\":3,\"op\":\"get_chunk\",\"chunk\":\"zz\"}\n",
        "{\"id\":4,\"op\":\"get_node_status\",\"body_len\":3}\nabc",
        "{\"id\":5,\"op\":\"ping\"}\n"
    );
    stream.sink.write_all(lines.as_bytes()).await.unwrap();
    let mut answers = String::new();
    while answers.matches('\n').count() < 5 {
        let mut piece = [0; 4096];
        let len = stream.source.read(&mut piece).await.unwrap();
        assert_ne!(len, 0, "closed after {answers}");
        answers.push_str(std::str::from_utf8(&piece[..len]).unwrap());
    }
    let answer = |id: u32| {
        answers
            .lines()
            .find(|line| line.contains(&format!("\"id\":{id},")))
            .unwrap()
    };
    assert!(answer(2).contains("unknown_operation") && answer(2).contains("make_coffee"));
    assert!(answer(3).contains("bad_message") && answer(3).contains("64 lower-case hex digits"));
    assert!(answer(4).contains("bad_message") && answer(4).contains("takes no body"));
    assert!(answer(5).contains("\"ok\":{}"));
}

#[tokio::test(start_paused = true)]
async fn silent_peers_are_closed_in_time() {
    let server = Server::start(None, Limits::default()).await;
    let answer = server.say(b"").await;
    assert!(
        answer.is_empty() || answer.contains("timed_out"),
        "{answer}"
    );
    let mut half = server.network.connect(&server.address).await.unwrap();
    half.sink
        .write_all(b"{\"id\":1,\"op\":\"hel")
        .await
        .unwrap();
    let mut rest = String::new();
    half.source.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("timed_out"), "{rest}");
    let idle = server.connection().await;
    tokio::time::timeout(Duration::from_secs(120), idle.closed())
        .await
        .unwrap();
}

#[tokio::test]
async fn idle_connections_cannot_keep_others_out() {
    let limits = Limits {
        connections_max: 10,
        ..Limits::default()
    };
    let server = Server::start(None, limits).await;
    let mut idlers = Vec::new();
    for _ in 0..100 {
        idlers.push(server.network.connect(&server.address).await.unwrap());
        let mut channel = server.channel(&somebody()).await.unwrap();
        assert!(channel.exchange(GetNodeStatus {}).await.is_ok());
    }
}

#[tokio::test]
async fn a_server_that_stops_finishes_what_it_answers() {
    let server = Server::start(
        None,
        Limits {
            drain_timeout: Duration::from_millis(10),
            ..Limits::default()
        },
    )
    .await;
    let connection = server.connection().await;
    server.stop.cancel();
    server.task.await.unwrap();
    connection.closed().await;
    let error = connection.call(GetNodeStatus {}, SOON).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }));
}
