//! A server that echoes, and peers who do to it what they like.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::WireError;
use proto::body::{Body, BodySource};
use proto::hello::Role;
use proto::memory::MemoryNetwork;
use proto::net::{Address, ByteSink, Network, Stream};
use proto::server::{Identity, Limits, serve};
use proto::table::{Answer, Caller, OperationTable, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub(crate) const SOON: Duration = Duration::from_secs(5);
pub(crate) const MIB: usize = 1 << 20;

/// Answers `get N` with N bytes from memory, `read N` with N bytes that write themselves, and `wait N` after N seconds.
pub(crate) struct Echo;

pub(crate) struct Ask {
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
pub(crate) struct Source(usize);

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

pub(crate) struct Server {
    pub(crate) network: Arc<dyn Network>,
    pub(crate) address: Address,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::start_on(Arc::new(MemoryNetwork::new()), limits).await
    }

    pub(crate) async fn start_on(network: Arc<dyn Network>, limits: Limits) -> Self {
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
    pub(crate) async fn peer(&self) -> Peer {
        let stream = self.network.connect(&self.address).await.unwrap();
        let mut peer = Peer(stream);
        let hello = peer.ask("\"op\":\"hello\",\"protocol\":1").await;
        assert!(hello.contains("\"ok\""), "{hello}");
        peer
    }
}

pub(crate) struct Peer(pub(crate) Stream);

impl Peer {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.sink.write_all(bytes).await.unwrap();
    }

    /// The next line that comes; what there is of one if the connection ends.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            match self.0.source.read_u8().await {
                Ok(byte) => line.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8(line).unwrap()
    }

    pub(crate) async fn ask(&mut self, fields: &str) -> String {
        self.send(format!("{{\"id\":1,{fields}}}\n").as_bytes())
            .await;
        self.line().await
    }

    pub(crate) async fn ping(&mut self) -> String {
        self.ask("\"op\":\"ping\"").await
    }

    /// Begins a body and sends only a part of it.
    pub(crate) async fn begin_body(&mut self, len: usize, part: usize) {
        let line = format!("{{\"id\":2,\"op\":\"put\",\"body_len\":{len}}}\n");
        self.send(line.as_bytes()).await;
        self.send(&vec![b'x'; part]).await;
    }

    /// Sends a body of which nothing was sent, at this rate: whether the server took it.
    pub(crate) async fn send_slowly(mut self, len: usize, bytes_per_second: usize) -> bool {
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
    pub(crate) async fn drip(mut self, bytes_per_second: usize) -> Duration {
        let begun = Instant::now();
        let piece = vec![b'x'; bytes_per_second];
        while self.0.sink.write_all(&piece).await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
        begun.elapsed()
    }
}

pub(crate) fn little_memory() -> Limits {
    Limits {
        request_memory_max: 2 * MIB,
        reply_memory_max: 2 * MIB,
        ..Limits::default()
    }
}
