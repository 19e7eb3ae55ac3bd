//! Versions of files, and the blocks that hold their chunk ids.
//!
//! A file is known by the number of its first version. The current version stands in the entry's row; former ones are
//! listed under the file with the time at which they were replaced, and are swept when they are old enough. Restoring one
//! lets it and the current one change places, whatever their size.
//!
//! A block is up to 512 ids, one after another, 32 bytes each. All chunks but the last have the same length, so
//! lengths are not stored.

use proto::ErrorCode;
use proto::id::{ChunkId, RequestId, VersionId};
use proto::master::{CHUNKS_PER_BLOCK, Precondition};
use proto::name::{EntryName, EntryPath};
use redb::ReadableTable;

use super::answers::{Kind, used_otherwise};
use super::error::{StateError, refuse};
use super::outcome::Outcome;
use super::rows::{self, Answer, EntryRow, PurgeRow, VersionRow, VersionSums};
use super::tables::Tables;
use super::trash::check_precondition;
use crate::command::{ClusterMillis, TimedCommand};

/// The block that holds the chunk of this index, and its place there.
pub(super) fn place_of(index: u64) -> (u32, usize) {
    let per_block = CHUNKS_PER_BLOCK as u64;
    let block = u32::try_from(index / per_block).unwrap_or(u32::MAX);
    let place = usize::try_from(index % per_block).expect("below the chunks per block");
    (block, place)
}

/// The index of the chunk at this place of a block.
pub(super) fn first_of(block: u32, place: u16) -> u64 {
    u64::from(block) * CHUNKS_PER_BLOCK as u64 + u64::from(place)
}

/// The ids in a block.
pub(super) fn block_ids(bytes: &[u8]) -> Result<&[[u8; ChunkId::LEN]], StateError> {
    match bytes.as_chunks() {
        (ids, []) => Ok(ids),
        _ => Err(StateError::Damaged(
            "a block of chunk ids has a broken length".to_owned(),
        )),
    }
}

impl Tables<'_> {
    pub(super) fn version(&self, version: u64) -> Result<Option<VersionRow>, StateError> {
        match self.versions.get(version)? {
            Some(row) => Ok(Some(rows::decode(row.value())?)),
            None => Ok(None),
        }
    }

    /// Adds the chunks that follow the first `recorded` ones: all of them in one block.
    pub(super) fn add_to_block(
        &mut self,
        version: u64,
        recorded: u64,
        chunks: impl Iterator<Item = ChunkId>,
    ) -> Result<(), StateError> {
        let (block, place) = place_of(recorded);
        let before = self.block(version, block)?;
        if before.len() != place {
            return Err(StateError::Damaged(format!(
                "block {block} of version {version} has {} chunks and not {place}",
                before.len()
            )));
        }
        let chunks = before.into_iter().chain(chunks);
        let bytes: Vec<u8> = chunks.flat_map(|chunk| *chunk.as_bytes()).collect();
        self.blocks.insert((version, block), bytes.as_slice())?;
        Ok(())
    }

    /// The ids of a block; none if it is not there.
    pub(super) fn block(&self, version: u64, block: u32) -> Result<Vec<ChunkId>, StateError> {
        match self.blocks.get((version, block))? {
            Some(bytes) => Ok(block_ids(bytes.value())?
                .iter()
                .map(|id| ChunkId::from_bytes(*id))
                .collect()),
            None => Ok(Vec::new()),
        }
    }

    /// Notes that a version is not the current one of its file any more.
    pub(super) fn make_former(
        &mut self,
        file: u64,
        version: u64,
        at: ClusterMillis,
    ) -> Result<(), StateError> {
        self.former.insert((file, version), at.0)?;
        self.former_by_time.insert((at.0, version), file)?;
        let size = self.version_listed(version)?.size;
        self.head.counters.former = self.head.counters.former.with(size);
        Ok(())
    }

    /// Takes one former version out of its file's list.
    pub(super) fn forget_former(&mut self, file: u64, version: u64) -> Result<(), StateError> {
        let replaced = self.former.remove((file, version))?.map(|at| at.value());
        if let Some(at) = replaced {
            self.former_by_time.remove((at, version))?;
            let size = self.version_listed(version)?.size;
            self.head.counters.former = self.head.counters.former.without(size);
        }
        Ok(())
    }

    /// The row of a version that an entry or a file's list names.
    fn version_listed(&self, version: u64) -> Result<VersionRow, StateError> {
        self.version(version)?.ok_or_else(|| {
            StateError::Damaged(format!("version {version} is listed and has no row"))
        })
    }

    /// Counts all former versions, in a store whose sums do not have them yet.
    pub(super) fn count_former(&mut self) -> Result<(), StateError> {
        let mut sums = VersionSums::default();
        for row in self.former.iter()? {
            let (_, version) = row?.0.value();
            sums = sums.with(self.version_listed(version)?.size);
        }
        self.head.counters.former = sums;
        Ok(())
    }

    /// The file at a path; refused with `not_found`, `is_a_folder`.
    fn located_file(&self, path: &EntryPath) -> Result<LocatedFile, StateError> {
        let is_a_folder = || refuse(ErrorCode::IsAFolder, only_of_files(path));
        if path.is_root() {
            return is_a_folder();
        }
        let (folder, name, entry) = self.located(path)?;
        let EntryRow::File { file, version, .. } = entry else {
            return is_a_folder();
        };
        Ok(LocatedFile {
            folder,
            name,
            entry,
            file,
            current: version,
        })
    }

    fn check_former(
        &self,
        path: &EntryPath,
        file: u64,
        version: VersionId,
    ) -> Result<(), StateError> {
        match self.former.get((file, version.0))? {
            Some(_) => Ok(()),
            None => no_such_version(path, version),
        }
    }

    /// One of a file's former versions.
    pub(super) fn first_former(&self, file: u64) -> Result<Option<u64>, StateError> {
        let first = self.former.range((file, 0)..=(file, u64::MAX))?.next();
        Ok(first.transpose()?.map(|row| row.0.value().1))
    }
}

/// A file under its name.
struct LocatedFile {
    folder: u64,
    name: EntryName,
    entry: EntryRow,
    file: u64,
    /// Its current version.
    current: u64,
}

/// What is said where versions of a folder are asked for.
pub(super) fn only_of_files(path: &EntryPath) -> String {
    format!("{path} is a folder, and only files have versions")
}

/// The refusal of a version that a file does not have.
pub(super) fn no_such_version<T>(path: &EntryPath, version: VersionId) -> Result<T, StateError> {
    let message = format!("{path} has no version {version} (any more)");
    refuse(ErrorCode::NotFound, message)
}

/// `RestoreVersion`.
pub(super) fn restore_version(
    tables: &mut Tables<'_>,
    at: &TimedCommand,
    request: RequestId,
    path: &EntryPath,
    version: VersionId,
    precondition: Precondition,
) -> Result<Outcome, StateError> {
    if let Some(answer) = tables.answered(Kind::Request, request.uuid())? {
        let Answer::VersionRestored { name, entry } = answer else {
            return used_otherwise(request.uuid());
        };
        return Ok(Outcome::VersionRestored(entry.to_entry(&name)));
    }
    let located = tables.located_file(path)?;
    check_precondition(path, precondition, Some(&located.entry))?;
    let entry = if version.0 == located.current {
        located.entry
    } else {
        tables.check_former(path, located.file, version)?;
        tables.change_places(&located, version.0, at.at)?
    };
    let name = located.name;
    let outcome = Outcome::VersionRestored(entry.to_entry(&name));
    let answer = Answer::VersionRestored { name, entry };
    tables.remember(Kind::Request, request.uuid(), at.at, answer)?;
    Ok(outcome)
}

impl Tables<'_> {
    /// A former version becomes the current one, and the current one a former one. Gives what the file is then.
    fn change_places(
        &mut self,
        located: &LocatedFile,
        version: u64,
        at: ClusterMillis,
    ) -> Result<EntryRow, StateError> {
        let LocatedFile { folder, file, .. } = *located;
        let row = self.version_listed(version)?;
        let entry = EntryRow::File {
            file,
            version,
            size: row.size,
            modified_ms: row.modified_ms,
        };
        self.forget_former(file, version)?;
        self.make_former(file, located.current, at)?;
        let (old, new) = (self.sums_of(&located.entry)?, self.sums_of(&entry)?);
        self.write_entry(folder, &located.name, &entry)?;
        self.change_below(folder, |below| below.minus(old).plus(new))?;
        Ok(entry)
    }
}

/// `RemoveVersion`.
pub(super) fn remove_version(
    tables: &mut Tables<'_>,
    at: &TimedCommand,
    request: RequestId,
    path: &EntryPath,
    version: VersionId,
) -> Result<Outcome, StateError> {
    if let Some(answer) = tables.answered(Kind::Request, request.uuid())? {
        let Answer::VersionRemoved = answer else {
            return used_otherwise(request.uuid());
        };
        return Ok(Outcome::Done);
    }
    let LocatedFile { file, current, .. } = tables.located_file(path)?;
    if version.0 == current {
        return refuse(
            ErrorCode::PreconditionFailed,
            format!(
                "version {version} is what {path} is now: restore another one before, or delete the file"
            ),
        );
    }
    tables.check_former(path, file, version)?;
    tables.forget_former(file, version.0)?;
    tables.push_purge(&PurgeRow::Version { version: version.0 })?;
    tables.remember(Kind::Request, request.uuid(), at.at, Answer::VersionRemoved)?;
    Ok(Outcome::Done)
}
