//! Where a master's history stands, so that one that went back in time, or that runs on a copy of another's folder, is
//! told from the one that a node has worked with.

use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, WireError};
use crate::id::{Epoch, RunId};

/// A point in the history of a cluster's master. Each order and each answer to a node carries the present one, and each
/// node tells the latest that it has seen when it registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPoint {
    /// How often the master had started.
    pub epoch: Epoch,
    /// Which start that was.
    pub run: RunId,
    /// How many steps of its log were durable, since the cluster was new: changes, requests that it refused, and what
    /// it did by itself, for example every minute.
    pub position: u64,
}

impl HistoryPoint {
    /// What a node has seen that had seen this, when it then hears of `heard`: the later of the two.
    ///
    /// # Errors
    /// `stale_epoch`, if `heard` is of an earlier start, or of another one that counts as the same.
    pub fn advanced_to(self, heard: Self) -> Result<Self, WireError> {
        if heard.epoch > self.epoch {
            return Ok(heard);
        }
        if heard.epoch < self.epoch {
            return Err(WireError::new(
                ErrorCode::StaleEpoch,
                format!(
                    "this comes from start {} of the master, but the node has already worked with start {}: the master \
                     went back in time",
                    heard.epoch, self.epoch
                ),
            ));
        }
        if heard.run != self.run {
            return Err(WireError::new(
                ErrorCode::StaleEpoch,
                format!(
                    "this comes from another master than the one whose start {} the node works with: two masters run on \
                     copies of one folder",
                    self.epoch
                ),
            ));
        }
        let position = self.position.max(heard.position);
        Ok(Self { position, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const fn point(epoch: u64, run: u128, position: u64) -> HistoryPoint {
        HistoryPoint {
            epoch: Epoch(epoch),
            run: RunId::new(Uuid::from_u128(run)),
            position,
        }
    }

    #[test]
    fn what_was_seen_only_advances_and_never_to_another_run_of_the_same_epoch() {
        let seen = point(3, 1, 10);
        assert_eq!(seen.advanced_to(point(3, 1, 12)), Ok(point(3, 1, 12)));
        assert_eq!(seen.advanced_to(point(3, 1, 9)), Ok(seen), "it came late");
        assert_eq!(seen.advanced_to(point(4, 2, 5)), Ok(point(4, 2, 5)));
        for (stale, why) in [
            (point(2, 1, 99), "went back in time"),
            (point(3, 2, 99), "two masters"),
        ] {
            let refusal = seen.advanced_to(stale).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::StaleEpoch);
            assert!(refusal.message.contains(why), "{refusal}");
        }
    }
}
