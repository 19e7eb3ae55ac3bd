//! Where a file's chunks are, and what the nodes themselves say of them.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::join_all;
use proto::connection::Peer;
use proto::id::{ChunkId, NodeId, VersionId};
use proto::master::LocateChunks;
use proto::net::Address;
use proto::node::{ChunkDescription, DescribeChunks};

use crate::fetch::{ChunkPlace, chunk_places};
use crate::{Cluster, Error, Shared};

/// One chunk of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedChunk {
    /// Its place in the file, from 0.
    pub index: u64,
    /// Its id.
    pub chunk: ChunkId,
    /// Its bytes.
    pub len: u32,
    /// Its copies, as the master has recorded them.
    pub copies: Vec<ExplainedCopy>,
}

/// One copy of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedCopy {
    /// Who holds it.
    pub node: NodeId,
    /// Where that node listens.
    pub address: Address,
    /// Whether the master hears from it.
    pub live: bool,
    /// Whether it is on a disk that failed or hangs, and does not count, as far as the master knows.
    pub failing: bool,
    /// What the node says; nothing if it did not answer, or was not asked.
    pub description: Option<ChunkDescription>,
}

/// As many as one reply of the master locates.
const CHUNKS_MAX: u32 = 512;

type Descriptions = HashMap<(NodeId, ChunkId), ChunkDescription>;

pub(crate) async fn explain(
    cluster: &Cluster,
    version: VersionId,
    first: u64,
    limit: u32,
) -> Result<Vec<ExplainedChunk>, Error> {
    let mut chunks = recorded(cluster, version, first, limit).await?;
    ask_nodes(&cluster.shared, &mut chunks).await;
    Ok(chunks)
}

/// What the master has recorded, without a word of the nodes.
pub(crate) async fn recorded(
    cluster: &Cluster,
    version: VersionId,
    first: u64,
    limit: u32,
) -> Result<Vec<ExplainedChunk>, Error> {
    let limit = limit.min(CHUNKS_MAX);
    let request = || LocateChunks {
        version,
        first,
        limit,
    };
    let located = cluster.ask(request).await?;
    let places = chunk_places(first, located.locations);
    Ok(places.map(not_described).collect())
}

/// One call a node, to all of them at once.
async fn ask_nodes(shared: &Arc<Shared>, explained: &mut [ExplainedChunk]) {
    let mut by_node: HashMap<NodeId, (Address, Vec<ChunkId>)> = HashMap::new();
    for ExplainedChunk { chunk, copies, .. } in &*explained {
        for copy in copies {
            let of_node = || (copy.address.clone(), Vec::new());
            let (_, chunks) = by_node.entry(copy.node).or_insert_with(of_node);
            chunks.push(*chunk);
        }
    }
    let calls = by_node.into_iter().map(async |(node, (address, chunks))| {
        let within = shared.options.call_retry_for;
        let request = DescribeChunks { chunks };
        let reply = shared
            .pool
            .call(Peer::node(node, &address), request, within)
            .await;
        let described = reply.map(|reply| reply.chunks).unwrap_or_default();
        described
            .into_iter()
            .map(move |description| ((node, description.chunk), description))
    });
    let said: Descriptions = join_all(calls).await.into_iter().flatten().collect();
    for ExplainedChunk { chunk, copies, .. } in explained {
        for copy in copies {
            copy.description = said.get(&(copy.node, *chunk)).cloned();
        }
    }
}

fn not_described(place: ChunkPlace) -> ExplainedChunk {
    let counting = place.nodes.len().saturating_sub(place.failing);
    let copies = place.nodes.into_iter().enumerate();
    let copies = copies.map(|(number, location)| ExplainedCopy {
        node: location.node,
        address: location.address,
        live: location.live,
        failing: number >= counting,
        description: None,
    });
    ExplainedChunk {
        index: place.index,
        chunk: place.chunk,
        len: place.len,
        copies: copies.collect(),
    }
}
