//! Recorded copies that a node did not list: it does not have them, or they are on a disk of it that failed or hangs.
//!
//! What is on a failed disk does not count as a copy any more, so that repair makes others; but it can still be read. What
//! may be on a disk that hangs cannot be read for now, and is not lost either.
//! **Invariant:** its record goes only when another node says, by name, that it has a copy, a good one or, where all are on
//! failed disks, one that can be read: the last copy stays known, and repair copies from it. The copy itself is not deleted: if the disk is sound after a
//! restart of the node, it is listed and counts again.

use std::collections::{BTreeMap, HashMap};

use proto::id::ChunkId;
use proto::node::ChunkState;
use tracing::warn;

use super::{Findings, InventoryError};
use crate::command::NodeNumber;
use crate::control::Control;
use crate::state::ChunkRow;

/// How the other recorded copies of a chunk are, where a live node answers.
#[derive(Debug, Default, Clone, Copy)]
struct Elsewhere {
    good: usize,
    on_failed_disks: usize,
    /// Whether one of the latter is on a node with a lower number.
    is_after_another: bool,
}

impl Elsewhere {
    fn add(&mut self, state: ChunkState, is_lower: bool) {
        match state {
            ChunkState::Good => self.good += 1,
            ChunkState::OnFailedDisk => {
                self.on_failed_disks += 1;
                self.is_after_another |= is_lower;
            }
            ChunkState::OnHungDisk | ChunkState::Corrupt | ChunkState::Missing => {}
        }
    }

    /// Whether a copy on a failed disk can be taken out of the record.
    ///
    /// If all copies are on failed disks, one goes nevertheless (and only one, whichever nodes are compared at the same
    /// time) as long as there are as many as wanted: otherwise nothing would be missing, and nothing repaired.
    fn suffices(self, wanted: usize) -> bool {
        let others_needed = wanted.saturating_sub(1).max(1);
        self.good > 0 || (!self.is_after_another && self.on_failed_disks >= others_needed)
    }
}

impl Control {
    /// Takes out of the record what the node does not have, or has on a failed or hung disk while there is a better copy.
    pub(super) async fn settle_missing(
        &self,
        node: NodeNumber,
        chunks: Vec<ChunkId>,
        findings: &mut Findings,
    ) -> Result<(), InventoryError> {
        let recorded = self.recorded_on(node, chunks).await?;
        let described = self.describe(node, recorded.keys().copied().collect());
        let (mut lost, mut failing) = (Vec::new(), HashMap::new());
        for (chunk, state) in described.await? {
            match (state, recorded.get(&chunk)) {
                (ChunkState::Corrupt | ChunkState::Missing, _) => lost.push(chunk),
                (ChunkState::OnFailedDisk | ChunkState::OnHungDisk, Some(row)) => {
                    failing.insert(chunk, row);
                }
                (ChunkState::Good, _)
                | (ChunkState::OnFailedDisk | ChunkState::OnHungDisk, None) => {}
            }
        }
        let elsewhere = self.elsewhere(node, &failing).await;
        let wanted = usize::from(self.config.rules.replication_factor);
        let (given_up, kept): (Vec<_>, Vec<_>) = failing
            .into_keys()
            .partition(|chunk| elsewhere.get(chunk).is_some_and(|it| it.suffices(wanted)));
        findings.at_risk += kept.len();
        // Their records stay as they are: repair makes the other copies, if any node can take them.
        self.repair.look_at(kept);
        lost.extend(given_up);
        let count = lost.len();
        if count > 0 {
            warn!(
                node = node.0,
                count,
                "a node does not have copies that were recorded there, or has them on a disk that failed or hangs"
            );
            self.remove_replicas(node, lost).await?;
        }
        findings.missing += count;
        Ok(())
    }

    /// The rows of those of the chunks that are recorded on the node now.
    async fn recorded_on(
        &self,
        node: NodeNumber,
        chunks: Vec<ChunkId>,
    ) -> Result<HashMap<ChunkId, ChunkRow>, InventoryError> {
        let ids = chunks.clone();
        let rows = self.read(move |snapshot| snapshot.chunks(&ids)).await?;
        let recorded = chunks.into_iter().zip(rows).filter_map(|(chunk, row)| {
            let row = row.filter(|row| row.replicas.contains(&node))?;
            Some((chunk, row))
        });
        Ok(recorded.collect())
    }

    /// Asks the other nodes that hold these chunks, all at once. One that does not answer has no copy to rely on.
    async fn elsewhere(
        &self,
        node: NodeNumber,
        chunks: &HashMap<ChunkId, &ChunkRow>,
    ) -> HashMap<ChunkId, Elsewhere> {
        let mut asked: BTreeMap<NodeNumber, Vec<ChunkId>> = BTreeMap::new();
        for (chunk, row) in chunks {
            for other in row.replicas.iter().filter(|other| **other != node) {
                asked.entry(*other).or_default().push(*chunk);
            }
        }
        asked.retain(|other, _| self.membership().is_live(*other));
        let answers = asked.into_iter().map(async |(other, chunks)| {
            let described = self.describe(other, chunks).await;
            (other, described.unwrap_or_default())
        });
        let mut elsewhere: HashMap<ChunkId, Elsewhere> = HashMap::new();
        for (other, described) in futures::future::join_all(answers).await {
            for (chunk, state) in described {
                let entry = elsewhere.entry(chunk).or_default();
                entry.add(state, other < node);
            }
        }
        elsewhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(others: &[(ChunkState, bool)], wanted: usize, expected: bool) {
        let mut elsewhere = Elsewhere::default();
        for (state, is_lower) in others {
            elsewhere.add(*state, *is_lower);
        }
        assert_eq!(
            elsewhere.suffices(wanted),
            expected,
            "{others:?} of {wanted}"
        );
    }

    #[test]
    fn the_last_copy_that_can_be_read_stays_known() {
        use ChunkState::{Corrupt, Good, Missing, OnFailedDisk, OnHungDisk};
        check(&[(OnHungDisk, false), (OnHungDisk, false)], 3, false);
        check(&[], 3, false);
        check(&[], 1, false);
        check(&[(Corrupt, false), (Missing, false)], 3, false);
        check(&[(Good, true)], 3, true);
        check(&[(OnFailedDisk, false)], 3, false);
        check(&[(OnFailedDisk, true), (Good, false)], 3, true);
    }

    #[test]
    fn where_all_are_on_failed_disks_the_first_makes_way_for_a_new_one() {
        let failed = ChunkState::OnFailedDisk;
        check(&[(failed, false), (failed, false)], 3, true);
        check(&[(failed, true), (failed, false)], 3, false);
        check(&[(failed, false)], 2, true);
        check(&[(failed, false)], 1, true);
    }
}
