//! Puts: which disk takes a chunk, and that one disk takes it once.
//!
//! **Invariant:** a disk that hangs or failed does not keep the others from taking chunks. What only it could tell counts
//! as not here: at worst a chunk is stored twice.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use proto::id::ChunkId;
use proto::node::ChunkState;
use proto::{ErrorCode, WireError};

use super::{Disks, INLINE_LEN_MAX, Node};
use crate::error::StoreError;
use crate::extent::{PAYLOAD_LEN_MAX, record_len};
use crate::node_disk::NodeDisk;
use crate::verified::VerifiedChunk;

/// Disks whose room differs by less than this part of it have the same.
const TIE_PART: u64 = 128;

/// Which disk takes a chunk that is being put, and how many are putting it.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskClaim {
    disk: usize,
    puts: usize,
}

/// What the disks that are sound say of a chunk that is being put.
#[derive(Debug, Default)]
struct Survey {
    /// Which has a copy: a good one, or a corrupt one and room to replace it.
    holder: Option<usize>,
    /// Whether one has a corrupt copy and no room.
    has_stuck: bool,
    /// The room on each.
    rooms: Vec<(u64, usize)>,
    /// Why another does not say.
    trouble: Option<StoreError>,
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
        let chunk = verified.chunk;
        let claim = self.claim_disk(chunk, verified.len()).await?;
        // The disks of one moment: what was asked of a disk, and what is put there, is of the same index.
        let disks = self.disks();
        if self
            .holds_good_beside(&disks, &chunk, Some(claim.disk))
            .await
        {
            return Ok(false);
        }
        let stored = self.put_on(&disks, claim.disk, verified).await?;
        if claim.has_stuck {
            self.duplicates.note(std::iter::once(chunk));
        }
        Ok(stored)
    }

    /// Puts a chunk on this disk, which has to know whether it is there: as a rule it is not, and nothing is read. The writer looks for
    /// it and does not read it, so a copy that it finds is verified, and replaced if it is not good.
    async fn put_on(
        &self,
        disks: &Disks,
        disk: usize,
        verified: VerifiedChunk,
    ) -> Result<bool, StoreError> {
        let (chunk, writer) = (verified.chunk, &disks[disk].writer);
        if writer.put(verified.clone()).await? {
            return Ok(true);
        }
        if self.verify_copy(disk, &chunk).await? == ChunkState::Good {
            return Ok(false);
        }
        writer.put(verified).await
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

    /// Whether the chunk is here, on a disk that is sound, and reads well. A copy that rotted unseen is marked, and can
    /// then be replaced: it must not count as the copy that somebody is about to rely on.
    pub(crate) async fn holds_good(&self, chunk: &ChunkId) -> bool {
        self.holds_good_beside(&self.disks(), chunk, None).await
    }

    /// The same of all disks but this one. One that does not say it counts as one that has none.
    async fn holds_good_beside(
        &self,
        disks: &Disks,
        chunk: &ChunkId,
        claimed: Option<usize>,
    ) -> bool {
        let others = disks.iter().enumerate();
        let others = others.filter(|(place, _)| Some(*place) != claimed);
        let sound = others.filter(|(_, disk)| disk.store.failure().is_none());
        let asked = sound.map(|(place, disk)| {
            let (store, id) = (Arc::clone(&disk.store), *chunk);
            async move { (place, disk.lane.ask_soon(move || store.find(&id)).await) }
        });
        let mut answers: FuturesUnordered<_> = asked.collect();
        while let Some((disk, answer)) = answers.next().await {
            let is_known = matches!(answer, Ok(Some(row)) if !row.corrupt);
            if is_known && matches!(self.verify_copy(disk, chunk).await, Ok(ChunkState::Good)) {
                return true;
            }
        }
        false
    }

    /// Chooses the disk for a chunk, and keeps it chosen until the put is done.
    async fn claim_disk(&self, chunk: ChunkId, len: u32) -> Result<PutClaim<'_>, StoreError> {
        let survey = self.survey(&chunk, len).await;
        let has_stuck = survey.has_stuck;
        let mut puts = self.puts.lock();
        let disk = match puts.get(&chunk) {
            Some(claim) => claim.disk,
            None => survey.choose(&chunk)?,
        };
        puts.entry(chunk)
            .or_insert(DiskClaim { disk, puts: 0 })
            .puts += 1;
        Ok(PutClaim {
            node: self,
            chunk,
            disk,
            has_stuck,
        })
    }

    /// Asks the disks that are sound where the chunk is, and how much room they have; a good copy ends it. A disk that is
    /// the only one need not be asked.
    async fn survey(&self, chunk: &ChunkId, len: u32) -> Survey {
        let disks = &self.disks();
        let unknown = (disks.late > 0).then_some(StoreError::TimedOut);
        let mut survey = Survey {
            trouble: disks.iter().find_map(NodeDisk::trouble).or(unknown),
            ..Survey::default()
        };
        let sound: Vec<_> = (0..disks.len())
            .filter(|place| disks[*place].is_sound())
            .collect();
        if disks.len() == 1 {
            survey.rooms.extend(sound.first().map(|place| (0, *place)));
            return survey;
        }
        let asked = sound.into_iter().map(|place| async move {
            let disk = &disks[place];
            let (store, id) = (Arc::clone(&disk.store), *chunk);
            let ask = move || Ok((store.find(&id)?, store.room().unwrap_or(0)));
            (place, disk.lane.ask_soon(ask).await)
        });
        let mut answers: FuturesUnordered<_> = asked.collect();
        while let Some((place, answer)) = answers.next().await {
            match answer {
                Ok((row, room)) => {
                    survey.rooms.push((room, place));
                    match row {
                        Some(row) if !row.corrupt => {
                            survey.holder = Some(place);
                            break;
                        }
                        Some(_) if room >= record_len(len) => survey.holder = Some(place),
                        Some(_) => survey.has_stuck = true,
                        None => {}
                    }
                }
                Err(error) => survey.trouble = Some(error),
            }
        }
        survey
    }
}

impl Survey {
    /// The disk that has a copy, or the one with the most room. If none takes writes, any says why.
    fn choose(self, chunk: &ChunkId) -> Result<usize, StoreError> {
        let chosen = self.holder.or_else(|| roomiest(self.rooms, chunk));
        chosen.ok_or_else(|| self.trouble.unwrap_or(StoreError::Stopping))
    }
}

/// One of those with about the most room, chosen by the chunk's id: folders on one file system have the same, and all are
/// used.
fn roomiest(mut rooms: Vec<(u64, usize)>, chunk: &ChunkId) -> Option<usize> {
    let most = rooms.iter().map(|(room, _)| *room).max()?;
    rooms.retain(|(room, _)| *room >= most - most / TIE_PART);
    rooms.sort_unstable_by_key(|(_, place)| *place);
    let [.., last] = chunk.as_bytes();
    Some(rooms[usize::from(*last) % rooms.len()].1)
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
    has_stuck: bool,
}

impl Drop for PutClaim<'_> {
    fn drop(&mut self) {
        let mut puts = self.node.puts.lock();
        if let Some(claim) = puts.get_mut(&self.chunk) {
            claim.puts -= 1;
            if claim.puts == 0 {
                puts.remove(&self.chunk);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders on one file system have the same room, or almost if something is written between the questions.
    #[test]
    fn disks_with_the_same_room_are_all_used() {
        let chosen = |rooms: &[(u64, usize)]| {
            let mut uses = [0; 3];
            for number in 0..300_u32 {
                let chunk = ChunkId::of(&number.to_be_bytes());
                uses[roomiest(rooms.to_vec(), &chunk).unwrap()] += 1;
            }
            uses
        };
        let same = chosen(&[(1 << 30, 2), ((1 << 30) - 4096, 0), (1 << 30, 1)]);
        assert!(same.iter().all(|uses| *uses > 50), "{same:?}");
        assert_eq!(
            chosen(&[(1 << 30, 0), (1 << 31, 1), (1 << 20, 2)]),
            [0, 300, 0]
        );
        assert_eq!(chosen(&[(0, 1)]), [0, 300, 0]);
    }
}
