//! What a node gets from outside so that a test can decide it: where blocking work runs, the time of day, randomness.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use disk::Blocking;
use proto::id::BootId;
use uuid::Uuid;

type Clock = dyn Fn() -> u64 + Send + Sync;
type Random = dyn Fn(&mut [u8]) + Send + Sync;

/// Time, chance and threads. Waits and timeouts go by tokio's clock, which tests can turn as well.
#[derive(Clone)]
pub struct Environment {
    /// Where hashing and disk work run.
    pub blocking: Blocking,
    clock: Arc<Clock>,
    random: Arc<Random>,
}

impl Environment {
    /// The machine's own clock and randomness.
    pub fn real() -> Self {
        Self::new(Blocking::threads(), wall_clock_ms, |bytes| {
            getrandom::fill(bytes).expect("the system gives random bytes");
        })
    }

    /// One with these.
    pub fn new(
        blocking: Blocking,
        clock_ms: impl Fn() -> u64 + Send + Sync + 'static,
        random: impl Fn(&mut [u8]) + Send + Sync + 'static,
    ) -> Self {
        Self {
            blocking,
            clock: Arc::new(clock_ms),
            random: Arc::new(random),
        }
    }

    /// The same, with disk work in place.
    #[cfg(test)]
    pub(crate) fn in_place(&self) -> Self {
        Self {
            blocking: Blocking::inline(),
            ..self.clone()
        }
    }

    /// Milliseconds since 1970, for display, and for what does no harm if a clock is put forward or back.
    pub fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    /// Random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    /// A random UUID.
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.random()).into_uuid()
    }

    /// A new start's id.
    pub fn boot(&self) -> BootId {
        BootId::new(self.uuid())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("blocking", &self.blocking)
            .finish_non_exhaustive()
    }
}

fn wall_clock_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
