//! The index's file as redb sees it: a disk without room does not break it.
//!
//! redb takes no more reads or writes after any that failed. Running out of room is no reason for that: the index is a
//! cache, and the room comes back. So what does not fit is kept in memory, a bounded amount of it, and written as soon
//! as there is room. Where it would have to be durable before, the file is given up: the index lives on without a name,
//! and the next start, or a new index in its place, comes from the extents.
//!
//! **Invariant:** a sync is reported only when all that was written is in the file, or when no later start can find it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use disk::{DiskFile, is_full};
use parking_lot::{Mutex, MutexGuard};
use redb::StorageBackend;

use crate::index::IndexName;

/// What is kept in memory is kept in blocks of this length.
const BLOCK_LEN: usize = 4096;
/// Bytes that are kept in memory at most; if more do not fit on the disk, the index fails.
const KEPT_MAX: usize = 16 << 20;

/// The file, and what it has no room for.
#[derive(Debug)]
pub(crate) struct IndexFile {
    name: Arc<IndexName>,
    file: Arc<dyn DiskFile>,
    /// Held by whoever changes the file. The state is not locked meanwhile where all is in the file, so that nobody who reads waits
    /// for a slow write.
    writing: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The length that redb knows.
    len: u64,
    /// By their number in the file.
    kept: BTreeMap<u64, Vec<u8>>,
    /// Whether the file could not be made as long as redb knows it.
    is_short: bool,
    is_given_up: bool,
}

impl IndexFile {
    /// This file, which has this name.
    pub(crate) fn new(file: Arc<dyn DiskFile>, name: Arc<IndexName>) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self {
            name,
            file,
            writing: Mutex::default(),
            state: Mutex::new(State {
                len,
                kept: BTreeMap::new(),
                is_short: false,
                is_given_up: false,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Fills the buffer from the file; what lies behind its end is zeros.
    fn read_file(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let there = self.file.len()?.saturating_sub(offset);
        let there = usize::try_from(there).map_or(buffer.len(), |there| there.min(buffer.len()));
        let (before, behind) = buffer.split_at_mut(there);
        behind.fill(0);
        if before.is_empty() {
            return Ok(());
        }
        self.file.read_exact_at(before, offset)
    }

    /// Keeps what the disk has no room for.
    fn keep(&self, state: &mut State, offset: u64, data: &[u8]) -> io::Result<()> {
        let missing = blocks(offset, data.len()).filter(|block| !state.kept.contains_key(block));
        let missing: Vec<u64> = missing.collect();
        if (state.kept.len() + missing.len()) * BLOCK_LEN > KEPT_MAX {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if state.kept.is_empty() {
            tracing::warn!("no room for the index: it goes on in memory until there is");
        }
        for block in missing {
            let mut bytes = vec![0; BLOCK_LEN];
            self.read_file(&mut bytes, block * BLOCK_LEN as u64)?;
            state.kept.insert(block, bytes);
        }
        state.patch(offset, data);
        Ok(())
    }

    /// Writes what is kept, as far as there is room; whether that is all.
    fn settle(&self, state: &mut State) -> io::Result<bool> {
        while let Some(entry) = state.kept.first_entry() {
            let offset = *entry.key() * BLOCK_LEN as u64;
            let len = state.len.saturating_sub(offset);
            let len = usize::try_from(len).map_or(BLOCK_LEN, |len| len.min(BLOCK_LEN));
            match self.file.write_all_at(&entry.get()[..len], offset) {
                Ok(()) => drop(entry.remove()),
                Err(error) if is_full(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if state.is_short {
            self.stretch(state, state.len)?;
        }
        Ok(!state.is_short)
    }

    fn stretch(&self, state: &mut State, len: u64) -> io::Result<()> {
        match self.file.set_len(len) {
            Err(error) if !is_full(&error) => return Err(error),
            result => state.is_short = result.is_err(),
        }
        state.len = len;
        Ok(())
    }

    /// No later start finds the file, so it need not be durable.
    fn give_up(&self, state: &mut State) -> io::Result<()> {
        self.name.remove()?;
        state.is_given_up = true;
        tracing::warn!(
            "no room to make the index durable: the next start makes a new one from the extents"
        );
        Ok(())
    }
}

impl State {
    fn is_in_file(&self) -> bool {
        self.kept.is_empty() && !self.is_short
    }

    /// Forgets what is kept behind a new end: it would be zeros if the file grew again.
    fn cut(&mut self, len: u64) {
        let behind = len.div_ceil(BLOCK_LEN as u64);
        drop(self.kept.split_off(&behind));
        let end = usize::try_from(len % BLOCK_LEN as u64).expect("shorter than a block");
        if let Some(last) = self.kept.get_mut(&(len / BLOCK_LEN as u64)) {
            last[end..].fill(0);
        }
    }

    /// Writes over those blocks that are kept.
    fn patch(&mut self, offset: u64, data: &[u8]) {
        self.overlaps(offset, data.len(), |kept, at| {
            kept.copy_from_slice(&data[at..at + kept.len()]);
        });
    }

    /// Shows the part of each kept block that lies in the range, and where in the range it begins.
    fn overlaps(&mut self, offset: u64, len: usize, mut see: impl FnMut(&mut [u8], usize)) {
        let range = blocks(offset, len);
        for (block, bytes) in self.kept.range_mut(range) {
            let block_start = block * BLOCK_LEN as u64;
            let start = offset.max(block_start);
            let end = (offset + len as u64).min(block_start + BLOCK_LEN as u64);
            let within =
                |at: u64, from: u64| usize::try_from(at - from).expect("it fits in memory");
            see(
                &mut bytes[within(start, block_start)..within(end, block_start)],
                within(start, offset),
            );
        }
    }
}

/// The blocks that a range touches.
fn blocks(offset: u64, len: usize) -> std::ops::Range<u64> {
    let block_len = BLOCK_LEN as u64;
    offset / block_len..(offset + len as u64).div_ceil(block_len)
}

impl StorageBackend for IndexFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.is_in_file() {
            drop(state);
            return self.file.read_exact_at(out, offset);
        }
        self.read_file(out, offset)?;
        state.overlaps(offset, out.len(), |kept, at| {
            out[at..at + kept.len()].copy_from_slice(kept);
        });
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let _turn = self.writing.lock();
        let mut state = self.state();
        state.cut(len);
        self.stretch(&mut state, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let _turn = self.writing.lock();
        let mut state = self.state();
        if state.is_given_up {
            return Ok(());
        }
        if self.settle(&mut state)? {
            drop(state);
            return self.file.sync();
        }
        self.give_up(&mut state)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let _turn = self.writing.lock();
        let mut state = self.state();
        let written = if state.is_in_file() {
            drop(state);
            let written = self.file.write_all_at(data, offset);
            state = self.state();
            written
        } else {
            self.settle(&mut state)?;
            self.file.write_all_at(data, offset)
        };
        match written {
            Ok(()) => state.patch(offset, data),
            Err(error) if is_full(&error) => self.keep(&mut state, offset, data)?,
            Err(error) => return Err(error),
        }
        state.len = state.len.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::{Disk, MemoryDisk};

    use crate::index::INDEX_PATH;
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
        Fill,
        MakeRoom,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let write = (
            0..20_000_u64,
            proptest::collection::vec(any::<u8>(), 1..9000),
        );
        let step = proptest::prop_oneof![
            4 => write.prop_map(|(offset, data)| Step::Write(offset, data)),
            1 => (0..30_000_u64).prop_map(Step::SetLen),
            1 => proptest::strategy::Just(Step::Fill),
            1 => proptest::strategy::Just(Step::MakeRoom),
        ];
        proptest::collection::vec(step, 1..30)
    }

    fn new_file() -> (MemoryDisk, IndexFile) {
        let disk = MemoryDisk::new();
        let file = disk.create(INDEX_PATH).unwrap();
        let name = Arc::new(IndexName::new(&disk.shared()));
        (disk, IndexFile::new(file, name).unwrap())
    }

    proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(fuzz::cases(256)))]

        /// Whatever the room on the disk, it reads as was written; and once there is room, all of it is in the file.
        #[test]
        fn a_full_disk_is_not_seen(steps in steps()) {
            let (disk, file) = new_file();
            let mut expected = Vec::new();
            for step in steps {
                match step {
                    Step::Write(offset, data) => {
                        file.write(offset, &data).unwrap();
                        let start = usize::try_from(offset).unwrap();
                        expected.resize(expected.len().max(start + data.len()), 0);
                        expected[start..start + data.len()].copy_from_slice(&data);
                    }
                    Step::SetLen(len) => {
                        file.set_len(len).unwrap();
                        expected.resize(usize::try_from(len).unwrap(), 0);
                    }
                    Step::Fill => disk.fill(),
                    Step::MakeRoom => disk.set_capacity(1 << 30),
                }
                let mut read = vec![1; expected.len()];
                file.read(0, &mut read).unwrap();
                prop_assert_eq!(&read, &expected);
                prop_assert_eq!(file.len().unwrap(), expected.len() as u64);
            }
            disk.set_capacity(1 << 30);
            file.sync_data().unwrap();
            prop_assert_eq!(disk.content(INDEX_PATH).unwrap(), expected);
        }
    }

    #[test]
    fn a_file_that_cannot_be_made_durable_is_not_found_again() {
        let (disk, file) = new_file();
        file.write(0, &[1; 5000]).unwrap();
        file.sync_data().unwrap();
        disk.fill();
        file.write(5000, &[2; 5000]).unwrap();
        file.sync_data().unwrap();
        assert!(disk.content(INDEX_PATH).is_none());
        let mut read = [0; 2];
        file.read(4999, &mut read).unwrap();
        assert_eq!(read, [1, 2]);
    }

    /// A disk that does not finish a write kept all who read the index waiting with it.
    #[test]
    fn nobody_who_reads_waits_for_a_write() {
        let (disk, file) = new_file();
        file.write(0, &[1; 100]).unwrap();
        let file = Arc::new(file);
        let hang = disk.hang_writes();
        let writer = Arc::clone(&file);
        let writing = std::thread::spawn(move || writer.write(100, &[2; 100]));
        while disk.waiting() == 0 {
            std::thread::yield_now();
        }
        let (done, reads) = std::sync::mpsc::channel();
        let reader = Arc::clone(&file);
        let reading = std::thread::spawn(move || {
            let mut read = [0; 100];
            reader.read(0, &mut read).unwrap();
            done.send(read).unwrap();
        });
        let read = reads.recv_timeout(std::time::Duration::from_secs(20));
        drop(hang);
        assert_eq!(read.unwrap(), [1; 100]);
        reading.join().unwrap();
        writing.join().unwrap().unwrap();
        assert_eq!(file.len().unwrap(), 200);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (disk, file) = new_file();
        disk.fill();
        file.write(0, &vec![1; KEPT_MAX]).unwrap();
        let error = file.write(KEPT_MAX as u64, &[1]).unwrap_err();
        assert!(is_full(&error));
        file.write(7, &[2; 100]).unwrap();
    }
}
