//! Finds where the last extent of a disk ends: what power loss left unfinished behind it is cut off.
//!
//! Records are synced in batches, and a batch is written only when the one before is durable. So only the last
//! batch can be torn, anywhere in it, and it was never answered: it ends at its first record that does not verify.
//! Damage before the last batch was synced once; it is corruption, and nothing is cut for it.

use std::io;
use std::sync::Arc;

use disk::DiskFile;

use crate::extent::{EXTENT_HEADER_LEN, batch_at};
use crate::walk::{Item, Payloads, Walk};

/// Where the extent ends, looking from a place up to which it is known to be whole.
pub(crate) fn find_end(file: &Arc<dyn DiskFile>, salt: Option<u64>, from: u64) -> io::Result<u64> {
    let mut walk = Walk::new(Arc::clone(file), salt, from..u64::MAX, Payloads::Verify)?;
    let (mut end, mut last_batch) = (from.max(EXTENT_HEADER_LEN), 0);
    let mut bad = Vec::new();
    while let Some(item) = walk.next_item() {
        match item {
            Item::Damage(range) => bad.push(range.start),
            Item::Record {
                header,
                payload_good: false,
            } => bad.push(header.offset),
            Item::Record { header, .. } => {
                end = header.offset + header.record_len();
                last_batch = header.batch;
            }
        }
    }
    let torn = bad
        .into_iter()
        .find(|offset| batch_at(*offset) >= last_batch);
    Ok(torn.map_or(end, |torn| torn.min(end)))
}

#[cfg(test)]
mod tests {
    use disk::{Disk, MemoryDisk};
    use proto::id::ChunkId;

    use super::*;
    use crate::extent::{RecordHeader, RecordKind};

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
            let end = find_end(&disk.open("e").unwrap(), Some(5), 0).unwrap();
            assert_eq!(
                end, starts[expected_records],
                "{batches:?} {damaged:?} byte {byte}"
            );
        }
    }

    #[test]
    fn only_the_last_batch_is_cut_and_at_its_first_bad_record() {
        check(&[1, 1, 1], &[], 3);
        check(&[1, 1, 1], &[2], 2);
        check(&[2, 3], &[2], 2);
        check(&[2, 3], &[3], 3);
        check(&[2, 3], &[4], 4);
        check(&[2, 3], &[2, 3, 4], 2);
        check(&[3], &[0], 0);
        check(&[1, 1, 1], &[0], 3);
        check(&[2, 3], &[1], 5);
        check(&[2, 2, 2], &[0, 2, 5], 5);
    }
}
