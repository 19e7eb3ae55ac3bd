//! What the master answers.

use std::collections::{BTreeSet, HashMap};

use proto::id::{ClusterId, Epoch, PromiseId, RunId};
use proto::master::{
    AbandonUpload, AllocateChunks, BadReplicaNoted, BrowseFolder, CHUNKS_PER_BLOCK, ChunkCounts,
    ChunkToStore, ChunksAllocated, ChunksLocated, ChunksRecorded, ClusterRules, ClusterStatus,
    CommitUpload, CorruptChunksNoted, CountDownload, CountStoredChunks, CreateFolder, CreateShare,
    DeleteEntry, DeleteFuseReset, DownloadCounted, EmptyTrash, EntryDeleted, EntryFound,
    EntryMoved, EntryRestored, FileOpened, FindShare, FolderBrowsed, FolderCreated, FolderListed,
    FormerVersionsKept, GetStatus, Health, HeartbeatNoted, KeepUpload, LeaveSafeMode, ListFolder,
    ListNodes, ListShares, ListTrash, ListVersions, LocateChunks, LookUpEntry, LookUpUpload,
    MasterHandlers, MoveEntry, NamesFound, NodeCounts, NodeRegistered, NodeRemoved, NodeState,
    NodeSummary, NodesListed, OpenFile, Placement, RecordChunks, RegisterNode, RemoveNode,
    RemoveVersion, RepairStatus, ReportBadReplica, ReportCorruptChunks, ReportHeartbeat,
    ResetDeleteFuse, RestoreEntry, RestoreVersion, RevokeShare, SafeModeLeft, SearchNames,
    ShareCreated, ShareFound, ShareRevoked, SharesListed, SortedBy, StoredChunksCounted,
    TrashEmptied, TrashKept, TrashListed, UploadAbandoned, UploadCommitted, UploadFound,
    UploadKept, VersionRemoved, VersionRestored, VersionsListed,
};
use proto::name::NameRules;
use proto::node::NodeUsage;
use proto::table::Caller;
use proto::{ErrorCode, WireError};
use tokio::time::Instant;
use uuid::Uuid;

use crate::node::FakeNode;

use super::names::{file_entry, folder_entry};
use super::{FakeMaster, LEASE, Promise, UploadRow, index_of, open_upload, refuse};

impl MasterHandlers for FakeMaster {
    async fn look_up_entry(&self, _: &Caller, ask: LookUpEntry) -> Result<EntryFound, WireError> {
        self.note("look_up_entry");
        let state = self.lock();
        if state.folder_paths.contains(&ask.path) {
            let entry = folder_entry(&ask.path);
            return Ok(EntryFound { entry });
        }
        match state.files.get(&ask.path) {
            Some(file) => Ok(EntryFound {
                entry: file_entry(&ask.path, file),
            }),
            None => refuse(ErrorCode::NotFound, "no such entry"),
        }
    }

    async fn create_folder(
        &self,
        _: &Caller,
        ask: CreateFolder,
    ) -> Result<FolderCreated, WireError> {
        let created = self.once(ask.request, |state| {
            let created = state.folder_paths.insert(ask.path);
            Ok(FolderCreated { created })
        });
        self.note("create_folder");
        created
    }

    async fn keep_upload(&self, _: &Caller, ask: KeepUpload) -> Result<UploadKept, WireError> {
        self.note("keep_upload");
        let row = UploadRow {
            plan: Some(ask.plan),
            chunks: Vec::new(),
            promises: HashMap::new(),
            lease_until: Instant::now() + LEASE,
        };
        self.lock().uploads.entry(ask.upload).or_insert(row);
        let kept_ms = u64::try_from(LEASE.as_millis()).unwrap();
        Ok(UploadKept { kept_ms })
    }

    async fn look_up_upload(
        &self,
        _: &Caller,
        ask: LookUpUpload,
    ) -> Result<UploadFound, WireError> {
        self.note("look_up_upload");
        let mut state = self.lock();
        if let Some(committed) = state.committed.get(&ask.upload) {
            let committed = committed.clone();
            let mut files = state.files.values();
            let file = files.find(|file| file.version == committed.version);
            let size = file.unwrap().size;
            return Ok(UploadFound::Committed { size, committed });
        }
        let row = open_upload(&mut state, ask.upload)?;
        let bytes = row.chunks.iter().map(|(_, len)| u64::from(*len)).sum();
        Ok(UploadFound::Open {
            plan: row.plan.clone().expect("it was kept"),
            chunks: row.chunks.len() as u64,
            bytes,
            chunk_size: self.chunk_size,
            kept_ms: u64::try_from(LEASE.as_millis()).unwrap(),
        })
    }

    async fn allocate_chunks(
        &self,
        _: &Caller,
        ask: AllocateChunks,
    ) -> Result<ChunksAllocated, WireError> {
        assert!(
            ask.chunks.len() <= CHUNKS_PER_BLOCK,
            "the bound of the protocol"
        );
        self.note("allocate_chunks");
        let mut state = self.lock();
        let expired = state.uploads.get(&ask.upload);
        let expired = expired.is_some_and(|row| Instant::now() >= row.lease_until);
        if expired || state.ended.contains(&ask.upload) {
            return refuse(ErrorCode::UploadUnknown, "the upload is over");
        }
        let mut placements = Vec::new();
        for chunk in &ask.chunks {
            let placement = if state.has(&chunk.chunk) {
                Placement::Stored
            } else {
                state.promises += 1;
                Placement::Promised {
                    promise: PromiseId::new(Uuid::from_u128(state.promises)),
                    nodes: self.place(&state, chunk, &ask.avoid)?,
                }
            };
            placements.push(placement);
        }
        let nodes = self.node_locations(&state);
        let lease_until = Instant::now() + LEASE;
        let row = state.uploads.entry(ask.upload).or_insert(UploadRow {
            plan: None,
            chunks: Vec::new(),
            promises: HashMap::new(),
            lease_until,
        });
        row.lease_until = lease_until;
        for (chunk, placement) in ask.chunks.iter().zip(&mut placements) {
            let promise = row.promises.entry(chunk.chunk).or_insert(Promise {
                id: PromiseId::new(Uuid::nil()),
                stored: true,
                nodes: BTreeSet::new(),
            });
            promise.stored = *placement == Placement::Stored;
            if let Placement::Promised {
                promise: id,
                nodes: places,
            } = placement
            {
                if promise.nodes.is_empty() {
                    promise.id = *id;
                }
                *id = promise.id;
                let promised = places.iter().map(|place| nodes[usize::from(*place)].node);
                promise.nodes.extend(promised);
            }
        }
        Ok(ChunksAllocated {
            placements,
            nodes,
            chunk_size: self.chunk_size,
            lease_ms: u64::try_from(LEASE.as_millis()).unwrap(),
            min_write_replicas: 2,
        })
    }

    async fn count_stored_chunks(
        &self,
        _: &Caller,
        ask: CountStoredChunks,
    ) -> Result<StoredChunksCounted, WireError> {
        assert!(
            ask.chunks.len() <= CHUNKS_PER_BLOCK,
            "the bound of the protocol"
        );
        self.note("count_stored_chunks");
        let mut state = self.lock();
        let is_stored = |chunk: &&ChunkToStore| state.has(&chunk.chunk);
        let stored = ask.chunks.iter().take_while(is_stored).count();
        if let Some(chunk) = state.deleted_behind_count.take() {
            state.chunks.remove(&chunk);
        }
        let stored = u32::try_from(stored).unwrap();
        Ok(StoredChunksCounted { stored })
    }

    async fn record_chunks(
        &self,
        _: &Caller,
        ask: RecordChunks,
    ) -> Result<ChunksRecorded, WireError> {
        let behind = usize::from(ask.place) + ask.chunks.len();
        let rule = 1..=CHUNKS_PER_BLOCK;
        assert!(rule.contains(&behind), "the rule of the protocol");
        let recorded = {
            let mut state = self.lock();
            let recorded = open_upload(&mut state, ask.upload)?.chunks.len();
            match index_of(ask.block, ask.place) {
                first if first < recorded => Ok(ChunksRecorded {}),
                first if first > recorded => refuse(ErrorCode::UploadUnknown, "chunks are missing"),
                _ => {
                    let chunks = self.prove(&mut state, ask.upload, &ask.chunks)?;
                    let row = open_upload(&mut state, ask.upload)?;
                    row.chunks.extend(chunks);
                    Ok(ChunksRecorded {})
                }
            }
        };
        self.note("record_chunks");
        recorded
    }

    async fn commit_upload(
        &self,
        _: &Caller,
        ask: CommitUpload,
    ) -> Result<UploadCommitted, WireError> {
        let result = self.commit(&ask);
        self.note("commit_upload");
        result
    }

    async fn abandon_upload(
        &self,
        _: &Caller,
        ask: AbandonUpload,
    ) -> Result<UploadAbandoned, WireError> {
        self.note("abandon_upload");
        let mut state = self.lock();
        state.uploads.remove(&ask.upload);
        state.ended.insert(ask.upload);
        Ok(UploadAbandoned {})
    }

    async fn open_file(&self, _: &Caller, ask: OpenFile) -> Result<FileOpened, WireError> {
        self.note("open_file");
        let state = self.lock();
        let Some(file) = state.files.get(&ask.path) else {
            return refuse(ErrorCode::NotFound, "no such file");
        };
        let first = file.chunks.len().min(ask.chunks as usize);
        Ok(FileOpened {
            version: file.version,
            size: file.size,
            modified_ms: 0,
            chunk_size: self.chunk_size,
            first: self.locations(&state, &file.chunks[..first]),
        })
    }

    async fn locate_chunks(
        &self,
        _: &Caller,
        ask: LocateChunks,
    ) -> Result<ChunksLocated, WireError> {
        self.note("locate_chunks");
        assert!(
            ask.limit as usize <= CHUNKS_PER_BLOCK,
            "the bound of the protocol"
        );
        let state = self.lock();
        let mut files = state.files.values().chain(&state.former);
        let Some(file) = files.find(|file| file.version == ask.version) else {
            return refuse(ErrorCode::NotFound, "no such version");
        };
        let first = usize::try_from(ask.first).unwrap().min(file.chunks.len());
        let end = file.chunks.len().min(first + ask.limit as usize);
        Ok(ChunksLocated {
            locations: self.locations(&state, &file.chunks[first..end]),
        })
    }

    async fn report_bad_replica(
        &self,
        _: &Caller,
        ask: ReportBadReplica,
    ) -> Result<BadReplicaNoted, WireError> {
        self.note("report_bad_replica");
        self.lock().reports.insert((ask.chunk, ask.node));
        Ok(BadReplicaNoted {})
    }

    async fn get_status(&self, _: &Caller, _: GetStatus) -> Result<ClusterStatus, WireError> {
        self.note("get_status");
        Ok(ClusterStatus {
            cluster: ClusterId::new(Uuid::from_u128(1)),
            epoch: Epoch(1),
            run: RunId::new(Uuid::nil()),
            position: 1,
            health: Health::Green,
            problems: Vec::new(),
            uploads_possible: true,
            nodes: NodeCounts::default(),
            files: 0,
            folders: 0,
            file_bytes: 0,
            trash: TrashKept::default(),
            former_versions: FormerVersionsKept::default(),
            capacity_bytes: 0,
            free_bytes: 0,
            room_bytes: 0,
            chunks: ChunkCounts::default(),
            repair: RepairStatus::default(),
            safe_mode: None,
            delete_fuse: None,
            rules: ClusterRules {
                chunk_size: self.chunk_size,
                replication_factor: 3,
                min_write_replicas: 2,
                file_size_max: Some(1 << 30),
                names: NameRules::Any,
            },
        })
    }

    async fn list_folder(&self, _: &Caller, ask: ListFolder) -> Result<FolderListed, WireError> {
        self.note("list_folder");
        Ok(self.lock().list(&ask))
    }

    async fn browse_folder(
        &self,
        _: &Caller,
        ask: BrowseFolder,
    ) -> Result<FolderBrowsed, WireError> {
        self.note("browse_folder");
        let _turn = match ask.order.by {
            SortedBy::Name => None,
            SortedBy::Size | SortedBy::Modified => Some(self.sorts.acquire().await.unwrap()),
        };
        Ok(self.lock().browse(&ask))
    }

    async fn search_names(&self, _: &Caller, ask: SearchNames) -> Result<NamesFound, WireError> {
        self.note("search_names");
        Ok(self.lock().search(&ask))
    }

    async fn move_entry(&self, _: &Caller, ask: MoveEntry) -> Result<EntryMoved, WireError> {
        let moved = self.once(ask.request, |state| state.rename(&ask));
        self.note("move_entry");
        moved
    }

    async fn delete_entry(&self, _: &Caller, ask: DeleteEntry) -> Result<EntryDeleted, WireError> {
        let deleted = self.once(ask.request, |state| state.delete(&ask));
        self.note("delete_entry");
        deleted
    }

    async fn list_trash(&self, _: &Caller, ask: ListTrash) -> Result<TrashListed, WireError> {
        self.note("list_trash");
        Ok(self.lock().list_trash(&ask))
    }

    async fn restore_entry(
        &self,
        _: &Caller,
        ask: RestoreEntry,
    ) -> Result<EntryRestored, WireError> {
        let restored = self.once(ask.request, |state| state.restore(ask));
        self.note("restore_entry");
        restored
    }

    async fn empty_trash(&self, _: &Caller, ask: EmptyTrash) -> Result<TrashEmptied, WireError> {
        let emptied = self.once(ask.request, |state| Ok(state.empty_trash(&ask)));
        self.note("empty_trash");
        emptied
    }

    async fn list_versions(
        &self,
        _: &Caller,
        ask: ListVersions,
    ) -> Result<VersionsListed, WireError> {
        self.note("list_versions");
        self.lock().list_versions(&ask)
    }

    async fn restore_version(
        &self,
        _: &Caller,
        ask: RestoreVersion,
    ) -> Result<VersionRestored, WireError> {
        let restored = self.once(ask.request, |state| state.restore_version(&ask));
        self.note("restore_version");
        restored
    }

    async fn remove_version(
        &self,
        _: &Caller,
        ask: RemoveVersion,
    ) -> Result<VersionRemoved, WireError> {
        let removed = self.once(ask.request, |state| state.remove_version(&ask));
        self.note("remove_version");
        removed
    }

    async fn create_share(&self, _: &Caller, ask: CreateShare) -> Result<ShareCreated, WireError> {
        let created = self.once(ask.request, |state| state.create_share(ask));
        self.note("create_share");
        created
    }

    async fn list_shares(&self, _: &Caller, _: ListShares) -> Result<SharesListed, WireError> {
        self.note("list_shares");
        Ok(self.lock().list_shares())
    }

    async fn find_share(&self, _: &Caller, ask: FindShare) -> Result<ShareFound, WireError> {
        self.note("find_share");
        self.lock().find_share(ask.token)
    }

    async fn count_download(
        &self,
        _: &Caller,
        ask: CountDownload,
    ) -> Result<DownloadCounted, WireError> {
        let counted = self.once(ask.request, |state| state.count_download(&ask));
        self.note("count_download");
        counted
    }

    async fn revoke_share(&self, _: &Caller, ask: RevokeShare) -> Result<ShareRevoked, WireError> {
        let revoked = self.once(ask.request, |state| state.revoke_share(&ask));
        self.note("revoke_share");
        revoked
    }

    async fn list_nodes(&self, _: &Caller, ask: ListNodes) -> Result<NodesListed, WireError> {
        self.note("list_nodes");
        let (dead, limit) = (self.lock().dead.clone(), ask.limit as usize);
        let nodes = self.nodes.iter().map(|node| &node.0);
        let mut nodes = nodes.filter(|node| ask.after.is_none_or(|after| node.id > after));
        let page = nodes.by_ref().take(limit);
        let page = page.map(|node| summary(node, dead.contains(&node.id)));
        Ok(NodesListed {
            nodes: page.collect(),
            more: nodes.next().is_some(),
        })
    }

    async fn leave_safe_mode(
        &self,
        _: &Caller,
        _: LeaveSafeMode,
    ) -> Result<SafeModeLeft, WireError> {
        self.note("leave_safe_mode");
        Ok(SafeModeLeft {})
    }

    async fn reset_delete_fuse(
        &self,
        _: &Caller,
        _: ResetDeleteFuse,
    ) -> Result<DeleteFuseReset, WireError> {
        self.note("reset_delete_fuse");
        Ok(DeleteFuseReset {})
    }

    async fn remove_node(&self, _: &Caller, _: RemoveNode) -> Result<NodeRemoved, WireError> {
        self.note("remove_node");
        Ok(NodeRemoved {})
    }

    async fn register_node(
        &self,
        _: &Caller,
        _: RegisterNode,
    ) -> Result<NodeRegistered, WireError> {
        nodes_only()
    }

    async fn report_heartbeat(
        &self,
        _: &Caller,
        _: ReportHeartbeat,
    ) -> Result<HeartbeatNoted, WireError> {
        nodes_only()
    }

    async fn report_corrupt_chunks(
        &self,
        _: &Caller,
        _: ReportCorruptChunks,
    ) -> Result<CorruptChunksNoted, WireError> {
        nodes_only()
    }
}

/// The nodes of these tests do not speak to their master.
fn nodes_only<T>() -> Result<T, WireError> {
    refuse(ErrorCode::Forbidden, "only storage nodes may ask this")
}

fn summary(node: &FakeNode, is_dead: bool) -> NodeSummary {
    let state = if is_dead {
        NodeState::Dead
    } else {
        NodeState::Live
    };
    NodeSummary {
        node: node.id,
        address: node.address.clone(),
        zone: String::new(),
        state,
        heartbeat_age_ms: None,
        chunks: 0,
        usage: NodeUsage::default(),
    }
}
