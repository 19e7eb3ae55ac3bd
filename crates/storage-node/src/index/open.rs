//! Opens the index of a disk, or makes one; only one of this version, of this disk and with sums that fit is used.

use std::io;
use std::sync::Arc;

use disk::Disk;
use proto::id::NodeId;
use redb::{Builder, Durability, ReadTransaction, ReadableDatabase, ReadableTableMetadata};

use super::guarded::{Guarded, unless_damaged};
use super::{
    CHUNKS, FORMAT, INDEX_PATH, Index, IndexName, META, META_CATALOG, META_OWNER, META_POSITION,
    other, scan_rows,
};
use crate::catalog::{Catalog, ExtentSums, Position};
use crate::index_file::IndexFile;

impl Index {
    /// Opens the index of this node's disk. With it comes its catalog: `None` if the index is new and all
    /// extents must be read. Extents of length 0 in it are as long as their files say.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        owner: (NodeId, u32),
        cache_bytes: usize,
    ) -> io::Result<(Self, Option<Catalog>)> {
        match Self::open_existing(disk, owner, cache_bytes) {
            Ok(opened) => return Ok(opened),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, "the index cannot be used; making it anew from the extents");
                IndexName::new(disk).remove()?;
            }
        }
        Ok((Self::create(disk, owner, cache_bytes)?, None))
    }

    /// Makes an index of this node's disk, which must have none.
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        owner: (NodeId, u32),
        cache_bytes: usize,
    ) -> io::Result<Self> {
        disk.create(INDEX_PATH)?;
        let index = Self::open_database(disk, owner.1, cache_bytes)?;
        index.write(Durability::Immediate, |tables| {
            let owner = owner_bytes(owner);
            tables
                .meta
                .insert(META_OWNER, owner.as_slice())
                .map_err(other)?;
            Ok(())
        })?;
        Ok(index)
    }

    fn open_existing(
        disk: &Arc<dyn Disk>,
        owner: (NodeId, u32),
        cache_bytes: usize,
    ) -> io::Result<(Self, Option<Catalog>)> {
        drop(disk.open(INDEX_PATH)?);
        // A damaged file may make redb panic rather than fail.
        unless_damaged(&Arc::new(IndexName::new(disk)), || {
            let index = Self::open_database(disk, owner.1, cache_bytes)?;
            let catalog = index.check(owner)?;
            Ok((index, Some(catalog)))
        })
    }

    fn open_database(
        disk: &Arc<dyn Disk>,
        disk_number: u32,
        cache_bytes: usize,
    ) -> io::Result<Self> {
        let name = Arc::new(IndexName::new(disk));
        let file = IndexFile::new(disk.open(INDEX_PATH)?, Arc::clone(&name))?;
        let database = Builder::new()
            .set_cache_size(cache_bytes)
            .create_with_backend(file)
            .map_err(other)?;
        let database = Guarded::new(database, name, disk_number);
        Ok(Self { database })
    }

    /// The catalog, if this is an index of this version and of this folder.
    fn check(&self, owner: (NodeId, u32)) -> io::Result<Catalog> {
        let read = self.database.database().begin_read().map_err(other)?;
        let meta = read.open_table(META).map_err(other)?;
        let value = |key| -> io::Result<Vec<u8>> {
            let value = meta.get(key).map_err(other)?;
            let value = value.ok_or_else(|| io::Error::other(format!("it has no {key}")))?;
            Ok(value.value().to_vec())
        };
        if value(META_OWNER)? != owner_bytes(owner) {
            return Err(io::Error::other(
                "it is another folder's, or another version's",
            ));
        }
        let position: Position =
            postcard::from_bytes(&value(META_POSITION)?).map_err(io::Error::other)?;
        let catalog: Catalog =
            postcard::from_bytes(&value(META_CATALOG)?).map_err(io::Error::other)?;
        let rows = read
            .open_table(CHUNKS)
            .map_err(other)?
            .len()
            .map_err(other)?;
        if catalog.position == position && catalog.chunks() + catalog.corrupt_chunks == rows {
            return Ok(catalog);
        }
        recount(&read, catalog, position)
    }
}

/// Sums up all rows again. How long the extents are only their files know: that is left open. So are their deletions: an
/// extent of which they keep much is compacted once more than it need be, which counts them again.
fn recount(read: &ReadTransaction, old: Catalog, position: Position) -> io::Result<Catalog> {
    let mut catalog = Catalog {
        position,
        buckets: Catalog::default().buckets,
        corrupt_chunks: 0,
        ..old
    };
    for sums in catalog.extents.values_mut() {
        *sums = ExtentSums {
            scrubbed_ms: sums.scrubbed_ms,
            ..ExtentSums::default()
        };
    }
    scan_rows(read, |chunk, row| catalog.note(&chunk, None, Some(&row)))?;
    Ok(catalog)
}

pub(super) fn owner_bytes((node, disk): (NodeId, u32)) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    bytes.extend_from_slice(node.uuid().as_bytes());
    bytes.extend_from_slice(&disk.to_le_bytes());
    bytes
}
