//! Reading a file's versions.

use proto::ErrorCode;
use proto::id::VersionId;
use proto::master::{FileVersion, PAGE_LEN_MAX, VersionsListed};
use proto::name::EntryPath;

use super::error::{StateError, refuse};
use super::rows::{EntryRow, VersionRow};
use super::snapshot::Snapshot;
use super::tables;
use super::versions::{no_such_version, only_of_files};

impl Snapshot {
    /// A file's current version, or a former one. Refused with `not_found`, `is_a_folder`.
    pub fn file(
        &self,
        path: &EntryPath,
        version: Option<VersionId>,
    ) -> Result<(VersionId, VersionRow), StateError> {
        let refused = || format!("{path} is a folder, not a file");
        let (file, current) = self.located_file(path, refused)?;
        let wanted = version.unwrap_or(current);
        // One that was purged may still have a row, until the sweep has come to it.
        let is_there = wanted == current || {
            let former = self.table(tables::FORMER)?;
            former.get((file, wanted.0))?.is_some()
        };
        match self.version(wanted)? {
            Some(row) if is_there => Ok((wanted, row)),
            _ => no_such_version(path, wanted),
        }
    }

    /// A file's current version, and a page of its former ones, the latest first. Refused with `not_found`, `is_a_folder`.
    pub fn versions_page(
        &self,
        path: &EntryPath,
        before: Option<VersionId>,
        limit: u32,
    ) -> Result<VersionsListed, StateError> {
        let (file, current) = self.located_file(path, || only_of_files(path))?;
        let now = self.now()?.0;
        let end = before.map_or(u64::MAX, |version| version.0);
        let limit = limit.clamp(1, PAGE_LEN_MAX) as usize;
        let mut listed = VersionsListed {
            current: self.described(current, None)?,
            former: Vec::new(),
            more: false,
        };
        let former = self.table(tables::FORMER)?;
        for row in former.range((file, 0)..(file, end))?.rev() {
            if listed.former.len() == limit {
                listed.more = true;
                break;
            }
            let (key, replaced) = row?;
            let former_for_ms = now.saturating_sub(replaced.value());
            let version = VersionId(key.value().1);
            let version = self.described(version, Some(former_for_ms))?;
            listed.former.push(version);
        }
        Ok(listed)
    }

    /// The number of the file at a path, and its current version; `refused` says what is wrong with a folder.
    fn located_file(
        &self,
        path: &EntryPath,
        refused: impl Fn() -> String,
    ) -> Result<(u64, VersionId), StateError> {
        if path.is_root() {
            return refuse(ErrorCode::IsAFolder, refused());
        }
        match self.entry_row(path)? {
            EntryRow::File { file, version, .. } => Ok((file, VersionId(version))),
            EntryRow::Folder { .. } => refuse(ErrorCode::IsAFolder, refused()),
        }
    }

    fn described(
        &self,
        version: VersionId,
        former_for_ms: Option<u64>,
    ) -> Result<FileVersion, StateError> {
        let row = self.version(version)?.ok_or_else(|| {
            StateError::Damaged(format!("version {version} is listed and has no row"))
        })?;
        Ok(FileVersion {
            version,
            size: row.size,
            modified_ms: row.modified_ms,
            committed_ms: row.committed_ms,
            former_for_ms,
        })
    }
}
