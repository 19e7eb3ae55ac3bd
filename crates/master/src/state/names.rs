//! Folders and names: finding them, making folders, moving entries.
//!
//! An entry is a row under (folder, name), so that moving a folder moves one row whatever is below it. Each folder keeps
//! the sums of all that is below it, so that a change walks up from where it happened: as many rows as the path
//! has names, and never down.
//!
//! **Invariant:** a folder has one place: under one name in one folder, or in one row of the trash, or in the
//! queue of the sweep. So there are no loops.

use planted::{Bug, is_planted};
use proto::ErrorCode;
use proto::master::Entry;
use proto::name::{EntryName, EntryPath, NameRules};
use redb::ReadableTable;

use super::answers::Kind;
use super::error::{StateError, refuse};
use super::outcome::Outcome;
use super::rows::{self, Answer, EntryRow, FolderRow, Sums};
use super::tables::{Row, Tables};
use crate::command::TimedCommand;
use proto::id::RequestId;

/// The folder that holds everything.
pub(super) const ROOT: u64 = 1;
/// Why a path that is not the root has a name.
pub(super) const NAME_TEXT: &str = "only the root has no name, and it was refused before";

/// What is at a path other than the root. A file in the middle of it is as good as nothing.
pub(super) fn find(
    entries: &impl ReadableTable<(u64, &'static str), Row>,
    path: &EntryPath,
) -> Result<Option<EntryRow>, StateError> {
    let mut folder = ROOT;
    let mut found = None;
    for (depth, name) in path.names().iter().enumerate() {
        let Some(row) = entry_in(entries, folder, name)? else {
            return Ok(None);
        };
        match row {
            EntryRow::Folder { folder: id, .. } => folder = id,
            EntryRow::File { .. } if depth + 1 < path.names().len() => return Ok(None),
            EntryRow::File { .. } => {}
        }
        found = Some(row);
    }
    Ok(found)
}

/// The folder at a path. Refused with `not_found`, `not_a_folder`.
pub(super) fn folder_at(
    entries: &impl ReadableTable<(u64, &'static str), Row>,
    path: &EntryPath,
) -> Result<u64, StateError> {
    let mut folder = ROOT;
    for name in path.names() {
        folder = match entry_in(entries, folder, name)? {
            Some(EntryRow::Folder { folder, .. }) => folder,
            Some(EntryRow::File { .. }) => return not_a_folder(path, name),
            None => return refuse(ErrorCode::NotFound, format!("there is no folder {path}")),
        };
    }
    Ok(folder)
}

pub(super) fn entry_in(
    entries: &impl ReadableTable<(u64, &'static str), Row>,
    folder: u64,
    name: &EntryName,
) -> Result<Option<EntryRow>, StateError> {
    match entries.get((folder, name.as_str()))? {
        Some(row) => Ok(Some(rows::decode(row.value())?)),
        None => Ok(None),
    }
}

fn not_a_folder<T>(path: &EntryPath, name: &EntryName) -> Result<T, StateError> {
    refuse(
        ErrorCode::NotAFolder,
        format!("{path} cannot be: {name} in it is a file, not a folder"),
    )
}

/// Makes the root of a new store.
pub(super) fn make_root(tables: &mut Tables<'_>) -> Result<(), StateError> {
    let root = FolderRow {
        parent: None,
        below: Sums::default(),
    };
    tables.put_folder(ROOT, &root)
}

/// Where an entry is to be, found and checked before anything is written.
#[derive(Debug)]
pub(super) struct Place {
    /// The deepest folder that is there.
    folder: u64,
    /// Folders to be made below it, from the top down.
    missing: Vec<EntryName>,
    /// The entry's name in the last of these.
    pub(super) name: EntryName,
    /// What is there now.
    pub(super) existing: Option<EntryRow>,
}

impl Tables<'_> {
    /// Finds and checks the place of a new entry, or of one that is replaced. `leaving` is the name that the entry
    /// gives up in the same step, with its folder: it collides with nothing. Missing parents are refused unless
    /// they may be made.
    pub(super) fn place(
        &self,
        path: &EntryPath,
        parents: bool,
        leaving: Option<(u64, &EntryName)>,
    ) -> Result<Place, StateError> {
        let Some((name, above)) = path.names().split_last() else {
            return refuse(ErrorCode::InvalidArgument, "/ is the root: name an entry");
        };
        let mut folder = ROOT;
        for (depth, parent) in above.iter().enumerate() {
            match entry_in(&self.entries, folder, parent)? {
                Some(EntryRow::Folder { folder: id, .. }) => folder = id,
                Some(EntryRow::File { .. }) => return not_a_folder(path, parent),
                None if parents => {
                    let missing = above[depth..].to_vec();
                    self.check_names(folder, &missing, name)?;
                    return Ok(Place {
                        folder,
                        missing,
                        name: name.clone(),
                        existing: None,
                    });
                }
                None => {
                    return refuse(
                        ErrorCode::NotFound,
                        format!("there is no folder for {path}: make it first"),
                    );
                }
            }
        }
        let existing = entry_in(&self.entries, folder, name)?;
        if existing.is_none() {
            self.check_portable(name)?;
            self.check_collision(folder, name, leaving)?;
        }
        Ok(Place {
            folder,
            missing: Vec::new(),
            name: name.clone(),
            existing,
        })
    }

    fn check_names(
        &self,
        folder: u64,
        missing: &[EntryName],
        name: &EntryName,
    ) -> Result<(), StateError> {
        for name in missing.iter().chain([name]) {
            self.check_portable(name)?;
        }
        // Only the first of them has neighbours.
        self.check_collision(folder, &missing[0], None)
    }

    fn check_portable(&self, name: &EntryName) -> Result<(), StateError> {
        if self.rules.names == NameRules::Any || name.is_portable() {
            return Ok(());
        }
        refuse(
            ErrorCode::InvalidArgument,
            format!(
                "{name:?} is a name that Windows cannot hold, and this cluster takes portable names \
                 only: choose another"
            ),
        )
    }

    fn check_collision(
        &self,
        folder: u64,
        name: &EntryName,
        leaving: Option<(u64, &EntryName)>,
    ) -> Result<(), StateError> {
        if self.rules.names == NameRules::Any {
            return Ok(());
        }
        let key = name.collision_key();
        let Some(taken) = self.collisions.get((folder, key.as_str()))? else {
            return Ok(());
        };
        if leaving.is_some_and(|(from, left)| from == folder && left.as_str() == taken.value()) {
            return Ok(());
        }
        refuse(
            ErrorCode::AlreadyExists,
            format!(
                "{name:?} differs from {:?}, which is there, in case or normal form only, and this \
                 cluster takes portable names only: choose another",
                taken.value()
            ),
        )
    }

    /// Makes what is missing of a place, and gives the folder that holds it.
    pub(super) fn make_parents(&mut self, place: &Place, wall_ms: u64) -> Result<u64, StateError> {
        let mut folder = place.folder;
        for name in &place.missing {
            folder = self.make_folder(folder, name, wall_ms)?;
        }
        Ok(folder)
    }

    fn make_folder(
        &mut self,
        parent: u64,
        name: &EntryName,
        modified_ms: u64,
    ) -> Result<u64, StateError> {
        let folder = self.head.next_folder;
        self.head.next_folder += 1;
        let row = FolderRow {
            parent: Some(parent),
            below: Sums::default(),
        };
        self.put_folder(folder, &row)?;
        self.add_entry(
            parent,
            name,
            &EntryRow::Folder {
                folder,
                modified_ms,
            },
        )?;
        Ok(folder)
    }

    /// Puts an entry under a name that is free, and a folder into its new parent.
    pub(super) fn add_entry(
        &mut self,
        folder: u64,
        name: &EntryName,
        row: &EntryRow,
    ) -> Result<(), StateError> {
        self.write_entry(folder, name, row)?;
        if let EntryRow::Folder { .. } = row {
            self.subfolders.insert((folder, name.as_str()), ())?;
        }
        if self.rules.names == NameRules::Portable {
            let key = name.collision_key();
            self.collisions
                .insert((folder, key.as_str()), name.as_str())?;
        }
        if let EntryRow::Folder { folder: id, .. } = row {
            self.set_parent(*id, Some(folder))?;
        }
        self.note_place(folder, name, row)?;
        let sums = self.sums_of(row)?;
        self.change_below(folder, |below| below.plus(sums))
    }

    /// Takes an entry away from its name. What it was still has to be put somewhere, or purged.
    pub(super) fn take_entry(
        &mut self,
        folder: u64,
        name: &EntryName,
        row: &EntryRow,
    ) -> Result<(), StateError> {
        self.remove_entry(folder, name, row)?;
        let sums = self.sums_of(row)?;
        self.change_below(folder, |below| below.minus(sums))
    }

    /// Removes a name, and nothing else.
    pub(super) fn remove_entry(
        &mut self,
        folder: u64,
        name: &EntryName,
        row: &EntryRow,
    ) -> Result<(), StateError> {
        self.entries.remove((folder, name.as_str()))?;
        if let EntryRow::Folder { .. } = row {
            self.subfolders.remove((folder, name.as_str()))?;
        }
        if self.rules.names == NameRules::Portable {
            let key = name.collision_key();
            self.collisions.remove((folder, key.as_str()))?;
        }
        Ok(())
    }

    /// The first entry of a folder, by name.
    pub(super) fn first_entry(
        &self,
        folder: u64,
    ) -> Result<Option<(EntryName, EntryRow)>, StateError> {
        let range = (folder, "")..(folder + 1, "");
        let first = self.entries.range::<(u64, &str)>(range)?.next();
        let Some((key, row)) = first.transpose()? else {
            return Ok(None);
        };
        let name = EntryName::new(key.value().1)
            .map_err(|error| StateError::Damaged(format!("a name is none: {error}")))?;
        Ok(Some((name, rows::decode(row.value())?)))
    }

    /// Writes an entry's row, and nothing else.
    pub(super) fn write_entry(
        &mut self,
        folder: u64,
        name: &EntryName,
        row: &EntryRow,
    ) -> Result<(), StateError> {
        self.entries
            .insert((folder, name.as_str()), rows::encode(row).as_slice())?;
        Ok(())
    }

    /// Changes the sums of a folder and of all above it.
    pub(super) fn change_below(
        &mut self,
        folder: u64,
        change: impl Fn(Sums) -> Sums,
    ) -> Result<(), StateError> {
        let mut next = Some(folder);
        while let Some(folder) = next {
            let mut row = self.folder(folder)?;
            row.below = change(row.below);
            self.put_folder(folder, &row)?;
            next = row.parent;
        }
        Ok(())
    }

    /// What an entry counts for where it is.
    pub(super) fn sums_of(&self, row: &EntryRow) -> Result<Sums, StateError> {
        Ok(match row {
            EntryRow::File { size, .. } => Sums {
                files: 1,
                folders: 0,
                bytes: *size,
            },
            EntryRow::Folder { folder, .. } => self.folder(*folder)?.below.plus(Sums {
                folders: 1,
                ..Sums::default()
            }),
        })
    }

    pub(super) fn folder(&self, folder: u64) -> Result<FolderRow, StateError> {
        match self.folders.get(folder)? {
            Some(row) => rows::decode(row.value()),
            None => Err(StateError::Damaged(format!("folder {folder} has no row"))),
        }
    }

    pub(super) fn put_folder(&mut self, folder: u64, row: &FolderRow) -> Result<(), StateError> {
        self.folders.insert(folder, rows::encode(row).as_slice())?;
        Ok(())
    }

    pub(super) fn set_parent(
        &mut self,
        folder: u64,
        parent: Option<u64>,
    ) -> Result<(), StateError> {
        let mut row = self.folder(folder)?;
        row.parent = parent;
        self.put_folder(folder, &row)
    }

    /// The folder that holds an entry, the entry's name, and the entry; refused with `not_found`.
    pub(super) fn located(
        &self,
        path: &EntryPath,
    ) -> Result<(u64, EntryName, EntryRow), StateError> {
        let Some((above, name)) = path.split_last() else {
            return refuse(
                ErrorCode::InvalidArgument,
                "/ is the root: it can be neither moved nor deleted",
            );
        };
        let gone = || refuse(ErrorCode::NotFound, format!("there is no {path}"));
        let folder = if above.is_root() {
            ROOT
        } else {
            match find(&self.entries, &above)? {
                Some(EntryRow::Folder { folder, .. }) => folder,
                _ => return gone(),
            }
        };
        match entry_in(&self.entries, folder, name)? {
            Some(row) => Ok((folder, name.clone(), row)),
            None => gone(),
        }
    }
}

/// `CreateFolder`.
pub(super) fn create_folder(
    tables: &mut Tables<'_>,
    at: &TimedCommand,
    request: RequestId,
    path: &EntryPath,
    parents: bool,
) -> Result<Outcome, StateError> {
    if let Some(answer) = tables.answered(Kind::Request, request.uuid())? {
        let Answer::FolderCreated { created } = answer else {
            return super::answers::used_otherwise(request.uuid());
        };
        return Ok(Outcome::FolderCreated { created });
    }
    let exists = || {
        let message = format!("{path} is there already");
        refuse(ErrorCode::AlreadyExists, message)
    };
    let created = if path.is_root() {
        if !parents {
            return exists();
        }
        false
    } else {
        let place = tables.place(path, parents, None)?;
        match place.existing {
            Some(EntryRow::Folder { .. }) if parents => false,
            Some(_) => return exists(),
            None => {
                let folder = tables.make_parents(&place, at.wall_ms)?;
                tables.make_folder(folder, &place.name, at.wall_ms)?;
                true
            }
        }
    };
    let answer = Answer::FolderCreated { created };
    tables.remember(Kind::Request, request.uuid(), at.at, answer)?;
    Ok(Outcome::FolderCreated { created })
}

/// `MoveEntry`.
///
/// A folder moves with all below it; names below may so come to lie deeper than a path can say, and can be reached again
/// by moving the folder up.
pub(super) fn move_entry(
    tables: &mut Tables<'_>,
    at: &TimedCommand,
    request: RequestId,
    from: &EntryPath,
    to: &EntryPath,
    replace: bool,
) -> Result<Outcome, StateError> {
    if let Some(answer) = tables.answered(Kind::Request, request.uuid())? {
        let Answer::Moved { name, entry } = answer else {
            return super::answers::used_otherwise(request.uuid());
        };
        return Ok(Outcome::Moved(entry.to_entry(&name)));
    }
    let (old_folder, old_name, row) = tables.located(from)?;
    if from == to {
        return moved(tables, at, request, old_name, row);
    }
    if to.is_within(from) && matches!(row, EntryRow::Folder { .. }) {
        let message = format!("{from} cannot be moved below itself, to {to}");
        return refuse(ErrorCode::InvalidArgument, message);
    }
    let place = tables.place(to, false, Some((old_folder, &old_name)))?;
    check_replaced(to, &row, place.existing.as_ref(), replace)?;

    tables.take_entry(old_folder, &old_name, &row)?;
    let folder = tables.make_parents(&place, at.wall_ms)?;
    if let Some(replaced) = place.existing {
        tables.take_entry(folder, &place.name, &replaced)?;
        tables.put_in_trash(to, replaced, at)?;
    }
    tables.add_entry(folder, &place.name, &row)?;
    moved(tables, at, request, place.name, row)
}

fn moved(
    tables: &mut Tables<'_>,
    at: &TimedCommand,
    request: RequestId,
    name: EntryName,
    entry: EntryRow,
) -> Result<Outcome, StateError> {
    let outcome: Entry = entry.to_entry(&name);
    let answer = Answer::Moved { name, entry };
    tables.remember(Kind::Request, request.uuid(), at.at, answer)?;
    Ok(Outcome::Moved(outcome))
}

fn check_replaced(
    to: &EntryPath,
    moved: &EntryRow,
    existing: Option<&EntryRow>,
    replace: bool,
) -> Result<(), StateError> {
    match (existing, moved) {
        (Some(_), _) if !replace && !is_planted(Bug::MoveOverwrites) => {
            refuse(ErrorCode::AlreadyExists, format!("{to} is there already"))
        }
        (Some(EntryRow::Folder { .. }), _) => refuse(
            ErrorCode::IsAFolder,
            format!("{to} is a folder, and a folder is never replaced: move it away first"),
        ),
        (Some(EntryRow::File { .. }), EntryRow::Folder { .. }) => refuse(
            ErrorCode::NotAFolder,
            format!("{to} is a file, and a folder does not replace a file: move it away first"),
        ),
        (None, _) | (Some(EntryRow::File { .. }), EntryRow::File { .. }) => Ok(()),
    }
}
