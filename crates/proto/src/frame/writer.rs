//! The writing half of a connection.

use std::fmt;
use std::io::{self, IoSlice};

use bytes::Buf;
use tokio::io::AsyncWriteExt;

use crate::body::Body;
use crate::net::ByteSink;

/// A body up to here is copied behind its line, so that both go in one packet.
const COPIED_BODY_LEN_MAX: usize = 16 << 10;

/// Writes lines and bodies.
pub struct FrameWriter {
    sink: Box<dyn ByteSink>,
}

impl FrameWriter {
    /// Writes to this half of a connection.
    pub fn new(sink: Box<dyn ByteSink>) -> Self {
        Self { sink }
    }

    /// Writes one message. If this fails or is cancelled, the connection is of no more use.
    pub async fn write(&mut self, mut line: Vec<u8>, body: Body) -> io::Result<()> {
        match body {
            Body::Empty => self.sink.write_all(&line).await,
            Body::Bytes(bytes) if bytes.len() <= COPIED_BODY_LEN_MAX => {
                line.extend_from_slice(&bytes);
                self.sink.write_all(&line).await
            }
            Body::Bytes(bytes) => self.write_both(&line, &bytes).await,
            Body::Source(source) => {
                self.sink.write_all(&line).await?;
                source.write_to(&mut *self.sink).await
            }
        }
    }

    /// Tells the peer that nothing more comes. One that is gone need not know.
    pub async fn end(&mut self) {
        drop(self.sink.shutdown().await);
    }

    async fn write_both(&mut self, line: &[u8], body: &[u8]) -> io::Result<()> {
        let mut both = Buf::chain(line, body);
        while both.has_remaining() {
            let mut slices = [IoSlice::new(&[]), IoSlice::new(&[])];
            let count = both.chunks_vectored(&mut slices);
            let written = self.sink.write_vectored(&slices[..count]).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            both.advance(written);
        }
        Ok(())
    }
}

impl fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FrameWriter")
    }
}
