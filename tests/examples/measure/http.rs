//! A client for HTTP/1.1 that costs next to nothing, so that what is measured is the server; and content that is made
//! and checked as it passes.

use bytes::BytesMut;
use proto::net::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BLOCK: usize = 1 << 20;

/// Bytes that only this seed makes: one block, with its number written into every copy of it.
pub(crate) struct Pattern {
    block: Vec<u8>,
    len: u64,
    at: u64,
}

impl Pattern {
    pub(crate) fn new(seed: u64, len: u64) -> Self {
        let size = usize::try_from(len).unwrap().min(BLOCK);
        Self {
            block: crate::support::content(seed, size),
            len,
            at: 0,
        }
    }

    /// The bytes from here to the end of the block, at most.
    fn next(&mut self) -> &[u8] {
        let size = self.block.len() as u64;
        let (number, within) = (self.at / size, usize::try_from(self.at % size).unwrap());
        let stamp = number.to_le_bytes();
        let stamped = stamp.len().min(self.block.len());
        self.block[..stamped].copy_from_slice(&stamp[..stamped]);
        let end = self
            .block
            .len()
            .min(within + usize::try_from(self.len - self.at).unwrap());
        &self.block[within..end]
    }
}

/// One kept connection.
pub(crate) struct Http {
    stream: TcpStream,
    host: String,
    buffer: BytesMut,
}

impl Http {
    pub(crate) async fn connect(address: &Address) -> Self {
        let stream = TcpStream::connect(address.as_str()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            host: address.to_string(),
            buffer: BytesMut::new(),
        }
    }

    pub(crate) async fn put(&mut self, path: &str, mut pattern: Pattern) {
        let head = format!(
            "PUT {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
            self.host, pattern.len
        );
        if pattern.len <= 64 << 10 {
            let mut all = head.into_bytes();
            all.extend_from_slice(pattern.next());
            self.stream.write_all(&all).await.unwrap();
        } else {
            self.stream.write_all(head.as_bytes()).await.unwrap();
            while pattern.at < pattern.len {
                let piece = pattern.next();
                let len = piece.len() as u64;
                self.stream.write_all(piece).await.unwrap();
                pattern.at += len;
            }
        }
        let (status, len) = self.head().await;
        assert!(status == 201 || status == 200, "PUT {path}: {status}");
        self.skip(len).await;
    }

    /// Reads the file and compares it.
    pub(crate) async fn get(&mut self, path: &str, mut pattern: Pattern) {
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
        self.stream.write_all(head.as_bytes()).await.unwrap();
        let (status, len) = self.head().await;
        assert_eq!((status, len), (200, pattern.len), "GET {path}");
        while pattern.at < pattern.len {
            if self.buffer.is_empty() {
                self.fill().await;
            }
            let expected = pattern.next();
            let len = expected.len().min(self.buffer.len());
            assert!(
                self.buffer[..len] == expected[..len],
                "GET {path}: wrong bytes"
            );
            pattern.at += len as u64;
            bytes::Buf::advance(&mut self.buffer, len);
        }
    }

    /// Status and length of the answer.
    async fn head(&mut self) -> (u16, u64) {
        let end = loop {
            let end = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => self.fill().await,
            }
        };
        let head = self.buffer.split_to(end);
        let head = std::str::from_utf8(&head).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let len = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        (status, len.map_or(0, |len| len.trim().parse().unwrap()))
    }

    async fn skip(&mut self, len: u64) {
        let len = usize::try_from(len).unwrap();
        while self.buffer.len() < len {
            self.fill().await;
        }
        bytes::Buf::advance(&mut self.buffer, len);
    }

    async fn fill(&mut self) {
        self.buffer.reserve(256 << 10);
        let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
        assert_ne!(read, 0, "the server closed the connection");
    }
}
