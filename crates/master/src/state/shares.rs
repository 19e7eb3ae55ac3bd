//! Share links: what is shared, for whom, and how often it was downloaded.
//!
//! A share is bound to what is shared and not to its path: a folder has a number, and a file the number of its first version,
//! which both keep wherever they are moved, when they are overwritten, and in the trash. So a link follows renames, leads
//! nowhere while its entry is in the trash, and works again when that is restored. Where a shared file is stands in
//! `shared_files`, which whatever names an entry keeps right; where a folder is, its parents and their names say.
//!
//! **Invariant:** a share goes with what it shares: the sweep removes it in the step that removes the folder or the file.

use proto::ErrorCode;
use proto::id::{RequestId, TokenHash};
use proto::master::{PasswordHash, SHARES_MAX, ShareId};
use proto::name::{EntryName, EntryPath};
use redb::{ReadableTable, ReadableTableMetadata};

use super::answers::{Kind, used_otherwise};
use super::error::{StateError, refuse};
use super::outcome::Outcome;
use super::rows::{self, Answer, EntryRow, ShareRow, Target, TrashRow};
use super::tables::Tables;
use crate::command::TimedCommand;

/// How long a share stays in the list after its date, by the clock on the wall.
const EXPIRED_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// What `CreateShare` asks for.
#[derive(Debug)]
pub(super) struct Sharing<'c> {
    pub(super) request: RequestId,
    pub(super) path: &'c EntryPath,
    pub(super) token: TokenHash,
    pub(super) expires_ms: Option<u64>,
    pub(super) password: Option<&'c PasswordHash>,
    pub(super) downloads_max: Option<u64>,
    pub(super) upload_only: bool,
}

/// `CreateShare`.
pub(super) fn create_share(
    tables: &mut Tables<'_>,
    at: &TimedCommand,
    sharing: &Sharing<'_>,
) -> Result<Outcome, StateError> {
    if let Some(answer) = tables.answered(Kind::Request, sharing.request.uuid())? {
        let Answer::ShareCreated { share } = answer else {
            return used_otherwise(sharing.request.uuid());
        };
        return Ok(Outcome::ShareCreated(share));
    }
    let (folder, name, entry) = tables.located_for_share(sharing.path)?;
    let target = Target::of(&entry);
    check_limits(sharing, target)?;
    if tables
        .shares_by_token
        .get(sharing.token.as_bytes())?
        .is_some()
    {
        let message = "this token is taken: make a new one";
        return refuse(ErrorCode::InvalidArgument, message);
    }
    if tables.shares.len()? >= SHARES_MAX {
        return refuse(
            ErrorCode::PreconditionFailed,
            format!("there are {SHARES_MAX} share links, which is all that can be: revoke some"),
        );
    }
    let row = ShareRow {
        token: sharing.token,
        target,
        created_ms: at.wall_ms,
        expires_ms: sharing.expires_ms,
        password: sharing.password.map(|hash| hash.as_str().to_owned()),
        downloads: 0,
        downloads_max: sharing.downloads_max,
        upload_only: sharing.upload_only,
    };
    let share = tables.add_share(&row)?;
    if let Target::File(file) = target {
        tables.shared_files.insert(file, (folder, name.as_str()))?;
    }
    let answer = Answer::ShareCreated { share };
    tables.remember(Kind::Request, sharing.request.uuid(), at.at, answer)?;
    Ok(Outcome::ShareCreated(share))
}

fn check_limits(sharing: &Sharing<'_>, target: Target) -> Result<(), StateError> {
    let path = sharing.path;
    let message = match (target, sharing.downloads_max) {
        (Target::File(_), _) if sharing.upload_only => {
            format!("{path} is a file: files can only be added to a folder")
        }
        (_, Some(0)) => "a link without any download is of no use: give it at least one".to_owned(),
        (_, Some(_)) if sharing.upload_only => {
            "a folder to which files are only added has no downloads to limit".to_owned()
        }
        _ => return Ok(()),
    };
    refuse(ErrorCode::InvalidArgument, message)
}

/// `CountDownload`.
pub(super) fn count_download(
    tables: &mut Tables<'_>,
    at: &TimedCommand,
    request: RequestId,
    share: ShareId,
) -> Result<Outcome, StateError> {
    if let Some(answer) = tables.answered(Kind::Request, request.uuid())? {
        let Answer::DownloadCounted { downloads } = answer else {
            return used_otherwise(request.uuid());
        };
        return Ok(Outcome::DownloadCounted { downloads });
    }
    let mut row = tables.share(share)?;
    if row.upload_only {
        let message = "files can only be added by this link, and nothing be downloaded";
        return refuse(ErrorCode::InvalidArgument, message);
    }
    if row.expires_ms.is_some_and(|ends| ends <= at.wall_ms) {
        return refuse(ErrorCode::PreconditionFailed, "this link has expired");
    }
    if row.downloads_max.is_some_and(|max| row.downloads >= max) {
        let message = "this link was downloaded as often as it may be";
        return refuse(ErrorCode::PreconditionFailed, message);
    }
    row.downloads += 1;
    let downloads = row.downloads;
    tables
        .shares
        .insert(share.0, rows::encode(&row).as_slice())?;
    let answer = Answer::DownloadCounted { downloads };
    tables.remember(Kind::Request, request.uuid(), at.at, answer)?;
    Ok(Outcome::DownloadCounted { downloads })
}

/// `RevokeShare`.
pub(super) fn revoke_share(
    tables: &mut Tables<'_>,
    at: &TimedCommand,
    request: RequestId,
    share: ShareId,
) -> Result<Outcome, StateError> {
    if let Some(answer) = tables.answered(Kind::Request, request.uuid())? {
        let Answer::ShareRevoked = answer else {
            return used_otherwise(request.uuid());
        };
        return Ok(Outcome::Done);
    }
    let row = tables.share(share)?;
    tables.remove_share(share, &row)?;
    tables.remember(Kind::Request, request.uuid(), at.at, Answer::ShareRevoked)?;
    Ok(Outcome::Done)
}

impl Tables<'_> {
    fn located_for_share(
        &self,
        path: &EntryPath,
    ) -> Result<(u64, EntryName, EntryRow), StateError> {
        if path.is_root() {
            let message = "/ holds everything and cannot be shared: share a folder in it";
            return refuse(ErrorCode::InvalidArgument, message);
        }
        self.located(path)
    }

    fn share(&self, share: ShareId) -> Result<ShareRow, StateError> {
        match self.shares.get(share.0)? {
            Some(row) => rows::decode(row.value()),
            None => refuse(ErrorCode::NotFound, no_share(share)),
        }
    }

    fn add_share(&mut self, row: &ShareRow) -> Result<ShareId, StateError> {
        let share = self.head.next_share;
        self.head.next_share += 1;
        self.shares.insert(share, rows::encode(row).as_slice())?;
        self.shares_by_token.insert(row.token.as_bytes(), share)?;
        let (kind, number) = row.target.key();
        self.shares_by_target.insert((kind, number, share), ())?;
        if let Some(ends) = row.expires_ms {
            self.shares_by_expiry.insert((ends, share), ())?;
        }
        Ok(ShareId(share))
    }

    fn remove_share(&mut self, share: ShareId, row: &ShareRow) -> Result<(), StateError> {
        self.shares.remove(share.0)?;
        self.shares_by_token.remove(row.token.as_bytes())?;
        let (kind, number) = row.target.key();
        self.shares_by_target.remove((kind, number, share.0))?;
        if let Some(ends) = row.expires_ms {
            self.shares_by_expiry.remove((ends, share.0))?;
        }
        if let Target::File(file) = row.target
            && self.first_share(row.target)?.is_none()
        {
            self.shared_files.remove(file)?;
        }
        Ok(())
    }

    fn first_share(&self, target: Target) -> Result<Option<ShareId>, StateError> {
        let (kind, number) = target.key();
        let range = (kind, number, 0)..=(kind, number, u64::MAX);
        let first = self.shares_by_target.range(range)?.next().transpose()?;
        Ok(first.map(|row| ShareId(row.0.value().2)))
    }

    /// Removes one share of what is about to be removed for good; says whether there was one.
    pub(super) fn remove_share_of(&mut self, target: Target) -> Result<bool, StateError> {
        let Some(share) = self.first_share(target)? else {
            return Ok(false);
        };
        let row = self.share(share)?;
        self.remove_share(share, &row)?;
        Ok(true)
    }

    /// An entry has this name now: whoever shares it finds it there.
    pub(super) fn note_place(
        &mut self,
        folder: u64,
        name: &EntryName,
        row: &EntryRow,
    ) -> Result<(), StateError> {
        match *row {
            EntryRow::Folder { folder: id, .. } => {
                self.folder_names.insert(id, name.as_str())?;
            }
            EntryRow::File { file, .. } => {
                let is_shared = self.shared_files.get(file)?.is_some();
                if is_shared {
                    self.shared_files.insert(file, (folder, name.as_str()))?;
                }
            }
        }
        Ok(())
    }

    /// Removes shares whose date was long ago; returns how many.
    pub(super) fn remove_expired_shares(
        &mut self,
        wall_ms: u64,
        limit: u32,
    ) -> Result<u32, StateError> {
        let before = wall_ms.saturating_sub(EXPIRED_KEPT_MS);
        let mut removed = 0;
        while removed < limit {
            let first = self.shares_by_expiry.first()?.map(|row| row.0.value());
            let Some((_, share)) = first.filter(|(ends, _)| *ends < before) else {
                break;
            };
            let row = self.share(ShareId(share))?;
            self.remove_share(ShareId(share), &row)?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Notes the names of all folders, in a store that does not have them yet.
    pub(super) fn name_folders(&mut self) -> Result<(), StateError> {
        for row in self.entries.iter()? {
            let (key, row) = row?;
            if let EntryRow::Folder { folder, .. } = rows::decode(row.value())? {
                self.folder_names.insert(folder, key.value().1)?;
            }
        }
        for row in self.trash.iter()? {
            let row: TrashRow = rows::decode(row?.1.value())?;
            if let EntryRow::Folder { folder, .. } = row.entry {
                let name = row.path.rsplit('/').next().unwrap_or_default();
                self.folder_names.insert(folder, name)?;
            }
        }
        Ok(())
    }
}

/// What is said of a share that is not there.
fn no_share(share: ShareId) -> String {
    format!("there is no share {} (any more)", share.0)
}
