//! The summary of a sealed extent: all its records' headers in one small file beside it, so that a lost index is made anew
//! without a read for each record.
//!
//! It begins with 64 bytes, numbers little-endian, checksums CRC-32C; then come the headers as they are in the extent, one
//! behind the other:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | magic `dfsSUM\r\n` |
//! | 8 | 4 | format: 1 |
//! | 12 | 4 | checksum of the headers |
//! | 16 | 8 | number of the extent |
//! | 24 | 8 | its salt |
//! | 32 | 8 | its length when it was left |
//! | 40 | 8 | how many headers |
//! | 48 | 12 | zero |
//! | 60 | 4 | checksum of bytes 0 to 59 |
//!
//! **Invariant:** it is a cache. Nothing waits for it, and one that is missing, or is not exactly of this extent, only means
//! that the extent itself is read.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use disk::{Disk, replace_file};
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::error::StoreError;
use crate::extent::{
    EXTENT_HEADER_LEN, EXTENTS_FOLDER, RECORD_HEADER_LEN, RecordHeader, summary_number,
    summary_path,
};
use crate::node::Node;
use crate::node_disk::NodeDisk;
use crate::store::Store;
use crate::walk::{Item, Walk};

const MAGIC: [u8; 8] = *b"dfsSUM\r\n";
const FORMAT: u32 = 1;
const HEAD_LEN: usize = 64;
/// An extent whose headers take more than this part of it is read as quickly as its summary.
const PART_MAX: u64 = 8;
/// Nor is a summary longer than this, which a start has in memory.
const LEN_MAX: u64 = 32 << 20;
/// Bytes of an extent that are walked over at once.
const PIECE_LEN: u64 = 8 << 20;
/// How often extents without a summary are looked for. Nobody waits.
const LOOK_INTERVAL: Duration = Duration::from_secs(300);

/// What a summary says of an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summarized {
    /// Which.
    pub(crate) number: u64,
    /// Its salt.
    pub(crate) salt: u64,
    /// Its length when it was left.
    pub(crate) end: u64,
}

impl Summarized {
    /// The headers of all records of the extent, in order, if there is a summary of just this.
    pub(crate) fn read(self, disk: &dyn Disk) -> Option<Vec<RecordHeader>> {
        let file = disk.open(&summary_path(self.number)).ok()?;
        let len = file.len().ok().filter(|len| *len <= LEN_MAX + 1024)?;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let (head, body) = bytes.split_at_checked(HEAD_LEN)?;
        if head != self.head(body) {
            return None;
        }
        let mut offset = EXTENT_HEADER_LEN;
        let mut headers = Vec::with_capacity(body.len() / RECORD_HEADER_LEN);
        for bytes in body.chunks(RECORD_HEADER_LEN) {
            let header = RecordHeader::decode(bytes, offset)?;
            if header.salt != self.salt {
                return None;
            }
            offset += header.record_len();
            headers.push(header);
        }
        (offset == self.end).then_some(headers)
    }

    fn head(self, body: &[u8]) -> [u8; HEAD_LEN] {
        let count = (body.len() / RECORD_HEADER_LEN) as u64;
        let mut head = [0; HEAD_LEN];
        head[..8].copy_from_slice(&MAGIC);
        head[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        head[12..16].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
        for (at, value) in [
            (16, self.number),
            (24, self.salt),
            (32, self.end),
            (40, count),
        ] {
            head[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let sum = crc32c::crc32c(&head[..60]);
        head[60..].copy_from_slice(&sum.to_le_bytes());
        head
    }
}

/// Makes the summaries of one disk for as long as the node runs.
pub(crate) async fn run(node: Arc<Node>, disk: usize, shutdown: CancellationToken) {
    let mut done = BTreeSet::new();
    loop {
        let round = async {
            tokio::time::sleep(LOOK_INTERVAL).await;
            make_missing(&node.disks()[disk], &mut done).await;
        };
        tokio::select! {
            () = round => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Makes the summaries that are missing beside a disk's sealed extents, except for those of extents that are done with.
pub(crate) async fn make_missing(disk: &NodeDisk, done: &mut BTreeSet<u64>) {
    let sealed = sealed_extents(&disk.store.catalog());
    for number in sealed {
        if done.contains(&number) {
            continue;
        }
        if !disk.is_sound() {
            return;
        }
        match make(disk, number).await {
            Ok(is_new) => {
                done.insert(number);
                tracing::debug!(extent = number, is_new, "looked for a summary");
            }
            Err(error) => tracing::debug!(extent = number, %error, "no summary yet"),
        }
    }
}

fn sealed_extents(catalog: &Catalog) -> Vec<u64> {
    let last = catalog.last_extent();
    let numbers = catalog.extents.keys().copied();
    numbers.filter(|number| Some(*number) != last).collect()
}

/// Writes an extent's summary; `false` if there is one, or it is not worth one.
async fn make(disk: &NodeDisk, number: u64) -> Result<bool, StoreError> {
    let store = Arc::clone(&disk.store);
    let begin = move || Gathering::begin(&store, number);
    let mut gathering = disk.lane.run_in_background(begin).await?;
    while let Some(walking) = gathering {
        match disk
            .lane
            .run_in_background(move || Ok(walking.go_on()))
            .await?
        {
            Gathered::More(next) => gathering = Some(next),
            Gathered::Nothing => break,
            Gathered::All(whole) => {
                let store = Arc::clone(&disk.store);
                let write = move || whole.write(&*store.disk);
                disk.lane.run_in_background(write).await?;
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// A walk that gathers the headers of an extent.
struct Gathering {
    summarized: Summarized,
    walk: Walk,
    bytes: Vec<u8>,
}

/// How far it came.
enum Gathered {
    More(Gathering),
    /// The extent is damaged, or not worth a summary.
    Nothing,
    All(Gathering),
}

impl Gathering {
    /// `None` if there is a summary, or cannot be one.
    fn begin(store: &Store, number: u64) -> Result<Option<Self>, StoreError> {
        if store.room()? < LEN_MAX {
            return Err(StoreError::NoSpace);
        }
        let sums = store.catalog().extents.get(&number).copied();
        let walk = store.walk_extent(number, EXTENT_HEADER_LEN)?;
        let (Some(sums), Some(walk)) = (sums, walk) else {
            return Ok(None);
        };
        let Some(salt) = walk.salt() else {
            return Ok(None);
        };
        let summarized = Summarized {
            number,
            salt,
            end: sums.len,
        };
        let is_there = summarized.read(&*store.disk).is_some();
        Ok((!is_there).then(|| Self {
            summarized,
            walk,
            bytes: vec![0; HEAD_LEN],
        }))
    }

    /// Walks over the next piece of the extent.
    fn go_on(mut self) -> Gathered {
        let len_max = (self.summarized.end / PART_MAX).min(LEN_MAX);
        let begin = self.walk.offset();
        while self.walk.offset() - begin < PIECE_LEN {
            match self.walk.next_item() {
                None => return Gathered::All(self),
                Some(Item::Record { header, .. }) if (self.bytes.len() as u64) < len_max => {
                    self.bytes.extend_from_slice(&header.encode());
                }
                Some(_) => return Gathered::Nothing,
            }
        }
        Gathered::More(self)
    }

    fn write(mut self, disk: &dyn Disk) -> Result<(), StoreError> {
        let head = self.summarized.head(&self.bytes[HEAD_LEN..]);
        self.bytes[..HEAD_LEN].copy_from_slice(&head);
        let path = summary_path(self.summarized.number);
        Ok(replace_file(disk, &path, &self.bytes)?)
    }
}

/// Removes a summary with its extent. One that stays is removed at the next start.
pub(crate) fn remove(disk: &dyn Disk, number: u64) {
    drop(disk.remove(&summary_path(number)));
}

/// Removes what is left of summaries whose extents are gone, and of those that were not finished.
pub(crate) fn remove_orphans(disk: &dyn Disk, is_there: impl Fn(u64) -> bool) -> io::Result<()> {
    for entry in disk.list(EXTENTS_FOLDER)? {
        if let Some((number, is_finished)) = summary_number(&entry.name)
            && !(is_finished && is_there(number))
        {
            drop(disk.remove(&format!("{EXTENTS_FOLDER}/{}", entry.name)));
        }
    }
    Ok(())
}
