//! The extents of a data folder as they are found, before anything is believed of them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use disk::{Disk, DiskEntryKind, DiskFile};

use crate::error::OpenError;
use crate::extent::{
    EXTENT_HEADER_LEN, EXTENTS_FOLDER, ExtentHeader, HeaderError, extent_number, extent_path,
    summary_number,
};

/// An extent's file as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// It.
    pub(crate) file: Arc<dyn DiskFile>,
    /// Its length.
    pub(crate) len: u64,
    /// What it says of itself; nothing if that is damaged.
    pub(crate) header: Option<ExtentHeader>,
}

/// All extents of a data folder.
#[derive(Debug, Default)]
pub(crate) struct FoundExtents {
    /// Those that can be opened.
    pub(crate) opened: BTreeMap<u64, Found>,
    /// Those that cannot, and why.
    pub(crate) unopened: BTreeMap<u64, OpenError>,
}

impl FoundExtents {
    /// For whoever needs every extent.
    ///
    /// # Errors
    /// Why one cannot be opened.
    pub(crate) fn all(self) -> Result<BTreeMap<u64, Found>, OpenError> {
        match self.unopened.into_values().next() {
            Some(error) => Err(error),
            None => Ok(self.opened),
        }
    }
}

/// Reads the headers of all extents in a data folder.
pub(crate) fn find_extents(disk: &dyn Disk) -> Result<FoundExtents, OpenError> {
    let list = || {
        disk.list(EXTENTS_FOLDER)
            .map_err(OpenError::while_doing("list the extents"))
    };
    let mut extents = FoundExtents::default();
    for entry in list()? {
        match extent_number(&entry.name) {
            Some(number) if entry.kind == DiskEntryKind::File => match find_extent(disk, number) {
                Ok(found) => drop(extents.opened.insert(number, found)),
                // A process without a free descriptor can list no folder either, and it is not the extent's fault.
                Err(error @ OpenError::Disk { .. }) if list().is_ok() => {
                    extents.unopened.insert(number, error);
                }
                Err(error) => return Err(error),
            },
            _ if summary_number(&entry.name).is_some() => {}
            _ => tracing::warn!(name = entry.name, "not an extent: it is left alone"),
        }
    }
    Ok(extents)
}

/// Where an extent ended when its successor was made: what lies behind was refused, and never acknowledged. `u64::MAX` if
/// that successor is gone.
pub(crate) fn sealed_len(extents: &BTreeMap<u64, Found>, number: u64) -> u64 {
    let mut later = extents
        .range(number + 1..)
        .filter_map(|(_, found)| found.header.as_ref());
    let says = later.find(|header| header.previous == number);
    says.map_or(u64::MAX, |header| header.previous_len)
}

/// Reads the header of one extent.
pub(crate) fn find_extent(disk: &dyn Disk, number: u64) -> Result<Found, OpenError> {
    let path = extent_path(number);
    let read = || -> io::Result<_> {
        let file = disk.open(&path)?;
        let len = file.len()?;
        let mut bytes = vec![0; usize::try_from(len.min(EXTENT_HEADER_LEN)).unwrap_or(0)];
        // Unreadable is as good as damaged: the rest of the extent may still be read.
        if file.read_exact_at(&mut bytes, 0).is_err() {
            bytes.clear();
        }
        Ok((file, len, bytes))
    };
    let (file, len, bytes) = read().map_err(OpenError::while_doing(format!("open {path}")))?;
    let header = match ExtentHeader::decode(&bytes) {
        Ok(header) => Some(header),
        Err(HeaderError::Damaged) => None,
        Err(error @ HeaderError::Newer(_)) => {
            return Err(OpenError::Refused(format!(
                "{path}: {error}; start the version that wrote it, or a later one"
            )));
        }
    };
    Ok(Found { file, len, header })
}

/// A crash while an extent was made leaves a last one without a header, which never held a record.
pub(crate) fn remove_unfinished(
    disk: &dyn Disk,
    extents: &mut BTreeMap<u64, Found>,
) -> io::Result<()> {
    while let Some(last) = extents.last_entry()
        && last.get().header.is_none()
        && last.get().len <= EXTENT_HEADER_LEN
    {
        disk.remove(&extent_path(*last.key()))?;
        disk.sync_folder(EXTENTS_FOLDER)?;
        last.remove();
    }
    Ok(())
}

/// The highest number of any extent's name, used or not: no number is ever used twice.
pub(crate) fn highest_name(disk: &dyn Disk) -> io::Result<u64> {
    let entries = disk.list(EXTENTS_FOLDER)?;
    Ok(entries
        .iter()
        .filter_map(|entry| extent_number(&entry.name))
        .max()
        .unwrap_or(0))
}
