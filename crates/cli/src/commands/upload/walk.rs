//! Walks through a local folder on a thread of its own, a bounded number of finds ahead of the uploads.
//!
//! Symbolic links in it are passed over and told, since they may lead anywhere and round in circles; so are parts of
//! downloads that are not complete, and what is neither file nor folder. A folder that cannot be read, or a name that cannot be stored, does not end the walk.

use std::fs::{self, DirEntry};
use std::io;
use std::path::PathBuf;

use proto::name::{EntryName, EntryPath};
use tokio::sync::mpsc;

use crate::part::is_part_name;
use crate::progress::Transfer;

/// Finds that may wait for the uploads.
const FINDS_AHEAD: usize = 256;

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    /// A file, and the name that it gets.
    File { local: PathBuf, path: EntryPath },
    /// A folder in which nothing is to be stored: it must be made by itself.
    EmptyFolder { path: EntryPath },
    /// Something that is not stored.
    Passed {
        local: PathBuf,
        reason: &'static str,
    },
    /// Something that should be stored and cannot be.
    Failed {
        local: PathBuf,
        error: anyhow::Error,
    },
}

/// Begins to walk; ends when the receiver is dropped.
pub(super) fn walk(local: PathBuf, path: EntryPath) -> mpsc::Receiver<Found> {
    let (sender, receiver) = mpsc::channel(FINDS_AHEAD);
    tokio::task::spawn_blocking(move || {
        visit_all(local, path, |found| sender.blocking_send(found).is_ok());
    });
    receiver
}

/// Begins to sum up what a walk will find, far ahead of it, and tells it to the transfer; ends when that is over.
pub(super) fn measure(local: PathBuf, path: EntryPath, transfer: Transfer) {
    tokio::task::spawn_blocking(move || {
        visit_all(local, path, |found| {
            if let Found::File { local, .. } = found {
                // What cannot be looked at fails when it is read.
                let len = fs::metadata(local).map_or(0, |metadata| metadata.len());
                transfer.found(1, len);
            }
            !transfer.is_over()
        });
        transfer.found_all();
    });
}

/// Gives all that is in a folder to `take`, until it wants no more.
fn visit_all(local: PathBuf, path: EntryPath, mut take: impl FnMut(Found) -> bool) {
    let mut folders = vec![(local, path)];
    while let Some((local, path)) = folders.pop() {
        for found in visit(local, path, &mut folders) {
            if !take(found) {
                return;
            }
        }
    }
}

/// What is in one folder, by name; folders in it are added to `folders`.
fn visit(local: PathBuf, path: EntryPath, folders: &mut Vec<(PathBuf, EntryPath)>) -> Vec<Found> {
    let entries = match sorted(&local) {
        Ok(entries) => entries,
        Err(error) => {
            return vec![Found::Failed {
                local,
                error: error.into(),
            }];
        }
    };
    let mut finds = Vec::new();
    let folders_before = folders.len();
    for entry in entries {
        let local = entry.path();
        match classify(&entry, &path) {
            Ok(Kind::Folder(path)) => folders.push((local, path)),
            Ok(Kind::File(path)) => finds.push(Found::File { local, path }),
            Ok(Kind::Other(reason)) => finds.push(Found::Passed { local, reason }),
            Err(error) => finds.push(Found::Failed { local, error }),
        }
    }
    // The last pushed is visited first: turned round, they come by name.
    folders[folders_before..].reverse();
    let makes_itself = finds
        .iter()
        .any(|found| matches!(found, Found::File { .. }));
    if !makes_itself && folders.len() == folders_before {
        finds.push(Found::EmptyFolder { path });
    }
    finds
}

fn sorted(folder: &PathBuf) -> io::Result<Vec<DirEntry>> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

enum Kind {
    File(EntryPath),
    Folder(EntryPath),
    Other(&'static str),
}

fn classify(entry: &DirEntry, folder: &EntryPath) -> anyhow::Result<Kind> {
    let file_type = entry.file_type()?;
    if file_type.is_symlink() {
        return Ok(Kind::Other("it is a symbolic link"));
    }
    if !file_type.is_file() && !file_type.is_dir() {
        return Ok(Kind::Other("it is neither a file nor a folder"));
    }
    let name = entry.file_name();
    let name = name
        .to_str()
        .ok_or_else(|| anyhow::anyhow!("its name is not valid Unicode"))?;
    if file_type.is_file() && is_part_name(name) {
        return Ok(Kind::Other("it belongs to a download that is not complete"));
    }
    let path = folder.join(EntryName::new(name)?)?;
    Ok(if file_type.is_dir() {
        Kind::Folder(path)
    } else {
        Kind::File(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(folder: &std::path::Path) -> Vec<String> {
        let mut folders = vec![(folder.to_owned(), "/x".parse().unwrap())];
        let mut lines = Vec::new();
        while let Some((local, path)) = folders.pop() {
            lines.extend(
                visit(local, path, &mut folders)
                    .into_iter()
                    .map(|found| match found {
                        Found::File { path, .. } => path.to_string(),
                        Found::EmptyFolder { path } => format!("{path}/"),
                        Found::Passed { reason, .. } => reason.to_owned(),
                        Found::Failed { error, .. } => error.to_string(),
                    }),
            );
        }
        lines
    }

    #[test]
    fn files_come_by_name_and_empty_folders_too() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["b/c", "a/empty", "z"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        for path in ["b/c/2.txt", "b/1.txt", "top.txt"] {
            fs::write(folder.path().join(path), "").unwrap();
        }
        assert_eq!(
            found(folder.path()),
            [
                "/x/top.txt",
                "/x/a/empty/",
                "/x/b/1.txt",
                "/x/b/c/2.txt",
                "/x/z/"
            ]
        );
    }

    #[test]
    fn parts_of_downloads_are_told_and_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "a.txt.1-ee586cd2.part",
            "a.txt.1-ee586cd2.part.json",
            "b.part",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let part = "it belongs to a download that is not complete";
        assert_eq!(found(folder.path()), [part, part, "/x/b.part"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_names_that_cannot_be_are_told() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a")).unwrap();
        fs::write(folder.path().join("b\n"), "").unwrap();
        let is_made = fs::write(folder.path().join(OsStr::from_bytes(b"c\xff")), "").is_ok();
        let lines = found(folder.path());
        assert_eq!(lines[0], "it is a symbolic link");
        assert!(lines[1].contains("control character"), "{lines:?}");
        assert!(
            !is_made || lines[2].contains("not valid Unicode"),
            "{lines:?}"
        );
    }
}
