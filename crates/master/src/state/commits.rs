//! Committing an upload: its version gets its last block, and a name.
//!
//! **Invariant:** a name stands for one whole version at any moment. A commit is checked as a whole, shape, name,
//! precondition and proofs, before its first write.

use proto::ErrorCode;
use proto::id::{UploadId, VersionId};
use proto::master::{CHUNKS_PER_BLOCK, Precondition, StoredChunk};
use proto::name::EntryPath;

use super::answers::Kind;
use super::error::{StateError, refuse};
use super::names::Place;
use super::outcome::Outcome;
use super::proofs::prove;
use super::rows::{self, Answer, EntryRow, NO_CHUNK_YET, Sums, UploadRow, VersionRow};
use super::tables::Tables;
use super::trash::check_precondition;
use super::uploads::{check_file_size, check_lens, keep, upload_unknown};
use super::versions::place_of;
use crate::command::{CommittedVersion, NodeNumber, TimedCommand};

/// What `CommitUpload` asks for.
#[derive(Debug)]
pub(super) struct Commit<'c> {
    pub(super) upload: UploadId,
    pub(super) path: &'c EntryPath,
    pub(super) size: u64,
    pub(super) modified_ms: Option<u64>,
    /// Chunks recorded before.
    pub(super) recorded: u64,
    pub(super) doubtful: &'c [NodeNumber],
    pub(super) chunks: &'c [StoredChunk],
    pub(super) parents: bool,
    pub(super) precondition: Precondition,
}

/// `CommitUpload`.
pub(super) fn commit_upload(
    tables: &mut Tables<'_>,
    at: &TimedCommand,
    commit: &Commit<'_>,
) -> Result<Outcome, StateError> {
    match tables.answered(Kind::Upload, commit.upload.uuid())? {
        Some(Answer::Committed(version)) => return Ok(Outcome::Committed(version, None)),
        Some(_) => return upload_unknown(commit.upload),
        None => {}
    }
    let open = tables.upload(commit.upload)?;
    // An empty file needs no chunks, and so no upload before its commit.
    let is_empty = commit.size == 0 && commit.recorded == 0 && commit.chunks.is_empty();
    if open.is_none() && !is_empty {
        return upload_unknown(commit.upload);
    }
    let draft = open.unwrap_or(UploadRow::new(0));
    check_shape(tables, &draft, commit)?;
    let place = tables.place(commit.path, commit.parents, None)?;
    check_precondition(commit.path, commit.precondition, place.existing.as_ref())?;
    if let Some(EntryRow::Folder { .. }) = place.existing {
        let message = format!("{} is a folder, and a file cannot replace it", commit.path);
        return refuse(ErrorCode::IsAFolder, message);
    }
    let proved = prove(tables, commit.upload, commit.chunks, commit.doubtful)?;

    let mut draft = draft;
    if open.is_none() {
        draft.version = tables.new_version();
    }
    let receipts = keep(tables, commit.upload, proved, &mut draft)?;
    let folder = tables.make_parents(&place, at.wall_ms)?;
    let file = write_version(tables, at, commit, &draft, place.existing.as_ref())?;
    name_version(tables, at, commit, &draft, file, (folder, &place))?;
    let copies = match draft.copies {
        NO_CHUNK_YET => tables.rules.replication_factor,
        copies => copies,
    };
    let committed = CommittedVersion {
        version: VersionId(draft.version),
        created: place.existing.is_none(),
        copies,
    };
    tables.close_upload(commit.upload, at.at, Answer::Committed(committed))?;
    Ok(Outcome::Committed(committed, Some(receipts)))
}

fn check_shape(
    tables: &Tables<'_>,
    draft: &UploadRow,
    commit: &Commit<'_>,
) -> Result<(), StateError> {
    let recorded = draft.chunk_count(tables.rules.chunk_size);
    if commit.recorded > recorded {
        return upload_unknown(commit.upload);
    }
    if commit.recorded < recorded {
        return refuse(
            ErrorCode::InvalidArgument,
            format!(
                "the commit says {} chunks, and {recorded} are recorded: it cannot leave any out",
                commit.recorded
            ),
        );
    }
    if place_of(recorded).1 + commit.chunks.len() > CHUNKS_PER_BLOCK {
        return refuse(
            ErrorCode::InvalidArgument,
            format!(
                "a commit takes the rest of one block of {CHUNKS_PER_BLOCK} chunks: record the others before"
            ),
        );
    }
    check_file_size(tables, commit.size)?;
    let (bytes, _) = check_lens(tables, draft, commit.chunks)?;
    if bytes != commit.size {
        return refuse(
            ErrorCode::InvalidArgument,
            format!(
                "the commit says {} bytes, and its chunks have {bytes}: nothing was committed",
                commit.size
            ),
        );
    }
    Ok(())
}

/// Writes the version and its last block; returns the file that it is a version of.
fn write_version(
    tables: &mut Tables<'_>,
    at: &TimedCommand,
    commit: &Commit<'_>,
    draft: &UploadRow,
    existing: Option<&EntryRow>,
) -> Result<u64, StateError> {
    let file = match existing {
        Some(EntryRow::File { file, .. }) => *file,
        _ => draft.version,
    };
    if !commit.chunks.is_empty() {
        let ids = commit.chunks.iter().map(|stored| stored.chunk);
        tables.add_to_block(draft.version, commit.recorded, ids)?;
    }
    let row = VersionRow {
        file,
        size: commit.size,
        modified_ms: commit.modified_ms.unwrap_or(at.wall_ms),
        committed_ms: at.wall_ms,
        chunk_size: tables.rules.chunk_size,
    };
    tables
        .versions
        .insert(draft.version, rows::encode(&row).as_slice())?;
    Ok(file)
}

/// Lets a name stand for the version: a new entry, or a file's next version.
fn name_version(
    tables: &mut Tables<'_>,
    at: &TimedCommand,
    commit: &Commit<'_>,
    draft: &UploadRow,
    file: u64,
    (folder, place): (u64, &Place),
) -> Result<(), StateError> {
    let entry = EntryRow::File {
        file,
        version: draft.version,
        size: commit.size,
        modified_ms: commit.modified_ms.unwrap_or(at.wall_ms),
    };
    let Some(existing) = &place.existing else {
        return tables.add_entry(folder, &place.name, &entry);
    };
    if let EntryRow::File { file, version, .. } = existing {
        tables.make_former(*file, *version, at.at)?;
    }
    let (old, new): (Sums, Sums) = (tables.sums_of(existing)?, tables.sums_of(&entry)?);
    tables.write_entry(folder, &place.name, &entry)?;
    tables.change_below(folder, |below| below.minus(old).plus(new))
}
