//! Opening files and saying where their chunks are.

use std::collections::HashMap;

use proto::id::{ChunkId, VersionId};
use proto::master::{
    CHUNKS_PER_BLOCK, ChunkLocations, ChunksLocated, FileOpened, LocateChunks, LocatedChunk,
    NodeLocation, OpenFile,
};
use proto::table::Caller;
use proto::{ErrorCode, WireError};

use super::{ClusterView, Files};
use crate::command::NodeNumber;
use crate::state::{ChunkRow, Snapshot, StateError, VersionRow};

const CHUNKS_MAX: u32 = {
    assert!(CHUNKS_PER_BLOCK <= 512);
    512
};

impl<V: ClusterView> Files<V> {
    pub(super) async fn open_file(
        &self,
        _caller: &Caller,
        request: OpenFile,
    ) -> Result<FileOpened, WireError> {
        let snapshot = self.state.read()?;
        let (version, row) = snapshot.file(&request.path, request.version)?;
        let (size, modified_ms, chunk_size) = (row.size, row.modified_ms, row.chunk_size);
        let first = self.locate(snapshot, version, row, 0, request.chunks);
        Ok(FileOpened {
            version,
            size,
            modified_ms,
            chunk_size,
            first: first.await?,
        })
    }

    pub(super) async fn locate_chunks(
        &self,
        _caller: &Caller,
        request: LocateChunks,
    ) -> Result<ChunksLocated, WireError> {
        let snapshot = self.state.read()?;
        let version = request.version;
        let row = snapshot.version(version)?.ok_or_else(|| {
            let message = format!("there is no version {version} (any more): it was purged");
            WireError::new(ErrorCode::NotFound, message)
        })?;
        let locations = self.locate(snapshot, version, row, request.first, request.limit);
        Ok(ChunksLocated {
            locations: locations.await?,
        })
    }

    /// Takes the snapshot along to where the rows are read, and lets go of it there.
    async fn locate(
        &self,
        snapshot: Snapshot,
        version: VersionId,
        row: VersionRow,
        first: u64,
        limit: u32,
    ) -> Result<ChunkLocations, WireError> {
        let limit = limit.min(CHUNKS_MAX);
        let count = row.chunk_count().saturating_sub(first).min(limit.into());
        let count = usize::try_from(count).expect("a page is small");
        let read =
            move |files: &Self| Ok(files.read_locations(&snapshot, version, &row, first, limit)?);
        self.read_chunks(count, read).await
    }

    fn read_locations(
        &self,
        snapshot: &Snapshot,
        version: VersionId,
        row: &VersionRow,
        first: u64,
        limit: u32,
    ) -> Result<ChunkLocations, StateError> {
        let chunks = snapshot.chunks_of(version, row, first, limit)?;
        let ids: Vec<ChunkId> = chunks.iter().map(|(chunk, _)| *chunk).collect();
        let rows = snapshot.chunks(&ids)?;
        let mut places = NodePlaces::default();
        let mut located = Vec::with_capacity(chunks.len());
        for ((chunk, len), row) in chunks.into_iter().zip(rows) {
            let ChunkRow {
                mut replicas,
                failing,
                ..
            } = row.unwrap_or_default();
            self.best_first(&chunk, &mut replicas);
            let mut place = |node| places.place(node, &*self.cluster);
            let mut nodes: Vec<u16> = replicas.into_iter().filter_map(&mut place).collect();
            let counting = nodes.len();
            nodes.extend(failing.into_iter().filter_map(place));
            let failing = u16::try_from(nodes.len() - counting).unwrap_or(u16::MAX);
            located.push(LocatedChunk {
                chunk,
                len,
                nodes,
                failing,
            });
        }
        Ok(ChunkLocations {
            chunks: located,
            nodes: places.nodes,
        })
    }

    /// Orders a chunk's nodes: those that answer first, and each of them first for its share of the chunks.
    fn best_first(&self, chunk: &ChunkId, replicas: &mut [NodeNumber]) {
        if replicas.is_empty() {
            return;
        }
        let turn = usize::from(chunk.as_bytes()[ChunkId::LEN - 1]) % replicas.len();
        replicas.rotate_left(turn);
        replicas.sort_by_key(|node| !self.cluster.is_live(*node));
    }
}

/// The nodes that a reply names, each once.
#[derive(Debug, Default)]
pub(super) struct NodePlaces {
    pub(super) nodes: Vec<NodeLocation>,
    places: HashMap<NodeNumber, Option<u16>>,
}

impl NodePlaces {
    /// A node's place in the reply; nothing if the cluster does not know it.
    pub(super) fn place(&mut self, node: NodeNumber, cluster: &impl ClusterView) -> Option<u16> {
        let nodes = &mut self.nodes;
        *self.places.entry(node).or_insert_with(|| {
            let place = u16::try_from(nodes.len()).ok()?;
            nodes.push(cluster.location(node)?);
            Some(place)
        })
    }
}
