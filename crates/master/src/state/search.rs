//! Finding names: a walk over the folders below one, from where the walk before ended, as far as one call may go.
//!
//! An entry comes before what is in it, and the entries of a folder in the order of their names. So a path says how far
//! a walk has come, also when nothing is at that path any more. What lies in the trash has no folder above it, and is
//! never come to.
//!
//! **Invariant:** one call looks at a bounded number of rows, and keeps one place for each name of a path.

use std::ops::Bound;

use proto::ErrorCode;
use proto::frame::LINE_LEN_MAX;
use proto::master::{
    FoundEntry, NamesFound, PAGE_LEN_MAX, SEARCH_ROWS_MAX, SEARCH_TEXT_LEN_MAX, SearchCursor,
    SearchNames,
};
use proto::matching::Words;
use proto::name::{EntryName, EntryPath};
use redb::{AccessGuard, Range, ReadOnlyTable};

use super::error::{StateError, refuse};
use super::names;
use super::rows::{self, EntryRow};
use super::snapshot::{Snapshot, entry_len_max};
use super::tables::{self, Row};

/// What was found is a line on the wire, with room for one entry more and for the cursor.
const FOUND_BYTES_MAX: usize = LINE_LEN_MAX - (64 << 10);

type Entries = ReadOnlyTable<(u64, &'static str), Row>;

impl Snapshot {
    /// Entries whose names have all words of the text. Refused with `not_found`, `not_a_folder`, `invalid_argument`.
    pub fn search(&self, request: &SearchNames) -> Result<NamesFound, StateError> {
        let mut words = words_of(&request.text)?;
        let entries = self.table(tables::ENTRIES)?;
        let mut walk = Walk::begin(&entries, &request.under, request.after.as_ref())?;
        let found_max = request.limit.clamp(1, PAGE_LEN_MAX) as usize;
        let (mut found, mut found_bytes) = (Vec::new(), 0);
        let mut rows_left = request.rows.clamp(1, SEARCH_ROWS_MAX);
        while let Some((key, row)) = walk.next_row()? {
            let (_, name) = key.value();
            if words.occur_in(name)
                && let Some(path) = walk.path_of(name)?
            {
                found_bytes += entry_len_max(&path);
                let entry = row.to_entry(&entry_name(name)?);
                found.push(FoundEntry { path, entry });
            }
            rows_left -= 1;
            if rows_left == 0 || found.len() == found_max || found_bytes > FOUND_BYTES_MAX {
                let next = Some(walk.cursor(name)?);
                return Ok(NamesFound { found, next });
            }
            if let EntryRow::Folder { folder, .. } = row {
                walk.enter(entry_name(name)?, folder)?;
            }
        }
        Ok(NamesFound { found, next: None })
    }
}

fn words_of(text: &str) -> Result<Words, StateError> {
    if text.len() > SEARCH_TEXT_LEN_MAX {
        let message = format!("what is looked for is longer than {SEARCH_TEXT_LEN_MAX} bytes");
        return refuse(ErrorCode::InvalidArgument, message);
    }
    match Words::of(text) {
        Some(words) => Ok(words),
        None => refuse(
            ErrorCode::InvalidArgument,
            "there is no word to look for: say a part of a name",
        ),
    }
}

/// A row of the entries' table.
type Found = (AccessGuard<'static, (u64, &'static str)>, EntryRow);

/// Where a walk is: in a folder, and in each folder above it behind the name of the one below.
struct Walk<'a> {
    entries: &'a Entries,
    /// The folder that is being read.
    path: EntryPath,
    /// What is still to come in it and in those above it, up to the one where the walk began.
    levels: Vec<Range<'static, (u64, &'static str), Row>>,
}

impl<'a> Walk<'a> {
    /// Stands before all that is below the folder, or behind an entry and before what is in it.
    fn begin(
        entries: &'a Entries,
        under: &EntryPath,
        after: Option<&SearchCursor>,
    ) -> Result<Self, StateError> {
        let mut folder = names::folder_at(entries, under)?;
        let mut walk = Self {
            entries,
            path: under.clone(),
            levels: Vec::new(),
        };
        if let Some(after) = after {
            for name in names_below(under, after)? {
                walk.read(folder, Bound::Excluded(name.as_str()))?;
                match names::entry_in(entries, folder, name)? {
                    Some(EntryRow::Folder { folder: id, .. }) => {
                        let Ok(path) = walk.path.join(name.clone()) else {
                            return Ok(walk);
                        };
                        (walk.path, folder) = (path, id);
                    }
                    Some(EntryRow::File { .. }) | None => return Ok(walk),
                }
            }
        }
        walk.read(folder, Bound::Included(""))?;
        Ok(walk)
    }

    fn read(&mut self, folder: u64, from: Bound<&str>) -> Result<(), StateError> {
        let from = from.map(|name| (folder, name));
        let to = Bound::Excluded((folder + 1, ""));
        self.levels.push(self.entries.range((from, to))?);
        Ok(())
    }

    /// The next entry of the folder; at its end, of the nearest one above that has more.
    fn next_row(&mut self) -> Result<Option<Found>, StateError> {
        while let Some(level) = self.levels.last_mut() {
            if let Some(row) = level.next() {
                let (key, row) = row?;
                return Ok(Some((key, rows::decode(row.value())?)));
            }
            self.levels.pop();
            if let Some((above, _)) = self.path.split_last() {
                self.path = above;
            }
        }
        Ok(None)
    }

    /// Goes on with what is in this folder. What lies deeper than a path can say cannot be reached, and is passed over.
    fn enter(&mut self, name: EntryName, folder: u64) -> Result<(), StateError> {
        let Ok(path) = self.path.join(name) else {
            return Ok(());
        };
        self.path = path;
        self.read(folder, Bound::Included(""))
    }

    /// Where this entry of the folder is; nothing if no path can say it.
    fn path_of(&self, name: &str) -> Result<Option<EntryPath>, StateError> {
        Ok(self.path.join(entry_name(name)?).ok())
    }

    fn cursor(&self, name: &str) -> Result<SearchCursor, StateError> {
        Ok(SearchCursor {
            folder: self.path.clone(),
            name: entry_name(name)?,
        })
    }
}

/// The names from the folder down to where a walk ended.
fn names_below<'a>(
    under: &EntryPath,
    after: &'a SearchCursor,
) -> Result<impl Iterator<Item = &'a EntryName> + use<'a>, StateError> {
    if !after.folder.is_within(under) {
        let message = format!("{after} is not in {under}: a search goes on in the same folder");
        return refuse(ErrorCode::InvalidArgument, message);
    }
    let folders = after.folder.names().iter().skip(under.names().len());
    Ok(folders.chain([&after.name]))
}

fn entry_name(name: &str) -> Result<EntryName, StateError> {
    EntryName::new(name)
        .map_err(|error| StateError::Damaged(format!("a name in a folder is none: {error}")))
}
