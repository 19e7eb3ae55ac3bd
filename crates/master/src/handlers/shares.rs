//! Share links: making, listing, finding and ending them, and counting their downloads.

use proto::WireError;
use proto::master::{
    CountDownload, CreateShare, DownloadCounted, FindShare, ListShares, RevokeShare, ShareCreated,
    ShareFound, ShareRevoked, SharesListed,
};
use proto::table::Caller;

use super::{ClusterView, Files, unexpected};
use crate::command::Command;
use crate::state::Outcome;

impl<V: ClusterView> Files<V> {
    pub(super) async fn create_share(
        &self,
        _caller: &Caller,
        request: CreateShare,
    ) -> Result<ShareCreated, WireError> {
        let command = Command::CreateShare {
            request: request.request,
            path: request.path,
            token: request.token,
            expires_ms: request.expires_ms,
            password: request.password,
            downloads_max: request.downloads_max,
            upload_only: request.upload_only,
        };
        match self.committer.submit(command).await? {
            Outcome::ShareCreated(share) => Ok(ShareCreated { share }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn list_shares(
        &self,
        _caller: &Caller,
        request: ListShares,
    ) -> Result<SharesListed, WireError> {
        let state = self.state.clone();
        let read = move || state.read()?.shares_page(request.before, request.limit);
        Ok(self.blocking.run(read).await?)
    }

    #[expect(clippy::unused_async, reason = "all handlers are awaited alike")]
    pub(super) async fn find_share(
        &self,
        _caller: &Caller,
        request: FindShare,
    ) -> Result<ShareFound, WireError> {
        Ok(self.state.read()?.share_of(request.token)?)
    }

    pub(super) async fn count_download(
        &self,
        _caller: &Caller,
        request: CountDownload,
    ) -> Result<DownloadCounted, WireError> {
        let command = Command::CountDownload {
            request: request.request,
            share: request.share,
        };
        match self.committer.submit(command).await? {
            Outcome::DownloadCounted { downloads } => Ok(DownloadCounted { downloads }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn revoke_share(
        &self,
        _caller: &Caller,
        request: RevokeShare,
    ) -> Result<ShareRevoked, WireError> {
        let command = Command::RevokeShare {
            request: request.request,
            share: request.share,
        };
        self.committer.submit(command).await?;
        Ok(ShareRevoked {})
    }
}
