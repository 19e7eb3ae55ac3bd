//! What requests and replies may take of the server's memory, whatever its peers do.
//!
//! Every connection has a little of its own, and for what is small and does not fit in there beside the calls before
//! it, all connections share a budget for nothing else: a small call never waits for large ones. These are lent to from
//! another budget, one after the other in the order in which they ask; of that, small ones take what is free. While the
//! first of them waits, one of the slow gives way each second, the one that is slow for longest first: so a few who are
//! slow cannot keep others out, and of many who are slow most come to their end.
//!
//! **Invariant:** what is lent is never more than both budgets and the own shares of all connections together.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::{ErrorCode, WireError};

/// What a connection has of its own.
const OWN_BYTES: usize = 32 << 10;
/// So long the first who waits hopes that memory becomes free by itself; then one of the slow gives way, at most one in
/// this time.
const GIVE_WAY_INTERVAL: Duration = Duration::from_secs(1);

/// What all connections share.
#[derive(Debug)]
pub(super) struct Memory {
    any: Arc<Budget>,
    /// For what would fit into a connection's own share: so that it does not wait for what is large.
    small: Arc<Budget>,
}

impl Memory {
    /// So many bytes for whatever needs them, and an eighth of that for what is small.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            any: Budget::new(bytes),
            small: Budget::new(bytes / 8),
        }
    }

    /// A new connection's part.
    pub(super) fn share(&self) -> Share {
        Share {
            any: Arc::clone(&self.any),
            small: Arc::clone(&self.small),
            own: Arc::new(Semaphore::new(OWN_BYTES)),
        }
    }
}

/// Bytes that are lent to one after the other.
#[derive(Debug)]
struct Budget {
    free: Arc<Semaphore>,
    bytes: usize,
    /// Held by the first who waits; the others wait for this.
    first: tokio::sync::Mutex<()>,
    slow: Mutex<Slow>,
}

/// Who may be told to give way.
#[derive(Debug, Default)]
struct Slow {
    /// Moments so far at which somebody became slow.
    moments: u64,
    /// Those who are slow, by the moment since when.
    since: BTreeMap<u64, CancellationToken>,
    /// When the last one was told.
    told: Option<Instant>,
}

impl Budget {
    fn new(bytes: usize) -> Arc<Self> {
        let bytes = bytes.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Arc::new(Self {
            free: Arc::new(Semaphore::new(bytes)),
            bytes,
            first: tokio::sync::Mutex::new(()),
            slow: Mutex::default(),
        })
    }

    /// Waits behind all who asked before.
    async fn lend(self: &Arc<Self>, len: usize) -> Loan {
        let _first = self.first.lock().await;
        let mut lent = pin!(Arc::clone(&self.free).acquire_many_owned(self.permits(len)));
        loop {
            match timeout(GIVE_WAY_INTERVAL, &mut lent).await {
                Ok(permit) => return self.loan(permit.expect("it is never closed")),
                Err(_) => self.make_one_give_way(),
            }
        }
    }

    fn lend_now(self: &Arc<Self>, len: usize) -> Option<Loan> {
        let permit = Arc::clone(&self.free).try_acquire_many_owned(self.permits(len));
        Some(self.loan(permit.ok()?))
    }

    /// What is more than there is in all waits for all.
    fn permits(&self, len: usize) -> u32 {
        u32::try_from(len.min(self.bytes)).expect("it was clamped")
    }

    fn loan(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Loan {
        Loan {
            permit,
            budget: Some(Arc::clone(self)),
        }
    }

    fn make_one_give_way(&self) {
        let mut slow = self.slow.lock();
        let told_lately = |told: Instant| told.elapsed() < GIVE_WAY_INTERVAL;
        if slow.told.is_some_and(told_lately) {
            return;
        }
        if let Some((_, told)) = slow.since.pop_first() {
            told.cancel();
            slow.told = Some(Instant::now());
        }
    }

    /// Ends when somebody who is slow from now on has to give way.
    async fn told_to_give_way(&self) {
        let told = CancellationToken::new();
        let _listed = Listed::new(self, told.clone());
        told.cancelled().await;
    }
}

/// One of the slow, for as long as this lives.
struct Listed<'b> {
    budget: &'b Budget,
    moment: u64,
}

impl<'b> Listed<'b> {
    fn new(budget: &'b Budget, told: CancellationToken) -> Self {
        let mut slow = budget.slow.lock();
        slow.moments += 1;
        let moment = slow.moments;
        slow.since.insert(moment, told);
        Self { budget, moment }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.budget.slow.lock().since.remove(&self.moment);
    }
}

/// One connection's access to the memory.
#[derive(Debug)]
pub(super) struct Share {
    any: Arc<Budget>,
    small: Arc<Budget>,
    own: Arc<Semaphore>,
}

impl Share {
    /// Waits for this many bytes. What fits into the connection's own share waits for that or for what all share,
    /// whichever is free first, and is never refused.
    ///
    /// # Errors
    /// `busy`, if it does not fit and not so much can be lent within this time.
    pub(super) async fn lend(&self, len: usize, patience: Duration) -> Result<Loan, WireError> {
        let Some(own) = own_permits(len) else {
            let lent = timeout(patience, self.any.lend(len)).await;
            return lent.map_err(|_| none_is_free());
        };
        tokio::select! {
            biased;
            permit = Arc::clone(&self.own).acquire_many_owned(own) => {
                Ok(Loan::own(permit.expect("it is never closed")))
            }
            lent = self.small.lend(len) => Ok(lent),
            lent = self.any.lend(len) => Ok(lent),
        }
    }

    /// The same for what is in memory already, and so cannot wait.
    ///
    /// # Errors
    /// `busy`, if so many bytes are not free.
    pub(super) fn lend_now(&self, len: usize) -> Result<Loan, WireError> {
        if let Some(own) = own_permits(len) {
            if let Ok(permit) = Arc::clone(&self.own).try_acquire_many_owned(own) {
                return Ok(Loan::own(permit));
            }
            if let Some(loan) = self.small.lend_now(len) {
                return Ok(loan);
            }
            self.small.make_one_give_way();
        }
        self.any.lend_now(len).ok_or_else(|| {
            self.any.make_one_give_way();
            none_is_free()
        })
    }
}

/// How much of a connection's own share this takes, if it fits.
fn own_permits(len: usize) -> Option<u32> {
    u32::try_from(len).ok().filter(|_| len <= OWN_BYTES)
}

fn none_is_free() -> WireError {
    let message = "others use the memory for requests or replies; try again soon";
    WireError::new(ErrorCode::Busy, message)
}

/// Bytes that may be held until it is dropped.
#[derive(Debug)]
pub(super) struct Loan {
    permit: OwnedSemaphorePermit,
    /// Whose budget they are of; nothing if they are the connection's own.
    budget: Option<Arc<Budget>>,
}

impl Loan {
    fn own(permit: OwnedSemaphorePermit) -> Self {
        Self {
            permit,
            budget: None,
        }
    }

    /// Gives back what is not needed after all.
    pub(super) fn shrink_to(&mut self, len: usize) {
        let surplus = self.permit.num_permits().saturating_sub(len);
        drop(self.permit.split(surplus));
    }

    /// Does what takes time at the peer's pace. Whoever is not done after this time is slow, and may have to give way
    /// to others: then `None`.
    pub(super) async fn during<T>(
        &self,
        work: impl Future<Output = T>,
        slow_after: Duration,
    ) -> Option<T> {
        let Some(budget) = &self.budget else {
            return Some(work.await);
        };
        let gives_way = async {
            sleep(slow_after).await;
            budget.told_to_give_way().await;
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = gives_way => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);
    const BYTES: usize = 1 << 20;

    /// All that is for small ones besides the shares of connections.
    async fn take_small(memory: &Memory) -> Vec<Loan> {
        let share = memory.share();
        let mut taken = Vec::new();
        for _ in 0..=BYTES / 8 / OWN_BYTES {
            taken.push(share.lend(OWN_BYTES, PATIENCE).await.unwrap());
        }
        assert_eq!(memory.small.free.available_permits(), 0);
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_small_waits_for_small_ones_at_most() {
        let memory = Memory::new(BYTES);
        let (one, other) = (memory.share(), memory.share());
        let all = one.lend(1 << 30, PATIENCE).await.unwrap();
        let begun = Instant::now();
        let own = other.lend(OWN_BYTES, PATIENCE).await.unwrap();
        drop(other.lend(OWN_BYTES, PATIENCE).await.unwrap());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let refused = other.lend(OWN_BYTES + 1, PATIENCE).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Busy);

        let small = take_small(&memory).await;
        let waiting = timeout(10 * PATIENCE, other.lend(1, PATIENCE)).await;
        assert!(waiting.is_err(), "it is never refused");
        assert!(other.lend_now(1).is_err());
        drop(own);
        assert!(other.lend_now(1).is_ok());
        other.lend(OWN_BYTES, PATIENCE).await.unwrap();
        drop((all, small));
        assert_eq!(memory.any.free.available_permits(), BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_small_takes_what_is_free() {
        let memory = Memory::new(BYTES);
        let _small = take_small(&memory).await;
        let share = memory.share();
        let _own = share.lend(OWN_BYTES, PATIENCE).await.unwrap();
        let _lent = share.lend(OWN_BYTES, PATIENCE).await.unwrap();
        let _now = share.lend_now(OWN_BYTES).unwrap();
        assert_eq!(memory.any.free.available_permits(), BYTES - 2 * OWN_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_needed_is_given_back() {
        let memory = Memory::new(BYTES);
        let share = memory.share();
        let mut loan = share.lend(BYTES, PATIENCE).await.unwrap();
        loan.shrink_to(1000);
        assert_eq!(memory.any.free.available_permits(), BYTES - 1000);
        let mut own = share.lend(100, PATIENCE).await.unwrap();
        own.shrink_to(40);
        assert_eq!(share.own.available_permits(), OWN_BYTES - 40);
    }

    /// Large requests are served in the order in which they came, also if a smaller one behind would fit.
    #[tokio::test(start_paused = true)]
    async fn nobody_overtakes() {
        let memory = Memory::new(BYTES);
        let share = memory.share();
        let half = share.lend(BYTES / 2, PATIENCE).await.unwrap();
        let mut large = pin!(share.lend(BYTES, PATIENCE));
        assert!(timeout(Duration::ZERO, &mut large).await.is_err());
        assert!(share.lend_now(BYTES / 4).is_err());
        let mut small = pin!(share.lend(BYTES / 4, PATIENCE));
        assert!(timeout(Duration::ZERO, &mut small).await.is_err());
        drop(half);
        drop(large.await.unwrap());
        assert!(small.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_slow_give_way_only_when_others_wait() {
        let memory = Memory::new(BYTES);
        let (slow, other) = (memory.share(), memory.share());
        let loan = slow.lend(BYTES, PATIENCE).await.unwrap();
        let slow_work = async {
            let day = timeout(
                Duration::from_secs(86_400),
                loan.during(pending::<()>(), PATIENCE),
            );
            assert!(day.await.is_err(), "nobody waited");
            let begun = Instant::now();
            assert!(loan.during(pending::<()>(), PATIENCE).await.is_none());
            drop(loan);
            begun.elapsed()
        };
        let quick = async {
            sleep(Duration::from_secs(86_401)).await;
            other.lend(BYTES / 2, 2 * PATIENCE).await.unwrap()
        };
        let (kept, _) = tokio::join!(slow_work, quick);
        assert!(kept >= PATIENCE && kept < 2 * PATIENCE, "{kept:?}");
    }

    /// However many wait and are refused, one a second gives way, and the one that is slow for longest is the first.
    #[tokio::test(start_paused = true)]
    async fn one_a_second_gives_way() {
        let memory = Memory::new(BYTES);
        let begun = Instant::now();
        let mut slow = Vec::new();
        for number in 0..4 {
            let loan = memory.share().lend(BYTES / 4, PATIENCE).await.unwrap();
            slow.push(tokio::spawn(async move {
                assert!(loan.during(pending::<()>(), PATIENCE).await.is_none());
                (number, begun.elapsed().as_secs())
            }));
            sleep(Duration::from_millis(1)).await;
        }
        sleep(2 * PATIENCE).await;
        for _ in 0..20 {
            let share = memory.share();
            assert!(share.lend_now(BYTES / 4).is_err());
            tokio::spawn(
                async move { share.lend(BYTES / 4, PATIENCE).await.map(std::mem::forget) },
            );
        }
        for (number, slow) in (0..).zip(slow) {
            assert_eq!(slow.await.unwrap(), (number, 20 + number));
        }
        assert!(memory.any.slow.lock().since.is_empty());
    }
}
