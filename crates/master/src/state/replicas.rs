//! Copies that come and go beside uploads: found, lost, surplus, garbage, unknown.
//!
//! Each command names many copies, and does for each what still holds for it when it is applied: what was decided
//! from an older snapshot is checked again here. A deletion is planned only for a copy that nothing needs, and that
//! no promise names.

use planted::{Bug, is_planted};
use proto::ErrorCode;
use proto::id::ChunkId;
use redb::ReadableTable;

use super::error::{StateError, refuse};
use super::outcome::Outcome;
use super::promises::unite;
use super::proofs::known_copies;
use super::rows::ChunkRow;
use super::tables::Tables;
use crate::command::{ClusterMillis, NodeNumber};

/// `AddReplicas`.
pub(super) fn add_replicas(
    tables: &mut Tables<'_>,
    node: NodeNumber,
    down: &[NodeNumber],
    chunks: &[(ChunkId, u32)],
) -> Result<Outcome, StateError> {
    if tables.node(node)?.is_none() {
        return Ok(Outcome::Changed(0));
    }
    let wanted = usize::from(tables.rules.replication_factor);
    let mut changed = 0;
    for (chunk, len) in chunks {
        let Some(before) = tables.chunk(chunk)? else {
            continue;
        };
        let is_new = before.may_have_len(*len) && !before.replicas.contains(&node);
        let may_count = !tables.is_planned(node, chunk)? || is_planted(Bug::PlannedCopiesCounted);
        if is_new && may_count {
            let mut after = before.clone();
            after.len = *len;
            after.replicas.push(node);
            after.replicas.sort_unstable();
            if known_copies(tables, &after.replicas, down, &[])? >= wanted {
                // Made good elsewhere. If such a disk is sound again, its node lists the copy. What stays known here is
                // forgotten when its node does not have it any more.
                after.failing.clear();
            }
            tables.put_chunk(chunk, Some(&before), after)?;
            changed += 1;
        }
    }
    Ok(Outcome::Changed(changed))
}

/// `RemoveReplicas`.
pub(super) fn remove_replicas(
    tables: &mut Tables<'_>,
    node: NodeNumber,
    chunks: &[ChunkId],
) -> Result<Outcome, StateError> {
    if is_planted(Bug::MissingCopiesKept) {
        return Ok(Outcome::Changed(0));
    }
    for chunk in chunks {
        tables.withdraw_promises(node, chunk)?;
    }
    change_rows(tables, chunks, |before| {
        let is_recorded = before.replicas.contains(&node) || before.failing.contains(&node);
        let mut after = without_replica(before, node);
        if after.references == 0 {
            // A bad one may be there: it goes with the chunk.
            unite(&mut after.leftovers, &[node]);
        }
        (after, is_recorded)
    })
}

/// `NoteFailing`.
pub(super) fn note_failing(
    tables: &mut Tables<'_>,
    node: NodeNumber,
    chunks: &[ChunkId],
) -> Result<Outcome, StateError> {
    change_rows(tables, chunks, |before| {
        let is_recorded = before.replicas.contains(&node);
        let mut after = before.clone();
        if is_recorded {
            after.replicas.retain(|replica| *replica != node);
            unite(&mut after.failing, &[node]);
        }
        (after, is_recorded)
    })
}

/// Changes the rows of those chunks that are known; the change says whether it counts.
fn change_rows(
    tables: &mut Tables<'_>,
    chunks: &[ChunkId],
    change: impl Fn(&ChunkRow) -> (ChunkRow, bool),
) -> Result<Outcome, StateError> {
    let mut changed = 0;
    for chunk in chunks {
        let Some(before) = tables.chunk(chunk)? else {
            continue;
        };
        let (after, counts) = change(&before);
        if after != before {
            tables.put_chunk(chunk, Some(&before), after)?;
            changed += u64::from(counts);
        }
    }
    Ok(Outcome::Changed(changed))
}

fn without_replica(row: &ChunkRow, node: NodeNumber) -> ChunkRow {
    let mut row = row.clone();
    row.replicas.retain(|replica| *replica != node);
    row.failing.retain(|replica| *replica != node);
    row
}

/// `TrimReplicas`.
pub(super) fn trim_replicas(
    tables: &mut Tables<'_>,
    down: &[NodeNumber],
    copies: &[(ChunkId, NodeNumber)],
) -> Result<Outcome, StateError> {
    let wanted = usize::from(tables.rules.replication_factor);
    let mut changed = 0;
    for (chunk, node) in copies {
        let Some(before) = tables.chunk(chunk)? else {
            continue;
        };
        let others = known_copies(tables, &before.replicas, down, &[*node])?;
        let is_surplus = before.references > 0 && others >= wanted;
        let is_free = !tables.is_promised_on(*node, chunk)? || is_planted(Bug::PromisesIgnored);
        if is_surplus && is_free {
            tables.put_chunk(chunk, Some(&before), without_replica(&before, *node))?;
            changed += u64::from(tables.plan_deletion(*node, chunk)?);
        }
    }
    Ok(Outcome::Changed(changed))
}

/// `CollectGarbage`.
pub(super) fn collect_garbage(
    tables: &mut Tables<'_>,
    unreferenced_before: ClusterMillis,
    chunks: &[ChunkId],
) -> Result<Outcome, StateError> {
    let mut changed = 0;
    for chunk in chunks {
        let Some(before) = tables.chunk(chunk)? else {
            continue;
        };
        let is_garbage = before.references == 0 && before.unreferenced_since < unreferenced_before;
        if !is_garbage || (tables.is_promised(chunk)? && !is_planted(Bug::PromisesIgnored)) {
            continue;
        }
        let nothing = ChunkRow {
            replicas: Vec::new(),
            failing: Vec::new(),
            leftovers: Vec::new(),
            ..before.clone()
        };
        tables.put_chunk(chunk, Some(&before), nothing)?;
        for node in [before.replicas, before.failing, before.leftovers].concat() {
            changed += u64::from(tables.plan_deletion(node, chunk)?);
        }
    }
    Ok(Outcome::Changed(changed))
}

/// `NoteUnknownChunks`. What the state knows by now, is promised there, or is to be deleted there anyway, is not noted.
pub(super) fn note_unknown_chunks(
    tables: &mut Tables<'_>,
    at: ClusterMillis,
    node: NodeNumber,
    seen_before: ClusterMillis,
    chunks: &[ChunkId],
) -> Result<Outcome, StateError> {
    if tables.node(node)?.is_none() {
        return Ok(Outcome::Changed(0));
    }
    let mut changed = 0;
    for chunk in chunks {
        let is_known = tables.chunk(chunk)?.is_some()
            || tables.is_planned(node, chunk)?
            || tables.is_promised_on(node, chunk)?;
        let key = (node.0, chunk.as_bytes());
        if is_known {
            tables.unknown.remove(key)?;
            continue;
        }
        let (first_seen, inventories) = tables
            .unknown
            .get(key)?
            .map_or((at.0, 0), |seen| seen.value());
        let is_another = inventories == 0 || first_seen < seen_before.0;
        let inventories = inventories.saturating_add(u32::from(is_another));
        tables.unknown.insert(key, (first_seen, inventories))?;
        changed += 1;
    }
    Ok(Outcome::Changed(changed))
}

/// Inventories, some time apart, that must have shown an unknown chunk before it is deleted.
pub(crate) const INVENTORIES_MIN: u32 = 2;

/// `DeleteUnknownChunks`: all of what still holds of it, or nothing if the fuse does not let so many pass.
pub(super) fn delete_unknown_chunks(
    tables: &mut Tables<'_>,
    at: ClusterMillis,
    node: NodeNumber,
    seen_before: ClusterMillis,
    chunks: &[ChunkId],
) -> Result<Outcome, StateError> {
    let (mut unknown, mut known) = (Vec::new(), Vec::new());
    for chunk in chunks {
        let key = (node.0, chunk.as_bytes());
        let Some((first_seen, inventories)) = tables.unknown.get(key)?.map(|seen| seen.value())
        else {
            continue;
        };
        let is_due = (first_seen < seen_before.0 && inventories >= INVENTORIES_MIN)
            || is_planted(Bug::UnknownDeletedAtOnce);
        if !is_due || tables.is_promised_on(node, chunk)? {
            continue;
        }
        match tables.chunk(chunk)? {
            None => unknown.push(chunk),
            // Known by now: the next inventory adds it to the copies.
            Some(_) => known.push(chunk),
        }
    }
    let recorded = tables.head.counters.replicas;
    if !tables
        .head
        .fuse
        .lets_pass(unknown.len() as u64, recorded, at)
        && !is_planted(Bug::UnknownDeletedAtOnce)
    {
        return refuse(
            ErrorCode::PreconditionFailed,
            "the delete fuse stops this: too many copies of unknown chunks would go within a day",
        );
    }
    for chunk in known {
        tables.unknown.remove((node.0, chunk.as_bytes()))?;
    }
    let mut changed = 0;
    for chunk in unknown {
        tables.unknown.remove((node.0, chunk.as_bytes()))?;
        changed += u64::from(tables.plan_deletion(node, chunk)?);
    }
    tables.head.fuse.note_gone(changed, at);
    Ok(Outcome::Changed(changed))
}

/// `ConfirmDeletions`.
pub(super) fn confirm_deletions(
    tables: &mut Tables<'_>,
    node: NodeNumber,
    chunks: &[ChunkId],
) -> Result<Outcome, StateError> {
    let mut changed = 0;
    for chunk in chunks {
        changed += u64::from(tables.unplan_deletion(node, chunk)?);
    }
    Ok(Outcome::Changed(changed))
}
