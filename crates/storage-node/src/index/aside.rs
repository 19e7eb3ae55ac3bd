//! Reads an index that no node has open, and leaves its file as it is: what redb writes to open it stays in memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use disk::{Disk, DiskFile};
use parking_lot::Mutex;
use proto::id::{ChunkId, NodeId};
use redb::{Builder, ReadableDatabase, StorageBackend};

use super::open::owner_bytes;
use super::{INDEX_PATH, META, META_OWNER, META_POSITION, other, scan_rows};
use crate::catalog::{Position, Row};

const CACHE_BYTES: usize = 16 << 20;
const BLOCK_LEN: u64 = 4096;

/// Shows every row of the index of this node's disk, and says up to where in the extents they go.
///
/// # Errors
/// When there is none that can be used.
pub(crate) fn rows(
    disk: &dyn Disk,
    owner: (NodeId, u32),
    see: impl FnMut(ChunkId, Row),
) -> io::Result<Position> {
    let file = Aside::new(disk.open(INDEX_PATH)?)?;
    // A damaged file may make redb panic rather than fail.
    let read = catch_unwind(AssertUnwindSafe(|| read(file, owner, see)));
    read.unwrap_or_else(|_| Err(io::Error::other("it is damaged")))
}

fn read(file: Aside, owner: (NodeId, u32), see: impl FnMut(ChunkId, Row)) -> io::Result<Position> {
    let database = Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(file)
        .map_err(other)?;
    let read = database.begin_read().map_err(other)?;
    let meta = read.open_table(META).map_err(other)?;
    let value = |key| meta.get(key).map_err(other);
    if value(META_OWNER)?.is_none_or(|found| found.value() != owner_bytes(owner)) {
        return Err(io::Error::other("it is another folder's"));
    }
    let position = value(META_POSITION)?.ok_or_else(|| io::Error::other("it has no position"))?;
    let position = postcard::from_bytes(position.value()).map_err(io::Error::other)?;
    scan_rows(&read, see)?;
    Ok(position)
}

/// A file that is read, and written beside.
#[derive(Debug)]
struct Aside {
    file: Arc<dyn DiskFile>,
    file_len: u64,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// By their number.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Aside {
    fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let len = file.len()?;
        let written = Mutex::new(Written {
            len,
            blocks: BTreeMap::new(),
        });
        Ok(Self {
            file,
            file_len: len,
            written,
        })
    }

    /// A block as the file has it, with zeros behind its end.
    fn block(&self, number: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(BLOCK_LEN).map_err(io::Error::other)?];
        let offset = number * BLOCK_LEN;
        let there = self.file_len.saturating_sub(offset).min(BLOCK_LEN);
        if there > 0 {
            let there = usize::try_from(there).map_err(io::Error::other)?;
            self.file.read_exact_at(&mut bytes[..there], offset)?;
        }
        Ok(bytes)
    }
}

/// Cuts a range at the blocks' borders: each block's number, where in it, and how many bytes.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + len as u64;
    let mut at = offset;
    std::iter::from_fn(move || {
        let (number, within) = (at / BLOCK_LEN, at % BLOCK_LEN);
        let len = (BLOCK_LEN - within).min(end - at);
        at += len;
        let within = usize::try_from(within).ok()?;
        let len = usize::try_from(len).ok().filter(|len| *len > 0)?;
        Some((number, within, len))
    })
}

impl StorageBackend for Aside {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock();
        let mut done = 0;
        for (number, within, len) in pieces(offset, out.len()) {
            let target = &mut out[done..done + len];
            match written.blocks.get(&number) {
                Some(block) => target.copy_from_slice(&block[within..within + len]),
                None => target.copy_from_slice(&self.block(number)?[within..within + len]),
            }
            done += len;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.written.lock().len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock();
        let mut done = 0;
        for (number, within, len) in pieces(offset, data.len()) {
            let block = match written.blocks.entry(number) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(self.block(number)?),
            };
            block[within..within + len].copy_from_slice(&data[done..done + len]);
            done += len;
        }
        Ok(())
    }
}
