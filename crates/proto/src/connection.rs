//! The calling end: [`Channel`], one exchange at a time, and [`Connection`], many at once.
//!
//! A channel writes a request and reads its reply in the caller's own task: what chunk transfers use. A
//! connection is shared by many callers: a task of its own reads the replies and hands each to the caller that
//! waits for its number. Both begin with the same hello.
//!
//! **Invariant:** a message that was begun and not finished (an error, a cancelled caller) closes the connection:
//! nobody ever reads or writes in the middle of another's message.

mod call;
mod channel;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::frame::{FrameReader, FrameWriter};
use crate::id::ClusterId;
use crate::net::{Address, Network};
use crate::table::Operation;
pub(crate) use call::Outgoing;
pub use call::{CallError, CallerIdentity, Peer};
use call::{Incoming, unreachable};
pub use channel::Channel;

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
    /// Connects and says hello, all within the time. Fails with `wrong_node` where another node answers than the peer.
    pub async fn open<'p>(
        network: &dyn Network,
        peer: impl Into<Peer<'p>>,
        identity: &CallerIdentity,
        connect_timeout: Duration,
    ) -> Result<Self, CallError> {
        let channel = Channel::open(network, peer, identity, connect_timeout).await?;
        let closed = CancellationToken::new();
        let shared = Arc::new(Shared {
            address: channel.address,
            next_id: AtomicU64::new(channel.next_id),
            waiting: Mutex::new(Some(HashMap::new())),
            closed: closed.clone(),
        });
        threads::spawn(route_replies(channel.reader, shared.clone()));
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
        let request = Outgoing::new(request);
        let called = timeout(call_timeout, self.call_outgoing::<O>(&request)).await;
        called.unwrap_or_else(|_| {
            Err(CallError::TimedOut {
                address: self.shared.address.clone(),
                operation: O::NAME,
                after: call_timeout,
            })
        })
    }

    /// The same, for as long as it takes.
    pub(crate) async fn call_outgoing<O: Operation>(
        &self,
        request: &Outgoing,
    ) -> Result<O::Reply, CallError> {
        let address = &self.shared.address;
        let answered = async {
            let waiting = Waiting::new(&self.shared)?;
            self.write(waiting.id, request).await?;
            waiting.reply().await
        };
        let incoming = answered
            .await
            .map_err(|source| unreachable(address, source))?;
        incoming.into_reply(O::NAME, address)
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
        let mut waiting = shared.waiting.lock();
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
        let mut waiting = self.shared.waiting.lock();
        if let Some(waiting) = waiting.as_mut() {
            waiting.remove(&self.id);
        }
    }
}

/// Hands each reply to who waits for it, until the connection ends or is no longer wanted.
async fn route_replies(mut reader: FrameReader, shared: Arc<Shared>) {
    let routed = async {
        while let Ok(Some((Some(id), incoming))) = Incoming::read(&mut reader).await {
            let mut waiting = shared.waiting.lock();
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
    shared.waiting.lock().take();
}

fn was_closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "the connection was closed",
    )
}
