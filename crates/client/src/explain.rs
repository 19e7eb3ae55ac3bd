//! Where a file's chunks are, and what the nodes themselves say of them.

use proto::id::{ChunkId, NodeId};
use proto::name::EntryPath;
use proto::net::Address;
use proto::node::ChunkDescription;

use crate::{Cluster, Error};

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
    /// What the node says; nothing if it did not answer.
    pub description: Option<ChunkDescription>,
}

pub(crate) async fn explain(
    _cluster: &Cluster,
    path: &EntryPath,
    _first: u64,
    _limit: u32,
) -> Result<Vec<ExplainedChunk>, Error> {
    tokio::task::yield_now().await;
    Err(Error::Unavailable {
        what: format!("explain {path}"),
        source: None,
    })
}
