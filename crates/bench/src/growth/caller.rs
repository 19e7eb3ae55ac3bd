//! Calls to a server, one or many at once, and how long they take.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use proto::connection::{CallerIdentity, Connection};
use proto::hello::Role;
use proto::id::ClusterId;
use proto::net::{Address, Tcp};
use proto::table::Operation;

/// No call takes this long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Calls of which the median is taken.
const TURNS: usize = 21;

/// Whoever calls; clones share one connection.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Connection);

impl Caller {
    pub(crate) async fn connect(address: &Address, role: Role, cluster: ClusterId) -> Result<Self> {
        let identity = CallerIdentity {
            role,
            cluster: (role == Role::Node).then_some(cluster),
            secret: None,
        };
        let connection = Connection::open(&Tcp, address, &identity, PATIENCE).await;
        Ok(Self(
            connection.with_context(|| format!("connect to {address}"))?,
        ))
    }

    pub(crate) async fn call<O: Operation>(&self, request: O) -> Result<O::Reply> {
        Ok(self.0.call(request, PATIENCE).await?)
    }

    /// The median time of some calls, in milliseconds.
    pub(crate) async fn median_ms<O: Operation>(&self, request: impl Fn(u64) -> O) -> Result<f64> {
        let mut took = Vec::new();
        for turn in 0..TURNS {
            let begun = Instant::now();
            self.call(request(turn as u64)).await?;
            took.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        took.sort_by(f64::total_cmp);
        Ok(took[TURNS / 2])
    }
}

/// How often in a second something is done by so many at once, who are each given a number that nobody else gets.
pub(crate) async fn rate<F: Future<Output = Result<()>>>(
    at_once: usize,
    span: Duration,
    work: impl Fn(u64) -> F,
) -> Result<f64> {
    let (next, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let worker = async || {
        while begun.elapsed() < span {
            work(next.fetch_add(1, Ordering::Relaxed)).await?;
        }
        anyhow::Ok(())
    };
    try_join_all((0..at_once).map(|_| worker())).await?;
    Ok(next.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64())
}
