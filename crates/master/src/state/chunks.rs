//! A chunk's row, and all that follows from it.
//!
//! **Invariant:** [`Tables::put_chunk`] is the only writer of chunk rows. It keeps in step whatever can be derived from
//! them: who holds what and its digests, the garbage, the chunks that need copies, and the sums. A row is
//! there if and only if something names the chunk, a node holds it, on a failed disk or not, or a node may hold it.

use planted::{Bug, is_planted};
use proto::id::ChunkId;
use redb::ReadableTable;

use super::error::StateError;
use super::rows::{self, ChunkRow};
use super::tables::Tables;
use crate::command::{ClusterMillis, NodeNumber};

impl Tables<'_> {
    pub(super) fn chunk(&self, chunk: &ChunkId) -> Result<Option<ChunkRow>, StateError> {
        match self.chunks.get(chunk.as_bytes())? {
            Some(row) => Ok(Some(rows::decode(row.value())?)),
            None => Ok(None),
        }
    }

    /// Writes a chunk's row in place of the one before. A row that says nothing any more is removed.
    pub(super) fn put_chunk(
        &mut self,
        chunk: &ChunkId,
        before: Option<&ChunkRow>,
        mut after: ChunkRow,
    ) -> Result<(), StateError> {
        if after.references > 0 {
            after.leftovers.clear();
        } else {
            after
                .leftovers
                .retain(|node| !after.replicas.contains(node));
        }
        after.failing.retain(|node| !after.replicas.contains(node));
        let is_kept = after.references > 0
            || !after.replicas.is_empty()
            || !after.failing.is_empty()
            || !after.leftovers.is_empty();
        let after = is_kept.then_some(after);
        self.update_replicas(chunk, before, after.as_ref())?;
        self.update_failing(chunk, before, after.as_ref())?;
        self.update_needs(chunk, before, after.as_ref())?;
        self.update_garbage(chunk, before, after.as_ref())?;
        match after {
            Some(row) => {
                let row = rows::encode(&row);
                self.chunks.insert(chunk.as_bytes(), row.as_slice())?;
            }
            None if before.is_some() => {
                self.chunks.remove(chunk.as_bytes())?;
            }
            None => {}
        }
        Ok(())
    }

    fn update_replicas(
        &mut self,
        chunk: &ChunkId,
        before: Option<&ChunkRow>,
        after: Option<&ChunkRow>,
    ) -> Result<(), StateError> {
        let old = before.map_or(&[][..], |row| &row.replicas);
        let new = after.map_or(&[][..], |row| &row.replicas);
        for node in old.iter().filter(|node| !new.contains(node)) {
            let len = before.map_or(0, |row| row.len);
            self.node_chunks.remove((node.0, chunk.as_bytes()))?;
            self.tally_replica(*node, chunk, len, -1);
        }
        for node in new.iter().filter(|node| !old.contains(node)) {
            let len = after.map_or(0, |row| row.len);
            self.node_chunks.insert((node.0, chunk.as_bytes()), ())?;
            self.unknown.remove((node.0, chunk.as_bytes()))?;
            self.tally_replica(*node, chunk, len, 1);
        }
        Ok(())
    }

    fn update_failing(
        &mut self,
        chunk: &ChunkId,
        before: Option<&ChunkRow>,
        after: Option<&ChunkRow>,
    ) -> Result<(), StateError> {
        let old = before.map_or(&[][..], |row| &row.failing);
        let new = after.map_or(&[][..], |row| &row.failing);
        for node in old.iter().filter(|node| !new.contains(node)) {
            self.failing.remove((node.0, chunk.as_bytes()))?;
        }
        for node in new.iter().filter(|node| !old.contains(node)) {
            self.failing.insert((node.0, chunk.as_bytes()), ())?;
        }
        Ok(())
    }

    fn tally_replica(&mut self, node: NodeNumber, chunk: &ChunkId, len: u32, sign: i64) {
        let key = (node.0, chunk.bucket());
        let digest = self.digest_changes.entry(key).or_default();
        digest.count += sign;
        digest.xor ^= digest_tail(chunk);
        let tally = self.tally_changes.entry(node.0).or_default();
        tally.chunks += sign;
        tally.bytes += sign * i64::from(len);
        add(&mut self.head.counters.replicas, sign);
    }

    fn update_needs(
        &mut self,
        chunk: &ChunkId,
        before: Option<&ChunkRow>,
        after: Option<&ChunkRow>,
    ) -> Result<(), StateError> {
        let needs = after.is_some_and(|row| self.needs(row));
        self.list_need(chunk, needs)?;
        for (row, sign) in [(before, -1), (after, 1)] {
            if let Some(row) = row.filter(|row| row.references > 0) {
                let counters = &mut self.head.counters;
                add(&mut counters.chunks, sign);
                add(&mut counters.chunk_bytes, sign * i64::from(row.len));
                add(counters.by_copies(row.copies_counted()), sign);
            }
        }
        Ok(())
    }

    fn update_garbage(
        &mut self,
        chunk: &ChunkId,
        before: Option<&ChunkRow>,
        after: Option<&ChunkRow>,
    ) -> Result<(), StateError> {
        let since = |row: Option<&ChunkRow>| {
            row.filter(|row| row.references == 0)
                .map(|row| row.unreferenced_since)
        };
        let (old, new) = (since(before), since(after));
        if old == new {
            return Ok(());
        }
        if let Some(ClusterMillis(since)) = old {
            self.garbage.remove((since, chunk.as_bytes()))?;
            add(&mut self.head.counters.garbage, -1);
        }
        if let Some(ClusterMillis(since)) = new {
            self.garbage.insert((since, chunk.as_bytes()), ())?;
            add(&mut self.head.counters.garbage, 1);
        }
        Ok(())
    }

    /// Takes one reference from a chunk.
    pub(super) fn release_chunk(
        &mut self,
        chunk: &ChunkId,
        at: ClusterMillis,
    ) -> Result<(), StateError> {
        let Some(before) = self.chunk(chunk)?.filter(|row| row.references > 0) else {
            return Err(StateError::Damaged(format!(
                "chunk {chunk} is named by a version and has no reference"
            )));
        };
        let mut after = before.clone();
        after.references -= 1;
        if is_planted(Bug::SharedChunksFreed) {
            after.references = 0;
        }
        if after.references == 0 {
            after.unreferenced_since = at;
        }
        self.put_chunk(chunk, Some(&before), after)
    }

    pub(super) fn is_planned(&self, node: NodeNumber, chunk: &ChunkId) -> Result<bool, StateError> {
        Ok(self.planned.get((node.0, chunk.as_bytes()))?.is_some())
    }

    /// Plans a deletion on a node that is known; on one that was removed there is nothing to order. The caller has
    /// seen that no promise names the copy, and takes it out of the chunk's row.
    pub(super) fn plan_deletion(
        &mut self,
        node: NodeNumber,
        chunk: &ChunkId,
    ) -> Result<bool, StateError> {
        if self.node(node)?.is_none() {
            return Ok(false);
        }
        self.unknown.remove((node.0, chunk.as_bytes()))?;
        let is_new = self
            .planned
            .insert((node.0, chunk.as_bytes()), ())?
            .is_none();
        if is_new {
            self.tally_changes.entry(node.0).or_default().planned += 1;
            self.head.counters.planned_deletions += 1;
        }
        Ok(is_new)
    }

    /// A planned deletion was confirmed, or its node is gone.
    pub(super) fn unplan_deletion(
        &mut self,
        node: NodeNumber,
        chunk: &ChunkId,
    ) -> Result<bool, StateError> {
        let was_planned = self.planned.remove((node.0, chunk.as_bytes()))?.is_some();
        if was_planned {
            self.bar_from_promises(node, chunk)?;
            self.tally_changes.entry(node.0).or_default().planned -= 1;
            add(&mut self.head.counters.planned_deletions, -1);
        }
        Ok(was_planned)
    }
}

/// What a chunk adds to a digest's `xor`.
fn digest_tail(chunk: &ChunkId) -> u128 {
    let mut digest = proto::node::BucketDigest::default();
    digest.add(chunk);
    digest.xor
}

/// A sum that changes by one step either way, and never below nothing.
fn add(sum: &mut u64, change: i64) {
    *sum = sum.saturating_add_signed(change);
}
