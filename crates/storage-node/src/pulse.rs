//! Whether a disk hangs: the one place that knows.
//!
//! Whoever begins something on a disk says how long a disk that is well takes for it at most. While anything takes
//! longer, the disk hangs: it gets no new chunks, what it has does not count as copies, and nobody who can do without an
//! answer asks it. As soon as it has done what was overdue, it is as good as before.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use threads::{Mutex, MutexGuard};
use tokio::time::Instant;

/// What one disk has begun and not finished. Clones are of the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulse {
    begun: Arc<Mutex<Begun>>,
}

/// When each thing is overdue, told apart by numbers. Bounded by what a disk is asked at once.
#[derive(Debug, Default)]
struct Begun {
    overdue_at: BTreeSet<(Instant, u64)>,
    next: u64,
}

impl Pulse {
    /// Something begins that takes a disk that is well no longer than this; it is done when the guard is dropped.
    #[must_use = "it is done when this is dropped"]
    pub(crate) fn begin(&self, within: Duration) -> Task {
        let mut begun = self.begun();
        let key = (Instant::now() + within, begun.next);
        begun.next += 1;
        begun.overdue_at.insert(key);
        drop(begun);
        Task {
            pulse: self.clone(),
            key,
        }
    }

    /// Whether the disk hangs.
    pub(crate) fn hangs(&self) -> bool {
        let begun = self.begun();
        let first = begun.overdue_at.first();
        first.is_some_and(|(overdue_at, _)| *overdue_at <= Instant::now())
    }

    /// Whether anything has begun that is not done.
    #[cfg(test)]
    pub(crate) fn is_busy(&self) -> bool {
        !self.begun().overdue_at.is_empty()
    }

    fn begun(&self) -> MutexGuard<'_, Begun> {
        self.begun.lock()
    }
}

/// Something that a disk has begun and not finished.
#[derive(Debug)]
pub(crate) struct Task {
    pulse: Pulse,
    key: (Instant, u64),
}

impl Drop for Task {
    fn drop(&mut self) {
        self.pulse.begun().overdue_at.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_hangs_while_anything_is_overdue() {
        let pulse = Pulse::default();
        let long = pulse.begin(Duration::from_secs(60));
        let short = pulse.begin(Duration::from_secs(4));
        assert!(!pulse.hangs());
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(pulse.hangs());
        drop(short);
        assert!(!pulse.hangs());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(pulse.hangs());
        drop(long);
        assert!(!pulse.hangs() && !pulse.is_busy());
    }
}
