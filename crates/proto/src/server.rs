//! The answering end: accepts connections, says hello, and hands each request to the [`Service`].
//!
//! Requests of one connection run side by side, each in a task, and are answered as they are done. Everything has a
//! bound: connections, requests a connection, memory for requests and replies, and the time that a line, a body or a
//! reply may take. A peer that breaks a rule of the protocol gets one error that says which, and its connection is
//! closed.
//!
//! **Invariant:** whoever does nothing cannot keep others out. When there are too many connections, the one that has
//! been idle longest makes room; connections of nodes and of the master are spared.

mod connection;
pub mod gate;
mod memory;
pub mod seldom;

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::Body;
use crate::error::{ErrorCode, WireError};
use crate::frame::{FrameLimits, FrameWriter, LINE_LEN_MAX, Pace, error_line};
use crate::hello::{Authenticate, ClusterSecret, Hello, Ping, Pong, Role};
use crate::id::{ClusterId, NodeId};
use crate::net::{Address, Listener, Stream, is_out_of_descriptors};
use crate::table::{Answer, Caller, Operation, OperationTable, Service};
use connection::{ConnectionTask, Request};
use gate::Gate;
use memory::Memory;
use seldom::Seldom;

/// How long nobody is accepted after a failure to.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What a server says of itself.
#[derive(Debug, Clone)]
pub struct Identity {
    /// What it is.
    pub role: Role,
    /// The cluster that it belongs to: a node may learn it later.
    pub cluster: watch::Receiver<Option<ClusterId>>,
    /// Which node it is, if it is one: callers who mean another are refused.
    pub node: Option<NodeId>,
    /// The cluster's secret, if it has one.
    pub secret: Option<ClusterSecret>,
}

/// How much a server takes, and how long it waits.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes in a line.
    pub line_len_max: usize,
    /// Bytes in a body.
    pub body_len_max: usize,
    /// Connections at once.
    pub connections_max: usize,
    /// Requests of one connection at once; further ones are not read yet.
    pub requests_per_connection_max: usize,
    /// Bytes of all requests that are being received or handled, beyond 32 KiB for each connection and an eighth more
    /// for what is not larger than that.
    pub request_memory_max: usize,
    /// Bytes of all replies that are being sent from memory, beyond the same.
    pub reply_memory_max: usize,
    /// The hello, and any line that was begun, must be here within this time.
    pub line_timeout: Duration,
    /// A connection without a request for this long is closed.
    pub idle_timeout: Duration,
    /// A body or a reply must move at this many bytes a second, after `line_timeout`.
    pub bytes_per_second_min: u64,
    /// When the server stops, requests that are being answered get this long.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_len_max: LINE_LEN_MAX,
            body_len_max: FrameLimits::default().body_len_max,
            connections_max: 4096,
            requests_per_connection_max: 64,
            request_memory_max: 64 << 20,
            reply_memory_max: 64 << 20,
            line_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            bytes_per_second_min: 10 << 10,
            drain_timeout: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// How fast a body must come that begins now.
    fn pace(&self) -> Pace {
        Pace {
            start: Instant::now() + self.line_timeout,
            bytes_per_second_min: self.bytes_per_second_min,
        }
    }

    /// Whoever takes longer than this may have to give way. It is less than others wait, so that they get something.
    fn slow_after(&self) -> Duration {
        self.line_timeout / 2
    }

    fn transfer_timeout(&self, len: usize) -> Duration {
        self.line_timeout + Duration::from_secs(len as u64 / self.bytes_per_second_min.max(1))
    }
}

/// Refuses to be reached from other machines by anybody who happens to be there.
///
/// # Errors
/// A sentence for a person, if the address is not loopback and there is no secret.
pub fn check_exposure(address: &Address, secret: Option<&ClusterSecret>) -> Result<(), String> {
    if address.is_loopback() || secret.is_some() {
        return Ok(());
    }
    Err(format!(
        "{address} can be reached from other machines, but the cluster has no secret; \
         set cluster.secret (the same on all machines), or listen on 127.0.0.1"
    ))
}

/// Answers on this listener until `shutdown`, then lets requests that run come to their end.
pub async fn serve<S: Service>(
    listener: Box<dyn Listener>,
    service: Arc<S>,
    identity: Identity,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let drain_timeout = limits.drain_timeout;
    let server = Arc::new(Server {
        service,
        identity,
        gate: Arc::new(Gate::new(limits.connections_max)),
        request_memory: Memory::new(limits.request_memory_max),
        reply_memory: Memory::new(limits.reply_memory_max),
        limits,
        shutdown: shutdown.clone(),
    });
    let connections = TaskTracker::new();
    let mut warnings = Seldom::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok(stream) => {
                connections.spawn(server.clone().admit(stream));
            }
            Err(error) => server.recover_from(&error, &mut warnings).await,
        }
    }
    drop(listener);
    connections.close();
    if timeout(drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "stopped although requests were still being answered"
        );
    }
}

struct Server<S> {
    service: Arc<S>,
    identity: Identity,
    limits: Limits,
    gate: Arc<Gate>,
    request_memory: Memory,
    reply_memory: Memory,
    shutdown: CancellationToken,
}

impl<S: Service> Server<S> {
    /// Where no file descriptor is left, the longest idle connection gives one back. A connection that was given up
    /// before it was accepted is nothing to wait for.
    async fn recover_from(&self, error: &io::Error, warnings: &mut Seldom) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset) {
            return tracing::debug!(%error, "a connection ended before it was accepted");
        }
        if warnings.is_due() {
            tracing::warn!(%error, "could not accept a connection; trying again");
        }
        if is_out_of_descriptors(error) {
            self.gate.evict_one();
        }
        sleep(ACCEPT_PAUSE).await;
    }

    async fn admit(self: Arc<Self>, stream: Stream) {
        let peer = stream.peer;
        match self.gate.admit() {
            Some(admission) => {
                let stop = admission.evicted().clone();
                let connection = ConnectionTask::new(self, stream, admission);
                tokio::select! {
                    () = connection.run() => {}
                    () = stop.cancelled() => tracing::debug!(%peer, "closed to make room"),
                }
            }
            None => self.refuse(stream).await,
        }
    }

    async fn refuse(&self, stream: Stream) {
        let error = WireError::new(ErrorCode::Busy, "too many connections; try again soon");
        let mut writer = FrameWriter::new(stream.sink);
        let refusal = writer.write(error_line(None, &error), Body::Empty);
        // It is closed either way: whether the peer reads why is up to it.
        drop(timeout(Duration::from_millis(100), refusal).await);
    }
}

impl<S: Service> Server<S> {
    async fn answer(&self, caller: &Caller, request: Request) -> Result<Answer, WireError> {
        match request.op.as_str() {
            Ping::NAME => return Answer::new(Pong {}),
            Hello::NAME | Authenticate::NAME => {
                let message = "hello was already said on this connection";
                return Err(WireError::new(ErrorCode::BadMessage, message));
            }
            _ => {}
        }
        let parsed = S::Request::parse(&request.op, &request.line, request.body)?;
        let answered = AssertUnwindSafe(self.service.answer(caller, parsed)).catch_unwind();
        answered.await.unwrap_or_else(|_| {
            tracing::error!(op = request.op, peer = %caller.peer, "a request was not answered: defect in the server");
            let message = "a defect in the server; its log says more";
            Err(WireError::new(ErrorCode::Internal, message))
        })
    }
}
