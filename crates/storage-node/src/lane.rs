//! The way to one disk's bytes: reading happens on other threads, and only so many at once.
//!
//! **Invariant:** a disk that hangs keeps its own readers waiting and nobody else: no asynchronous thread reads from a
//! disk, and a disk never has all threads for blocking work.

use std::sync::Arc;
use std::time::Duration;

use disk::Blocking;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::StoreError;
use crate::pulse::{Pulse, Task};

/// Reads at once; further ones wait.
pub(crate) const READS_MAX: usize = 32;
/// Whoever waited this long for a read gives it up.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A disk that has been reading one thing for so long hangs. Healthy ones take milliseconds.
pub(crate) const HUNG_AFTER: Duration = Duration::from_secs(4);
/// How long whoever can do without an answer waits for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same as [`HUNG_AFTER`] for what goes through much of a disk in one step.
const HUNG_IN_BACKGROUND_AFTER: Duration = Duration::from_secs(120);

/// Reads of one disk. Clones are the same lane.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    turns: Arc<Semaphore>,
    blocking: Blocking,
    pulse: Pulse,
}

impl Lane {
    pub(crate) fn new(blocking: Blocking, pulse: Pulse) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(READS_MAX)),
            blocking,
            pulse,
        }
    }

    /// Runs what reads from the disk.
    ///
    /// # Errors
    /// Those of the work; `TimedOut` if the disk hangs.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.begin_within(READ_TIMEOUT, work).await
    }

    /// The same for whoever can do without an answer: waits a moment only, and not at all while the disk hangs.
    ///
    /// # Errors
    /// Those of the work; `TimedOut` if the disk hangs.
    pub(crate) async fn ask_soon<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.pulse.hangs() {
            return Err(StoreError::TimedOut);
        }
        self.begin_within(PATIENCE, work).await
    }

    /// The same for what reads much and keeps nobody waiting: it takes as long as it takes.
    ///
    /// # Errors
    /// Those of the work.
    pub(crate) async fn run_in_background<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.begin(work, HUNG_IN_BACKGROUND_AFTER).await
    }

    /// A turn for whoever reads the disk in a way of its own, right after this; another's when it is dropped.
    ///
    /// # Errors
    /// `TimedOut` if the disk hangs.
    pub(crate) async fn turn(&self) -> Result<Turn, StoreError> {
        let permit = timeout(READ_TIMEOUT, self.permit()).await;
        Ok(Turn {
            _permit: permit.map_err(|_| StoreError::TimedOut)?,
            _task: self.pulse.begin(HUNG_AFTER),
        })
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        let permit = Arc::clone(&self.turns).acquire_owned().await;
        permit.expect("it is never closed")
    }

    async fn begin_within<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answer = timeout(patience, self.begin(work, HUNG_AFTER)).await;
        answer.unwrap_or(Err(StoreError::TimedOut))
    }

    /// The turn of a read that hangs is kept, also when nobody waits for it any more.
    async fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
        within: Duration,
    ) -> Result<T, StoreError> {
        if self.blocking.is_inline() {
            return work();
        }
        let permit = self.permit().await;
        let pulse = self.pulse.clone();
        let work = move || {
            let _kept = Turn {
                _permit: permit,
                _task: pulse.begin(within),
            };
            work()
        };
        self.blocking.run(work).await
    }
}

/// A read that has begun: one of those that a disk may have at once.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
    _task: Task,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A disk hangs with more reads than it may have at once: other disks are read, and the asynchronous thread, of
    /// which there is one here, goes on.
    #[tokio::test]
    async fn a_disk_that_hangs_keeps_nobody_else_waiting() {
        let (hung, other) = (
            Lane::new(Blocking::threads(), Pulse::default()),
            Lane::new(Blocking::threads(), Pulse::default()),
        );
        let (release, wait) = mpsc::channel::<u8>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let reads: Vec<_> = (0..2 * READS_MAX)
            .map(|_| {
                let (lane, wait) = (hung.clone(), Arc::clone(&wait));
                tokio::spawn(async move {
                    let read = move || Ok(wait.lock().unwrap().recv().unwrap());
                    lane.run(read).await
                })
            })
            .collect();
        while hung.turns.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(other.run(|| Ok(7)).await.unwrap(), 7);
        for _ in 0..reads.len() {
            release.send(1).unwrap();
        }
        for read in reads {
            read.await.unwrap().unwrap();
        }
        assert_eq!(hung.turns.available_permits(), READS_MAX);
    }
}
