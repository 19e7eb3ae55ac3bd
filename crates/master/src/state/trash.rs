//! The trash: what was deleted and can come back.
//!
//! A row holds the entry as it was, a folder with all that is below it: deleting and restoring move one row. Emptying
//! raises a mark, below which rows are gone for everybody and wait to be swept; purging puts an entry into the queue
//! of the sweep at once. Neither takes longer for more files.

use planted::{Bug, is_planted};
use proto::ErrorCode;
use proto::id::RequestId;
use proto::master::{Precondition, TrashId};
use proto::name::EntryPath;
use redb::ReadableTable;

use super::answers::{Kind, used_otherwise};
use super::error::{StateError, refuse};
use super::outcome::Outcome;
use super::rows::{self, Answer, EntryRow, PurgeRow, Sums, TrashRow};
use super::tables::Tables;
use crate::command::{ClusterMillis, TimedCommand};

impl Tables<'_> {
    /// Puts an entry that was taken from its name into the trash.
    pub(super) fn put_in_trash(
        &mut self,
        path: &EntryPath,
        entry: EntryRow,
        at: &TimedCommand,
    ) -> Result<TrashId, StateError> {
        let trash = self.head.next_trash;
        self.head.next_trash += 1;
        if let EntryRow::Folder { folder, .. } = entry {
            self.set_parent(folder, None)?;
        }
        let sums = self.sums_of(&entry)?;
        self.head.counters.trashed = self.head.counters.trashed.plus(sums);
        let row = TrashRow {
            path: path.to_string(),
            entry,
            deleted_at: at.at,
            deleted_ms: at.wall_ms,
        };
        self.trash.insert(trash, rows::encode(&row).as_slice())?;
        Ok(TrashId(trash))
    }

    /// Leaves an entry that has no name any more to the sweep.
    pub(super) fn purge_entry(&mut self, entry: &EntryRow) -> Result<(), StateError> {
        match *entry {
            EntryRow::Folder { folder, .. } => {
                self.set_parent(folder, None)?;
                self.push_purge(&PurgeRow::Folder { folder })
            }
            EntryRow::File { file, version, .. } => {
                self.push_purge(&PurgeRow::File { file, version })
            }
        }
    }

    /// A row of the trash that was not emptied.
    fn trash_row(&self, trash: TrashId) -> Result<TrashRow, StateError> {
        let row = self.trash.get(trash.0)?;
        match row {
            Some(row) if trash.0 >= self.head.trash_emptied_below => rows::decode(row.value()),
            _ => refuse(
                ErrorCode::NotFound,
                format!(
                    "there is no row {} in the trash (any more): it was restored, emptied, or kept \
                     for its time",
                    trash.0
                ),
            ),
        }
    }

    /// Takes a row out of the trash and out of its sums.
    fn take_from_trash(&mut self, trash: TrashId, entry: &EntryRow) -> Result<(), StateError> {
        self.trash.remove(trash.0)?;
        let sums = self.sums_of(entry)?;
        self.head.counters.trashed = self.head.counters.trashed.minus(sums);
        Ok(())
    }

    /// Purges rows of the trash that were emptied, or deleted before then; returns how many.
    pub(super) fn purge_old_trash(
        &mut self,
        before: ClusterMillis,
        limit: u32,
    ) -> Result<u32, StateError> {
        let mut purged = 0;
        while purged < limit {
            let Some((trash, row)) = self.oldest_trash()? else {
                break;
            };
            if trash < self.head.trash_emptied_below {
                // Its sums went when it was emptied.
                self.trash.remove(trash)?;
            } else if row.deleted_at < before || is_planted(Bug::TrashNotKept) {
                self.take_from_trash(TrashId(trash), &row.entry)?;
            } else {
                break;
            }
            self.purge_entry(&row.entry)?;
            purged += 1;
        }
        Ok(purged)
    }

    fn oldest_trash(&self) -> Result<Option<(u64, TrashRow)>, StateError> {
        match self.trash.first()? {
            Some((trash, row)) => Ok(Some((trash.value(), rows::decode(row.value())?))),
            None => Ok(None),
        }
    }

    fn is_empty_folder(&self, entry: &EntryRow) -> Result<bool, StateError> {
        let EntryRow::Folder { folder, .. } = entry else {
            return Ok(true);
        };
        Ok(self.first_entry(*folder)?.is_none())
    }
}

/// Whether an entry is in the state that a request asks for.
pub(super) fn check_precondition(
    path: &EntryPath,
    precondition: Precondition,
    existing: Option<&EntryRow>,
) -> Result<(), StateError> {
    let found = match existing {
        None => "nothing is there".to_owned(),
        Some(EntryRow::Folder { .. }) => "a folder is there".to_owned(),
        Some(EntryRow::File { version, .. }) => format!("it is in version {version}"),
    };
    let (holds, wanted) = match (precondition, existing) {
        (Precondition::Any, _) => return Ok(()),
        (Precondition::Absent, existing) => (existing.is_none(), "to be absent".to_owned()),
        (Precondition::Present, existing) => (
            matches!(existing, Some(EntryRow::File { .. })),
            "to be a file".to_owned(),
        ),
        (Precondition::Version(wanted), existing) => (
            matches!(existing, Some(EntryRow::File { version, .. }) if *version == wanted.0),
            format!("in version {wanted}"),
        ),
    };
    if holds {
        return Ok(());
    }
    refuse(
        ErrorCode::PreconditionFailed,
        format!("{path} was expected {wanted}, but {found}: look again, then decide"),
    )
}

/// What `DeleteEntry` asks for.
#[derive(Debug)]
pub(super) struct Deletion<'c> {
    pub(super) request: RequestId,
    pub(super) path: &'c EntryPath,
    pub(super) recursive: bool,
    pub(super) purge: bool,
    pub(super) precondition: Precondition,
}

/// `DeleteEntry`.
pub(super) fn delete_entry(
    tables: &mut Tables<'_>,
    at: &TimedCommand,
    deletion: &Deletion<'_>,
) -> Result<Outcome, StateError> {
    let (request, path) = (deletion.request, deletion.path);
    if let Some(answer) = tables.answered(Kind::Request, request.uuid())? {
        let Answer::Deleted { trashed } = answer else {
            return used_otherwise(request.uuid());
        };
        return Ok(Outcome::Deleted { trashed });
    }
    let (folder, name, entry) = tables.located(path)?;
    check_precondition(path, deletion.precondition, Some(&entry))?;
    if !deletion.recursive && !tables.is_empty_folder(&entry)? {
        return refuse(
            ErrorCode::FolderNotEmpty,
            format!("the folder {path} has entries: delete it recursively, or empty it first"),
        );
    }
    tables.take_entry(folder, &name, &entry)?;
    let trashed = if deletion.purge {
        tables.purge_entry(&entry)?;
        None
    } else {
        Some(tables.put_in_trash(path, entry, at)?)
    };
    let answer = Answer::Deleted { trashed };
    tables.remember(Kind::Request, request.uuid(), at.at, answer)?;
    Ok(Outcome::Deleted { trashed })
}

/// `RestoreEntry`.
pub(super) fn restore_entry(
    tables: &mut Tables<'_>,
    at: &TimedCommand,
    request: RequestId,
    trash: TrashId,
    to: Option<&EntryPath>,
) -> Result<Outcome, StateError> {
    let damaged = |error| StateError::Damaged(format!("a path in the trash is none: {error}"));
    if let Some(answer) = tables.answered(Kind::Request, request.uuid())? {
        let Answer::Restored { path } = answer else {
            return used_otherwise(request.uuid());
        };
        return Ok(Outcome::Restored(path.parse().map_err(damaged)?));
    }
    let row = tables.trash_row(trash)?;
    let path = match to {
        Some(path) => path.clone(),
        None => row.path.parse().map_err(damaged)?,
    };
    let place = tables.place(&path, true, None)?;
    if place.existing.is_some() {
        return refuse(
            ErrorCode::AlreadyExists,
            format!("{path} is there already: restore to another name"),
        );
    }
    tables.take_from_trash(trash, &row.entry)?;
    let folder = tables.make_parents(&place, at.wall_ms)?;
    tables.add_entry(folder, &place.name, &row.entry)?;
    let answer = Answer::Restored {
        path: path.to_string(),
    };
    tables.remember(Kind::Request, request.uuid(), at.at, answer)?;
    Ok(Outcome::Restored(path))
}

/// `EmptyTrash`.
pub(super) fn empty_trash(
    tables: &mut Tables<'_>,
    at: &TimedCommand,
    request: RequestId,
    trash: Option<TrashId>,
) -> Result<Outcome, StateError> {
    if let Some(answer) = tables.answered(Kind::Request, request.uuid())? {
        let Answer::TrashEmptied = answer else {
            return used_otherwise(request.uuid());
        };
        return Ok(Outcome::Done);
    }
    if let Some(trash) = trash {
        let row = tables.trash_row(trash)?;
        tables.take_from_trash(trash, &row.entry)?;
        tables.purge_entry(&row.entry)?;
    } else {
        tables.head.trash_emptied_below = tables.head.next_trash;
        tables.head.counters.trashed = Sums::default();
    }
    tables.remember(Kind::Request, request.uuid(), at.at, Answer::TrashEmptied)?;
    Ok(Outcome::Done)
}
