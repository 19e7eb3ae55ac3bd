//! A folder as people look at it: its folders before its files, in the order that they choose.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::names::Entry;
use crate::name::{EntryName, EntryPath, NameError};
use crate::table::without_body;

without_body!(BrowseFolder, FolderBrowsed);

/// See [`browse_folder`](super::MasterHandlers::browse_folder). Fails with `not_found`, `not_a_folder`, `invalid_argument`
/// (`after` is no place in this order, or `from` goes with another than that by name), and `busy` where too many pages of large
/// folders by size or time are asked for at once.
#[derive(Debug, Serialize, Deserialize)]
pub struct BrowseFolder {
    /// Which folder.
    pub path: EntryPath,
    /// How the entries follow each other.
    #[serde(default, skip_serializing_if = "BrowseOrder::is_default")]
    pub order: BrowseOrder,
    /// Only what comes after this: the last answer's `next`, in the same order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<BrowseCursor>,
    /// Without `after`, and by name: from the first folder on whose name begins so; if there is none, from the first file
    /// whose name is this one or above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EntryName>,
    /// At most [`PAGE_LEN_MAX`](super::PAGE_LEN_MAX); fewer may come.
    pub limit: u32,
    /// In an order by name: names to look at for files, at most, and at most [`SEARCH_ROWS_MAX`](super::SEARCH_ROWS_MAX).
    /// In another order, each page looks at all entries of the folder; where they are more than this, it waits for its turn.
    pub rows: u32,
}

/// How the entries of a folder follow each other: all folders before all files whatever the order, and where sizes or times
/// are equal, by the bytes of their names. The other way round is so with the names, too. The size of a folder is 0.
///
/// An entry whose size or time changes between two pages may be left out, or come twice: its place is another then. In an order
/// by name, only one that is renamed or moved is.
///
/// Written `name`, `size` or `modified`, with `-` before it for the other way round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BrowseOrder {
    /// What is compared.
    pub by: SortedBy,
    /// The largest, or the last name, first.
    pub is_descending: bool,
}

/// What is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortedBy {
    /// The bytes of the names.
    #[default]
    Name,
    /// The sizes.
    Size,
    /// When they were modified.
    Modified,
}

impl BrowseOrder {
    /// By name, from the first on.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The cursor behind an entry; nothing for the root, which has no name.
    pub fn cursor(self, entry: &Entry) -> Option<BrowseCursor> {
        let (is_file, size, modified_ms) = match *entry {
            Entry::Folder { modified_ms, .. } => (false, 0, modified_ms),
            Entry::File {
                size, modified_ms, ..
            } => (true, size, modified_ms),
        };
        Some(BrowseCursor {
            is_file,
            key: self.key(size, modified_ms),
            name: entry.name()?.clone(),
        })
    }

    /// By what an entry of this size and time is sorted, if not by its name. The size of a folder is 0.
    pub fn key(self, size: u64, modified_ms: u64) -> Option<u64> {
        match self.by {
            SortedBy::Name => None,
            SortedBy::Size => Some(size),
            SortedBy::Modified => Some(modified_ms),
        }
    }

    /// Which of two places comes first.
    pub fn compare(self, left: BrowsePlace<'_>, right: BrowsePlace<'_>) -> Ordering {
        let within = (left.key, left.name).cmp(&(right.key, right.name));
        let within = if self.is_descending {
            within.reverse()
        } else {
            within
        };
        left.is_file.cmp(&right.is_file).then(within)
    }

    /// Whether a cursor can be a place in this order.
    pub fn has(self, cursor: &BrowseCursor) -> bool {
        cursor.key.is_some() == (self.by != SortedBy::Name)
    }

    /// Reads an order: what is compared, as `by` reads it, and `-` before it for the other way round.
    pub fn read(text: &str, by: impl FnOnce(&str) -> Option<SortedBy>) -> Option<Self> {
        let (by, is_descending) = match text.strip_prefix('-') {
            Some(text) => (by(text), true),
            None => (by(text), false),
        };
        by.map(|by| Self { by, is_descending })
    }

    /// Writes what [`read`](Self::read) reads, with this name of what is compared.
    pub fn write(self, by: &str) -> String {
        let sign = if self.is_descending { "-" } else { "" };
        format!("{sign}{by}")
    }
}

impl SortedBy {
    fn read(text: &str) -> Option<Self> {
        match text {
            "name" => Some(Self::Name),
            "size" => Some(Self::Size),
            "modified" => Some(Self::Modified),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Size => "size",
            Self::Modified => "modified",
        }
    }
}

/// There is no such order.
#[derive(Debug, thiserror::Error)]
#[error("it is no order: name, size or modified, with - before it for the other way round")]
pub struct OrderError;

impl TryFrom<String> for BrowseOrder {
    type Error = OrderError;

    fn try_from(text: String) -> Result<Self, OrderError> {
        Self::read(&text, SortedBy::read).ok_or(OrderError)
    }
}

impl From<BrowseOrder> for String {
    fn from(order: BrowseOrder) -> Self {
        order.write(order.by.as_str())
    }
}

/// A page: folders, then files.
#[derive(Debug, Serialize, Deserialize)]
pub struct FolderBrowsed {
    /// The entries; none may come although more follow.
    pub entries: Vec<Entry>,
    /// Where to go on; nothing at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<BrowseCursor>,
}

/// How far somebody came in a folder: behind a name among its folders or its files, which need not be there any more, nor as
/// it was. Written `folders/NAME` or `files/NAME` in an order by name, else `folders/KEY/NAME` or `files/KEY/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BrowseCursor {
    /// Whether it is behind all folders.
    pub is_file: bool,
    /// By what it is sorted, if not by name: a size, or a time.
    pub key: Option<u64>,
    /// The name, among those with the same key.
    pub name: EntryName,
}

/// Where an entry is in an order.
#[derive(Debug, Clone, Copy)]
pub struct BrowsePlace<'a> {
    /// Whether it is behind all folders.
    pub is_file: bool,
    /// By what it is sorted, if not by name: a size, or a time.
    pub key: Option<u64>,
    /// The name, among those with the same key.
    pub name: &'a str,
}

impl BrowseCursor {
    /// Where that is.
    pub fn place(&self) -> BrowsePlace<'_> {
        BrowsePlace {
            is_file: self.is_file,
            key: self.key,
            name: self.name.as_str(),
        }
    }

    /// Behind this name among the folders, by name.
    pub fn folder(name: EntryName) -> Self {
        Self {
            is_file: false,
            key: None,
            name,
        }
    }

    /// Behind all folders, and this name among the files, by name.
    pub fn file(name: EntryName) -> Self {
        Self {
            is_file: true,
            key: None,
            name,
        }
    }
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
        let (is_file, place) = match text.split_once('/') {
            Some(("folders", place)) => (false, place),
            Some(("files", place)) => (true, place),
            _ => return Err(CursorError::Unknown),
        };
        // No name has a `/`.
        let (key, name) = match place.split_once('/') {
            Some((key, name)) => (Some(key_of(key)?), name),
            None => (None, place),
        };
        let name = EntryName::new(name)?;
        Ok(Self { is_file, key, name })
    }
}

/// A number as it is written, and in no other way: a cursor has one text.
fn key_of(text: &str) -> Result<u64, CursorError> {
    let key: u64 = text.parse().map_err(|_| CursorError::Unknown)?;
    if key.to_string() == text {
        Ok(key)
    } else {
        Err(CursorError::Unknown)
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
        let kind = if self.is_file { "files" } else { "folders" };
        match self.key {
            Some(key) => write!(f, "{kind}/{key}/{}", self.name),
            None => write!(f, "{kind}/{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_text() {
        for text in [
            "folders/a",
            "files/a b",
            "files/folders",
            "files/7",
            "folders/0/a",
            "files/18446744073709551615/7",
        ] {
            let cursor: BrowseCursor = text.parse().unwrap();
            assert_eq!(cursor.to_string(), text);
        }
        for text in [
            "",
            "a",
            "folders/",
            "files/..",
            "folders/a/b",
            "other/a",
            "files/-1/a",
            "files/+1/a",
            "files/01/a",
            "files/18446744073709551616/a",
            "files//a",
            "files/1/",
            "files/1/..",
            "files/1/a/b",
        ] {
            assert!(text.parse::<BrowseCursor>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_order_is_a_text() {
        for text in ["name", "-name", "size", "-size", "modified", "-modified"] {
            let order = BrowseOrder::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(order), text);
            assert_eq!(order.is_default(), text == "name");
        }
        for text in ["", "-", "--size", "time", "Size"] {
            assert!(BrowseOrder::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    /// Each list is in its order, and a cursor of another kind of order is no place in it.
    #[test]
    fn folders_come_first_in_every_order() {
        for (order, cursors) in [
            ("name", ["folders/a", "folders/b", "files/a", "files/b"]),
            ("-name", ["folders/b", "folders/a", "files/b", "files/a"]),
            (
                "size",
                ["folders/0/b", "files/1/z", "files/2/a", "files/2/b"],
            ),
            (
                "-size",
                ["folders/0/b", "files/2/b", "files/2/a", "files/1/z"],
            ),
            (
                "-modified",
                ["folders/9/a", "folders/8/z", "files/10/b", "files/9/c"],
            ),
        ] {
            let order = BrowseOrder::try_from(order.to_owned()).unwrap();
            let cursors = cursors.map(|text| text.parse::<BrowseCursor>().unwrap());
            for (place, cursor) in cursors.iter().enumerate() {
                assert!(order.has(cursor));
                for (other_place, other) in cursors.iter().enumerate() {
                    let found = order.compare(cursor.place(), other.place());
                    assert_eq!(found, place.cmp(&other_place));
                }
            }
        }
        let cursor = "files/1/a".parse().unwrap();
        assert!(!BrowseOrder::default().has(&cursor));
    }
}
