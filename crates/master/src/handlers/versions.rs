//! A file's versions: listing, restoring and removing them.

use proto::WireError;
use proto::master::{
    ListVersions, RemoveVersion, RestoreVersion, VersionRemoved, VersionRestored, VersionsListed,
};
use proto::table::Caller;

use super::{ClusterView, Files, unexpected};
use crate::command::Command;
use crate::state::Outcome;

impl<V: ClusterView> Files<V> {
    pub(super) async fn list_versions(
        &self,
        _caller: &Caller,
        request: ListVersions,
    ) -> Result<VersionsListed, WireError> {
        let state = self.state.clone();
        let read = move || {
            let snapshot = state.read()?;
            snapshot.versions_page(&request.path, request.before, request.limit)
        };
        Ok(self.blocking.run(read).await?)
    }

    pub(super) async fn restore_version(
        &self,
        _caller: &Caller,
        request: RestoreVersion,
    ) -> Result<VersionRestored, WireError> {
        let command = Command::RestoreVersion {
            request: request.request,
            path: request.path,
            version: request.version,
            precondition: request.precondition,
        };
        match self.committer.submit(command).await? {
            Outcome::VersionRestored(entry) => Ok(VersionRestored { entry }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn remove_version(
        &self,
        _caller: &Caller,
        request: RemoveVersion,
    ) -> Result<VersionRemoved, WireError> {
        let command = Command::RemoveVersion {
            request: request.request,
            path: request.path,
            version: request.version,
        };
        self.committer.submit(command).await?;
        Ok(VersionRemoved {})
    }
}
