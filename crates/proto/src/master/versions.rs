//! A file's versions: the current one, and former ones, which are kept for a while after they were replaced.

use serde::{Deserialize, Serialize};

use super::names::{Entry, Precondition};
use crate::id::{RequestId, VersionId};
use crate::name::EntryPath;
use crate::table::without_body;

without_body!(
    ListVersions,
    VersionsListed,
    RestoreVersion,
    VersionRestored,
    RemoveVersion,
    VersionRemoved
);

/// See [`list_versions`](super::MasterHandlers::list_versions). Fails with `not_found`, `is_a_folder`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListVersions {
    /// Of which file.
    pub path: EntryPath,
    /// Only former versions below this one: the last of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<VersionId>,
    /// At most so many former ones, and at most [`PAGE_LEN_MAX`](super::PAGE_LEN_MAX).
    pub limit: u32,
}

/// The current version, and a page of the former ones.
#[derive(Debug, Serialize, Deserialize)]
pub struct VersionsListed {
    /// What the file is now. It may be older than some former ones: it was restored then.
    pub current: FileVersion,
    /// By number, the latest first.
    pub former: Vec<FileVersion>,
    /// Whether more follow.
    pub more: bool,
}

/// One version of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileVersion {
    /// Its number.
    pub version: VersionId,
    /// Bytes.
    pub size: u64,
    /// When the content was last changed, as the uploader said, or the time of the upload.
    pub modified_ms: u64,
    /// When it was uploaded.
    pub committed_ms: u64,
    /// How long it has been a former one, in milliseconds that the master ran: it may be longer by the clock. Nothing for the
    /// current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_for_ms: Option<u64>,
}

/// See [`restore_version`](super::MasterHandlers::restore_version). Fails with `not_found` (the file, or the version),
/// `is_a_folder`, `precondition_failed`.
#[derive(Debug, Serialize, Deserialize)]
pub struct RestoreVersion {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// Of which file.
    pub path: EntryPath,
    /// Which becomes the current one; the one that is it already is fine.
    pub version: VersionId,
    /// Only in this state.
    #[serde(default, skip_serializing_if = "Precondition::is_any")]
    pub precondition: Precondition,
}

/// It is the current one; the one before it is a former one now.
#[derive(Debug, Serialize, Deserialize)]
pub struct VersionRestored {
    /// The file as it is now.
    pub entry: Entry,
}

/// See [`remove_version`](super::MasterHandlers::remove_version). Fails with `not_found` (the file, or the version),
/// `is_a_folder`, `precondition_failed` (it is the current one).
#[derive(Debug, Serialize, Deserialize)]
pub struct RemoveVersion {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// Of which file.
    pub path: EntryPath,
    /// Which.
    pub version: VersionId,
}

/// It is gone for good; its space is freed soon.
#[derive(Debug, Serialize, Deserialize)]
pub struct VersionRemoved {}
