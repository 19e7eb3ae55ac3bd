//! Promises: which chunks an upload may store where, until they are recorded or the upload ends.
//!
//! While a promise names a copy, its deletion is not planned, and while a deletion is planned, no promise names the
//! copy. A promise that names no copy still keeps the chunk from being collected: the upload counts on those on record.
//!
//! **Invariant:** a promise has its id from when it is made until it ends, and no other has that id. So a receipt, which
//! is made for an id, was given while that promise was held. **Invariant:** the copy behind a receipt that counts was not
//! deleted since, nor found to be bad: not while the promise named it, and a node that deleted a copy before it was named,
//! or was found without a good one after, is never named again.

use proto::id::{ChunkId, UploadId};
use redb::ReadableTable;
use uuid::Uuid;

use super::error::StateError;
use super::rows::{self, PromiseRow};
use super::tables::Tables;
use crate::command::NodeNumber;

impl Tables<'_> {
    pub(super) fn promise(
        &self,
        upload: UploadId,
        chunk: &ChunkId,
    ) -> Result<Option<PromiseRow>, StateError> {
        let key = (upload.uuid().as_u128(), chunk.as_bytes());
        match self.promises.get(key)? {
            Some(row) => Ok(Some(rows::decode(row.value())?)),
            None => Ok(None),
        }
    }

    /// Makes or widens a promise; returns whether it is a new one.
    pub(super) fn put_promise(
        &mut self,
        upload: UploadId,
        chunk: &ChunkId,
        promise: &PromiseRow,
    ) -> Result<bool, StateError> {
        let upload = upload.uuid().as_u128();
        let row = rows::encode(promise);
        let is_new = self
            .promises
            .insert((upload, chunk.as_bytes()), row.as_slice())?
            .is_none();
        if is_new {
            self.promised.insert((chunk.as_bytes(), upload), ())?;
        }
        Ok(is_new)
    }

    /// Ends a promise; returns whether there was one.
    pub(super) fn drop_promise(
        &mut self,
        upload: UploadId,
        chunk: &ChunkId,
    ) -> Result<bool, StateError> {
        let upload = upload.uuid().as_u128();
        let key = (upload, chunk.as_bytes());
        let was_there = self.promises.remove(key)?.is_some();
        if was_there {
            self.promised.remove((chunk.as_bytes(), upload))?;
        }
        Ok(was_there)
    }

    /// All promises of an upload.
    pub(super) fn promises_of(
        &self,
        upload: UploadId,
    ) -> Result<Vec<(ChunkId, PromiseRow)>, StateError> {
        let upload = upload.uuid().as_u128();
        let range = (upload, &[0; 32])..=(upload, &[u8::MAX; 32]);
        let mut promises = Vec::new();
        for row in self.promises.range::<(u128, &[u8; 32])>(range)? {
            let (key, row) = row?;
            let chunk = ChunkId::from_bytes(*key.value().1);
            promises.push((chunk, rows::decode(row.value())?));
        }
        Ok(promises)
    }

    /// Whether any upload was promised this chunk.
    pub(super) fn is_promised(&self, chunk: &ChunkId) -> Result<bool, StateError> {
        let range = (chunk.as_bytes(), 0)..=(chunk.as_bytes(), u128::MAX);
        let first = self.promised.range::<(&[u8; 32], u128)>(range)?.next();
        Ok(first.transpose()?.is_some())
    }

    /// Whether any upload was promised this chunk on this node.
    pub(super) fn is_promised_on(
        &self,
        node: NodeNumber,
        chunk: &ChunkId,
    ) -> Result<bool, StateError> {
        let promises = self.promises_for(chunk)?;
        Ok(promises.iter().any(|(_, row)| row.nodes.contains(&node)))
    }

    /// A node has deleted its copy: promises that are held do not come to name it any more, since the uploader may have a
    /// receipt for that copy.
    pub(super) fn bar_from_promises(
        &mut self,
        node: NodeNumber,
        chunk: &ChunkId,
    ) -> Result<(), StateError> {
        for (upload, mut promise) in self.promises_for(chunk)? {
            unite(&mut promise.barred, &[node]);
            self.put_promise(upload, chunk, &promise)?;
        }
        Ok(())
    }

    /// A node has no good copy: promises that are held do not name it any more, since the uploader may have a receipt for
    /// what it had. Of one that never named a node the uploader knows nothing.
    pub(super) fn withdraw_promises(
        &mut self,
        node: NodeNumber,
        chunk: &ChunkId,
    ) -> Result<(), StateError> {
        for (upload, mut promise) in self.promises_for(chunk)? {
            if !(promise.nodes.is_empty() && promise.barred.is_empty()) {
                promise.nodes.retain(|named| *named != node);
                unite(&mut promise.barred, &[node]);
                self.put_promise(upload, chunk, &promise)?;
            }
        }
        Ok(())
    }

    /// The promises of a chunk to all uploads.
    fn promises_for(&self, chunk: &ChunkId) -> Result<Vec<(UploadId, PromiseRow)>, StateError> {
        let range = (chunk.as_bytes(), 0)..=(chunk.as_bytes(), u128::MAX);
        let mut promises = Vec::new();
        for row in self.promised.range::<(&[u8; 32], u128)>(range)? {
            let upload = UploadId::new(Uuid::from_u128(row?.0.value().1));
            if let Some(promise) = self.promise(upload, chunk)? {
                promises.push((upload, promise));
            }
        }
        Ok(promises)
    }
}

/// Adds numbers to an ascending list.
pub(super) fn unite(list: &mut Vec<NodeNumber>, others: &[NodeNumber]) {
    list.extend_from_slice(others);
    list.sort_unstable();
    list.dedup();
}
