//! Turns of pages that look at all entries of a large folder.
//!
//! Which folder is large, a page knows after a first look at so many entries as small ones have, which needs no turn. Then
//! only so many go on at once as leave half of the processors to whatever else is asked. A page that waits holds one of the places
//! of its connection, which others want, too: few wait, and not for long; all others are asked to try again.
//!
//! **Invariant:** at most [`WAITING_MAX`] wait, none longer than [`WAIT_MAX`].

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use proto::{ErrorCode, WireError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Pages that wait for a turn.
pub(super) const WAITING_MAX: usize = 8;
/// How long each waits.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(3);

/// Gives turns.
///
/// Clones share everything.
#[derive(Debug, Clone)]
pub struct Sorts {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Sorts {
    /// For half of the processors, at least one.
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        Self::new((processors / 2).max(1))
    }
}

impl Sorts {
    /// So many turns at once.
    pub(super) fn new(turns: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(turns)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        }
    }

    /// Waits for a turn, which lasts until it is dropped. Refused with `busy`.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, WireError> {
        let _waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        let turn = timeout(WAIT_MAX, self.turns.clone().acquire_owned());
        let turn = turn.await.map_err(|_| busy())?;
        Ok(turn.expect("the semaphore is never closed"))
    }
}

fn busy() -> WireError {
    WireError::new(
        ErrorCode::Busy,
        "too many large folders are being sorted by size or time; try again soon, or list it by name",
    )
}
