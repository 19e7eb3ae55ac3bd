//! What can go wrong, as decisions that a caller can take.
//!
//! A refusal of a server becomes a variant in one place, `From<WireError>`, and a call that got no answer in
//! another, `Error::from_call`; what kept a server from
//! being reached stays below as the source, so that a chain of errors reads from what was wanted down to the cause.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use proto::connection::CallError;
use proto::id::ChunkId;
use proto::{ErrorCode, WireError};

use crate::people::exact_size;

/// The cause below an error, where it came from another library.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Why something was not done. `message` and `what` are for a person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such entry, version, node or row of the trash.
    #[error("{message}")]
    NotFound {
        /// What is not there.
        message: String,
    },
    /// The name is taken.
    #[error("{message}")]
    AlreadyExists {
        /// Which name.
        message: String,
    },
    /// A folder stands where a file is meant.
    #[error("{message}")]
    IsAFolder {
        /// Where.
        message: String,
    },
    /// A file stands where a folder is meant.
    #[error("{message}")]
    NotAFolder {
        /// Where.
        message: String,
    },
    /// The folder has entries, and `recursive` was not said.
    #[error("{message}")]
    FolderNotEmpty {
        /// Which.
        message: String,
    },
    /// The entry is not in the version or state that was asked for.
    #[error("{message}")]
    PreconditionFailed {
        /// In which it is.
        message: String,
    },
    /// The same call will never succeed.
    #[error("{message}")]
    InvalidArgument {
        /// Which rule it breaks.
        message: String,
    },
    /// The file is larger than the cluster takes.
    #[error("{message}")]
    TooLarge {
        /// How large it may be.
        message: String,
    },
    /// Whoever began an upload did not want it any more: it left nothing.
    #[error("it was withdrawn before it was stored")]
    Withdrawn,
    /// The nodes' disks are full.
    #[error("{message}")]
    NoSpace {
        /// What did not fit.
        message: String,
    },
    /// Fewer copies could be made than a write needs: nodes are down, or refuse. Nothing was changed.
    #[error("{message}")]
    NotEnoughReplicas {
        /// How many there are and how many are needed.
        message: String,
        /// What the last node that failed said.
        #[source]
        source: Option<Cause>,
    },
    /// Every copy of a chunk that could be read has wrong bytes, of which none was delivered; or no copy is left on record.
    #[error("{what}: no undamaged copy of chunk {chunk} is left")]
    Corrupt {
        /// What was being read.
        what: String,
        /// Which chunk.
        chunk: ChunkId,
    },
    /// The master, or every node with a copy, could not be reached: try again later. A change may have been made or not: the
    /// master may have been lost after it was asked.
    #[error("{what}")]
    Unavailable {
        /// What was wanted, and who is missing.
        what: String,
        /// Why the last one tried could not be reached.
        #[source]
        source: Option<Cause>,
    },
    /// It was not done in its time. A change may have been made or not.
    #[error("{what}: no answer within {after:?}")]
    TimedOut {
        /// What was wanted.
        what: String,
        /// The time.
        after: Duration,
    },
    /// The caller's reader failed: nothing was stored under the name.
    #[error("read the data to upload")]
    Read(#[source] io::Error),
    /// The caller's reader gave more or fewer bytes than it was said to: nothing was stored under the name.
    #[error(
        "it had {} when the upload began, and {}: it must not change meanwhile",
        exact_size(*expected),
        if read > expected { "it grew".to_owned() } else { format!("{} came", exact_size(*read)) }
    )]
    SizeMismatch {
        /// What [`UploadOptions::size_hint`](crate::UploadOptions::size_hint) said.
        expected: u64,
        /// What came.
        read: u64,
    },
    /// A server refused for another reason.
    #[error("{0}")]
    Refused(WireError),
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        let message = error.message.clone();
        match error.code {
            ErrorCode::NotFound => Self::NotFound { message },
            ErrorCode::AlreadyExists => Self::AlreadyExists { message },
            ErrorCode::IsAFolder => Self::IsAFolder { message },
            ErrorCode::NotAFolder => Self::NotAFolder { message },
            ErrorCode::FolderNotEmpty => Self::FolderNotEmpty { message },
            ErrorCode::PreconditionFailed => Self::PreconditionFailed { message },
            ErrorCode::InvalidArgument => Self::InvalidArgument { message },
            ErrorCode::TooLarge => Self::TooLarge { message },
            ErrorCode::NoSpace => Self::NoSpace { message },
            ErrorCode::NotEnoughReplicas => Self::NotEnoughReplicas {
                message,
                source: None,
            },
            ErrorCode::Unavailable | ErrorCode::Stopping | ErrorCode::Busy => Self::Unavailable {
                what: message,
                source: None,
            },
            _ => Self::Refused(error),
        }
    }
}

impl Error {
    /// The same as an error here; `what` was wanted.
    pub(crate) fn from_call(what: impl Into<String>, error: CallError) -> Self {
        let what = what.into();
        match error {
            CallError::Refused(error) => error.into(),
            CallError::TimedOut { address, after, .. } => Self::TimedOut {
                what: format!("{what} at {address}"),
                after,
            },
            error @ (CallError::Unreachable { .. } | CallError::BadReply { .. }) => {
                Self::Unavailable {
                    what,
                    source: Some(error.into()),
                }
            }
        }
    }

    /// To whoever goes on with an upload, one that is not open any more is a thing that is not there.
    pub(crate) fn with_upload_gone(self) -> Self {
        match self {
            Self::Refused(error) if error.code == ErrorCode::UploadUnknown => Self::NotFound {
                message: error.message,
            },
            other => other,
        }
    }

    /// Whether it is a server's refusal with this code, for those that only this crate acts on.
    pub(crate) fn is_refusal(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Refused(error) if error.code == code)
    }
}
