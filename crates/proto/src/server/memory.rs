//! What requests and replies may take of the server's memory, whatever its peers do.
//!
//! Every connection has a little of its own, so that small calls never wait for anybody else's. What goes beyond it is
//! lent from a budget that all connections share, in the order in which they ask. Whoever is slow may keep a loan for as
//! long as nobody else needs it, and then no longer than the time that a line may take.
//!
//! **Invariant:** what is lent is never more than the budget and the own shares of all connections together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::{ErrorCode, WireError};

/// What a connection has of its own.
const OWN_BYTES: usize = 32 << 10;
/// The budget is counted in these, so that a semaphore can count it.
const UNIT: usize = 1 << 10;
/// Those who wait remind the others so often.
const REMIND_INTERVAL: Duration = Duration::from_secs(1);

/// What all connections share.
#[derive(Debug)]
pub(super) struct Memory {
    budget: Arc<Semaphore>,
    units: u32,
    wanted: Notify,
}

impl Memory {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        let units = units(bytes).max(1);
        Arc::new(Self {
            budget: Arc::new(Semaphore::new(units as usize)),
            units,
            wanted: Notify::new(),
        })
    }

    /// A new connection's part.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share {
            memory: Arc::clone(self),
            own: Arc::new(Semaphore::new(OWN_BYTES)),
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// One connection's access to the memory. Clones are the same connection's.
#[derive(Debug, Clone)]
pub(super) struct Share {
    memory: Arc<Memory>,
    own: Arc<Semaphore>,
}

/// Bytes that may be held until it is dropped.
#[derive(Debug)]
pub(super) struct Loan {
    permit: OwnedSemaphorePermit,
    /// Whose budget they are of; nothing if they are the connection's own.
    memory: Option<Arc<Memory>>,
}

impl Share {
    /// Waits for this many bytes, which may be more than there are in all: then it waits for all.
    ///
    /// # Errors
    /// `busy`, if they are not free within this time.
    pub(super) async fn lend(&self, len: usize, patience: Duration) -> Result<Loan, WireError> {
        if let Some(loan) = self.lend_now(len) {
            return Ok(loan);
        }
        let memory = &self.memory;
        let wanted = units(len).min(memory.units);
        let mut lent = Box::pin(Arc::clone(&memory.budget).acquire_many_owned(wanted));
        let deadline = Instant::now() + patience;
        loop {
            memory.wanted.notify_waiters();
            let reminder = deadline.min(Instant::now() + REMIND_INTERVAL);
            match timeout_at(reminder, &mut lent).await {
                Ok(permit) => return Ok(memory.loan(permit.expect("it is never closed"))),
                Err(_) if Instant::now() < deadline => {}
                Err(_) => return Err(none_is_free("the request")),
            }
        }
    }

    /// The same without waiting.
    pub(super) fn lend_now(&self, len: usize) -> Option<Loan> {
        let own = u32::try_from(len).ok().and_then(|len| {
            let permit = Arc::clone(&self.own).try_acquire_many_owned(len).ok()?;
            Some(Loan {
                permit,
                memory: None,
            })
        });
        own.or_else(|| {
            let wanted = units(len).min(self.memory.units);
            let budget = Arc::clone(&self.memory.budget);
            let permit = budget.try_acquire_many_owned(wanted).ok()?;
            Some(self.memory.loan(permit))
        })
    }

    /// For a reply that is there already, and cannot wait. What is refused asks the slow to make room.
    ///
    /// # Errors
    /// `busy`, if so many bytes are not free.
    pub(super) fn lend_for_reply(&self, len: usize) -> Result<Loan, WireError> {
        self.lend_now(len).ok_or_else(|| {
            self.memory.wanted.notify_waiters();
            none_is_free("the reply")
        })
    }
}

fn none_is_free(what: &str) -> WireError {
    let message = format!("no memory is free for {what}; try again soon");
    WireError::new(ErrorCode::Busy, message)
}

impl Memory {
    fn loan(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Loan {
        Loan {
            permit,
            memory: Some(Arc::clone(self)),
        }
    }
}

impl Loan {
    /// Gives back what is not needed after all.
    pub(super) fn shrink_to(&mut self, len: usize) {
        let needed = match self.memory {
            Some(_) => units(len) as usize,
            None => len,
        };
        drop(
            self.permit
                .split(self.permit.num_permits().saturating_sub(needed)),
        );
    }

    /// Ends when this was lent for so long already, and others wait for it.
    pub(super) async fn called_back(&self, after: Duration) {
        let Some(memory) = &self.memory else {
            return std::future::pending().await;
        };
        sleep_until(Instant::now() + after).await;
        memory.wanted.notified().await;
    }

    /// Does what takes time only for as long as the memory may be kept; `None` if it had to be given up.
    pub(super) async fn during<T>(
        &self,
        work: impl Future<Output = T>,
        kept_at_least: Duration,
    ) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.called_back(kept_at_least) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn small_loans_never_wait_for_others() {
        let memory = Memory::new(100 * UNIT);
        let (one, other) = (memory.share(), memory.share());
        let all = one.lend(1 << 30, PATIENCE).await.unwrap();
        let begun = Instant::now();
        let own = other.lend(OWN_BYTES, PATIENCE).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let refused = other.lend(1, PATIENCE).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Busy);
        drop(own);
        other.lend(OWN_BYTES, PATIENCE).await.unwrap();
        drop(all);
        assert_eq!(memory.budget.available_permits(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_needed_is_given_back() {
        let memory = Memory::new(100 * UNIT);
        let share = memory.share();
        let mut loan = share.lend(90 * UNIT, PATIENCE).await.unwrap();
        loan.shrink_to(10 * UNIT + 1);
        assert_eq!(memory.budget.available_permits(), 89);
        let mut own = share.lend(100, PATIENCE).await.unwrap();
        own.shrink_to(40);
        assert_eq!(share.own.available_permits(), OWN_BYTES - 40);
    }

    #[tokio::test(start_paused = true)]
    async fn the_slow_give_way_only_when_others_wait() {
        let memory = Memory::new(100 * UNIT);
        let (slow, other) = (memory.share(), memory.share());
        let loan = slow.lend(100 * UNIT, PATIENCE).await.unwrap();
        let slow_work = async {
            let never = std::future::pending::<()>();
            let day = timeout(Duration::from_secs(86_400), loan.during(never, PATIENCE));
            assert!(day.await.is_err(), "nobody waited");
            let begun = Instant::now();
            let never = std::future::pending::<()>();
            assert!(loan.during(never, PATIENCE).await.is_none());
            drop(loan);
            begun.elapsed()
        };
        let quick = async {
            tokio::time::sleep(Duration::from_secs(86_401)).await;
            other.lend(90 * UNIT, 2 * PATIENCE).await.unwrap()
        };
        let (kept, _) = tokio::join!(slow_work, quick);
        assert!(kept >= PATIENCE && kept < 2 * PATIENCE, "{kept:?}");
    }
}
