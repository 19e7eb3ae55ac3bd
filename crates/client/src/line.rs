//! How many chunks are sent at once: as many as are given, but fewer where the line does not carry them in time.
//!
//! A round of puts that ends without enough copies halves the number, and rounds that go well, with time to spare, let
//! it grow again by one for as many as are sent at once. So on a slow uplink one chunk after another gets the whole
//! line, instead of all of them being begun ever again.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// No bound: until a round has failed, each upload's own is the only one.
const WIDTH_MAX: usize = 1 << 20;

/// A round that takes longer passed, but leaves no room for more beside it.
const GROWS_WITHIN: Duration = Duration::from_secs(10);

/// The line from this process to the nodes.
#[derive(Debug)]
pub(crate) struct Line {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    /// Chunks that may be sent at once.
    width: usize,
    sending: usize,
    /// Rounds that went well since the width last changed.
    passed: usize,
    /// How often the width was halved.
    halved: u64,
    last_passed: Option<Instant>,
    /// What a round should be given, after others had too little.
    patience: Duration,
}

/// A chunk's turn to be sent; dropped, it is the next one's.
#[derive(Debug)]
pub(crate) struct Turn {
    line: Arc<Line>,
    /// [`State::halved`] when it began.
    halved: u64,
}

impl Line {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                width: WIDTH_MAX,
                sending: 0,
                passed: 0,
                halved: 0,
                last_passed: None,
                patience: Duration::ZERO,
            }),
            freed: Notify::new(),
        })
    }

    /// When a chunk passed last, but not before `begun`.
    pub(crate) fn stalled_since(&self, begun: Instant) -> Instant {
        let last = self.state.lock().last_passed;
        last.map_or(begun, |last| last.max(begun))
    }

    /// How long a round should at least be given now.
    pub(crate) fn patience(&self) -> Duration {
        self.state.lock().patience
    }

    /// Waits until one more chunk may be sent.
    pub(crate) async fn turn(self: &Arc<Self>) -> Turn {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // From here on it is told of each turn that is freed: two that are freed at once wake two.
            freed.as_mut().enable();
            if let Some(turn) = self.try_turn() {
                return turn;
            }
            freed.await;
        }
    }

    fn try_turn(self: &Arc<Self>) -> Option<Turn> {
        let mut state = self.state.lock();
        if state.sending >= state.width {
            return None;
        }
        state.sending += 1;
        let (line, halved) = (self.clone(), state.halved);
        Some(Turn { line, halved })
    }
}

impl Turn {
    /// Enough copies were made, in this time.
    pub(crate) fn note_passed(&self, took: Duration) {
        let mut state = self.line.state.lock();
        state.last_passed = Some(Instant::now());
        if took > GROWS_WITHIN {
            return;
        }
        state.patience = Duration::ZERO;
        state.passed += 1;
        if state.passed >= state.width {
            state.passed = 0;
            state.width = (state.width + 1).min(WIDTH_MAX);
            self.line.freed.notify_one();
        }
    }

    /// They were not, and rounds should be given so much more time. What was begun together halves the width once.
    pub(crate) fn note_too_slow(&self, patience: Duration) {
        let mut state = self.line.state.lock();
        state.patience = state.patience.max(patience);
        if state.halved == self.halved {
            state.halved += 1;
            state.passed = 0;
            state.width = (state.width.min(state.sending) / 2).max(1);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.line.state.lock().sending -= 1;
        self.line.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(line: &Arc<Line>, count: usize) -> Vec<Turn> {
        (0..count).map_while(|_| line.try_turn()).collect()
    }

    #[test]
    fn fewer_are_sent_when_they_do_not_pass_and_more_when_they_do() {
        let line = Line::new();
        let begun = turns(&line, 8);
        assert_eq!(begun.len(), 8);
        for turn in &begun {
            turn.note_too_slow(Duration::ZERO);
        }
        drop(begun);
        for (width, goes_well) in [(4, false), (2, false), (1, false), (1, true), (2, true)] {
            let begun = turns(&line, 8);
            assert_eq!(begun.len(), width);
            for turn in &begun {
                if goes_well {
                    turn.note_passed(Duration::from_secs(1));
                } else {
                    turn.note_too_slow(Duration::ZERO);
                }
            }
        }
        let begun = turns(&line, 8);
        assert_eq!(begun.len(), 3);
        for turn in &begun {
            turn.note_passed(GROWS_WITHIN * 2);
        }
        drop(begun);
        assert_eq!(turns(&line, 8).len(), 3, "there is no room for more");
    }
}
