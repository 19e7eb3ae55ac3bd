//! Going on where an earlier try stopped: what is there is verified by the ids of its chunks, and what is wrong is fetched
//! again.
//!
//! Nothing vouches for these bytes: a disk may have changed them since, or a person. One chunk is in memory at a time.

use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use anyhow::Context as _;
use client::{File, FileChunk};
use futures::StreamExt;
use proto::id::ChunkId;

use super::{blocking, interrupted, whole};
use crate::context::Context;
use crate::part::{Part, remove_record};
use crate::progress::Position;

/// Puts right what the part has, and cuts off what is no whole chunk. Says how many bytes were right.
pub(super) async fn verify(
    context: &Context,
    file: &File,
    part: &mut Part,
    position: &Position,
) -> anyhow::Result<u64> {
    let there = part.len();
    let mut chunks = file.chunks(0..there);
    let mut right = 0;
    while let Some(chunk) = chunks.next().await.transpose()? {
        let FileChunk { range, chunk } = chunk;
        if context.stop.is_cancelled() {
            return Err(interrupted());
        }
        if range.end > there {
            blocking(|| part.cut(range.start)).context("cut the part")?;
            break;
        }
        if blocking(|| holds(part, &range, chunk)) {
            right += range.end - range.start;
        } else {
            fetch_again(context, file, part, &range).await?;
        }
        position.kept(range.end);
    }
    Ok(right)
}

/// Whether the path has the file's very bytes already. What cannot be read, or is no plain file, has not. If it has, what a
/// download left there that was killed when its part had just become the file goes.
pub(super) async fn is_there(
    context: &Context,
    file: &File,
    path: &Path,
    position: &Position,
) -> anyhow::Result<bool> {
    let Some(mut there) = blocking(|| open_with_len(path, file.size)) else {
        return Ok(false);
    };
    let mut chunks = file.chunks(0..file.size);
    while let Some(FileChunk { range, chunk }) = chunks.next().await.transpose()? {
        if context.stop.is_cancelled() {
            return Err(interrupted());
        }
        let len = range.end - range.start;
        if !blocking(|| goes_on_with(&mut there, len, chunk)) {
            return Ok(false);
        }
        position.kept(range.end);
    }
    // What cannot be cleaned up is no reason to download it again.
    if let Ok(whole) = whole(context, file).await {
        blocking(|| remove_record(path, &whole)).ok();
    }
    Ok(true)
}

fn open_with_len(path: &Path, len: u64) -> Option<fs::File> {
    let metadata = fs::metadata(path).ok()?;
    let is_candidate = metadata.is_file() && metadata.len() == len;
    is_candidate.then(|| fs::File::open(path).ok()).flatten()
}

/// Whether the next bytes are the chunk's. What cannot be read is not.
fn goes_on_with(file: &mut fs::File, len: u64, chunk: ChunkId) -> bool {
    read_on(file, len).is_ok_and(|bytes| ChunkId::of(&bytes) == chunk)
}

fn read_on(file: &mut fs::File, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Whether the part has the chunk's bytes. What cannot be read is not had.
fn holds(part: &mut Part, range: &Range<u64>, chunk: ChunkId) -> bool {
    let bytes = part.read(range);
    bytes.is_ok_and(|bytes| ChunkId::of(&bytes) == chunk)
}

async fn fetch_again(
    context: &Context,
    file: &File,
    part: &mut Part,
    range: &Range<u64>,
) -> anyhow::Result<()> {
    let mut bytes = file.clone().read(range.clone());
    let mut at = range.start;
    loop {
        let next = tokio::select! {
            next = bytes.next() => next,
            () = context.stop.cancelled() => return Err(interrupted()),
        };
        let Some(piece) = next.transpose()? else {
            return Ok(());
        };
        blocking(|| part.put_right(at, &piece)).context("write the part")?;
        at += piece.len() as u64;
    }
}
