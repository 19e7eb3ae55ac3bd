//! The cluster's own time.

use tokio::time::Instant;

use crate::command::ClusterMillis;

/// The time that passes while masters run: goes on from the latest command's, by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct ClusterClock {
    base: ClusterMillis,
    started: Instant,
}

impl ClusterClock {
    /// A clock that stands at `base` now.
    pub fn starting_at(base: ClusterMillis) -> Self {
        Self {
            base,
            started: Instant::now(),
        }
    }

    /// The present.
    pub fn now(&self) -> ClusterMillis {
        self.at(Instant::now())
    }

    /// What it shows at an instant since it was started.
    pub fn at(&self, instant: Instant) -> ClusterMillis {
        let elapsed = instant.saturating_duration_since(self.started);
        let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        ClusterMillis(self.base.0.saturating_add(elapsed))
    }
}
