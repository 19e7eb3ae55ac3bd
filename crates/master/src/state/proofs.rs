//! What proves that a chunk is stored: receipts, and copies on record.
//!
//! **Invariant:** a receipt counts only for the promise, the chunk and the length that it was made for, of a node that
//! this promise names, and while no deletion of the copy is planned. A copy on record counts only on a node that can be
//! relied on: its heartbeats come, and since it came its inventory was compared with the record. One that is doubtful
//! may have come back with an empty disk. Nothing here writes.

use std::collections::BTreeMap;

use planted::{Bug, is_planted};
use proto::ErrorCode;
use proto::hello::same_mac;
use proto::id::{ChunkId, UploadId};
use proto::master::StoredChunk;
use proto::node::Receipt;
use redb::ReadableTable;

use super::error::{StateError, refuse};
use super::outcome::CountedReceipt;
use super::rows::{ChunkRow, PromiseRow};
use super::tables::Tables;
use crate::command::NodeNumber;

/// A chunk of a block that was found to be stored well enough.
#[derive(Debug)]
pub(super) struct Proved {
    pub(super) chunk: ChunkId,
    /// How often the block names it.
    pub(super) times: u64,
    pub(super) before: Option<ChunkRow>,
    /// The row with the copies that are proved now, and no new reference yet.
    pub(super) after: ChunkRow,
    /// Copies that can be counted on.
    pub(super) copies: usize,
    /// What proves some of them.
    pub(super) receipts: Vec<CountedReceipt>,
}

/// Sees that every chunk has enough proved copies. Writes nothing.
pub(super) fn prove(
    tables: &Tables<'_>,
    upload: UploadId,
    chunks: &[StoredChunk],
    doubtful: &[NodeNumber],
) -> Result<Vec<Proved>, StateError> {
    let mut distinct: BTreeMap<ChunkId, (u64, u32, Vec<Receipt>)> = BTreeMap::new();
    for stored in chunks {
        let (times, len, receipts) =
            distinct
                .entry(stored.chunk)
                .or_insert((0, stored.len, Vec::new()));
        if *len != stored.len {
            let message = format!("chunk {} cannot have two lengths", stored.chunk);
            return refuse(ErrorCode::InvalidArgument, message);
        }
        *times += 1;
        receipts.extend_from_slice(&stored.receipts);
    }
    distinct
        .into_iter()
        .map(|(chunk, (times, len, receipts))| {
            let (proved, counted) = match tables.promise(upload, &chunk)? {
                Some(promise) => good_receipts(tables, &chunk, len, &receipts, &promise)?,
                None => (Vec::new(), Vec::new()),
            };
            let proved = prove_chunk(tables, (chunk, len, times), &proved, doubtful)?;
            Ok(Proved {
                receipts: counted,
                ..proved
            })
        })
        .collect()
}

fn prove_chunk(
    tables: &Tables<'_>,
    (chunk, len, times): (ChunkId, u32, u64),
    proved: &[NodeNumber],
    doubtful: &[NodeNumber],
) -> Result<Proved, StateError> {
    let before = tables.chunk(&chunk)?;
    check_same_len(&chunk, before.as_ref(), len)?;
    let mut after = before.clone().unwrap_or_default();
    let recorded = known_copies(tables, &after.replicas, doubtful, proved)?;
    after.len = len;
    super::promises::unite(&mut after.replicas, proved);
    let copies = proved.len() + recorded;
    let needed = match tables.rules.min_write_replicas {
        _ if is_planted(Bug::OneCopyEnough) => 1,
        needed => usize::from(needed),
    };
    if copies < needed {
        return refuse(
            ErrorCode::NotEnoughReplicas,
            format!(
                "chunk {chunk} has {copies} proved copies and needs {needed}: allocate it again, and \
                 send it to the nodes named then"
            ),
        );
    }
    Ok(Proved {
        chunk,
        times,
        before,
        after,
        copies,
        receipts: Vec::new(),
    })
}

/// The nodes, among those promised the chunk, whose receipts are good, and these receipts.
fn good_receipts(
    tables: &Tables<'_>,
    chunk: &ChunkId,
    len: u32,
    receipts: &[Receipt],
    promise: &PromiseRow,
) -> Result<(Vec<NodeNumber>, Vec<CountedReceipt>), StateError> {
    let (mut good, mut counted) = (Vec::new(), Vec::new());
    for receipt in receipts {
        let number = tables.node_numbers.get(receipt.node.uuid().as_u128())?;
        let Some(node) = number.map(|number| NodeNumber(number.value())) else {
            continue;
        };
        if !promise.nodes.contains(&node) || good.contains(&node) || promise.len != len {
            continue;
        }
        let Some(row) = tables.node(node)? else {
            continue;
        };
        let expected = row.receipt_key.receipt(promise.id, chunk, u64::from(len));
        let is_good = same_mac(&receipt.mac, &expected) || is_planted(Bug::ReceiptsUnchecked);
        if is_good && !tables.is_planned(node, chunk)? {
            good.push(node);
            counted.push(CountedReceipt {
                node: receipt.node,
                chunk: *chunk,
                promised_at: promise.made_at,
            });
        }
    }
    Ok((good, counted))
}

/// How many of these copies are on nodes that are neither removed, nor doubtful (ascending), nor among `others`.
pub(super) fn known_copies(
    tables: &Tables<'_>,
    replicas: &[NodeNumber],
    doubtful: &[NodeNumber],
    others: &[NodeNumber],
) -> Result<usize, StateError> {
    let mut copies = 0;
    for node in replicas {
        let is_sure =
            doubtful.binary_search(node).is_err() || is_planted(Bug::DoubtfulCopiesCounted);
        let counts = is_sure && !others.contains(node);
        copies += usize::from(counts && tables.node(*node)?.is_some());
    }
    Ok(copies)
}

pub(super) fn check_len(tables: &Tables<'_>, chunk: &ChunkId, len: u32) -> Result<(), StateError> {
    let chunk_size = tables.rules.chunk_size;
    if len == 0 || len > chunk_size {
        return refuse(
            ErrorCode::InvalidArgument,
            format!("chunk {chunk} has {len} bytes; it must be 1 to {chunk_size}"),
        );
    }
    Ok(())
}

pub(super) fn check_same_len(
    chunk: &ChunkId,
    row: Option<&ChunkRow>,
    len: u32,
) -> Result<(), StateError> {
    match row {
        Some(row) if !row.may_have_len(len) => refuse(
            ErrorCode::InvalidArgument,
            format!(
                "chunk {chunk} has {} bytes here and cannot have {len}",
                row.len
            ),
        ),
        _ => Ok(()),
    }
}
