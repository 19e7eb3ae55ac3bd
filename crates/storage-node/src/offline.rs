//! Reads a node's folder without the node: what it holds, whether it is whole, and every chunk as a file.
//!
//! Everything comes from the extents alone, so that it works when index, master and cluster are gone; the index is only
//! asked, where there is one, whether a damaged place is needed. Nothing in the folder is changed.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;

use anyhow::{Context, bail};
use disk::{Disk, DiskLock};
use proto::id::{ChunkId, NodeId};

use crate::extent::{EXTENT_HEADER_LEN, RECORD_HEADER_LEN, RecordHeader, RecordKind, extent_path};
use crate::found::{Found, find_extents, sealed_len};
use crate::identity::{LOCK_PATH, read_owner};
use crate::index::aside;
use crate::tail::find_end;
use crate::walk::{Item, Payloads, Walk};

/// A folder opened for reading, with the node kept out.
struct Folder {
    owner: (NodeId, u32),
    extents: BTreeMap<u64, Found>,
    _lock: Box<dyn DiskLock>,
}

/// What was found in one extent.
#[derive(Debug, Default)]
struct Contents {
    puts: u64,
    deletions: u64,
    live: u64,
    damaged_bytes: u64,
}

/// Where a chunk that is still here lies.
type Live = BTreeMap<ChunkId, (u64, RecordHeader)>;

impl Folder {
    fn open(disk: &dyn Disk, out: &mut dyn Write) -> anyhow::Result<Self> {
        let (node, number) = read_owner(disk)?;
        let lock = disk
            .lock(LOCK_PATH)
            .context("lock the folder: stop the node first")?;
        let extents = find_extents(disk)?.all()?;
        writeln!(
            out,
            "disk {} of node {node}, {}",
            number + 1,
            count_of(extents.len(), "extent")
        )?;
        Ok(Self {
            owner: (node, number),
            extents,
            _lock: lock,
        })
    }

    /// Extents whose headers say that they are others, with what they say. The node leaves them alone.
    fn misplaced(&self) -> BTreeMap<u64, String> {
        let owner = self.owner;
        let headers = self.extents.iter().filter_map(|(number, found)| {
            let header = found.header.as_ref()?;
            (!header.is_of(*number, owner)).then(|| {
                let says = format!(
                    "by its header it is extent {} of disk {} of node {}",
                    header.number,
                    header.disk + 1,
                    header.node
                );
                (*number, says)
            })
        });
        headers.collect()
    }

    /// Shows every item of every extent, in order, as far as the extents count.
    fn walk(&self, mut see: impl FnMut(u64, Item) -> anyhow::Result<()>) -> anyhow::Result<()> {
        for (number, found) in &self.extents {
            let salt = found.header.as_ref().map(|header| header.salt);
            let is_last = self.extents.keys().next_back() == Some(number);
            let (end, unreadable_to) = if is_last {
                // What a kill left unfinished behind it was never acknowledged; what cannot be read may have been.
                let end = find_end(&found.file, salt, EXTENT_HEADER_LEN)?;
                (end.at, end.unreadable_to)
            } else {
                (sealed_len(&self.extents, *number), 0)
            };
            let range = EXTENT_HEADER_LEN..end;
            let mut walk = Walk::new(found.file.clone(), salt, range, Payloads::Skip)?;
            while let Some(item) = walk.next_item() {
                see(*number, item)?;
            }
            if unreadable_to > end {
                see(*number, Item::Damage(end..unreadable_to))?;
            }
        }
        Ok(())
    }

    /// The bytes of a chunk, if they are its.
    fn read(&self, extent: u64, header: &RecordHeader) -> Option<Vec<u8>> {
        let mut bytes = vec![0; header.payload_len as usize];
        let offset = header.offset + RECORD_HEADER_LEN as u64;
        let found = &self.extents[&extent];
        let read = found.file.read_exact_at(&mut bytes, offset);
        (read.is_ok() && ChunkId::of(&bytes) == header.chunk).then_some(bytes)
    }
}

/// Where a chunk lay before it was put again, the latest last: what is there may be good where the later one is not.
type Older = BTreeMap<ChunkId, Vec<(u64, RecordHeader)>>;

fn remember(older: &mut Older, live: &Live, item: &Item) {
    if let Item::Record { header, .. } = item {
        match header.kind {
            RecordKind::Put { .. } => {
                if let Some(place) = live.get(&header.chunk) {
                    older.entry(header.chunk).or_default().push(*place);
                }
            }
            RecordKind::Delete { .. } => drop(older.remove(&header.chunk)),
            RecordKind::Order { .. } => {}
        }
    }
}

fn follow(live: &mut Live, extent: u64, item: &Item) {
    if let Item::Record { header, .. } = item {
        match header.kind {
            RecordKind::Put { .. } => drop(live.insert(header.chunk, (extent, *header))),
            RecordKind::Delete { .. } => drop(live.remove(&header.chunk)),
            RecordKind::Order { .. } => {}
        }
    }
}

fn count(contents: &mut Contents, item: &Item) {
    match item {
        Item::Damage(range) => contents.damaged_bytes += range.end - range.start,
        Item::Record { header, .. } => match header.kind {
            RecordKind::Put { .. } => contents.puts += 1,
            RecordKind::Delete { .. } => contents.deletions += 1,
            RecordKind::Order { .. } => {}
        },
    }
}

/// Tells what a folder holds.
///
/// # Errors
/// When it is not a node's, in use, or cannot be read.
pub fn inspect(disk: &dyn Disk, records: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let folder = Folder::open(disk, out)?;
    let (mut live, mut extents) = (Live::new(), BTreeMap::<u64, Contents>::new());
    let misplaced = folder.misplaced();
    folder.walk(|extent, item| {
        if records {
            describe(extent, &item, out)?;
        }
        if !misplaced.contains_key(&extent) {
            follow(&mut live, extent, &item);
        }
        count(extents.entry(extent).or_default(), &item);
        Ok(())
    })?;
    for (extent, _) in live.values() {
        extents.entry(*extent).or_default().live += 1;
    }
    for (number, found) in &folder.extents {
        let contents = extents.remove(number).unwrap_or_default();
        writeln!(
            out,
            "{}: {} bytes, {} puts of which {} live, {} deletions, {} damaged bytes{}",
            extent_path(*number),
            found.len,
            contents.puts,
            contents.live,
            contents.deletions,
            contents.damaged_bytes,
            match (&found.header, misplaced.get(number)) {
                (None, _) => ", header damaged".to_owned(),
                (Some(_), Some(says)) => format!(", not used: {says}"),
                (Some(_), None) => String::new(),
            },
        )?;
    }
    let bytes: u64 = live
        .values()
        .map(|(_, header)| u64::from(header.payload_len))
        .sum();
    let (chunks, bytes) = (count_of(live.len(), "chunk"), count_of(bytes, "byte"));
    writeln!(out, "{chunks}, {bytes}")?;
    Ok(())
}

fn describe(extent: u64, item: &Item, out: &mut dyn Write) -> std::io::Result<()> {
    match item {
        Item::Damage(range) => {
            writeln!(
                out,
                "{extent} {} damaged {} bytes",
                range.start,
                range.end - range.start
            )
        }
        Item::Record { header, .. } => {
            let (offset, chunk) = (header.offset, header.chunk);
            match header.kind {
                RecordKind::Put { .. } => {
                    writeln!(
                        out,
                        "{extent} {offset} put {chunk} {} bytes",
                        header.payload_len
                    )
                }
                RecordKind::Delete { order } => {
                    writeln!(
                        out,
                        "{extent} {offset} delete {chunk} by order {} of epoch {}",
                        order.sequence, order.epoch
                    )
                }
                RecordKind::Order { order } => {
                    writeln!(
                        out,
                        "{extent} {offset} order {} of epoch {}",
                        order.sequence, order.epoch
                    )
                }
            }
        }
    }
}

/// Reads every chunk, compares it with its id, and tells what is damaged.
///
/// # Errors
/// When something is damaged that is needed, beside what `inspect` fails with.
pub fn verify(disk: &dyn Disk, out: &mut dyn Write) -> anyhow::Result<()> {
    let folder = Folder::open(disk, out)?;
    let (mut live, mut damage) = (Live::new(), Vec::new());
    let misplaced = folder.misplaced();
    folder.walk(|extent, item| {
        if misplaced.contains_key(&extent) {
            return Ok(());
        }
        if let Item::Damage(range) = &item {
            damage.push((extent, range.clone()));
        }
        follow(&mut live, extent, &item);
        Ok(())
    })?;
    for (extent, says) in &misplaced {
        let path = extent_path(*extent);
        writeln!(out, "{path} is not used by the node: {says}")?;
    }
    let mut corrupt = 0;
    let chunks = live.len();
    for (extent, header) in in_order(live) {
        if folder.read(extent, &header).is_none() {
            let chunk = header.chunk;
            writeln!(out, "chunk {chunk} in {} is corrupt", extent_path(extent))?;
            corrupt += 1;
        }
    }
    let damaged = tell_damage(disk, folder.owner, &damage, out)?;
    let unneeded = damage.len() - damaged;
    writeln!(
        out,
        "{}, {corrupt} corrupt, {}",
        count_of(chunks, "chunk"),
        count_of(damaged, "damaged place")
    )?;
    if unneeded > 0 {
        let places = count_of(unneeded, "more damaged place");
        writeln!(
            out,
            "{places} that nothing needs: compaction removes what is there"
        )?;
    }
    if corrupt > 0 || damaged > 0 {
        bail!(
            "the folder is damaged: start the node, and the cluster replaces what is corrupt when that is read, or scrubbed \
             within the month"
        );
    }
    if !misplaced.is_empty() {
        bail!(
            "files of extents are not where they belong: put each back under the number of its header, or start the node, and \
             delete them when the cluster has replaced what is missing"
        );
    }
    Ok(())
}

/// Tells of all damaged places; gives how many of them are needed.
fn tell_damage(
    disk: &dyn Disk,
    owner: (NodeId, u32),
    damage: &[(u64, Range<u64>)],
    out: &mut dyn Write,
) -> std::io::Result<usize> {
    let needed = needed(disk, owner, damage);
    for ((extent, range), is_needed) in damage.iter().zip(&needed) {
        writeln!(
            out,
            "{}: {} from {} on are damaged{}",
            extent_path(*extent),
            count_of(range.end - range.start, "byte"),
            range.start,
            if *is_needed {
                ""
            } else {
                "; nothing needs them"
            }
        )?;
    }
    Ok(needed.iter().filter(|needed| **needed).count())
}

/// Of each damaged place, in their order, whether it is one where the index has a chunk, or may have.
fn needed(disk: &dyn Disk, owner: (NodeId, u32), damage: &[(u64, Range<u64>)]) -> Vec<bool> {
    let mut needed = vec![false; damage.len()];
    if damage.is_empty() {
        return needed;
    }
    let known = aside::rows(disk, owner, |_, row| {
        let at = row.location;
        let end = at.offset + RECORD_HEADER_LEN as u64 + u64::from(at.len);
        let is_before =
            |(extent, range): &(u64, Range<u64>)| (*extent, range.end) <= (at.extent, at.offset);
        let place = damage.partition_point(is_before);
        let hit = damage.get(place);
        if hit.is_some_and(|(extent, range)| *extent == at.extent && range.start < end) {
            needed[place] = true;
        }
    });
    let Ok(known) = known else {
        return vec![true; damage.len()];
    };
    for ((extent, range), needed) in damage.iter().zip(&mut needed) {
        // What came later, the index has yet to see.
        *needed |= (*extent, range.end) > (known.extent, known.offset);
    }
    needed
}

/// Writes every good chunk to a file named by its id, unless it is there from an earlier time.
///
/// # Errors
/// When a chunk could not be written, or is corrupt or may be in a damaged place (the others are written), beside what
/// `inspect` fails with.
pub fn export(disk: &dyn Disk, to: &dyn Disk, out: &mut dyn Write) -> anyhow::Result<()> {
    let folder = Folder::open(disk, out)?;
    let (mut live, mut damage) = (Live::new(), Vec::new());
    let mut older = Older::new();
    folder.walk(|extent, item| {
        if let Item::Damage(range) = &item {
            damage.push((extent, range.clone()));
        }
        remember(&mut older, &live, &item);
        follow(&mut live, extent, &item);
        Ok(())
    })?;
    let (mut written, mut there, mut corrupt) = (0, 0, 0);
    for (extent, header) in in_order(live) {
        let (chunk, path) = (header.chunk, header.chunk.to_string());
        if has_chunk(to, &path, &header) {
            there += 1;
            continue;
        }
        let before = older.get(&chunk).into_iter().flatten().rev();
        let last = (extent, header);
        let mut places = std::iter::once(&last).chain(before);
        let good = places.find_map(|(extent, header)| folder.read(*extent, header));
        let Some(bytes) = good else {
            let path = extent_path(extent);
            writeln!(out, "chunk {chunk} in {path} is corrupt: left out")?;
            corrupt += 1;
            continue;
        };
        write_chunk(to, &path, &bytes).with_context(|| format!("write {path}"))?;
        written += 1;
    }
    to.sync_folder("")?;
    if there > 0 {
        writeln!(out, "there already: {}", count_of(there, "chunk"))?;
    }
    let chunks = count_of(written, "chunk");
    writeln!(out, "{chunks} written, {corrupt} left out")?;
    let damaged = tell_damage(disk, folder.owner, &damage, out)?;
    if corrupt > 0 || damaged > 0 {
        bail!(
            "corrupt here: {}, and what was in {}; look for them on other nodes",
            count_of(corrupt, "chunk"),
            count_of(damaged, "damaged place")
        );
    }
    Ok(())
}

/// Chunks as they lie on the disk, so that it reads on and on.
fn in_order(live: Live) -> Vec<(u64, RecordHeader)> {
    let mut records: Vec<_> = live.into_values().collect();
    records.sort_unstable_by_key(|(extent, header)| (*extent, header.offset));
    records
}

/// Whether a file is just this chunk.
fn has_chunk(to: &dyn Disk, path: &str, header: &RecordHeader) -> bool {
    let Ok(file) = to.open(path) else {
        return false;
    };
    let mut bytes = vec![0; header.payload_len as usize];
    file.len().is_ok_and(|len| len == bytes.len() as u64)
        && file.read_exact_at(&mut bytes, 0).is_ok()
        && ChunkId::of(&bytes) == header.chunk
}

/// In the place of a file that an export did not finish.
fn write_chunk(to: &dyn Disk, path: &str, bytes: &[u8]) -> std::io::Result<()> {
    match to.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = to.create(path)?;
    file.write_all_at(bytes, 0)?;
    file.sync()
}

/// How many, with the noun in singular or plural.
fn count_of(number: impl TryInto<u64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
