//! A chunk whose bytes are what its id says.

use bytes::Bytes;
use planted::{Bug, is_planted};
use proto::id::ChunkId;

/// A chunk whose bytes were checked against its id, with their checksum.
#[derive(Debug, Clone)]
pub(crate) struct VerifiedChunk {
    pub(crate) chunk: ChunkId,
    pub(crate) payload: Bytes,
    pub(crate) payload_crc: u32,
}

impl VerifiedChunk {
    /// Hashes the bytes; `None` if they are not this chunk's.
    pub(crate) fn check(chunk: ChunkId, payload: Bytes) -> Option<Self> {
        let is_good = ChunkId::of(&payload) == chunk || is_planted(Bug::PutsUnchecked);
        is_good.then(|| Self {
            chunk,
            payload_crc: crc32c::crc32c(&payload),
            payload,
        })
    }

    /// Bytes of payload.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.payload.len()).expect("chunks are far shorter")
    }
}
