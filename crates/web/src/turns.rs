//! Turns: only so many transfers go on at once, so that memory stays bounded; the next ones wait a little.
//!
//! - An upload holds what it has in flight; so many may go on.
//! - A download holds what was fetched for it until its peer has taken that, however slowly. So the bytes are counted.
//! - A zip holds what it reads ahead, which counts as a download, and a little of the records of its entries; so many may be made.
//!
//! - Receivers of share links have turns of their own, a quarter of the owner's, and so keep the owner from none. Those who add files
//!   by one link have half of these at most, so that no single link keeps all others from theirs.
//!
//! **Invariant:** slow readers of large files keep nobody from small ones: each size has its own share.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::TransferLimits;
use crate::error::{Kind, Problem};

/// How long a transfer waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The longest answer that is copied and handed to the system without a turn: its connection bounds it.
const BRIEF_LEN_MAX: u64 = 16 << 10;

/// Of how many transfers of the owner receivers of share links have one.
const RECEIVERS_PART: u32 = 4;

/// The turns of all kinds of transfers.
#[derive(Debug)]
pub(crate) struct Transfers {
    pub(crate) uploads: Turns,
    /// Small files that came together with others, from when their bytes are here: waiting for these turns, nobody waits for a peer.
    pub(crate) batched: Turns,
    pub(crate) downloads: Downloads,
    pub(crate) zips: Turns,
}

impl Transfers {
    /// Those of the owner.
    pub(crate) fn new(limits: &TransferLimits) -> Self {
        Self::part(limits, 1)
    }

    /// Those of all receivers of share links together.
    pub(crate) fn of_receivers(limits: &TransferLimits) -> Self {
        Self::part(limits, RECEIVERS_PART)
    }

    fn part(limits: &TransferLimits, part: u32) -> Self {
        Self {
            uploads: Turns::new(limits.uploads_at_once.div_ceil(part)),
            batched: Turns::new(limits.uploads_at_once.div_ceil(part)),
            downloads: Downloads::new(limits.download_memory / part),
            zips: Turns::new(limits.zips_at_once.div_ceil(part)),
        }
    }
}

/// Held by a transfer while it goes on.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

/// Gives out turns, in the order in which they are asked for.
#[derive(Debug)]
pub(crate) struct Turns {
    free: Arc<Semaphore>,
    max: u64,
}

impl Turns {
    /// So much at once.
    pub(crate) fn new(max: u32) -> Self {
        Self {
            free: Arc::new(Semaphore::new(max as usize)),
            max: max.into(),
        }
    }

    /// How much is free now.
    fn free(&self) -> u64 {
        self.free.available_permits() as u64
    }

    /// Waits for a turn that takes so much of all; too long a wait is an error.
    pub(crate) async fn turn(&self, weight: u64) -> Result<Turn, Problem> {
        let weight = u32::try_from(weight.min(self.max)).expect("all of it is a u32");
        let permit = Arc::clone(&self.free).acquire_many_owned(weight);
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

/// Turns of which each of several has at most half, so that none of them takes all.
#[derive(Debug)]
pub(crate) struct Halves<K> {
    half: u32,
    /// Those that somebody has, or waits for.
    known: Mutex<HashMap<K, Weak<Semaphore>>>,
}

impl<K: Eq + Hash> Halves<K> {
    /// Of these turns.
    pub(crate) fn of(turns: &Turns) -> Self {
        let half = u32::try_from(turns.max).expect("it is made of a u32");
        Self {
            half: half.div_ceil(2),
            known: Mutex::default(),
        }
    }

    /// What one has of them at most.
    pub(crate) fn turns(&self, whose: K) -> Turns {
        let mut known = self.known.lock();
        known.retain(|_, free| free.strong_count() > 0);
        let free = known.get(&whose).and_then(Weak::upgrade);
        let turns = match free {
            Some(free) => Turns {
                free,
                max: self.half.into(),
            },
            None => Turns::new(self.half),
        };
        known.insert(whose, Arc::downgrade(&turns.free));
        turns
    }
}

/// The memory of all downloads, shared out. Whatever is read of a chunk has all of it in memory.
#[derive(Debug)]
pub(crate) struct Downloads {
    brief: Turns,
    small: Turns,
    large: Turns,
}

impl Downloads {
    /// So many bytes in all.
    pub(crate) fn new(memory: u32) -> Self {
        let share = memory / 8;
        Self {
            brief: Turns::new(share),
            small: Turns::new(share),
            large: Turns::new(memory - 2 * share),
        }
    }

    /// Waits until this range may be fetched: whole chunks of this size, so far ahead of its peer where there is enough
    /// memory for all, and less far where many share it.
    pub(crate) async fn turn(
        &self,
        range: &Range<u64>,
        chunk_size: u64,
        read_ahead: u64,
    ) -> Result<DownloadTurn, Problem> {
        let chunk_size = chunk_size.max(1);
        let chunks = range.end.div_ceil(chunk_size) - range.start / chunk_size;
        let whole = chunks.saturating_mul(chunk_size);
        let is_brief = range.end - range.start <= BRIEF_LEN_MAX;
        let mut ahead = read_ahead;
        let turn = if is_brief {
            self.brief.turn(whole).await?
        } else if chunks <= 2 {
            self.small.turn(whole).await?
        } else {
            // The chunk that is being sent, and those that are fetched meanwhile.
            let held = |ahead: u64| (chunk_size + ahead).min(whole);
            if self.large.free() < held(ahead) + self.large.max / 2 {
                ahead = (read_ahead / 8).max(chunk_size);
            }
            self.large.turn(held(ahead)).await?
        };
        Ok(DownloadTurn {
            turn: Arc::new(turn),
            is_brief,
            ahead,
        })
    }
}

/// A download's turn. Bytes that it fetched may keep it longer than the download itself.
#[derive(Debug)]
pub(crate) struct DownloadTurn {
    turn: Arc<Turn>,
    is_brief: bool,
    ahead: u64,
}

impl DownloadTurn {
    /// How many bytes may be fetched ahead of the peer.
    pub(crate) fn ahead(&self) -> u64 {
        self.ahead
    }

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

/// Bytes that keep a turn until they are dropped.
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

    const CHUNK: u64 = 1 << 20;
    const AHEAD: u64 = 8 * CHUNK;

    /// So many whole chunks, or a few bytes of one.
    async fn turn(downloads: &Downloads, len: u64) -> Result<DownloadTurn, Problem> {
        downloads.turn(&(0..len), CHUNK, AHEAD).await
    }

    fn memory(chunks: u64) -> Downloads {
        Downloads::new(u32::try_from(chunks * CHUNK).unwrap())
    }

    /// An answer of one chunk gave its turn back before it was sent, and any number of them could wait for their peers.
    #[tokio::test(start_paused = true)]
    async fn bytes_that_are_not_sent_keep_their_turn() {
        let downloads = memory(8);
        let fetch = async |len: u64| {
            let turn = turn(&downloads, len).await?;
            Ok::<_, Problem>(turn.held_by(Bytes::from_static(b"some")))
        };
        for len in [CHUNK, 10 * CHUNK] {
            let mut waiting = Vec::new();
            while let Ok(bytes) = fetch(len).await {
                waiting.push(bytes);
                assert!(waiting.len() < 10, "memory is bounded");
            }
            waiting.pop();
            assert!(fetch(len).await.is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_those_who_read_larger_files() {
        let downloads = memory(8);
        let mut large = Vec::new();
        while let Ok(turn) = turn(&downloads, u64::MAX - CHUNK).await {
            large.push(turn);
        }
        let _small = turn(&downloads, 100_000).await.unwrap();
        assert!(turn(&downloads, 100_000).await.is_err());
        let mut brief = Vec::new();
        for _ in 0..100 {
            let turn = turn(&downloads, BRIEF_LEN_MAX).await.unwrap();
            brief.push(turn.held_by(Bytes::from_static(b"x")));
        }
    }

    /// The first two dozen readers took all of the memory, and whoever came next was refused.
    #[tokio::test(start_paused = true)]
    async fn many_readers_share_the_memory() {
        let downloads = memory(256);
        let mut readers = Vec::new();
        while let Ok(turn) = turn(&downloads, 100 * CHUNK).await {
            readers.push(turn);
        }
        assert_eq!(readers[0].ahead(), AHEAD);
        assert_eq!(readers.last().unwrap().ahead(), CHUNK);
        assert!(readers.len() >= 50, "{}", readers.len());
    }

    /// A few bytes of a chunk of 8 MiB counted as few, and had all of it in memory.
    #[tokio::test(start_paused = true)]
    async fn parts_of_chunks_count_as_whole_ones() {
        let downloads = memory(64);
        let range = 8 * CHUNK - 50_000..8 * CHUNK + 50_000;
        let turn = || downloads.turn(&range, 8 * CHUNK, 64 * CHUNK);
        let _both = turn().await.unwrap();
        assert!(turn().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_has_more_than_half_of_the_turns() {
        let halves = Halves::of(&Turns::new(3));
        let _two = [
            halves.turns("a").turn(1).await.unwrap(),
            halves.turns("a").turn(1).await.unwrap(),
        ];
        let other = halves.turns("b").turn(1).await.unwrap();
        assert!(halves.turns("a").turn(1).await.is_err());
        drop(other);
        halves.turns("c");
        assert_eq!(halves.known.lock().len(), 2, "others are forgotten");
    }
}
