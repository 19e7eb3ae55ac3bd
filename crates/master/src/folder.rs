//! The master's data folder: `lock`, `master.json`, `state.redb`, `state.checksums` while that is closed (see
//! `state/checksums.rs`), `state.witness` (see `witness.rs`), and `reserve` (see [`disk::Ballast`]).
//!
//! `master.json` says which cluster and which format the folder holds, in a form that any version can read. It is
//! written before the store is made and again after, so that a start that was cut off is told from a store that
//! was lost: a store that was once finished and is not there is never silently made anew, and one that may hold
//! something is never removed.
//!
//! **Invariant:** a folder that is not a master's, or a newer master's, is refused and left as it is.

use std::io;
use std::sync::Arc;

use disk::{Disk, DiskEntryKind, DiskFile, DiskLock, is_of_the_system};
use proto::id::ClusterId;
use serde::{Deserialize, Serialize};

/// The store's file.
pub const STORE: &str = "state.redb";
const LOCK: &str = "lock";
const IDENTITY: &str = "master.json";
const IDENTITY_NEW: &str = "master.json.new";
const FORMAT: u32 = 1;
/// Our own beginnings, which may be in a folder that is otherwise new.
const NOT_FOREIGN: [&str; 2] = [LOCK, IDENTITY_NEW];

/// Why a folder is not opened: each a sentence for a person.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error(
        "another dfs-master already uses this data folder; stop it first, or give this one another --data"
    )]
    InUse,
    /// It holds something else.
    #[error(
        "the data folder has no master.json, but holds {0:?}: it is not a master's folder. Give --data an empty one, \
         or the right one; nothing was changed in it"
    )]
    Foreign(String),
    /// A later version wrote it.
    #[error(
        "the data folder was written by a newer dfs-master (format {0}, this one knows {FORMAT}): use that version"
    )]
    Newer(u32),
    /// The identity cannot be read.
    #[error("master.json cannot be read ({0}): restore the data folder from a backup")]
    Unreadable(String),
    /// The store is gone.
    #[error(
        "master.json belongs to cluster {0}, but {STORE} is missing: the names of all files were in it. Restore the \
         data folder from a backup; to begin a new, empty cluster, use an empty folder"
    )]
    StoreMissing(ClusterId),
    /// A file has its name.
    #[error("it is a file, and not a folder: give a folder, or a name that is free")]
    NotAFolder,
    /// The disk failed.
    #[error("the data folder cannot be used: {0}")]
    Io(#[from] io::Error),
}

/// An open data folder, which no other process can open meanwhile.
#[derive(Debug)]
pub struct Folder {
    disk: Arc<dyn Disk>,
    identity: Identity,
    _lock: Box<dyn DiskLock>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    format: u32,
    cluster: ClusterId,
    /// Whether the store was finished once.
    store_made: bool,
}

impl Folder {
    /// Opens a master's folder, or makes an empty one into the folder of `new_cluster`.
    pub fn open(disk: Arc<dyn Disk>, new_cluster: ClusterId) -> Result<Self, FolderError> {
        // The lock is a file, so a folder that is not ours is refused before it; what may have changed until the lock is
        // held is looked at again behind it.
        if read_identity(&*disk)?.is_none() {
            refuse_foreign(&*disk)?;
        }
        let lock = disk.lock(LOCK).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => FolderError::InUse,
            _ => FolderError::Io(error),
        })?;
        let identity = match read_identity(&*disk)? {
            Some(identity) => identity,
            None => begin(&*disk, new_cluster)?,
        };
        let has_store = disk.list("")?.iter().any(|entry| entry.name == STORE);
        match (identity.store_made, has_store) {
            (true, false) => return Err(FolderError::StoreMissing(identity.cluster)),
            (false, true) if !is_begun(&*disk)? => disk.remove(STORE)?,
            _ => {}
        }
        Ok(Self {
            disk,
            identity,
            _lock: lock,
        })
    }

    /// Which cluster it holds.
    pub fn cluster(&self) -> ClusterId {
        self.identity.cluster
    }

    /// Opens the store's file, and makes an empty one if there is none.
    pub fn store(disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
        match disk.open(STORE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = disk.create(STORE)?;
                disk.sync_folder("")?;
                Ok(file)
            }
            opened => opened,
        }
    }

    /// The store is complete and durable: from now on it must be there.
    pub fn store_is_made(&mut self) -> io::Result<()> {
        if !self.identity.store_made {
            write_identity(&*self.disk, self.identity.cluster, true)?;
            self.identity.store_made = true;
        }
        Ok(())
    }
}

fn read_identity(disk: &dyn Disk) -> Result<Option<Identity>, FolderError> {
    let file = match disk.open(IDENTITY) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let unreadable = |reason: String| FolderError::Unreadable(reason);
    let len = usize::try_from(file.len()?.min(1 << 16)).unwrap_or(0);
    let mut text = vec![0; len];
    file.read_exact_at(&mut text, 0)?;
    let fields: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
    match fields["format"].as_u64() {
        Some(format) if format > u64::from(FORMAT) => Err(FolderError::Newer(
            u32::try_from(format).unwrap_or(u32::MAX),
        )),
        _ => serde_json::from_value(fields)
            .map(Some)
            .map_err(|error| unreadable(error.to_string())),
    }
}

fn begin(disk: &dyn Disk, cluster: ClusterId) -> Result<Identity, FolderError> {
    refuse_foreign(disk)?;
    write_identity(disk, cluster, false)?;
    Ok(Identity {
        format: FORMAT,
        cluster,
        store_made: false,
    })
}

/// A folder that has no identity and is not empty is somebody's.
fn refuse_foreign(disk: &dyn Disk) -> Result<(), FolderError> {
    let foreign = disk.list("")?.into_iter().find(|entry| {
        let is_known = NOT_FOREIGN.contains(&entry.name.as_str()) || is_of_the_system(&entry.name);
        entry.kind == DiskEntryKind::Other || !is_known
    });
    foreign.map_or(Ok(()), |entry| Err(FolderError::Foreign(entry.name)))
}

/// Whether the store was begun, so that there may be something in it: redb writes these bytes last. What a first start
/// left there has nothing yet and is gone on with; it may also be a backup that somebody put there.
fn is_begun(disk: &dyn Disk) -> io::Result<bool> {
    const MAGIC: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";
    let file = disk.open(STORE)?;
    let mut start = [0; MAGIC.len()];
    if file.len()? < MAGIC.len() as u64 {
        return Ok(false);
    }
    file.read_exact_at(&mut start, 0)?;
    Ok(start == *MAGIC)
}

fn write_identity(disk: &dyn Disk, cluster: ClusterId, store_made: bool) -> io::Result<()> {
    let identity = Identity {
        format: FORMAT,
        cluster,
        store_made,
    };
    let mut text = serde_json::to_vec_pretty(&identity)?;
    text.push(b'\n');
    disk::replace_file(disk, IDENTITY, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::MemoryDisk;
    use uuid::Uuid;

    fn cluster(number: u128) -> ClusterId {
        ClusterId::new(Uuid::from_u128(number))
    }

    fn open(disk: &MemoryDisk, number: u128) -> Result<Folder, FolderError> {
        Folder::open(disk.shared(), cluster(number))
    }

    #[test]
    fn a_folder_keeps_its_cluster_and_one_process() {
        let disk = MemoryDisk::new();
        let mut folder = open(&disk, 1).unwrap();
        assert!(matches!(open(&disk, 2), Err(FolderError::InUse)));
        Folder::store(&*disk.shared()).unwrap();
        folder.store_is_made().unwrap();
        drop(folder);
        assert_eq!(open(&disk, 2).unwrap().cluster(), cluster(1));
    }

    #[test]
    fn foreign_newer_and_unreadable_folders_are_refused_and_left_alone() {
        let check = |files: &[(&str, &str)], expected: &str| {
            let disk = MemoryDisk::new();
            for (name, text) in files {
                disk.put(name, text.as_bytes());
            }
            let error = open(&disk, 1).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            for (name, text) in files {
                assert_eq!(disk.content(name).as_deref(), Some(text.as_bytes()));
            }
        };
        check(&[("photo.jpg", "x")], "\"photo.jpg\"");
        check(&[("master.json", "{\"format\":2}")], "newer dfs-master");
        check(&[("master.json", "{")], "restore the data folder");
        check(&[(STORE, "x")], STORE);
    }

    /// A first start failed, and somebody put a backup's store into the folder, as it is said where a store is missing: it
    /// was removed.
    #[test]
    fn a_store_that_somebody_put_there_is_kept() {
        let disk = MemoryDisk::new();
        drop(open(&disk, 1).unwrap());
        let backup = [&b"redb\x1A\x0A\xA9\x0D\x0A"[..], b"names of files"].concat();
        disk.put(STORE, &backup);
        drop(open(&disk, 1).unwrap());
        assert_eq!(disk.content(STORE), Some(backup));
    }

    #[test]
    fn the_identity_is_synced_behind_its_folder() {
        let disk = MemoryDisk::new();
        let mut folder = open(&disk, 1).unwrap();
        disk.fail_syncs_after(1);
        folder.store_is_made().unwrap_err();
    }

    /// Each start wrote it anew: on a full disk the master did not start.
    #[test]
    fn an_identity_that_says_so_already_is_not_written() {
        let disk = MemoryDisk::new();
        open(&disk, 1).unwrap().store_is_made().unwrap();
        disk.put(STORE, b"names of files");
        let mut folder = open(&disk, 1).unwrap();
        disk.fill();
        let before = disk.changes();
        folder.store_is_made().unwrap();
        assert_eq!(disk.changes(), before);
    }

    #[test]
    fn not_even_a_lock_is_made_in_a_refused_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("photo.jpg"), "x").unwrap();
        let disk = disk::RealDisk::open(folder.path()).unwrap();
        Folder::open(disk.clone(), cluster(1)).unwrap_err();
        let entries = disk.list("").unwrap().into_iter();
        let names: Vec<String> = entries.map(|entry| entry.name).collect();
        assert_eq!(names, ["photo.jpg"]);
    }

    /// The root of a new disk on Windows, which is never quite empty, was taken for somebody's folder.
    #[test]
    fn what_a_system_puts_into_every_disk_is_nobodys() {
        let root = tempfile::tempdir().unwrap();
        for name in ["System Volume Information", "$RECYCLE.BIN", "lost+found"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        let disk = disk::RealDisk::open(root.path()).unwrap();
        Folder::open(disk, cluster(1)).unwrap();
    }

    #[test]
    fn a_store_that_was_lost_is_not_made_anew_and_a_start_cut_off_is_begun_again() {
        let disk = MemoryDisk::new();
        drop(open(&disk, 1).unwrap());
        disk.put(STORE, b"half");
        drop(open(&disk, 2).unwrap());
        assert_eq!(
            disk.content(STORE),
            None,
            "nothing was ever answered from it"
        );

        open(&disk, 2).unwrap().store_is_made().unwrap();
        assert!(matches!(
            open(&disk, 2),
            Err(FolderError::StoreMissing(lost)) if lost == cluster(1)
        ));
    }
}
