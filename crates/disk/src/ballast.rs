//! Space that is kept for the day on which the disk is full: whoever fills it leaves nothing, not even to delete.
//!
//! A file takes it, of bytes that no file system compresses, nor keeps as a hole. Deletions, and what has to be written
//! for them, are what wins space back; when they find none, the file goes, and it comes back when there is room again.
//!
//! **Invariant:** a file of the full length has all of its blocks: its last byte is written when the others are durable.

use std::io;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::Disk;

/// The file.
const PATH: &str = "reserve";
/// It is written in pieces of this length.
const PIECE_LEN: u64 = 64 << 10;

/// The space that is kept.
#[derive(Debug)]
pub struct Ballast {
    len: u64,
    is_held: bool,
}

impl Ballast {
    /// The ballast as it was left; `len` is what it shall be. One that is not whole goes.
    pub fn find(disk: &dyn Disk, len: u64) -> Self {
        let found = disk.open(PATH).and_then(|file| file.len());
        let is_held = found.is_ok_and(|found| found >= len);
        if !is_held {
            remove(disk);
        }
        Self { len, is_held }
    }

    /// Takes the space, if it is not taken and this much is free beside it.
    pub fn take(&mut self, disk: &dyn Disk, spare: u64) {
        if self.is_held || self.len == 0 || spare < self.len {
            return;
        }
        match write(disk, self.len) {
            Ok(()) => self.is_held = true,
            Err(error) => {
                tracing::debug!(%error, "could not set space aside for deletions");
                remove(disk);
            }
        }
    }

    /// Gives the space to whoever needs it now; `false` if there is none.
    pub fn give(&mut self, disk: &dyn Disk) -> bool {
        let was_held = std::mem::take(&mut self.is_held);
        if was_held {
            tracing::warn!(
                "the disk is full: the last space is used, which was set aside for deletions"
            );
            remove(disk);
        }
        was_held
    }
}

fn remove(disk: &dyn Disk) {
    match disk.remove(PATH) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "could not give up the space that was set aside");
        }
        _ => {}
    }
}

fn write(disk: &dyn Disk, len: u64) -> io::Result<()> {
    let file = match disk.open(PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(PATH)?,
        found => found?,
    };
    let mut random = StdRng::seed_from_u64(len);
    let mut piece = vec![0; usize::try_from(PIECE_LEN).expect("a piece fits in memory")];
    let last = len - 1;
    let mut offset = 0;
    while offset < last {
        random.fill_bytes(&mut piece);
        let piece_len = PIECE_LEN.min(last - offset);
        let bytes = &piece[..usize::try_from(piece_len).expect("no longer than the piece")];
        file.write_all_at(bytes, offset)?;
        offset += piece_len;
    }
    file.sync()?;
    file.write_all_at(&[1], last)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::{MemoryDisk, SECTOR_LEN};

    /// Two pieces, and a bit.
    const LEN: u64 = (128 << 10) + 5000;

    fn has_hole(disk: &MemoryDisk) -> bool {
        let content = disk.content(PATH).unwrap();
        let mut sectors = content.chunks(SECTOR_LEN);
        content.len() as u64 != LEN
            || sectors.any(|sector| sector.iter().all(|byte| *byte == sector[0]))
    }

    #[test]
    fn what_is_taken_has_no_hole_and_does_not_shrink() {
        let disk = MemoryDisk::new();
        let mut ballast = Ballast::find(&disk, LEN);
        ballast.take(&disk, LEN);
        assert!(ballast.is_held && !has_hole(&disk));
        assert!(Ballast::find(&disk, LEN).is_held);
        assert!(ballast.give(&disk) && disk.content(PATH).is_none());
    }

    /// A crash while the space is taken: what is there of it is either all or counts as nothing, and goes.
    #[test]
    fn a_crash_leaves_all_of_it_or_nothing() {
        for stop in 0..8 {
            for seed in 0..16 {
                let disk = MemoryDisk::new();
                disk.stop_after(stop);
                Ballast::find(&disk, LEN).take(&disk, LEN);
                disk.crash(&mut StdRng::seed_from_u64(seed));
                let again = Ballast::find(&disk, LEN);
                if again.is_held {
                    assert!(!has_hole(&disk), "stop {stop}, seed {seed}");
                } else {
                    assert_eq!(disk.content(PATH), None);
                }
            }
        }
    }
}
