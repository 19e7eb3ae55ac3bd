//! Uploads that outlive crashes of everybody: what they are to become is kept with them.
//!
//! Any other upload is known to one client, which begins again when the master forgets it. One of these was promised to
//! somebody who may come back days later, and to another process: it is durable from its first answer on, and its
//! chunks are recorded as they come, so that only what was not recorded has to be sent again.

use proto::ErrorCode;
use proto::id::UploadId;
use proto::master::{NOTE_LEN_MAX, UploadPlan};
use redb::{ReadableTable, ReadableTableMetadata};

use super::answers::Kind;
use super::error::{StateError, refuse};
use super::outcome::Outcome;
use super::rows::{self, Answer, AnswerRow, EntryRow, KeptRow, UploadRow};
use super::snapshot::Snapshot;
use super::tables::{self, Tables};
use super::trash::check_precondition;
use super::uploads::{check_file_size, upload_unknown};
use crate::command::{ClusterMillis, CommittedVersion};

/// Uploads that are kept at once: each takes up to 8 KiB of the store, and anybody may begin one.
const KEPT_MAX: u64 = 100_000;

/// What became of an upload so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptUpload {
    /// It is open, and is to become this.
    Open(UploadPlan, UploadRow),
    /// It was committed, with so many bytes.
    Committed(u64, CommittedVersion),
}

impl Snapshot {
    /// How far an upload is that outlives crashes. Refused with `upload_unknown`.
    pub fn kept_upload(&self, upload: UploadId) -> Result<KeptUpload, StateError> {
        let id = upload.uuid().as_u128();
        if let Some(answer) = self.table(tables::ANSWERS)?.get((Kind::Upload as u8, id))? {
            return match rows::decode::<AnswerRow>(answer.value())?.answer {
                Answer::Committed(committed) => match self.version(committed.version)? {
                    Some(version) => Ok(KeptUpload::Committed(version.size, committed)),
                    None => upload_unknown(upload),
                },
                _ => upload_unknown(upload),
            };
        }
        let kept = self.table(tables::KEPT_UPLOADS)?;
        let uploads = self.table(tables::UPLOADS)?;
        let (Some(kept), Some(row)) = (kept.get(id)?, uploads.get(id)?) else {
            return upload_unknown(upload);
        };
        let plan = rows::decode::<KeptRow>(kept.value())?.into_plan()?;
        Ok(KeptUpload::Open(plan, rows::decode(row.value())?))
    }
}

/// `KeepUpload`.
pub(super) fn keep_upload(
    tables: &mut Tables<'_>,
    upload: UploadId,
    lease_until: ClusterMillis,
    plan: &UploadPlan,
) -> Result<Outcome, StateError> {
    if tables.answered(Kind::Upload, upload.uuid())?.is_some() {
        return upload_unknown(upload);
    }
    let wanted = KeptRow::new(plan);
    if let Some(kept) = tables.kept_uploads.get(upload.uuid().as_u128())? {
        if rows::decode::<KeptRow>(kept.value())? == wanted {
            return Ok(Outcome::Done);
        }
        return kept_otherwise(upload);
    }
    check_plan(tables, plan)?;
    check_room(tables.kept_uploads.len()?)?;

    let open = tables.upload(upload)?;
    let mut row = open.unwrap_or_else(|| UploadRow::new(tables.new_version()));
    row.lease_until = row.lease_until.max(lease_until);
    tables.put_upload(upload, &row)?;
    let key = upload.uuid().as_u128();
    let row = rows::encode(&wanted);
    tables.kept_uploads.insert(key, row.as_slice())?;
    Ok(Outcome::Done)
}

fn check_room(kept: u64) -> Result<(), StateError> {
    if kept < KEPT_MAX {
        return Ok(());
    }
    refuse(
        ErrorCode::Busy,
        format!(
            "{kept} uploads that were begun are kept, and no more are taken: go on with some, or give them up"
        ),
    )
}

/// Refuses what a commit would refuse now, before anything is sent.
fn check_plan(tables: &Tables<'_>, plan: &UploadPlan) -> Result<(), StateError> {
    check_file_size(tables, plan.size)?;
    if plan.note.len() > NOTE_LEN_MAX {
        return refuse(
            ErrorCode::InvalidArgument,
            format!(
                "the upload comes with a note of {} bytes, and {NOTE_LEN_MAX} are taken at most",
                plan.note.len()
            ),
        );
    }
    let place = tables.place(&plan.path, plan.parents, None)?;
    check_precondition(&plan.path, plan.precondition, place.existing.as_ref())?;
    match place.existing {
        Some(EntryRow::Folder { .. }) => refuse(
            ErrorCode::IsAFolder,
            format!("{} is a folder, and a file cannot replace it", plan.path),
        ),
        _ => Ok(()),
    }
}

fn kept_otherwise<T>(upload: UploadId) -> Result<T, StateError> {
    refuse(
        ErrorCode::InvalidArgument,
        format!("the upload {upload} is kept for something else: begin another with a new id"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Anybody could fill the master's store with uploads that were begun and never gone on with.
    #[test]
    fn only_so_many_uploads_are_kept() {
        assert!(check_room(KEPT_MAX - 1).is_ok());
        let Err(StateError::Refused(error)) = check_room(KEPT_MAX) else {
            panic!("it is refused");
        };
        assert_eq!(error.code, ErrorCode::Busy);
    }
}
