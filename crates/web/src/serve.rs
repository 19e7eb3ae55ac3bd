//! The accept loop and each connection's life: who is let in, for how long, and how it ends.
//!
//! - At the cap the connection that is idle longest makes room for a newcomer; if none is idle, the newcomer gets one
//!   polite answer. Idle is who has no request that is being answered, and takes what is sent.
//! - Running out of file descriptors only makes the loop wait: it never ends but on shutdown.
//! - A peer that is still sending when its answer is there (a refused upload) is let finish for a moment, since a
//!   connection closed on it would take the answer away with it.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::Request;
use axum::http::request::Parts;
use bytes::Bytes;
use futures::TryFutureExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use proto::net::Address;
use proto::server::gate::{Admission, Gate, Work};
use proto::server::seldom::Seldom;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pace::PacedWrites;

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; further ones take the place of idle ones, or are told to come back.
    pub connections_max: usize,
    /// How long a request's head may take, and how long a connection may be idle between requests.
    pub header_timeout: Duration,
    /// How long a peer may take no byte of an answer.
    pub patience: Duration,
    /// How long a peer may go on sending when its answer is there.
    pub linger: Duration,
    /// How long transfers may go on when the server stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            header_timeout: Duration::from_secs(10),
            patience: Duration::from_secs(60),
            linger: Duration::from_secs(5),
            grace: Duration::from_secs(10),
        }
    }
}

/// Who is connected, as routes find it among a request's extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Whoever calls the routes without a connection is at no address.
impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get().copied();
        Ok(peer.unwrap_or(Self(Ipv4Addr::UNSPECIFIED.into())))
    }
}

/// Longest head of a request: a path of the longest, every byte escaped, has room twice.
const HEADER_LEN_MAX: usize = 32 * 1024;
/// Connections that the system keeps for us until we accept them.
const BACKLOG: u32 = 1024;
/// How long the loop waits when it cannot accept.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\n\
    Content-Type: application/problem+json\r\nContent-Length: 149\r\n\r\n\
    {\"type\":\"urn:dfs:problem:busy\",\"title\":\"Too many requests at once\",\"status\":503,\
    \"detail\":\"too many connections; try again in a moment\",\"code\":\"busy\"}";

/// Listens there; port 0 takes any free port. Many may wait to be accepted, which the usual call does not allow.
pub async fn listen(address: &Address) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host(address.as_str()).await? {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Windows would let two processes listen on one port with it; elsewhere a restart would have to wait without it.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `shutdown`, then lets transfers finish for a while, and returns.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let gate = Arc::new(Gate::new(limits.connections_max));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let mut warnings = Seldom::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => match gate.admit() {
                Some(admission) => {
                    let connection = Connection {
                        app: app.clone(),
                        peer,
                        limits,
                        shutdown: shutdown.clone(),
                        admission: Arc::new(admission),
                    };
                    let cut = cut.clone();
                    connections.spawn(async move {
                        cut.run_until_cancelled(connection.run(stream)).await;
                    });
                }
                None => turn_away(&stream),
            },
            Err(error) => back_off(&error, &mut warnings, &gate, &shutdown).await,
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.grace, connections.wait())
        .await
        .is_err()
    {
        tracing::info!("transfers that still went on were cut off");
    }
    cut.cancel();
    connections.wait().await;
}

/// As much as fits in the system's buffer, which all of it does.
fn turn_away(stream: &TcpStream) {
    if let Err(error) = stream.try_write(BUSY) {
        tracing::debug!(%error, "turn a connection away");
    }
}

/// Most often the process has no file descriptor left: the connection that is idle longest gives one back.
async fn back_off(
    error: &io::Error,
    warnings: &mut Seldom,
    gate: &Gate,
    shutdown: &CancellationToken,
) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        return;
    }
    if warnings.is_due() {
        tracing::warn!(%error, "cannot accept connections for the moment: {error}");
    }
    gate.evict_one();
    shutdown
        .run_until_cancelled(tokio::time::sleep(ACCEPT_BACK_OFF))
        .await;
}

struct Connection {
    app: Router,
    peer: SocketAddr,
    limits: Limits,
    shutdown: CancellationToken,
    admission: Arc<Admission>,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        tokio::select! {
            ended = self.serve(stream) => if let Err(error) = ended {
                tracing::debug!(%error, "connection ended: {error}");
            },
            () = self.admission.evicted().cancelled() => tracing::debug!("connection closed to make room"),
        }
    }

    async fn serve(
        &self,
        stream: TcpStream,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let admission = Arc::clone(&self.admission);
        let io = TokioIo::new(PacedWrites::new(stream, self.limits.patience, admission));
        let app = TowerToHyperService::new(self.app.clone());
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(self.peer.ip()));
            let work = Admission::work(&self.admission);
            let answer = app.call(request);
            answer.map_ok(|answer| answer.map(|body| AnswerBody { body, _work: work }))
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_header_size(HEADER_LEN_MAX)
            .serve_connection(io, service);
        let mut stopping = pin!(self.shutdown.cancelled());
        let mut told = false;
        std::future::poll_fn(|context| {
            if !told && stopping.as_mut().poll(context).is_ready() {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            connection.poll_without_shutdown(context)
        })
        .await?;
        let mut io = connection.into_parts().io.into_inner();
        io.shutdown().await?;
        tokio::select! {
            () = drain(&mut io) => {}
            () = tokio::time::sleep(self.limits.linger) => {}
            () = self.shutdown.cancelled() => {}
        }
        Ok(())
    }
}

/// The body of an answer, whose connection is not idle as long as it comes.
struct AnswerBody {
    body: Body,
    _work: Work,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads to the end and forgets it.
async fn drain(io: &mut (impl AsyncReadExt + Unpin)) {
    let mut ignored = vec![0; 16 * 1024];
    while matches!(io.read(&mut ignored).await, Ok(1..)) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polite_answer_says_its_length() {
        let text = std::str::from_utf8(BUSY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{}",
            body.len()
        );
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
