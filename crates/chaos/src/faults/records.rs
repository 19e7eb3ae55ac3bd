//! Where a chunk lies in the extents of a node, so that it rots and nothing else.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use proto::id::ChunkId;
use rand::RngExt;
use rand::rngs::StdRng;
use storage_node::extent::{RECORD_HEADER_LEN, RECORD_MAGIC};

/// In a record's header: its kind, the length of its payload, and its chunk.
const KIND_AT: usize = 5;
const PUT: u8 = 1;
const LEN_AT: usize = 8;
const CHUNK_AT: usize = 32;

/// Flips a bit in the bytes of each record of a chunk; how many there were.
pub(super) fn rot(extents: &Path, chunk: ChunkId, chance: &mut StdRng) -> io::Result<usize> {
    let mut rotten = 0;
    for entry in fs::read_dir(extents)? {
        let path = entry?.path();
        let bytes = match fs::read(&path) {
            // A node that runs may remove it in this moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            bytes => bytes?,
        };
        for payload in payloads(&bytes, chunk) {
            let at = chance.random_range(payload);
            let mut file = File::options().write(true).open(&path)?;
            file.seek(SeekFrom::Start(at as u64))?;
            file.write_all(&[bytes[at] ^ (1 << chance.random_range(0..8))])?;
            rotten += 1;
        }
    }
    Ok(rotten)
}

/// Where the bytes of this chunk are in an extent.
fn payloads(extent: &[u8], chunk: ChunkId) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, window) in extent.windows(RECORD_HEADER_LEN).enumerate() {
        if window.starts_with(&RECORD_MAGIC)
            && window[KIND_AT] == PUT
            && window[CHUNK_AT..].starts_with(chunk.as_bytes())
        {
            let len: [u8; 4] = window[LEN_AT..LEN_AT + 4]
                .try_into()
                .expect("it has this length");
            let begin = at + RECORD_HEADER_LEN;
            let end = begin + u32::from_le_bytes(len) as usize;
            if begin < end && end <= extent.len() {
                found.push(begin..end);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is harmed must be the bytes of this chunk: else a round that has lost nothing would be called a good one.
    #[test]
    fn the_bytes_of_a_chunk_are_found_and_no_others() {
        let chunks = [ChunkId::of(b"one"), ChunkId::of(b"other")];
        let mut extent = vec![0; 100];
        for (chunk, kind) in [(chunks[0], 1), (chunks[1], 1), (chunks[0], 2)] {
            extent.extend(RECORD_MAGIC);
            extent.extend([1, kind, 0, 0, 3, 0, 0, 0]);
            extent.extend([0; CHUNK_AT - 12]);
            extent.extend(chunk.as_bytes());
            extent.extend([0; RECORD_HEADER_LEN - CHUNK_AT - ChunkId::LEN]);
            extent.extend(b"abc");
        }
        let begin = 100 + RECORD_HEADER_LEN;
        let found = payloads(&extent, chunks[0]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(&extent[found[0].clone()], b"abc");
        assert_eq!(found[0].start, begin);
        assert!(payloads(&extent[..begin + 2], chunks[0]).is_empty());
    }
}
