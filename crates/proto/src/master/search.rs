//! Looking for names below a folder.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::names::Entry;
use crate::name::{EntryName, EntryPath, NameError};
use crate::table::without_body;

without_body!(SearchNames, NamesFound);

/// See [`search_names`](super::MasterHandlers::search_names). Fails with `not_found`, `not_a_folder`, and
/// `invalid_argument` (no word at all, more than [`SEARCH_TEXT_LEN_MAX`](super::SEARCH_TEXT_LEN_MAX) bytes of them).
///
/// A name is found if every word of the text occurs in it, without regard to case and Unicode normal form.
#[derive(Debug, Serialize, Deserialize)]
pub struct SearchNames {
    /// Words, with spaces between them.
    pub text: String,
    /// In which folder, and in all below it; in all folders if not said.
    #[serde(default = "root", skip_serializing_if = "EntryPath::is_root")]
    pub under: EntryPath,
    /// Only what comes after this: the last answer's `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<SearchCursor>,
    /// Names to find at most, and at most [`PAGE_LEN_MAX`](super::PAGE_LEN_MAX); fewer may come.
    pub limit: u32,
    /// Names to look at, at most, and at most [`SEARCH_ROWS_MAX`](super::SEARCH_ROWS_MAX).
    pub rows: u32,
}

fn root() -> EntryPath {
    EntryPath::ROOT
}

/// What was found so far: each folder before what is in it, and the entries of one in the order of the names' bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct NamesFound {
    /// The entries; none may come although more follow.
    pub found: Vec<FoundEntry>,
    /// Where to go on; nothing if all was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<SearchCursor>,
}

/// An entry, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundEntry {
    /// Where.
    pub path: EntryPath,
    /// What.
    pub entry: Entry,
}

/// How far a search has come: the entry that it looked at last, which need not be there any more. Written as a path,
/// which may be longer than one of an entry that can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SearchCursor {
    /// The folder that the entry is in.
    pub folder: EntryPath,
    /// Its name there.
    pub name: EntryName,
}

impl FromStr for SearchCursor {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (folder, name) = text.rsplit_once('/').unwrap_or(("", text));
        Ok(Self {
            folder: folder.parse()?,
            name: EntryName::new(name)?,
        })
    }
}

impl TryFrom<String> for SearchCursor {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<SearchCursor> for String {
    fn from(cursor: SearchCursor) -> Self {
        cursor.to_string()
    }
}

impl fmt::Display for SearchCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.folder.is_root() {
            write!(f, "{}", self.folder)?;
        }
        write!(f, "/{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{NAME_LEN_MAX, PATH_LEN_MAX};

    #[test]
    fn a_cursor_is_a_path_that_may_be_too_long_for_an_entry() {
        let folder = format!("/{}", "a".repeat(100)).repeat(PATH_LEN_MAX / 101);
        let long = format!("{folder}/{}", "b".repeat(NAME_LEN_MAX));
        assert!(long.len() > PATH_LEN_MAX);
        for text in ["/a", "/a/b c", &long] {
            let cursor: SearchCursor = text.parse().unwrap();
            assert_eq!(cursor.to_string(), text);
        }
        for text in ["", "/", "/a/", "//a/..", "/a/../b"] {
            assert!(text.parse::<SearchCursor>().is_err(), "{text}");
        }
    }
}
