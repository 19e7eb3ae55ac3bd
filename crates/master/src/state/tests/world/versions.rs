//! The model of a file's versions: which there are, what is in each, and which is the current one.

use std::collections::BTreeMap;

use proto::ErrorCode;
use proto::id::{ChunkId, VersionId};
use proto::master::Precondition;
use proto::name::EntryPath;

use super::World;
use super::names::Item;
use crate::command::Command;
use crate::state::Snapshot;
use crate::state::tests::bench::{chunk, path};

/// The versions of one file, with the chunks of each.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct FileVersions {
    current: u64,
    chunks: BTreeMap<u64, Vec<u32>>,
}

impl FileVersions {
    pub(super) fn add(&mut self, version: VersionId, chunks: &[u32]) {
        self.current = version.0;
        self.chunks.insert(version.0, chunks.to_vec());
    }

    /// One of them by its place; beyond the last, one that is not there.
    fn at(&self, which: usize) -> u64 {
        *self.chunks.keys().nth(which).unwrap_or(&u64::MAX)
    }

    pub(super) fn check(&self, snapshot: &Snapshot, at: &EntryPath) {
        let listed = snapshot.versions_page(at, None, 99).unwrap();
        assert_eq!(listed.current.version.0, self.current, "{at}");
        let former: Vec<u64> = listed.former.iter().map(|row| row.version.0).collect();
        let expected = self.chunks.keys().rev().copied();
        let expected: Vec<u64> = expected
            .filter(|version| *version != self.current)
            .collect();
        assert_eq!(former, expected, "former versions of {at}");
        for row in listed.former.iter().chain([&listed.current]) {
            let (version, found) = snapshot.file(at, Some(row.version)).unwrap();
            assert_eq!((version, found.size), (row.version, row.size));
            let found = snapshot.chunks_of(version, &found, 0, 99).unwrap();
            let ids: Vec<ChunkId> = found.iter().map(|(id, _)| *id).collect();
            let chunks = &self.chunks[&version.0];
            let expected: Vec<ChunkId> = chunks.iter().map(|n| chunk(*n).chunk).collect();
            assert_eq!(ids, expected, "version {version} of {at}");
        }
    }
}

impl World {
    pub(super) fn restore_version(&mut self, at: &str, which: usize) {
        let request = self.bench.request();
        let version = self.version_at(at, which);
        let outcome = self.bench.apply(Command::RestoreVersion {
            request,
            path: path(at),
            version: VersionId(version),
            precondition: Precondition::Any,
        });
        let expected = match self.names.get_mut(at) {
            None => Err(ErrorCode::NotFound),
            Some(Item::Folder) => Err(ErrorCode::IsAFolder),
            Some(Item::File(file)) if !file.chunks.contains_key(&version) => {
                Err(ErrorCode::NotFound)
            }
            Some(Item::File(file)) => {
                file.current = version;
                Ok(())
            }
        };
        assert_eq!(outcome.map(drop).map_err(|e| e.code), expected, "{at}");
    }

    pub(super) fn remove_version(&mut self, at: &str, which: usize) {
        let request = self.bench.request();
        let version = self.version_at(at, which);
        let outcome = self.bench.apply(Command::RemoveVersion {
            request,
            path: path(at),
            version: VersionId(version),
        });
        let expected = match self.names.get_mut(at) {
            None => Err(ErrorCode::NotFound),
            Some(Item::Folder) => Err(ErrorCode::IsAFolder),
            Some(Item::File(file)) if file.current == version => Err(ErrorCode::PreconditionFailed),
            Some(Item::File(file)) => match file.chunks.remove(&version) {
                None => Err(ErrorCode::NotFound),
                Some(_) => Ok(()),
            },
        };
        assert_eq!(outcome.map(drop).map_err(|e| e.code), expected, "{at}");
    }

    fn version_at(&self, at: &str, which: usize) -> u64 {
        match self.names.get(at) {
            Some(Item::File(file)) => file.at(which),
            _ => 1,
        }
    }

    /// All former versions were kept for their time.
    pub(super) fn forget_versions(&mut self) {
        for item in self.names.values_mut() {
            if let Item::File(file) = item {
                let current = file.current;
                file.chunks.retain(|version, _| *version == current);
            }
        }
    }
}
