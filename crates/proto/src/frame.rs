//! Lines of JSON and the bytes that follow them: the only code that finds the end of a line, and the only
//! code that knows `body_len`.
//!
//! **Invariant:** memory follows what has arrived, never what was announced: a buffer grows with the bytes that
//! come, up to the limit. What breaks a limit is an error, after which the connection is of no more use,
//! since nobody can tell where the next message begins.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::body::Body;
use crate::error::{ErrorCode, WireError};
use crate::net::{ByteSink, ByteSource};

/// Bytes in the longest line, its newline included.
pub const LINE_LEN_MAX: usize = 1 << 20;
/// Bytes in a line that everybody may send; for a longer one memory is asked for first.
pub const SHORT_LINE_LEN_MAX: usize = 16 << 10;
/// Bytes in the largest chunk that any cluster can have.
pub const CHUNK_LEN_MAX: usize = 8 << 20;

/// A body up to here is copied behind its line, so that both go in one packet.
const COPIED_BODY_LEN_MAX: usize = 16 << 10;
/// What a connection reads at once while it has said nothing yet.
const FIRST_READ_LEN: usize = 1 << 10;
/// What it reads at once afterwards.
const READ_LEN: usize = 16 << 10;
/// What is set aside for a body before any of it has come.
const FIRST_BODY_LEN: usize = 64 << 10;

/// What is wrong with what came.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The line does not end within the limit.
    #[error("the line is longer than {max} bytes")]
    LineTooLong {
        /// The limit.
        max: usize,
    },
    /// The body that is announced is over the limit.
    #[error("the body of {len} bytes is longer than {max} bytes")]
    BodyTooLong {
        /// What was announced.
        len: u64,
        /// The limit.
        max: usize,
    },
    /// The line is not a message.
    #[error("the line is not a message: {0}")]
    NotAMessage(serde_json::Error),
    /// Less of a body came than had to come by now.
    #[error("the body came too slowly")]
    TooSlow,
    /// The connection ended in the middle, or failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl FrameError {
    /// What the peer is told before the connection is closed; nothing if there is no telling.
    pub fn to_wire(&self) -> Option<WireError> {
        let code = match self {
            Self::LineTooLong { .. } | Self::BodyTooLong { .. } => ErrorCode::TooLarge,
            Self::NotAMessage(_) => ErrorCode::BadMessage,
            Self::TooSlow => ErrorCode::TimedOut,
            Self::Io(_) => return None,
        };
        Some(WireError::new(code, self.to_string()))
    }
}

/// What may come.
#[derive(Debug, Clone, Copy)]
pub struct FrameLimits {
    /// Bytes in a line.
    pub line_len_max: usize,
    /// Bytes in a body.
    pub body_len_max: usize,
}

impl FrameLimits {
    /// What may come of somebody who has not said hello yet.
    pub const GREETING: Self = Self {
        line_len_max: SHORT_LINE_LEN_MAX,
        body_len_max: 0,
    };
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            line_len_max: LINE_LEN_MAX,
            body_len_max: 2 * CHUNK_LEN_MAX,
        }
    }
}

/// How fast a body must come.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Nothing has to be here before this moment.
    pub start: Instant,
    /// So much each second from then on.
    pub bytes_per_second_min: u64,
}

impl Pace {
    /// When more than these bytes must be here.
    fn deadline(&self, received: usize) -> Instant {
        let rate = self.bytes_per_second_min.max(1);
        self.start + Duration::from_millis((received as u64).saturating_mul(1000) / rate)
    }
}

/// What every request says of itself.
#[derive(Debug, Deserialize)]
pub struct RequestHead<'a> {
    /// The caller's number for it.
    pub id: u64,
    /// The operation.
    #[serde(borrow)]
    pub op: Cow<'a, str>,
    /// Bytes that follow the line.
    #[serde(default)]
    pub body_len: u64,
}

/// What every reply says of itself.
#[derive(Debug, Deserialize)]
pub struct ReplyHead<'a> {
    /// The number of the request; an error about what could not be read has none.
    #[serde(default)]
    pub id: Option<u64>,
    /// The reply's fields.
    #[serde(borrow, default)]
    pub ok: Option<&'a RawValue>,
    /// Or why there are none.
    #[serde(default)]
    pub error: Option<WireError>,
    /// Bytes that follow the line.
    #[serde(default)]
    pub body_len: u64,
}

/// Reads lines and bodies.
pub struct FrameReader {
    source: ByteSource,
    buffer: BytesMut,
    read_len: usize,
    limits: FrameLimits,
}

impl FrameReader {
    /// Reads from this half of a connection.
    pub fn new(source: ByteSource, limits: FrameLimits) -> Self {
        Self {
            source,
            buffer: BytesMut::new(),
            read_len: FIRST_READ_LEN,
            limits,
        }
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

    /// Whether a line without an end may have become so long.
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
            read.map_err(|_| FrameError::TooSlow)??;
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
            _ => Ok(()),
        }
    }

    async fn read_more(&mut self) -> io::Result<bool> {
        self.buffer.reserve(self.read_len);
        let mut piece = (&mut self.buffer).limit(self.read_len);
        Ok(self.source.read_buf(&mut piece).await? > 0)
    }
}

impl fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameReader({} bytes read ahead)", self.buffer.len())
    }
}

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

/// The line of a request, newline included; `fields` is a JSON object.
pub fn request_line(id: u64, op: &str, fields: &[u8], body_len: usize) -> Vec<u8> {
    let inner = &fields[1..fields.len() - 1];
    let mut line = Vec::with_capacity(inner.len() + op.len() + 64);
    line.extend_from_slice(format!(r#"{{"id":{id},"op":"{op}""#).as_bytes());
    if !inner.is_empty() {
        line.push(b',');
        line.extend_from_slice(inner);
    }
    finish_line(line, body_len)
}

/// The line of a reply, newline included; `ok` is a JSON object.
pub fn reply_line(id: u64, ok: &[u8], body_len: usize) -> Vec<u8> {
    let mut line = Vec::with_capacity(ok.len() + 64);
    line.extend_from_slice(format!(r#"{{"id":{id},"ok":"#).as_bytes());
    line.extend_from_slice(ok);
    finish_line(line, body_len)
}

/// The line of an error, newline included.
pub fn error_line(id: Option<u64>, error: &WireError) -> Vec<u8> {
    let id = id.map_or(String::new(), |id| format!(r#""id":{id},"#));
    let error = serde_json::to_string(error).expect("two strings are JSON");
    format!("{{{id}\"error\":{error}}}\n").into_bytes()
}

fn finish_line(mut line: Vec<u8>, body_len: usize) -> Vec<u8> {
    if body_len > 0 {
        line.extend_from_slice(format!(r#","body_len":{body_len}"#).as_bytes());
    }
    line.extend_from_slice(b"}\n");
    line
}

fn ended_in(what: &str) -> FrameError {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the connection ended in the middle of {what}"),
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8], limits: FrameLimits) -> FrameReader {
        FrameReader::new(Box::new(io::Cursor::new(bytes.to_vec())), limits)
    }

    fn small() -> FrameLimits {
        FrameLimits {
            line_len_max: 2000,
            body_len_max: 10,
        }
    }

    #[tokio::test]
    async fn lines_and_bodies_come_apart_again() {
        let body: Vec<u8> = (0..200_000_u32)
            .map(|i| (i % 251).to_le_bytes()[0])
            .collect();
        let mut bytes = b"first\n".to_vec();
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(b"\nlast\n");
        let mut reader = reader(&bytes, FrameLimits::default());
        assert_eq!(reader.line().await.unwrap().unwrap(), "first");
        assert_eq!(reader.body(body.len()).await.unwrap(), body);
        assert_eq!(reader.line().await.unwrap().unwrap(), "");
        assert_eq!(reader.line().await.unwrap().unwrap(), "last");
        assert!(reader.line().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_refused_at_the_limit() {
        let error = reader(&vec![b'a'; 100_000], small())
            .line()
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "the line is longer than 2000 bytes");
    }

    #[tokio::test]
    async fn a_connection_that_ends_in_the_middle_is_an_error() {
        assert!(reader(b"half", small()).line().await.is_err());
        assert!(reader(b"half", small()).body(5).await.is_err());
        assert!(reader(b"", small()).line().await.unwrap().is_none());
    }

    #[test]
    fn a_body_over_the_limit_is_refused_before_it_is_read() {
        let reader = reader(b"", small());
        assert_eq!(reader.check_body_len(10).unwrap(), 10);
        assert!(reader.check_body_len(11).is_err());
        assert!(reader.check_body_len(u64::MAX).is_err());
    }

    #[test]
    fn heads_are_read_whatever_else_the_line_holds() {
        let line = br#"{"op":"put_chunk","deep":[[{"a":[1,2]}]],"id":7,"body_len":5}"#;
        let head: RequestHead<'_> = serde_json::from_slice(line).unwrap();
        assert_eq!((head.id, &*head.op, head.body_len), (7, "put_chunk", 5));
        for bad in [
            &br#"{"op":"a"}"#[..],
            br#"{"id":-1,"op":"a"}"#,
            br#"{"id":1e99,"op":"a"}"#,
            br#"{"id":1,"id":2,"op":"a"}"#,
            br#"{"id":1,"op":"a"} trailing"#,
            b"\xff\xfe",
            b"[]",
            b"",
        ] {
            assert!(serde_json::from_slice::<RequestHead<'_>>(bad).is_err());
        }
    }

    #[test]
    fn lines_are_written_as_the_protocol_says() {
        let text = |line: Vec<u8>| String::from_utf8(line).unwrap();
        assert_eq!(
            text(request_line(1, "ping", b"{}", 0)),
            "{\"id\":1,\"op\":\"ping\"}\n"
        );
        assert_eq!(
            text(request_line(2, "put", br#"{"a":1}"#, 9)),
            "{\"id\":2,\"op\":\"put\",\"a\":1,\"body_len\":9}\n"
        );
        assert_eq!(
            text(reply_line(2, b"{}", 3)),
            "{\"id\":2,\"ok\":{},\"body_len\":3}\n"
        );
        let error = WireError::new(ErrorCode::NotFound, "no \"x\"");
        assert_eq!(
            text(error_line(None, &error)),
            "{\"error\":{\"code\":\"not_found\",\"message\":\"no \\\"x\\\"\"}}\n"
        );
    }
}
