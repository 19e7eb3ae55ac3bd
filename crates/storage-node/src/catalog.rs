//! The sums that a store keeps in memory: what each extent holds, and the digests of 256 buckets of chunk ids.
//!
//! They follow every change of the index, so that a heartbeat or an inventory never scans it. A checkpoint writes
//! them into the index; [`Catalog::position`] says of which moment they are, and if the index is of
//! another one they are counted again.

use std::collections::BTreeMap;
use std::io;

use proto::id::ChunkId;
use proto::node::BucketDigest;
use serde::{Deserialize, Serialize};

use crate::extent::{EXTENT_HEADER_LEN, Order, RECORD_HEADER_LEN, RecordHeader, record_len};

/// Where a chunk's record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Location {
    /// In which extent.
    pub(crate) extent: u64,
    /// Where its header begins.
    pub(crate) offset: u64,
    /// Bytes of payload.
    pub(crate) len: u32,
}

impl Location {
    /// Where this record of an extent is.
    pub(crate) fn of(extent: u64, header: &RecordHeader) -> Self {
        Self {
            extent,
            offset: header.offset,
            len: header.payload_len,
        }
    }
}

/// What the index knows of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// Where it is.
    pub(crate) location: Location,
    /// Found not to verify: never served, to be replaced.
    pub(crate) corrupt: bool,
    /// When its bytes were written, moved or replaced, verified each time: ms since 1970.
    pub(crate) verified_ms: u64,
}

/// A place in the sequence of all records.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(crate) struct Position {
    /// In which extent; 0 before all.
    pub(crate) extent: u64,
    /// Where in it.
    pub(crate) offset: u64,
}

/// What one extent holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExtentSums {
    /// Its length, as far as it counts.
    pub(crate) len: u64,
    /// Bytes of records that are needed: of good chunks, and of deletions.
    pub(crate) live_bytes: u64,
    /// Good chunks.
    pub(crate) live_chunks: u64,
    /// When the scrubber last read all of it: ms since 1970, 0 for never.
    pub(crate) scrubbed_ms: u64,
}

impl ExtentSums {
    /// Bytes that compaction would win back.
    pub(crate) fn reclaimable(&self) -> u64 {
        self.len
            .saturating_sub(EXTENT_HEADER_LEN)
            .saturating_sub(self.live_bytes)
    }
}

/// All sums of one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Catalog {
    /// What is counted: all records before this place.
    pub(crate) position: Position,
    /// The highest delete order seen.
    pub(crate) order: Order,
    /// Where the scrubber goes on.
    pub(crate) scrub: Position,
    /// By number.
    pub(crate) extents: BTreeMap<u64, ExtentSums>,
    /// Good chunks by the first byte of their ids.
    pub(crate) buckets: Vec<BucketDigest>,
    /// Chunks known to be corrupt.
    pub(crate) corrupt_chunks: u64,
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            position: Position::default(),
            order: Order::default(),
            scrub: Position::default(),
            extents: BTreeMap::new(),
            buckets: vec![BucketDigest::default(); 256],
            corrupt_chunks: 0,
        }
    }
}

impl Catalog {
    /// Good chunks.
    pub(crate) fn chunks(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.count).sum()
    }

    /// The extent that is written, or was last.
    pub(crate) fn last_extent(&self) -> Option<u64> {
        self.extents.keys().next_back().copied()
    }

    /// Bytes of extents.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.extents.values().map(|extent| extent.len).sum()
    }

    /// Bytes that compaction can win back.
    pub(crate) fn reclaimable_bytes(&self) -> u64 {
        self.extents.values().map(ExtentSums::reclaimable).sum()
    }

    /// Whether these sums, which were counted anew, account for all that was known: each extent has at least as many good chunks,
    /// and no chunk is there that was deleted. What was known to be corrupt may count as good again; where nothing was, the
    /// chunks are the same.
    ///
    /// # Errors
    /// Says what is missing.
    pub(crate) fn check_against(&self, known: &Self) -> io::Result<()> {
        for (number, sums) in &known.extents {
            let (found, known) = (self.extents.get(number), sums.live_chunks);
            let found = found.map_or(0, |sums| sums.live_chunks);
            if found < known {
                return Err(io::Error::other(format!(
                    "extent {number} shows {found} of its {known} chunks"
                )));
            }
        }
        if self.rows() > known.rows() {
            return Err(io::Error::other("not all deletions show"));
        }
        if known.corrupt_chunks == 0 && self.buckets != known.buckets {
            return Err(io::Error::other("not the same chunks show"));
        }
        Ok(())
    }

    /// Takes over when the extents were read.
    pub(crate) fn keep_scrubbed(&mut self, known: &Self) {
        self.scrub = known.scrub;
        for (number, sums) in &mut self.extents {
            sums.scrubbed_ms = known
                .extents
                .get(number)
                .map_or(0, |known| known.scrubbed_ms);
        }
    }

    /// Chunks, good or corrupt.
    fn rows(&self) -> u64 {
        self.chunks() + self.corrupt_chunks
    }

    /// A chunk's row changed from one to the other.
    pub(crate) fn note(&mut self, chunk: &ChunkId, old: Option<&Row>, new: Option<&Row>) {
        if let Some(row) = old {
            self.forget(chunk, row);
        }
        if let Some(row) = new {
            self.add(chunk, row);
        }
    }

    /// Records without a row (deletions) were written: they are needed until compaction finds otherwise.
    pub(crate) fn note_deletions(&mut self, extent: u64, count: u64) {
        self.extents.entry(extent).or_default().live_bytes += count * RECORD_HEADER_LEN as u64;
    }

    fn add(&mut self, chunk: &ChunkId, row: &Row) {
        if row.corrupt {
            self.corrupt_chunks += 1;
            return;
        }
        self.buckets[usize::from(chunk.bucket())].add(chunk);
        let extent = self.extents.entry(row.location.extent).or_default();
        extent.live_bytes += record_len(row.location.len);
        extent.live_chunks += 1;
    }

    fn forget(&mut self, chunk: &ChunkId, row: &Row) {
        if row.corrupt {
            self.corrupt_chunks = self.corrupt_chunks.saturating_sub(1);
            return;
        }
        self.buckets[usize::from(chunk.bucket())].remove(chunk);
        if let Some(extent) = self.extents.get_mut(&row.location.extent) {
            extent.live_bytes = extent
                .live_bytes
                .saturating_sub(record_len(row.location.len));
            extent.live_chunks = extent.live_chunks.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_return_to_zero_when_everything_is_gone() {
        let chunk = ChunkId::of(b"abc");
        let row = Row {
            location: Location {
                extent: 1,
                offset: EXTENT_HEADER_LEN,
                len: 3,
            },
            corrupt: false,
            verified_ms: 0,
        };
        let bad = Row {
            corrupt: true,
            ..row
        };
        let mut catalog = Catalog::default();
        catalog.note(&chunk, None, Some(&row));
        assert_eq!((catalog.chunks(), catalog.corrupt_chunks), (1, 0));
        assert_eq!(catalog.extents[&1].live_bytes, 91);
        catalog.note(&chunk, Some(&row), Some(&bad));
        assert_eq!((catalog.chunks(), catalog.corrupt_chunks), (0, 1));
        catalog.note(&chunk, Some(&bad), None);
        assert_eq!(catalog.corrupt_chunks, 0);
        assert_eq!(catalog.extents[&1], ExtentSums::default());
        assert_eq!(catalog.buckets, Catalog::default().buckets);
    }
}
