//! The format of an extent: one file of records, written once, front to back, never changed in place.
//!
//! All numbers are little-endian; checksums are CRC-32C. The first 4,096 bytes are the file's header, twice (at 0
//! and at 2,048, so that one bad sector does not lose it), 128 bytes each:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | magic `dfsEXT\r\n` |
//! | 8 | 4 | format: 1 |
//! | 12 | 4 | disk: which of the node's folders, from 0 |
//! | 16 | 8 | number of this extent, as in its name; from 1, never used twice |
//! | 24 | 8 | salt: random, repeated in every record |
//! | 32 | 16 | the node's id |
//! | 48 | 8 | when it was made, ms since 1970 |
//! | 56 | 8 | the extent before this one; 0 if there was none |
//! | 64 | 8 | its length then: what lies behind was never acknowledged |
//! | 72 | 8 | highest epoch of a delete order before this extent |
//! | 80 | 8 | its highest sequence |
//! | 88 | 36 | zero |
//! | 124 | 4 | checksum of bytes 0 to 123 |
//!
//! Records follow one another from 4,096 on. Each is 88 bytes of header, then the payload:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 4 | magic `dfsR` |
//! | 4 | 1 | version: 1 |
//! | 5 | 1 | kind: 1 put, 2 delete, 3 order (a delete order that found nothing to delete) |
//! | 6 | 2 | zero |
//! | 8 | 4 | length of the payload: 0 unless a put |
//! | 12 | 4 | checksum of the payload |
//! | 16 | 8 | the extent's salt |
//! | 24 | 8 | where this header begins in the file |
//! | 32 | 32 | chunk id |
//! | 64 | 8 | put: when it was written, ms since 1970; delete, order: epoch |
//! | 72 | 8 | delete, order: sequence |
//! | 80 | 4 | batch: where the batch begins that this record was synced with, in units of 64 bytes |
//! | 84 | 4 | checksum of bytes 0 to 83 |
//!
//! Salt and position tell a misplaced or stale record, or bytes of a user's file that look like one, from a
//! record of this extent.

use proto::frame::CHUNK_LEN_MAX;
use proto::id::{ChunkId, Epoch, NodeId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The format that this version writes, and the newest that it reads.
pub const EXTENT_FORMAT: u32 = 1;
/// Room for the file's header: where the first record begins.
pub const EXTENT_HEADER_LEN: u64 = 4096;
/// Bytes of a record before its payload.
pub const RECORD_HEADER_LEN: usize = 88;
/// Bytes in the longest payload.
pub const PAYLOAD_LEN_MAX: usize = CHUNK_LEN_MAX;
/// The first bytes of every record.
pub const RECORD_MAGIC: [u8; 4] = *b"dfsR";

const EXTENT_MAGIC: [u8; 8] = *b"dfsEXT\r\n";
const HEADER_COPY_LEN: usize = 128;
const HEADER_COPIES: [usize; 2] = [0, 2048];
const RECORD_VERSION: u8 = 1;

/// A delete order's place among all orders of all masters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Order {
    /// The master's start.
    pub epoch: Epoch,
    /// Counts its orders to this node since then.
    pub sequence: u64,
}

/// What an extent says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtentHeader {
    /// As in its name.
    pub number: u64,
    /// Random, repeated in its records.
    pub salt: u64,
    /// Whose it is.
    pub node: NodeId,
    /// Which of the node's folders.
    pub disk: u32,
    /// When it was made.
    pub created_ms: u64,
    /// The extent that was written before; 0 if there was none.
    pub previous: u64,
    /// The length of that one when it was left.
    pub previous_len: u64,
    /// The highest order seen before this extent.
    pub order: Order,
}

/// Why bytes are not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Neither copy verifies.
    #[error("its header is damaged")]
    Damaged,
    /// It verifies and says a later format.
    #[error("it has format {0}, written by a newer version; this one reads up to {EXTENT_FORMAT}")]
    Newer(u32),
}

impl ExtentHeader {
    /// Whether it is the header of the extent with this number, on this disk of this node.
    pub fn is_of(&self, number: u64, owner: (NodeId, u32)) -> bool {
        self.number == number && (self.node, self.disk) == owner
    }

    /// The first [`EXTENT_HEADER_LEN`] bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(HEADER_COPY_LEN);
        copy.extend_from_slice(&EXTENT_MAGIC);
        copy.extend_from_slice(&EXTENT_FORMAT.to_le_bytes());
        copy.extend_from_slice(&self.disk.to_le_bytes());
        copy.extend_from_slice(&self.number.to_le_bytes());
        copy.extend_from_slice(&self.salt.to_le_bytes());
        copy.extend_from_slice(self.node.uuid().as_bytes());
        for value in [
            self.created_ms,
            self.previous,
            self.previous_len,
            self.order.epoch.0,
            self.order.sequence,
        ] {
            copy.extend_from_slice(&value.to_le_bytes());
        }
        copy.resize(HEADER_COPY_LEN - 4, 0);
        let sum = crc32c::crc32c(&copy);
        copy.extend_from_slice(&sum.to_le_bytes());
        let mut bytes = vec![0; to_usize(EXTENT_HEADER_LEN)];
        for at in HEADER_COPIES {
            bytes[at..at + HEADER_COPY_LEN].copy_from_slice(&copy);
        }
        bytes
    }

    /// Reads the header from the beginning of a file, from whichever copy verifies.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let copies = HEADER_COPIES
            .iter()
            .filter_map(|at| bytes.get(*at..at + HEADER_COPY_LEN));
        let mut error = HeaderError::Damaged;
        for copy in copies {
            match Self::decode_copy(copy) {
                Ok(header) => return Ok(header),
                Err(HeaderError::Damaged) => {}
                Err(newer) => error = newer,
            }
        }
        Err(error)
    }

    fn decode_copy(copy: &[u8]) -> Result<Self, HeaderError> {
        let sum = u32_at(copy, HEADER_COPY_LEN - 4);
        if copy[..8] != EXTENT_MAGIC || crc32c::crc32c(&copy[..HEADER_COPY_LEN - 4]) != sum {
            return Err(HeaderError::Damaged);
        }
        let format = u32_at(copy, 8);
        if format > EXTENT_FORMAT {
            return Err(HeaderError::Newer(format));
        }
        let node: [u8; 16] = copy[32..48].try_into().expect("16 bytes are taken");
        Ok(Self {
            number: u64_at(copy, 16),
            salt: u64_at(copy, 24),
            node: NodeId::new(Uuid::from_bytes(node)),
            disk: u32_at(copy, 12),
            created_ms: u64_at(copy, 48),
            previous: u64_at(copy, 56),
            previous_len: u64_at(copy, 64),
            order: Order {
                epoch: Epoch(u64_at(copy, 72)),
                sequence: u64_at(copy, 80),
            },
        })
    }
}

/// What a record does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// The chunk's bytes follow.
    Put {
        /// When it was written.
        written_ms: u64,
    },
    /// The chunk is not here any more.
    Delete {
        /// On whose order.
        order: Order,
    },
    /// A delete order was seen; it found nothing here.
    Order {
        /// Which.
        order: Order,
    },
}

/// A record without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// What it does.
    pub kind: RecordKind,
    /// To which chunk; all zero for an order.
    pub chunk: ChunkId,
    /// Bytes of payload.
    pub payload_len: u32,
    /// Their checksum.
    pub payload_crc: u32,
    /// The extent's.
    pub salt: u64,
    /// Where the header begins.
    pub offset: u64,
    /// Which batch it was synced with: see [`batch_at`].
    pub batch: u32,
}

impl RecordHeader {
    /// Header and payload.
    pub fn record_len(&self) -> u64 {
        record_len(self.payload_len)
    }

    /// Its bytes on disk.
    pub fn encode(&self) -> [u8; RECORD_HEADER_LEN] {
        let (kind, first, second) = match self.kind {
            RecordKind::Put { written_ms } => (1, written_ms, 0),
            RecordKind::Delete { order } => (2, order.epoch.0, order.sequence),
            RecordKind::Order { order } => (3, order.epoch.0, order.sequence),
        };
        let mut bytes = [0; RECORD_HEADER_LEN];
        bytes[..4].copy_from_slice(&RECORD_MAGIC);
        bytes[4] = RECORD_VERSION;
        bytes[5] = kind;
        bytes[8..12].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.salt.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.offset.to_le_bytes());
        bytes[32..64].copy_from_slice(self.chunk.as_bytes());
        bytes[64..72].copy_from_slice(&first.to_le_bytes());
        bytes[72..80].copy_from_slice(&second.to_le_bytes());
        bytes[80..84].copy_from_slice(&self.batch.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..84]);
        bytes[84..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header that must stand at this offset; `None` if the bytes are not one.
    pub fn decode(bytes: &[u8], offset: u64) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER_LEN)?;
        let whole = bytes[..4] == RECORD_MAGIC
            && bytes[4] == RECORD_VERSION
            && crc32c::crc32c(&bytes[..84]) == u32_at(bytes, 84);
        if !whole || u64_at(bytes, 24) != offset {
            return None;
        }
        let order = Order {
            epoch: Epoch(u64_at(bytes, 64)),
            sequence: u64_at(bytes, 72),
        };
        let kind = match bytes[5] {
            1 => RecordKind::Put {
                written_ms: u64_at(bytes, 64),
            },
            2 => RecordKind::Delete { order },
            3 => RecordKind::Order { order },
            _ => return None,
        };
        let payload_len = u32_at(bytes, 8);
        let is_put = matches!(kind, RecordKind::Put { .. });
        if payload_len as usize > PAYLOAD_LEN_MAX || is_put == (payload_len == 0) {
            return None;
        }
        Some(Self {
            kind,
            chunk: ChunkId::from_bytes(bytes[32..64].try_into().expect("32 bytes are taken")),
            payload_len,
            payload_crc: u32_at(bytes, 12),
            salt: u64_at(bytes, 16),
            offset,
            batch: u32_at(bytes, 80),
        })
    }
}

/// The mark of a batch that begins at this offset. Later batches of an extent have greater marks, since none is
/// shorter than a record's header: so a damaged record before one of a later batch was synced once. That is for whoever looks
/// into a damaged extent: no start relies on it.
pub fn batch_at(offset: u64) -> u32 {
    u32::try_from(offset / 64).unwrap_or(u32::MAX)
}

/// Bytes of a record with a payload of this length.
pub fn record_len(payload_len: u32) -> u64 {
    RECORD_HEADER_LEN as u64 + u64::from(payload_len)
}

/// The path of an extent in its data folder.
pub fn extent_path(number: u64) -> String {
    format!("{EXTENTS_FOLDER}/{number:08}.extent")
}

/// The folder with the extents.
pub const EXTENTS_FOLDER: &str = "extents";

/// The path of an extent's summary.
pub fn summary_path(number: u64) -> String {
    format!("{EXTENTS_FOLDER}/{number:08}.summary")
}

/// The number in an extent's file name, if it is one.
pub fn extent_number(name: &str) -> Option<u64> {
    parse_number(name.strip_suffix(".extent")?)
}

/// The number in the file name of a summary, if it is one, and whether it is finished.
pub fn summary_number(name: &str) -> Option<(u64, bool)> {
    let finished = name.strip_suffix(".new").unwrap_or(name);
    let number = parse_number(finished.strip_suffix(".summary")?)?;
    Some((number, finished == name))
}

fn parse_number(digits: &str) -> Option<u64> {
    let number = digits.parse().ok().filter(|number| *number > 0)?;
    (format!("{number:08}") == digits).then_some(number)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes are taken"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes are taken"))
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).expect("lengths in memory fit")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> ExtentHeader {
        ExtentHeader {
            number: 7,
            salt: 0x0123_4567_89ab_cdef,
            node: NodeId::new(Uuid::from_u128(9)),
            disk: 1,
            created_ms: 2,
            previous: 6,
            previous_len: 4096,
            order: Order {
                epoch: Epoch(3),
                sequence: 4,
            },
        }
    }

    fn record() -> RecordHeader {
        RecordHeader {
            kind: RecordKind::Put { written_ms: 5 },
            chunk: ChunkId::of(b"abc"),
            payload_len: 3,
            payload_crc: crc32c::crc32c(b"abc"),
            salt: header().salt,
            offset: 4096,
            batch: 1,
        }
    }

    #[test]
    fn an_extents_header_survives_the_loss_of_either_copy() {
        let bytes = header().encode();
        assert_eq!(ExtentHeader::decode(&bytes), Ok(header()));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert_eq!(ExtentHeader::decode(&flipped), Ok(header()), "byte {at}");
        }
        for len in 0..HEADER_COPY_LEN {
            let error = ExtentHeader::decode(&bytes[..len]);
            assert_eq!(error, Err(HeaderError::Damaged), "{len} bytes");
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let mut bytes = header().encode();
        for at in HEADER_COPIES {
            bytes[at + 8] = 2;
            let sum = crc32c::crc32c(&bytes[at..at + 124]).to_le_bytes();
            bytes[at + 124..at + 128].copy_from_slice(&sum);
        }
        assert_eq!(ExtentHeader::decode(&bytes), Err(HeaderError::Newer(2)));
    }

    #[test]
    fn a_record_with_any_bit_flipped_is_none() {
        let bytes = record().encode();
        assert_eq!(RecordHeader::decode(&bytes, 4096), Some(record()));
        assert_eq!(RecordHeader::decode(&bytes, 4097), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&flipped, 4096), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(RecordHeader::decode(&bytes[..len], 4096), None);
        }
    }

    #[test]
    fn only_our_names_are_extents() {
        assert_eq!(extent_number("00000012.extent"), Some(12));
        assert_eq!(extent_number("123456789.extent"), Some(123_456_789));
        for name in [
            "12.extent",
            "00000000.extent",
            "+0000001.extent",
            "00000001.extent.bak",
        ] {
            assert_eq!(extent_number(name), None, "{name}");
        }
        assert_eq!(summary_number("00000012.summary"), Some((12, true)));
        assert_eq!(summary_number("00000012.summary.new"), Some((12, false)));
        for name in ["12.summary", "00000012.extent", "00000012.summary.old"] {
            assert_eq!(summary_number(name), None, "{name}");
        }
    }
}
