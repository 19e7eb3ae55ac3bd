//! Former versions. They do not know which file they are of: a test overwrites one.

use proto::ErrorCode;
use proto::WireError;
use proto::master::{
    FileVersion, ListVersions, RemoveVersion, RestoreVersion, VersionRemoved, VersionRestored,
    VersionsListed,
};

use super::names::file_entry;
use super::{FileRow, MasterState, refuse};

impl MasterState {
    pub(super) fn list_versions(&self, ask: &ListVersions) -> Result<VersionsListed, WireError> {
        let Some(current) = self.files.get(&ask.path) else {
            return refuse(ErrorCode::NotFound, "no such file");
        };
        let mut former: Vec<_> = self
            .former
            .iter()
            .map(|file| listed(file, Some(1)))
            .collect();
        former.retain(|listed| ask.before.is_none_or(|before| listed.version < before));
        former.sort_by_key(|listed| std::cmp::Reverse(listed.version));
        let limit = ask.limit as usize;
        let more = former.len() > limit;
        former.truncate(limit);
        Ok(VersionsListed {
            current: listed(current, None),
            former,
            more,
        })
    }

    pub(super) fn restore_version(
        &mut self,
        ask: &RestoreVersion,
    ) -> Result<VersionRestored, WireError> {
        let place = self
            .former
            .iter()
            .position(|file| file.version == ask.version);
        let (Some(place), Some(file)) = (place, self.files.get_mut(&ask.path)) else {
            return refuse(ErrorCode::NotFound, "no such version");
        };
        std::mem::swap(&mut self.former[place], file);
        let entry = file_entry(&ask.path, file);
        Ok(VersionRestored { entry })
    }

    pub(super) fn remove_version(
        &mut self,
        ask: &RemoveVersion,
    ) -> Result<VersionRemoved, WireError> {
        let before = self.former.len();
        self.former.retain(|file| file.version != ask.version);
        if self.former.len() == before {
            return refuse(ErrorCode::NotFound, "no such version");
        }
        Ok(VersionRemoved {})
    }
}

fn listed(file: &FileRow, former_for_ms: Option<u64>) -> FileVersion {
    FileVersion {
        version: file.version,
        size: file.size,
        modified_ms: 0,
        committed_ms: 0,
        former_for_ms,
    }
}
