//! Asking the master where chunks of an upload go.

use std::sync::Arc;
use std::time::Duration;

use proto::id::{NodeId, PromiseId, UploadId};
use proto::master::{AllocateChunks, ChunkToStore, ChunksAllocated, NodeLocation, Placement};
use proto::{ErrorCode, WireError};
use tokio::time::{Instant, sleep};

use crate::{Error, Shared};

/// Between two tries while the master knows too few nodes.
const PAUSE: Duration = Duration::from_millis(250);

/// Where chunks go, in the order asked.
#[derive(Debug)]
pub(crate) struct Allocated {
    pub(crate) places: Vec<Destination>,
    pub(crate) chunk_size: u32,
    pub(crate) lease: Duration,
    pub(crate) copies_min: usize,
}

/// Where a chunk goes.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// Nowhere: the cluster has it.
    Stored,
    /// To all of these, as promised.
    Nodes(PromiseId, Vec<NodeLocation>),
}

/// Asks once. Fails with [`Error::NotEnoughReplicas`] where the nodes that are left do not suffice.
pub(crate) async fn allocate(
    shared: &Arc<Shared>,
    upload: UploadId,
    chunks: &[ChunkToStore],
    avoid: &[NodeId],
    retry_for: Duration,
) -> Result<Allocated, Error> {
    let request = || AllocateChunks {
        upload,
        chunks: chunks.to_vec(),
        avoid: avoid.to_vec(),
    };
    let reply = shared.masters.call(retry_for, request).await?;
    if reply.placements.len() != chunks.len() {
        let message = "the master's answer does not fit the chunks that it was asked for";
        return Err(WireError::new(ErrorCode::Internal, message).into());
    }
    Ok(resolve(reply))
}

/// Asks without those nodes that failed lately, then with them, and waits a little for nodes to come back.
pub(crate) async fn allocate_patiently(
    shared: &Arc<Shared>,
    upload: UploadId,
    chunks: &[ChunkToStore],
) -> Result<Allocated, Error> {
    let started = Instant::now();
    let mut avoid = shared.health.avoided();
    loop {
        let retry_for = shared.options.transfer_retry_for;
        let result = allocate(shared, upload, chunks, &avoid, retry_for).await;
        match result {
            Err(Error::NotEnoughReplicas { .. }) if !avoid.is_empty() => avoid.clear(),
            Err(Error::NotEnoughReplicas { .. })
                if started.elapsed() < shared.options.nodes_patience =>
            {
                sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

fn resolve(reply: ChunksAllocated) -> Allocated {
    let nodes = reply.nodes;
    let destination = |placement| match placement {
        Placement::Stored => Destination::Stored,
        Placement::Promised {
            promise,
            nodes: places,
        } => {
            let places = places.into_iter().map(usize::from);
            let locations = places.filter_map(|place| nodes.get(place).cloned());
            Destination::Nodes(promise, locations.collect())
        }
    };
    Allocated {
        places: reply.placements.into_iter().map(destination).collect(),
        chunk_size: reply.chunk_size,
        lease: Duration::from_millis(reply.lease_ms),
        copies_min: usize::from(reply.min_write_replicas),
    }
}
