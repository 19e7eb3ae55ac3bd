//! What a caller says of an upload, and what it learns at its end.

use std::fmt;
use std::sync::Arc;

use proto::id::VersionId;
use proto::master::{Precondition, UploadCommitted};

/// Is told how many bytes are stored so far.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Is asked whether it is still wanted.
pub type StillWanted = Arc<dyn Fn() -> bool + Send + Sync>;

/// How a file is uploaded.
#[derive(Clone)]
pub struct UploadOptions {
    /// When the content was last changed, in milliseconds since 1970, UTC; the time of the upload if not said.
    pub modified_ms: Option<u64>,
    /// Only if the name is in this state.
    pub precondition: Precondition,
    /// Make missing parent folders.
    pub parents: bool,
    /// How many bytes there are, if that is known: then another number is an error.
    pub size_hint: Option<u64>,
    /// Called now and then.
    pub progress: Option<Progress>,
    /// Asked once, when all is stored and before the file gets its name. Where it says no, the upload ends as
    /// [`Withdrawn`](crate::Error::Withdrawn); from a yes on nobody stops it.
    pub still_wanted: Option<StillWanted>,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            modified_ms: None,
            precondition: Precondition::Any,
            parents: true,
            size_hint: None,
            progress: None,
            still_wanted: None,
        }
    }
}

impl fmt::Debug for UploadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadOptions")
            .field("modified_ms", &self.modified_ms)
            .field("precondition", &self.precondition)
            .field("parents", &self.parents)
            .field("size_hint", &self.size_hint)
            .finish_non_exhaustive()
    }
}

/// The file is there: durable on its nodes, and under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploaded {
    /// Its version.
    pub version: VersionId,
    /// Bytes.
    pub size: u64,
    /// Whether the name was free before.
    pub created: bool,
    /// Copies of its least replicated chunk now.
    pub copies: u8,
    /// Copies that there will be; repair makes what is missing.
    pub copies_wanted: u8,
}

impl Uploaded {
    /// What a commit was answered, of a file with so many bytes.
    pub fn new(size: u64, committed: &UploadCommitted) -> Self {
        Self {
            version: committed.version,
            size,
            created: committed.created,
            copies: committed.copies,
            copies_wanted: committed.copies_wanted,
        }
    }
}
