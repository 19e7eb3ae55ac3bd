//! An open file of the in-memory disk.

use std::io;
use std::sync::{Arc, MutexGuard};

use super::hang::Shared;
use super::state::{Content, State, Unsynced, write_at};
use crate::DiskFile;
use planted::{Bug, is_planted};

/// A handle: dead after a crash, alive after the name is gone.
#[derive(Debug)]
pub(super) struct MemoryFile {
    pub(super) disk: Arc<Shared>,
    pub(super) id: u64,
    pub(super) life: u64,
}

impl MemoryFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        self.check(self.disk.state())
    }

    fn when_answering(&self) -> io::Result<MutexGuard<'_, State>> {
        self.check(self.disk.when_answering())
    }

    fn when_writable(&self) -> io::Result<MutexGuard<'_, State>> {
        self.check(self.disk.when_writable())
    }

    fn check<'a>(&self, state: MutexGuard<'a, State>) -> io::Result<MutexGuard<'a, State>> {
        if state.life != self.life {
            return Err(io::Error::other("the file was opened before the crash"));
        }
        state.check_running()?;
        Ok(state)
    }

    fn change(
        &self,
        begin: impl FnOnce(&mut State) -> io::Result<()>,
        grown_len: Option<usize>,
        change: impl FnOnce(&mut Content),
    ) -> io::Result<()> {
        let mut state = self.when_writable()?;
        begin(&mut state)?;
        let used = state.used();
        let len = state.files[&self.id].current.len();
        let growth = grown_len.unwrap_or(0).saturating_sub(len) as u64;
        if growth > 0 && used + growth > state.capacity {
            return Err(state.full());
        }
        let file = state.files.get_mut(&self.id);
        change(file.expect("a file lives as long as its handles of this life"));
        Ok(())
    }
}

fn to_usize(value: u64) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl DiskFile for MemoryFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.when_answering()?;
        let end = offset.saturating_add(buffer.len() as u64);
        state.check_readable(self.id, &(offset..end))?;
        let content = &state.files[&self.id].current;
        if end > content.len() as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.copy_from_slice(&content[to_usize(offset)?..to_usize(end)?]);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = to_usize(offset)?;
        self.change(State::begin_write, Some(offset + bytes.len()), |file| {
            write_at(&mut file.current, offset, bytes);
            file.unsynced.push(Unsynced::Write(offset, bytes.to_vec()));
        })
    }

    fn write_all_parts_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        self.write_all_at(&parts.concat(), offset)
    }

    fn sync(&self) -> io::Result<()> {
        if is_planted(Bug::NoFileSync) {
            return Ok(());
        }
        let id = self.id;
        self.change(
            |state| state.begin_sync(id),
            None,
            |file| {
                for change in std::mem::take(&mut file.unsynced) {
                    match change {
                        Unsynced::SetLen(len) => file.durable.resize(len, 0),
                        Unsynced::Write(offset, bytes) => {
                            write_at(&mut file.durable, offset, &bytes);
                        }
                    }
                }
            },
        )
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = to_usize(len)?;
        self.change(State::begin_write, Some(len), |file| {
            file.current.resize(len, 0);
            file.unsynced.push(Unsynced::SetLen(len));
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.files[&self.id].current.len() as u64)
    }

    fn allocate(&self, _len: u64) -> io::Result<()> {
        self.state().map(drop)
    }
}
