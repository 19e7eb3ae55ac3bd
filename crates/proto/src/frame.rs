//! Lines of JSON and the bytes that follow them: the only code that finds the end of a line, and the only
//! code that knows `body_len`.
//!
//! **Invariant:** memory follows what has arrived, never what was announced: a buffer grows with the bytes that
//! come, up to the limit. What breaks a limit is an error, after which the connection is of no more use,
//! since nobody can tell where the next message begins.

mod reader;
mod received;
mod writer;

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

pub use self::reader::FrameReader;
pub use self::received::Received;
pub use self::writer::FrameWriter;
use crate::error::{ErrorCode, WireError};
use crate::json;

/// Bytes in the longest line, its newline included.
pub const LINE_LEN_MAX: usize = 1 << 20;
/// Bytes in a line that everybody may send; for a longer one memory is asked for first.
pub const SHORT_LINE_LEN_MAX: usize = 16 << 10;
/// Bytes in the largest chunk that any cluster can have.
pub const CHUNK_LEN_MAX: usize = 8 << 20;

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
    #[error("the line is not a message: {}", json::fault(.0))]
    NotAMessage(serde_json::Error),
    /// Less of it came than had to come by now.
    #[error("the {0} came too slowly")]
    TooSlow(&'static str),
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
            Self::TooSlow(_) => ErrorCode::TimedOut,
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

    /// A line that was longer than the limit was taken where its end came in the same piece as what was over: whether one was
    /// refused depended on the network.
    #[tokio::test]
    async fn a_line_that_ends_behind_the_limit_is_refused() {
        let line = |len: usize| [vec![b'a'; len - 1], vec![b'\n']].concat();
        let longest = reader(&line(2000), small()).line().await;
        assert_eq!(longest.unwrap().unwrap().len(), 1999);
        reader(&line(2001), small()).line().await.unwrap_err();
        let is_longer = reader(&line(2001), small()).is_longer_than(5000).await;
        is_longer.unwrap_err();
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
