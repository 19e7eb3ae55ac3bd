//! Reads a node's folder without the node: what it holds, whether it is whole, and every chunk as a file.
//!
//! Everything comes from the extents alone, so that it works when index, master and cluster are gone. Nothing in
//! the folder is changed.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context, bail};
use disk::{Disk, DiskLock};
use proto::id::ChunkId;

use crate::extent::{EXTENT_HEADER_LEN, RECORD_HEADER_LEN, RecordHeader, RecordKind, extent_path};
use crate::found::{Found, find_extents, sealed_len};
use crate::identity::{LOCK_PATH, read_owner};
use crate::walk::{Item, Payloads, Walk};

/// A folder opened for reading, with the node kept out.
struct Folder {
    extents: BTreeMap<u64, Found>,
    _lock: Box<dyn DiskLock>,
}

/// What was found in one extent.
#[derive(Debug, Default)]
struct Contents {
    puts: u64,
    deletions: u64,
    bad_payloads: u64,
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
            "disk {} of node {node}, {} extents",
            number + 1,
            extents.len()
        )?;
        Ok(Self {
            extents,
            _lock: lock,
        })
    }

    /// Shows every item of every extent, in order.
    fn walk(
        &self,
        payloads: Payloads,
        mut see: impl FnMut(u64, Item) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for (number, found) in &self.extents {
            let salt = found.header.as_ref().map(|header| header.salt);
            let range = EXTENT_HEADER_LEN..sealed_len(&self.extents, *number);
            let mut walk = Walk::new(found.file.clone(), salt, range, payloads)?;
            while let Some(item) = walk.next_item() {
                see(*number, item)?;
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
        Item::Record {
            header,
            payload_good,
        } => {
            contents.bad_payloads += u64::from(!payload_good);
            match header.kind {
                RecordKind::Put { .. } => contents.puts += 1,
                RecordKind::Delete { .. } => contents.deletions += 1,
                RecordKind::Order { .. } => {}
            }
        }
    }
}

/// Tells what a folder holds.
///
/// # Errors
/// When it is not a node's, in use, or cannot be read.
pub fn inspect(disk: &dyn Disk, records: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let folder = Folder::open(disk, out)?;
    let (mut live, mut extents) = (Live::new(), BTreeMap::<u64, Contents>::new());
    folder.walk(Payloads::Skip, |extent, item| {
        if records {
            describe(extent, &item, out)?;
        }
        follow(&mut live, extent, &item);
        count(extents.entry(extent).or_default(), &item);
        Ok(())
    })?;
    for (number, found) in &folder.extents {
        let contents = extents.remove(number).unwrap_or_default();
        let live = live.values().filter(|(extent, _)| extent == number).count();
        writeln!(
            out,
            "{}: {} bytes, {} puts of which {live} live, {} deletions, {} damaged bytes{}",
            extent_path(*number),
            found.len,
            contents.puts,
            contents.deletions,
            contents.damaged_bytes,
            if found.header.is_none() {
                ", header damaged"
            } else {
                ""
            },
        )?;
    }
    let bytes: u64 = live
        .values()
        .map(|(_, header)| u64::from(header.payload_len))
        .sum();
    writeln!(out, "{} chunks, {bytes} bytes", live.len())?;
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

/// Reads everything, compares each chunk with its id, and tells what is damaged.
///
/// # Errors
/// When something is damaged, beside what `inspect` fails with.
pub fn verify(disk: &dyn Disk, out: &mut dyn Write) -> anyhow::Result<()> {
    let folder = Folder::open(disk, out)?;
    let (mut live, mut contents) = (Live::new(), Contents::default());
    folder.walk(Payloads::Verify, |extent, item| {
        if !matches!(
            item,
            Item::Record {
                payload_good: true,
                ..
            }
        ) {
            describe(extent, &item, out)?;
        }
        follow(&mut live, extent, &item);
        count(&mut contents, &item);
        Ok(())
    })?;
    let mut corrupt = 0;
    for (chunk, (extent, header)) in &live {
        if folder.read(*extent, header).is_none() {
            writeln!(out, "chunk {chunk} in {} is corrupt", extent_path(*extent))?;
            corrupt += 1;
        }
    }
    writeln!(
        out,
        "{} chunks, {corrupt} corrupt, {} damaged bytes",
        live.len(),
        contents.damaged_bytes
    )?;
    if corrupt > 0 || contents.damaged_bytes > 0 {
        bail!("the folder is damaged: start the node, and the cluster replaces what is corrupt");
    }
    Ok(())
}

/// Writes every good chunk to a file named by its id.
///
/// # Errors
/// When a chunk could not be written, or is corrupt (the others are written), beside what `inspect` fails with.
pub fn export(disk: &dyn Disk, to: &dyn Disk, out: &mut dyn Write) -> anyhow::Result<()> {
    let folder = Folder::open(disk, out)?;
    let mut live = Live::new();
    folder.walk(Payloads::Skip, |extent, item| {
        follow(&mut live, extent, &item);
        Ok(())
    })?;
    let (mut written, mut corrupt) = (0, 0);
    for (chunk, (extent, header)) in &live {
        let Some(bytes) = folder.read(*extent, header) else {
            writeln!(
                out,
                "chunk {chunk} in {} is corrupt: left out",
                extent_path(*extent)
            )?;
            corrupt += 1;
            continue;
        };
        let path = chunk.to_string();
        let file = to.create(&path).with_context(|| format!("make {path}"))?;
        file.write_all_at(&bytes, 0)
            .and_then(|()| file.sync())
            .with_context(|| format!("write {path}"))?;
        written += 1;
    }
    to.sync_folder("")?;
    writeln!(out, "{written} chunks written, {corrupt} left out")?;
    if corrupt > 0 {
        bail!("{corrupt} chunks are corrupt here: look for them on other nodes");
    }
    Ok(())
}
