//! What a node tells the master of what it holds: chunks by name, and by bucket. Each disk is asked on its own lane.
//!
//! **Invariants:** only what is on sound disks counts as copies: what is on a disk that failed, or hangs for now, is left
//! out of digests and lists, so that it is copied elsewhere. But no chunk is said to be missing that a disk which does not
//! answer may have: asked by name, it is said to be [`ChunkState::OnHungDisk`], so that nobody takes it for lost.

use std::sync::Arc;

use futures::future::join_all;
use proto::id::ChunkId;
use proto::node::{BucketDigest, ChunkDescription, ChunkState};

use super::Node;
use crate::error::StoreError;
use crate::node_disk::NodeDisk;
use crate::store::Store;

/// Good chunks with their lengths, in the order of ids, and whether more follow.
pub(crate) type BucketPage = (Vec<(ChunkId, u32)>, bool);

impl Node {
    /// What is known of chunks without reading them, in the order asked: of the best copy, if several disks have one.
    ///
    /// # Errors
    /// If a disk that is sound cannot tell, and no other has a chunk.
    pub(crate) async fn describe(
        &self,
        chunks: Vec<ChunkId>,
    ) -> Result<Vec<ChunkDescription>, StoreError> {
        let disks = self.disks();
        let asked = disks.iter().map(|disk| describe_on(disk, &chunks));
        let elsewhere = match disks.late {
            0 => ChunkState::Missing,
            _ => ChunkState::OnHungDisk,
        };
        let mut best: Vec<_> = chunks
            .iter()
            .map(|chunk| unseen(*chunk, elsewhere))
            .collect();
        let mut untold = None;
        for told in join_all(asked).await {
            match told {
                Ok(described) => {
                    for (best, described) in best.iter_mut().zip(described) {
                        if described.state < best.state {
                            *best = described;
                        }
                    }
                }
                Err(error) => untold = Some(error),
            }
        }
        let is_missing = |one: &ChunkDescription| one.state == ChunkState::Missing;
        match untold {
            Some(error) if best.iter().any(is_missing) => Err(error),
            _ => Ok(best),
        }
    }

    /// The digests of all 256 buckets, over all sound disks.
    pub(crate) fn digest(&self) -> Vec<BucketDigest> {
        let mut buckets = vec![BucketDigest::default(); 256];
        for disk in sound(&self.disks()) {
            for (sum, bucket) in buckets.iter_mut().zip(&disk.store.catalog().buckets) {
                sum.count += bucket.count;
                sum.xor ^= bucket.xor;
            }
            // The sums have them until the index can note that they are bad.
            for (chunk, _) in disk.store.unmarked() {
                buckets[usize::from(chunk.bucket())].remove(&chunk);
            }
        }
        buckets
    }

    /// A page of one bucket, over all sound disks.
    ///
    /// # Errors
    /// If a disk cannot list what it has, and does not hang.
    pub(crate) async fn list_bucket(
        &self,
        bucket: u8,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Result<BucketPage, StoreError> {
        let disks = self.disks();
        let asked = sound(&disks).map(|disk| async move {
            let store = Arc::clone(&disk.store);
            let list = move || Ok(store.bucket_page(bucket, after.as_ref(), limit)?);
            match disk.lane.ask_soon(list).await {
                Err(StoreError::TimedOut) if disk.pulse.hangs() => Ok((Vec::new(), false)),
                listed => listed,
            }
        });
        let (mut chunks, mut more) = (Vec::new(), false);
        for listed in join_all(asked).await {
            let (page, page_more) = listed?;
            chunks.extend(page);
            more |= page_more;
        }
        chunks.sort_unstable();
        // A chunk that was copied from a failed disk to another one, which then came back, is one copy.
        let twice = chunks.windows(2).filter(|pair| pair[0] == pair[1]);
        self.duplicates.note(twice.map(|pair| pair[0].0));
        chunks.dedup();
        more |= chunks.len() > limit;
        chunks.truncate(limit);
        Ok((chunks, more))
    }
}

/// The disks whose chunks count as copies.
fn sound(disks: &[NodeDisk]) -> impl Iterator<Item = &NodeDisk> {
    disks.iter().filter(|disk| disk.is_sound())
}

/// What one disk knows of chunks. One that hangs, or whose index failed, may have any of them.
async fn describe_on(
    disk: &NodeDisk,
    chunks: &[ChunkId],
) -> Result<Vec<ChunkDescription>, StoreError> {
    let all = |state| chunks.iter().map(|chunk| unseen(*chunk, state)).collect();
    match disk.ask_each(chunks, described_by).await {
        Err(error) if matches!(error, StoreError::TimedOut) || disk.store.failure().is_some() => {
            Ok(all(ChunkState::OnHungDisk))
        }
        described => described,
    }
}

fn described_by(store: &Store, chunk: &ChunkId) -> Result<ChunkDescription, StoreError> {
    let Some(row) = store.find(chunk)? else {
        return Ok(unseen(*chunk, ChunkState::Missing));
    };
    let extent = row.location.extent;
    let sums = store.catalog().extents.get(&extent).copied();
    let scrubbed_ms = sums.map_or(0, |sums| sums.scrubbed_ms);
    let state = match (row.corrupt, store.failure()) {
        (true, _) => ChunkState::Corrupt,
        (false, Some(_)) => ChunkState::OnFailedDisk,
        (false, None) => ChunkState::Good,
    };
    Ok(ChunkDescription {
        chunk: *chunk,
        state,
        verified_ms: (!row.corrupt).then_some(row.verified_ms.max(scrubbed_ms)),
        extent: Some(extent),
    })
}

fn unseen(chunk: ChunkId, state: ChunkState) -> ChunkDescription {
    ChunkDescription {
        chunk,
        state,
        verified_ms: None,
        extent: None,
    }
}
