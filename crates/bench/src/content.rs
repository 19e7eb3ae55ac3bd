//! Content that is made and compared as it passes: no two files have a page in common, and none can be made smaller.

use std::sync::LazyLock;

/// Numbers of big files. Those of small ones are far above them.
pub(crate) const BIG: u64 = 1;
pub(crate) const BIG_BY_PAGE: u64 = 2;
pub(crate) const BIG_WITH_ONE_GONE: u64 = 3;

const PAGE: usize = 4096;
const BLOCK: usize = 1 << 20;

/// What all files are made of; each writes its own stamp into every page.
static BASE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(BLOCK);
    while bytes.len() < BLOCK {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    }
    bytes
});

/// The bytes of one file, which only this number has, and how far one is in them.
#[derive(Debug)]
pub(crate) struct Content {
    number: u64,
    len: u64,
    at: u64,
    /// A part of the file as it is, and which one.
    block: Vec<u8>,
    stamped: u64,
}

impl Content {
    pub(crate) fn new(number: u64, len: u64) -> Self {
        let size = usize::try_from(len).map_or(BLOCK, |len| len.min(BLOCK));
        let mut content = Self {
            number,
            len,
            at: 0,
            block: BASE[..size].to_vec(),
            stamped: 0,
        };
        content.stamp(0);
        content
    }

    /// Bytes in all.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether all have passed.
    pub(crate) fn is_over(&self) -> bool {
        self.at >= self.len
    }

    /// The next bytes, up to the end of a block at most.
    pub(crate) fn piece(&mut self) -> &[u8] {
        let (block, within) = (self.at / BLOCK as u64, self.at % BLOCK as u64);
        if block != self.stamped {
            self.stamp(block);
        }
        let left = self.len - self.at;
        let within = usize::try_from(within).expect("a block fits into memory");
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let end = self.block.len().min(within.saturating_add(left));
        &self.block[within..end]
    }

    /// So many of them have passed.
    pub(crate) fn advance(&mut self, len: usize) {
        self.at += len as u64;
    }

    /// Whether these are the next bytes, which then have passed.
    pub(crate) fn takes(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.is_over() {
                return false;
            }
            let piece = self.piece();
            let len = piece.len().min(bytes.len());
            if piece[..len] != bytes[..len] {
                return false;
            }
            self.advance(len);
            bytes = &bytes[len..];
        }
        true
    }

    fn stamp(&mut self, block: u64) {
        self.stamped = block;
        let pages_before = block * (BLOCK / PAGE) as u64;
        for (page, bytes) in (pages_before..).zip(self.block.chunks_mut(PAGE)) {
            let stamp = [self.number.to_le_bytes(), page.to_le_bytes()].concat();
            let len = stamp.len().min(bytes.len());
            bytes[..len].copy_from_slice(&stamp[..len]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(number: u64, len: u64) -> Vec<u8> {
        let mut content = Content::new(number, len);
        let mut bytes = Vec::new();
        while !content.is_over() {
            let piece = content.piece().to_vec();
            content.advance(piece.len());
            bytes.extend_from_slice(&piece);
        }
        bytes
    }

    #[test]
    fn every_length_comes_whole_and_is_taken_in_any_pieces() {
        for len in [
            0,
            1,
            15,
            4095,
            4096,
            4097,
            BLOCK - 1,
            BLOCK,
            BLOCK + 1,
            3 * BLOCK + 5,
        ] {
            let bytes = whole(7, len as u64);
            assert_eq!(bytes.len(), len);
            for size in [1000, 65_537, 2 * BLOCK] {
                let mut content = Content::new(7, len as u64);
                assert!(bytes.chunks(size).all(|piece| content.takes(piece)));
                assert!(content.is_over());
            }
        }
    }

    #[test]
    fn a_flipped_bit_another_file_and_a_byte_too_many_are_not_taken() {
        let bytes = whole(7, 3 << 20);
        for place in [0, 5000, (2 << 20) + 3, (3 << 20) - 1] {
            let mut wrong = bytes.clone();
            wrong[place] ^= 1;
            assert!(!Content::new(7, 3 << 20).takes(&wrong), "{place}");
        }
        assert!(!Content::new(8, 3 << 20).takes(&bytes));
        assert!(!Content::new(7, (3 << 20) - 1).takes(&bytes));
    }

    #[test]
    fn no_two_pages_are_alike() {
        let files = [whole(1, 3 << 20), whole(2, 3 << 20)].concat();
        let pages: std::collections::HashSet<_> = files.chunks(PAGE).collect();
        assert_eq!(pages.len(), files.len() / PAGE);
    }
}
