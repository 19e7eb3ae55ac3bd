//! Files by the names of their chunks alone: what the cluster has need not be sent. An upload that others may go on with takes the
//! chunks that are here, and goes on with bytes; any other takes all of them, or leaves nothing.
//!
//! The master counts how many of them it has, and takes them on record as it takes any: what is not stored well enough by then, because
//! it was just deleted or a node died, is refused, and has to be sent.

use std::sync::Arc;

use proto::id::ChunkId;
use proto::master::{
    CHUNKS_PER_BLOCK, ChunkToStore, ClusterRules, CommitUpload, CountStoredChunks, RecordChunks,
    StoredChunk, UploadPlan,
};
use proto::name::EntryPath;

use super::allocate::allocate;
use super::recover::Trouble;
use super::{Appended, OpenUpload, UploadOptions, Uploaded, begin, check_size};
use crate::{Cluster, Error, Shared};

/// Stores a file of `size` bytes that has these chunks, a block of them at most; nothing, and nothing is left, where the cluster does
/// not have just these.
pub(crate) async fn upload_stored(
    cluster: &Cluster,
    path: &EntryPath,
    (size, chunks): (u64, &[ChunkId]),
    options: UploadOptions,
) -> Result<Option<Uploaded>, Error> {
    let options = UploadOptions {
        size_hint: Some(size),
        ..options
    };
    let mut upload = begin(cluster, path, options).await?;
    let (shared, rules) = (&upload.shared, &upload.rules);
    if chunks.len() as u64 != size.div_ceil(u64::from(rules.chunk_size)) {
        return Ok(None);
    }
    let chunks = with_lens(rules, size, chunks)?;
    let stored = stored_first(shared, &chunks).await?;
    if stored.len() < chunks.len() {
        return Ok(None);
    }
    let id = upload.session.open();
    // Nothing has to be promised: this gives the upload its lease.
    let opened = allocate(shared, id, &[], &[], shared.options.transfer_retry_for).await?;
    if opened.chunk_size != rules.chunk_size {
        return Err(upload.other_chunk_size());
    }
    let is_wanted = upload.options.still_wanted.take();
    if is_wanted.is_some_and(|is_wanted| !is_wanted()) {
        return Err(Error::Withdrawn);
    }
    let plan = UploadPlan {
        path: path.clone(),
        size,
        modified_ms: upload.options.modified_ms,
        parents: upload.options.parents,
        precondition: upload.options.precondition,
        note: String::new(),
    };
    let open = OpenUpload {
        upload: id,
        plan,
        chunks: 0,
        bytes: 0,
    };
    match commit(shared, &open, &stored).await {
        Ok(uploaded) => {
            upload.session.finish();
            Ok(uploaded)
        }
        Err(error) => {
            // One went since they were counted, or the master forgot the upload in a crash.
            let (_, error) = Trouble::of(error)?;
            tracing::debug!("what was named is sent after all: {error}");
            Ok(None)
        }
    }
}

/// Adds as many of these chunks, from the first on, as the cluster has, and commits the file if that was its end.
pub(crate) async fn append_stored(
    cluster: &Cluster,
    mut open: OpenUpload,
    chunks: &[ChunkId],
) -> Result<Appended, Error> {
    let shared = &cluster.shared;
    let rules = shared.rules().await?;
    check_size(&rules, Some(open.plan.size))?;
    let chunks = with_lens(&rules, open.plan.size - open.bytes, chunks)?;
    let mut left = &chunks[..];
    let mut is_again = false;
    while !left.is_empty() {
        let (piece, others) = left.split_at(left.len().min(room_in_block(&open)));
        let stored = stored_first(shared, piece).await?;
        let bytes: u64 = stored.iter().map(|chunk| u64::from(chunk.len)).sum();
        let is_end = open.bytes + bytes == open.plan.size;
        let added = if is_end {
            commit(shared, &open, &stored).await
        } else {
            record(shared, &open, &stored).await.map(|()| None)
        };
        match added {
            Ok(Some(uploaded)) => return Ok(Appended::Committed(uploaded)),
            Ok(None) => {}
            // One went since they were counted. What is before it is still there.
            Err(Error::NotEnoughReplicas { .. }) if !is_again => {
                is_again = true;
                continue;
            }
            Err(Error::NotEnoughReplicas { message, .. }) => {
                tracing::debug!("what was named is sent after all: {message}");
                break;
            }
            Err(error) => return Err(error),
        }
        open.chunks += stored.len() as u64;
        open.bytes += bytes;
        if stored.len() < piece.len() {
            break;
        }
        left = others;
        is_again = false;
    }
    let rest = bytes::Bytes::new();
    Ok(Appended::Open { open, rest })
}

/// The chunks as they stand in the file, which has so many bytes left to come: all of them whole but its last one.
fn with_lens(
    rules: &ClusterRules,
    mut left: u64,
    chunks: &[ChunkId],
) -> Result<Vec<ChunkToStore>, Error> {
    let chunk_size = u64::from(rules.chunk_size);
    let has_room = left.div_ceil(chunk_size) >= chunks.len() as u64;
    if !has_room {
        return Err(Error::InvalidArgument {
            message: format!(
                "{} chunks were named, and the file has only {left} bytes left to come",
                chunks.len()
            ),
        });
    }
    let mut next = |chunk: &ChunkId| {
        let len = left.min(chunk_size);
        left -= len;
        let len = u32::try_from(len).expect("no longer than a chunk");
        ChunkToStore { chunk: *chunk, len }
    };
    Ok(chunks.iter().map(&mut next).collect())
}

/// Chunks that fit into the block in which the upload goes on.
fn room_in_block(open: &OpenUpload) -> usize {
    CHUNKS_PER_BLOCK - place_in_block(open)
}

fn place_in_block(open: &OpenUpload) -> usize {
    let place = open.chunks % CHUNKS_PER_BLOCK as u64;
    usize::try_from(place).expect("less than a block")
}

/// How many full blocks are recorded, and how many chunks of the next one.
fn recorded(open: &OpenUpload) -> (u32, u16) {
    let blocks = open.chunks / CHUNKS_PER_BLOCK as u64;
    let blocks = u32::try_from(blocks).expect("2^41 chunks are never recorded");
    let place = u16::try_from(place_in_block(open)).expect("less than a block");
    (blocks, place)
}

/// Those that the cluster has, up to the first that it has not.
async fn stored_first(
    shared: &Arc<Shared>,
    piece: &[ChunkToStore],
) -> Result<Vec<StoredChunk>, Error> {
    let request = || CountStoredChunks {
        chunks: piece.to_vec(),
    };
    let retry_for = shared.options.transfer_retry_for;
    let counted = shared.masters.call(retry_for, request).await?;
    let stored = |chunk: &ChunkToStore| StoredChunk {
        chunk: chunk.chunk,
        len: chunk.len,
        receipts: Vec::new(),
    };
    let stored = piece.iter().take(counted.stored as usize).map(stored);
    Ok(stored.collect())
}

async fn record(
    shared: &Arc<Shared>,
    open: &OpenUpload,
    chunks: &[StoredChunk],
) -> Result<(), Error> {
    if chunks.is_empty() {
        return Ok(());
    }
    let (block, place) = recorded(open);
    let request = || RecordChunks {
        upload: open.upload,
        block,
        place,
        chunks: chunks.to_vec(),
    };
    let retry_for = shared.options.transfer_retry_for;
    shared.masters.call(retry_for, request).await.map(drop)
}

async fn commit(
    shared: &Arc<Shared>,
    open: &OpenUpload,
    chunks: &[StoredChunk],
) -> Result<Option<Uploaded>, Error> {
    let (blocks, place) = recorded(open);
    let UploadPlan {
        path,
        size,
        modified_ms,
        parents,
        precondition,
        ..
    } = &open.plan;
    let request = || CommitUpload {
        upload: open.upload,
        path: path.clone(),
        size: *size,
        modified_ms: *modified_ms,
        blocks,
        place,
        chunks: chunks.to_vec(),
        parents: *parents,
        precondition: *precondition,
    };
    let retry_for = shared.options.transfer_retry_for;
    let committed = shared.masters.call(retry_for, request).await?;
    Ok(Some(Uploaded::new(*size, &committed)))
}
