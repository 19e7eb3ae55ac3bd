//! Remembers beside the store how much was answered, so that a store which fell back is told from one that is whole.
//!
//! When the newest page of a store that was not closed cleanly is damaged, the database falls back to the transaction
//! before, and says nothing. The witness is a small file with the number of commands that were durable when it was
//! written: after each transaction, without an fsync, since it may lag behind but must never be ahead.
//!
//! **Invariant:** a number is written only after that many commands are durable in the store. So a store that has fewer
//! has lost some of them.

use std::io;
use std::sync::Arc;

use disk::{Disk, DiskFile};
use planted::{Bug, is_planted};

use crate::state::StateError;

/// Its file's name in the data folder.
pub const WITNESS: &str = "state.witness";

/// The number, twice: what was torn, or was never written, is told by two that differ.
const LEN: usize = 16;

/// See the module.
#[derive(Debug, Clone)]
pub struct Witness {
    file: Arc<dyn DiskFile>,
}

impl Witness {
    /// Opens the witness, or makes one that knows nothing.
    pub fn open(disk: &dyn Disk) -> io::Result<Self> {
        let file = match disk.open(WITNESS) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(WITNESS)?,
            opened => opened?,
        };
        Ok(Self { file })
    }

    /// Sees that a store with this many commands has not lost any.
    ///
    /// # Errors
    /// `FellBack` if it has.
    pub fn check(&self, applied: u64) -> Result<(), StateError> {
        match self.read() {
            Some(answered) if answered > applied && !is_planted(Bug::WitnessIgnored) => {
                Err(StateError::FellBack { applied, answered })
            }
            _ => Ok(()),
        }
    }

    /// Notes that this many commands are durable. One that cannot be written only makes the witness know less.
    pub fn note(&self, applied: u64) {
        let number = applied.to_le_bytes();
        if let Err(error) = self.file.write_all_at(&[number, number].concat(), 0) {
            tracing::debug!(%error, "the witness could not be written");
        }
    }

    fn read(&self) -> Option<u64> {
        let mut bytes = [0; LEN];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let (one, other) = bytes.split_at(LEN / 2);
        (one == other).then(|| u64::from_le_bytes(one.try_into().expect("half of 16 bytes")))
    }
}

#[cfg(test)]
mod tests {
    use disk::MemoryDisk;

    use super::*;

    #[test]
    fn a_store_with_fewer_commands_than_were_answered_is_refused() {
        let disk = MemoryDisk::new();
        let witness = Witness::open(&disk).unwrap();
        witness.check(0).unwrap();
        witness.note(7);
        let witness = Witness::open(&disk).unwrap();
        witness.check(7).unwrap();
        witness.check(8).unwrap();
        let refusal = witness.check(6).unwrap_err().to_string();
        assert!(refusal.contains("remove state.witness"), "{refusal}");
    }

    #[test]
    fn a_torn_witness_knows_nothing() {
        let disk = MemoryDisk::new();
        Witness::open(&disk).unwrap().note(7);
        disk.flip(WITNESS, 0, 1);
        Witness::open(&disk).unwrap().check(0).unwrap();
        disk.cut(WITNESS, 3);
        Witness::open(&disk).unwrap().check(0).unwrap();
    }
}
