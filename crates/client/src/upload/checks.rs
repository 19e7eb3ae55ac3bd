//! What can be said against an upload before its end, so that nothing large is sent in vain. The commit decides.

use proto::master::{ClusterRules, Entry, Precondition};
use proto::name::EntryPath;

use crate::Error;
use crate::people::exact_size;

/// Whether a file may have this many bytes.
pub(super) fn check_size(rules: &ClusterRules, size: Option<u64>) -> Result<(), Error> {
    match (size, rules.file_size_max) {
        (Some(size), Some(max)) if size > max => Err(Error::TooLarge {
            message: format!(
                "the file has {}, and this cluster takes {} at most",
                exact_size(size),
                exact_size(max)
            ),
        }),
        _ => Ok(()),
    }
}

/// Whether the name can be given to a file; `found` is what is there now.
pub(super) fn check_entry(
    path: &EntryPath,
    found: Result<Entry, Error>,
    precondition: Precondition,
) -> Result<(), Error> {
    let failed = |message: &str| {
        Err(Error::PreconditionFailed {
            message: format!("{path} {message}"),
        })
    };
    match (found, precondition) {
        (Ok(Entry::Folder { .. }), _) => Err(Error::IsAFolder {
            message: format!("{path} is a folder"),
        }),
        (Ok(Entry::File { .. }), Precondition::Absent) => failed("is there already"),
        (Ok(Entry::File { version, .. }), Precondition::Version(wanted)) if version != wanted => {
            failed(&format!("is in version {version}, not {wanted}"))
        }
        (Err(Error::NotFound { .. }), Precondition::Present | Precondition::Version(_)) => {
            failed("is not there")
        }
        (Err(error @ Error::NotAFolder { .. }), _) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::id::VersionId;

    fn check(found: Result<Entry, Error>, precondition: Precondition, expected: Result<(), &str>) {
        let path = "/a".parse().unwrap();
        let checked = check_entry(&path, found, precondition);
        let checked = checked.map_err(|error| error.to_string());
        assert_eq!(checked, expected.map_err(ToOwned::to_owned));
    }

    fn file() -> Entry {
        Entry::File {
            name: "a".to_owned().try_into().unwrap(),
            size: 1,
            modified_ms: 0,
            version: VersionId(7),
        }
    }

    fn missing() -> Result<Entry, Error> {
        let message = String::new();
        Err(Error::NotFound { message })
    }

    #[test]
    fn a_name_in_another_state_than_asked_for_is_told_early() {
        let folder = Ok(Entry::Folder {
            name: None,
            modified_ms: 0,
        });
        check(folder, Precondition::Any, Err("/a is a folder"));
        let below_a_file = Err(Error::NotAFolder {
            message: "/x is a file".to_owned(),
        });
        check(below_a_file, Precondition::Any, Err("/x is a file"));
        check(Ok(file()), Precondition::Any, Ok(()));
        check(Ok(file()), Precondition::Present, Ok(()));
        check(Ok(file()), Precondition::Absent, Err("/a is there already"));
        check(Ok(file()), Precondition::Version(VersionId(7)), Ok(()));
        let other = Precondition::Version(VersionId(8));
        check(Ok(file()), other, Err("/a is in version 7, not 8"));
        check(missing(), Precondition::Any, Ok(()));
        check(missing(), Precondition::Absent, Ok(()));
        check(missing(), Precondition::Present, Err("/a is not there"));
        check(missing(), other, Err("/a is not there"));
    }

    #[test]
    fn a_master_that_does_not_answer_stops_nothing_here() {
        let away = Err(Error::Unavailable {
            what: String::new(),
            source: None,
        });
        check(away, Precondition::Present, Ok(()));
    }
}
