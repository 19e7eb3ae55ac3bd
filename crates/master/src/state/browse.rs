//! A folder's entries as people look at them: folders before files, whatever their number, a page at a time.
//!
//! The names of the folders in a folder are kept in a table of their own, beside that of all names, so that a page of
//! folders is read without passing over files. A page of files passes over the folders between them, and gives up after a
//! bounded number of names with less than a page: folders with very many folders are rare, and a second table of all files
//! would have to be written with each commit.
//!
//! **Invariant:** the table of subfolders has just the names of the folders among all names.

use std::ops::{Bound, RangeBounds};

use proto::master::{
    BrowseCursor, BrowseFolder, Entry, FolderBrowsed, PAGE_LEN_MAX, SEARCH_ROWS_MAX,
};
use proto::name::EntryName;
use redb::{ReadOnlyTable, ReadableTable};

use super::error::StateError;
use super::names;
use super::rows::{self, EntryRow};
use super::snapshot::Snapshot;
use super::tables::{self, Row, Tables};

type Entries = ReadOnlyTable<(u64, &'static str), Row>;
type Subfolders = ReadOnlyTable<(u64, &'static str), ()>;

impl Tables<'_> {
    /// Finds all folders among the names, in a store that has no table of them yet.
    pub(super) fn index_subfolders(&mut self) -> Result<(), StateError> {
        for row in self.entries.iter()? {
            let (key, row) = row?;
            if let EntryRow::Folder { .. } = rows::decode(row.value())? {
                self.subfolders.insert(key.value(), ())?;
            }
        }
        Ok(())
    }
}

impl Snapshot {
    /// A page of a folder, folders first. Refused with `not_found`, `not_a_folder`.
    pub fn browse(&self, request: &BrowseFolder) -> Result<FolderBrowsed, StateError> {
        let entries = self.table(tables::ENTRIES)?;
        let subfolders = self.table(tables::SUBFOLDERS)?;
        let folder = names::folder_at(&entries, &request.path)?;
        let mut page = Page {
            entries: Vec::new(),
            limit: request.limit.clamp(1, PAGE_LEN_MAX) as usize,
            last: None,
        };
        let files_from = match Begin::of(request, folder, &subfolders)? {
            Begin::Folders(from) => {
                if page.add_folders(folder, from, &subfolders, &entries)? {
                    return Ok(page.continued());
                }
                Bound::Unbounded
            }
            Begin::Files(from) => from,
        };
        let rows = request.rows.clamp(1, SEARCH_ROWS_MAX);
        if page.add_files(folder, files_from, &entries, rows)? {
            return Ok(page.continued());
        }
        Ok(FolderBrowsed {
            entries: page.entries,
            next: None,
        })
    }
}

/// Where a page begins.
enum Begin<'a> {
    Folders(Bound<&'a str>),
    Files(Bound<&'a str>),
}

impl<'a> Begin<'a> {
    fn of(
        request: &'a BrowseFolder,
        folder: u64,
        subfolders: &Subfolders,
    ) -> Result<Self, StateError> {
        match (&request.after, &request.from) {
            (Some(BrowseCursor::Folder(name)), _) => {
                Ok(Self::Folders(Bound::Excluded(name.as_str())))
            }
            (Some(BrowseCursor::File(name)), _) => Ok(Self::Files(Bound::Excluded(name.as_str()))),
            (None, Some(text)) => {
                let text = text.as_str();
                let from = Bound::Included(text);
                let first = subfolders.range(in_folder(folder, from))?.next();
                let begins_so = |key: (u64, &str)| key.1.starts_with(text);
                match first.transpose()? {
                    Some((key, _)) if begins_so(key.value()) => Ok(Self::Folders(from)),
                    _ => Ok(Self::Files(from)),
                }
            }
            (None, None) => Ok(Self::Folders(Bound::Unbounded)),
        }
    }
}

/// What was found so far.
struct Page {
    entries: Vec<Entry>,
    limit: usize,
    /// Behind the last entry; behind the last name that was looked at, where that says more.
    last: Option<BrowseCursor>,
}

impl Page {
    fn is_full(&self) -> bool {
        self.entries.len() == self.limit
    }

    /// Adds folders; says whether the page ends before they do.
    fn add_folders(
        &mut self,
        folder: u64,
        from: Bound<&str>,
        subfolders: &Subfolders,
        entries: &Entries,
    ) -> Result<bool, StateError> {
        for row in subfolders.range(in_folder(folder, from))? {
            if self.is_full() {
                return Ok(true);
            }
            let (key, _) = row?;
            let name = entry_name(key.value().1)?;
            let row = names::entry_in(entries, folder, &name)?.ok_or_else(|| {
                StateError::Damaged(format!("{name:?} is listed among folders and has no row"))
            })?;
            self.entries.push(row.to_entry(&name));
            self.last = Some(BrowseCursor::Folder(name));
        }
        Ok(false)
    }

    /// Adds files; says whether the page ends before they do, since it is full or so many names were looked at.
    fn add_files(
        &mut self,
        folder: u64,
        from: Bound<&str>,
        entries: &Entries,
        mut rows_left: u32,
    ) -> Result<bool, StateError> {
        for row in entries.range(in_folder(folder, from))? {
            if rows_left == 0 {
                return Ok(true);
            }
            rows_left -= 1;
            let (key, row) = row?;
            let row: EntryRow = rows::decode(row.value())?;
            let is_file = matches!(row, EntryRow::File { .. });
            if self.is_full() {
                if is_file {
                    return Ok(true);
                }
                continue;
            }
            // Nobody needs the name of a folder but where it is the last one looked at.
            if is_file || rows_left == 0 {
                let name = entry_name(key.value().1)?;
                if is_file {
                    self.entries.push(row.to_entry(&name));
                }
                self.last = Some(BrowseCursor::File(name));
            }
        }
        Ok(false)
    }

    fn continued(self) -> FolderBrowsed {
        FolderBrowsed {
            entries: self.entries,
            next: self.last,
        }
    }
}

/// The keys of what is in a folder, from this name on.
fn in_folder(folder: u64, from: Bound<&str>) -> impl RangeBounds<(u64, &str)> {
    let from = match from {
        Bound::Unbounded => Bound::Included((folder, "")),
        from => from.map(|name| (folder, name)),
    };
    (from, Bound::Excluded((folder + 1, "")))
}

fn entry_name(name: &str) -> Result<EntryName, StateError> {
    EntryName::new(name)
        .map_err(|error| StateError::Damaged(format!("a name in a folder is none: {error}")))
}
