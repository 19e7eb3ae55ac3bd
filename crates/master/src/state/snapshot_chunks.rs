//! Reading chunks, nodes and uploads: what the controllers of repair, garbage and inventories work through.
//!
//! Pages go by key: the last key of one is the cursor of the next.

use std::ops::Bound;

use proto::id::{ChunkId, NodeId, UploadId};
use proto::node::BucketDigest;
use redb::ReadableTable;
use uuid::Uuid;

use super::error::StateError;
use super::rows::{self, ChunkRow, NodeRow, NodeTally, PromiseRow, UnknownChunk, UploadRow};
use super::snapshot::Snapshot;
use super::tables;
use crate::command::{ClusterMillis, NodeNumber};

impl Snapshot {
    /// A chunk. Nothing if neither a version, nor an upload, nor a node is known to have it.
    pub fn chunk(&self, chunk: &ChunkId) -> Result<Option<ChunkRow>, StateError> {
        match self.table(tables::CHUNKS)?.get(chunk.as_bytes())? {
            Some(row) => Ok(Some(rows::decode(row.value())?)),
            None => Ok(None),
        }
    }

    /// Several chunks, in the order asked.
    pub fn chunks(&self, chunks: &[ChunkId]) -> Result<Vec<Option<ChunkRow>>, StateError> {
        let table = self.table(tables::CHUNKS)?;
        let read = |chunk: &ChunkId| match table.get(chunk.as_bytes())? {
            Some(row) => Ok(Some(rows::decode(row.value())?)),
            None => Ok(None),
        };
        chunks.iter().map(read).collect()
    }

    /// A node by its number; one that was removed and is not yet swept is not there.
    pub fn node(&self, node: NodeNumber) -> Result<Option<NodeRow>, StateError> {
        let Some(row) = self.table(tables::NODES)?.get(node.0)? else {
            return Ok(None);
        };
        let row: NodeRow = rows::decode(row.value())?;
        Ok((!row.removed).then_some(row))
    }

    /// A node's number.
    pub fn node_number(&self, node: NodeId) -> Result<Option<NodeNumber>, StateError> {
        let numbers = self.table(tables::NODE_NUMBERS)?;
        let number = numbers.get(node.uuid().as_u128())?;
        Ok(number.map(|number| NodeNumber(number.value())))
    }

    /// All nodes that were not removed. For the start; later, who is there is the membership's to say.
    pub fn nodes(&self) -> Result<Vec<(NodeNumber, NodeRow)>, StateError> {
        let mut nodes = Vec::new();
        for row in self.table(tables::NODES)?.iter()? {
            let (number, row) = row?;
            let row: NodeRow = rows::decode(row.value())?;
            if !row.removed {
                nodes.push((NodeNumber(number.value()), row));
            }
        }
        Ok(nodes)
    }

    /// What is recorded of a node, in sums.
    pub fn node_tally(&self, node: NodeNumber) -> Result<NodeTally, StateError> {
        let tally = self.table(tables::TALLIES)?.get(node.0)?;
        Ok(tally.map_or_else(NodeTally::default, |tally| tally.value().into()))
    }

    /// What is recorded of several nodes, in the order asked.
    pub fn node_tallies(&self, nodes: &[NodeNumber]) -> Result<Vec<NodeTally>, StateError> {
        nodes.iter().map(|node| self.node_tally(*node)).collect()
    }

    /// Chunks recorded on a node, by id.
    pub fn node_chunks_page(
        &self,
        node: NodeNumber,
        after: Option<&ChunkId>,
        limit: usize,
    ) -> Result<Vec<ChunkId>, StateError> {
        self.chunk_keys(tables::NODE_CHUNKS, node, after, None, limit)
    }

    /// Chunks that a node has on a failed disk, by id.
    pub fn failing_page(
        &self,
        node: NodeNumber,
        after: Option<&ChunkId>,
        limit: usize,
    ) -> Result<Vec<ChunkId>, StateError> {
        self.chunk_keys(tables::FAILING, node, after, None, limit)
    }

    /// Chunks of one bucket recorded on a node, by id.
    pub fn node_bucket_page(
        &self,
        node: NodeNumber,
        bucket: u8,
        after: Option<&ChunkId>,
        limit: usize,
    ) -> Result<Vec<ChunkId>, StateError> {
        self.chunk_keys(tables::NODE_CHUNKS, node, after, Some(bucket), limit)
    }

    /// The sums of all 256 buckets recorded on a node.
    pub fn bucket_digests(&self, node: NodeNumber) -> Result<Vec<BucketDigest>, StateError> {
        let mut digests = vec![BucketDigest::default(); 256];
        let table = self.table(tables::DIGESTS)?;
        for row in table.range((node.0, 0)..=(node.0, u8::MAX))? {
            let (key, sum) = row?;
            let (count, xor) = sum.value();
            digests[usize::from(key.value().1)] = BucketDigest { count, xor };
        }
        Ok(digests)
    }

    /// Chunks that files need and that have more or fewer recorded copies than they should, by id.
    pub fn needs_copies_page(
        &self,
        after: Option<&ChunkId>,
        limit: usize,
    ) -> Result<Vec<(ChunkId, ChunkRow)>, StateError> {
        let chunks = self.table(tables::CHUNKS)?;
        let from = after.map_or(Bound::Unbounded, |chunk| Bound::Excluded(chunk.as_bytes()));
        let mut page = Vec::new();
        let table = self.table(tables::NEEDS_COPIES)?;
        for row in table
            .range::<&[u8; 32]>((from, Bound::Unbounded))?
            .take(limit)
        {
            let id = ChunkId::from_bytes(*row?.0.value());
            let row = chunks.get(id.as_bytes())?.ok_or_else(|| {
                StateError::Damaged(format!("chunk {id} needs copies and has no row"))
            })?;
            page.push((id, rows::decode(row.value())?));
        }
        Ok(page)
    }

    /// Chunks that nothing has needed since before then, those longest so first.
    pub fn garbage_page(
        &self,
        before: ClusterMillis,
        after: Option<(ClusterMillis, ChunkId)>,
        limit: usize,
    ) -> Result<Vec<(ClusterMillis, ChunkId)>, StateError> {
        let table = self.table(tables::GARBAGE)?;
        let from = match &after {
            Some((since, chunk)) => Bound::Excluded((since.0, chunk.as_bytes())),
            None => Bound::Included((0, &[0; 32])),
        };
        let to = Bound::Excluded((before.0, &[0; 32]));
        let range = table.range::<(u64, &[u8; 32])>((from, to))?;
        range
            .take(limit)
            .map(|row| {
                let key = row?.0;
                let (since, chunk) = key.value();
                Ok((ClusterMillis(since), ChunkId::from_bytes(*chunk)))
            })
            .collect()
    }

    /// Deletions planned on a node and not confirmed, by id.
    pub fn planned_deletions_page(
        &self,
        node: NodeNumber,
        after: Option<&ChunkId>,
        limit: usize,
    ) -> Result<Vec<ChunkId>, StateError> {
        self.chunk_keys(tables::PLANNED, node, after, None, limit)
    }

    /// Whether this deletion is planned and not confirmed: then neither a promise nor a repair may name it.
    pub fn is_deletion_planned(
        &self,
        node: NodeNumber,
        chunk: &ChunkId,
    ) -> Result<bool, StateError> {
        let planned = self.table(tables::PLANNED)?;
        Ok(planned.get((node.0, chunk.as_bytes()))?.is_some())
    }

    /// Chunks that a node was seen to hold and that the state does not know, by id.
    pub fn unknown_page(
        &self,
        node: NodeNumber,
        after: Option<&ChunkId>,
        limit: usize,
    ) -> Result<Vec<UnknownChunk>, StateError> {
        let (from, to) = chunk_range(node, after, None);
        let table = self.table(tables::UNKNOWN)?;
        let range = table.range::<(u32, &[u8; 32])>((as_key(&from), as_key(&to)))?;
        let read = |row: Result<(redb::AccessGuard<'_, (u32, tables::ChunkKey)>, _), _>| {
            let (key, seen): (_, redb::AccessGuard<'_, (u64, u32)>) = row?;
            let (first_seen, inventories) = seen.value();
            Ok(UnknownChunk {
                chunk: ChunkId::from_bytes(*key.value().1),
                first_seen: ClusterMillis(first_seen),
                inventories,
            })
        };
        range.take(limit).map(read).collect()
    }

    /// The promise of a chunk to an upload; its nodes include those that failed the uploader.
    pub fn promise(
        &self,
        upload: UploadId,
        chunk: &ChunkId,
    ) -> Result<Option<PromiseRow>, StateError> {
        let key = (upload.uuid().as_u128(), chunk.as_bytes());
        let Some(row) = self.table(tables::PROMISES)?.get(key)? else {
            return Ok(None);
        };
        Ok(Some(rows::decode(row.value())?))
    }

    /// Open uploads, by id.
    pub fn uploads_page(
        &self,
        after: Option<UploadId>,
        limit: usize,
    ) -> Result<Vec<(UploadId, UploadRow)>, StateError> {
        let from = after.map_or(Bound::Unbounded, |upload| {
            Bound::Excluded(upload.uuid().as_u128())
        });
        let table = self.table(tables::UPLOADS)?;
        let read = |row: Result<(redb::AccessGuard<'_, u128>, redb::AccessGuard<'_, _>), _>| {
            let (key, row): (_, redb::AccessGuard<'_, tables::Row>) = row?;
            let upload = UploadId::new(Uuid::from_u128(key.value()));
            Ok((upload, rows::decode(row.value())?))
        };
        let range = table.range::<u128>((from, Bound::Unbounded))?;
        range.take(limit).map(read).collect()
    }

    /// Chunk ids out of a table of (node, chunk).
    fn chunk_keys(
        &self,
        definition: redb::TableDefinition<'static, (u32, tables::ChunkKey), ()>,
        node: NodeNumber,
        after: Option<&ChunkId>,
        bucket: Option<u8>,
        limit: usize,
    ) -> Result<Vec<ChunkId>, StateError> {
        let (from, to) = chunk_range(node, after, bucket);
        let table = self.table(definition)?;
        let range = table.range::<(u32, &[u8; 32])>((as_key(&from), as_key(&to)))?;
        range
            .take(limit)
            .map(|row| Ok(ChunkId::from_bytes(*row?.0.value().1)))
            .collect()
    }
}

type KeyBound = Bound<(u32, [u8; 32])>;

/// The keys of one node, or of one of its buckets, above a cursor.
fn chunk_range(
    node: NodeNumber,
    after: Option<&ChunkId>,
    bucket: Option<u8>,
) -> (KeyBound, KeyBound) {
    let mut first = [0; 32];
    first[0] = bucket.unwrap_or(0);
    let mut last = [u8::MAX; 32];
    last[0] = bucket.unwrap_or(u8::MAX);
    let from = match after {
        Some(chunk) if *chunk.as_bytes() >= first => Bound::Excluded((node.0, *chunk.as_bytes())),
        _ => Bound::Included((node.0, first)),
    };
    // A cursor above the bucket leaves nothing; the range must still be one.
    let end = after.map_or(last, |chunk| last.max(*chunk.as_bytes()));
    let to = if end == last {
        Bound::Included((node.0, last))
    } else {
        Bound::Included((node.0, end))
    };
    (from, to)
}

fn as_key(bound: &KeyBound) -> Bound<(u32, &[u8; 32])> {
    match bound {
        Bound::Included((node, chunk)) => Bound::Included((*node, chunk)),
        Bound::Excluded((node, chunk)) => Bound::Excluded((*node, chunk)),
        Bound::Unbounded => Bound::Unbounded,
    }
}
