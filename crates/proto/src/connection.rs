//! The calling end: [`Channel`], one exchange at a time, and [`Connection`], many at once.
//!
//! A channel writes a request and reads its reply in the caller's own task: what chunk transfers use. A
//! connection is shared by many callers: a task of its own reads the replies and hands each to the caller that
//! waits for its number. Both begin with the same hello.
//!
//! **Invariant:** a message that was begun and not finished (an error, a cancelled caller) closes the connection: nobody
//! ever reads or writes in the middle of another's message.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::body::Body;
use crate::error::{ErrorCode, WireError};
use crate::frame::{FrameError, FrameLimits, FrameReader, FrameWriter, ReplyHead, request_line};
use crate::hello::{
    Authenticate, ClusterSecret, Hello, HelloReply, Nonce, PROTOCOL, PROTOCOL_MIN, Prover, Role,
    same_mac,
};
use crate::id::ClusterId;
use crate::net::{Address, Network, connect};
use crate::table::{Message, Operation};

/// Why a call has no reply.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server answered, with an error.
    #[error(transparent)]
    Refused(#[from] WireError),
    /// The server could not be reached, or the connection broke before it answered.
    #[error("{address}: {source}")]
    Unreachable {
        /// Who.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// It did not answer in time.
    #[error("{address}: no answer to {operation} within {after:?}")]
    TimedOut {
        /// Who.
        address: Address,
        /// What was asked.
        operation: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// It answered something that is not a reply.
    #[error("{address}: the answer to {operation} is not one: {reason}")]
    BadReply {
        /// Who.
        address: Address,
        /// What was asked.
        operation: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl CallError {
    /// The code with which the server refused, if it did.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(error) => Some(error.code),
            _ => None,
        }
    }
}

/// What the calling end says of itself.
#[derive(Debug, Clone)]
pub struct CallerIdentity {
    /// What it is.
    pub role: Role,
    /// The cluster that it belongs to, if it does: a server of another one refuses it.
    pub cluster: Option<ClusterId>,
    /// The cluster's secret, if it has one.
    pub secret: Option<ClusterSecret>,
}

/// A request as it is sent: made once, so that it can be sent again.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    operation: &'static str,
    fields: Bytes,
    body: Bytes,
}

impl Outgoing {
    pub(crate) fn new<O: Operation>(mut request: O) -> Self {
        let body = request.take_body().into_bytes();
        let fields =
            serde_json::to_vec(&request).expect("requests are plain structs of JSON values");
        Self {
            operation: O::NAME,
            fields: fields.into(),
            body: body.expect("a request's body is in memory"),
        }
    }

    pub(crate) fn operation(&self) -> &'static str {
        self.operation
    }

    async fn write(&self, id: u64, writer: &mut FrameWriter) -> io::Result<()> {
        let line = request_line(id, self.operation, &self.fields, self.body.len());
        let body = match self.body.len() {
            0 => Body::Empty,
            _ => Body::Bytes(self.body.clone()),
        };
        writer.write(line, body).await
    }
}

/// A reply as it came: its line, and the body that followed.
#[derive(Debug)]
struct Incoming {
    line: Bytes,
    body: Bytes,
}

impl Incoming {
    /// Reads the next reply, with its number; nothing at the connection's end.
    async fn read(reader: &mut FrameReader) -> Result<Option<(Option<u64>, Self)>, FrameError> {
        let Some(line) = reader.line().await? else {
            return Ok(None);
        };
        let head: ReplyHead<'_> = serde_json::from_slice(&line).map_err(FrameError::NotAMessage)?;
        let (id, body_len) = (head.id, reader.check_body_len(head.body_len)?);
        let body = match body_len {
            0 => Bytes::new(),
            len => reader.body(len).await?,
        };
        Ok(Some((id, Self { line, body })))
    }

    fn into_reply<M: Message>(
        self,
        operation: &'static str,
        address: &Address,
    ) -> Result<M, CallError> {
        let bad_reply = |reason: String| CallError::BadReply {
            address: address.clone(),
            operation,
            reason,
        };
        let head: ReplyHead<'_> =
            serde_json::from_slice(&self.line).map_err(|error| bad_reply(error.to_string()))?;
        if let Some(error) = head.error {
            return Err(error.into());
        }
        let ok = head
            .ok
            .ok_or_else(|| bad_reply("it has neither ok nor error".into()))?;
        let mut reply: M =
            serde_json::from_str(ok.get()).map_err(|error| bad_reply(error.to_string()))?;
        reply
            .put_body(self.body)
            .map_err(|error| bad_reply(error.message))?;
        Ok(reply)
    }
}

/// One exchange at a time, in the caller's own task.
#[derive(Debug)]
pub struct Channel {
    address: Address,
    reader: FrameReader,
    writer: FrameWriter,
    next_id: u64,
    cluster: Option<ClusterId>,
}

impl Channel {
    /// Connects and says hello, all within the time.
    pub async fn open(
        network: &dyn Network,
        address: &Address,
        identity: &CallerIdentity,
        connect_timeout: Duration,
    ) -> Result<Self, CallError> {
        let opening = async {
            let stream = connect(network, address, connect_timeout)
                .await
                .map_err(|source| unreachable(address, source))?;
            let mut channel = Self {
                address: address.clone(),
                reader: FrameReader::new(stream.source, FrameLimits::default()),
                writer: FrameWriter::new(stream.sink),
                next_id: 1,
                cluster: None,
            };
            channel.reader.expect_more();
            channel.greet(identity).await?;
            Ok(channel)
        };
        match timeout(connect_timeout, opening).await {
            Ok(result) => result,
            Err(_) => Err(CallError::TimedOut {
                address: address.clone(),
                operation: Hello::NAME,
                after: connect_timeout,
            }),
        }
    }

    /// One request and its reply. After an error other than [`CallError::Refused`], and when cancelled, the
    /// channel is of no more use.
    pub async fn exchange<O: Operation>(&mut self, request: O) -> Result<O::Reply, CallError> {
        self.exchange_outgoing::<O>(&Outgoing::new(request)).await
    }

    pub(crate) async fn exchange_outgoing<O: Operation>(
        &mut self,
        request: &Outgoing,
    ) -> Result<O::Reply, CallError> {
        let id = self.next_id;
        self.next_id += 1;
        // A server that refuses a body answers before it has read it: its answer counts, not the broken write.
        let written = request.write(id, &mut self.writer).await;
        let answered = match Incoming::read(&mut self.reader).await {
            Ok(Some((answered, incoming))) if answered.is_none_or(|answered| answered == id) => {
                incoming
            }
            Ok(Some((answered, _))) => {
                return Err(
                    self.bad_reply(O::NAME, format!("it is for request {answered:?}, not {id}"))
                );
            }
            Ok(None) => {
                let ended = || {
                    io::Error::new(
                        io::ErrorKind::ConnectionAborted,
                        "the connection was closed",
                    )
                };
                return Err(unreachable(
                    &self.address,
                    written.err().unwrap_or_else(ended),
                ));
            }
            Err(FrameError::Io(error)) => return Err(unreachable(&self.address, error)),
            Err(error) => return Err(self.bad_reply(O::NAME, error.to_string())),
        };
        answered.into_reply(O::NAME, &self.address)
    }

    /// The cluster that the server belongs to, as it said.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    async fn greet(&mut self, identity: &CallerIdentity) -> Result<(), CallError> {
        let nonce = new_nonce().map_err(|source| unreachable(&self.address, source))?;
        let reply = self
            .exchange(Hello {
                protocol: PROTOCOL,
                role: identity.role,
                cluster: identity.cluster,
                nonce: identity.secret.as_ref().map(|_| nonce),
            })
            .await?;
        if !(PROTOCOL_MIN..=PROTOCOL).contains(&reply.protocol) {
            let reason = format!("it speaks version {} of the protocol", reply.protocol);
            return Err(self.bad_reply(Hello::NAME, reason));
        }
        self.cluster = reply.cluster;
        self.authenticate(identity, nonce, &reply).await
    }

    async fn authenticate(
        &mut self,
        identity: &CallerIdentity,
        nonce: Nonce,
        reply: &HelloReply,
    ) -> Result<(), CallError> {
        let (secret, challenge) = match (&identity.secret, &reply.challenge) {
            (None, None) => return Ok(()),
            (Some(secret), Some(challenge)) => (secret, challenge),
            (Some(_), None) => {
                let reason = "a secret is set here, but the server has none".to_owned();
                return Err(self.bad_reply(Hello::NAME, reason));
            }
            (None, Some(_)) => {
                return Err(CallError::Refused(WireError::new(
                    ErrorCode::Unauthenticated,
                    "the cluster has a secret; set cluster.secret here too",
                )));
            }
        };
        let expected = secret.proof(Prover::Server, nonce, challenge.nonce);
        if !same_mac(&expected, &challenge.proof) {
            return Err(CallError::Refused(WireError::new(
                ErrorCode::Unauthenticated,
                format!("{} does not know the cluster's secret", self.address),
            )));
        }
        let proof = secret.proof(Prover::Caller, nonce, challenge.nonce);
        self.exchange(Authenticate { proof }).await.map(drop)
    }

    fn bad_reply(&self, operation: &'static str, reason: String) -> CallError {
        CallError::BadReply {
            address: self.address.clone(),
            operation,
            reason,
        }
    }
}

/// Many calls at once on one connection. Clones share it; it is closed when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    writer: Arc<tokio::sync::Mutex<FrameWriter>>,
    cluster: Option<ClusterId>,
    _close: Arc<DropGuard>,
}

#[derive(Debug)]
struct Shared {
    address: Address,
    next_id: AtomicU64,
    /// Who waits for which number. Nothing once the connection is closed.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Incoming>>>>,
    closed: CancellationToken,
}

impl Connection {
    /// Connects and says hello, all within the time.
    pub async fn open(
        network: &dyn Network,
        address: &Address,
        identity: &CallerIdentity,
        connect_timeout: Duration,
    ) -> Result<Self, CallError> {
        let channel = Channel::open(network, address, identity, connect_timeout).await?;
        let closed = CancellationToken::new();
        let shared = Arc::new(Shared {
            address: channel.address,
            next_id: AtomicU64::new(channel.next_id),
            waiting: Mutex::new(Some(HashMap::new())),
            closed: closed.clone(),
        });
        tokio::spawn(route_replies(channel.reader, shared.clone()));
        Ok(Self {
            shared,
            writer: Arc::new(tokio::sync::Mutex::new(channel.writer)),
            cluster: channel.cluster,
            _close: Arc::new(closed.drop_guard()),
        })
    }

    /// One request and its reply, among others. May be cancelled.
    pub async fn call<O: Operation>(
        &self,
        request: O,
        call_timeout: Duration,
    ) -> Result<O::Reply, CallError> {
        self.call_outgoing::<O>(&Outgoing::new(request), call_timeout)
            .await
    }

    pub(crate) async fn call_outgoing<O: Operation>(
        &self,
        request: &Outgoing,
        call_timeout: Duration,
    ) -> Result<O::Reply, CallError> {
        let address = &self.shared.address;
        let answered = async {
            let waiting = Waiting::new(&self.shared)?;
            self.write(waiting.id, request).await?;
            waiting.reply().await
        };
        match timeout(call_timeout, answered).await {
            Ok(Ok(incoming)) => incoming.into_reply(O::NAME, address),
            Ok(Err(source)) => Err(unreachable(address, source)),
            Err(_) => Err(CallError::TimedOut {
                address: address.clone(),
                operation: O::NAME,
                after: call_timeout,
            }),
        }
    }

    /// Whether no more calls can be made.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.is_cancelled()
    }

    /// Waits until no more calls can be made.
    pub async fn closed(&self) {
        self.shared.closed.cancelled().await;
    }

    /// The cluster that the server belongs to, as it said.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    async fn write(&self, id: u64, request: &Outgoing) -> io::Result<()> {
        let mut writer = self.writer.lock().await;
        // Until it is written whole, dropping this closes the connection.
        let unfinished = self.shared.closed.clone().drop_guard();
        request.write(id, &mut writer).await?;
        unfinished.disarm();
        Ok(())
    }
}

/// A number that a reply is awaited for; forgotten when dropped.
struct Waiting<'a> {
    id: u64,
    shared: &'a Shared,
    reply: Option<oneshot::Receiver<Incoming>>,
}

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> io::Result<Self> {
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, reply) = oneshot::channel();
        let mut waiting = shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waiting.as_mut().ok_or_else(was_closed)?.insert(id, sender);
        Ok(Self {
            id,
            shared,
            reply: Some(reply),
        })
    }

    async fn reply(mut self) -> io::Result<Incoming> {
        let reply = self.reply.take().expect("taken here only");
        reply.await.map_err(|_| was_closed())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self
            .shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = waiting.as_mut() {
            waiting.remove(&self.id);
        }
    }
}

/// Hands each reply to who waits for it, until the connection ends or is no longer wanted.
async fn route_replies(mut reader: FrameReader, shared: Arc<Shared>) {
    let routed = async {
        while let Ok(Some((Some(id), incoming))) = Incoming::read(&mut reader).await {
            let mut waiting = shared
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(sender) = waiting.as_mut().and_then(|waiting| waiting.remove(&id)) {
                // Nobody waits any more if the caller gave up in this very moment.
                drop(sender.send(incoming));
            }
        }
    };
    tokio::select! {
        () = routed => {}
        () = shared.closed.cancelled() => {}
    }
    shared.closed.cancel();
    shared
        .waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
}

fn new_nonce() -> io::Result<Nonce> {
    let mut bytes = [0; Nonce::LEN];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Nonce::from_bytes(bytes))
}

fn unreachable(address: &Address, source: io::Error) -> CallError {
    CallError::Unreachable {
        address: address.clone(),
        source,
    }
}

fn was_closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "the connection was closed",
    )
}
