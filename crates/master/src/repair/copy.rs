//! One copy: a node is asked to fetch a chunk from others, and copies that were made are recorded together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use planted::{Point, reach};
use proto::ErrorCode;
use proto::WireError;
use proto::connection::CallError;
use proto::id::ChunkId;
use proto::master::NodeLocation;
use proto::node::{ChunkSource, ReplicateChunk};

use crate::claims::CopyClaim;
use crate::command::{ClusterMillis, NodeNumber};
use crate::control::Control;
use crate::handlers::ClusterView;

/// A chunk is fetched, verified, and made durable within this time, or the copy has failed.
const REPLICATE_TIMEOUT: Duration = Duration::from_secs(30);

/// What to copy, and between whom.
#[derive(Debug, Clone)]
pub(super) struct CopyOrder {
    pub(super) chunk: ChunkId,
    pub(super) len: u32,
    /// The first is asked first.
    pub(super) sources: Vec<NodeNumber>,
    pub(super) target: NodeNumber,
}

/// How a copy ended that was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyFailure {
    /// It is not to be made any more, or not there.
    Obsolete,
    /// The target does not do it now.
    Target,
    /// The target could not get good bytes from the sources.
    Sources,
}

/// A copy that is made and not recorded yet.
#[derive(Debug)]
pub(super) struct MadeCopy {
    pub(super) chunk: ChunkId,
    pub(super) len: u32,
    pub(super) node: NodeNumber,
    /// Copies that the chunk had before, and copies that it then lacked.
    pub(super) present: usize,
    pub(super) missing: usize,
    /// When the node was asked for it: not before then has it stored it.
    pub(super) begun_at: ClusterMillis,
    /// Held until it is recorded.
    pub(super) _claim: CopyClaim,
}

impl Control {
    /// Has a copy made, and tells from which source if any had to give it. The caller has claimed it.
    pub(super) async fn make_copy(
        &self,
        order: &CopyOrder,
    ) -> Result<Option<NodeNumber>, CopyFailure> {
        let (chunk, target) = (order.chunk, order.target);
        let still_wanted = self.read(move |snapshot| {
            let row = snapshot.chunk(&chunk)?;
            let is_open =
                row.is_some_and(|row| row.references > 0 && !row.replicas.contains(&target));
            Ok(is_open && !snapshot.is_deletion_planned(target, &chunk)?)
        });
        if !still_wanted.await.unwrap_or(false) {
            return Err(CopyFailure::Obsolete);
        }
        let sources = order.sources.iter();
        let request = ReplicateChunk {
            as_of: self.point(),
            chunk,
            len: order.len,
            sources: sources
                .filter_map(|node| self.location(*node))
                .map(|NodeLocation { node, address, .. }| ChunkSource { node, address })
                .collect(),
        };
        match self.order_node(target, request, REPLICATE_TIMEOUT).await {
            Ok(made) => Ok(made
                .source
                .and_then(|source| self.membership().number(source))),
            Err(error) => {
                tracing::debug!(%chunk, node = target.0, %error, "a copy failed; it is tried again");
                Err(blame(&error))
            }
        }
    }

    /// Records copies that were made. Those of chunks that are gone meanwhile are noted as unknown where they are.
    pub(super) async fn record_copies(
        self: Arc<Self>,
        copies: Vec<MadeCopy>,
    ) -> (Vec<MadeCopy>, Result<(), WireError>) {
        reach(Point::CopiesMade);
        let mut by_node: BTreeMap<NodeNumber, Vec<(ChunkId, u32)>> = BTreeMap::new();
        for copy in &copies {
            let made = by_node.entry(copy.node).or_default();
            made.push((copy.chunk, copy.len));
        }
        let recorded = by_node
            .into_iter()
            .map(|(node, chunks)| self.record_on(node, chunks));
        let result = futures::future::try_join_all(recorded).await;
        (copies, result.map(|_| ()))
    }

    async fn record_on(
        &self,
        node: NodeNumber,
        chunks: Vec<(ChunkId, u32)>,
    ) -> Result<(), WireError> {
        let ids: Vec<_> = chunks.iter().map(|(chunk, _)| *chunk).collect();
        if self.add_replicas(node, chunks).await? == ids.len() as u64 {
            return Ok(());
        }
        let wanted = ids.clone();
        let rows = self.read(move |snapshot| snapshot.chunks(&wanted)).await?;
        let gone = ids.into_iter().zip(rows).filter(|(_, row)| row.is_none());
        let chunks: Vec<_> = gone.map(|(chunk, _)| chunk).collect();
        self.note_unknown(node, chunks).await
    }
}

/// Whose fault a failed copy is, as far as the error tells.
fn blame(error: &CallError) -> CopyFailure {
    match error.code() {
        Some(ErrorCode::NoSource) => CopyFailure::Sources,
        _ => CopyFailure::Target,
    }
}
