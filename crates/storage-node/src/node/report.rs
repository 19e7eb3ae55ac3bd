//! What a node tells of how it does: how full it is, what it found corrupt, and how a chunk reads.

use std::collections::HashSet;
use std::sync::Arc;

use disk::Space;
use futures::future::join_all;
use proto::id::ChunkId;
use proto::node::{ChunkState, NodeUsage};

use super::{Node, UNREPORTED_MAX};
use crate::catalog::Row;
use crate::error::StoreError;
use crate::extent::PAYLOAD_LEN_MAX;
use crate::node_disk::NodeDisk;
use crate::store::Store;

impl Node {
    /// Corrupt chunks to report: all of them where that was asked, or the new ones. What a disk that hangs knows is left
    /// for the next time.
    pub(crate) async fn take_unreported(&self, all: bool) -> Vec<ChunkId> {
        let (new, overflowed) = {
            let mut corrupt = self.corrupt.lock();
            let new: Vec<ChunkId> = corrupt.unreported.drain(..).collect();
            (new, std::mem::take(&mut corrupt.overflowed))
        };
        if !all && !overflowed {
            return new;
        }
        let mut chunks = new;
        for disk in &self.disks {
            chunks.extend(disk.store.unmarked());
        }
        let known = join_all(self.disks.iter().map(corrupt_on)).await;
        for on_disk in known {
            match on_disk {
                Ok(known) => chunks.extend(known),
                Err(error) => {
                    tracing::debug!(%error, "a disk does not tell which of its chunks are corrupt; it is asked again");
                    self.corrupt.lock().overflowed = true;
                }
            }
        }
        chunks.sort_unstable();
        chunks.dedup();
        chunks
    }

    /// Whether more corrupt chunks are to be reported than could be found out so far.
    pub(crate) fn owes_reports(&self) -> bool {
        self.corrupt.lock().overflowed
    }

    /// Reads a chunk and compares it with its id; notes what it found.
    pub(crate) async fn verify_chunk(&self, chunk: &ChunkId) -> Result<ChunkState, StoreError> {
        match self.find(chunk).await? {
            Some((disk, row)) => self.verify_copy(disk, chunk, row).await,
            None => Ok(ChunkState::Missing),
        }
    }

    /// The same for the copy on one disk.
    pub(super) async fn verify_copy(
        &self,
        disk: usize,
        chunk: &ChunkId,
        row: Row,
    ) -> Result<ChunkState, StoreError> {
        let (store, id) = (Arc::clone(&self.disks[disk].store), *chunk);
        let verified = self.disks[disk]
            .lane
            .run(move || {
                store
                    .open_chunk(&id)
                    .and_then(|file| file.verify().map(|_| file.row))
            })
            .await;
        match verified {
            Ok(row) if row.corrupt => {
                self.disks[disk]
                    .writer
                    .mark(id, row.location, false)
                    .await?;
                Ok(ChunkState::Good)
            }
            Ok(_) => Ok(ChunkState::Good),
            Err(StoreError::NotFound(_)) => Ok(ChunkState::Missing),
            Err(error @ (StoreError::Unopened(_) | StoreError::TimedOut)) => Err(error),
            Err(_) if row.corrupt => Ok(ChunkState::Corrupt),
            Err(error) => {
                tracing::debug!(%chunk, %error, "verified and found bad");
                self.mark_corrupt(disk, id, row).await;
                Ok(ChunkState::Corrupt)
            }
        }
    }

    /// How full it is. Asks the file systems, all at once, and waits a moment; a disk that hangs counts as failed, with the
    /// room that it had.
    pub(crate) async fn usage(&self) -> NodeUsage {
        let spaces = join_all(self.disks.iter().map(NodeDisk::space)).await;
        let mut usage = NodeUsage {
            failed_disks: self.unopened_disks,
            ..NodeUsage::default()
        };
        let (mut seen, mut seen_writable) = (HashSet::new(), HashSet::new());
        for (disk, space) in self.disks.iter().zip(spaces) {
            disk.log_hang();
            add_space(&mut usage, disk, space, &mut seen, &mut seen_writable);
            add_content(&mut usage, &disk.store);
        }
        // It could not be told to make copies, nor to delete.
        usage.writable &= !self.following.has_new_start();
        usage
    }
}

/// All chunks that one disk knows to be corrupt.
async fn corrupt_on(disk: &NodeDisk) -> Result<Vec<ChunkId>, StoreError> {
    let store = Arc::clone(&disk.store);
    let read = move || {
        let (mut chunks, mut after) = (Vec::new(), None);
        loop {
            let page = store.index.corrupt_page(after.as_ref(), UNREPORTED_MAX)?;
            after = page.last().copied();
            chunks.extend(page);
            if after.is_none() {
                return Ok(chunks);
            }
        }
    };
    disk.ask_briefly(read).await
}

/// Folders on one file system have its room together: it counts once, and as free if one of them takes writes.
fn add_space(
    usage: &mut NodeUsage,
    disk: &NodeDisk,
    space: Option<Space>,
    seen: &mut HashSet<u64>,
    seen_writable: &mut HashSet<u64>,
) {
    let is_new = |seen: &mut HashSet<u64>| {
        let file_system = space.and_then(|space| space.file_system);
        file_system.is_none_or(|id| seen.insert(id))
    };
    if is_new(seen) {
        usage.capacity_bytes += space.map_or(0, |space| space.capacity);
    }
    let room = space.map_or(0, |space| disk.store.room_of(space));
    if !disk.is_sound() {
        usage.failed_disks += 1;
    } else if is_new(seen_writable) {
        usage.free_bytes += room;
        usage.writable |= room >= PAYLOAD_LEN_MAX as u64;
    }
}

fn add_content(usage: &mut NodeUsage, store: &Store) {
    let catalog = store.catalog();
    usage.stored_bytes += catalog.stored_bytes();
    usage.reclaimable_bytes += catalog.reclaimable_bytes();
    usage.chunks += catalog.chunks();
    usage.corrupt_chunks += catalog.corrupt_chunks;
    let scrubbed = catalog
        .extents
        .range(..catalog.scrub.extent)
        .map(|(_, sums)| sums.len);
    usage.scrubbed_bytes += scrubbed.sum::<u64>() + catalog.scrub.offset;
}
