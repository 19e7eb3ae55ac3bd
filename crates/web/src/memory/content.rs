//! The bytes of files in memory, and how they are read.

use std::ops::Range;

use bytes::Bytes;
use client::Error;
use futures::StreamExt;
use proto::id::ChunkId;

use super::{Faults, Version};
use crate::drive::{Content, OpenFile};

/// Bytes that are read at once.
pub(super) const CHUNK_LEN: usize = 64 * 1024;
static ZEROS: [u8; CHUNK_LEN] = [0; CHUNK_LEN];

/// What a file has in it.
#[derive(Debug, Clone)]
pub(super) enum FileBytes {
    /// These bytes.
    Given(Bytes),
    /// So many zeros, which take no memory.
    Zeros(u64),
}

impl FileBytes {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Given(bytes) => bytes.len() as u64,
            Self::Zeros(len) => *len,
        }
    }

    /// Its chunks by their ids, if it has bytes of its own.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (ChunkId, Bytes)> {
        let bytes = match self {
            Self::Given(bytes) => bytes.clone(),
            Self::Zeros(_) => Bytes::new(),
        };
        let starts = (0..bytes.len()).step_by(CHUNK_LEN);
        starts.map(move |start| {
            let chunk = bytes.slice(start..bytes.len().min(start + CHUNK_LEN));
            (ChunkId::of(&chunk), chunk)
        })
    }

    /// A part of it, of which this is the place.
    fn piece(&self, range: Range<u64>) -> Bytes {
        let place = |at: u64| usize::try_from(at).expect("in memory");
        match self {
            Self::Given(bytes) => bytes.slice(place(range.start)..place(range.end)),
            Self::Zeros(_) => Bytes::from_static(&ZEROS).slice(..place(range.end - range.start)),
        }
    }
}

pub(super) fn open(file: Version, faults: Faults) -> OpenFile {
    OpenFile {
        version: file.id,
        size: file.bytes.len(),
        modified_ms: file.modified_ms,
        chunk_size: CHUNK_LEN as u64,
        read_ahead: CHUNK_LEN as u64,
        read: Box::new(move |range, _| read(file.bytes, range, &faults)),
    }
}

fn read(bytes: FileBytes, range: Range<u64>, faults: &Faults) -> Content {
    let fails_at = faults
        .reads_fail_after
        .map_or(u64::MAX, |after| range.start + after as u64);
    let good = range.start..range.end.min(fails_at);
    let failure = (good.end < range.end).then(|| {
        Err(Error::Unavailable {
            what: "no copy can be read".into(),
            source: None,
        })
    });
    let pieces = good.clone().step_by(CHUNK_LEN).map(move |at| {
        let end = good.end.min(at + CHUNK_LEN as u64);
        Ok(bytes.piece(at..end))
    });
    let pause = faults.pause.unwrap_or_default();
    futures::stream::iter(pieces.chain(failure))
        .then(move |piece| async move {
            // What was read is sent meanwhile, as it is while a cluster is waited for.
            if pause.is_zero() {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(pause).await;
            }
            piece
        })
        .boxed()
}
