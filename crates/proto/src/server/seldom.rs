//! A warning that would come again and again, said once in a while.

use std::time::Duration;

use tokio::time::Instant;

/// How long it is not said again.
const PAUSE: Duration = Duration::from_secs(10);

/// When it was said last. `web` has one too.
#[derive(Debug, Default)]
pub struct Seldom {
    said: Option<Instant>,
}

impl Seldom {
    /// Whether it is to be said now: not if it was a moment ago.
    pub fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self.said.is_none_or(|said| now - said >= PAUSE);
        if is_due {
            self.said = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_said_once_in_a_while() {
        let mut seldom = Seldom::default();
        assert!(seldom.is_due());
        for _ in 0..100 {
            assert!(!seldom.is_due());
            tokio::time::advance(PAUSE / 101).await;
        }
        tokio::time::advance(PAUSE / 10).await;
        assert!(seldom.is_due());
        assert!(!seldom.is_due());
    }
}
