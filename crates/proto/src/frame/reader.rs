//! The reading half of a connection.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::time::timeout_at;

use super::{FrameError, FrameLimits, Pace, Received};
use crate::net::ByteSource;

/// What a connection reads at once while it has said nothing yet.
const FIRST_READ_LEN: usize = 1 << 10;
/// What it reads at once afterwards.
const READ_LEN: usize = 16 << 10;
/// What is set aside for a body before any of it has come.
const FIRST_BODY_LEN: usize = 64 << 10;

/// Reads lines and bodies.
pub struct FrameReader {
    source: ByteSource,
    buffer: BytesMut,
    read_len: usize,
    limits: FrameLimits,
    received: Option<Arc<Received>>,
}

impl FrameReader {
    /// Reads from this half of a connection.
    pub fn new(source: ByteSource, limits: FrameLimits) -> Self {
        Self {
            source,
            buffer: BytesMut::new(),
            read_len: FIRST_READ_LEN,
            limits,
            received: None,
        }
    }

    /// What comes from now on is counted here, or not at all.
    pub fn count_in(&mut self, received: Option<Arc<Received>>) {
        self.received = received;
    }

    /// The peer has shown that it is one: so much may come from now on, and larger pieces are read at once.
    pub fn expect_more(&mut self, limits: FrameLimits) {
        self.limits = limits;
        self.read_len = READ_LEN;
    }

    /// Reads and throws away what comes, until the peer ends it or so many bytes came.
    pub async fn discard(&mut self, len_max: usize) {
        self.buffer = BytesMut::new();
        let mut source = (&mut self.source).take(len_max as u64);
        // Whatever ends it, nothing of it is wanted.
        drop(tokio::io::copy(&mut source, &mut tokio::io::sink()).await);
    }

    /// Waits until a line is here, or so much of one that it is longer than `len`: whether it is longer. May be
    /// cancelled: what has come is kept.
    pub async fn is_longer_than(&mut self, len: usize) -> Result<bool, FrameError> {
        let mut searched = 0;
        loop {
            if let Some(line_len) = self.newline(searched) {
                self.check_line_len(line_len)?;
                return Ok(line_len > len);
            }
            searched = self.buffer.len();
            self.check_line_len(searched)?;
            if searched > len {
                return Ok(true);
            }
            if !self.read_more().await? {
                return Ok(false);
            }
        }
    }

    /// Waits until a line begins: false if the connection ends instead. May be cancelled.
    pub async fn begins(&mut self) -> io::Result<bool> {
        Ok(!self.buffer.is_empty() || self.read_more().await?)
    }

    /// The next line, without its newline; nothing if the connection ends between two. May be cancelled:
    /// what has come is kept.
    pub async fn line(&mut self) -> Result<Option<Bytes>, FrameError> {
        let mut searched = 0;
        loop {
            if let Some(len) = self.newline(searched) {
                self.check_line_len(len)?;
                return Ok(Some(self.take_line(len)));
            }
            searched = self.buffer.len();
            self.check_line_len(searched)?;
            if !self.read_more().await? {
                return match searched {
                    0 => Ok(None),
                    _ => Err(ended_in("a line")),
                };
            }
        }
    }

    /// Whether a line may have become so long, its newline not counted.
    fn check_line_len(&self, len: usize) -> Result<(), FrameError> {
        let max = self.limits.line_len_max;
        if len < max {
            return Ok(());
        }
        Err(FrameError::LineTooLong { max })
    }

    fn newline(&self, searched: usize) -> Option<usize> {
        let rest = &self.buffer[searched..];
        let place = rest.iter().position(|byte| *byte == b'\n')?;
        Some(searched + place)
    }

    /// A short line is copied, so that it does not keep the whole buffer in memory while it is handled; behind a long
    /// one the buffer is made small again.
    fn take_line(&mut self, len: usize) -> Bytes {
        let line = if len <= READ_LEN {
            let line = Bytes::copy_from_slice(&self.buffer[..len]);
            self.buffer.advance(len);
            line
        } else {
            let line = self.buffer.split_to(len).freeze();
            self.buffer = BytesMut::from(&self.buffer[..]);
            line
        };
        self.buffer.advance(1);
        line
    }

    /// Whether a body of this length is within the limit.
    pub fn check_body_len(&self, len: u64) -> Result<usize, FrameError> {
        match usize::try_from(len) {
            Ok(len) if len <= self.limits.body_len_max => Ok(len),
            _ => Err(FrameError::BodyTooLong {
                len,
                max: self.limits.body_len_max,
            }),
        }
    }

    /// The next `len` bytes. Must not be cancelled if the connection is to be used further.
    pub async fn body(&mut self, len: usize) -> Result<Bytes, FrameError> {
        let mut body = self.begin_body(len);
        while body.len() < len {
            self.read_body(&mut body, len).await?;
        }
        Ok(body.freeze())
    }

    /// The same, at least at this pace.
    pub async fn body_at_pace(&mut self, len: usize, pace: &Pace) -> Result<Bytes, FrameError> {
        let mut body = self.begin_body(len);
        while body.len() < len {
            let deadline = pace.deadline(body.len());
            let read = timeout_at(deadline, self.read_body(&mut body, len)).await;
            read.map_err(|_| FrameError::TooSlow("body"))??;
        }
        Ok(body.freeze())
    }

    /// What has come of a body already.
    fn begin_body(&mut self, len: usize) -> BytesMut {
        let here = len.min(self.buffer.len());
        let mut body = BytesMut::with_capacity(len.min(FIRST_BODY_LEN.max(here)));
        body.extend_from_slice(&self.buffer[..here]);
        self.buffer.advance(here);
        body
    }

    async fn read_body(&mut self, body: &mut BytesMut, len: usize) -> Result<(), FrameError> {
        if body.len() == body.capacity() {
            body.reserve(len - body.len());
        }
        let room = body.capacity().min(len) - body.len();
        match self.source.read_buf(&mut body.limit(room)).await? {
            0 => Err(ended_in("a body")),
            read => {
                self.count(read);
                Ok(())
            }
        }
    }

    async fn read_more(&mut self) -> io::Result<bool> {
        self.buffer.reserve(self.read_len);
        let mut piece = (&mut self.buffer).limit(self.read_len);
        let read = self.source.read_buf(&mut piece).await?;
        self.count(read);
        Ok(read > 0)
    }

    fn count(&self, read: usize) {
        if let Some(received) = &self.received {
            received.add(read);
        }
    }
}

impl fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameReader({} bytes read ahead)", self.buffer.len())
    }
}

fn ended_in(what: &str) -> FrameError {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the connection ended in the middle of {what}"),
    )
    .into()
}
