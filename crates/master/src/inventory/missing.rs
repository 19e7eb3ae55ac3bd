//! Recorded copies that a node did not list: it does not have them, or they are on a disk of it that failed or hangs.
//!
//! What is on such a disk does not count as a copy any more, so that repair makes others; but it can still be read, at
//! once or when the disk answers, and stays known for that. The copy itself is not deleted: if the disk is sound after a
//! restart, or answers again, it is listed and counts again. **Invariant:** it is forgotten only when the node says, by
//! name, that it does not have it, or when there are enough others.

use proto::id::ChunkId;
use proto::node::ChunkState;
use tracing::warn;

use super::{Findings, InventoryError, PAGE};
use crate::command::NodeNumber;
use crate::control::Control;
use crate::state::ChunkRow;

/// What a node said of copies that do not count, or shall not.
#[derive(Debug, Default)]
struct Described {
    lost: Vec<ChunkId>,
    failing: Vec<ChunkId>,
}

impl Control {
    /// Takes out of the record what the node does not have, and notes what it has on a failed or hung disk.
    pub(super) async fn settle_missing(
        &self,
        node: NodeNumber,
        chunks: Vec<ChunkId>,
        findings: &mut Findings,
    ) -> Result<(), InventoryError> {
        let ids = chunks.clone();
        let rows = self.read(move |snapshot| snapshot.chunks(&ids)).await?;
        let is_recorded =
            |row: Option<ChunkRow>| row.is_some_and(|row| row.replicas.contains(&node));
        let recorded = chunks.into_iter().zip(rows);
        let recorded = recorded.filter_map(|(chunk, row)| is_recorded(row).then_some(chunk));
        let Described { lost, failing } = self.describe_missing(node, recorded.collect()).await?;
        let (count, failed) = (lost.len(), failing.len());
        if count > 0 {
            warn!(
                node = self.name_of(node),
                count, "a node does not have copies that were recorded there"
            );
            self.remove_replicas(node, lost).await?;
        }
        if failed > 0 {
            warn!(
                node = self.name_of(node),
                count = failed,
                "copies are on a disk that failed or hangs: they are read if need be, and do not count"
            );
            self.note_failing(node, failing).await?;
        }
        findings.missing += count + failed;
        Ok(())
    }

    /// Forgets what the node does not have on a failed or hung disk any more. What is on a sound one is listed.
    pub(super) async fn settle_failing(
        &self,
        node: NodeNumber,
        findings: &mut Findings,
    ) -> Result<(), InventoryError> {
        let mut after: Option<ChunkId> = None;
        loop {
            let page = self
                .read(move |snapshot| snapshot.failing_page(node, after.as_ref(), PAGE))
                .await?;
            let is_last = page.len() < PAGE;
            after = page.last().copied();
            let Described { lost, .. } = self.describe_missing(node, page).await?;
            findings.missing += lost.len();
            if !lost.is_empty() {
                self.remove_replicas(node, lost).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    async fn describe_missing(
        &self,
        node: NodeNumber,
        chunks: Vec<ChunkId>,
    ) -> Result<Described, InventoryError> {
        let mut described = Described::default();
        for (chunk, state) in self.describe(node, chunks).await? {
            match state {
                ChunkState::Corrupt | ChunkState::Missing => described.lost.push(chunk),
                ChunkState::OnFailedDisk | ChunkState::OnHungDisk => described.failing.push(chunk),
                ChunkState::Good => {}
            }
        }
        Ok(described)
    }
}
