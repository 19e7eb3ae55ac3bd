//! Puts: which disk takes a chunk, and that one disk takes it once.

use bytes::Bytes;
use proto::id::ChunkId;
use proto::{ErrorCode, WireError};

use super::{INLINE_LEN_MAX, Node, unpoisoned};
use crate::error::StoreError;
use crate::extent::PAYLOAD_LEN_MAX;
use crate::verified::VerifiedChunk;

/// Which disk takes a chunk that is being put, and how many are putting it.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskClaim {
    disk: usize,
    puts: usize,
}

impl Node {
    /// Stores bytes as this chunk. `false` if it was here; either way it is durable now.
    ///
    /// What was sent is verified even where the chunk is here: the answer vouches for the sender's bytes.
    pub(crate) async fn put(&self, chunk: ChunkId, bytes: Bytes) -> Result<bool, WireError> {
        let verified = self.verify_bytes(chunk, bytes).await?;
        self.store(verified).await
    }

    /// Stores a chunk that was verified before. `false` if it was here; either way it is durable now.
    pub(crate) async fn store(&self, verified: VerifiedChunk) -> Result<bool, WireError> {
        let chunk = verified.chunk();
        let claim = self.claim_disk(chunk).await?;
        if self.holds_good(&chunk).await? {
            return Ok(false);
        }
        let stored = self.disks[claim.disk].writer.put(verified).await;
        drop(claim);
        Ok(stored?)
    }

    /// Hashes on another thread, unless the bytes are few.
    pub(crate) async fn verify_bytes(
        &self,
        chunk: ChunkId,
        bytes: Bytes,
    ) -> Result<VerifiedChunk, WireError> {
        check_len(bytes.len())?;
        let verified = if bytes.len() <= INLINE_LEN_MAX {
            VerifiedChunk::check(chunk, bytes)
        } else {
            let check = move || VerifiedChunk::check(chunk, bytes);
            self.blocking().run(check).await
        };
        verified.ok_or_else(|| wrong_bytes(&chunk))
    }

    /// Chooses the disk for a chunk, and keeps it chosen until the put is done.
    async fn claim_disk(&self, chunk: ChunkId) -> Result<PutClaim<'_>, StoreError> {
        // Only a preference: whether the chunk is here is asked again once the disk is chosen.
        let preferred = match self.disks.len() {
            1 => None,
            _ => self.find(&chunk).await.ok().flatten(),
        };
        let preferred = preferred.map(|(disk, _)| disk);
        let mut puts = unpoisoned(&self.puts);
        let disk = match puts.get(&chunk) {
            Some(claim) => claim.disk,
            None => self.choose_disk(preferred),
        };
        puts.entry(chunk)
            .or_insert(DiskClaim { disk, puts: 0 })
            .puts += 1;
        Ok(PutClaim {
            node: self,
            chunk,
            disk,
        })
    }

    /// The disk with the most room; the one that has a corrupt copy, if it takes writes. If none does, any says why.
    fn choose_disk(&self, preferred: Option<usize>) -> usize {
        let takes_writes = |place: &usize| self.disks[*place].store.failure().is_none();
        if let Some(place) = preferred.filter(takes_writes) {
            return place;
        }
        if self.disks.len() == 1 {
            return 0;
        }
        (0..self.disks.len())
            .filter(takes_writes)
            .max_by_key(|place| self.disks[*place].store.room().unwrap_or(0))
            .unwrap_or(0)
    }
}

fn check_len(len: usize) -> Result<(), WireError> {
    match len {
        0 => Err(WireError::new(
            ErrorCode::InvalidArgument,
            "a chunk has at least one byte: send it as the body",
        )),
        1..=PAYLOAD_LEN_MAX => Ok(()),
        _ => Err(WireError::new(
            ErrorCode::TooLarge,
            format!("{len} bytes are more than a chunk can have: {PAYLOAD_LEN_MAX}"),
        )),
    }
}

fn wrong_bytes(chunk: &ChunkId) -> WireError {
    let message = format!("the bytes are not chunk {chunk}: send them again");
    WireError::new(ErrorCode::Corrupt, message)
}

/// Keeps puts of one chunk on one disk; lets go when dropped.
struct PutClaim<'a> {
    node: &'a Node,
    chunk: ChunkId,
    disk: usize,
}

impl Drop for PutClaim<'_> {
    fn drop(&mut self) {
        let mut puts = unpoisoned(&self.node.puts);
        if let Some(claim) = puts.get_mut(&self.chunk) {
            claim.puts -= 1;
            if claim.puts == 0 {
                puts.remove(&self.chunk);
            }
        }
    }
}
