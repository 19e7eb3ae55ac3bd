//! Why the state does not do what was asked: it refuses, or its store fails.
//!
//! **Invariant:** a refusal comes before the first write of a command. Whatever else goes wrong ends the whole
//! transaction, so that no half of a command is ever kept.

use std::io;

use proto::{ErrorCode, WireError};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The command breaks a rule; nothing was changed.
    #[error(transparent)]
    Refused(#[from] WireError),
    /// The store below failed: nothing is known of the present transaction.
    #[error("the master's store failed: {0}{advice}", advice = advice(.0))]
    Store(#[source] Box<redb::Error>),
    /// A row is not what this program writes.
    #[error("the master's store is damaged: {0}; restore it from a backup")]
    Damaged(String),
    /// The store has fewer commands than were answered as done.
    #[error(
        "the master's store lost what it had answered: it knows {applied} changes, and {answered} were done. It is \
         damaged, or an old copy of it was put back. Restore the whole data folder from a backup; if this old state is \
         what you want, remove state.witness from the folder and start once with --restored"
    )]
    FellBack {
        /// What it has.
        applied: u64,
        /// What was answered.
        answered: u64,
    },
}

/// What a person does about it, where that is known.
fn advice(error: &redb::Error) -> &'static str {
    match error {
        redb::Error::Io(error) if disk::is_full(error) => {
            ". Free some space on its disk; what was acknowledged is kept"
        }
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            ". Restore the whole data folder from a backup"
        }
        redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            ". A part of its file is missing: restore the whole data folder from a backup"
        }
        _ => "",
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for StateError {
            fn from(error: redb::$error) -> Self {
                Self::Store(Box::new(error.into()))
            }
        }
    )*};
}

from_redb!(
    StorageError,
    TableError,
    TransactionError,
    CommitError,
    SetDurabilityError
);

impl From<redb::DatabaseError> for StateError {
    fn from(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::Storage(redb::StorageError::Corrupted(what)) => {
                Self::Damaged(what)
            }
            // So it says that the file does not begin as a store does.
            redb::DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() == io::ErrorKind::InvalidData =>
            {
                Self::Damaged(error.to_string())
            }
            other => Self::Store(Box::new(other.into())),
        }
    }
}

impl From<StateError> for WireError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Refused(refusal) => refusal,
            StateError::Store(error) if is_reopened_after(&error) => Self::new(
                ErrorCode::Unavailable,
                "the master's store is opened again after a failure: try again in a moment",
            ),
            other => Self::new(ErrorCode::Disk, other.to_string()),
        }
    }
}

/// Whether this is what those get who had the store open when it failed for somebody else.
fn is_reopened_after(error: &redb::Error) -> bool {
    matches!(error, redb::Error::DatabaseClosed | redb::Error::PreviousIo)
}

/// A refusal with this code and sentence.
pub(crate) fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, StateError> {
    Err(StateError::Refused(WireError::new(code, message)))
}

#[cfg(test)]
mod tests {
    use redb::StorageBackend;

    use super::*;

    /// A master whose disk was full did not start, and did not say what to do.
    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        let full = redb::StorageError::Io(io::ErrorKind::StorageFull.into());
        let sentence = StateError::from(full).to_string();
        assert!(sentence.contains("Free some space"), "{sentence}");
        let other = redb::StorageError::Io(io::ErrorKind::TimedOut.into());
        assert!(!StateError::from(other).to_string().contains("Free"));
    }

    /// Whoever read while the store failed for somebody else was told that the disk failed, and `dfs` gave up, though the next try
    /// would have been answered.
    #[test]
    fn whoever_meets_a_store_that_is_opened_again_may_try_again() {
        for error in [
            redb::StorageError::DatabaseClosed,
            redb::StorageError::PreviousIo,
        ] {
            let refusal = WireError::from(StateError::from(error));
            assert_eq!(refusal.code, ErrorCode::Unavailable);
        }
        let failed = redb::StorageError::Io(io::ErrorKind::TimedOut.into());
        assert_eq!(
            WireError::from(StateError::from(failed)).code,
            ErrorCode::Disk
        );
    }

    /// A store that was cut while it was in use only said that its file had ended.
    #[test]
    fn a_store_that_was_cut_is_told_with_what_to_do() {
        let cut = redb::StorageError::Io(io::ErrorKind::UnexpectedEof.into());
        let sentence = StateError::from(cut).to_string();
        assert!(sentence.contains("from a backup"), "{sentence}");
    }

    /// A store whose first bytes were damaged was "not a database", which did not say what to do.
    #[test]
    fn a_store_that_does_not_begin_as_one_is_damaged() {
        let backend = redb::backends::InMemoryBackend::new();
        backend.set_len(1 << 16).unwrap();
        backend.write(0, &[7; 512]).unwrap();
        let error = redb::Database::builder().create_with_backend(backend);
        let error = StateError::from(error.unwrap_err());
        assert!(matches!(error, StateError::Damaged(_)), "{error}");
        let sentence = error.to_string();
        assert!(sentence.contains("from a backup"), "{sentence}");
    }
}
