//! Chunks that are on two disks of the node: one copy is enough, since nodes fail as a whole.
//!
//! While a disk is out, what it has is copied elsewhere, perhaps to another disk of the same node; when it comes back, both
//! have it. The sums of the inventory tell them twice, so the master lists their buckets, and lists show them.
//!
//! A corrupt copy on a full disk is replaced on another one, and goes as well.
//!
//! **Invariant:** a copy goes only after it was read, and one on another sound disk was read and found good. Of the good ones
//! that on the disk that was given first to the node stays, so that two never go for each other.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::id::ChunkId;
use proto::node::ChunkState;
use threads::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Node;
use crate::error::StoreError;
use crate::node_disk::NodeDisk;

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
        let (mut kept, mut others) = (None, Vec::new());
        let disks = self.disks();
        let sound = disks.iter().enumerate();
        for (place, disk) in sound.filter(|(_, disk)| disk.is_sound()) {
            let (store, id) = (Arc::clone(&disk.store), *chunk);
            let find = move || store.find(&id);
            let Some(row) = disk.lane.ask_soon(find).await? else {
                continue;
            };
            let state = self.verify_copy(place, chunk).await?;
            if state == ChunkState::Good && kept.is_none() {
                kept = Some(disk);
            } else if state != ChunkState::Missing {
                others.push((disk, row.location));
            }
        }
        let mut dropped = 0;
        for (disk, location) in others {
            if kept.is_some_and(NodeDisk::is_sound) {
                // Only this record: what is stored meanwhile may be the only copy.
                let drop = disk.writer.drop_copy(*chunk, location);
                dropped += usize::from(drop.await?);
            }
        }
        Ok(dropped)
    }
}
