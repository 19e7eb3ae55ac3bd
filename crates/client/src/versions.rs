//! Versions of a file: what was overwritten, and can become the current one again.

use proto::id::VersionId;
use proto::master::{
    Entry, ListVersions, Precondition, RemoveVersion, RestoreVersion, VersionsListed,
};
use proto::name::EntryPath;

use super::{Cluster, Error};

impl Cluster {
    /// A file's current version, and its former ones below `before`, at most `limit`.
    pub async fn versions(
        &self,
        path: &EntryPath,
        before: Option<VersionId>,
        limit: u32,
    ) -> Result<VersionsListed, Error> {
        let request = || ListVersions {
            path: path.clone(),
            before,
            limit,
        };
        self.ask(request).await
    }

    /// Makes a version the file's current one; the one that was it becomes a former one. Says what the file is then.
    pub async fn restore_version(
        &self,
        path: &EntryPath,
        version: VersionId,
        precondition: Precondition,
    ) -> Result<Entry, Error> {
        let request = self.new_request();
        let restored = self
            .ask(|| RestoreVersion {
                request,
                path: path.clone(),
                version,
                precondition,
            })
            .await?;
        Ok(restored.entry)
    }

    /// Removes a former version for good.
    pub async fn remove_version(&self, path: &EntryPath, version: VersionId) -> Result<(), Error> {
        let request = self.new_request();
        self.ask(|| RemoveVersion {
            request,
            path: path.clone(),
            version,
        })
        .await?;
        Ok(())
    }
}
