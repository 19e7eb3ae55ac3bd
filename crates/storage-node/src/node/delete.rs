//! Deletions: on each disk by its writer, in the order in which the master gave them.
//!
//! A disk that failed keeps what it has of the chunks, and so, for now, does one that hangs: the others carry the order out,
//! and the answer names what may still be here.
//!
//! **Invariant:** a chunk is said to be gone only if no deletion of it can still come: not while a disk that hangs has one
//! begun. So a copy that is stored after the answer is not deleted by it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use planted::{Bug, is_planted};
use proto::id::ChunkId;
use proto::node::ChunksDeleted;
use proto::{ErrorCode, WireError};
use tokio::time::timeout;

use super::{Node, stale};
use crate::error::StoreError;
use crate::extent::Order;
use crate::node_disk::NodeDisk;
use crate::store::Store;
use crate::writer::{self, Answer};

/// A disk that has not carried out an order by then hangs. The master waits longer for the answer.
const ORDER_TIMEOUT: Duration = Duration::from_secs(writer::HUNG_AFTER.as_secs() + 5);

/// The orders that the node has seen.
#[derive(Debug)]
pub(super) struct Orders {
    /// The highest.
    seen: Order,
    /// For each disk, what it has begun to delete and did not answer.
    begun: Vec<Option<Begun>>,
}

impl Orders {
    pub(super) fn new(seen: Order, disks: usize) -> Self {
        let begun = (0..disks).map(|_| None).collect();
        Self { seen, begun }
    }

    /// One disk more, which has seen this order.
    pub(super) fn add_disk(&mut self, seen: Order) {
        self.seen = self.seen.max(seen);
        self.begun.push(None);
    }
}

/// An order that one disk has begun. It may be carried out at any time.
#[derive(Debug)]
struct Begun {
    chunks: Vec<ChunkId>,
    answer: Answer<Vec<ChunkId>>,
}

/// What became of an order's chunks on one disk.
#[derive(Debug, Default)]
struct Done {
    /// They were here, and are gone.
    deleted: Vec<ChunkId>,
    /// They are here, or a deletion of them is begun.
    kept: Vec<ChunkId>,
    /// They may be here, if they were on no other disk.
    untold: Vec<ChunkId>,
}

impl Node {
    /// Removes chunks on an order that is above all seen before.
    ///
    /// # Errors
    /// If the order is not above all; or what a disk says that neither failed nor hangs.
    pub(crate) async fn delete(
        &self,
        order: Order,
        chunks: &[ChunkId],
    ) -> Result<ChunksDeleted, WireError> {
        let mut orders = self.orders.lock().await;
        let Orders { seen, begun } = &mut *orders;
        self.check_epoch(order.epoch)?;
        check_above(order, *seen)?;
        *seen = order;
        let disks = self.disks();
        let orders = disks.iter().zip(begun);
        let orders = orders.map(|(disk, begun)| delete_on(disk, begun, order, chunks));
        let (mut deleted, mut kept) = (BTreeSet::new(), BTreeSet::new());
        let mut untold = BTreeSet::new();
        if disks.late > 0 {
            untold.extend(chunks.iter().copied());
        }
        for done in join_all(orders).await {
            let done = done?;
            deleted.extend(done.deleted);
            kept.extend(done.kept);
            untold.extend(done.untold);
        }
        self.deleted.notify_waiters();
        kept.extend(untold.difference(&deleted));
        Ok(ChunksDeleted {
            deleted: deleted.len() as u64,
            kept: kept.into_iter().collect(),
        })
    }
}

fn check_above(order: Order, seen: Order) -> Result<(), WireError> {
    if order > seen || is_planted(Bug::StaleOrdersTaken) {
        return Ok(());
    }
    let message = format!(
        "delete order {} of epoch {} is not above {} of epoch {}, which the node has seen",
        order.sequence, order.epoch, seen.sequence, seen.epoch
    );
    let is_late = order.epoch == seen.epoch;
    Err(if is_late {
        WireError::new(ErrorCode::StaleOrder, message)
    } else {
        stale(message)
    })
}

/// Should a put that a failed disk refused turn out to be there once its index is made anew, the master finds a chunk that it does not
/// know, and deletes it as such.
async fn delete_on(
    disk: &NodeDisk,
    begun: &mut Option<Begun>,
    order: Order,
    chunks: &[ChunkId],
) -> Result<Done, StoreError> {
    match delete_soon(disk, begun, order, chunks).await {
        Ok(deleted) => Ok(Done {
            deleted,
            ..Done::default()
        }),
        Err(error)
            if disk.store.failure().is_some()
                || matches!(error, StoreError::Disk(_) | StoreError::TimedOut) =>
        {
            Ok(not_deleted_on(disk, begun.as_ref(), chunks).await)
        }
        Err(error) => Err(error),
    }
}

/// Has the disk's writer carry the order out, unless it is not done with the one before.
async fn delete_soon(
    disk: &NodeDisk,
    begun: &mut Option<Begun>,
    order: Order,
    chunks: &[ChunkId],
) -> Result<Vec<ChunkId>, StoreError> {
    if begun
        .as_mut()
        .is_some_and(|begun| begun.answer.is_pending())
    {
        return Err(StoreError::TimedOut);
    }
    *begun = None;
    if let Some(trouble) = disk.trouble() {
        return Err(trouble);
    }
    let deleted = timeout(ORDER_TIMEOUT, async {
        let answer = disk.writer.delete(order, chunks.to_vec()).await?;
        // Kept before it is waited for: whoever asked may go away meanwhile.
        let begun = begun.insert(Begun {
            chunks: chunks.to_vec(),
            answer,
        });
        begun.answer.get().await
    });
    let deleted = deleted.await.map_err(|_| StoreError::TimedOut)?;
    *begun = None;
    deleted
}

/// What a disk that did not carry the order out has of its chunks, or may have.
async fn not_deleted_on(disk: &NodeDisk, begun: Option<&Begun>, chunks: &[ChunkId]) -> Done {
    let mut kept = begun.map_or_else(Vec::new, |begun| begun.chunks.clone());
    let ordered: BTreeSet<_> = chunks.iter().collect();
    kept.retain(|chunk| ordered.contains(chunk));
    let has = |store: &Store, chunk: &ChunkId| Ok(!matches!(store.find(chunk), Ok(None)));
    let untold = match disk.ask_each(chunks, has).await {
        Ok(found) => {
            let found = chunks.iter().zip(found).filter(|(_, is_here)| *is_here);
            kept.extend(found.map(|(chunk, _)| *chunk));
            Vec::new()
        }
        Err(_) => chunks.to_vec(),
    };
    Done {
        kept,
        untold,
        ..Done::default()
    }
}
