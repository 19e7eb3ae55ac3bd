//! When a read is late, so that another node is asked as well.
//!
//! One of which nothing comes is late soon. One that gets on is late only if it takes much longer than reads do, and
//! others get on much better meanwhile, or there are none to compare it with. On a slow line all are slow alike, and
//! asking more nodes would make each of them slower still.

use std::sync::Arc;
use std::time::Duration;

use proto::frame::Received;
use tokio::time::{Instant, sleep};

use crate::health::Health;

/// This many times as long, or as little, as others is late.
pub(crate) const LATE_FACTOR: u32 = 3;
/// When others have got less than this, it says little that one got nothing.
const COMPARABLE_LEN: u64 = 64 << 10;

/// A chunk that is being read, from one node or from several.
#[derive(Debug)]
pub(crate) struct Watch<'h> {
    health: &'h Health,
    len: u32,
    received: Arc<Received>,
}

impl<'h> Watch<'h> {
    pub(crate) fn new(health: &'h Health, len: u32) -> Self {
        let received = Arc::new(Received::new(health.received().clone()));
        Self {
            health,
            len,
            received,
        }
    }

    /// Where to count what comes of it.
    pub(crate) fn received(&self) -> &Arc<Received> {
        &self.received
    }

    /// Ends when what was asked for now is late.
    pub(crate) async fn until_late(&self) {
        let begun = Instant::now();
        let mut before = Bytes::now(self);
        loop {
            sleep(self.health.hedge_delay(self.len)).await;
            let now = Bytes::now(self);
            let lately = now.since(before);
            let another = lately.of_others / self.health.reads().saturating_sub(1).max(1);
            if (1..COMPARABLE_LEN).contains(&another) {
                continue;
            }
            let usual = self.health.read_time(self.len);
            if is_late(begun.elapsed(), usual, lately.here, another) {
                return;
            }
            before = now;
        }
    }
}

/// What has come, of this chunk and of those that others wait for.
#[derive(Debug, Clone, Copy)]
struct Bytes {
    here: u64,
    of_others: u64,
}

impl Bytes {
    fn now(watch: &Watch<'_>) -> Self {
        let here = watch.received.bytes();
        let in_all = watch
            .health
            .received()
            .load(std::sync::atomic::Ordering::Relaxed);
        Self {
            here,
            of_others: in_all.saturating_sub(here),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            here: self.here - before.here,
            of_others: self.of_others.saturating_sub(before.of_others),
        }
    }
}

/// Whether it is late, when it has taken so long where reads usually take so long, and got so many bytes lately where
/// another read got so many.
fn is_late(took: Duration, usual: Option<Duration>, got: u64, another: u64) -> bool {
    let takes_long = usual.is_some_and(|usual| took > usual * LATE_FACTOR);
    let others_do_better = another == 0 || got * u64::from(LATE_FACTOR) < another;
    got == 0 || (takes_long && others_do_better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_late_if_nothing_comes_or_others_do_better() {
        let check = |took, usual: Option<u64>, got, another, expected| {
            let usual = usual.map(Duration::from_secs);
            let late = is_late(Duration::from_secs(took), usual, got, another);
            assert_eq!(late, expected, "{took} {usual:?} {got} {another}");
        };
        check(1, None, 0, 0, true);
        check(1, None, 0, 100, true);
        check(1, Some(10), 0, 0, true);
        // The first that is read at all: nobody knows how long it should take.
        check(9, None, 1, 1000, false);
        // A slow line, that was slow before or became so: all get as little.
        check(9, Some(9), 100, 100, false);
        check(9, Some(1), 100, 100, false);
        // A slow node among others, or the only one that is read from.
        check(9, Some(1), 100, 1000, true);
        check(9, Some(1), 100, 0, true);
        check(2, Some(1), 100, 1000, false);
    }
}
