//! The master's starts: one row each, by which a node that worked with another master is told. See
//! [`lineage`](crate::lineage).

use planted::{Bug, is_planted};
use proto::ErrorCode;
use proto::id::{Epoch, RunId};
use uuid::Uuid;

use super::Snapshot;
use super::error::{StateError, refuse};
use super::outcome::Outcome;
use super::tables::{self, Tables};
use crate::lineage::{Known, STARTS_LOST_MAX, Start};

/// `RaiseEpoch`.
pub(super) fn raise_epoch(
    tables: &mut Tables<'_>,
    restored: bool,
    run: RunId,
) -> Result<Outcome, StateError> {
    let step = match restored {
        true => STARTS_LOST_MAX,
        false if is_planted(Bug::EpochNotRaised) && tables.head.epoch > 0 => 0,
        false => 1,
    };
    let Some(epoch) = tables.head.epoch.checked_add(step) else {
        return refuse(
            ErrorCode::InvalidArgument,
            "the master cannot have started more often",
        );
    };
    tables.head.epoch = epoch;
    if restored {
        tables.head.restored_at = epoch;
        // What is forgiven is not looked up any more.
        tables.lineage.retain(|_, _| false)?;
    }
    // The present command is counted already.
    let began = tables.head.applied - 1;
    tables
        .lineage
        .insert(epoch, (run.uuid().as_u128(), began))?;
    Ok(Outcome::Epoch(Epoch(epoch)))
}

impl Snapshot {
    /// What there is to know of an epoch that a node has seen.
    pub fn lineage_of(&self, epoch: Epoch) -> Result<Known, StateError> {
        let head = self.head()?;
        let lineage = self.table(tables::LINEAGE)?;
        let start = lineage.get(epoch.0)?.map(|row| {
            let (run, began) = row.value();
            Start {
                run: RunId::new(Uuid::from_u128(run)),
                began,
            }
        });
        let after = epoch.0.saturating_add(1);
        let next = lineage.range(after..)?.next().transpose()?;
        Ok(Known {
            epoch: Epoch(head.epoch),
            restored_at: Epoch(head.restored_at),
            start,
            next_began: next.map(|(_, row)| row.value().1),
        })
    }
}
