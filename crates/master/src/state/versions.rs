//! Versions of files, and the blocks that hold their chunk ids.
//!
//! A file is known by the number of its first version. The current version stands in the entry's row; former ones are
//! listed under the file with the time at which they were replaced, and are swept when they are old enough.
//!
//! A block is up to 512 ids, one after another, 32 bytes each. All chunks but the last have the same length, so
//! lengths are not stored.

use proto::id::ChunkId;
use proto::master::CHUNKS_PER_BLOCK;
use redb::ReadableTable;

use super::error::StateError;
use super::rows::{self, VersionRow};
use super::tables::Tables;
use crate::command::ClusterMillis;

/// The block that holds the chunk of this index, and its place there.
pub(super) fn place_of(index: u64) -> (u32, usize) {
    let per_block = CHUNKS_PER_BLOCK as u64;
    let block = u32::try_from(index / per_block).unwrap_or(u32::MAX);
    let place = usize::try_from(index % per_block).expect("below the chunks per block");
    (block, place)
}

/// The ids in a block.
pub(super) fn block_ids(bytes: &[u8]) -> Result<&[[u8; ChunkId::LEN]], StateError> {
    match bytes.as_chunks() {
        (ids, []) => Ok(ids),
        _ => Err(StateError::Damaged(
            "a block of chunk ids has a broken length".to_owned(),
        )),
    }
}

impl Tables<'_> {
    pub(super) fn version(&self, version: u64) -> Result<Option<VersionRow>, StateError> {
        match self.versions.get(version)? {
            Some(row) => Ok(Some(rows::decode(row.value())?)),
            None => Ok(None),
        }
    }

    pub(super) fn put_block(
        &mut self,
        version: u64,
        block: u32,
        chunks: impl Iterator<Item = ChunkId>,
    ) -> Result<(), StateError> {
        let bytes: Vec<u8> = chunks.flat_map(|chunk| *chunk.as_bytes()).collect();
        self.blocks.insert((version, block), bytes.as_slice())?;
        Ok(())
    }

    /// The ids of a block; none if it is not there.
    pub(super) fn block(&self, version: u64, block: u32) -> Result<Vec<ChunkId>, StateError> {
        match self.blocks.get((version, block))? {
            Some(bytes) => Ok(block_ids(bytes.value())?
                .iter()
                .map(|id| ChunkId::from_bytes(*id))
                .collect()),
            None => Ok(Vec::new()),
        }
    }

    /// Notes that a version is not the current one of its file any more.
    pub(super) fn make_former(
        &mut self,
        file: u64,
        version: u64,
        at: ClusterMillis,
    ) -> Result<(), StateError> {
        self.former.insert((file, version), at.0)?;
        self.former_by_time.insert((at.0, version), file)?;
        Ok(())
    }

    /// Takes one former version out of its file's list.
    pub(super) fn forget_former(&mut self, file: u64, version: u64) -> Result<(), StateError> {
        let replaced = self.former.remove((file, version))?.map(|at| at.value());
        if let Some(at) = replaced {
            self.former_by_time.remove((at, version))?;
        }
        Ok(())
    }

    /// One of a file's former versions.
    pub(super) fn first_former(&self, file: u64) -> Result<Option<u64>, StateError> {
        let first = self.former.range((file, 0)..=(file, u64::MAX))?.next();
        Ok(first.transpose()?.map(|row| row.0.value().1))
    }
}
