//! A folder as people look at it: its folders before its files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::names::Entry;
use crate::name::{EntryName, EntryPath, NameError};
use crate::table::without_body;

without_body!(BrowseFolder, FolderBrowsed);

/// See [`browse_folder`](super::MasterHandlers::browse_folder). Fails with `not_found`, `not_a_folder`.
#[derive(Debug, Serialize, Deserialize)]
pub struct BrowseFolder {
    /// Which folder.
    pub path: EntryPath,
    /// Only what comes after this: the last answer's `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<BrowseCursor>,
    /// Without `after`: from the first folder on whose name begins so; if there is none, from the first file whose name is
    /// this one or above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EntryName>,
    /// At most [`PAGE_LEN_MAX`](super::PAGE_LEN_MAX); fewer may come.
    pub limit: u32,
    /// Names to look at for files, at most, and at most [`SEARCH_ROWS_MAX`](super::SEARCH_ROWS_MAX).
    pub rows: u32,
}

/// A page: folders, then files, both in the order of their names' bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct FolderBrowsed {
    /// The entries; none may come although more follow.
    pub entries: Vec<Entry>,
    /// Where to go on; nothing at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<BrowseCursor>,
}

/// How far somebody came in a folder: behind a name among its folders or its files, which need not be there any more.
/// Written `folders/NAME` or `files/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BrowseCursor {
    /// Behind this name among the folders.
    Folder(EntryName),
    /// Behind all folders, and this name among the files.
    File(EntryName),
}

/// Why a text is no cursor.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// It was not made by a listing.
    #[error("it is no place in a folder: send what the last page gave as `next`")]
    Unknown,
    /// Its name cannot be.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl FromStr for BrowseCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        match text.split_once('/') {
            Some(("folders", name)) => Ok(Self::Folder(EntryName::new(name)?)),
            Some(("files", name)) => Ok(Self::File(EntryName::new(name)?)),
            _ => Err(CursorError::Unknown),
        }
    }
}

impl TryFrom<String> for BrowseCursor {
    type Error = CursorError;

    fn try_from(text: String) -> Result<Self, CursorError> {
        text.parse()
    }
}

impl From<BrowseCursor> for String {
    fn from(cursor: BrowseCursor) -> Self {
        cursor.to_string()
    }
}

impl fmt::Display for BrowseCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(name) => write!(f, "folders/{name}"),
            Self::File(name) => write!(f, "files/{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_text() {
        for text in ["folders/a", "files/a b", "files/folders"] {
            let cursor: BrowseCursor = text.parse().unwrap();
            assert_eq!(cursor.to_string(), text);
        }
        for text in ["", "a", "folders/", "files/..", "folders/a/b", "other/a"] {
            assert!(text.parse::<BrowseCursor>().is_err(), "{text}");
        }
    }
}
