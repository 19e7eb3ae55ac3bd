//! How quickly a transfer goes, by what was moved in the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

/// The rate is that of so long.
const WINDOW: Duration = Duration::from_secs(10);
/// What was moved by when is noted this often.
const MARK_INTERVAL: Duration = Duration::from_millis(500);
/// Before that much time nothing is said: the first bytes only fill buffers.
const KNOWN_AFTER: Duration = Duration::from_secs(1);

/// Bytes that were moved, at times since the transfer began.
#[derive(Debug)]
pub(super) struct Rate {
    /// The oldest first, and never empty.
    marks: VecDeque<(Duration, u64)>,
}

impl Rate {
    /// Of a transfer that begins.
    pub(super) fn new() -> Self {
        Self {
            marks: VecDeque::from([(Duration::ZERO, 0)]),
        }
    }

    /// Bytes a second when `moved` bytes have been moved by `now`; nothing while that cannot be told.
    pub(super) fn at(&mut self, now: Duration, moved: u64) -> Option<u64> {
        let age = |mark: Option<&(Duration, u64)>| mark.map(|(time, _)| now.saturating_sub(*time));
        if age(self.marks.back()) >= Some(MARK_INTERVAL) {
            self.marks.push_back((now, moved));
        }
        while age(self.marks.get(1)) >= Some(WINDOW) {
            self.marks.pop_front();
        }
        let (since, before) = self.marks.front()?;
        let span = now.saturating_sub(*since);
        let bytes = moved.saturating_sub(*before);
        if span < KNOWN_AFTER || bytes == 0 {
            return None;
        }
        u64::try_from(u128::from(bytes) * 1000 / span.as_millis()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_before_a_second_has_passed() {
        let mut rate = Rate::new();
        assert_eq!(rate.at(Duration::ZERO, 0), None);
        assert_eq!(rate.at(Duration::from_millis(900), 50_000_000), None);
        assert_eq!(
            rate.at(Duration::from_secs(1), 60_000_000),
            Some(60_000_000)
        );
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut rate = Rate::new();
        for second in 0..=100 {
            rate.at(Duration::from_secs(second), second * 1_000_000);
        }
        let mut moved = 100_000_000;
        for second in 101..=130 {
            moved += 5_000_000;
            rate.at(Duration::from_secs(second), moved);
        }
        let now = Duration::from_secs(131);
        assert_eq!(rate.at(now, moved + 5_000_000), Some(5_000_000));
    }

    /// Where there is no terminal it is asked for once in ten seconds.
    #[test]
    fn it_may_be_asked_for_seldom() {
        let mut rate = Rate::new();
        let ask = |rate: &mut Rate, secs, moved| rate.at(Duration::from_secs(secs), moved);
        assert_eq!(ask(&mut rate, 10, 10_000_000), Some(1_000_000));
        assert_eq!(ask(&mut rate, 20, 40_000_000), Some(3_000_000));
    }

    #[test]
    fn what_stands_still_has_no_rate() {
        let mut rate = Rate::new();
        for second in 0..100 {
            rate.at(Duration::from_secs(second), 7);
        }
        assert_eq!(rate.at(Duration::from_secs(100), 7), None);
    }
}
