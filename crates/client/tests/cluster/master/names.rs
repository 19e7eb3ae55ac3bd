//! Names, the trash, and changes that are done once for their id.

use proto::id::RequestId;
use proto::master::{
    BrowseCursor, BrowseFolder, DeleteEntry, EmptyTrash, Entry, EntryDeleted, EntryMoved,
    EntryRestored, FolderBrowsed, FolderListed, FoundEntry, ListFolder, ListTrash, MoveEntry,
    NamesFound, RestoreEntry, SearchCursor, SearchNames, TrashEmptied, TrashEntry, TrashId,
    TrashListed,
};
use proto::matching::Words;
use proto::name::EntryPath;
use proto::{ErrorCode, WireError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{FakeMaster, FileRow, MasterState, TrashedFile, refuse};

impl FakeMaster {
    /// Makes a change, or gives the answer again that was given for this id.
    pub(super) fn once<R: Serialize + DeserializeOwned>(
        &self,
        request: RequestId,
        change: impl FnOnce(&mut MasterState) -> Result<R, WireError>,
    ) -> Result<R, WireError> {
        let mut state = self.lock();
        if let Some(answer) = state.answers.get(&request) {
            return Ok(serde_json::from_value(answer.clone()).unwrap());
        }
        let answer = change(&mut state)?;
        let kept = serde_json::to_value(&answer).unwrap();
        state.answers.insert(request, kept);
        Ok(answer)
    }
}

impl MasterState {
    pub(super) fn list(&self, ask: &ListFolder) -> FolderListed {
        let is_here = |path: &EntryPath| {
            let place = path.split_last();
            place.is_some_and(|(folder, name)| {
                folder == ask.path && ask.after.as_ref().is_none_or(|after| name > after)
            })
        };
        let files = self.files.iter().filter(|(path, _)| is_here(path));
        let files = files.map(|(path, file)| (path.name(), file_entry(path, file)));
        let folders = self.folder_paths.iter().filter(|path| is_here(path));
        let folders = folders.map(|path| (path.name(), folder_entry(path)));
        let mut found: Vec<_> = files.chain(folders).collect();
        found.sort_by_key(|(name, _)| *name);
        let limit = ask.limit as usize;
        FolderListed {
            more: found.len() > limit,
            entries: found
                .into_iter()
                .take(limit)
                .map(|(_, entry)| entry)
                .collect(),
        }
    }

    /// All that comes after the cursor, in one page.
    pub(super) fn browse(&self, ask: &BrowseFolder) -> FolderBrowsed {
        let everything = ListFolder {
            path: ask.path.clone(),
            after: None,
            limit: u32::MAX,
        };
        let place = |entry: &Entry| ask.order.cursor(entry).unwrap();
        let mut entries = self.list(&everything).entries;
        let compare = |entry: &Entry, other: &BrowseCursor| {
            ask.order.compare(place(entry).place(), other.place())
        };
        entries.retain(|entry| {
            ask.after
                .as_ref()
                .is_none_or(|after| compare(entry, after).is_gt())
        });
        entries.sort_by(|left, right| compare(left, &place(right)));
        let rest = entries.split_off(entries.len().min(ask.limit as usize));
        let next = entries.last().filter(|_| !rest.is_empty()).map(place);
        FolderBrowsed { entries, next }
    }

    /// Of the files only.
    pub(super) fn search(&self, ask: &SearchNames) -> NamesFound {
        let mut words = Words::of(&ask.text).unwrap();
        let after = ask.after.as_ref();
        let after = after.map(|after| after.folder.join(after.name.clone()).unwrap());
        let files = self.files.iter().filter(|(path, _)| {
            path.is_within(&ask.under) && after.as_ref().is_none_or(|after| *path > after)
        });
        let mut found = Vec::new();
        for (path, file) in files {
            let (folder, name) = path.split_last().unwrap();
            if words.occur_in(name.as_str()) {
                let (path, entry) = (path.clone(), file_entry(path, file));
                found.push(FoundEntry { path, entry });
            }
            if found.len() == ask.limit as usize {
                let name = name.clone();
                let next = Some(SearchCursor { folder, name });
                return NamesFound { found, next };
            }
        }
        NamesFound { found, next: None }
    }

    pub(super) fn rename(&mut self, ask: &MoveEntry) -> Result<EntryMoved, WireError> {
        if self.files.contains_key(&ask.to) && !ask.replace {
            return refuse(ErrorCode::AlreadyExists, "the name is taken");
        }
        let file = self.take_file(&ask.from)?;
        let entry = file_entry(&ask.to, &file);
        self.files.insert(ask.to.clone(), file);
        Ok(EntryMoved { entry })
    }

    pub(super) fn delete(&mut self, ask: &DeleteEntry) -> Result<EntryDeleted, WireError> {
        let file = self.take_file(&ask.path)?;
        if ask.purge {
            return Ok(EntryDeleted { trashed: None });
        }
        self.trashed += 1;
        let trashed = TrashId(self.trashed);
        let path = ask.path.clone();
        self.trash.insert(trashed, TrashedFile { path, file });
        let trashed = Some(trashed);
        Ok(EntryDeleted { trashed })
    }

    fn take_file(&mut self, path: &EntryPath) -> Result<FileRow, WireError> {
        match self.files.remove(path) {
            Some(file) => Ok(file),
            None => refuse(ErrorCode::NotFound, "no such entry"),
        }
    }

    pub(super) fn list_trash(&self, ask: &ListTrash) -> TrashListed {
        let rows = self.trash.iter().rev();
        let mut rows = rows.filter(|(id, _)| ask.before.is_none_or(|before| **id < before));
        let entries = rows.by_ref().take(ask.limit as usize);
        let entries = entries.map(|(trash, row)| TrashEntry {
            trash: *trash,
            path: row.path.clone(),
            entry: file_entry(&row.path, &row.file),
            deleted_ms: 0,
        });
        TrashListed {
            entries: entries.collect(),
            more: rows.next().is_some(),
        }
    }

    pub(super) fn restore(&mut self, ask: RestoreEntry) -> Result<EntryRestored, WireError> {
        let Some(row) = self.trash.remove(&ask.trash) else {
            return refuse(ErrorCode::NotFound, "no such row of the trash");
        };
        let path = ask.to.unwrap_or(row.path);
        self.files.insert(path.clone(), row.file);
        Ok(EntryRestored { path })
    }

    pub(super) fn empty_trash(&mut self, ask: &EmptyTrash) -> TrashEmptied {
        self.trash
            .retain(|id, _| ask.trash.is_some_and(|trash| trash != *id));
        TrashEmptied {}
    }
}

pub(super) fn file_entry(path: &EntryPath, file: &FileRow) -> Entry {
    Entry::File {
        name: path.name().unwrap().clone(),
        size: file.size,
        modified_ms: 0,
        version: file.version,
    }
}

pub(super) fn folder_entry(path: &EntryPath) -> Entry {
    Entry::Folder {
        name: path.name().cloned(),
        modified_ms: 0,
    }
}
