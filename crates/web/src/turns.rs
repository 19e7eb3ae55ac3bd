//! Turns: only so many transfers go on at once, so that memory stays bounded; the next ones wait a little.
//!
//! - An upload holds what it has in flight; so many may go on.
//! - A download holds what was fetched for it until its peer has taken that, however slowly. So the bytes are counted.
//!
//! **Invariant:** slow readers of large files keep nobody from small ones: each size has its own share.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Kind, Problem};

/// How long a transfer waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The longest answer that is copied and handed to the system without a turn: its connection bounds it.
const BRIEF_LEN_MAX: u64 = 16 << 10;
/// How many such are fetched at once.
const BRIEF_AT_ONCE: u32 = 64;
/// The longest answer that counts as small. Any may hold a whole chunk, of which it is a part.
const SMALL_LEN_MAX: u32 = 1 << 20;

/// Held by a transfer while it goes on.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

/// Gives out turns, in the order in which they are asked for.
#[derive(Debug)]
pub(crate) struct Turns {
    free: Arc<Semaphore>,
    max: u32,
}

impl Turns {
    /// So much at once.
    pub(crate) fn new(max: u32) -> Self {
        Self {
            free: Arc::new(Semaphore::new(max as usize)),
            max,
        }
    }

    /// Waits for a turn that takes so much of all; too long a wait is an error.
    pub(crate) async fn turn(&self, weight: u32) -> Result<Turn, Problem> {
        let permit = Arc::clone(&self.free).acquire_many_owned(weight.min(self.max));
        match tokio::time::timeout(WAIT_MAX, permit).await {
            Ok(permit) => Ok(Turn {
                _permit: permit.expect("turns are given out as long as the server lives"),
            }),
            Err(_) => Err(Problem::new(
                Kind::Busy,
                "too many transfers go on already; try again soon",
            )),
        }
    }
}

/// The memory of all downloads, shared out.
#[derive(Debug)]
pub(crate) struct Downloads {
    brief: Turns,
    small: Turns,
    large: Turns,
}

impl Downloads {
    /// So many bytes in all.
    pub(crate) fn new(memory: u32) -> Self {
        Self {
            brief: Turns::new(BRIEF_AT_ONCE),
            small: Turns::new(memory / 4),
            large: Turns::new(memory - memory / 4),
        }
    }

    /// Waits until an answer of this length may be fetched, so far ahead of its peer.
    pub(crate) async fn turn(&self, len: u64, read_ahead: u64) -> Result<DownloadTurn, Problem> {
        let is_brief = len <= BRIEF_LEN_MAX;
        let turn = if is_brief {
            self.brief.turn(1).await?
        } else if len <= u64::from(SMALL_LEN_MAX) {
            self.small.turn(SMALL_LEN_MAX).await?
        } else {
            let held = u32::try_from(len.min(read_ahead)).unwrap_or(u32::MAX);
            self.large.turn(held).await?
        };
        Ok(DownloadTurn {
            turn: Arc::new(turn),
            is_brief,
        })
    }
}

/// A download's turn. Bytes that it fetched may keep it longer than the download itself.
#[derive(Debug)]
pub(crate) struct DownloadTurn {
    turn: Arc<Turn>,
    is_brief: bool,
}

impl DownloadTurn {
    /// The bytes as they are to be sent: they keep the turn until they are dropped, wherever they wait for that. Those of
    /// a brief answer are a copy instead, and not a part of a chunk that stays in memory for their sake.
    pub(crate) fn held_by(&self, bytes: Bytes) -> Bytes {
        if self.is_brief {
            return Bytes::copy_from_slice(&bytes);
        }
        Bytes::from_owner(Held {
            bytes,
            _turn: Arc::clone(&self.turn),
        })
    }
}

struct Held {
    bytes: Bytes,
    _turn: Arc<Turn>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AHEAD: u32 = 8 << 20;

    /// An answer of one chunk gave its turn back before it was sent, and any number of them could wait for their peers.
    #[tokio::test(start_paused = true)]
    async fn bytes_that_are_not_sent_keep_their_turn() {
        let downloads = Downloads::new(4 * SMALL_LEN_MAX);
        let fetch = async |len: u32| {
            let turn = downloads.turn(len.into(), AHEAD.into()).await?;
            Ok::<_, Problem>(turn.held_by(Bytes::from(vec![0; len as usize])))
        };
        for len in [SMALL_LEN_MAX, AHEAD * 2] {
            let waiting = fetch(len).await.unwrap();
            assert!(fetch(len).await.is_err());
            drop(waiting);
            assert!(fetch(len).await.is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_those_who_read_larger_files() {
        let downloads = Downloads::new(4 * SMALL_LEN_MAX);
        let turn = |len| downloads.turn(len, AHEAD.into());
        let _large = turn(u64::MAX).await.unwrap();
        let _small = turn(100_000).await.unwrap();
        assert!(turn(100_000).await.is_err());
        let mut brief = Vec::new();
        for _ in 0..BRIEF_AT_ONCE * 2 {
            let turn = turn(BRIEF_LEN_MAX).await.unwrap();
            brief.push(turn.held_by(Bytes::from_static(b"x")));
        }
    }
}
