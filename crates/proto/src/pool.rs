//! Connections kept for the next call: one shared connection an address for small calls, and idle channels
//! for transfers, each used by one transfer at a time.
//!
//! A kept connection may have died while nobody looked. So a call that fails on one that was used before,
//! without an answer, is made once more on a new one; all operations can be repeated.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::connection::{CallError, CallerIdentity, Channel, Connection, Outgoing};
use crate::error::ErrorCode;
use crate::net::{Address, Network};
use crate::table::Operation;

/// How connections are kept.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// Connecting and the hello may take this long.
    pub connect_timeout: Duration,
    /// A connection unused for this long is not used again: servers close theirs after twice this time.
    pub idle_max: Duration,
    /// Transfers at once to one address; further ones wait.
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
    peers: Mutex<HashMap<Address, Arc<Peer>>>,
}

/// What is kept for one address.
#[derive(Debug)]
struct Peer {
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
            peers: Mutex::new(HashMap::new()),
        }))
    }

    /// A small call, on the connection that all small calls to this address share.
    pub async fn call<O: Operation>(
        &self,
        address: &Address,
        request: O,
        call_timeout: Duration,
    ) -> Result<O::Reply, CallError> {
        let request = Outgoing::new(request);
        let deadline = Instant::now() + call_timeout;
        let called = async {
            let (connection, is_new) = self.shared_connection(address).await?;
            match connection.call_outgoing::<O>(&request, call_timeout).await {
                Err(CallError::Unreachable { .. }) if !is_new => {}
                result => return result,
            }
            let (connection, _) = self.shared_connection(address).await?;
            connection.call_outgoing::<O>(&request, call_timeout).await
        };
        let result = within(deadline, called, address, &request, call_timeout).await;
        if matches!(result, Err(CallError::TimedOut { .. })) {
            // The connection may lead nowhere, which nobody would tell: the next call makes a new one.
            self.peer(address).forget_shared();
        }
        result
    }

    /// A call that moves a body, on a connection of its own for as long as it takes. Cancelling it closes that.
    pub async fn transfer<O: Operation>(
        &self,
        address: &Address,
        request: O,
        call_timeout: Duration,
    ) -> Result<O::Reply, CallError> {
        let request = Outgoing::new(request);
        let deadline = Instant::now() + call_timeout;
        let transferred = self.transfer_outgoing::<O>(address, &request);
        within(deadline, transferred, address, &request, call_timeout).await
    }

    async fn transfer_outgoing<O: Operation>(
        &self,
        address: &Address,
        request: &Outgoing,
    ) -> Result<O::Reply, CallError> {
        let peer = self.peer(address);
        let _turn: SemaphorePermit<'_> =
            peer.transfers.acquire().await.expect("it is never closed");
        if let Some(mut channel) = peer.take_idle(self.0.options.idle_max) {
            match channel.exchange_outgoing::<O>(request).await {
                Err(CallError::Unreachable { .. }) => peer.forget_idle(),
                result => return peer.keep(channel, result),
            }
        }
        let mut channel = self.open_channel(address).await?;
        let result = channel.exchange_outgoing::<O>(request).await;
        peer.keep(channel, result)
    }

    async fn shared_connection(&self, address: &Address) -> Result<(Connection, bool), CallError> {
        let peer = self.peer(address);
        let mut shared = peer.shared.lock().await;
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
            Connection::open(&**network, address, identity, options.connect_timeout).await?;
        *shared = Some(Kept::new(connection.clone()));
        Ok((connection, true))
    }

    async fn open_channel(&self, address: &Address) -> Result<Channel, CallError> {
        let Inner {
            network,
            identity,
            options,
            ..
        } = &*self.0;
        Channel::open(&**network, address, identity, options.connect_timeout).await
    }

    fn peer(&self, address: &Address) -> Arc<Peer> {
        let mut peers = self.0.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get(address) {
            return peer.clone();
        }
        let peer = Arc::new(Peer {
            shared: tokio::sync::Mutex::new(None),
            idle: Mutex::new(Vec::new()),
            transfers: Semaphore::new(self.0.options.transfers_max),
        });
        peers.insert(address.clone(), peer.clone());
        peer
    }
}

impl Peer {
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
