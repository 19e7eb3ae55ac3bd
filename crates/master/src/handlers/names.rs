//! Looking up, listing, finding and changing names, and the trash.

use std::sync::Arc;

use proto::WireError;
use proto::master::{
    BrowseFolder, CreateFolder, DeleteEntry, EmptyTrash, EntryDeleted, EntryFound, EntryMoved,
    EntryRestored, FolderBrowsed, FolderCreated, FolderListed, ListFolder, ListTrash, LookUpEntry,
    MoveEntry, NamesFound, RestoreEntry, SearchNames, TrashEmptied, TrashListed,
};
use proto::table::Caller;

use super::{ClusterView, Files, unexpected};
use crate::command::Command;
use crate::state::Outcome;

impl<V: ClusterView> Files<V> {
    #[expect(clippy::unused_async, reason = "all handlers are awaited alike")]
    pub(super) async fn look_up_entry(
        &self,
        _caller: &Caller,
        request: LookUpEntry,
    ) -> Result<EntryFound, WireError> {
        let entry = self.state.read()?.entry(&request.path)?;
        Ok(EntryFound { entry })
    }

    pub(super) async fn list_folder(
        &self,
        _caller: &Caller,
        request: ListFolder,
    ) -> Result<FolderListed, WireError> {
        let state = self.state.clone();
        let read = move || {
            let snapshot = state.read()?;
            snapshot.folder_page(&request.path, request.after.as_ref(), request.limit)
        };
        Ok(self.blocking.run(read).await?)
    }

    pub(super) async fn browse_folder(
        &self,
        _caller: &Caller,
        request: BrowseFolder,
    ) -> Result<FolderBrowsed, WireError> {
        let request = Arc::new(request);
        let (state, asked) = (self.state.clone(), request.clone());
        let read = move || state.read()?.browse_few(&asked);
        if let Some(page) = self.blocking.run(read).await? {
            return Ok(page);
        }
        // A small folder does not wait for large ones: only here is it known to be one of them.
        let turn = self.sorts.turn().await?;
        let state = self.state.clone();
        let read = move || {
            // Given back where the work ends, which goes on also if nobody waits for it any more.
            let _turn = turn;
            state.read()?.browse(&request)
        };
        Ok(self.blocking.run(read).await?)
    }

    pub(super) async fn search_names(
        &self,
        _caller: &Caller,
        request: SearchNames,
    ) -> Result<NamesFound, WireError> {
        let state = self.state.clone();
        let read = move || state.read()?.search(&request);
        Ok(self.blocking.run(read).await?)
    }

    pub(super) async fn create_folder(
        &self,
        _caller: &Caller,
        request: CreateFolder,
    ) -> Result<FolderCreated, WireError> {
        let command = Command::CreateFolder {
            request: request.request,
            path: request.path,
            parents: request.parents,
        };
        match self.committer.submit(command).await? {
            Outcome::FolderCreated { created } => Ok(FolderCreated { created }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn move_entry(
        &self,
        _caller: &Caller,
        request: MoveEntry,
    ) -> Result<EntryMoved, WireError> {
        let command = Command::MoveEntry {
            request: request.request,
            from: request.from,
            to: request.to,
            replace: request.replace,
        };
        match self.committer.submit(command).await? {
            Outcome::Moved(entry) => Ok(EntryMoved { entry }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn delete_entry(
        &self,
        _caller: &Caller,
        request: DeleteEntry,
    ) -> Result<EntryDeleted, WireError> {
        let command = Command::DeleteEntry {
            request: request.request,
            path: request.path,
            recursive: request.recursive,
            purge: request.purge,
            precondition: request.precondition,
        };
        match self.committer.submit(command).await? {
            Outcome::Deleted { trashed } => Ok(EntryDeleted { trashed }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn list_trash(
        &self,
        _caller: &Caller,
        request: ListTrash,
    ) -> Result<TrashListed, WireError> {
        let state = self.state.clone();
        let read = move || state.read()?.trash_page(request.before, request.limit);
        Ok(self.blocking.run(read).await?)
    }

    pub(super) async fn restore_entry(
        &self,
        _caller: &Caller,
        request: RestoreEntry,
    ) -> Result<EntryRestored, WireError> {
        let command = Command::RestoreEntry {
            request: request.request,
            trash: request.trash,
            to: request.to,
        };
        match self.committer.submit(command).await? {
            Outcome::Restored(path) => Ok(EntryRestored { path }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn empty_trash(
        &self,
        _caller: &Caller,
        request: EmptyTrash,
    ) -> Result<TrashEmptied, WireError> {
        let command = Command::EmptyTrash {
            request: request.request,
            trash: request.trash,
        };
        self.committer.submit(command).await?;
        Ok(TrashEmptied {})
    }
}
