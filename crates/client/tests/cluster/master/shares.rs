//! Shares, by path: the real master follows what is moved.

use proto::id::TokenHash;
use proto::master::{
    CountDownload, CreateShare, DownloadCounted, PasswordHash, RevokeShare, Share, ShareCreated,
    ShareFound, ShareId, ShareRevoked, SharedEntry, SharesListed,
};
use proto::name::EntryPath;
use proto::{ErrorCode, WireError};

use super::names::file_entry;
use super::{MasterState, refuse};

#[derive(Debug)]
pub(crate) struct ShareRow {
    path: EntryPath,
    token: TokenHash,
    password: Option<PasswordHash>,
    downloads: u64,
    downloads_max: Option<u64>,
}

impl MasterState {
    pub(super) fn create_share(&mut self, ask: CreateShare) -> Result<ShareCreated, WireError> {
        if !self.files.contains_key(&ask.path) {
            return refuse(ErrorCode::NotFound, "no such file");
        }
        let share = ShareId(self.shares.len() as u64 + 1);
        let row = ShareRow {
            path: ask.path,
            token: ask.token,
            password: ask.password,
            downloads: 0,
            downloads_max: ask.downloads_max,
        };
        self.shares.insert(share, row);
        Ok(ShareCreated { share })
    }

    fn described(&self, share: ShareId, row: &ShareRow) -> Share {
        let file = self.files.get(&row.path);
        let shared = file.map(|file| SharedEntry {
            path: row.path.clone(),
            entry: file_entry(&row.path, file),
        });
        Share {
            share,
            name: row.path.name().unwrap().clone(),
            shared,
            created_ms: 0,
            expires_ms: None,
            has_password: row.password.is_some(),
            downloads: row.downloads,
            downloads_max: row.downloads_max,
            upload_only: false,
        }
    }

    pub(super) fn list_shares(&self) -> SharesListed {
        let shares = self.shares.iter().rev();
        SharesListed {
            shares: shares
                .map(|(share, row)| self.described(*share, row))
                .collect(),
            more: false,
        }
    }

    pub(super) fn find_share(&self, token: TokenHash) -> Result<ShareFound, WireError> {
        match self.shares.iter().find(|(_, row)| row.token == token) {
            Some((share, row)) => Ok(ShareFound {
                share: self.described(*share, row),
                password: row.password.clone(),
            }),
            None => refuse(ErrorCode::NotFound, "no such share"),
        }
    }

    pub(super) fn count_download(
        &mut self,
        ask: &CountDownload,
    ) -> Result<DownloadCounted, WireError> {
        let Some(row) = self.shares.get_mut(&ask.share) else {
            return refuse(ErrorCode::NotFound, "no such share");
        };
        if row.downloads_max.is_some_and(|max| row.downloads >= max) {
            return refuse(ErrorCode::PreconditionFailed, "all were begun");
        }
        row.downloads += 1;
        Ok(DownloadCounted {
            downloads: row.downloads,
        })
    }

    pub(super) fn revoke_share(&mut self, ask: &RevokeShare) -> Result<ShareRevoked, WireError> {
        match self.shares.remove(&ask.share) {
            Some(_) => Ok(ShareRevoked {}),
            None => refuse(ErrorCode::NotFound, "no such share"),
        }
    }
}
