//! How fast repair may copy: a bucket of bytes that fills at a steady rate.
//!
//! A plain value. A copy may begin while there is anything in the bucket and then takes its whole length out, so
//! that a chunk longer than the bucket is delayed, never refused.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes a second, or no limit.
#[derive(Debug)]
pub struct RateLimiter {
    bytes_per_second: Option<u64>,
    /// May be below zero: then whoever comes waits.
    available: i64,
    filled_at: Instant,
}

impl RateLimiter {
    /// A limiter whose bucket is full.
    pub fn new(bytes_per_second: Option<u64>, now: Instant) -> Self {
        Self {
            bytes_per_second,
            available: bytes_per_second.map_or(0, to_signed),
            filled_at: now,
        }
    }

    /// Takes `len` bytes out if a copy may begin now; else says how long to wait before asking again.
    pub fn take(&mut self, len: u64, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.bytes_per_second else {
            return Ok(());
        };
        self.fill(rate, now);
        if self.available <= 0 {
            let missing = self.available.unsigned_abs() + 1;
            let micros = missing.saturating_mul(1_000_000).div_ceil(rate.max(1));
            return Err(Duration::from_micros(micros));
        }
        self.available -= to_signed(len);
        Ok(())
    }

    fn fill(&mut self, rate: u64, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at);
        let micros = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        let fresh = micros.saturating_mul(rate) / 1_000_000;
        if fresh > 0 {
            let full = to_signed(rate);
            self.available = self.available.saturating_add(to_signed(fresh)).min(full);
            self.filled_at = now;
        }
    }
}

fn to_signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_time() {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(Some(1000), start);
        let (mut now, mut taken) = (start, 0);
        while now < start + Duration::from_secs(10) {
            match limiter.take(300, now) {
                Ok(()) => taken += 300,
                Err(wait) => now += wait,
            }
        }
        assert!(
            (10_000..=11_600).contains(&taken),
            "{taken} in 10 s, and a full bucket of 1000"
        );
    }

    #[test]
    fn a_chunk_longer_than_the_bucket_is_delayed_and_not_refused() {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(Some(100), start);
        assert_eq!(limiter.take(1000, start), Ok(()));
        let wait = limiter.take(1, start).unwrap_err();
        assert!(wait > Duration::from_secs(9), "{wait:?}");
        assert_eq!(limiter.take(1, start + wait), Ok(()));
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(None, start);
        assert!((0..100).all(|_| limiter.take(u64::MAX, start).is_ok()));
    }
}
