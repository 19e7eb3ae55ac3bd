//! What a store can answer instead of doing what it was asked, and how that is said on the wire.

use std::io;
use std::sync::Arc;

use disk::is_full;
use proto::id::ChunkId;
use proto::{ErrorCode, WireError};

/// Why a store did not do it. Cheap to clone: a whole batch is refused with one reason.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StoreError {
    /// The chunk is not here.
    #[error("no chunk {0} here")]
    NotFound(ChunkId),
    /// It is here, and its bytes are not what they should be.
    #[error("chunk {0} is damaged here; read it from another node")]
    Corrupt(ChunkId),
    /// The disk has no room above its reserve.
    #[error("no space left above the reserve; free some, or add a disk or a node")]
    NoSpace,
    /// The disk failed for this.
    #[error("the disk failed: {0}")]
    Disk(Arc<io::Error>),
    /// Its extent could not be opened, which says nothing about the chunk.
    #[error("the extent could not be opened: {0}")]
    Unopened(Arc<io::Error>),
    /// The disk failed before and takes no more writes until the node is started again, or its index was made anew.
    #[error(
        "the disk takes no writes since it failed: {0}; if it does not come back, replace it, or restart the node to try again"
    )]
    Failed(Arc<str>),
    /// The node stops.
    #[error("the storage node is stopping")]
    Stopping,
    /// It was not done in time.
    #[error("the disk did not answer in time")]
    TimedOut,
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        if is_full(&error) {
            Self::NoSpace
        } else {
            Self::Disk(Arc::new(error))
        }
    }
}

impl From<StoreError> for WireError {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NotFound(_) => ErrorCode::NotFound,
            StoreError::Corrupt(_) => ErrorCode::Corrupt,
            StoreError::NoSpace => ErrorCode::NoSpace,
            StoreError::Disk(_) | StoreError::Unopened(_) | StoreError::Failed(_) => {
                ErrorCode::Disk
            }
            StoreError::Stopping => ErrorCode::Stopping,
            StoreError::TimedOut => ErrorCode::TimedOut,
        };
        WireError::new(code, error.to_string())
    }
}

/// Why a data folder cannot be used: a sentence that says what happened, to what, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder's content forbids it.
    #[error("{0}")]
    Refused(String),
    /// The system refused.
    #[error("{what}: {source}")]
    Disk {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl OpenError {
    /// Adds what was being done.
    pub(crate) fn while_doing(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Disk { what, source }
    }
}
