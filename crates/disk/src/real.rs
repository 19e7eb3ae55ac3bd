//! A folder of the machine.
//!
//! Paths are checked to be short and relative before they reach the system, files are opened without
//! following links, and what is not a plain file is refused.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::os::{self, Purpose};
use crate::{Disk, DiskEntry, DiskEntryKind, DiskFile, DiskLock, Space};
use planted::{Bug, is_planted};

/// A data folder on a file system.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    is_read_only: bool,
}

impl RealDisk {
    /// The folder at this path, which is made if it is missing.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Arc<dyn Disk>> {
        let disk = Self::at(&path);
        let with_path = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("{}: {error}", path.as_ref().display()),
            )
        };
        disk.create_folder("").map_err(with_path)?;
        Ok(disk)
    }

    /// The same, but nothing is made, nor looked at: `create_folder("")` makes it.
    pub fn at(path: impl AsRef<Path>) -> Arc<dyn Disk> {
        Arc::new(Self {
            root: path.as_ref().to_owned(),
            is_read_only: false,
        })
    }

    /// The folder at this path, to be read only: nothing in it is changed, and it may be on a file system that cannot be.
    pub fn read_only(path: impl AsRef<Path>) -> Arc<dyn Disk> {
        Arc::new(Self {
            root: path.as_ref().to_owned(),
            is_read_only: true,
        })
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.is_read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(())
    }

    /// Keeps those out who write. Where no lock was ever made, and none can be, nobody does.
    fn lock_to_read(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        match os::open_plain(path, Purpose::Read) {
            Ok(file) => {
                let locked = file.try_lock_shared();
                self.locked(file, locked)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Box::new(NoLock)),
            Err(error) => Err(error),
        }
    }

    fn locked(
        &self,
        file: File,
        locked: Result<(), TryLockError>,
    ) -> io::Result<Box<dyn DiskLock>> {
        match locked {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                format!("{} is in use by another process", self.root.display()),
            )),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn make(&self) -> io::Result<()> {
        let root = &self.root;
        let parents = parents_of_missing(root);
        if !parents.is_empty() {
            fs::create_dir_all(root)?;
        }
        for parent in parents {
            os::sync_folder(&parent)?;
        }
        Ok(())
    }

    fn resolve(&self, path: &str) -> io::Result<PathBuf> {
        check_path(path)?;
        Ok(path
            .split('/')
            .filter(|part| !part.is_empty())
            .fold(self.root.clone(), |full, part| full.join(part)))
    }
}

/// The folders that get a new name when this path is made: the parent of each folder on it that is not there.
fn parents_of_missing(path: &Path) -> Vec<PathBuf> {
    let here = || PathBuf::from(".");
    path.ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
        .map(|folder| match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => here(),
        })
        .collect()
}

/// Paths are `name` or `folder/name`, of characters that every system takes.
pub(crate) fn check_path(path: &str) -> io::Result<()> {
    let good_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if path.is_empty() || (path.split('/').count() <= 2 && path.split('/').all(good_part)) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{path:?} is not a path in a data folder"),
    ))
}

impl Disk for RealDisk {
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let purpose = if self.is_read_only {
            Purpose::Read
        } else {
            Purpose::Write
        };
        let file = os::open_plain(&self.resolve(path)?, purpose)?;
        Ok(Arc::new(RealFile {
            file: Arc::new(file),
        }))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.check_writable()?;
        let file = os::open_plain(&self.resolve(path)?, Purpose::Create)?;
        Ok(Arc::new(RealFile {
            file: Arc::new(file),
        }))
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        self.check_writable()?;
        if path.is_empty() {
            return self.make();
        }
        let full = self.resolve(path)?;
        match fs::create_dir(&full) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::symlink_metadata(&full)?.is_dir() {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            result => result,
        }
    }

    fn list(&self, folder: &str) -> io::Result<Vec<DiskEntry>> {
        fs::read_dir(self.resolve(folder)?)?
            .map(|entry| {
                let entry = entry?;
                let kind = entry.file_type()?;
                let kind = if kind.is_file() {
                    DiskEntryKind::File
                } else if kind.is_dir() {
                    DiskEntryKind::Folder
                } else {
                    DiskEntryKind::Other
                };
                let name = entry.file_name().to_string_lossy().into_owned();
                Ok(DiskEntry { name, kind })
            })
            .collect()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_writable()?;
        fs::rename(self.resolve(from)?, self.resolve(to)?)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.check_writable()?;
        fs::remove_file(self.resolve(path)?)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        if is_planted(Bug::NoFolderSync) {
            return Ok(());
        }
        os::sync_folder(&self.resolve(folder)?)
    }

    fn space(&self) -> io::Result<Space> {
        os::space(&self.root)
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>> {
        let full = self.resolve(path)?;
        if self.is_read_only {
            return self.lock_to_read(&full);
        }
        let file = match os::open_plain(&full, Purpose::Create) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                os::open_plain(&full, Purpose::Write)?
            }
            result => result?,
        };
        let locked = file.try_lock();
        self.locked(file, locked)
    }
}

/// Stands for the lock of a folder that nobody can have locked.
#[derive(Debug)]
struct NoLock;

impl DiskLock for NoLock {}

/// The system lets go of the lock when the file is closed, however the process ends.
#[derive(Debug)]
struct RealLock {
    _file: File,
}

impl DiskLock for RealLock {}

#[derive(Debug)]
struct RealFile {
    file: Arc<File>,
}

impl DiskFile for RealFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        os::read_exact_at(&self.file, buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        os::write_all_at(&self.file, bytes, offset)
    }

    fn write_all_parts_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        os::write_all_parts_at(&self.file, parts, offset)
    }

    fn sync(&self) -> io::Result<()> {
        if is_planted(Bug::NoFileSync) {
            return Ok(());
        }
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        os::allocate(&self.file, len)
    }

    fn as_std(&self) -> Option<&Arc<File>> {
        Some(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, Arc<dyn Disk>) {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(folder.path().join("data")).unwrap();
        (folder, disk)
    }

    #[test]
    fn bytes_written_in_parts_are_read_back() {
        let (_folder, disk) = disk();
        disk.create_folder("extents").unwrap();
        disk.create_folder("extents").unwrap();
        let file = disk.create("extents/00000001.extent").unwrap();
        let many: Vec<Vec<u8>> = (0..3000_u32)
            .map(|n| n.to_be_bytes()[..n as usize % 5].to_vec())
            .collect();
        let parts: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        file.allocate(1 << 20).unwrap();
        file.write_all_parts_at(&parts, 7).unwrap();
        file.write_all_parts_at(&[], 7).unwrap();
        file.sync().unwrap();
        disk.sync_folder("extents").unwrap();
        let expected = many.concat();
        assert_eq!(file.len().unwrap(), 7 + expected.len() as u64);
        let file = disk.open("extents/00000001.extent").unwrap();
        let mut read = vec![0; expected.len()];
        file.read_exact_at(&mut read, 7).unwrap();
        assert_eq!(read, expected);
        let past = file.read_exact_at(&mut read, 8).unwrap_err();
        assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(disk.list("extents").unwrap().len(), 1);
        assert!(disk.space().unwrap().capacity > 0);
    }

    #[test]
    fn names_are_taken_once_renamed_and_removed() {
        let (_folder, disk) = disk();
        disk.create("a").unwrap();
        let again = disk.create("a").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        disk.rename("a", "b").unwrap();
        assert_eq!(disk.open("a").unwrap_err().kind(), io::ErrorKind::NotFound);
        disk.remove("b").unwrap();
        assert!(disk.list("").unwrap().is_empty());
    }

    /// On Windows none knew of the other, and a node with both told of twice the room that there is.
    #[test]
    fn folders_on_one_file_system_are_known_for_that() {
        let (folder, disk) = disk();
        let other = RealDisk::open(folder.path().join("other")).unwrap();
        let file_system = |disk: &dyn Disk| disk.space().unwrap().file_system;
        assert_eq!(file_system(&*disk), file_system(&*other));
        assert_eq!(
            file_system(&*disk).is_some(),
            cfg!(any(unix, windows)),
            "the system tells which one it is"
        );
    }

    /// Of several folders that were made, only the last one's name was durable.
    #[test]
    fn each_folder_that_is_made_is_synced() {
        let (folder, _disk) = disk();
        let root = folder.path();
        let check = |path: &Path, expected: &[PathBuf]| {
            assert_eq!(parents_of_missing(path), expected, "{}", path.display());
        };
        let (a, b) = (root.join("a"), root.join("a").join("b"));
        check(&b.join("c"), &[b, a, root.to_owned()]);
        check(&root.join("data"), &[]);
        check(Path::new("not/here"), &["not".into(), ".".into()]);
        let deep = root.join("x").join("y");
        RealDisk::open(&deep).unwrap();
        assert!(deep.is_dir());
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        let (_folder, disk) = disk();
        for path in [
            "..", "../a", "/a", "a/b/c", "a//b", "a/", ".a", "a\\b", "a\0", "c:",
        ] {
            let error = disk.create(path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
        }
    }

    #[test]
    fn one_lock_at_a_time() {
        let (_folder, disk) = disk();
        let lock = disk.lock("lock").unwrap();
        let second = disk.lock("lock").unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        disk.lock("lock").unwrap();
    }

    /// The tools that only read asked to write, and so could not be used on a disk that the system lets be read only: the one
    /// that needs them.
    #[test]
    fn what_is_only_read_is_not_changed() {
        let (folder, disk) = disk();
        disk.create("a").unwrap().write_all_at(b"abc", 0).unwrap();
        let reader = RealDisk::read_only(folder.path().join("data"));
        drop(reader.lock("lock").unwrap());
        assert_eq!(reader.list("").unwrap().len(), 1, "no lock is made");
        let file = reader.open("a").unwrap();
        assert_eq!(file.len().unwrap(), 3);
        file.write_all_at(b"x", 0).unwrap_err();
        reader.create("b").unwrap_err();
        reader.create_folder("b").unwrap_err();
        reader.rename("a", "b").unwrap_err();
        reader.remove("a").unwrap_err();

        let lock = disk.lock("lock").unwrap();
        let locked = reader.lock("lock").unwrap_err();
        assert_eq!(locked.kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        let _reading = (reader.lock("lock").unwrap(), reader.lock("lock").unwrap());
        let locked = disk.lock("lock").unwrap_err();
        assert_eq!(locked.kind(), io::ErrorKind::WouldBlock);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_pipes_are_neither_followed_nor_opened() {
        let (folder, disk) = disk();
        let secret = folder.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        std::os::unix::fs::symlink(&secret, folder.path().join("data/link")).unwrap();
        disk.create_folder("sub").unwrap();
        let pipe = folder.path().join("data/pipe");
        let made = std::process::Command::new("mkfifo").arg(pipe).status();
        assert!(made.unwrap().success());
        let socket = folder.path().join("data/socket");
        let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();

        // Opening a pipe that nobody writes to would wait for ever.
        for name in ["link", "sub", "pipe", "socket"] {
            disk.open(name).unwrap_err();
            disk.lock(name).unwrap_err();
        }
        let reader = RealDisk::read_only(folder.path().join("data"));
        reader.open("pipe").unwrap_err();
        let mut kinds: Vec<_> = disk.list("").unwrap();
        kinds.sort_by(|left, right| left.name.cmp(&right.name));
        let kinds: Vec<_> = kinds.into_iter().map(|entry| entry.kind).collect();
        let other = DiskEntryKind::Other;
        assert_eq!(kinds, [other, other, other, DiskEntryKind::Folder]);
    }
}
