//! Calls to the master: with retries, at whichever master answers. One that is superseded is passed over.
//!
//! **Invariant:** a call is repeated only as the very same request, with the same id in it, so that what was done
//! although its answer got lost is not done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proto::connection::CallError;
use proto::net::Address;
use proto::pool::Pool;
use proto::table::Operation;
use proto::{ErrorCode, WireError};
use tokio::time::{Instant, sleep};

use crate::Error;

/// Between two rounds over all masters: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The masters of one cluster, of which one answers.
#[derive(Debug)]
pub(crate) struct Masters {
    pool: Pool,
    addresses: Arc<[Address]>,
    /// The one that answered last.
    current: AtomicUsize,
    call_timeout: Duration,
}

impl Masters {
    pub(crate) fn new(pool: Pool, addresses: Vec<Address>, call_timeout: Duration) -> Self {
        Self {
            pool,
            addresses: addresses.into(),
            current: AtomicUsize::new(0),
            call_timeout,
        }
    }

    /// Asks until an answer comes, or until there was none for `retry_for`. `request` makes the same request
    /// each time.
    pub(crate) async fn call<O: Operation>(
        &self,
        retry_for: Duration,
        request: impl Fn() -> O + Send + Sync,
    ) -> Result<O::Reply, Error> {
        let started = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let (error, may_pass) = match self.ask_each(&request).await {
                Ok(reply) => return Ok(reply),
                Err(Unanswered { error, may_pass }) => (error, may_pass),
            };
            if !may_pass || started.elapsed() + pause > retry_for {
                return Err(Error::from_call("the master cannot be reached", error));
            }
            tracing::debug!(%error, operation = O::NAME, "asking the master again");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Asks one after another, beginning with the one that answered last, until one has an answer.
    async fn ask_each<O: Operation>(
        &self,
        request: &(impl Fn() -> O + Sync),
    ) -> Result<O::Reply, Unanswered> {
        let current = self.current.load(Ordering::Relaxed);
        let mut unanswered = Unanswered::from(no_master());
        for offset in 0..self.addresses.len() {
            let place = (current + offset) % self.addresses.len();
            let address = &self.addresses[place];
            let result = self.pool.call(address, request(), self.call_timeout).await;
            match result {
                Err(error) if is_temporary(&error) || is_superseded(&error) => {
                    unanswered.note(error);
                }
                result => {
                    tracing::debug!(operation = O::NAME, %address, "the master answered");
                    self.current.store(place, Ordering::Relaxed);
                    return result.map_err(Unanswered::from);
                }
            }
        }
        Err(unanswered)
    }
}

/// Why no master has an answer.
struct Unanswered {
    /// The last one's reason; or that one is superseded, which a person has to know.
    error: CallError,
    /// Whether one of them may have an answer soon.
    may_pass: bool,
}

impl From<CallError> for Unanswered {
    fn from(error: CallError) -> Self {
        Self {
            error,
            may_pass: false,
        }
    }
}

impl Unanswered {
    fn note(&mut self, error: CallError) {
        self.may_pass |= is_temporary(&error);
        if !is_superseded(&self.error) {
            self.error = error;
        }
    }
}

/// Whether nodes know it to be an old or a second master: it changes nothing any more, but another one may.
fn is_superseded(error: &CallError) -> bool {
    error.code() == Some(ErrorCode::StaleEpoch)
}

/// Whether another master, or the same one soon, may answer otherwise.
fn is_temporary(error: &CallError) -> bool {
    match error {
        CallError::Unreachable { .. } | CallError::TimedOut { .. } => true,
        CallError::Refused(error) => matches!(
            error.code,
            ErrorCode::Busy | ErrorCode::Unavailable | ErrorCode::Stopping | ErrorCode::TimedOut
        ),
        CallError::BadReply { .. } => false,
    }
}

fn no_master() -> CallError {
    let message = "no master's address is set; set client.master, for example to 127.0.0.1:9000";
    CallError::Refused(WireError::new(ErrorCode::InvalidArgument, message))
}
