//! Chunks that are found corrupt: they are not served from that moment on, noted in the index, and reported to the master.

use std::collections::VecDeque;
use std::sync::Arc;

use proto::id::ChunkId;
use proto::node::{CHUNKS_PER_MESSAGE_MAX, ChunkState};
use threads::Mutex;
use tokio::sync::Semaphore;

use super::Node;
use crate::catalog::Location;
use crate::error::StoreError;
use crate::node_disk::NodeDisk;

/// Corrupt chunks that wait to be reported one by one; beyond that all of their disk are reported again.
const UNREPORTED_MAX: usize = CHUNKS_PER_MESSAGE_MAX;
/// Corrupt chunks that wait to be noted although nobody waits for that. What is beyond is remembered, and noted later.
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
    found: VecDeque<ChunkId>,
    /// For each disk how far all that it knows is told; none if it is.
    told: Vec<Option<Told>>,
}

/// The chunk up to which all corrupt ones of a disk are told.
type Told = Option<ChunkId>;

impl Reports {
    fn add(&mut self, chunk: ChunkId, disk: usize) {
        if self.found.len() < UNREPORTED_MAX {
            self.found.push_back(chunk);
        } else {
            self.tell_all_of(disk);
        }
    }

    fn tell_all_of(&mut self, disk: usize) {
        if self.told.len() <= disk {
            self.told.resize(disk + 1, None);
        }
        self.told[disk] = Some(None);
    }
}

/// Corrupt chunks to report at once.
#[derive(Debug, Default)]
pub(crate) struct CorruptPage {
    /// They, at most as many as a message takes.
    pub(crate) chunks: Vec<ChunkId>,
    /// Whether the next page is there already.
    pub(crate) more: bool,
}

impl Node {
    /// Notes that the record there could not be read, or read wrong, and has it reported.
    pub(crate) async fn mark_corrupt(&self, disk: usize, chunk: ChunkId, location: Location) {
        let NodeDisk { store, writer, .. } = &self.disks()[disk];
        store.remember_bad(chunk, location);
        let marked = writer.mark(chunk, location, true).await;
        match marked {
            Ok(is_there) => {
                store.settle_bad(&chunk, location);
                if !is_there {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%chunk, %error, "could not note that the chunk is corrupt: it is remembered, and noted later");
            }
        }
        let said = store.options.disk_as_said();
        tracing::error!(%chunk, extent = location.extent, disk = said, "a chunk is corrupt: it is not served, and reported to the master");
        self.rot.reports.lock().add(chunk, disk);
        self.corrupt_found.notify_one();
    }

    /// The same, without waiting for the disk: from now on the record is known to be bad.
    pub(crate) fn mark_corrupt_soon(self: &Arc<Self>, disk: usize, chunk: ChunkId, at: Location) {
        self.disks()[disk].store.remember_bad(chunk, at);
        let Ok(turn) = Arc::clone(&self.rot.marks).try_acquire_owned() else {
            self.rot.reports.lock().tell_all_of(disk);
            self.corrupt_found.notify_one();
            return;
        };
        let node = Arc::clone(self);
        threads::spawn(async move {
            node.mark_corrupt(disk, chunk, at).await;
            drop(turn);
        });
    }

    /// Notes what could not be noted when it was found, if the disk takes it now.
    pub(crate) async fn mark_again(&self, disk: usize) {
        let disks = self.disks();
        let NodeDisk { store, writer, .. } = &disks[disk];
        for (chunk, location) in store.unmarked() {
            if !disks[disk].is_sound() {
                return;
            }
            match writer.mark(chunk, location, true).await {
                Ok(_) => store.settle_bad(&chunk, location),
                Err(error) => {
                    tracing::debug!(%chunk, %error, "still could not note that the chunk is corrupt");
                    return;
                }
            }
        }
    }

    /// Waits until all that was found is noted, or could not be.
    #[cfg(test)]
    pub(crate) async fn marks_are_done(&self) {
        let all = u32::try_from(MARKS_MAX).unwrap();
        drop(self.rot.marks.acquire_many(all).await.unwrap());
    }

    /// Has all corrupt chunks reported, a page at a time: once more those that were.
    pub(crate) fn report_all_corrupt(&self) {
        let mut reports = self.rot.reports.lock();
        (0..self.disks().len()).for_each(|disk| reports.tell_all_of(disk));
    }

    /// The next corrupt chunks to report: those just found, then those that the disks know. What a disk that hangs knows is
    /// left for a later time.
    pub(crate) async fn next_corrupt(&self) -> CorruptPage {
        let (found, told) = {
            let mut reports = self.rot.reports.lock();
            (std::mem::take(&mut reports.found), reports.told.clone())
        };
        if !found.is_empty() {
            return CorruptPage {
                chunks: found.into(),
                more: true,
            };
        }
        let untold = told.into_iter().enumerate();
        for (place, told) in untold.filter_map(|(place, told)| Some((place, told?))) {
            match corrupt_after(&self.disks()[place], told).await {
                Ok(chunks) => {
                    let full = chunks.len() == CHUNKS_PER_MESSAGE_MAX;
                    let next = full.then(|| chunks.last().copied());
                    let mut reports = self.rot.reports.lock();
                    // Unless all is to be told again meanwhile.
                    if reports.told[place] == Some(told) {
                        reports.told[place] = next;
                    }
                    if !chunks.is_empty() {
                        return CorruptPage { chunks, more: true };
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a disk does not tell which of its chunks are corrupt; it is asked again");
                }
            }
        }
        CorruptPage::default()
    }

    /// Whether more corrupt chunks are to be reported.
    pub(crate) fn owes_reports(&self) -> bool {
        let reports = self.rot.reports.lock();
        !reports.found.is_empty() || reports.told.iter().any(Option::is_some)
    }

    /// Reads a chunk and compares it with its id; notes what it found.
    pub(crate) async fn verify_chunk(&self, chunk: &ChunkId) -> Result<ChunkState, StoreError> {
        match self.find(chunk).await? {
            Some((disk, _)) => self.verify_copy(disk, chunk).await,
            None => Ok(ChunkState::Missing),
        }
    }

    /// The same for the copy on one disk.
    pub(crate) async fn verify_copy(
        &self,
        disk: usize,
        chunk: &ChunkId,
    ) -> Result<ChunkState, StoreError> {
        let NodeDisk {
            store,
            lane,
            writer,
            ..
        } = &self.disks()[disk];
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
                    if let Err(error) = writer.mark(id, row.location, false).await {
                        tracing::warn!(%chunk, %error, "could not note that the chunk is good again: it is still not served");
                        return Ok(ChunkState::Good);
                    }
                    store.settle_bad(&id, row.location);
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

/// The next chunks that one disk knows to be corrupt, in the order of ids.
async fn corrupt_after(disk: &NodeDisk, after: Told) -> Result<Vec<ChunkId>, StoreError> {
    let store = Arc::clone(&disk.store);
    let read = move || Ok(store.corrupt_page(after.as_ref(), CHUNKS_PER_MESSAGE_MAX)?);
    disk.ask_briefly(read).await
}
