//! A folder in the order of sizes or times: there is no table in these orders, which each commit would have to write.
//!
//! A page is what comes next behind its cursor, of all entries of the folder: one pass over them, which keeps no more of them
//! than twice the page. So a page takes memory by its own length, and time by the folder's, and nothing is kept between pages.
//!
//! **Invariant:** the cursor of a page is behind the one that it was asked for, whatever changes meanwhile: pages come to an end.

use std::cmp::Ordering;
use std::ops::Bound;

use proto::master::{BrowseFolder, BrowseOrder, FolderBrowsed, PAGE_LEN_MAX, SortedBy};

use super::{Entries, entry_name, in_folder};
use crate::state::error::StateError;
use crate::state::rows::{self, EntryRow};

/// What is next in the folder.
pub(super) fn page(
    entries: &Entries,
    folder: u64,
    request: &BrowseFolder,
) -> Result<FolderBrowsed, StateError> {
    let mut nearest = Nearest {
        order: request.order,
        limit: request.limit.clamp(1, PAGE_LEN_MAX) as usize,
        after: request.after.as_ref().map(|after| Place {
            is_file: after.is_file,
            key: after.key.unwrap_or_default(),
            name: after.name.as_str(),
        }),
        found: Vec::new(),
        is_cut: false,
    };
    for row in entries.range(in_folder(folder, Bound::Unbounded, false))? {
        let (key, row) = row?;
        nearest.offer(key.value().1, &rows::decode(row.value())?);
    }
    nearest.into_page()
}

/// Where an entry is in an order.
#[derive(Clone, Copy)]
struct Place<'a> {
    is_file: bool,
    key: u64,
    name: &'a str,
}

impl Place<'_> {
    fn compare(self, other: Place<'_>, order: BrowseOrder) -> Ordering {
        let within = (self.key, self.name).cmp(&(other.key, other.name));
        let within = if order.is_descending {
            within.reverse()
        } else {
            within
        };
        self.is_file.cmp(&other.is_file).then(within)
    }
}

/// An entry that may be in the page.
struct Found {
    key: u64,
    name: String,
    row: EntryRow,
}

impl Found {
    fn place(&self) -> Place<'_> {
        Place {
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
    after: Option<Place<'a>>,
    /// In no order, at most twice the limit; after a cut, the last of the page is at its end.
    found: Vec<Found>,
    /// Whether some were left out.
    is_cut: bool,
}

impl Nearest<'_> {
    fn offer(&mut self, name: &str, row: &EntryRow) {
        let place = Place {
            is_file: is_file(row),
            key: self.key_of(row),
            name,
        };
        let is_behind = |other| place.compare(other, self.order).is_gt();
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

    fn key_of(&self, row: &EntryRow) -> u64 {
        match (*row, self.order.by) {
            (
                EntryRow::Folder { modified_ms, .. } | EntryRow::File { modified_ms, .. },
                SortedBy::Modified,
            ) => modified_ms,
            (EntryRow::File { size, .. }, _) => size,
            (EntryRow::Folder { .. }, _) => 0,
        }
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
                left.place().compare(right.place(), order)
            });
        self.found.truncate(self.limit);
        self.is_cut = true;
    }

    fn into_page(mut self) -> Result<FolderBrowsed, StateError> {
        self.cut();
        let order = self.order;
        self.found
            .sort_unstable_by(|left, right| left.place().compare(right.place(), order));
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
