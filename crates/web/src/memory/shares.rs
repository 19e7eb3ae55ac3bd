//! Share links of a drive in memory: they follow what is moved and restored, by its path.

use client::{Error, NewShare, ShareOptions, ShareToken};
use proto::id::TokenHash;
use proto::master::{PasswordHash, Share, ShareFound, ShareId, SharedEntry, SharesListed};
use proto::name::EntryPath;
use proto::net::Pending;

use super::{Kept, MemoryDrive, Node, entry, now, now_ms};
use crate::drive::Shares;

/// A link.
#[derive(Debug)]
pub(super) struct Shared {
    token: TokenHash,
    path: EntryPath,
    created_ms: u64,
    options: ShareOptions,
    password: Option<PasswordHash>,
    downloads: u64,
}

impl Kept {
    /// What was at a path, and below it, is elsewhere.
    pub(super) fn shares_moved(&mut self, from: &EntryPath, to: &EntryPath) {
        for shared in self.shares.values_mut() {
            if shared.path.is_within(from) {
                let rest = shared.path.names()[from.names().len()..].iter();
                shared.path = rest.fold(to.clone(), |at, name| {
                    at.join(name.clone())
                        .expect("no longer than before in a test")
                });
            }
        }
    }

    fn described(&self, share: u64, shared: &Shared) -> Option<Share> {
        let name = shared.path.name()?.clone();
        let node = self.find(&shared.path).ok();
        Some(Share {
            share: ShareId(share),
            shared: node.map(|node| SharedEntry {
                path: shared.path.clone(),
                entry: entry(Some(&name), &node),
            }),
            name,
            created_ms: shared.created_ms,
            expires_ms: shared.options.expires_ms,
            has_password: shared.password.is_some(),
            downloads: shared.downloads,
            downloads_max: shared.options.downloads_max,
            upload_only: shared.options.upload_only,
        })
    }

    fn add_share(
        &mut self,
        path: &EntryPath,
        options: ShareOptions,
        password: Option<PasswordHash>,
    ) -> Result<NewShare, Error> {
        let refuse = |message: &str| {
            Err(Error::InvalidArgument {
                message: message.into(),
            })
        };
        if path.is_root() {
            return refuse("/ holds everything and cannot be shared: share a folder in it");
        }
        if let (Node::File(_), true) = (self.find(path)?, options.upload_only) {
            return refuse("files can only be added to a folder");
        }
        self.last_share += 1;
        let mut bytes = [7; ShareToken::LEN];
        bytes[..8].copy_from_slice(&self.last_share.to_be_bytes());
        let token = ShareToken::from_bytes(bytes);
        let shared = Shared {
            token: token.hash(),
            path: path.clone(),
            created_ms: now_ms(),
            options,
            password,
            downloads: 0,
        };
        self.shares.insert(self.last_share, shared);
        let share = ShareId(self.last_share);
        Ok(NewShare { share, token })
    }
}

fn gone(share: ShareId) -> Error {
    Error::NotFound {
        message: format!("there is no share {} (any more)", share.0),
    }
}

impl Shares for MemoryDrive {
    fn share<'a>(
        &'a self,
        path: &'a EntryPath,
        options: ShareOptions,
    ) -> Pending<'a, Result<NewShare, Error>> {
        Box::pin(async move {
            let password = match options.password.clone() {
                Some(password) => Some(password.hash().await?),
                None => None,
            };
            self.reached()?.add_share(path, options, password)
        })
    }

    fn shares(
        &self,
        before: Option<ShareId>,
        limit: u32,
    ) -> Pending<'_, Result<SharesListed, Error>> {
        now(self.reached().map(|kept| {
            let end = before.map_or(u64::MAX, |share| share.0);
            let rows = kept.shares.range(..end).rev();
            let rows = rows.filter_map(|(share, row)| kept.described(*share, row));
            let mut shares: Vec<_> = rows.take(limit as usize + 1).collect();
            let more = shares.len() > limit as usize;
            shares.truncate(limit as usize);
            SharesListed { shares, more }
        }))
    }

    fn find_share<'a>(&'a self, token: &'a ShareToken) -> Pending<'a, Result<ShareFound, Error>> {
        now(self.reached().and_then(|kept| {
            let mut shares = kept.shares.iter();
            let found = shares.find(|(_, shared)| shared.token == token.hash());
            let found = found.and_then(|(share, shared)| {
                Some(ShareFound {
                    share: kept.described(*share, shared)?,
                    password: shared.password.clone(),
                })
            });
            found.ok_or_else(|| Error::NotFound {
                message: "there is no such link (any more)".into(),
            })
        }))
    }

    fn count_download(&self, share: ShareId) -> Pending<'_, Result<u64, Error>> {
        now(self.reached().and_then(|mut kept| {
            let shared = kept.shares.get_mut(&share.0).ok_or_else(|| gone(share))?;
            let is_over = |max| shared.downloads >= max;
            if shared.options.downloads_max.is_some_and(is_over) {
                return Err(Error::PreconditionFailed {
                    message: "this link was downloaded as often as it may be".into(),
                });
            }
            shared.downloads += 1;
            Ok(shared.downloads)
        }))
    }

    fn revoke_share(&self, share: ShareId) -> Pending<'_, Result<(), Error>> {
        now(self.reached().and_then(|mut kept| {
            let removed = kept.shares.remove(&share.0);
            removed.map(drop).ok_or_else(|| gone(share))
        }))
    }
}
