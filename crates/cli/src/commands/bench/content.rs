//! Bytes that nobody else has: new in each run, so that nothing is stored already, and made again to be compared.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

/// Made at a time; in other pieces the same seed would give other bytes.
const BLOCK_LEN: usize = 64 << 10;

/// The bytes of one file, as far as they have not passed yet.
#[derive(Debug)]
pub(super) struct Content {
    random: SmallRng,
    block: Vec<u8>,
    at: usize,
    left: u64,
    /// The file ends early when this is over.
    end: Option<Instant>,
}

impl Content {
    /// So many bytes that only this seed makes.
    pub(super) fn new(seed: u64, len: u64) -> Self {
        let block_len = usize::try_from(len).map_or(BLOCK_LEN, |len| len.min(BLOCK_LEN));
        Self {
            random: SmallRng::seed_from_u64(seed),
            block: vec![0; block_len],
            at: block_len,
            left: len,
            end: None,
        }
    }

    /// The same, as a reader that ends at this time if not before.
    pub(super) fn until(self, end: Instant) -> Self {
        Self {
            end: Some(end),
            ..self
        }
    }

    /// Whether all have passed.
    #[cfg(test)]
    fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Whether these are the next bytes, which then have passed.
    pub(super) fn takes(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let piece = self.piece();
            let len = piece.len().min(bytes.len());
            if len == 0 || piece[..len] != bytes[..len] {
                return false;
            }
            self.advance(len);
            bytes = &bytes[len..];
        }
        true
    }

    /// The next ones; none at the end.
    fn piece(&mut self) -> &[u8] {
        if self.at == self.block.len() && self.left > 0 {
            self.random.fill_bytes(&mut self.block);
            self.at = 0;
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let end = self.block.len().min(self.at.saturating_add(left));
        &self.block[self.at..end]
    }

    fn advance(&mut self, len: usize) {
        self.at += len;
        self.left -= len as u64;
    }
}

impl AsyncRead for Content {
    fn poll_read(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.end.is_some_and(|end| Instant::now() >= end) {
            this.left = 0;
        }
        let piece = this.piece();
        let len = piece.len().min(buffer.remaining());
        buffer.put_slice(&piece[..len]);
        this.advance(len);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;

    use super::*;

    async fn whole(seed: u64, len: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        Content::new(seed, len)
            .read_to_end(&mut bytes)
            .await
            .unwrap();
        bytes
    }

    #[tokio::test]
    async fn what_was_read_is_taken_in_any_pieces_and_nothing_else() {
        for len in [
            0,
            1,
            4096,
            BLOCK_LEN - 1,
            BLOCK_LEN,
            BLOCK_LEN + 1,
            5 * BLOCK_LEN,
        ] {
            let mut bytes = whole(3, len as u64).await;
            assert_eq!(bytes.len(), len);
            for size in [7, 1000, BLOCK_LEN * 2] {
                let mut content = Content::new(3, len as u64);
                assert!(bytes.chunks(size).all(|piece| content.takes(piece)));
                assert!(content.is_over());
                assert!(!content.takes(b"more"));
            }
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
                assert!(!Content::new(3, len as u64).takes(&bytes));
            }
        }
        assert_ne!(whole(1, 100).await, whole(2, 100).await);
    }

    #[tokio::test]
    async fn a_file_ends_when_its_time_is_over() {
        let over = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        let mut bytes = Vec::new();
        let mut content = Content::new(3, u64::MAX).until(over);
        content.read_to_end(&mut bytes).await.unwrap();
        assert!(bytes.is_empty());
    }
}
