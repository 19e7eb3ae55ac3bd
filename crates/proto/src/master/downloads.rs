//! The way of a file out of the cluster: where its chunks are.

use serde::{Deserialize, Serialize};

use super::uploads::NodeLocation;
use crate::id::{ChunkId, NodeId, VersionId};
use crate::name::EntryPath;
use crate::table::without_body;

without_body!(
    OpenFile,
    FileOpened,
    LocateChunks,
    ChunksLocated,
    ReportBadReplica,
    BadReplicaNoted
);

/// See [`open_file`](super::MasterHandlers::open_file). Fails with `not_found`, `is_a_folder`.
#[derive(Debug, Serialize, Deserialize)]
pub struct OpenFile {
    /// Which.
    pub path: EntryPath,
    /// A former version; the current one if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionId>,
    /// How many chunks to locate at once: at most [`CHUNKS_PER_BLOCK`](super::CHUNKS_PER_BLOCK).
    pub chunks: u32,
}

/// The file's shape, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOpened {
    /// The version that is read from now on, whatever happens to the name.
    pub version: VersionId,
    /// Bytes.
    pub size: u64,
    /// When the content was last changed.
    pub modified_ms: u64,
    /// Bytes of every chunk but the last.
    pub chunk_size: u32,
    /// Where the first chunks are.
    pub first: ChunkLocations,
}

/// See [`locate_chunks`](super::MasterHandlers::locate_chunks). Fails with `not_found`.
#[derive(Debug, Serialize, Deserialize)]
pub struct LocateChunks {
    /// Of which version.
    pub version: VersionId,
    /// From which chunk on, counted from 0.
    pub first: u64,
    /// At most [`CHUNKS_PER_BLOCK`](super::CHUNKS_PER_BLOCK); fewer may come.
    pub limit: u32,
}

/// They are there.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChunksLocated {
    /// Where.
    pub locations: ChunkLocations,
}

/// A run of a file's chunks, with the nodes that hold them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkLocations {
    /// In the order of the file.
    pub chunks: Vec<LocatedChunk>,
    /// The nodes that they name.
    pub nodes: Vec<NodeLocation>,
}

/// One chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocatedChunk {
    /// Its id.
    pub chunk: ChunkId,
    /// Its bytes.
    pub len: u32,
    /// Who holds it, as places in `nodes`, those that answer first.
    pub nodes: Vec<u16>,
    /// How many of them, the last ones, have it on a disk that failed or hangs: those copies do not count.
    #[serde(default)]
    pub failing: u16,
}

/// See [`report_bad_replica`](super::MasterHandlers::report_bad_replica): a hint, which the master verifies.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReportBadReplica {
    /// Which chunk.
    pub chunk: ChunkId,
    /// Where it was bad.
    pub node: NodeId,
}

/// The node will be asked to verify it.
#[derive(Debug, Serialize, Deserialize)]
pub struct BadReplicaNoted {}
