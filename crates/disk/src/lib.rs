//! The seam to the disk: everything durable in the master and in the storage nodes goes through [`Disk`].
//!
//! A [`Disk`] is one folder with files in it, at most one folder deep. `RealDisk` is a folder of the machine;
//! `MemoryDisk` is one that a test can crash: it loses what was not synced, tears writes, flips bits and fails.
//! Paths are short and made by the program (`extents/00000001.extent`), never from a user's names.
//!
//! **Invariant:** nothing outside this crate opens, creates, renames or removes a file of a data folder.

mod ballast;
mod blocking;
mod memory;
mod os;
mod real;
mod redb_backend;
mod replace;
mod system_names;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use ballast::Ballast;
pub use blocking::Blocking;
pub use memory::{Given, Hang, MemoryDisk, SECTOR_LEN};
pub use real::RealDisk;
pub use redb_backend::RedbBackend;
pub use replace::replace_file;
pub use system_names::is_of_the_system;

/// A data folder.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Opens a file that is there for reading and writing (of a folder that is only read, for reading); `NotFound` if it is
    /// not. Never follows a symbolic link, and never opens what is not a plain file.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a new file; `AlreadyExists` if there is one. Durable only after `sync_folder` of its folder.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a folder (`""` is the data folder itself), if it is not there.
    fn create_folder(&self, path: &str) -> io::Result<()>;

    /// The names in a folder (`""` is the data folder itself), in no order.
    fn list(&self, folder: &str) -> io::Result<Vec<DiskEntry>>;

    /// Gives a file another name, replacing a file of that name. Durable only after `sync_folder`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable only after `sync_folder`.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes the names in a folder durable (a no-op where the system has no such thing).
    fn sync_folder(&self, folder: &str) -> io::Result<()>;

    /// Room on the file system below.
    fn space(&self) -> io::Result<Space>;

    /// Keeps other processes out for as long as the guard lives; `WouldBlock` if one is in.
    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>>;
}

/// An open file. All methods take offsets, so that one handle serves many threads.
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// Fills the buffer from this offset; `UnexpectedEof` if the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of the bytes at this offset, and makes the file longer where needed.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Writes all parts, one after another, from this offset on.
    fn write_all_parts_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()>;

    /// Makes the content, and as much of the file's data about itself as is needed to read it, durable.
    /// After an error nothing is known about any write since the last success: never try again.
    fn sync(&self) -> io::Result<()>;

    /// Sets the length: cuts, or fills up with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The length.
    fn len(&self) -> io::Result<u64>;

    /// Whether the length is 0.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Takes blocks for the first `len` bytes without changing the length, where the system can.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// The system's own handle, where there is one: to send from it without copying.
    fn as_std(&self) -> Option<&Arc<std::fs::File>> {
        None
    }
}

/// Held for as long as the folder is in use.
pub trait DiskLock: fmt::Debug + Send + Sync + 'static {}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskEntry {
    /// The name, without the folder's. What is not UTF-8 is shown with replacement characters.
    pub name: String,
    /// What it is.
    pub kind: DiskEntryKind,
}

/// What a name in a folder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskEntryKind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A link, a pipe, a device: nothing of ours.
    Other,
}

/// Room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub capacity: u64,
    /// Bytes that may still be written.
    pub free: u64,
    /// Which file system it is, where the system says so: folders on one share its room.
    pub file_system: Option<u64>,
}

/// Whether the system said that there is no room.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
