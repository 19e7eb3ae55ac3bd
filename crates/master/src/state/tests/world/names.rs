//! The model of names and the trash: a map from paths.

use std::collections::BTreeMap;

use proto::ErrorCode;
use proto::master::{Precondition, TrashId};

use super::World;
use super::versions::FileVersions;
use crate::command::Command;
use crate::state::tests::bench::path;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Folder,
    File(FileVersions),
}

/// Paths to items; a path's parents are all in it.
pub(super) type Names = BTreeMap<String, Item>;

impl World {
    pub(super) fn folder(&mut self, at: &str, parents: bool) {
        let request = self.bench.request();
        let outcome = self.bench.apply(Command::CreateFolder {
            request,
            path: path(at),
            parents,
        });
        let existing = self.names.get(at);
        let expected = match existing {
            Some(Item::Folder) if parents => Ok(()),
            Some(_) => match self.parent_error(at, parents) {
                Some(code) => Err(code),
                None => Err(ErrorCode::AlreadyExists),
            },
            None => match self.parent_error(at, parents) {
                Some(code) => Err(code),
                None => Ok(()),
            },
        };
        assert_eq!(outcome.map(drop).map_err(|e| e.code), expected);
        if expected.is_ok() {
            self.make_parents(at);
            self.names.insert(at.to_owned(), Item::Folder);
        }
    }

    /// What keeps a path's parents from being there.
    pub(super) fn parent_error(&self, at: &str, parents: bool) -> Option<ErrorCode> {
        for (end, _) in at.match_indices('/').skip(1) {
            match self.names.get(&at[..end]) {
                Some(Item::Folder) => {}
                Some(Item::File(_)) => return Some(ErrorCode::NotAFolder),
                None if parents => return None,
                None => return Some(ErrorCode::NotFound),
            }
        }
        None
    }

    pub(super) fn make_parents(&mut self, at: &str) {
        for (end, _) in at.match_indices('/').skip(1) {
            self.names.insert(at[..end].to_owned(), Item::Folder);
        }
    }

    /// Takes a path and all below it out of the names; keys become relative to it.
    fn take(&mut self, at: &str) -> Names {
        let below = format!("{at}/");
        let is_in = |key: &String| key == at || key.starts_with(&below);
        let (taken, left) = std::mem::take(&mut self.names)
            .into_iter()
            .partition(|(key, _)| is_in(key));
        self.names = left;
        let taken: Names = taken;
        let relative = |(key, item): (String, Item)| (key[at.len()..].to_owned(), item);
        taken.into_iter().map(relative).collect()
    }

    fn put_back(&mut self, at: &str, taken: Names) {
        self.make_parents(at);
        for (key, item) in taken {
            self.names.insert(format!("{at}{key}"), item);
        }
    }

    pub(super) fn rename(&mut self, from: &str, to: &str, replace: bool) {
        let request = self.bench.request();
        let outcome = self.bench.apply(Command::MoveEntry {
            request,
            from: path(from),
            to: path(to),
            replace,
        });
        let moved = self.names.get(from);
        let expected = match (moved, self.names.get(to)) {
            (None, _) => Err(ErrorCode::NotFound),
            (Some(_), _) if from == to => Ok(()),
            (Some(Item::Folder), _) if path(to).is_within(&path(from)) => {
                Err(ErrorCode::InvalidArgument)
            }
            (Some(moved), existing) => match (self.parent_error(to, false), existing) {
                (Some(code), _) => Err(code),
                (None, Some(_)) if !replace => Err(ErrorCode::AlreadyExists),
                (None, Some(Item::Folder)) => Err(ErrorCode::IsAFolder),
                (None, Some(_)) if *moved == Item::Folder => Err(ErrorCode::NotAFolder),
                (None, _) => Ok(()),
            },
        };
        assert_eq!(
            outcome.map(drop).map_err(|e| e.code),
            expected,
            "{from} {to}"
        );
        if expected.is_ok() && from != to {
            let replaced = self.take(to);
            if !replaced.is_empty() {
                self.put_in_trash(to, replaced);
            }
            let taken = self.take(from);
            self.put_back(to, taken);
            self.shares_moved(from, to);
        }
    }

    fn put_in_trash(&mut self, at: &str, taken: Names) {
        self.shares_trashed(at, self.next_trash);
        self.trash.insert(self.next_trash, (at.to_owned(), taken));
        self.next_trash += 1;
    }

    pub(super) fn delete(&mut self, at: &str, recursive: bool, purge: bool) {
        let request = self.bench.request();
        let outcome = self.bench.apply(Command::DeleteEntry {
            request,
            path: path(at),
            recursive,
            purge,
            precondition: Precondition::Any,
        });
        let below = self
            .names
            .keys()
            .filter(|key| key.starts_with(&format!("{at}/")));
        let expected = match self.names.get(at) {
            None => Err(ErrorCode::NotFound),
            Some(_) if below.count() > 0 && !recursive => Err(ErrorCode::FolderNotEmpty),
            Some(_) => Ok(()),
        };
        assert_eq!(outcome.map(drop).map_err(|e| e.code), expected);
        if expected.is_ok() {
            let taken = self.take(at);
            if purge {
                self.shares_purged(at);
            } else {
                self.put_in_trash(at, taken);
            }
        }
    }

    pub(super) fn restore(&mut self, trash: u64, to: Option<&str>) {
        let request = self.bench.request();
        let outcome = self.bench.apply(Command::RestoreEntry {
            request,
            trash: TrashId(trash),
            to: to.map(path),
        });
        let row = self.trash.get(&trash).cloned();
        let expected = match &row {
            None => Err(ErrorCode::NotFound),
            Some((from, _)) => {
                let to = to.unwrap_or(from);
                match (self.parent_error(to, true), self.names.get(to)) {
                    (Some(code), _) => Err(code),
                    (None, Some(_)) => Err(ErrorCode::AlreadyExists),
                    (None, None) => Ok(()),
                }
            }
        };
        assert_eq!(outcome.map(drop).map_err(|e| e.code), expected);
        if let (Ok(()), Some((from, taken))) = (expected, row) {
            self.trash.remove(&trash);
            self.put_back(to.unwrap_or(&from), taken);
            self.shares_restored(trash, to.unwrap_or(&from));
        }
    }

    pub(super) fn empty(&mut self, trash: Option<u64>) {
        let request = self.bench.request();
        let outcome = self.bench.apply(Command::EmptyTrash {
            request,
            trash: trash.map(TrashId),
        });
        match trash {
            None => {
                self.trash.clear();
                self.shares_emptied(None);
            }
            Some(trash) => {
                let removed = self.trash.remove(&trash);
                assert_eq!(outcome.is_ok(), removed.is_some());
                self.shares_emptied(Some(trash));
            }
        }
    }

    pub(super) fn check_names(&self) {
        let expected: Vec<String> = {
            let mark = |(key, item): (&String, &Item)| match item {
                Item::Folder => format!("{key}/"),
                Item::File(_) => key.clone(),
            };
            let mut keys: Vec<_> = self.names.iter().map(mark).collect();
            keys.sort();
            keys
        };
        assert_eq!(self.bench.tree(), expected);
        let snapshot = self.bench.read();
        for (key, item) in &self.names {
            if let Item::File(versions) = item {
                versions.check(&snapshot, &path(key));
            }
        }
        let trash = snapshot.trash_page(None, 99).unwrap().entries;
        let listed: Vec<u64> = trash.iter().rev().map(|entry| entry.trash.0).collect();
        let expected: Vec<u64> = self.trash.keys().copied().collect();
        assert_eq!(listed, expected, "trash");
    }
}
