//! Chunks that are found corrupt: they are not served from that moment on, noted in the index, and reported to the master.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::future::join_all;
use parking_lot::Mutex;
use proto::id::ChunkId;
use proto::node::ChunkState;
use tokio::sync::Semaphore;

use super::Node;
use crate::catalog::Location;
use crate::error::StoreError;
use crate::node_disk::NodeDisk;

/// Corrupt chunks that wait to be reported one by one; beyond that all are reported again.
const UNREPORTED_MAX: usize = 4096;
/// Corrupt chunks that wait to be noted although nobody waits for that. What is beyond is remembered until a restart.
const MARKS_MAX: usize = 256;

/// What a node has to do with the corrupt chunks that it found.
#[derive(Debug)]
pub(super) struct Rot {
    reports: Mutex<Reports>,
    marks: Arc<Semaphore>,
}

impl Default for Rot {
    fn default() -> Self {
        Self {
            reports: Mutex::default(),
            marks: Arc::new(Semaphore::new(MARKS_MAX)),
        }
    }
}

/// Corrupt chunks that the master has not been told of.
#[derive(Debug, Default)]
struct Reports {
    unreported: VecDeque<ChunkId>,
    overflowed: bool,
}

impl Reports {
    fn add(&mut self, chunk: ChunkId) {
        if self.unreported.len() < UNREPORTED_MAX {
            self.unreported.push_back(chunk);
        } else {
            self.overflowed = true;
        }
    }
}

impl Node {
    /// Notes that the record there could not be read, or read wrong, and has it reported.
    pub(crate) async fn mark_corrupt(&self, disk: usize, chunk: ChunkId, location: Location) {
        let NodeDisk { store, writer, .. } = &self.disks[disk];
        store.remember_bad(chunk, location);
        let marked = writer.mark(chunk, location, true).await;
        match marked {
            Ok(is_there) => {
                store.forget_bad(&chunk, location);
                if !is_there {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%chunk, %error, "could not note that the chunk is corrupt: it is remembered until a restart");
            }
        }
        tracing::error!(%chunk, extent = location.extent, disk, "a chunk is corrupt: it is not served, and reported to the master");
        self.rot.reports.lock().add(chunk);
        self.corrupt_found.notify_one();
    }

    /// The same, without waiting for the disk: from now on the record is known to be bad.
    pub(crate) fn mark_corrupt_soon(self: &Arc<Self>, disk: usize, chunk: ChunkId, at: Location) {
        self.disks[disk].store.remember_bad(chunk, at);
        let Ok(turn) = Arc::clone(&self.rot.marks).try_acquire_owned() else {
            self.rot.reports.lock().overflowed = true;
            return;
        };
        let node = Arc::clone(self);
        tokio::spawn(async move {
            node.mark_corrupt(disk, chunk, at).await;
            drop(turn);
        });
    }

    /// Waits until all that was found is noted, or could not be.
    #[cfg(test)]
    pub(crate) async fn marks_are_done(&self) {
        let all = u32::try_from(MARKS_MAX).unwrap();
        drop(self.rot.marks.acquire_many(all).await.unwrap());
    }

    /// Corrupt chunks to report: all of them where that was asked, or the new ones. What a disk that hangs knows is left
    /// for the next time.
    pub(crate) async fn take_unreported(&self, all: bool) -> Vec<ChunkId> {
        let (new, overflowed) = {
            let mut corrupt = self.rot.reports.lock();
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
                    self.rot.reports.lock().overflowed = true;
                }
            }
        }
        chunks.sort_unstable();
        chunks.dedup();
        chunks
    }

    /// Whether more corrupt chunks are to be reported than could be found out so far.
    pub(crate) fn owes_reports(&self) -> bool {
        self.rot.reports.lock().overflowed
    }

    /// Reads a chunk and compares it with its id; notes what it found.
    pub(crate) async fn verify_chunk(&self, chunk: &ChunkId) -> Result<ChunkState, StoreError> {
        match self.find(chunk).await? {
            Some((disk, _)) => self.verify_copy(disk, chunk).await,
            None => Ok(ChunkState::Missing),
        }
    }

    /// The same for the copy on one disk.
    pub(super) async fn verify_copy(
        &self,
        disk: usize,
        chunk: &ChunkId,
    ) -> Result<ChunkState, StoreError> {
        let NodeDisk {
            store,
            lane,
            writer,
            ..
        } = &self.disks[disk];
        let (reader, id) = (Arc::clone(store), *chunk);
        let verify = move || match reader.open_chunk(&id) {
            Ok(file) => Ok(Some((file.row, file.verify()))),
            Err(StoreError::NotFound(_)) => Ok(None),
            Err(error @ StoreError::Corrupt(_)) => {
                Ok(reader.find(&id)?.map(|row| (row, Err(error))))
            }
            Err(error) => Err(error),
        };
        let Some((row, verified)) = lane.run(verify).await? else {
            return Ok(ChunkState::Missing);
        };
        match verified {
            Ok(_) => {
                if row.corrupt {
                    writer.mark(id, row.location, false).await?;
                    store.forget_bad(&id, row.location);
                }
                Ok(ChunkState::Good)
            }
            Err(_) if row.corrupt => Ok(ChunkState::Corrupt),
            Err(error) => {
                tracing::debug!(%chunk, %error, "verified and found bad");
                self.mark_corrupt(disk, id, row.location).await;
                Ok(ChunkState::Corrupt)
            }
        }
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
