//! Checksums of the store's blocks: whatever is read of its file is what was written to it.
//!
//! redb has checksums of its own pages, but looks at them only when it verifies all of a file. Here each block of the file has
//! one in memory (4 bytes for 4 KiB), which every read is compared with. When the store is closed they are kept beside it, as
//! [`FILE`]; a start that finds them may use the store at once. They are good for one start: it takes them away before
//! it changes anything. Where they are not there (after a kill, say), all of the store is verified by redb first, as slow as that
//! is, and each block's checksum is that of its first reading.
//!
//! The file's header is not among the blocks: redb writes it in parts, and verifies it whenever it opens the file. What was kept
//! belongs to a store whose header is the same.
//!
//! The lock is below those of redb, and so none of `threads`.
//!
//! **Invariant:** a block that was read or written whole never comes back with other bytes: then the read fails.

use std::io;
use std::ops::Range;

use disk::{Disk, DiskFile};
use parking_lot::RwLock;

/// The file of the data folder in which they are kept while the store is closed.
pub(crate) const FILE: &str = "state.checksums";

/// What has one checksum: a page of redb's is one block, or several.
pub(super) const BLOCK_LEN: usize = 4096;
/// Says what the file is, and in which form.
const MAGIC: [u8; 8] = *b"dfscrc01";
/// The magic, the header's checksum, and their own.
const FRAME_LEN: usize = MAGIC.len() + 2 * CHECKSUM_LEN;
const CHECKSUM_LEN: usize = size_of::<u32>();
/// Blocks of which nothing is known have this; a checksum that happens to be the same is taken for its neighbour.
const UNKNOWN: u32 = 0;

/// The checksums of one file's blocks, in order.
#[derive(Debug, Default)]
pub(super) struct Checksums {
    blocks: RwLock<Vec<u32>>,
}

impl Checksums {
    /// What was kept of a store with this header, which is taken away; nothing if it was not, or of another.
    ///
    /// # Errors
    /// Only what keeps them from being taken away: they must not be found again.
    pub(super) fn take(disk: &dyn Disk, header: Option<&[u8]>) -> io::Result<Option<Self>> {
        let file = match disk.open(FILE) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = header.and_then(|header| match read_all(&*file) {
            Ok(content) => Self::decode(&content, header),
            Err(error) => {
                tracing::debug!(%error, "the store's checksums cannot be read");
                None
            }
        });
        drop(file);
        disk.remove(FILE)?;
        disk.sync_folder("")?;
        Ok(found)
    }

    /// Keeps them beside a store that is closed with this header.
    ///
    /// # Errors
    /// What the disk says: then the next start verifies all of the store.
    pub(super) fn keep(&self, disk: &dyn Disk, header: &[u8]) -> io::Result<()> {
        disk::replace_file(disk, FILE, &self.encode(header))
    }

    fn encode(&self, header: &[u8]) -> Vec<u8> {
        let blocks = self.blocks.read();
        let mut content = Vec::with_capacity(FRAME_LEN + blocks.len() * CHECKSUM_LEN);
        content.extend(MAGIC);
        content.extend(crc32c::crc32c(header).to_le_bytes());
        for checksum in &*blocks {
            content.extend(checksum.to_le_bytes());
        }
        let own = crc32c::crc32c(&content);
        content.extend(own.to_le_bytes());
        content
    }

    fn decode(content: &[u8], header: &[u8]) -> Option<Self> {
        let (content, own) = content.split_last_chunk()?;
        let (magic, rest) = content.split_first_chunk()?;
        let (of_header, blocks) = rest.split_first_chunk()?;
        let is_whole = u32::from_le_bytes(*own) == crc32c::crc32c(content);
        let is_of_it = u32::from_le_bytes(*of_header) == crc32c::crc32c(header);
        let (blocks, rest) = blocks.as_chunks();
        let is_good = *magic == MAGIC && is_whole && is_of_it && rest.is_empty();
        is_good.then(|| Self {
            blocks: RwLock::new(blocks.iter().copied().map(u32::from_le_bytes).collect()),
        })
    }

    /// Whether they are those of a file of this length.
    pub(super) fn is_of_len(&self, len: u64) -> bool {
        self.len() as u64 == len / BLOCK_LEN as u64
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> usize {
        self.blocks.read().len()
    }

    /// Compares what was read at this offset, while nobody wrote there. A block that is met for the first time is known from
    /// now on.
    ///
    /// # Errors
    /// `InvalidData` if a block is not what was written.
    pub(super) fn check(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        for (block, bytes) in whole_blocks(offset, bytes) {
            let checksum = checksum_of(bytes);
            let known = self.get(block);
            if known == UNKNOWN {
                self.set(block, checksum);
            } else if known != checksum {
                return Err(damage(block));
            }
        }
        Ok(())
    }

    /// Reads some blocks once more and compares them, while others may write there: a block that is written meanwhile is left
    /// out.
    ///
    /// # Errors
    /// `InvalidData` if a block is not what was written; what `read` says.
    pub(super) fn verify(
        &self,
        blocks: Range<usize>,
        mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut bytes = vec![0; BLOCK_LEN];
        for block in blocks {
            let before = self.get(block);
            if before == UNKNOWN {
                continue;
            }
            let done = read((block * BLOCK_LEN) as u64, &mut bytes);
            if self.get(block) != before {
                continue;
            }
            done?;
            if checksum_of(&bytes) != before {
                return Err(damage(block));
            }
        }
        Ok(())
    }

    /// These bytes are about to be written: nothing is known of their blocks until they are [`written`](Self::written).
    pub(super) fn writing(&self, offset: u64, bytes: &[u8]) {
        for block in touched_blocks(offset, bytes) {
            self.set(block, UNKNOWN);
        }
    }

    /// These bytes are there now.
    pub(super) fn written(&self, offset: u64, bytes: &[u8]) {
        for (block, bytes) in whole_blocks(offset, bytes) {
            self.set(block, checksum_of(bytes));
        }
    }

    /// The file has this length now. What is new of it is not known, nor a block at its end that is cut.
    pub(super) fn resize(&self, len: u64) {
        let whole = usize::try_from(len / BLOCK_LEN as u64).unwrap_or(usize::MAX);
        let mut known = self.blocks.write();
        known.truncate(whole);
        known.resize(whole, UNKNOWN);
    }

    fn get(&self, block: usize) -> u32 {
        self.blocks.read().get(block).copied().unwrap_or(UNKNOWN)
    }

    fn set(&self, block: usize, checksum: u32) {
        if let Some(known) = self.blocks.write().get_mut(block) {
            *known = checksum;
        }
    }
}

fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut content = vec![0; len];
    file.read_exact_at(&mut content, 0)?;
    Ok(content)
}

fn checksum_of(block: &[u8]) -> u32 {
    crc32c::crc32c(block).max(UNKNOWN + 1)
}

/// The blocks that lie wholly in these bytes, each with its number.
fn whole_blocks(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = offset.div_ceil(BLOCK_LEN as u64);
    let skipped = usize::try_from(first * BLOCK_LEN as u64 - offset).unwrap_or(usize::MAX);
    let whole = bytes.get(skipped..).unwrap_or_default();
    (number(first)..).zip(whole.chunks_exact(BLOCK_LEN))
}

/// The numbers of the blocks of which these bytes have any part.
fn touched_blocks(offset: u64, bytes: &[u8]) -> Range<usize> {
    let end = offset + bytes.len() as u64;
    number(offset / BLOCK_LEN as u64)..number(end.div_ceil(BLOCK_LEN as u64))
}

/// More blocks than this machine can count are none that are known.
fn number(block: u64) -> usize {
    usize::try_from(block).unwrap_or(usize::MAX)
}

fn damage(block: usize) -> io::Error {
    let message = format!(
        "the {BLOCK_LEN} bytes at {} of its file are not what was written there",
        block * BLOCK_LEN
    );
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use disk::MemoryDisk;

    use super::*;

    const HEADER: &[u8] = b"a header";

    fn written(blocks: &[u8]) -> Checksums {
        let checksums = Checksums::default();
        checksums.resize((blocks.len() * BLOCK_LEN) as u64);
        for (block, byte) in blocks.iter().enumerate() {
            let bytes = [*byte; BLOCK_LEN];
            checksums.writing((block * BLOCK_LEN) as u64, &bytes);
            checksums.written((block * BLOCK_LEN) as u64, &bytes);
        }
        checksums
    }

    fn is_good(checksums: &Checksums, offset: usize, bytes: &[u8]) -> bool {
        checksums.check(offset as u64, bytes).is_ok()
    }

    #[test]
    fn what_is_read_is_what_was_written_or_read_before() {
        let checksums = written(&[1, 2, 3]);
        let both = [[1; BLOCK_LEN], [2; BLOCK_LEN]].concat();
        assert!(is_good(&checksums, 0, &both));
        let mut flipped = both;
        flipped[BLOCK_LEN + 7] ^= 1;
        assert!(!is_good(&checksums, 0, &flipped));
        assert!(!is_good(&checksums, BLOCK_LEN, &[1; BLOCK_LEN]));

        checksums.writing(BLOCK_LEN as u64, &[2; 100]);
        checksums.written(BLOCK_LEN as u64, &[2; 100]);
        assert!(
            is_good(&checksums, BLOCK_LEN, &[9; BLOCK_LEN]),
            "a part of it was written"
        );
        assert!(
            !is_good(&checksums, BLOCK_LEN, &[8; BLOCK_LEN]),
            "it was read before"
        );
        assert!(
            is_good(&checksums, 0, &[8; 512]),
            "less than a block is not compared"
        );
    }

    #[test]
    fn a_file_that_is_cut_and_grows_again_has_other_blocks() {
        let checksums = written(&[1, 2]);
        checksums.resize(BLOCK_LEN as u64 + 10);
        checksums.resize(2 * BLOCK_LEN as u64);
        assert!(checksums.is_of_len(2 * BLOCK_LEN as u64 + 10));
        assert!(!is_good(&checksums, 0, &[2; BLOCK_LEN]));
        assert!(is_good(&checksums, BLOCK_LEN, &[0; BLOCK_LEN]));
    }

    /// Whoever verifies reads a block, and it is written before, meanwhile or after: only what nobody wrote is damage.
    #[test]
    fn a_block_that_is_written_meanwhile_is_not_damage() {
        let checksums = written(&[1]);
        let verify = |in_between: &dyn Fn()| {
            checksums.verify(0..1, |_, out| {
                out.fill(3);
                in_between();
                Ok(())
            })
        };
        assert_eq!(
            verify(&|| {}).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        verify(&|| checksums.writing(0, &[4; BLOCK_LEN])).unwrap();
        checksums.written(0, &[4; BLOCK_LEN]);
        verify(&|| checksums.written(0, &[5; BLOCK_LEN])).unwrap();
        let cut = checksums.verify(0..1, |_, _| {
            checksums.resize(0);
            Err(io::ErrorKind::UnexpectedEof.into())
        });
        cut.unwrap();
    }

    #[test]
    fn what_is_kept_is_found_once_and_by_its_store_alone() {
        let disk = MemoryDisk::new();
        let keep = || written(&[1, 2]).keep(&*disk.shared(), HEADER).unwrap();
        let take = |header: Option<&[u8]>| Checksums::take(&*disk.shared(), header).unwrap();
        assert!(take(Some(HEADER)).is_none());
        keep();
        let found = take(Some(HEADER)).unwrap();
        assert!(is_good(&found, BLOCK_LEN, &[2; BLOCK_LEN]));
        assert!(!is_good(&found, BLOCK_LEN, &[1; BLOCK_LEN]));
        for header in [Some(HEADER), Some(&b"another"[..]), None] {
            assert!(take(header).is_none(), "{header:?}");
            keep();
        }
    }

    #[test]
    fn what_is_kept_is_whole_or_nothing() {
        let content = written(&[1, 2]).encode(HEADER);
        assert!(Checksums::decode(&content, HEADER).is_some());
        for len in 0..content.len() {
            assert!(
                Checksums::decode(&content[..len], HEADER).is_none(),
                "{len} bytes"
            );
            let mut flipped = content.clone();
            flipped[len] ^= 4;
            assert!(
                Checksums::decode(&flipped, HEADER).is_none(),
                "a flip at {len}"
            );
        }
    }
}
