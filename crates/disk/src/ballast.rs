//! Space that is kept for the day on which the disk is full: whoever fills it leaves nothing, not even to delete.
//!
//! A file of zeros takes it. Deletions, and what has to be written for them, are what wins space back; when they find
//! none, the file goes, and it comes back when there is room again.

use std::io;

use crate::Disk;

/// The file.
const PATH: &str = "reserve";

/// The space that is kept.
#[derive(Debug)]
pub struct Ballast {
    len: u64,
    is_held: bool,
}

impl Ballast {
    /// The ballast as it was left; `len` is what it shall be.
    pub fn find(disk: &dyn Disk, len: u64) -> Self {
        let found = disk.open(PATH).and_then(|file| file.len());
        Self {
            len,
            is_held: found.is_ok_and(|found| found >= len),
        }
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
    file.set_len(len)?;
    file.allocate(len)
}
