//! What a drive keeps of the past: the trash, and former versions of files.

use client::{Cluster, Error};
use proto::id::VersionId;
use proto::master::{Entry, Precondition, TrashId, TrashListed, VersionsListed};
use proto::name::EntryPath;
use proto::net::Pending;

/// Keeps what was deleted and overwritten. Every method is one of [`client::Cluster`], with its errors.
pub trait Past: Send + Sync {
    /// The trash, newest first, a page at a time.
    fn list_trash(
        &self,
        before: Option<TrashId>,
        limit: u32,
    ) -> Pending<'_, Result<TrashListed, Error>>;

    /// Puts something from the trash back to where it was, or to another place; says where it is.
    fn restore<'a>(
        &'a self,
        trash: TrashId,
        to: Option<&'a EntryPath>,
    ) -> Pending<'a, Result<EntryPath, Error>>;

    /// Removes for good what is in the trash, or one thing.
    fn empty_trash(&self, trash: Option<TrashId>) -> Pending<'_, Result<(), Error>>;

    /// A file's current version, and former ones, a page at a time.
    fn versions<'a>(
        &'a self,
        path: &'a EntryPath,
        before: Option<VersionId>,
        limit: u32,
    ) -> Pending<'a, Result<VersionsListed, Error>>;

    /// Makes a version the current one; says what the file is then.
    fn restore_version<'a>(
        &'a self,
        path: &'a EntryPath,
        version: VersionId,
        precondition: Precondition,
    ) -> Pending<'a, Result<Entry, Error>>;

    /// Removes a former version for good.
    fn remove_version<'a>(
        &'a self,
        path: &'a EntryPath,
        version: VersionId,
    ) -> Pending<'a, Result<(), Error>>;
}

impl Past for Cluster {
    fn list_trash(
        &self,
        before: Option<TrashId>,
        limit: u32,
    ) -> Pending<'_, Result<TrashListed, Error>> {
        Box::pin(self.list_trash(before, limit))
    }

    fn restore<'a>(
        &'a self,
        trash: TrashId,
        to: Option<&'a EntryPath>,
    ) -> Pending<'a, Result<EntryPath, Error>> {
        Box::pin(self.restore(trash, to))
    }

    fn empty_trash(&self, trash: Option<TrashId>) -> Pending<'_, Result<(), Error>> {
        Box::pin(self.empty_trash(trash))
    }

    fn versions<'a>(
        &'a self,
        path: &'a EntryPath,
        before: Option<VersionId>,
        limit: u32,
    ) -> Pending<'a, Result<VersionsListed, Error>> {
        Box::pin(self.versions(path, before, limit))
    }

    fn restore_version<'a>(
        &'a self,
        path: &'a EntryPath,
        version: VersionId,
        precondition: Precondition,
    ) -> Pending<'a, Result<Entry, Error>> {
        Box::pin(self.restore_version(path, version, precondition))
    }

    fn remove_version<'a>(
        &'a self,
        path: &'a EntryPath,
        version: VersionId,
    ) -> Pending<'a, Result<(), Error>> {
        Box::pin(self.remove_version(path, version))
    }
}
