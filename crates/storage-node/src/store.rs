//! One disk's chunks as readers see them: the index says where a chunk is, the extent holds its record.
//!
//! Reading never waits for writing: a reader looks into the index's latest commit, and keeps an extent open that
//! compaction removes meanwhile. Changes go through the disk's one writer ([`crate::writer`]).
//!
//! **Invariants:** a chunk known to be corrupt is never served; where bytes pass through memory they are checked
//! before they go out; a record that is not the one that the index named is never served as it.

mod beside;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use disk::{Disk, DiskFile, Space};
use planted::{Bug, is_planted};
use proto::id::{ChunkId, NodeId};
use threads::{Mutex, MutexGuard};

use crate::catalog::{Catalog, Location, Row};
use crate::environment::Environment;
use crate::error::StoreError;
use crate::extent::{
    EXTENT_HEADER_LEN, ExtentHeader, RECORD_HEADER_LEN, RecordHeader, RecordKind, extent_path,
    record_len,
};
use crate::index::Index;
use crate::verified::VerifiedChunk;
use crate::walk::{Payloads, Walk};
use beside::Beside;

/// Extents that are kept open for reading.
const OPEN_FILES_MAX: usize = 256;
/// Damaged ranges that are gathered before their chunks are looked for.
pub(crate) const RANGES_MAX: usize = 4096;
/// How often a read looks again when compaction moved the chunk under its hands.
const LOOKUPS_MAX: usize = 3;

/// What a store is made with.
#[derive(Debug, Clone)]
pub(crate) struct StoreOptions {
    /// Whose it is.
    pub(crate) node: NodeId,
    /// Which of the node's disks.
    pub(crate) disk_number: u32,
    /// An extent is sealed at this length.
    pub(crate) extent_size: u64,
    /// Bytes of the disk that puts leave free.
    pub(crate) reserve: u64,
    /// Memory for the index.
    pub(crate) cache_bytes: usize,
    /// The index is made durable after this many bytes were appended.
    pub(crate) checkpoint_bytes: u64,
}

impl StoreOptions {
    /// The disk's number as people count, who begin with 1: in logs, as in errors and in what the tools print.
    pub(crate) fn disk_as_said(&self) -> u32 {
        self.disk_number + 1
    }
}

/// What readers and the writer of one disk share.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: StoreOptions,
    pub(crate) environment: Environment,
    pub(crate) index: Index,
    catalog: Mutex<Catalog>,
    files: Mutex<OpenFiles>,
    beside: Arc<Beside>,
}

impl Store {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        environment: Environment,
        index: Index,
        catalog: Catalog,
    ) -> Self {
        Self {
            disk,
            options,
            environment,
            index,
            catalog: Mutex::new(catalog),
            files: Mutex::default(),
            beside: Arc::default(),
        }
    }

    /// The same disk with an index that was made anew.
    pub(crate) fn with_index(&self, index: Index, catalog: Catalog) -> Self {
        Self {
            disk: Arc::clone(&self.disk),
            options: self.options.clone(),
            environment: self.environment.clone(),
            index,
            catalog: Mutex::new(catalog),
            files: Mutex::default(),
            beside: Arc::clone(&self.beside),
        }
    }

    /// The sums, to be read or changed for a moment.
    pub(crate) fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock()
    }

    /// What is known of a chunk.
    pub(crate) fn find(&self, chunk: &ChunkId) -> Result<Option<Row>, StoreError> {
        let row = self.index.get(chunk)?;
        Ok(row.map(|row| Row {
            corrupt: row.corrupt || self.is_unmarked(chunk, row.location),
            ..row
        }))
    }

    /// Good chunks of one bucket, in the order of ids, and whether more follow.
    pub(crate) fn bucket_page(
        &self,
        bucket: u8,
        after: Option<&ChunkId>,
        limit: usize,
    ) -> io::Result<(Vec<(ChunkId, u32)>, bool)> {
        let is_bad = |chunk: &ChunkId, at| self.is_unmarked(chunk, at);
        self.index.bucket_page(bucket, after, limit, is_bad)
    }

    /// Chunks behind this one that are known to be bad, in the order of ids: also those of which the index could not note
    /// it. What it has come to know better is forgotten.
    pub(crate) fn corrupt_page(
        &self,
        after: Option<&ChunkId>,
        limit: usize,
    ) -> io::Result<Vec<ChunkId>> {
        let mut chunks = self.index.corrupt_page(after, limit)?;
        let unmarked = self.unmarked().into_iter();
        let mut left = limit;
        for (chunk, at) in unmarked.filter(|(chunk, _)| Some(chunk) > after) {
            if left == 0 {
                break;
            }
            match self.index.get(&chunk)? {
                Some(row) if row.location == at && !row.corrupt => {
                    chunks.push(chunk);
                    left -= 1;
                }
                _ => self.forget_bad(&chunk, at),
            }
        }
        chunks.sort_unstable();
        chunks.truncate(limit);
        Ok(chunks)
    }

    /// Opens a chunk's record, good or corrupt.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` if its extent is gone; `Unopened`.
    pub(crate) fn open_chunk(&self, chunk: &ChunkId) -> Result<ChunkFile, StoreError> {
        let opened = self.open_if(chunk, |_| true)?;
        opened.ok_or(StoreError::NotFound(*chunk))
    }

    /// Opens a chunk's record if its row is of the kind that is wanted.
    ///
    /// # Errors
    /// `Corrupt` if its extent is gone; `Unopened`.
    pub(crate) fn open_if(
        &self,
        chunk: &ChunkId,
        is_wanted: impl Fn(&Row) -> bool,
    ) -> Result<Option<ChunkFile>, StoreError> {
        let mut lookup = 1;
        loop {
            let Some(row) = self.find(chunk)?.filter(&is_wanted) else {
                return Ok(None);
            };
            match self.extent_file(row.location.extent) {
                Ok(file) => {
                    return Ok(Some(ChunkFile {
                        chunk: *chunk,
                        file,
                        row,
                    }));
                }
                // Compaction may have moved the chunk and removed the extent between the two steps.
                Err(error) if error.kind() == io::ErrorKind::NotFound && lookup < LOOKUPS_MAX => {
                    lookup += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(StoreError::Corrupt(*chunk));
                }
                Err(error) => return Err(StoreError::Unopened(Arc::new(error))),
            }
        }
    }

    /// An extent's file, opened now or before.
    pub(crate) fn extent_file(&self, extent: u64) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = self.files.lock().get(extent) {
            return Ok(file);
        }
        let file = self.disk.open(&extent_path(extent))?;
        self.keep_open(extent, &file);
        Ok(file)
    }

    fn keep_open(&self, extent: u64, file: &Arc<dyn DiskFile>) {
        let mut files = self.files.lock();
        // One that is being removed leaves the sums first, and is let go last.
        if self.catalog().extents.contains_key(&extent) {
            files.insert(extent, Arc::clone(file));
        }
    }

    /// Opens an extent by its name, from now on for all who read it: a file that is open outlives its name. `None` if the
    /// name is gone.
    fn reopen(&self, extent: u64) -> Result<Option<Arc<dyn DiskFile>>, StoreError> {
        match self.disk.open(&extent_path(extent)) {
            Ok(file) => {
                self.keep_open(extent, &file);
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget_file(extent);
                Ok(None)
            }
            Err(error) => Err(StoreError::Unopened(Arc::new(error))),
        }
    }

    /// A walk over the headers of an extent that is opened anew, as far as it counts; `None` if its file is gone.
    ///
    /// # Errors
    /// `Unopened`, or what the disk says.
    pub(crate) fn walk_extent(&self, extent: u64, from: u64) -> Result<Option<Walk>, StoreError> {
        let Some(file) = self.reopen(extent)? else {
            return Ok(None);
        };
        let sums = self.catalog().extents.get(&extent).copied();
        let end = sums.map_or(0, |sums| sums.len);
        let mut bytes = vec![0; usize::try_from(EXTENT_HEADER_LEN).expect("a page fits")];
        let read = file.read_exact_at(&mut bytes, 0).ok();
        let header = read.and_then(|()| ExtentHeader::decode(&bytes).ok());
        let salt = header.map(|header| header.salt);
        Ok(Some(Walk::new(file, salt, from..end, Payloads::Skip)?))
    }

    /// Reads the record of a chunk that a walk came by, if it is the one that counts.
    ///
    /// # Errors
    /// `Unopened`, or what the index says.
    pub(crate) fn read_at(&self, chunk: ChunkId, here: Location) -> Result<Reread, StoreError> {
        let is_here = |row: &Row| row.location == here && !row.corrupt;
        let payload = match self.open_if(&chunk, is_here) {
            Ok(None) => return Ok(Reread::Unneeded),
            Ok(Some(file)) => file.read(),
            Err(error @ StoreError::Corrupt(_)) => Err(error),
            Err(error) => return Err(error),
        };
        let payload = payload.ok();
        let verified = payload.and_then(|payload| VerifiedChunk::check(chunk, payload));
        Ok(verified.map_or(Reread::Bad, Reread::Good))
    }

    #[cfg(test)]
    pub(crate) fn keeps_open(&self, extent: u64) -> bool {
        self.files.lock().files.contains_key(&extent)
    }

    /// Lets go of a removed extent; readers that have it open read on.
    pub(crate) fn forget_file(&self, extent: u64) {
        self.files.lock().files.remove(&extent);
    }

    /// The rows whose records lie in damaged ranges of an extent, which are in order. Looks at the whole index, so
    /// ranges are gathered first.
    pub(crate) fn rows_in(
        &self,
        extent: u64,
        ranges: &[Range<u64>],
    ) -> io::Result<Vec<(ChunkId, Location)>> {
        let is_in = |offset: u64| {
            let next = ranges.partition_point(|range| range.end <= offset);
            ranges
                .get(next)
                .is_some_and(|range| range.contains(&offset))
        };
        let mut rows = Vec::new();
        self.index.scan(|chunk, row| {
            let at = row.location;
            if at.extent == extent && !row.corrupt && is_in(at.offset) {
                rows.push((chunk, at));
            }
        })?;
        Ok(rows)
    }

    /// Where the last record in an extent that a row points to ends; 0 without one. Looks at the whole index.
    pub(crate) fn end_of_rows_in(&self, extent: u64) -> io::Result<u64> {
        let mut end = 0;
        self.index.scan(|_, row| {
            let at = row.location;
            if at.extent == extent {
                end = end.max(at.offset + record_len(at.len));
            }
        })?;
        Ok(end)
    }

    /// Bytes that puts may still take.
    pub(crate) fn room(&self) -> io::Result<u64> {
        Ok(self.room_of(self.space()?))
    }

    /// Bytes that puts may still take of this space.
    pub(crate) fn room_of(&self, space: Space) -> u64 {
        space.free.saturating_sub(self.options.reserve)
    }

    /// Room on the file system.
    pub(crate) fn space(&self) -> io::Result<Space> {
        self.disk.space()
    }

    /// Why it takes no writes any more, if it failed.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.own_failure().or_else(|| self.index.failure())
    }
}

/// A record that was read again.
pub(crate) enum Reread {
    /// It does not count, or is known to be bad.
    Unneeded,
    /// It is what it should be.
    Good(VerifiedChunk),
    /// It is not, or cannot be read.
    Bad,
}

/// Open extents; when there are too many, the one unused for longest is let go.
#[derive(Debug, Default)]
struct OpenFiles {
    files: HashMap<u64, (u64, Arc<dyn DiskFile>)>,
    uses: u64,
}

impl OpenFiles {
    fn get(&mut self, extent: u64) -> Option<Arc<dyn DiskFile>> {
        let (last_use, file) = self.files.get_mut(&extent)?;
        self.uses += 1;
        *last_use = self.uses;
        Some(Arc::clone(file))
    }

    fn insert(&mut self, extent: u64, file: Arc<dyn DiskFile>) {
        if self.files.len() >= OPEN_FILES_MAX {
            let oldest = self.files.iter().min_by_key(|(_, (last_use, _))| *last_use);
            if let Some(oldest) = oldest.map(|(extent, _)| *extent) {
                self.files.remove(&oldest);
            }
        }
        self.uses += 1;
        self.files.insert(extent, (self.uses, file));
    }
}

/// A chunk's record in its open extent.
#[derive(Debug, Clone)]
pub(crate) struct ChunkFile {
    /// Which chunk.
    pub(crate) chunk: ChunkId,
    /// What the index says of it.
    pub(crate) row: Row,
    file: Arc<dyn DiskFile>,
}

impl ChunkFile {
    /// Where its payload is: the file, the offset and the length.
    pub(crate) fn payload(&self) -> (&Arc<dyn DiskFile>, u64, usize) {
        let Location { offset, len, .. } = self.row.location;
        (&self.file, offset + RECORD_HEADER_LEN as u64, len as usize)
    }

    /// Checks that the record is this chunk's, without reading the payload.
    ///
    /// # Errors
    /// `Corrupt`, or what the disk says.
    pub(crate) fn check_header(&self) -> Result<RecordHeader, StoreError> {
        let mut bytes = [0; RECORD_HEADER_LEN];
        self.read_exact_at(&mut bytes, self.row.location.offset)?;
        self.decode_header(&bytes)
    }

    /// Reads the chunk and checks its record and checksum: what cannot be wrong by the disk's fault.
    ///
    /// # Errors
    /// `Corrupt`, or what the disk says.
    pub(crate) fn read(&self) -> Result<Bytes, StoreError> {
        let len = usize::try_from(record_len(self.row.location.len)).expect("chunks fit in memory");
        let mut bytes = vec![0; len];
        self.read_exact_at(&mut bytes, self.row.location.offset)?;
        let header = self.decode_header(&bytes)?;
        let record = Bytes::from(bytes);
        let payload = record.slice(RECORD_HEADER_LEN..);
        if crc32c::crc32c(&payload) == header.payload_crc || is_planted(Bug::ReadsUnchecked) {
            Ok(payload)
        } else {
            Err(StoreError::Corrupt(self.chunk))
        }
    }

    /// Reads the chunk and checks that it is exactly what its id says.
    ///
    /// # Errors
    /// `Corrupt`, or what the disk says.
    pub(crate) fn verify(&self) -> Result<Bytes, StoreError> {
        let payload = self.read()?;
        if ChunkId::of(&payload) == self.chunk || is_planted(Bug::ReadsUnchecked) {
            Ok(payload)
        } else {
            Err(StoreError::Corrupt(self.chunk))
        }
    }

    /// A file that ends too early is as corrupt as one with wrong bytes.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), StoreError> {
        match self.file.read_exact_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(StoreError::Corrupt(self.chunk))
            }
            result => Ok(result?),
        }
    }

    fn decode_header(&self, bytes: &[u8]) -> Result<RecordHeader, StoreError> {
        RecordHeader::decode(bytes, self.row.location.offset)
            .filter(|header| {
                (header.chunk == self.chunk || is_planted(Bug::RecordsUnchecked))
                    && header.payload_len == self.row.location.len
                    && matches!(header.kind, RecordKind::Put { .. })
            })
            .ok_or(StoreError::Corrupt(self.chunk))
    }
}
