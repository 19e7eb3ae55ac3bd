//! Connections kept for the next call: one shared connection a peer for small calls, and idle channels
//! for transfers, each used by one transfer at a time.
//!
//! **Invariant:** a connection is kept under the address and the node for which its hello was said: a call that means
//! a node never goes to another that took its address.
//!
//! A peer of which no connection is kept or in use is soon forgotten; when very many are known, also those of which
//! connections are only kept.
//!
//! A kept connection may have died while nobody looked, also without a sign, as behind a router that forgot it while
//! this machine slept. So a call that is given up without an answer makes the others kept for that peer forgotten, and
//! a call that fails on one that was used before, without an answer, is made once more on a new one; all operations can
//! be repeated.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::connection::{CallError, CallerIdentity, Channel, Connection, Outgoing, Peer};
use crate::error::ErrorCode;
use crate::frame::Received;
use crate::id::NodeId;
use crate::net::{Address, Network};
use crate::table::Operation;

/// How often peers that can be forgotten are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Peers that are remembered although they are not in use.
const PEERS_MAX: usize = 4096;

/// A call that is dropped unanswered after this time says that the connections to its peer may lead nowhere.
const SILENCE: Duration = Duration::from_secs(1);

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
    kept: Mutex<Peers>,
}

/// All peers that were used lately.
#[derive(Debug)]
struct Peers {
    by_address: HashMap<Address, OfAddress>,
    next_sweep: Instant,
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
    /// The same on the clock that goes on while the machine sleeps.
    last_used_wall: SystemTime,
}

impl<T> Kept<T> {
    fn new(connection: T) -> Self {
        Self {
            connection,
            last_used: Instant::now(),
            last_used_wall: SystemTime::now(),
        }
    }

    fn note_use(&mut self) {
        (self.last_used, self.last_used_wall) = (Instant::now(), SystemTime::now());
    }

    /// Whether it was unused for so long. A clock that was set back says nothing.
    fn is_older_than(&self, age: Duration) -> bool {
        let by_wall = self.last_used_wall.elapsed().unwrap_or_default();
        self.last_used.elapsed().max(by_wall) >= age
    }
}

impl Pool {
    /// A pool that has no connection yet.
    pub fn new(network: Arc<dyn Network>, identity: CallerIdentity, options: PoolOptions) -> Self {
        Self(Arc::new(Inner {
            network,
            identity,
            options,
            kept: Mutex::new(Peers {
                by_address: HashMap::new(),
                next_sweep: Instant::now() + SWEEP_INTERVAL,
            }),
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
        let kept = self.of_peer(peer);
        let called = async {
            let (connection, is_new) = self.shared_connection(peer, &kept).await?;
            match connection.call_outgoing::<O>(&request).await {
                Err(CallError::Unreachable { .. }) if !is_new => {}
                result => return result,
            }
            let (connection, _) = self.shared_connection(peer, &kept).await?;
            connection.call_outgoing::<O>(&request).await
        };
        let unanswered = Unanswered::new(&kept);
        let result = within(deadline, called, peer.address, &request, call_timeout).await;
        unanswered.end_with(&result);
        result
    }

    /// A call that moves a body, on a connection of its own for as long as it takes. Cancelling it closes that.
    pub async fn transfer<'p, O: Operation>(
        &self,
        peer: impl Into<Peer<'p>>,
        request: O,
        call_timeout: Duration,
    ) -> Result<O::Reply, CallError> {
        self.transfer_counted(peer, request, call_timeout, None)
            .await
    }

    /// The same; what comes of the reply is counted in `received`.
    pub async fn transfer_counted<'p, O: Operation>(
        &self,
        peer: impl Into<Peer<'p>>,
        request: O,
        call_timeout: Duration,
        received: Option<Arc<Received>>,
    ) -> Result<O::Reply, CallError> {
        let peer = peer.into();
        let request = Outgoing::new(request);
        let deadline = Instant::now() + call_timeout;
        let kept = self.of_peer(peer);
        let transferred = self.transfer_outgoing::<O>(peer, &kept, &request, received);
        let unanswered = Unanswered::new(&kept);
        let result = within(deadline, transferred, peer.address, &request, call_timeout).await;
        unanswered.end_with(&result);
        result
    }

    async fn transfer_outgoing<O: Operation>(
        &self,
        peer: Peer<'_>,
        kept: &OfPeer,
        request: &Outgoing,
        received: Option<Arc<Received>>,
    ) -> Result<O::Reply, CallError> {
        let _turn: SemaphorePermit<'_> =
            kept.transfers.acquire().await.expect("it is never closed");
        if let Some(mut channel) = kept.take_idle(self.0.options.idle_max) {
            channel.reader.count_in(received.clone());
            match channel.exchange_outgoing::<O>(request).await {
                Err(CallError::Unreachable { .. }) => kept.forget_idle(),
                result => return kept.keep(channel, result),
            }
        }
        let mut channel = self.open_channel(peer).await?;
        channel.reader.count_in(received);
        let result = channel.exchange_outgoing::<O>(request).await;
        kept.keep(channel, result)
    }

    async fn shared_connection(
        &self,
        peer: Peer<'_>,
        kept: &OfPeer,
    ) -> Result<(Connection, bool), CallError> {
        let mut shared = kept.shared.lock().await;
        if let Some(kept) = &mut *shared
            && !kept.connection.is_closed()
            && !kept.is_older_than(self.0.options.idle_max)
        {
            kept.note_use();
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
        let mut kept = self.0.kept.lock();
        let now = Instant::now();
        let of_address = kept.by_address.get(peer.address);
        let of_peer = match of_address.and_then(|of| of.get(&peer.node)) {
            Some(of_peer) => Arc::clone(of_peer),
            None => kept.add(peer, &self.0.options),
        };
        if now >= kept.next_sweep {
            kept.sweep(now, self.0.options.idle_max);
        }
        of_peer
    }
}

impl Peers {
    fn add(&mut self, peer: Peer<'_>, options: &PoolOptions) -> Arc<OfPeer> {
        if self.count() >= PEERS_MAX {
            self.retain(OfPeer::is_in_use);
        }
        let of_peer = Arc::new(OfPeer {
            shared: tokio::sync::Mutex::new(None),
            idle: Mutex::new(Vec::new()),
            transfers: Semaphore::new(options.transfers_max),
        });
        let of_address = self.by_address.entry(peer.address.clone()).or_default();
        of_address.insert(peer.node, of_peer.clone());
        of_peer
    }

    /// Closes what is too old to be used again, and forgets the peers of which nothing is left.
    fn sweep(&mut self, now: Instant, idle_max: Duration) {
        self.next_sweep = now + SWEEP_INTERVAL;
        self.retain(|of_peer| {
            of_peer.is_in_use() || {
                of_peer.close_old(idle_max);
                of_peer.has_connections()
            }
        });
    }

    fn retain(&mut self, is_kept: impl Fn(&Arc<OfPeer>) -> bool) {
        self.by_address.retain(|_, of_address| {
            of_address.retain(|_, of_peer| is_kept(of_peer));
            !of_address.is_empty()
        });
    }

    fn count(&self) -> usize {
        self.by_address.values().map(HashMap::len).sum()
    }
}

impl OfPeer {
    /// Whether a call or a transfer is under way: each has a clone.
    fn is_in_use(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }

    fn has_connections(&self) -> bool {
        let idle = self.idle.lock();
        !idle.is_empty() || self.shared.try_lock().map_or(true, |kept| kept.is_some())
    }

    fn close_old(&self, idle_max: Duration) {
        let mut idle = self.idle.lock();
        idle.retain(|kept| !kept.is_older_than(idle_max));
        drop(idle);
        if let Ok(mut shared) = self.shared.try_lock()
            && shared
                .as_ref()
                .is_some_and(|kept| kept.connection.is_closed() || kept.is_older_than(idle_max))
        {
            *shared = None;
        }
    }

    /// The channel used last, so that those that are not needed grow old; the old ones are closed here.
    fn take_idle(&self, idle_max: Duration) -> Option<Channel> {
        let mut idle = self.idle.lock();
        idle.retain(|kept| !kept.is_older_than(idle_max));
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
        self.idle.lock().clear();
    }

    fn forget_all(&self) {
        self.forget_shared();
        self.forget_idle();
    }

    /// Keeps the channel for the next transfer, if it is still good for one.
    fn keep<T>(&self, channel: Channel, result: Result<T, CallError>) -> Result<T, CallError> {
        let closes = |code| {
            matches!(
                code,
                ErrorCode::BadMessage | ErrorCode::TooLarge | ErrorCode::Busy | ErrorCode::TimedOut
            )
        };
        let good = match &result {
            Ok(_) => true,
            Err(error) => error.code().is_some_and(|code| !closes(code)),
        };
        if good {
            let mut idle = self.idle.lock();
            idle.push(Kept::new(channel));
        }
        result
    }
}

/// A call without an answer yet. If none comes, what is kept of its peer is forgotten: it may lead nowhere, which
/// nobody would tell, and the next call makes a new connection.
struct Unanswered<'p> {
    of_peer: &'p OfPeer,
    since: Instant,
    is_over: bool,
}

impl<'p> Unanswered<'p> {
    fn new(of_peer: &'p OfPeer) -> Self {
        let since = Instant::now();
        Self {
            of_peer,
            since,
            is_over: false,
        }
    }

    fn end_with<T>(mut self, result: &Result<T, CallError>) {
        self.is_over = true;
        if matches!(result, Err(CallError::TimedOut { .. })) {
            self.of_peer.forget_all();
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.since.elapsed() >= SILENCE {
            self.of_peer.forget_all();
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hello::Role;
    use crate::memory::MemoryNetwork;
    use crate::node::GetNodeStatus;

    const LONG: Duration = Duration::from_secs(3600);

    fn pool(network: &MemoryNetwork) -> Pool {
        let identity = CallerIdentity {
            role: Role::Client,
            cluster: None,
            secret: None,
        };
        let options = PoolOptions {
            connect_timeout: LONG,
            ..PoolOptions::default()
        };
        Pool::new(Arc::new(network.clone()), identity, options)
    }

    fn address(number: usize) -> Address {
        let text = format!("10.0.{}.{}:1", number / 256, number % 256);
        text.parse().unwrap()
    }

    async fn call(pool: &Pool, number: usize) {
        let called = pool.call(&address(number), GetNodeStatus {}, LONG).await;
        assert!(called.is_err(), "nobody is there");
    }

    fn count(pool: &Pool) -> usize {
        pool.0.kept.lock().count()
    }

    /// Nodes come and go at ever new addresses: those that are not used any more are forgotten, and those that are
    /// stay.
    #[tokio::test(start_paused = true)]
    async fn peers_that_are_not_used_are_forgotten() {
        let network = MemoryNetwork::new();
        let (pool, busy) = (pool(&network), address(1000));
        let _never_answers = network.listen(&busy).await.unwrap();
        let transfer = {
            let pool = pool.clone();
            tokio::spawn(async move { pool.transfer(&busy, GetNodeStatus {}, LONG).await })
        };
        while count(&pool) == 0 {
            tokio::task::yield_now().await;
        }
        for number in 0..100 {
            call(&pool, number).await;
        }
        assert_eq!(count(&pool), 101);
        tokio::time::sleep(SWEEP_INTERVAL).await;
        call(&pool, 7).await;
        assert_eq!(count(&pool), 2, "one was just used, one is all the time");
        transfer.abort();
    }

    /// The clock of timeouts stands still while a machine sleeps; the one on the wall does not.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_kept_over_a_sleep_is_old() {
        let mut kept = Kept::new(());
        assert!(!kept.is_older_than(LONG));
        kept.last_used_wall -= LONG;
        assert!(kept.is_older_than(LONG));
        kept.last_used_wall += 2 * LONG;
        assert!(!kept.is_older_than(LONG), "the clock was set back");
        tokio::time::advance(LONG).await;
        assert!(kept.is_older_than(LONG));
    }

    #[tokio::test(start_paused = true)]
    async fn peers_are_bounded() {
        let pool = pool(&MemoryNetwork::new());
        for number in 0..PEERS_MAX + 100 {
            call(&pool, number).await;
        }
        assert!(count(&pool) <= PEERS_MAX, "{}", count(&pool));
    }
}
