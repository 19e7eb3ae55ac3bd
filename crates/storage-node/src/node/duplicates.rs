//! Chunks that are on two disks of the node: one copy is enough, since nodes fail as a whole.
//!
//! While a disk is out, what it has is copied elsewhere, perhaps to another disk of the same node; when it comes back, both
//! have it. The sums of the inventory tell them twice, so the master lists their buckets, and lists show them.
//!
//! **Invariant:** a copy goes only after it and one on another sound disk were read and found good. The copy on the disk that
//! was given first to the node stays, so that two never go for each other.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use proto::id::ChunkId;
use proto::node::ChunkState;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Node;
use crate::error::StoreError;

/// Chunks that wait to be looked at. What is beyond is listed again another time.
const WAITING_MAX: usize = 64 << 10;

/// Chunks that were seen on more than one disk.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    waiting: Mutex<BTreeSet<ChunkId>>,
    noted: Notify,
}

impl Duplicates {
    pub(super) fn note(&self, chunks: impl Iterator<Item = ChunkId>) {
        let mut waiting = self.waiting.lock();
        let before = waiting.len();
        waiting.extend(chunks.take(WAITING_MAX.saturating_sub(before)));
        if waiting.len() > before {
            self.noted.notify_one();
        }
    }

    fn next(&self) -> Option<ChunkId> {
        self.waiting.lock().pop_first()
    }
}

impl Node {
    /// Drops copies that are one too many, as they are found, until shutdown.
    pub(crate) async fn keep_one_copy(self: Arc<Self>, shutdown: CancellationToken) {
        let keep = async {
            loop {
                self.duplicates.noted.notified().await;
                self.drop_duplicates().await;
            }
        };
        shutdown.run_until_cancelled(keep).await;
    }

    /// Looks at all that were seen so far, one after another.
    pub(crate) async fn drop_duplicates(&self) {
        while let Some(chunk) = self.duplicates.next() {
            match self.drop_duplicate(&chunk).await {
                Ok(dropped) => tracing::debug!(%chunk, dropped, "looked at a chunk on two disks"),
                Err(error) => tracing::debug!(%chunk, %error, "a chunk stays on two disks"),
            }
        }
    }

    /// Keeps one good copy of a chunk; tells how many went.
    async fn drop_duplicate(&self, chunk: &ChunkId) -> Result<usize, StoreError> {
        let mut kept = None;
        let mut dropped = 0;
        for (place, disk) in self.disks.iter().enumerate() {
            let (store, id) = (Arc::clone(&disk.store), *chunk);
            let find = move || store.find(&id);
            if !disk.is_sound() {
                continue;
            }
            let Some(row) = disk.lane.ask_soon(find).await? else {
                continue;
            };
            if self.verify_copy(place, chunk).await? != ChunkState::Good {
                continue;
            }
            match kept {
                None => kept = Some(disk),
                Some(kept) if kept.is_sound() => {
                    // Only this record: what is stored meanwhile may be the only copy.
                    let drop = disk.writer.drop_copy(*chunk, row.location);
                    dropped += usize::from(drop.await?);
                }
                Some(_) => {}
            }
        }
        Ok(dropped)
    }
}
