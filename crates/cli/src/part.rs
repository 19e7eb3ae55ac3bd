//! A download that is not complete: `NAME.VERSION-CLUSTER.part`, and beside it a small file that says how far it is.
//!
//! Since a version has one content for good, a part with this name can always be gone on with, whoever began it. No
//! download gives a file such a name ([`is_part_name`]), or it could take a part's place while that is written. The
//! second file, `….part.json`, says how many bytes were fsynced: just those are kept, and whoever goes on verifies them
//! first. The part is locked while somebody writes it. It gets its final name only when it is whole and fsynced.
//!
//! **Invariant:** no step leaves bytes under the final name that are not all of one version.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::local::sync_folder;

/// What a part is a part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whole {
    /// The cluster's id: others count versions from 1 too.
    pub(crate) cluster: String,
    /// The file's version, which is its content.
    pub(crate) version: u64,
    /// Its bytes.
    pub(crate) size: u64,
}

/// What `NAME.part.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    whole: Whole,
    /// Bytes that were fsynced.
    durable: u64,
}

/// A part that is being written. Dropped before [`Part::finish`], it stays for the next time.
#[derive(Debug)]
pub(crate) struct Part {
    file: File,
    path: PathBuf,
    target: PathBuf,
    whole: Whole,
    len: u64,
}

impl Part {
    /// Opens the part of `target`, keeping what is there of this very version, and locks it.
    pub(crate) fn open(target: &Path, whole: Whole) -> io::Result<Self> {
        let path = target.with_file_name(part_name(target, &whole));
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(in_the_way(&path, "is there and is not a file; remove it"));
        }
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(in_the_way(&path, "is being written by another download"));
            }
            // Some file systems have no locks: then it is for the person not to download a file twice at once.
            Err(TryLockError::Error(error)) if has_no_locks(&error) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let record = fs::read(record_path(&path)).ok();
        let len = resumable(record.as_deref(), &whole, file.metadata()?.len());
        let mut part = Self {
            file,
            path,
            target: target.to_owned(),
            whole,
            len,
        };
        part.cut(len)?;
        part.record(len)?;
        Ok(part)
    }

    /// Bytes that are there: the next that is written comes after them.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Adds bytes.
    pub(crate) fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Reads bytes that are there; they fit into memory.
    pub(crate) fn read(&mut self, range: &Range<u64>) -> io::Result<Vec<u8>> {
        let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        self.file.seek(SeekFrom::Start(range.start))?;
        let read = self.file.read_exact(&mut bytes);
        self.file.seek(SeekFrom::Start(self.len))?;
        read.map(|()| bytes)
    }

    /// Writes over bytes that are there.
    pub(crate) fn put_right(&mut self, at: u64, bytes: &Bytes) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        self.file.write_all(bytes)?;
        self.file.seek(SeekFrom::Start(self.len)).map(drop)
    }

    /// Keeps only the first `len` bytes.
    pub(crate) fn cut(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.file.seek(SeekFrom::Start(len))?;
        self.len = len;
        Ok(())
    }

    /// What makes all that was written until now durable, to be run on a thread while writing goes on.
    pub(crate) fn checkpoint(&self) -> io::Result<impl FnOnce() -> io::Result<()> + Send + use<>> {
        let file = self.file.try_clone()?;
        let (path, whole, durable) = (self.path.clone(), self.whole.clone(), self.len);
        Ok(move || {
            file.sync_data()?;
            write_record(&path, &Record { whole, durable })
        })
    }

    /// Makes it whole: fsyncs the bytes, gives them their name, fsyncs the folder. `modified_ms` becomes the file's time.
    pub(crate) fn finish(self, modified_ms: u64) -> io::Result<()> {
        if self.len != self.whole.size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} bytes came of {}", self.len, self.whole.size),
            ));
        }
        // A file system that keeps no times, or not this one, keeps the bytes all the same.
        let modified = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(modified_ms));
        drop(modified.map(|time| self.file.set_modified(time)));
        self.file.sync_all()?;
        if cfg!(windows) {
            // There, an open file that is locked cannot be renamed. If it cannot be unlocked, closing it does it in time, or
            // renaming fails and says why.
            self.file.unlock().ok();
        }
        drop(self.file);
        fs::rename(&self.path, &self.target)?;
        sync_folder(folder_of(&self.target))?;
        match fs::remove_file(record_path(&self.path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn record(&self, durable: u64) -> io::Result<()> {
        let whole = self.whole.clone();
        write_record(&self.path, &Record { whole, durable })
    }
}

/// `ENOLCK`: a network file system is mounted whose server has nobody who keeps locks.
const NO_LOCKS_AVAILABLE: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    37
} else {
    77
};

fn has_no_locks(error: &io::Error) -> bool {
    let is_unavailable = cfg!(unix) && error.raw_os_error() == Some(NO_LOCKS_AVAILABLE);
    is_unavailable || error.kind() == io::ErrorKind::Unsupported
}

/// Removes parts of other versions of `target`, which nobody will go on with, and records of such parts that are gone.
pub(crate) fn remove_outdated(target: &Path, whole: &Whole) -> io::Result<()> {
    let folder = folder_of(target);
    let current = part_name(target, whole);
    for found in fs::read_dir(folder)? {
        let name = found?.file_name();
        let Some(name) = name.to_str() else { continue };
        let part = name.strip_suffix(".json").unwrap_or(name);
        if part == current || !is_part_of(part, target) {
            continue;
        }
        let path = folder.join(part);
        if part != name {
            if !path.try_exists()? {
                fs::remove_file(record_path(&path)).ok();
            }
            continue;
        }
        let is_free = File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
        if is_free {
            fs::remove_file(record_path(&path)).ok();
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Removes the record of a part that is gone: it became the `target`, and who made it so was killed in this moment.
pub(crate) fn remove_record(target: &Path, whole: &Whole) -> io::Result<()> {
    let part = target.with_file_name(part_name(target, whole));
    if part.try_exists()? {
        return Ok(());
    }
    match fs::remove_file(record_path(&part)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Bytes of a target's name that go into its part's, so that this is not too long for any file system.
const STEM_LEN_MAX: usize = 180;

fn part_name(target: &Path, whole: &Whole) -> String {
    let cluster: String = whole.cluster.chars().take(8).collect();
    format!("{}.{}-{cluster}.part", stem(target), whole.version)
}

fn stem(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let mut end = name.len().min(STEM_LEN_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

/// Whether this is a name as parts and their records have: `NAME.VERSION-CLUSTER.part` or `….part.json`. In either case
/// of letters, since a system may not tell them apart.
pub(crate) fn is_part_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".json").unwrap_or(&name);
    name.strip_suffix(".part")
        .and_then(|name| name.rsplit_once('.'))
        .is_some_and(|(_, middle)| is_version_and_cluster(middle))
}

/// Whether this is the name of a part of some version of `target`.
fn is_part_of(name: &str, target: &Path) -> bool {
    name.strip_prefix(&stem(target))
        .and_then(|rest| rest.strip_prefix('.'))
        .and_then(|rest| rest.strip_suffix(".part"))
        .is_some_and(is_version_and_cluster)
}

fn is_version_and_cluster(middle: &str) -> bool {
    middle.split_once('-').is_some_and(|(version, cluster)| {
        let has_digits = !version.is_empty() && version.bytes().all(|c| c.is_ascii_digit());
        has_digits && cluster.len() == 8 && cluster.bytes().all(|c| c.is_ascii_hexdigit())
    })
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// How much of a part can be kept: what its record says is durable, if it is of the same whole.
fn resumable(record: Option<&[u8]>, whole: &Whole, part_len: u64) -> u64 {
    let record = record.and_then(|record| serde_json::from_slice::<Record>(record).ok());
    match record {
        Some(record) if record.whole == *whole && record.durable <= whole.size.min(part_len) => {
            record.durable
        }
        _ => 0,
    }
}

fn write_record(part: &Path, record: &Record) -> io::Result<()> {
    // A torn record is no JSON, and then the download begins anew: no more care is needed.
    fs::write(record_path(part), serde_json::to_vec(record)?)
}

fn record_path(part: &Path) -> PathBuf {
    part.with_extension("part.json")
}

fn in_the_way(path: &Path, what: &str) -> io::Error {
    let message = format!("{} {what}", path.display());
    io::Error::new(io::ErrorKind::AlreadyExists, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "3f0c1a2b-0000-4000-8000-000000000000";

    fn whole(version: u64) -> Whole {
        Whole {
            cluster: CLUSTER.to_owned(),
            version,
            size: 10,
        }
    }

    fn check(record: &str, part_len: u64, expected: u64) {
        let record = record.replace("OURS", CLUSTER);
        let kept = resumable(Some(record.as_bytes()), &whole(7), part_len);
        assert_eq!(kept, expected, "{record}");
    }

    #[test]
    fn only_durable_bytes_of_the_same_version_are_kept() {
        check(
            r#"{"cluster":"OURS","version":7,"size":10,"durable":4}"#,
            9,
            4,
        );
        check(
            r#"{"cluster":"OURS","version":7,"size":10,"durable":10}"#,
            10,
            10,
        );
        check(
            r#"{"cluster":"OURS","version":8,"size":10,"durable":4}"#,
            9,
            0,
        );
        check(r#"{"cluster":"d","version":7,"size":10,"durable":4}"#, 9, 0);
        check(
            r#"{"cluster":"OURS","version":7,"size":11,"durable":4}"#,
            9,
            0,
        );
        check(
            r#"{"cluster":"OURS","version":7,"size":10,"durable":4}"#,
            3,
            0,
        );
        check(
            r#"{"cluster":"OURS","version":7,"size":10,"durable":11}"#,
            11,
            0,
        );
        check(r#"{"cluster":"OURS","versi"#, 9, 0);
        check("", 9, 0);
        assert_eq!(resumable(None, &whole(7), 9), 0);
    }

    #[test]
    fn a_part_that_was_cut_off_goes_on_after_its_last_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.txt");
        fs::write(&target, "old").unwrap();

        let mut part = Part::open(&target, whole(7)).unwrap();
        part.write(&Bytes::from_static(b"01234")).unwrap();
        part.checkpoint().unwrap()().unwrap();
        part.write(&Bytes::from_static(b"xx")).unwrap();
        drop(part);
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");

        let mut part = Part::open(&target, whole(7)).unwrap();
        assert_eq!(part.len(), 5);
        part.write(&Bytes::from_static(b"56789")).unwrap();
        part.finish(1_000_000).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "0123456789");
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let modified = fs::metadata(&target).unwrap().modified().unwrap();
        assert_eq!(modified, SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
    }

    /// A download that was killed when its part had just become the file left `a.txt.7-….part.json` beside it for good: the next
    /// one found the file there, and nothing to do.
    #[test]
    fn the_record_of_a_part_goes_when_the_part_has_become_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.txt");
        let part = Part::open(&target, whole(7)).unwrap();
        remove_record(&target, &whole(7)).unwrap();
        assert!(record_path(&part.path).exists(), "the part is not whole");
        fs::rename(&part.path, &target).unwrap();
        remove_record(&target, &whole(7)).unwrap();
        remove_record(&target, &whole(7)).unwrap();
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    /// A download was killed when its part had just become the file, and the file was replaced before the next one: the record of
    /// the old part stayed for good.
    #[test]
    fn the_record_of_an_older_part_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.txt");
        let part = Part::open(&target, whole(7)).unwrap();
        fs::rename(&part.path, &target).unwrap();
        drop(part);
        remove_outdated(&target, &whole(8)).unwrap();
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn parts_of_other_versions_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.txt");
        let of_others = [
            "a.txt.part",
            "a.txt.x-3f0c1a2b.part",
            "b.txt.7-3f0c1a2b.part",
            "a.txt",
        ];
        for name in of_others {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        drop(Part::open(&target, whole(7)).unwrap());
        let in_use = Part::open(&target, whole(6)).unwrap();
        drop(Part::open(&target, whole(8)).unwrap());
        remove_outdated(&target, &whole(8)).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|found| found.unwrap().file_name().into_string().unwrap())
            .filter(|name| !of_others.contains(&name.as_str()))
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "a.txt.6-3f0c1a2b.part",
                "a.txt.6-3f0c1a2b.part.json",
                "a.txt.8-3f0c1a2b.part",
                "a.txt.8-3f0c1a2b.part.json"
            ]
        );
        drop(in_use);
    }

    #[test]
    fn a_part_and_its_record_have_names_that_are_known() {
        let part = part_name(Path::new("a.txt"), &whole(7));
        for name in [
            part.as_str(),
            record_path(Path::new(&part)).to_str().unwrap(),
            "A.TXT.7-3F0C1A2B.PART",
            "7-3f0c1a2b.1-3f0c1a2b.part",
        ] {
            assert!(is_part_name(name), "{name}");
        }
        for name in [
            "a.txt",
            "a.part",
            "a.txt.part.json",
            "a.txt.x-3f0c1a2b.part",
            "a.txt.7-3f0c1a2b (2).part",
            "a.txt.7-3f0c1a2b.part (2).json",
            "a.txt.7-3f0c1a2b.json",
            "7-3f0c1a2b.part",
        ] {
            assert!(!is_part_name(name), "{name}");
        }
    }

    #[test]
    fn the_longest_name_has_a_part_too() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("é".repeat(127));
        assert!(Part::open(&target, whole(u64::MAX)).is_ok());
    }

    #[test]
    fn a_part_that_is_not_whole_gets_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.txt");
        let mut part = Part::open(&target, whole(7)).unwrap();
        part.write(&Bytes::from_static(b"012345678")).unwrap();
        assert!(part.finish(0).is_err());
        assert!(!target.exists());
    }

    /// No file could be downloaded onto a network file system whose server keeps no locks.
    #[cfg(unix)]
    #[test]
    fn a_file_system_without_locks_is_known() {
        let error = io::Error::from_raw_os_error(NO_LOCKS_AVAILABLE);
        assert!(error.to_string().contains("locks"), "{error}");
        assert!(has_no_locks(&error));
        assert!(has_no_locks(&io::ErrorKind::Unsupported.into()));
        assert!(!has_no_locks(&io::ErrorKind::PermissionDenied.into()));
    }

    #[test]
    fn two_downloads_do_not_write_one_part() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.txt");
        let first = Part::open(&target, whole(7)).unwrap();
        let error = Part::open(&target, whole(7)).unwrap_err();
        assert!(error.to_string().contains("another download"), "{error}");
        drop(first);
        assert!(Part::open(&target, whole(7)).is_ok());
    }
}
