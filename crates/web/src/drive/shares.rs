//! Share links of a drive.

use client::{Cluster, Error, NewShare, ShareOptions, ShareToken};
use proto::master::{ShareFound, ShareId, SharesListed};
use proto::name::EntryPath;
use proto::net::Pending;

/// Shares files and folders. Every method is one of [`client::Cluster`], with its errors.
pub trait Shares: Send + Sync {
    /// Shares something with whoever has the token.
    fn share<'a>(
        &'a self,
        path: &'a EntryPath,
        options: ShareOptions,
    ) -> Pending<'a, Result<NewShare, Error>>;

    /// All shares, newest first, a page at a time.
    fn shares(
        &self,
        before: Option<ShareId>,
        limit: u32,
    ) -> Pending<'_, Result<SharesListed, Error>>;

    /// The share of a token, and where that which it shares is now.
    fn find_share<'a>(&'a self, token: &'a ShareToken) -> Pending<'a, Result<ShareFound, Error>>;

    /// Lets a download begin, if one is left.
    fn count_download(&self, share: ShareId) -> Pending<'_, Result<u64, Error>>;

    /// Ends a share.
    fn revoke_share(&self, share: ShareId) -> Pending<'_, Result<(), Error>>;
}

impl Shares for Cluster {
    fn share<'a>(
        &'a self,
        path: &'a EntryPath,
        options: ShareOptions,
    ) -> Pending<'a, Result<NewShare, Error>> {
        Box::pin(self.share(path, options))
    }

    fn shares(
        &self,
        before: Option<ShareId>,
        limit: u32,
    ) -> Pending<'_, Result<SharesListed, Error>> {
        Box::pin(self.shares(before, limit))
    }

    fn find_share<'a>(&'a self, token: &'a ShareToken) -> Pending<'a, Result<ShareFound, Error>> {
        Box::pin(self.find_share(token))
    }

    fn count_download(&self, share: ShareId) -> Pending<'_, Result<u64, Error>> {
        Box::pin(self.count_download(share))
    }

    fn revoke_share(&self, share: ShareId) -> Pending<'_, Result<(), Error>> {
        Box::pin(self.revoke_share(share))
    }
}
