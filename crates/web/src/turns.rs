//! Turns: only so many transfers go on at once, so that memory stays bounded; the next ones wait a little.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Kind, Problem};

/// How long a transfer waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Held by a transfer while it goes on.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

/// Gives out turns, in the order in which they are asked for.
#[derive(Debug)]
pub(crate) struct Turns {
    free: Arc<Semaphore>,
    at_once: usize,
}

impl Turns {
    /// So many at once.
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(at_once)),
            at_once,
        }
    }

    /// Waits for a turn; too long a wait is an error.
    pub(crate) async fn turn(&self) -> Result<Turn, Problem> {
        let permit = Arc::clone(&self.free).acquire_owned();
        match tokio::time::timeout(WAIT_MAX, permit).await {
            Ok(permit) => Ok(Turn {
                _permit: permit.expect("turns are given out as long as the server lives"),
            }),
            Err(_) => Err(Problem::new(
                Kind::Busy,
                format!("{} transfers go on already; try again soon", self.at_once),
            )),
        }
    }
}
