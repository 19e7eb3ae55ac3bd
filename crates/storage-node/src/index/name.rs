//! The name of an index's file, which it loses when it is given up.
//!
//! **Invariant:** it goes once. Afterwards another index may have it, which whoever still uses the old one must not take it from.

use std::io;
use std::sync::Arc;

use disk::Disk;
use parking_lot::Mutex;

use super::INDEX_PATH;

/// The name; shared by all who may take it away.
#[derive(Debug)]
pub(crate) struct IndexName {
    disk: Arc<dyn Disk>,
    is_gone: Mutex<bool>,
}

impl IndexName {
    /// The name of an index that is there.
    pub(crate) fn new(disk: &Arc<dyn Disk>) -> Self {
        Self {
            disk: Arc::clone(disk),
            is_gone: Mutex::new(false),
        }
    }

    /// Takes it away, durably, if it is this index's still.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let mut is_gone = self.is_gone.lock();
        if *is_gone {
            return Ok(());
        }
        match self.disk.remove(INDEX_PATH) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => self.disk.sync_folder("")?,
        }
        *is_gone = true;
        Ok(())
    }
}
