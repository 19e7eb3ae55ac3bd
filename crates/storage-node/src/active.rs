//! The one extent of a disk that is being appended to.
//!
//! [`Active::append`] is where durable begins: it writes a batch of records and syncs once. Whatever fails
//! leaves [`Active::len`] where it was; what lies behind was never acknowledged, and the next extent's
//! header says so.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use disk::{Disk, DiskFile};
use planted::{Bug, Point, is_planted, reach};

use crate::extent::{
    EXTENT_HEADER_LEN, EXTENTS_FOLDER, ExtentHeader, RECORD_HEADER_LEN, extent_path,
};

/// Blocks are taken ahead by at most this much.
const ALLOCATE_STEP_MAX: u64 = 64 << 20;
/// And by at least this much.
const ALLOCATE_STEP_MIN: u64 = 1 << 20;

/// A record ready to be written.
#[derive(Debug)]
pub(crate) struct RecordBytes {
    pub(crate) header: [u8; RECORD_HEADER_LEN],
    pub(crate) payload: Bytes,
}

/// Which step failed.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The bytes could not be written: nothing was promised, the file is as good as before.
    Write(io::Error),
    /// They may or may not be durable: the file must never be written again.
    Sync(io::Error),
}

/// The open extent.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) number: u64,
    pub(crate) salt: u64,
    pub(crate) len: u64,
    file: Arc<dyn DiskFile>,
    allocated: u64,
}

impl Active {
    /// Makes a new extent, durable with its name before the first record is written.
    ///
    /// The file is synced once more behind its folder: some file systems report a folder's sync as done after
    /// they have shut down, but not a file's.
    pub(crate) fn create(disk: &dyn Disk, header: &ExtentHeader) -> io::Result<Self> {
        let path = extent_path(header.number);
        let file = disk.create(&path)?;
        let written = file
            .write_all_at(&header.encode(), 0)
            .and_then(|()| file.sync())
            .and_then(|()| disk.sync_folder(EXTENTS_FOLDER))
            .and_then(|()| file.sync());
        if let Err(error) = written {
            if let Err(error) = disk.remove(&path) {
                tracing::warn!(%error, path, "could not remove an extent that was not finished");
            }
            return Err(error);
        }
        reach(Point::ExtentMade);
        Ok(Self {
            number: header.number,
            salt: header.salt,
            len: EXTENT_HEADER_LEN,
            file,
            allocated: 0,
        })
    }

    /// Goes on with an extent that ends, cut and durable, at `len`.
    pub(crate) fn resume(file: Arc<dyn DiskFile>, header: &ExtentHeader, len: u64) -> Self {
        Self {
            number: header.number,
            salt: header.salt,
            len,
            file,
            allocated: 0,
        }
    }

    /// Writes the records behind one another and makes them durable. `len` is the sum of their lengths, `spare` what
    /// may be taken of the disk ahead of time.
    pub(crate) fn append(
        &mut self,
        records: &[RecordBytes],
        len: u64,
        spare: u64,
    ) -> Result<(), AppendError> {
        self.allocate(len, spare);
        let parts: Vec<&[u8]> = records
            .iter()
            .flat_map(|record| [&record.header[..], &record.payload[..]])
            .filter(|part| !part.is_empty())
            .collect();
        let written = self.file.write_all_parts_at(&parts, self.len);
        written.map_err(AppendError::Write)?;
        reach(Point::RecordsWritten);
        let mut synced = self.file.sync();
        if is_planted(Bug::SyncRetried) {
            synced = synced.or_else(|_| self.file.sync());
        }
        synced.map_err(AppendError::Sync)?;
        self.len += len;
        Ok(())
    }

    /// Takes away what an unfinished write left behind.
    pub(crate) fn cut_back(&mut self) -> io::Result<()> {
        self.allocated = 0;
        self.file.set_len(self.len)
    }

    /// Gives blocks back that were taken ahead: the extent gets no more records.
    pub(crate) fn seal(self) {
        if self.allocated > self.len {
            // Only space is at stake, and compaction gives that back too.
            if let Err(error) = self.file.set_len(self.len) {
                tracing::debug!(%error, extent = self.number, "could not give blocks back");
            }
        }
    }

    /// Taking blocks ahead only makes appending faster; a full disk is told by the write itself.
    fn allocate(&mut self, len: u64, spare: u64) {
        let needed = self.len + len;
        let step = self.len.clamp(ALLOCATE_STEP_MIN, ALLOCATE_STEP_MAX);
        // What is taken ahead is missing elsewhere: on a nearly full disk nothing is.
        if needed > self.allocated && len >= ALLOCATE_STEP_MIN / 16 && step <= spare / 4 {
            self.allocated = needed + step;
            if let Err(error) = self.file.allocate(self.allocated) {
                tracing::debug!(%error, extent = self.number, "could not take blocks ahead");
                self.allocated = needed;
            }
        }
    }
}
