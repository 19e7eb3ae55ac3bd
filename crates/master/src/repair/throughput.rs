//! How many bytes a second went by lately: sums of the last ten seconds.

use tokio::time::Instant;

const SECONDS: u64 = 10;
const SLOTS: usize = 10;

/// Sums by the second.
#[derive(Debug)]
pub(super) struct Throughput {
    since: Instant,
    /// Which second a slot is for, and its bytes.
    slots: [(u64, u64); SLOTS],
}

impl Throughput {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            slots: [(0, 0); SLOTS],
        }
    }

    pub(super) fn add(&mut self, bytes: u64, now: Instant) {
        let second = self.second(now);
        let place = usize::try_from(second % SECONDS).expect("below ten");
        let slot = &mut self.slots[place];
        if slot.0 != second {
            *slot = (second, 0);
        }
        slot.1 += bytes;
    }

    /// Over the seconds since the oldest of the last ten in which anything went by.
    pub(super) fn bytes_per_second(&self, now: Instant) -> u64 {
        let second = self.second(now);
        let recent = || {
            self.slots
                .iter()
                .filter(|(at, bytes)| *bytes > 0 && at + SECONDS > second)
        };
        let bytes: u64 = recent().map(|(_, bytes)| bytes).sum();
        let oldest = recent().map(|(at, _)| *at).min().unwrap_or(second);
        bytes / (second - oldest + 1)
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.since).as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut throughput = Throughput::new(start);
        assert_eq!(throughput.bytes_per_second(start), 0);
        throughput.add(100, at(1));
        throughput.add(300, at(2));
        assert_eq!(throughput.bytes_per_second(at(2)), 200);
        assert_eq!(throughput.bytes_per_second(at(4)), 100);
        throughput.add(1000, at(12));
        assert_eq!(throughput.bytes_per_second(at(12)), 1000);
        assert_eq!(throughput.bytes_per_second(at(99)), 0);
    }
}
