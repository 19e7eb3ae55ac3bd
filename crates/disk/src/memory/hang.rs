//! A disk that does not answer: who needs it waits, on a thread of its own.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::state::State;

/// The disk's state, and the way to wait for it.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    healed: Condvar,
}

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
            healed: Condvar::new(),
        }
    }

    /// A test that panicked elsewhere does not make the disk unusable for the checks that follow.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state once the disk can be read.
    pub(super) fn when_answering(&self) -> MutexGuard<'_, State> {
        self.wait_while(|state| state.hangs == Some(Hangs::All))
    }

    /// The state once the disk can be changed.
    pub(super) fn when_writable(&self) -> MutexGuard<'_, State> {
        self.wait_while(|state| state.hangs.is_some())
    }

    fn wait_while(&self, hangs: impl Fn(&mut State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.waiting += 1;
        let waited = self.healed.wait_while(state, hangs);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }

    /// Wakes whoever waits, to see whether the disk still hangs.
    pub(super) fn wake(&self) {
        self.healed.notify_all();
    }
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hangs {
    All,
    Writes,
}

/// The disk hangs until this is dropped: also when the test fails, so that its threads can end.
#[derive(Debug)]
#[must_use = "the disk hangs only as long as this lives"]
pub struct Hang {
    disk: Arc<Shared>,
}

impl Hang {
    pub(super) fn begin(disk: &Arc<Shared>, what: Hangs) -> Self {
        disk.state().hangs = Some(what);
        Self {
            disk: Arc::clone(disk),
        }
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        self.disk.state().hangs = None;
        self.disk.wake();
    }
}
