//! Reading shares, and finding where that which is shared is now.

use proto::ErrorCode;
use proto::id::TokenHash;
use proto::master::{
    PAGE_LEN_MAX, PasswordHash, Share, ShareFound, ShareId, SharedEntry, SharesListed,
};
use proto::name::{EntryName, EntryPath, PATH_LEN_MAX};

use super::error::{StateError, refuse};
use super::names::{ROOT, entry_in};
use super::rows::{self, EntryRow, FolderRow, ShareRow, Target};
use super::snapshot::{PAGE_BYTES, Snapshot, entry_len_max};
use super::tables;

impl Snapshot {
    /// A page of the shares, newest first: fewer where their paths are long, since it is one line on the wire.
    pub fn shares_page(
        &self,
        before: Option<ShareId>,
        limit: u32,
    ) -> Result<SharesListed, StateError> {
        let table = self.table(tables::SHARES)?;
        let end = before.map_or(u64::MAX, |share| share.0);
        let limit = limit.clamp(1, PAGE_LEN_MAX) as usize;
        let (mut shares, mut len) = (Vec::new(), 0);
        for row in table.range(..end)?.rev() {
            let (key, row) = row?;
            let share = self.described_share(key.value(), &rows::decode(row.value())?)?;
            let path = share.shared.as_ref().map(|shared| &shared.path);
            len += entry_len_max(path.unwrap_or(&EntryPath::ROOT)) + 2 * share.name.as_str().len();
            if shares.len() == limit || len > PAGE_BYTES {
                return Ok(SharesListed { shares, more: true });
            }
            shares.push(share);
        }
        Ok(SharesListed {
            shares,
            more: false,
        })
    }

    /// The share of a token. Refused with `not_found`.
    pub fn share_of(&self, token: TokenHash) -> Result<ShareFound, StateError> {
        let share = self.table(tables::SHARES_BY_TOKEN)?.get(token.as_bytes())?;
        let Some(share) = share.map(|share| share.value()) else {
            return refuse(ErrorCode::NotFound, "there is no such link (any more)");
        };
        let table = self.table(tables::SHARES)?;
        let row = table
            .get(share)?
            .ok_or_else(|| StateError::Damaged(format!("share {share} has a token and no row")))?;
        let row: ShareRow = rows::decode(row.value())?;
        let damaged = |error| StateError::Damaged(format!("share {share}: {error}"));
        let password = row.password.clone().map(PasswordHash::new).transpose();
        Ok(ShareFound {
            share: self.described_share(share, &row)?,
            password: password.map_err(damaged)?,
        })
    }

    fn described_share(&self, share: u64, row: &ShareRow) -> Result<Share, StateError> {
        let (parent, name) = self.last_place(row.target)?;
        Ok(Share {
            share: ShareId(share),
            shared: self.shared_entry(row.target, parent, &name)?,
            name,
            created_ms: row.created_ms,
            expires_ms: row.expires_ms,
            has_password: row.password.is_some(),
            downloads: row.downloads,
            downloads_max: row.downloads_max,
            upload_only: row.upload_only,
        })
    }

    /// The folder in which something shared is, and its name there: or where it was last.
    fn last_place(&self, target: Target) -> Result<(Option<u64>, EntryName), StateError> {
        let damaged = || StateError::Damaged(format!("nothing is known of {target:?}"));
        match target {
            Target::File(file) => {
                let table = self.table(tables::SHARED_FILES)?;
                let place = table.get(file)?.ok_or_else(damaged)?;
                let (folder, name) = place.value();
                Ok((Some(folder), name_of(name)?))
            }
            Target::Folder(folder) => {
                let names = self.table(tables::FOLDER_NAMES)?;
                let name = names.get(folder)?.ok_or_else(damaged)?;
                let parent = self.folder_row(folder)?.and_then(|row| row.parent);
                Ok((parent, name_of(name.value())?))
            }
        }
    }

    /// What is there, if it is what is shared and has a path.
    fn shared_entry(
        &self,
        target: Target,
        parent: Option<u64>,
        name: &EntryName,
    ) -> Result<Option<SharedEntry>, StateError> {
        let Some(parent) = parent else {
            return Ok(None);
        };
        let entries = self.table(tables::ENTRIES)?;
        let row: Option<EntryRow> = entry_in(&entries, parent, name)?;
        let Some(row) = row.filter(|row| Target::of(row) == target) else {
            return Ok(None);
        };
        let folder = self.path_of_folder(parent)?;
        let path = folder.and_then(|folder| folder.join(name.clone()).ok());
        Ok(path.map(|path| SharedEntry {
            path,
            entry: row.to_entry(name),
        }))
    }

    /// A folder's path; nothing if it is in the trash, or deeper than a path can say.
    fn path_of_folder(&self, folder: u64) -> Result<Option<EntryPath>, StateError> {
        let names = self.table(tables::FOLDER_NAMES)?;
        let (mut found, mut len, mut next) = (Vec::new(), 0, folder);
        while next != ROOT {
            let parent = self.folder_row(next)?.and_then(|row| row.parent);
            let Some(parent) = parent else {
                return Ok(None);
            };
            let name = names.get(next)?;
            let name = name
                .ok_or_else(|| StateError::Damaged(format!("folder {next} has no name noted")))?;
            let name = name_of(name.value())?;
            len += name.as_str().len() + 1;
            if len > PATH_LEN_MAX {
                return Ok(None);
            }
            found.push(name);
            next = parent;
        }
        let joined = found
            .into_iter()
            .rev()
            .try_fold(EntryPath::ROOT, |path, name| path.join(name));
        Ok(joined.ok())
    }

    fn folder_row(&self, folder: u64) -> Result<Option<FolderRow>, StateError> {
        match self.table(tables::FOLDERS)?.get(folder)? {
            Some(row) => Ok(Some(rows::decode(row.value())?)),
            None => Ok(None),
        }
    }
}

fn name_of(text: &str) -> Result<EntryName, StateError> {
    EntryName::new(text).map_err(|error| StateError::Damaged(format!("a name is none: {error}")))
}
