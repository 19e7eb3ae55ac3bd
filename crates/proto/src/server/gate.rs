//! Who may be connected: counts connections, and knows which has been idle longest. `web` has one too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

/// The bound on a server's connections.
#[derive(Debug)]
pub struct Gate {
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    /// Connections so far.
    connections: u64,
    /// Moments so far at which a connection became idle.
    moments: u64,
    /// Idle connections that may be closed, by the moment at which they became idle.
    idle: BTreeMap<u64, CancellationToken>,
}

impl Gate {
    /// So many connections at once.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            state: Mutex::default(),
        }
    }

    /// Lets one more in, closing the one that is idle longest if there are too many; nothing if none is idle.
    pub fn admit(self: &Arc<Self>) -> Option<Admission> {
        let mut state = self.lock();
        if state.open >= self.max && !state.evict_one() {
            return None;
        }
        state.open += 1;
        state.connections += 1;
        let evicted = CancellationToken::new();
        let idle_since = state.now_idle(evicted.clone());
        Some(Admission {
            gate: self.clone(),
            number: state.connections,
            evicted,
            spared: AtomicBool::new(false),
            working: AtomicUsize::new(0),
            idle_since: Mutex::new(Some(idle_since)),
        })
    }

    /// Closes the one that is idle longest, if any is.
    pub fn evict_one(&self) {
        self.lock().evict_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn evict_one(&mut self) -> bool {
        let evicted = self.idle.pop_first();
        if let Some((_, token)) = &evicted {
            token.cancel();
        }
        evicted.is_some()
    }

    fn now_idle(&mut self, token: CancellationToken) -> u64 {
        self.moments += 1;
        self.idle.insert(self.moments, token);
        self.moments
    }
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
pub struct Admission {
    gate: Arc<Gate>,
    number: u64,
    evicted: CancellationToken,
    spared: AtomicBool,
    working: AtomicUsize,
    /// Its key in `State::idle`. Locked before the gate's state, never after it.
    idle_since: Mutex<Option<u64>>,
}

impl Admission {
    /// Counts the server's connections.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Cancelled when it has to make room.
    pub fn evicted(&self) -> &CancellationToken {
        &self.evicted
    }

    /// From now on it never has to make room.
    pub fn spare(&self) {
        self.spared.store(true, Ordering::Relaxed);
        self.leave_idle(&mut self.idle_since.lock());
    }

    /// Whether a request of it is being answered.
    pub fn is_working(&self) -> bool {
        self.working.load(Ordering::Relaxed) > 0
    }

    /// Not idle for as long as the guard lives.
    pub fn work(this: &Arc<Self>) -> Work {
        let mut idle_since = this.idle_since.lock();
        this.working.fetch_add(1, Ordering::Relaxed);
        this.leave_idle(&mut idle_since);
        drop(idle_since);
        Work(this.clone())
    }

    fn leave_idle(&self, idle_since: &mut Option<u64>) {
        if let Some(moment) = idle_since.take() {
            self.gate.lock().idle.remove(&moment);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.leave_idle(&mut self.idle_since.lock());
        self.gate.lock().open -= 1;
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Work(Arc<Admission>);

impl Drop for Work {
    fn drop(&mut self) {
        let admission = &self.0;
        let mut idle_since = admission.idle_since.lock();
        let was_last = admission.working.fetch_sub(1, Ordering::Relaxed) == 1;
        if was_last && !admission.spared.load(Ordering::Relaxed) {
            *idle_since = Some(admission.gate.lock().now_idle(admission.evicted.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_that_is_idle_longest_makes_room() {
        let gate = Arc::new(Gate::new(2));
        let first = Arc::new(gate.admit().unwrap());
        let second = gate.admit().unwrap();
        drop(Admission::work(&first));
        let third = gate.admit().unwrap();
        assert!(second.evicted().is_cancelled() && !first.evicted().is_cancelled());
        assert!(!third.evicted().is_cancelled());
    }

    #[test]
    fn those_that_work_and_those_that_are_spared_stay() {
        let gate = Arc::new(Gate::new(2));
        let working = Arc::new(gate.admit().unwrap());
        let work = Admission::work(&working);
        let spared = gate.admit().unwrap();
        spared.spare();
        assert!(gate.admit().is_none());
        drop(work);
        assert!(gate.admit().is_some());
        assert!(working.evicted().is_cancelled() && !spared.evicted().is_cancelled());
    }

    #[test]
    fn a_place_is_given_back() {
        let gate = Arc::new(Gate::new(1));
        let only = gate.admit().unwrap();
        drop(only);
        assert!(gate.admit().is_some());
        assert_eq!(gate.lock().open, 0);
        assert!(gate.lock().idle.is_empty());
    }
}
