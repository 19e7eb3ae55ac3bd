//! A disk whose folder is locked for this process.
//!
//! **Invariant:** the folder is locked for as long as anything of this process may still write to it. Whoever uses the disk has
//! the lock with it: also a thread that hangs in a write and that nobody waits for any more.

use std::io;
use std::sync::Arc;

use disk::{Disk, DiskEntry, DiskFile, DiskLock, Space};

use crate::error::OpenError;
use crate::identity::LOCK_PATH;

/// The disk, and the lock of its folder.
#[derive(Debug)]
struct LockedDisk {
    disk: Arc<dyn Disk>,
    _lock: Box<dyn DiskLock>,
}

/// Locks the folder in this place, which is made if there is none, until the last holder of what this gives lets go of it.
///
/// # Errors
/// If another process uses it, or the disk fails.
pub(crate) fn lock(disk: Arc<dyn Disk>, place: usize) -> Result<Arc<dyn Disk>, OpenError> {
    let lock = match disk.lock(LOCK_PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            disk.create_folder("").and_then(|()| disk.lock(LOCK_PATH))
        }
        lock => lock,
    };
    let lock = lock.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Refused(format!(
            "folder {} is in use by another process: stop that one, or give another folder",
            place + 1
        )),
        _ => OpenError::while_doing(format!("lock folder {}", place + 1))(error),
    })?;
    Ok(Arc::new(LockedDisk { disk, _lock: lock }))
}

impl Disk for LockedDisk {
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path)
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(path)
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        self.disk.create_folder(path)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<DiskEntry>> {
        self.disk.list(folder)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.disk.sync_folder(folder)
    }

    fn space(&self) -> io::Result<Space> {
        self.disk.space()
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock(path)
    }
}
