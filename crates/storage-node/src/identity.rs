//! Who a node is: `node.json` in each of its folders.
//!
//! The first folder's says everything: the node's id, the key with which it signs receipts, the cluster that it
//! joined and the latest point of its master's history that it has seen. Each folder's says which disk of how many it is, so
//! that a folder that is missing, swapped, not mounted or another node's is told before anything is written.
//!
//! **Invariants:** the file is always whole: it is written beside, synced, renamed and its folder synced. One that does
//! not fit its checksum is not believed: the node does not start.

use std::fmt::Display;
use std::io;
use std::sync::Arc;

use disk::{Disk, DiskEntryKind, is_of_the_system};
use proto::HistoryPoint;
use proto::hello::ReceiptKey;
use proto::id::{ClusterId, NodeId};
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::error::OpenError;
use crate::extent::EXTENTS_FOLDER;

/// The identity's file.
pub(crate) const IDENTITY_PATH: &str = "node.json";
const IDENTITY_NEW_PATH: &str = "node.json.new";
/// Held by the process that uses the folder.
pub(crate) const LOCK_PATH: &str = "lock";
/// The format that this version writes, and the newest that it reads.
pub(crate) const FOLDER_FORMAT: u32 = 1;
/// Our own beginnings, which may be in a folder that is otherwise new.
const NEW_FOLDER_NAMES: &[&str] = &[LOCK_PATH, IDENTITY_NEW_PATH];

/// What `node.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdentityFile {
    format: u32,
    node: NodeId,
    disk: u32,
    /// How many folders there are; in all but the first, how many there were when it was new.
    disks: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receipt_key: Option<ReceiptKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<HistoryPoint>,
}

impl IdentityFile {
    fn checksum(&self) -> io::Result<u32> {
        let bytes = serde_json::to_vec(self).map_err(io::Error::other)?;
        Ok(crc32c::crc32c(&bytes))
    }
}

/// The same with its checksum, as it is in the file: a digit that turned over in the history would have the node take
/// its own master for a wrong one.
#[derive(Serialize, Deserialize)]
struct Checked {
    #[serde(flatten)]
    file: IdentityFile,
    crc32c: u32,
}

/// Only what every format has.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// What a folder is found to be.
#[derive(Debug)]
pub(crate) enum Folder {
    Empty,
    Of(IdentityFile),
    /// Its disk does not work.
    Dead,
}

impl Folder {
    /// How many disks its node had so far.
    pub(crate) fn disks(&self) -> usize {
        self.file().map_or(0, |file| file.disks as usize)
    }

    fn file(&self) -> Option<&IdentityFile> {
        match self {
            Self::Of(file) => Some(file),
            Self::Empty | Self::Dead => None,
        }
    }
}

/// Whether a node goes on without the disk in this place, of as many as it had: not if it is the first, which says who the node
/// is, nor if it was never used.
pub(crate) fn may_be_dead(place: usize, had: usize, error: &OpenError) -> bool {
    (1..had).contains(&place) && matches!(error, OpenError::Disk { .. })
}

/// Who this node is.
#[derive(Debug, Clone)]
pub struct Identity {
    disk: Arc<dyn Disk>,
    file: IdentityFile,
    receipt_key: ReceiptKey,
}

/// Which folders are taken.
#[derive(Debug, Clone, Copy, Default)]
pub struct Acceptance {
    /// Only folders that are a node's already.
    pub existing_only: bool,
    /// Empty folders in the place of disks that are gone for good.
    pub replaced_disks: bool,
}

impl Identity {
    /// Who the node of these folders is, as they were read; a new one where they are empty. The folders must be locked since
    /// before that; those that are dead or do not answer are left out, where that may be.
    ///
    /// # Errors
    /// A sentence that says what is wrong with which folder.
    pub(crate) fn open(
        found: Vec<Option<(Arc<dyn Disk>, Folder)>>,
        acceptance: Acceptance,
        environment: &Environment,
    ) -> Result<Self, OpenError> {
        let found = found.into_iter().map(|found| match found {
            Some((disk, folder)) => (Some(disk), folder),
            None => (None, Folder::Dead),
        });
        let (disks, folders): (Vec<_>, Vec<_>) = found.unzip();
        let (Some(Some(first_disk)), Some(first)) = (disks.first(), folders.first()) else {
            return Err(OpenError::Refused(
                "a storage node needs at least one folder".into(),
            ));
        };
        let file = match first {
            Folder::Of(file) => file.clone(),
            Folder::Empty | Folder::Dead => new_identity(&folders, acceptance, environment)?,
        };
        let receipt_key = file.receipt_key.clone().ok_or_else(|| {
            OpenError::Refused(format!(
                "folder 1 is disk {} of node {}: give the node's folders in their first order",
                file.disk + 1,
                file.node
            ))
        })?;
        check_folders(&file, &folders, acceptance)?;
        let mut identity = Self {
            disk: Arc::clone(first_disk),
            file,
            receipt_key,
        };
        if matches!(first, Folder::Empty) {
            identity.write_first()?;
        }
        identity.file.disks = count(disks.len());
        for (place, (disk, old)) in disks.iter().zip(&folders).enumerate().skip(1) {
            if let Some(disk) = disk {
                identity.write_other(&**disk, place, old)?;
            }
        }
        if first.file() != Some(&identity.file) {
            identity.write_first()?;
        }
        Ok(identity)
    }

    /// Takes the folder of a disk that answered late, as it was read when it was locked.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(crate) fn admit(
        &self,
        disk: &dyn Disk,
        place: usize,
        folder: &Folder,
        acceptance: Acceptance,
    ) -> Result<(), OpenError> {
        check_folder(&self.file, place, folder, acceptance)?;
        self.write_other(disk, place, folder)
    }

    /// Its id.
    pub fn node(&self) -> NodeId {
        self.file.node
    }

    /// Its key for receipts.
    pub fn receipt_key(&self) -> &ReceiptKey {
        &self.receipt_key
    }

    /// The cluster that it joined, if it has.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.file.cluster
    }

    /// The latest point of its master's history that is kept.
    pub fn seen(&self) -> Option<HistoryPoint> {
        self.file.seen
    }

    /// The same node, once it has joined this cluster: durable when this returns.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn joined(&self, cluster: ClusterId) -> io::Result<Self> {
        self.changed(|file| file.cluster = Some(cluster))
    }

    /// The same node, once it keeps that it has seen this: durable when this returns.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn having_seen(&self, seen: HistoryPoint) -> io::Result<Self> {
        self.changed(|file| file.seen = Some(seen))
    }

    fn changed(&self, change: impl FnOnce(&mut IdentityFile)) -> io::Result<Self> {
        let mut changed = self.clone();
        change(&mut changed.file);
        if changed.file != self.file {
            write(&*changed.disk, &changed.file)?;
        }
        Ok(changed)
    }

    /// A folder counts as one of the node's from when the first one says so. So it says so last.
    fn write_first(&self) -> Result<(), OpenError> {
        write_in(&*self.disk, 0, &self.file)
    }

    /// Says whose the folder is, if it does not say so yet. How many there are is asked of the first one only.
    fn write_other(&self, disk: &dyn Disk, place: usize, old: &Folder) -> Result<(), OpenError> {
        if old.file().is_some() {
            return Ok(());
        }
        let file = IdentityFile {
            disk: count(place),
            cluster: None,
            receipt_key: None,
            seen: None,
            ..self.file.clone()
        };
        write_in(disk, place, &file)
    }
}

/// Reads a folder's identity without changing anything: for tools.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn read_owner(disk: &dyn Disk) -> Result<(NodeId, u32), OpenError> {
    match read(disk, 0)? {
        Folder::Of(file) => Ok((file.node, file.disk)),
        Folder::Empty | Folder::Dead => Err(OpenError::Refused(format!(
            "there is no {IDENTITY_PATH}: this is not a storage node's folder"
        ))),
    }
}

fn new_identity(
    folders: &[Folder],
    acceptance: Acceptance,
    environment: &Environment,
) -> Result<IdentityFile, OpenError> {
    if let Some(other) = folders.iter().find_map(Folder::file) {
        return Err(OpenError::Refused(format!(
            "folder 1 is empty, but another one is disk {} of node {}: is the first disk mounted?",
            other.disk + 1,
            other.node
        )));
    }
    if acceptance.existing_only {
        return Err(OpenError::Refused(
            "the folder is empty, and --existing was given: is the disk mounted?".into(),
        ));
    }
    Ok(IdentityFile {
        format: FOLDER_FORMAT,
        node: NodeId::new(environment.uuid()),
        disk: 0,
        disks: 1,
        cluster: None,
        receipt_key: Some(ReceiptKey::from_bytes(environment.random())),
        seen: None,
    })
}

/// Folders may be added at the end; none may be missing, empty where there was one, or in another's place.
fn check_folders(
    first: &IdentityFile,
    folders: &[Folder],
    acceptance: Acceptance,
) -> Result<(), OpenError> {
    if count(folders.len()) < first.disks {
        return Err(OpenError::Refused(format!(
            "node {} has {} folders, but {} were given: give them all, in their first order",
            first.node,
            first.disks,
            folders.len()
        )));
    }
    let mut folders = folders.iter().enumerate();
    folders.try_for_each(|(place, folder)| check_folder(first, place, folder, acceptance))
}

/// The same for the folder in one place.
fn check_folder(
    first: &IdentityFile,
    place: usize,
    folder: &Folder,
    acceptance: Acceptance,
) -> Result<(), OpenError> {
    let was_one = count(place) < first.disks;
    let sentence = match folder {
        Folder::Of(file) if file.node != first.node => format!(
            "folder {} is node {}'s, not {}'s",
            place + 1,
            file.node,
            first.node
        ),
        Folder::Of(file) if file.disk != count(place) => format!(
            "folder {} is the node's disk {}: give the folders in their first order",
            place + 1,
            file.disk + 1
        ),
        Folder::Empty if acceptance.existing_only => format!(
            "folder {} is empty, and --existing was given: is the disk mounted?",
            place + 1
        ),
        Folder::Empty if place > 0 && was_one && !acceptance.replaced_disks => format!(
            "folder {} is empty, but was disk {} of this node: is it mounted? If the disk was replaced, start once \
             with --replaced-disk",
            place + 1,
            place + 1
        ),
        _ => return Ok(()),
    };
    Err(OpenError::Refused(sentence))
}

/// Reads whose a folder is, and changes nothing in it.
///
/// # Errors
/// If it cannot be this program's: a sentence that says what is wrong with it.
pub(crate) fn read(disk: &dyn Disk, place: usize) -> Result<Folder, OpenError> {
    let what = || format!("read {IDENTITY_PATH} in folder {}", place + 1);
    let bytes = match read_file(disk) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            refuse_foreign(disk, place)?;
            return Ok(Folder::Empty);
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(not_a_folder(place));
        }
        Err(error) => return Err(OpenError::while_doing(what())(error)),
    };
    let damaged = |why: &dyn Display| {
        OpenError::Refused(format!(
            "{}: it is damaged ({why}); {}",
            what(),
            without_identity(place)
        ))
    };
    let unreadable = |error: serde_json::Error| damaged(&error);
    let FormatOnly { format } = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if format > FOLDER_FORMAT {
        return Err(OpenError::Refused(format!(
            "folder {} has format {format}, written by a newer version of dfs-storage-node, which this one cannot read (it \
             reads up to {FOLDER_FORMAT}): use that version",
            place + 1
        )));
    }
    let Checked { file, crc32c } = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if file.checksum().ok() != Some(crc32c) {
        return Err(damaged(&"its checksum does not fit the rest"));
    }
    Ok(Folder::Of(file))
}

fn read_file(disk: &dyn Disk) -> io::Result<Vec<u8>> {
    let file = disk.open(IDENTITY_PATH)?;
    let len = usize::try_from(file.len()?.min(64 << 10)).expect("64 KiB fit in memory");
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// A folder that is not ours, and not empty, is somebody's. One that is not there is made later.
fn not_a_folder(place: usize) -> OpenError {
    OpenError::Refused(format!(
        "folder {} is not a folder: give an empty one, or a name that is free",
        place + 1
    ))
}

fn refuse_foreign(disk: &dyn Disk, place: usize) -> Result<(), OpenError> {
    let what = format!("list folder {}", place + 1);
    let entries = match disk.list("") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Windows says of what would be in a file that it is not found, and what it is only here.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(not_a_folder(place));
        }
        entries => entries.map_err(OpenError::while_doing(what))?,
    };
    let foreign = entries.iter().find(|entry| {
        !(NEW_FOLDER_NAMES.contains(&entry.name.as_str()) || is_of_the_system(&entry.name))
            || (entry.name == LOCK_PATH && entry.kind != DiskEntryKind::File)
    });
    let Some(foreign) = foreign else {
        return Ok(());
    };
    let advice = if entries.iter().any(|entry| entry.name == EXTENTS_FOLDER) {
        format!(
            "it was lost, if this is a storage node's; {}",
            without_identity(place)
        )
    } else {
        "it is not a storage node's; give an empty folder".to_owned()
    };
    Err(OpenError::Refused(format!(
        "folder {} holds {:?} but no {IDENTITY_PATH}: {advice}",
        place + 1,
        foreign.name
    )))
}

/// What to do about a folder whose identity is lost.
fn without_identity(place: usize) -> String {
    let instead = how_to_replace(place);
    format!("put it back from a copy, or {instead}: other nodes then give what was here")
}

/// What to do when the disk of a folder is given up.
pub(crate) fn how_to_replace(place: usize) -> &'static str {
    if place == 0 {
        "start a new node in empty folders and remove this one by dfs node remove"
    } else {
        "start once with an empty folder in its place and --replaced-disk"
    }
}

fn write_in(disk: &dyn Disk, place: usize, identity: &IdentityFile) -> Result<(), OpenError> {
    let what = format!("write {IDENTITY_PATH} in folder {}", place + 1);
    write(disk, identity).map_err(OpenError::while_doing(what))
}

fn write(disk: &dyn Disk, identity: &IdentityFile) -> io::Result<()> {
    let checked = Checked {
        file: identity.clone(),
        crc32c: identity.checksum()?,
    };
    let bytes = serde_json::to_vec_pretty(&checked).map_err(io::Error::other)?;
    disk::replace_file(disk, IDENTITY_PATH, &bytes)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).expect("a machine has few disks")
}

#[cfg(test)]
mod tests;
