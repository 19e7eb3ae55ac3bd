//! A folder in the order of sizes or times: there is no table in these orders, which each commit would have to write.
//!
//! A page is what comes next behind its cursor, of all entries of the folder: one pass over them, which keeps no more of them
//! than twice the page. So a page takes memory by its own length, and time by the folder's, and nothing is kept between pages.
//!
//! **Invariant:** each page is behind the one before, whatever changes meanwhile.

use std::ops::Bound;

use proto::master::{
    BrowseCursor, BrowseFolder, BrowseOrder, BrowsePlace, FolderBrowsed, PAGE_LEN_MAX,
};

use super::{Entries, entry_name, in_folder};
use crate::state::error::StateError;
use crate::state::rows::{self, EntryRow};

/// What is next in the folder.
pub(super) fn page(
    entries: &Entries,
    folder: u64,
    request: &BrowseFolder,
) -> Result<FolderBrowsed, StateError> {
    let mut nearest = Nearest::of(request);
    for row in entries.range(in_folder(folder, Bound::Unbounded, false))? {
        let (key, row) = row?;
        nearest.offer(key.value().1, &rows::decode(row.value())?);
    }
    nearest.into_page()
}

/// The same; nothing if the folder has more entries than this.
pub(super) fn page_of_few(
    entries: &Entries,
    folder: u64,
    request: &BrowseFolder,
    mut rows_left: u32,
) -> Result<Option<FolderBrowsed>, StateError> {
    let mut nearest = Nearest::of(request);
    for row in entries.range(in_folder(folder, Bound::Unbounded, false))? {
        if rows_left == 0 {
            return Ok(None);
        }
        rows_left -= 1;
        let (key, row) = row?;
        nearest.offer(key.value().1, &rows::decode(row.value())?);
    }
    nearest.into_page().map(Some)
}

/// An entry that may be in the page.
struct Found {
    key: Option<u64>,
    name: String,
    row: EntryRow,
}

impl Found {
    fn place(&self) -> BrowsePlace<'_> {
        BrowsePlace {
            is_file: is_file(&self.row),
            key: self.key,
            name: &self.name,
        }
    }
}

/// The entries that come next behind a place, of those that were offered.
struct Nearest<'a> {
    order: BrowseOrder,
    limit: usize,
    after: Option<BrowsePlace<'a>>,
    /// In no order, at most twice the limit; after a cut, the last of the page is at its end.
    found: Vec<Found>,
    /// Whether some were left out.
    is_cut: bool,
}

impl<'a> Nearest<'a> {
    fn of(request: &'a BrowseFolder) -> Self {
        Self {
            order: request.order,
            limit: request.limit.clamp(1, PAGE_LEN_MAX) as usize,
            after: request.after.as_ref().map(BrowseCursor::place),
            found: Vec::new(),
            is_cut: false,
        }
    }

    fn offer(&mut self, name: &str, row: &EntryRow) {
        let place = BrowsePlace {
            is_file: is_file(row),
            key: self.key_of(row),
            name,
        };
        let is_behind = |other| self.order.compare(place, other).is_gt();
        if self.after.is_some_and(|after| !is_behind(after)) {
            return;
        }
        if self.is_cut && is_behind(self.found[self.limit - 1].place()) {
            return;
        }
        self.found.push(Found {
            key: place.key,
            name: name.to_owned(),
            row: *row,
        });
        if self.found.len() == 2 * self.limit {
            self.cut();
        }
    }

    fn key_of(&self, row: &EntryRow) -> Option<u64> {
        let (size, modified_ms) = match *row {
            EntryRow::Folder { modified_ms, .. } => (0, modified_ms),
            EntryRow::File {
                size, modified_ms, ..
            } => (size, modified_ms),
        };
        self.order.key(size, modified_ms)
    }

    /// Leaves out what is not in the page by now. Each cut halves what is there, so that all of them take time by what was
    /// offered, in whatever order it came.
    fn cut(&mut self) {
        if self.found.len() <= self.limit {
            return;
        }
        let order = self.order;
        self.found
            .select_nth_unstable_by(self.limit - 1, |left, right| {
                order.compare(left.place(), right.place())
            });
        self.found.truncate(self.limit);
        self.is_cut = true;
    }

    fn into_page(mut self) -> Result<FolderBrowsed, StateError> {
        self.cut();
        let order = self.order;
        self.found
            .sort_unstable_by(|left, right| order.compare(left.place(), right.place()));
        let mut entries = Vec::with_capacity(self.found.len());
        for found in &self.found {
            entries.push(found.row.to_entry(&entry_name(&found.name)?));
        }
        let last = entries.last().filter(|_| self.is_cut);
        Ok(FolderBrowsed {
            next: last.and_then(|last| order.cursor(last)),
            entries,
        })
    }
}

fn is_file(row: &EntryRow) -> bool {
    matches!(row, EntryRow::File { .. })
}
