//! A folder's entries as people look at them: folders before files, whatever their number, a page at a time. Here they are by
//! name; `sorted.rs` has the other orders.
//!
//! The names of the folders in a folder are kept in a table of their own, beside that of all names, so that a page of
//! folders is read without passing over files. A page of files passes over the folders between them, and gives up after a
//! bounded number of names with less than a page: folders with very many folders are rare, and a second table of all files
//! would have to be written with each commit.
//!
//! **Invariant:** the table of subfolders has just the names of the folders among all names.

use std::ops::{Bound, RangeBounds};

use proto::ErrorCode;
use proto::master::{
    BrowseCursor, BrowseFolder, Entry, FolderBrowsed, PAGE_LEN_MAX, SEARCH_ROWS_MAX, SortedBy,
};
use proto::name::EntryName;
use redb::{Key, Range, ReadOnlyTable, ReadableTable, Value};

use super::error::{StateError, refuse};
use super::names;
use super::rows::{self, EntryRow};
use super::snapshot::Snapshot;
use super::tables::{self, Row, Tables};

type Entries = ReadOnlyTable<(u64, &'static str), Row>;
type Subfolders = ReadOnlyTable<(u64, &'static str), ()>;

mod sorted;

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
    /// A page of a folder, folders first. Refused with `not_found`, `not_a_folder`, `invalid_argument`.
    pub fn browse(&self, request: &BrowseFolder) -> Result<FolderBrowsed, StateError> {
        check(request)?;
        let entries = self.table(tables::ENTRIES)?;
        let folder = names::folder_at(&entries, &request.path)?;
        match request.order.by {
            SortedBy::Name => self.browse_by_name(&entries, folder, request),
            SortedBy::Size | SortedBy::Modified => sorted::page(&entries, folder, request),
        }
    }

    /// The same; nothing where the order makes it look at more entries than the request has `rows`.
    pub fn browse_few(&self, request: &BrowseFolder) -> Result<Option<FolderBrowsed>, StateError> {
        check(request)?;
        let entries = self.table(tables::ENTRIES)?;
        let folder = names::folder_at(&entries, &request.path)?;
        match request.order.by {
            SortedBy::Name => self.browse_by_name(&entries, folder, request).map(Some),
            SortedBy::Size | SortedBy::Modified => {
                sorted::page_of_few(&entries, folder, request, rows_max(request))
            }
        }
    }

    fn browse_by_name(
        &self,
        entries: &Entries,
        folder: u64,
        request: &BrowseFolder,
    ) -> Result<FolderBrowsed, StateError> {
        let subfolders = self.table(tables::SUBFOLDERS)?;
        let mut page = Page {
            entries: Vec::new(),
            limit: request.limit.clamp(1, PAGE_LEN_MAX) as usize,
            is_descending: request.order.is_descending,
            last: None,
        };
        let files_from = match Begin::of(request, folder, &subfolders)? {
            Begin::Folders(from) => {
                if page.add_folders(folder, from, &subfolders, entries)? {
                    return Ok(page.continued());
                }
                Bound::Unbounded
            }
            Begin::Files(from) => from,
        };
        if page.add_files(folder, files_from, entries, rows_max(request))? {
            return Ok(page.continued());
        }
        Ok(FolderBrowsed {
            entries: page.entries,
            next: None,
        })
    }
}

fn rows_max(request: &BrowseFolder) -> u32 {
    request.rows.clamp(1, SEARCH_ROWS_MAX)
}

/// Refuses places that are of another order.
fn check(request: &BrowseFolder) -> Result<(), StateError> {
    if let Some(after) = &request.after
        && !request.order.has(after)
    {
        let message = format!(
            "{after} is no place in the order {}: send what a page in the same order gave as `next`",
            String::from(request.order)
        );
        return refuse(ErrorCode::InvalidArgument, message);
    }
    if request.from.is_some() && !request.order.is_default() {
        let message = "a list begins at a name in the order of names only: leave out one of both";
        return refuse(ErrorCode::InvalidArgument, message);
    }
    Ok(())
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
            (Some(BrowseCursor { is_file, name, .. }), _) => {
                let behind = Bound::Excluded(name.as_str());
                Ok(if *is_file {
                    Self::Files(behind)
                } else {
                    Self::Folders(behind)
                })
            }
            (None, Some(text)) => {
                let text = text.as_str();
                let from = Bound::Included(text);
                let first = subfolders.range(in_folder(folder, from, false))?.next();
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
    is_descending: bool,
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
        let range = subfolders.range(in_folder(folder, from, self.is_descending))?;
        for row in directed(range, self.is_descending) {
            if self.is_full() {
                return Ok(true);
            }
            let (key, _) = row?;
            let name = entry_name(key.value().1)?;
            let row = names::entry_in(entries, folder, &name)?.ok_or_else(|| {
                StateError::Damaged(format!("{name:?} is listed among folders and has no row"))
            })?;
            self.entries.push(row.to_entry(&name));
            self.last = Some(BrowseCursor::folder(name));
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
        let range = entries.range(in_folder(folder, from, self.is_descending))?;
        for row in directed(range, self.is_descending) {
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
                self.last = Some(BrowseCursor::file(name));
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

/// The keys of what is in a folder, from this name on; of a descending order, down to the first.
fn in_folder(folder: u64, from: Bound<&str>, is_descending: bool) -> impl RangeBounds<(u64, &str)> {
    let (first, end) = (
        Bound::Included((folder, "")),
        Bound::Excluded((folder + 1, "")),
    );
    match from {
        Bound::Unbounded => (first, end),
        from if is_descending => (first, from.map(|name| (folder, name))),
        from => (from.map(|name| (folder, name)), end),
    }
}

/// What a range has, from its other end if so wanted.
fn directed<K: Key + 'static, V: Value + 'static>(
    mut range: Range<'_, K, V>,
    is_descending: bool,
) -> impl Iterator<Item = <Range<'_, K, V> as Iterator>::Item> {
    std::iter::from_fn(move || {
        if is_descending {
            range.next_back()
        } else {
            range.next()
        }
    })
}

fn entry_name(name: &str) -> Result<EntryName, StateError> {
    EntryName::new(name)
        .map_err(|error| StateError::Damaged(format!("a name in a folder is none: {error}")))
}
