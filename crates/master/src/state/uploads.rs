//! Uploads until their commit (`commits.rs`): an upload is a version that has no name yet.
//!
//! `AllocateChunks` opens it and promises chunks, `RecordChunks` writes chunks under its version, block by block or in
//! smaller pieces, and `CommitUpload` writes the last ones, the version and the name: work in proportion to one block, never
//! to the file. However an
//! upload ends, its promises end with it: what may lie on a node unrecorded becomes garbage, and blocks that no
//! version took over go to the sweep.
//!
//! **Invariant:** a chunk gets a reference only when enough copies are proved: by receipts for a promise that this very
//! upload holds, or by copies that are on record on nodes that can be relied on. The caller's word is no proof.

use proto::ErrorCode;
use proto::id::{ChunkId, PromiseId, UploadId};
use proto::master::{CHUNKS_PER_BLOCK, StoredChunk};
use redb::ReadableTable;

use super::answers::Kind;
use super::error::{StateError, refuse};
use super::outcome::{Allocation, CountedReceipt, Outcome};
use super::promises::unite;
use super::proofs::{Proved, check_len, check_same_len, known_copies, prove};
use super::rows::{self, Answer, PromiseRow, PurgeRow, UploadRow};
use super::tables::Tables;
use super::versions::place_of;
use crate::command::{ChunkPromise, ClusterMillis, NodeNumber};

/// Promises that one upload may hold: what it allocates and does not record.
pub(super) const PROMISES_MAX: usize = 8 * CHUNKS_PER_BLOCK;
/// Nodes that one promise may name in all, those included that failed the uploader.
const PROMISED_NODES_MAX: usize = 32;

impl Tables<'_> {
    pub(super) fn upload(&self, upload: UploadId) -> Result<Option<UploadRow>, StateError> {
        match self.uploads.get(upload.uuid().as_u128())? {
            Some(row) => Ok(Some(rows::decode(row.value())?)),
            None => Ok(None),
        }
    }

    pub(super) fn put_upload(
        &mut self,
        upload: UploadId,
        row: &UploadRow,
    ) -> Result<(), StateError> {
        let row = rows::encode(row);
        let before = self
            .uploads
            .insert(upload.uuid().as_u128(), row.as_slice())?
            .is_none();
        self.head.counters.uploads += u64::from(before);
        Ok(())
    }

    pub(super) fn new_version(&mut self) -> u64 {
        let version = self.head.next_version;
        self.head.next_version += 1;
        version
    }

    /// Ends an open upload: its row and its promises go, and what they may have left on nodes is garbage from now on.
    /// A commit is remembered as long as the upload could have been asked for, had it stayed open.
    pub(super) fn close_upload(
        &mut self,
        upload: UploadId,
        at: ClusterMillis,
        answer: Answer,
    ) -> Result<(), StateError> {
        for (chunk, promise) in self.promises_of(upload)? {
            self.drop_promise(upload, &chunk)?;
            self.leave_over(&chunk, &promise, at)?;
        }
        let was_kept = self.kept_uploads.remove(upload.uuid().as_u128())?.is_some();
        let open = self.upload(upload)?;
        let was_open = self.uploads.remove(upload.uuid().as_u128())?.is_some();
        self.head.counters.uploads -= u64::from(was_open);
        let is_remembered = was_kept && matches!(answer, Answer::Committed(_));
        let lease = open.filter(|_| is_remembered).map(|row| row.lease_until);
        let until = at.max(lease.unwrap_or_default());
        self.remember(Kind::Upload, upload.uuid(), until, answer)
    }

    /// Notes copies that were promised and not recorded, unless a version needs the chunk: then an inventory finds them.
    fn leave_over(
        &mut self,
        chunk: &ChunkId,
        promise: &PromiseRow,
        at: ClusterMillis,
    ) -> Result<(), StateError> {
        let before = self.chunk(chunk)?;
        if promise.nodes.is_empty() || before.as_ref().is_some_and(|row| row.references > 0) {
            return Ok(());
        }
        let mut after = before.clone().unwrap_or_default();
        // A put may still be under way: the grace period begins anew.
        after.unreferenced_since = at;
        unite(&mut after.leftovers, &promise.nodes);
        self.put_chunk(chunk, before.as_ref(), after)
    }
}

pub(super) fn upload_unknown<T>(upload: UploadId) -> Result<T, StateError> {
    refuse(
        ErrorCode::UploadUnknown,
        format!(
            "the upload {upload} is not open, or not all of it is here any more: its lease ran out, it was ended, \
             or the master restarted; begin again with a new id"
        ),
    )
}

/// What `AllocateChunks` asks for.
#[derive(Debug)]
pub(super) struct Allocate<'c> {
    pub(super) upload: UploadId,
    pub(super) lease_until: ClusterMillis,
    pub(super) promise: PromiseId,
    pub(super) doubtful: &'c [NodeNumber],
    pub(super) deletions_wait: bool,
    pub(super) chunks: &'c [ChunkPromise],
}

/// `AllocateChunks`.
pub(super) fn allocate_chunks(
    tables: &mut Tables<'_>,
    ask: &Allocate<'_>,
) -> Result<Outcome, StateError> {
    let (upload, lease_until, chunks) = (ask.upload, ask.lease_until, ask.chunks);
    if tables.answered(Kind::Upload, upload.uuid())?.is_some() {
        return upload_unknown(upload);
    }
    let open = tables.upload(upload)?;
    let held = open.map_or(0, |row| row.promises);
    if held as usize + chunks.len() > PROMISES_MAX {
        return refuse(
            ErrorCode::InvalidArgument,
            format!(
                "the upload {upload} holds {held} chunks that are not recorded: record blocks before \
                 allocating more than {PROMISES_MAX}"
            ),
        );
    }
    let allocations = chunks
        .iter()
        .map(|chunk| allocate(tables, ask, chunk))
        .collect::<Result<Vec<_>, _>>()?;

    let mut row = open.unwrap_or_else(|| UploadRow::new(tables.new_version()));
    row.lease_until = row.lease_until.max(lease_until);
    for (chunk, allocation) in chunks.iter().zip(&allocations) {
        row.promises += u32::from(make_promise(tables, ask, chunk, allocation)?);
    }
    tables.put_upload(upload, &row)?;
    Ok(Outcome::Allocated(allocations))
}

fn allocate(
    tables: &Tables<'_>,
    ask: &Allocate<'_>,
    wanted: &ChunkPromise,
) -> Result<Allocation, StateError> {
    let (chunk, len) = (&wanted.chunk.chunk, wanted.chunk.len);
    check_len(tables, chunk, len)?;
    let row = tables.chunk(chunk)?;
    check_same_len(chunk, row.as_ref(), len)?;
    let enough = usize::from(tables.rules.min_write_replicas);
    let replicas = row.as_ref().map_or(&[][..], |row| &row.replicas);
    if known_copies(tables, replicas, ask.doubtful, &[])? >= enough {
        return Ok(Allocation::Stored);
    }
    let before = tables.promise(ask.upload, chunk)?;
    let barred = before.as_ref().map_or(&[][..], |promise| &promise.barred);
    let mut nodes = Vec::with_capacity(wanted.nodes.len());
    let mut waiting = 0;
    for node in &wanted.nodes {
        if tables.is_planned(*node, chunk)? {
            waiting += 1;
        } else if tables.node(*node)?.is_some() && !nodes.contains(node) && !barred.contains(node) {
            nodes.push(*node);
        }
    }
    if nodes.len() < enough {
        return refuse_nodes(ask, chunk, (nodes.len(), enough), waiting);
    }
    let held = before.as_ref().map_or(0, |promise| promise.nodes.len());
    if held + nodes.len() > PROMISED_NODES_MAX {
        return refuse(
            ErrorCode::NotEnoughReplicas,
            format!("chunk {chunk} failed on {held} nodes: find out what is wrong with it"),
        );
    }
    let promise = before.map_or(ask.promise, |promise| promise.id);
    Ok(Allocation::Promised { promise, nodes })
}

fn refuse_nodes<T>(
    ask: &Allocate<'_>,
    chunk: &ChunkId,
    (found, enough): (usize, usize),
    waiting: usize,
) -> Result<T, StateError> {
    if waiting > 0 && ask.deletions_wait {
        return refuse(
            ErrorCode::Unavailable,
            format!(
                "{waiting} nodes are to delete older copies of chunk {chunk} before they take it, and {enough} are needed; \
                 in safe mode nothing is deleted: try again when the nodes that it waits for have reported"
            ),
        );
    }
    if waiting > 0 {
        return refuse(
            ErrorCode::Unavailable,
            format!(
                "{waiting} nodes are just deleting older copies of chunk {chunk}, and {enough} are \
                 needed: try again in a moment"
            ),
        );
    }
    refuse(
        ErrorCode::NotEnoughReplicas,
        format!("chunk {chunk} needs {enough} nodes and {found} take it: start or add nodes"),
    )
}

fn make_promise(
    tables: &mut Tables<'_>,
    ask: &Allocate<'_>,
    wanted: &ChunkPromise,
    allocation: &Allocation,
) -> Result<bool, StateError> {
    let chunk = &wanted.chunk.chunk;
    let before = tables.promise(ask.upload, chunk)?;
    let mut promise = before.unwrap_or(PromiseRow {
        id: ask.promise,
        len: 0,
        made_at: tables.head.at,
        nodes: Vec::new(),
        barred: Vec::new(),
    });
    promise.len = wanted.chunk.len;
    if let Allocation::Promised { nodes, .. } = allocation {
        unite(&mut promise.nodes, nodes);
    }
    tables.put_promise(ask.upload, chunk, &promise)
}

/// Gives proved chunks their references, and ends their promises. `row.copies` becomes the least that any of them has.
/// Returns the receipts that were counted.
pub(super) fn keep(
    tables: &mut Tables<'_>,
    upload: UploadId,
    proved: Vec<Proved>,
    row: &mut UploadRow,
) -> Result<Vec<CountedReceipt>, StateError> {
    let mut receipts = Vec::new();
    for chunk in proved {
        receipts.extend(chunk.receipts);
        let copies = u8::try_from(chunk.copies).unwrap_or(u8::MAX);
        row.copies = row.copies.min(copies);
        let mut after = chunk.after;
        after.references += chunk.times;
        tables.put_chunk(&chunk.chunk, chunk.before.as_ref(), after)?;
        let dropped = tables.drop_promise(upload, &chunk.chunk)?;
        row.promises -= u32::from(dropped);
    }
    Ok(receipts)
}

/// Sees that lengths are as a file's: all of the chunk size, but for the very last. Returns the bytes, and whether
/// the last one is short.
pub(super) fn check_lens(
    tables: &Tables<'_>,
    row: &UploadRow,
    chunks: &[StoredChunk],
) -> Result<(u64, bool), StateError> {
    let chunk_size = tables.rules.chunk_size;
    let mut bytes = row.bytes;
    let mut ended_short = row.ended_short;
    for stored in chunks {
        check_len(tables, &stored.chunk, stored.len)?;
        if ended_short {
            return refuse(
                ErrorCode::InvalidArgument,
                format!(
                    "chunk {} follows a chunk of less than {chunk_size} bytes: only the last one of a \
                     file may be shorter",
                    stored.chunk
                ),
            );
        }
        bytes += u64::from(stored.len);
        ended_short = stored.len < chunk_size;
    }
    check_file_size(tables, bytes)?;
    Ok((bytes, ended_short))
}

pub(super) fn check_file_size(tables: &Tables<'_>, bytes: u64) -> Result<(), StateError> {
    match tables.rules.file_size_max {
        Some(max) if bytes > max => refuse(
            ErrorCode::TooLarge,
            format!("the file has more than the {max} bytes that this cluster takes at most"),
        ),
        _ => Ok(()),
    }
}

/// What `RecordChunks` asks for.
#[derive(Debug)]
pub(super) struct Record<'c> {
    pub(super) upload: UploadId,
    pub(super) lease_until: ClusterMillis,
    /// The index of the first of the chunks.
    pub(super) first: u64,
    pub(super) doubtful: &'c [NodeNumber],
    pub(super) chunks: &'c [StoredChunk],
}

/// `RecordChunks`.
pub(super) fn record_chunks(
    tables: &mut Tables<'_>,
    record: &Record<'_>,
) -> Result<Outcome, StateError> {
    let Some(mut row) = tables.upload(record.upload)? else {
        return upload_unknown(record.upload);
    };
    check_in_block(record.first, record.chunks.len())?;
    let recorded = row.chunk_count(tables.rules.chunk_size);
    if record.first < recorded {
        return recorded_again(tables, &row, record);
    }
    if record.first > recorded {
        return upload_unknown(record.upload);
    }
    let (bytes, ended_short) = check_lens(tables, &row, record.chunks)?;
    let proved = prove(tables, record.upload, record.chunks, record.doubtful)?;

    let receipts = keep(tables, record.upload, proved, &mut row)?;
    let ids = record.chunks.iter().map(|stored| stored.chunk);
    tables.add_to_block(row.version, recorded, ids)?;
    (row.blocks, _) = place_of(recorded + record.chunks.len() as u64);
    row.bytes = bytes;
    row.ended_short = ended_short;
    row.lease_until = row.lease_until.max(record.lease_until);
    tables.put_upload(record.upload, &row)?;
    Ok(Outcome::Recorded(Some(receipts)))
}

fn check_in_block(first: u64, count: usize) -> Result<(), StateError> {
    let (block, place) = place_of(first);
    if count > 0 && place + count <= CHUNKS_PER_BLOCK {
        return Ok(());
    }
    refuse(
        ErrorCode::InvalidArgument,
        format!(
            "{count} chunks from place {place} of block {block} on were sent: there has to be one, and a block has \
             {CHUNKS_PER_BLOCK}"
        ),
    )
}

fn recorded_again(
    tables: &Tables<'_>,
    row: &UploadRow,
    record: &Record<'_>,
) -> Result<Outcome, StateError> {
    let (block, place) = place_of(record.first);
    let recorded = tables.block(row.version, block)?;
    let recorded = recorded.iter().skip(place).take(record.chunks.len());
    if recorded.eq(record.chunks.iter().map(|stored| &stored.chunk)) {
        return Ok(Outcome::Recorded(None));
    }
    refuse(
        ErrorCode::InvalidArgument,
        format!(
            "chunk {} is recorded, and what follows is not what was sent now: a chunk is recorded once",
            record.first
        ),
    )
}

/// `EndUpload`.
pub(super) fn end_upload(
    tables: &mut Tables<'_>,
    at: ClusterMillis,
    upload: UploadId,
    expired_by: Option<ClusterMillis>,
) -> Result<Outcome, StateError> {
    let Some(row) = tables.upload(upload)? else {
        return Ok(Outcome::UploadEnded(false));
    };
    if expired_by.is_some_and(|by| row.lease_until > by) {
        return Ok(Outcome::UploadEnded(false));
    }
    tables.close_upload(upload, at, Answer::UploadEnded)?;
    let blocks = row.chunk_count(tables.rules.chunk_size);
    let blocks = blocks.div_ceil(CHUNKS_PER_BLOCK as u64);
    if blocks > 0 {
        tables.push_purge(&PurgeRow::Draft {
            version: row.version,
            blocks: u32::try_from(blocks).expect("checked when they were recorded"),
        })?;
    }
    Ok(Outcome::UploadEnded(true))
}
