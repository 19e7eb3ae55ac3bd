//! Files, folders and the trash: what people see.

use serde::{Deserialize, Serialize};

use crate::id::{RequestId, VersionId};
use crate::name::{EntryName, EntryPath};
use crate::table::without_body;

without_body!(
    LookUpEntry,
    EntryFound,
    ListFolder,
    FolderListed,
    CreateFolder,
    FolderCreated,
    MoveEntry,
    EntryMoved,
    DeleteEntry,
    EntryDeleted,
    ListTrash,
    TrashListed,
    RestoreEntry,
    EntryRestored,
    EmptyTrash,
    TrashEmptied
);

/// One file or folder as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// A folder.
    Folder {
        /// Its name; the root has none.
        name: Option<EntryName>,
        /// When it was made.
        modified_ms: u64,
    },
    /// A file, in its current version.
    File {
        /// Its name.
        name: EntryName,
        /// Bytes.
        size: u64,
        /// When the content was last changed, as the uploader said, or the time of the upload.
        modified_ms: u64,
        /// The current version.
        version: VersionId,
    },
}

impl Entry {
    /// Its name; only the root has none.
    pub fn name(&self) -> Option<&EntryName> {
        match self {
            Self::Folder { name, .. } => name.as_ref(),
            Self::File { name, .. } => Some(name),
        }
    }
}

/// See [`look_up_entry`](super::MasterHandlers::look_up_entry). Fails with `not_found`.
#[derive(Debug, Serialize, Deserialize)]
pub struct LookUpEntry {
    /// Where.
    pub path: EntryPath,
}

/// It is there.
#[derive(Debug, Serialize, Deserialize)]
pub struct EntryFound {
    /// What it is.
    pub entry: Entry,
}

/// See [`list_folder`](super::MasterHandlers::list_folder). Fails with `not_found`, `not_a_folder`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListFolder {
    /// Which folder.
    pub path: EntryPath,
    /// Only names above this one: the last of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<EntryName>,
    /// At most [`PAGE_LEN_MAX`](super::PAGE_LEN_MAX); fewer may come.
    pub limit: u32,
}

/// A page, in the order of the names' bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct FolderListed {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Whether more follow.
    pub more: bool,
}

/// See [`create_folder`](super::MasterHandlers::create_folder). Fails with `already_exists` (a file, or a folder unless
/// `parents`), `not_found` (no parent, unless `parents`), `not_a_folder`, `invalid_argument`.
#[derive(Debug, Serialize, Deserialize)]
pub struct CreateFolder {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// Where.
    pub path: EntryPath,
    /// Make missing parents too, and be content with a folder that is there.
    #[serde(default)]
    pub parents: bool,
}

/// The folder is there.
#[derive(Debug, Serialize, Deserialize)]
pub struct FolderCreated {
    /// Whether it was made now.
    pub created: bool,
}

/// See [`move_entry`](super::MasterHandlers::move_entry). Fails with `not_found`, `already_exists`, `is_a_folder`,
/// `not_a_folder`, `invalid_argument` (a folder into itself, the root), `precondition_failed`.
#[derive(Debug, Serialize, Deserialize)]
pub struct MoveEntry {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// What.
    pub from: EntryPath,
    /// Where to, the new name included.
    pub to: EntryPath,
    /// Replace a file that is there (it goes to the trash); a folder is never replaced.
    #[serde(default)]
    pub replace: bool,
}

/// It is there now, and not where it was.
#[derive(Debug, Serialize, Deserialize)]
pub struct EntryMoved {
    /// What it is.
    pub entry: Entry,
}

/// See [`delete_entry`](super::MasterHandlers::delete_entry). Fails with `not_found`, `folder_not_empty`,
/// `precondition_failed`, `invalid_argument` (the root).
#[derive(Debug, Serialize, Deserialize)]
pub struct DeleteEntry {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// What.
    pub path: EntryPath,
    /// A folder also when it has entries.
    #[serde(default)]
    pub recursive: bool,
    /// For good, without the trash: its space is freed soon.
    #[serde(default)]
    pub purge: bool,
    /// Only in this state.
    #[serde(default, skip_serializing_if = "Precondition::is_any")]
    pub precondition: Precondition,
}

/// It is not there any more.
#[derive(Debug, Serialize, Deserialize)]
pub struct EntryDeleted {
    /// Its place in the trash; nothing when purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trashed: Option<TrashId>,
}

/// One row of the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrashId(pub u64);

/// See [`list_trash`](super::MasterHandlers::list_trash).
#[derive(Debug, Serialize, Deserialize)]
pub struct ListTrash {
    /// Only rows older than this one: the last of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<TrashId>,
    /// At most [`PAGE_LEN_MAX`](super::PAGE_LEN_MAX).
    pub limit: u32,
}

/// A page of the trash.
#[derive(Debug, Serialize, Deserialize)]
pub struct TrashListed {
    /// Newest first.
    pub entries: Vec<TrashEntry>,
    /// Whether more follow.
    pub more: bool,
}

/// What lies in the trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashEntry {
    /// Its place.
    pub trash: TrashId,
    /// Where it was.
    pub path: EntryPath,
    /// What it is.
    pub entry: Entry,
    /// When it was deleted.
    pub deleted_ms: u64,
}

/// See [`restore_entry`](super::MasterHandlers::restore_entry). Fails with `not_found`, `already_exists`.
#[derive(Debug, Serialize, Deserialize)]
pub struct RestoreEntry {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// Which row.
    pub trash: TrashId,
    /// Where to; without it, where it was. Missing parents are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<EntryPath>,
}

/// It is back.
#[derive(Debug, Serialize, Deserialize)]
pub struct EntryRestored {
    /// Where.
    pub path: EntryPath,
}

/// See [`empty_trash`](super::MasterHandlers::empty_trash). Fails with `not_found` if one row is named and is not
/// there.
#[derive(Debug, Serialize, Deserialize)]
pub struct EmptyTrash {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// One row only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trash: Option<TrashId>,
}

/// The rows are gone; their space is freed soon.
#[derive(Debug, Serialize, Deserialize)]
pub struct TrashEmptied {}

/// What must hold of an entry before it is changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precondition {
    /// Nothing.
    #[default]
    Any,
    /// Nothing is there.
    Absent,
    /// A file is there.
    Present,
    /// A file is there in this version.
    Version(VersionId),
}

impl Precondition {
    /// Whether nothing is asked.
    pub fn is_any(&self) -> bool {
        *self == Self::Any
    }
}
