//! The fuse against mass deletion: how many copies that nobody asked to delete may go.
//!
//! It counts copies of chunks that the master does not know. More than 1,000 of them within 24 hours of the cluster's
//! time, and more than 1 % of all copies on record, look like a defect, or like an old copy of the master's store, and
//! not like garbage: then the fuse trips, and nothing of the kind goes until a person resets it. After that, as many may
//! go as it had stopped, within 24 hours, and beyond those no more than the rule lets pass.
//!
//! A plain value in the head row, so that a restart changes nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::command::ClusterMillis;

/// Fewer deletions than this never trip the fuse.
const COPIES_MIN: u64 = 1000;
/// So many of a hundred recorded copies trip it.
const PERCENT: u64 = 1;
/// Deletions count together for so many hours, and a person's word lasts as long.
const HOURS: u64 = 24;
const HOUR_MS: u64 = 60 * 60 * 1000;

/// The fuse.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fuse {
    tripped: Option<TrippedFuse>,
    /// Copies that went by the rule, by the hour of the cluster's time; of the last hours only.
    gone: BTreeMap<u64, u64>,
    /// Copies that may still go because a person said so, and until when.
    allowed: Option<(u64, ClusterMillis)>,
}

/// The fuse, after it tripped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrippedFuse {
    /// How many copies would have gone.
    pub copies: u64,
    /// Of how many.
    pub of: u64,
}

impl Fuse {
    /// Whether it has tripped, and over what.
    pub fn tripped(&self) -> Option<TrippedFuse> {
        self.tripped
    }

    /// Whether so many copies may go now, of so many on record.
    pub fn lets_pass(&self, copies: u64, recorded: u64, at: ClusterMillis) -> bool {
        let by_rule = copies.saturating_sub(self.allowed_at(at));
        let gone: u64 = self.gone.range(first_hour(at)..).map(|hour| hour.1).sum();
        self.tripped.is_none() && (by_rule == 0 || !is_too_many(gone + by_rule, recorded))
    }

    /// So many copies go: first of those that a person allowed.
    pub(super) fn note_gone(&mut self, copies: u64, at: ClusterMillis) {
        let by_word = copies.min(self.allowed_at(at));
        if let Some((left, _)) = &mut self.allowed {
            *left -= by_word;
        }
        self.gone = self.gone.split_off(&first_hour(at));
        let by_rule = copies - by_word;
        if by_rule > 0 {
            *self.gone.entry(at.0 / HOUR_MS).or_default() += by_rule;
        }
    }

    pub(super) fn trip(&mut self, copies: u64, of: u64) {
        self.tripped = Some(TrippedFuse { copies, of });
    }

    /// A person lets go what it stopped.
    pub(super) fn reset(&mut self, at: ClusterMillis) {
        if let Some(tripped) = self.tripped.take() {
            let until = ClusterMillis(at.0.saturating_add(HOURS * HOUR_MS));
            self.allowed = Some((tripped.copies, until));
        }
    }

    fn allowed_at(&self, at: ClusterMillis) -> u64 {
        self.allowed
            .filter(|(_, until)| at < *until)
            .map_or(0, |(copies, _)| copies)
    }
}

/// The first hour that still counts.
fn first_hour(at: ClusterMillis) -> u64 {
    (at.0 / HOUR_MS).saturating_sub(HOURS)
}

fn is_too_many(deletions: u64, recorded: u64) -> bool {
    deletions > COPIES_MIN && deletions.saturating_mul(100) > recorded * PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: u64 = 5000;

    fn hours(count: u64) -> ClusterMillis {
        ClusterMillis(count * HOUR_MS)
    }

    #[test]
    fn it_trips_above_a_thousand_and_one_percent() {
        let check = |deletions, recorded, expected| {
            let passes = Fuse::default().lets_pass(deletions, recorded, hours(1));
            assert_eq!(!passes, expected, "{deletions} of {recorded}");
        };
        check(1, 1, false);
        check(1000, 1000, false);
        check(1001, 1000, true);
        check(1001, 100_100, false);
        check(1002, 100_100, true);
        check(5_000_000, 1_000_000_000, false);
        check(20_000_000, 1_000_000_000, true);
        check(5000, 0, true);
    }

    #[test]
    fn what_goes_bit_by_bit_counts_together_for_a_day() {
        let mut fuse = Fuse::default();
        for hour in 0..10 {
            assert!(fuse.lets_pass(100, RECORDED, hours(hour)));
            fuse.note_gone(100, hours(hour));
        }
        assert!(!fuse.lets_pass(1, RECORDED, hours(10)));
        assert!(!fuse.lets_pass(1, RECORDED, hours(24)));
        assert!(fuse.lets_pass(100, RECORDED, hours(25)));
        assert!(!fuse.lets_pass(101, RECORDED, hours(25)));
        fuse.note_gone(100, hours(25));
        assert_eq!(fuse.gone.len(), 10, "what is too old is forgotten");
    }

    #[test]
    fn after_a_reset_what_was_stopped_may_go_and_no_more() {
        let mut fuse = Fuse::default();
        fuse.note_gone(900, hours(1));
        fuse.trip(3000, RECORDED);
        assert!(!fuse.lets_pass(1, RECORDED, hours(1)), "it has tripped");
        fuse.reset(hours(1));
        fuse.note_gone(1000, hours(2));
        assert!(fuse.lets_pass(2000, RECORDED, hours(2)));
        assert!(fuse.lets_pass(2100, RECORDED, hours(2)), "100 by the rule");
        assert!(!fuse.lets_pass(2101, RECORDED, hours(2)));
        fuse.note_gone(2000, hours(2));
        assert!(!fuse.lets_pass(101, RECORDED, hours(2)));
        assert!(fuse.lets_pass(100, RECORDED, hours(2)));
    }

    #[test]
    fn a_reset_is_good_for_a_day() {
        let mut fuse = Fuse::default();
        fuse.trip(3000, RECORDED);
        fuse.reset(hours(1));
        assert!(fuse.lets_pass(3000, RECORDED, hours(24)));
        assert!(!fuse.lets_pass(3000, RECORDED, hours(25)));
        fuse.reset(hours(30));
        assert!(
            !fuse.lets_pass(3000, RECORDED, hours(30)),
            "nothing is tripped"
        );
    }
}
