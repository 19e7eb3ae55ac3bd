//! Finds where the last extent of a disk ends: what power loss left unfinished behind its last good record is cut off.
//!
//! Records are synced in batches, and a batch is written only when the one before is durable. So only the last batch can be
//! torn, anywhere in it, since its sectors reach the disk in any order; and it was never answered. But a bad record in
//! what seems to be the last batch may as well have been synced and acknowledged, and have rotted since: that
//! cannot be told apart, and whole batches behind it may be gone. So nothing is cut that has a good record behind it. A bad record
//! before the end makes its chunk corrupt, unless that is here once more.
//!
//! What is kept of a batch that was never answered does no harm. A good put is whole, and its chunk can be read or be
//! deleted like any other that the master does not know. A good deletion was ordered, and the master has it planned until it is
//! answered; or another disk has the chunk, durably. Records of one batch do not rely on each other: each is of a job
//! of its own, or a part of one that may be done in part, and a copy that compaction made does not let the original go before the
//! batch is durable. But the copy may be torn: therefore a bad put never takes the place of a good one before it,
//! and where a new index is made without reading payloads, that of a chunk that is there already is read. What is behind
//! the end is cut, durably, before anything is appended, so none of it comes to life behind new records. A last
//! record that was acknowledged and rotted is cut as well: the master finds its chunk missing, and has it replaced. But what
//! cannot be read behind the end may be good, and readable at the next start: nothing is cut then.

use std::io;
use std::sync::Arc;

use disk::DiskFile;
use planted::{Bug, is_planted};

use crate::extent::EXTENT_HEADER_LEN;
use crate::walk::{Item, Payloads, Walk};

/// Where an extent ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// Behind its last good record.
    pub(crate) at: u64,
    /// Up to where something was needed and could not be read.
    pub(crate) unreadable_to: u64,
}

impl End {
    /// Whether all that is behind it could be read, and is nothing.
    pub(crate) fn is_certain(&self) -> bool {
        self.unreadable_to <= self.at
    }
}

/// Where the extent ends, looking from a place up to which it is known to be whole.
pub(crate) fn find_end(file: &Arc<dyn DiskFile>, salt: Option<u64>, from: u64) -> io::Result<End> {
    let mut walk = Walk::new(Arc::clone(file), salt, from..u64::MAX, Payloads::Verify)?;
    let mut end = from.max(EXTENT_HEADER_LEN);
    while let Some(item) = walk.next_item() {
        if let Item::Record {
            header,
            payload_good: true,
        } = item
        {
            end = header.offset + header.record_len();
        } else if is_planted(Bug::TailCutEarly) {
            break;
        }
    }
    Ok(End {
        at: end,
        unreadable_to: walk.unreadable_to(),
    })
}

#[cfg(test)]
mod tests {
    use disk::{Disk, MemoryDisk};
    use proto::id::ChunkId;

    use super::*;
    use crate::extent::{RecordHeader, RecordKind, batch_at};

    /// An extent with these batches of as many records, of 100 bytes each; gives where each record begins.
    fn extent(batches: &[usize]) -> (MemoryDisk, Vec<u64>) {
        let disk = MemoryDisk::new();
        let file = disk.create("e").unwrap();
        let (mut offset, mut starts) = (EXTENT_HEADER_LEN, Vec::new());
        for records in batches {
            let batch = batch_at(offset);
            for _ in 0..*records {
                let payload = [7; 12];
                let header = RecordHeader {
                    kind: RecordKind::Put { written_ms: 0 },
                    chunk: ChunkId::of(&offset.to_le_bytes()),
                    payload_len: 12,
                    payload_crc: crc32c::crc32c(&payload),
                    salt: 5,
                    offset,
                    batch,
                };
                file.write_all_parts_at(&[&header.encode(), &payload], offset)
                    .unwrap();
                starts.push(offset);
                offset += header.record_len();
            }
        }
        starts.push(offset);
        (disk, starts)
    }

    fn check(batches: &[usize], damaged: &[usize], expected_records: usize) {
        for byte in [0, 50, 95] {
            let (disk, starts) = extent(batches);
            for record in damaged {
                disk.flip("e", starts[*record] + byte, 1);
            }
            let end = find_end(&disk.open("e").unwrap(), Some(5), 0).unwrap().at;
            assert_eq!(
                end, starts[expected_records],
                "{batches:?} {damaged:?} byte {byte}"
            );
        }
    }

    /// One chunk of the last acknowledged batch rotted and the index was lost, or that of the batch before, and power
    /// loss tore the last one away: good records behind it were cut off with it, although they were acknowledged.
    #[test]
    fn nothing_is_cut_that_has_a_good_record_behind_it() {
        check(&[1, 1, 1], &[], 3);
        check(&[1, 1, 1], &[2], 2);
        check(&[2, 3], &[2], 5);
        check(&[2, 3], &[3], 5);
        check(&[2, 3], &[4], 4);
        check(&[2, 3], &[2, 3, 4], 2);
        check(&[2, 3], &[0, 2, 3, 4], 2);
        check(&[3], &[0], 3);
        check(&[3], &[0, 1, 2], 0);
        check(&[1, 1, 1], &[0], 3);
        check(&[2, 3], &[1], 5);
        check(&[2, 2, 2], &[0, 2, 5], 5);
    }
}
