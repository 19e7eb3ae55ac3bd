//! Connections kept for the next call: one shared connection a peer for small calls, and idle channels
//! for transfers, each used by one transfer at a time.
//!
//! **Invariant:** a connection is kept under the address and the node for which its hello was said: a call that means
//! a node never goes to another that took its address.
//!
//! A kept connection may have died while nobody looked. So a call that fails on one that was used before,
//! without an answer, is made once more on a new one; all operations can be repeated.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::connection::{CallError, CallerIdentity, Channel, Connection, Outgoing, Peer};
use crate::error::ErrorCode;
use crate::id::NodeId;
use crate::net::{Address, Network};
use crate::table::Operation;

/// How connections are kept.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// Connecting and the hello may take this long.
    pub connect_timeout: Duration,
    /// A connection unused for this long is not used again: servers close theirs after twice this time.
    pub idle_max: Duration,
    /// Transfers at once to one peer; further ones wait.
    pub transfers_max: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            idle_max: Duration::from_secs(30),
            transfers_max: 64,
        }
    }
}

/// Connections to many servers. Clones share them.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    network: Arc<dyn Network>,
    identity: CallerIdentity,
    options: PoolOptions,
    kept: Mutex<HashMap<Address, OfAddress>>,
}

/// What is kept for one address: for each node that was meant, and for whoever answers.
type OfAddress = HashMap<Option<NodeId>, Arc<OfPeer>>;

/// What is kept for one peer.
#[derive(Debug)]
struct OfPeer {
    shared: tokio::sync::Mutex<Option<Kept<Connection>>>,
    idle: Mutex<Vec<Kept<Channel>>>,
    transfers: Semaphore,
}

#[derive(Debug)]
struct Kept<T> {
    connection: T,
    last_used: Instant,
}

impl<T> Kept<T> {
    fn new(connection: T) -> Self {
        Self {
            connection,
            last_used: Instant::now(),
        }
    }
}

impl Pool {
    /// A pool that has no connection yet.
    pub fn new(network: Arc<dyn Network>, identity: CallerIdentity, options: PoolOptions) -> Self {
        Self(Arc::new(Inner {
            network,
            identity,
            options,
            kept: Mutex::new(HashMap::new()),
        }))
    }

    /// A small call, on the connection that all small calls to this peer share.
    pub async fn call<'p, O: Operation>(
        &self,
        peer: impl Into<Peer<'p>>,
        request: O,
        call_timeout: Duration,
    ) -> Result<O::Reply, CallError> {
        let peer = peer.into();
        let request = Outgoing::new(request);
        let deadline = Instant::now() + call_timeout;
        let called = async {
            let (connection, is_new) = self.shared_connection(peer).await?;
            match connection.call_outgoing::<O>(&request, call_timeout).await {
                Err(CallError::Unreachable { .. }) if !is_new => {}
                result => return result,
            }
            let (connection, _) = self.shared_connection(peer).await?;
            connection.call_outgoing::<O>(&request, call_timeout).await
        };
        let result = within(deadline, called, peer.address, &request, call_timeout).await;
        if matches!(result, Err(CallError::TimedOut { .. })) {
            // The connection may lead nowhere, which nobody would tell: the next call makes a new one.
            self.of_peer(peer).forget_shared();
        }
        result
    }

    /// A call that moves a body, on a connection of its own for as long as it takes. Cancelling it closes that.
    pub async fn transfer<'p, O: Operation>(
        &self,
        peer: impl Into<Peer<'p>>,
        request: O,
        call_timeout: Duration,
    ) -> Result<O::Reply, CallError> {
        let peer = peer.into();
        let request = Outgoing::new(request);
        let deadline = Instant::now() + call_timeout;
        let transferred = self.transfer_outgoing::<O>(peer, &request);
        within(deadline, transferred, peer.address, &request, call_timeout).await
    }

    async fn transfer_outgoing<O: Operation>(
        &self,
        peer: Peer<'_>,
        request: &Outgoing,
    ) -> Result<O::Reply, CallError> {
        let kept = self.of_peer(peer);
        let _turn: SemaphorePermit<'_> =
            kept.transfers.acquire().await.expect("it is never closed");
        if let Some(mut channel) = kept.take_idle(self.0.options.idle_max) {
            match channel.exchange_outgoing::<O>(request).await {
                Err(CallError::Unreachable { .. }) => kept.forget_idle(),
                result => return kept.keep(channel, result),
            }
        }
        let mut channel = self.open_channel(peer).await?;
        let result = channel.exchange_outgoing::<O>(request).await;
        kept.keep(channel, result)
    }

    async fn shared_connection(&self, peer: Peer<'_>) -> Result<(Connection, bool), CallError> {
        let kept = self.of_peer(peer);
        let mut shared = kept.shared.lock().await;
        if let Some(kept) = &mut *shared
            && !kept.connection.is_closed()
            && kept.last_used.elapsed() < self.0.options.idle_max
        {
            kept.last_used = Instant::now();
            return Ok((kept.connection.clone(), false));
        }
        let Inner {
            network,
            identity,
            options,
            ..
        } = &*self.0;
        let connection =
            Connection::open(&**network, peer, identity, options.connect_timeout).await?;
        *shared = Some(Kept::new(connection.clone()));
        Ok((connection, true))
    }

    async fn open_channel(&self, peer: Peer<'_>) -> Result<Channel, CallError> {
        let Inner {
            network,
            identity,
            options,
            ..
        } = &*self.0;
        Channel::open(&**network, peer, identity, options.connect_timeout).await
    }

    fn of_peer(&self, peer: Peer<'_>) -> Arc<OfPeer> {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_peer) = kept.get(peer.address).and_then(|of| of.get(&peer.node)) {
            return of_peer.clone();
        }
        let of_peer = Arc::new(OfPeer {
            shared: tokio::sync::Mutex::new(None),
            idle: Mutex::new(Vec::new()),
            transfers: Semaphore::new(self.0.options.transfers_max),
        });
        let of_address = kept.entry(peer.address.clone()).or_default();
        of_address.insert(peer.node, of_peer.clone());
        of_peer
    }
}

impl OfPeer {
    /// The channel used last, so that those that are not needed grow old; the old ones are closed here.
    fn take_idle(&self, idle_max: Duration) -> Option<Channel> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| kept.last_used.elapsed() < idle_max);
        idle.pop().map(|kept| kept.connection)
    }

    /// Calls that are under way on it go on.
    fn forget_shared(&self) {
        if let Ok(mut shared) = self.shared.try_lock() {
            *shared = None;
        }
    }

    /// One that was kept is dead, so the others likely are too.
    fn forget_idle(&self) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Keeps the channel for the next transfer, if it is still good for one.
    fn keep<T>(&self, channel: Channel, result: Result<T, CallError>) -> Result<T, CallError> {
        let closes = |code| {
            matches!(
                code,
                ErrorCode::BadMessage | ErrorCode::TooLarge | ErrorCode::Busy
            )
        };
        let good = match &result {
            Ok(_) => true,
            Err(error) => error.code().is_some_and(|code| !closes(code)),
        };
        if good {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(Kept::new(channel));
        }
        result
    }
}

async fn within<T>(
    deadline: Instant,
    call: impl Future<Output = Result<T, CallError>>,
    address: &Address,
    request: &Outgoing,
    after: Duration,
) -> Result<T, CallError> {
    timeout_at(deadline, call).await.unwrap_or_else(|_| {
        Err(CallError::TimedOut {
            address: address.clone(),
            operation: request.operation(),
            after,
        })
    })
}
