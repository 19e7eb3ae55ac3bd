//! What files consist of: a number says all of a file's bytes, and the bytes say their number.
//!
//! Chunks behind the first are often taken from a small pool, so that files share chunks, and a chunk that nothing needs
//! any more is needed again a moment later.

use proto::id::ChunkId;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// Bytes of a chunk.
pub const CHUNK_LEN: usize = 4096;
/// Chunks in the pool.
const POOL: u64 = 6;

/// One content that a file can have: only one upload has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub u32);

impl Value {
    /// Each content begins with its number, in so many bytes.
    pub const NUMBER_LEN: u64 = 4;

    /// All bytes.
    pub fn bytes(self) -> Vec<u8> {
        let mut chance = StdRng::seed_from_u64(self.0.into());
        let mut bytes = self.0.to_be_bytes().to_vec();
        let first_len = chance.random_range(0..CHUNK_LEN);
        fill(&mut bytes, first_len, &mut chance);
        if chance.random_bool(0.3) {
            return bytes;
        }
        let rest_of_first = CHUNK_LEN - bytes.len();
        fill(&mut bytes, rest_of_first, &mut chance);
        for _ in 0..chance.random_range(0..4) {
            if chance.random_bool(0.6) {
                let pooled = u64::MAX - chance.random_range(0..POOL);
                fill(&mut bytes, CHUNK_LEN, &mut StdRng::seed_from_u64(pooled));
            } else {
                fill(&mut bytes, CHUNK_LEN, &mut chance);
            }
        }
        let last_len = chance.random_range(0..CHUNK_LEN);
        fill(&mut bytes, last_len, &mut chance);
        bytes
    }

    /// Whose bytes these are, if they are anybody's.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let value = Self::numbered(bytes)?;
        (value.bytes() == bytes).then_some(value)
    }

    /// Whose bytes these would be by the number that they begin with.
    pub(crate) fn numbered(bytes: &[u8]) -> Option<Self> {
        let number = bytes.get(..4)?.try_into().ok()?;
        Some(Self(u32::from_be_bytes(number)))
    }

    /// Its chunks.
    pub fn chunks(self) -> Vec<ChunkId> {
        let bytes = self.bytes();
        bytes.chunks(CHUNK_LEN).map(ChunkId::of).collect()
    }
}

fn fill(bytes: &mut Vec<u8>, len: usize, chance: &mut StdRng) {
    let begin = bytes.len();
    bytes.resize(begin + len, 0);
    chance.fill_bytes(&mut bytes[begin..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_say_whose_they_are_and_nobodys_are_told() {
        for number in 0..100 {
            let value = Value(number);
            let mut bytes = value.bytes();
            assert_eq!(Value::of(&bytes), Some(value));
            *bytes.last_mut().unwrap() ^= 1;
            assert_eq!(Value::of(&bytes), None);
            bytes.pop();
            assert_eq!(Value::of(&bytes), None);
        }
        assert_eq!(Value::of(&[]), None);
    }
}
