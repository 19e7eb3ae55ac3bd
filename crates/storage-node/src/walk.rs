//! Reads the records of an extent one after another, and finds the way again behind a damaged place.
//!
//! The walk follows the records' lengths. Where no record verifies it looks byte by byte for the next one, and
//! tells the range between as [`Item::Damage`]. A damaged payload does not break the chain: its header still says
//! where the next record begins. What cannot be read at all counts as damage, not as an end; and so does what a file lacks
//! that is shorter than it should be.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use disk::DiskFile;

use crate::extent::{EXTENT_HEADER_LEN, RECORD_HEADER_LEN, RECORD_MAGIC, RecordHeader};

/// What is read at once when only headers matter.
const HEADERS_WINDOW_LEN: usize = 8 << 10;
/// What is read at once when payloads are read too.
const PAYLOADS_WINDOW_LEN: usize = 256 << 10;
/// What is searched for a header at once.
const SEARCH_LEN: usize = 4 << 10;
/// How much is given up around a place that cannot be read.
const UNREADABLE_LEN: u64 = 4096;

/// What stands at a place of an extent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A record whose header verifies.
    Record {
        /// It.
        header: RecordHeader,
        /// Whether its payload has its checksum; always true where payloads are not read.
        payload_good: bool,
    },
    /// Bytes that are no record, up to the next one or the end.
    Damage(Range<u64>),
}

/// Whether payloads are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payloads {
    /// Headers only: fast.
    Skip,
    /// Everything is read and verified.
    Verify,
}

/// A walk through one extent.
#[derive(Debug)]
pub(crate) struct Walk {
    file: Arc<dyn DiskFile>,
    salt: Option<u64>,
    payloads: Payloads,
    offset: u64,
    /// Where the walk ends, or the file, if that is before.
    end: u64,
    /// What the file lacks.
    missing: Option<Range<u64>>,
    window: Vec<u8>,
    window_start: u64,
    unreadable_to: u64,
    /// Reads that failed.
    failed_reads: u64,
    hides_records: bool,
}

impl Walk {
    /// Begins at the range's start, which must be where a record begins, and ends at its end: `u64::MAX` if only the file
    /// knows where that is.
    ///
    /// Without a salt (the file's header is lost) the first record's is believed.
    ///
    /// # Errors
    /// When the length cannot be told.
    pub(crate) fn new(
        file: Arc<dyn DiskFile>,
        salt: Option<u64>,
        range: Range<u64>,
        payloads: Payloads,
    ) -> io::Result<Self> {
        let start = range.start.max(EXTENT_HEADER_LEN);
        let end = file.len()?.min(range.end);
        let missing = start.max(end)..range.end;
        Ok(Self {
            file,
            salt,
            payloads,
            offset: start,
            end,
            missing: (range.end != u64::MAX && !missing.is_empty()).then_some(missing),
            window: Vec::new(),
            window_start: 0,
            unreadable_to: 0,
            failed_reads: 0,
            hides_records: false,
        })
    }

    /// Where the next item begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The salt of the extent's records, if it is known.
    pub(crate) fn salt(&self) -> Option<u64> {
        self.salt
    }

    /// Whether anything that was needed could not be read, perhaps only now.
    pub(crate) fn met_unreadable(&self) -> bool {
        self.unreadable_to > 0
    }

    /// Whether records may stand where it could not be read, perhaps only now. A payload hides none.
    pub(crate) fn hides_records(&self) -> bool {
        self.hides_records
    }

    /// Up to where something was needed and could not be read.
    pub(crate) fn unreadable_to(&self) -> u64 {
        self.unreadable_to
    }

    /// How many bytes of a range are in the file.
    pub(crate) fn bytes_in_file(&self, range: &Range<u64>) -> u64 {
        range.end.min(self.end).saturating_sub(range.start)
    }

    /// The next item; `None` at the end.
    pub(crate) fn next_item(&mut self) -> Option<Item> {
        if self.offset >= self.end {
            let missing = self.missing.take()?;
            self.offset = missing.end;
            return Some(Item::Damage(missing));
        }
        let (start, failed_before) = (self.offset, self.failed_reads);
        if let Some(header) = self.header_at(start) {
            let payload_good = match self.payloads {
                Payloads::Skip => true,
                Payloads::Verify => self.payload_verifies(&header),
            };
            self.offset = start + header.record_len();
            return Some(Item::Record {
                header,
                payload_good,
            });
        }
        self.offset = self.find_header(start + 1);
        self.hides_records |= self.failed_reads > failed_before;
        Some(Item::Damage(start..self.offset))
    }

    /// A header of this extent whose record ends within the walk.
    fn header_at(&mut self, offset: u64) -> Option<RecordHeader> {
        let salt = self.salt;
        let bytes = self.read(offset, RECORD_HEADER_LEN).ok()?;
        let header = RecordHeader::decode(bytes, offset)?;
        if salt.is_some_and(|salt| salt != header.salt) || offset + header.record_len() > self.end {
            return None;
        }
        self.salt = Some(header.salt);
        Some(header)
    }

    /// Whether the payload of a record of this extent has its checksum.
    pub(crate) fn payload_verifies(&mut self, header: &RecordHeader) -> bool {
        let mut at = header.offset + RECORD_HEADER_LEN as u64;
        let end = header.offset + header.record_len();
        let mut sum = 0;
        while at < end {
            let len = to_usize(end - at).min(PAYLOADS_WINDOW_LEN);
            match self.read(at, len) {
                Ok(bytes) => sum = crc32c::crc32c_append(sum, bytes),
                Err(_) => return false,
            }
            at += len as u64;
        }
        sum == header.payload_crc
    }

    /// Where the next header at or behind `from` begins; the end if there is none.
    fn find_header(&mut self, from: u64) -> u64 {
        let mut at = from;
        while at + RECORD_HEADER_LEN as u64 <= self.end {
            let len = to_usize(self.end - at).min(SEARCH_LEN);
            let Ok(bytes) = self.read(at, len) else {
                at = (at / UNREADABLE_LEN + 1) * UNREADABLE_LEN;
                continue;
            };
            let magic = bytes
                .windows(RECORD_MAGIC.len())
                .position(|window| window == RECORD_MAGIC);
            match magic {
                Some(position) => {
                    at += position as u64;
                    if self.header_at(at).is_some() {
                        return at;
                    }
                    at += 1;
                }
                // The magic may begin in the last bytes of this window.
                None => at += (len - RECORD_MAGIC.len() + 1) as u64,
            }
        }
        self.end
    }

    /// `len` bytes at this offset, from the window or the file.
    fn read(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let end = offset + len as u64;
        if end > self.end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let window_end = self.window_start + self.window.len() as u64;
        if offset < self.window_start || end > window_end {
            self.fill(offset, len)?;
        }
        let at = to_usize(offset - self.window_start);
        Ok(&self.window[at..at + len])
    }

    fn fill(&mut self, offset: u64, len: usize) -> io::Result<()> {
        let wanted = match self.payloads {
            Payloads::Skip => HEADERS_WINDOW_LEN,
            Payloads::Verify => PAYLOADS_WINDOW_LEN,
        };
        let rest = to_usize(self.end - offset);
        self.window_start = offset;
        self.window.resize(wanted.max(len).min(rest), 0);
        let mut filled = self.file.read_exact_at(&mut self.window, offset);
        if filled.is_err() && self.window.len() > len {
            // Something behind what is needed may be unreadable.
            self.window.truncate(len);
            filled = self.file.read_exact_at(&mut self.window, offset);
        }
        filled.inspect_err(|_| {
            self.window.clear();
            self.failed_reads += 1;
            self.unreadable_to = self.unreadable_to.max(offset + len as u64);
        })
    }
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
