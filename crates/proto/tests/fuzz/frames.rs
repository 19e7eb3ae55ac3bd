//! Lines and bodies that come in any pieces, longer than they may be, cut off, or with other bytes in between.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bolero::TypeGenerator;
use fuzz::bytes::{Harm, harm};
use proto::frame::{FrameError, FrameLimits, FrameReader, RequestHead};
use tokio::io::{AsyncRead, ReadBuf};

const LIMITS: FrameLimits = FrameLimits {
    line_len_max: 300,
    body_len_max: 500,
};

/// What a peer sends.
#[derive(Debug, Clone, TypeGenerator)]
struct Sent {
    #[generator(bolero::produce_with::<Vec<_>>().len(1..6_usize))]
    messages: Vec<Sending>,
    #[generator(bolero::produce_with::<Vec<_>>().len(0..3_usize))]
    harms: Vec<Harm>,
    /// How many bytes come at once, again and again.
    #[generator(bolero::produce_with::<Vec<_>>().len(1..5_usize))]
    pieces: Vec<u16>,
}

#[derive(Debug, Clone, TypeGenerator)]
struct Sending {
    padding: u16,
    body: u16,
    /// What is announced, if that is something else.
    announced: Option<u64>,
    newlines: u8,
}

impl Sending {
    fn body_len(&self) -> usize {
        usize::from(self.body % 600)
    }

    fn write_to(&self, bytes: &mut Vec<u8>) {
        let announced = self.announced.unwrap_or(self.body_len() as u64);
        let padding = " ".repeat(usize::from(self.padding % 320));
        bytes.extend_from_slice(
            format!("{{\"id\":1,\"op\":\"a\",\"body_len\":{announced}{padding}}}\n").as_bytes(),
        );
        // A body may hold what looks like lines.
        let body = (0..self.body_len()).map(|at| {
            if at % 7 == 3 && self.newlines > 128 {
                b'\n'
            } else {
                b'x'
            }
        });
        bytes.extend(body);
    }
}

/// Gives its bytes in pieces.
struct Pieces {
    bytes: VecDeque<u8>,
    lens: Vec<u16>,
    next: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let piece = usize::from(self.lens[self.next % self.lens.len()] % 400).max(1);
        self.next += 1;
        let len = piece.min(self.bytes.len()).min(buffer.remaining());
        let bytes: Vec<u8> = self.bytes.drain(..len).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

/// What the reader gave.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Message(Vec<u8>, Vec<u8>),
    End,
    LineTooLong,
    BodyTooLong,
    NotAMessage,
    CutOff,
}

impl From<FrameError> for Got {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::LineTooLong { .. } => Self::LineTooLong,
            FrameError::BodyTooLong { .. } => Self::BodyTooLong,
            FrameError::NotAMessage(_) => Self::NotAMessage,
            FrameError::Io(_) => Self::CutOff,
            FrameError::TooSlow(_) => panic!("nothing is timed here"),
        }
    }
}

/// What is to be read of these bytes: the protocol's rules, written down once more.
fn expected(mut bytes: &[u8]) -> Vec<Got> {
    let mut got = Vec::new();
    loop {
        let line = bytes.iter().position(|byte| *byte == b'\n');
        let next = match line {
            Some(len) if len < LIMITS.line_len_max => {
                let (line, rest) = (&bytes[..len], &bytes[len + 1..]);
                match serde_json::from_slice::<RequestHead<'_>>(line) {
                    Err(_) => Got::NotAMessage,
                    Ok(head) if head.body_len > LIMITS.body_len_max as u64 => Got::BodyTooLong,
                    Ok(head) if head.body_len > rest.len() as u64 => Got::CutOff,
                    Ok(head) => {
                        let (body, rest) = rest.split_at(usize::try_from(head.body_len).unwrap());
                        bytes = rest;
                        Got::Message(line.to_vec(), body.to_vec())
                    }
                }
            }
            Some(_) => Got::LineTooLong,
            None if bytes.len() >= LIMITS.line_len_max => Got::LineTooLong,
            None if bytes.is_empty() => Got::End,
            None => Got::CutOff,
        };
        let goes_on = matches!(next, Got::Message(..));
        got.push(next);
        if !goes_on {
            return got;
        }
    }
}

async fn read_one(reader: &mut FrameReader) -> Result<Got, FrameError> {
    let Some(line) = reader.line().await? else {
        return Ok(Got::End);
    };
    let head: RequestHead<'_> = serde_json::from_slice(&line).map_err(FrameError::NotAMessage)?;
    let len = reader.check_body_len(head.body_len)?;
    let body = reader.body(len).await?;
    Ok(Got::Message(line.to_vec(), body.to_vec()))
}

fn read_all(bytes: Vec<u8>, lens: Vec<u16>) -> Vec<Got> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let pieces = Pieces {
        bytes: bytes.into(),
        lens,
        next: 0,
    };
    let mut reader = FrameReader::new(Box::new(pieces), LIMITS);
    let mut all = Vec::new();
    runtime.block_on(async {
        loop {
            let got = read_one(&mut reader).await.unwrap_or_else(Got::from);
            let goes_on = matches!(got, Got::Message(..));
            all.push(got);
            if !goes_on {
                return;
            }
        }
    });
    all
}

/// However it is cut into pieces, the same lines and bodies come out, and nothing is longer than it may be.
#[test]
fn any_bytes_in_any_pieces_are_read_as_the_protocol_says() {
    fuzz::check!(Sent, 5_000, |sent| {
        let mut bytes = Vec::new();
        sent.messages
            .iter()
            .for_each(|message| message.write_to(&mut bytes));
        harm(&mut bytes, &sent.harms);
        let expected = expected(&bytes);
        assert_eq!(read_all(bytes, sent.pieces.clone()), expected);
    });
}
