//! Uploads: where chunks go, which of them are stored, and the name at the end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proto::id::{ChunkId, NodeId, PromiseId};
use proto::master::{
    AbandonUpload, AllocateChunks, CHUNKS_PER_BLOCK, ChunkToStore, ChunksAllocated, ChunksRecorded,
    CommitUpload, CountStoredChunks, KeepUpload, LookUpUpload, Placement, RecordChunks,
    StoredChunk, StoredChunksCounted, UploadAbandoned, UploadCommitted, UploadFound, UploadKept,
};
use proto::table::Caller;
use proto::{ErrorCode, WireError, words};
use rand::RngExt;

use super::downloads::NodePlaces;
use super::{ClusterView, Files, unexpected};
use crate::command::{ChunkPromise, ClusterMillis, Command, CommittedVersion, NodeNumber};
use crate::membership::Placeable;
use crate::placement::{self, Candidates};
use crate::state::{Allocation, ChunkRow, KeptUpload, Outcome, Snapshot, StateError};

/// Receipts that a chunk may come with: more nodes are never promised one.
const RECEIPTS_MAX: usize = 32;
/// Nodes that one request may ask to avoid; more are not looked at.
const AVOIDED_MAX: usize = 64;

impl<V: ClusterView> Files<V> {
    pub(super) async fn keep_upload(
        &self,
        _caller: &Caller,
        request: KeepUpload,
    ) -> Result<UploadKept, WireError> {
        let command = Command::KeepUpload {
            upload: request.upload,
            lease_until: self.time_after(self.resumable_upload_retention),
            plan: request.plan,
        };
        self.committer.submit(command).await?;
        Ok(UploadKept {
            kept_ms: millis(self.resumable_upload_retention),
        })
    }

    #[expect(clippy::unused_async, reason = "all handlers are awaited alike")]
    pub(super) async fn look_up_upload(
        &self,
        _caller: &Caller,
        request: LookUpUpload,
    ) -> Result<UploadFound, WireError> {
        let rules = self.state.rules();
        match self.state.read()?.kept_upload(request.upload)? {
            KeptUpload::Committed(size, committed) => {
                let committed = self.committed(committed);
                Ok(UploadFound::Committed { size, committed })
            }
            KeptUpload::Open(plan, row) => Ok(UploadFound::Open {
                plan,
                chunks: row.chunk_count(rules.chunk_size),
                bytes: row.bytes,
                chunk_size: rules.chunk_size,
                kept_ms: row.lease_until.0.saturating_sub(self.committer.now().0),
            }),
        }
    }

    pub(super) async fn allocate_chunks(
        &self,
        _caller: &Caller,
        request: AllocateChunks,
    ) -> Result<ChunksAllocated, WireError> {
        let count = request.chunks.len();
        check_count(count)?;
        // Nodes leave a master that another one superseded: that there are too few would not be the reason.
        self.committer.check_fence()?;
        let upload = request.upload;
        let choose = move |files: &Self| files.propose(&request);
        let chunks = self.read_chunks(count, choose).await?;
        let command = Command::AllocateChunks {
            upload,
            lease_until: self.lease_until(),
            promise: self.new_promise(),
            doubtful: self.cluster.placeable().doubtful.clone(),
            deletions_wait: self.cluster.deletions_wait(),
            chunks,
        };
        match self.committer.submit(command).await? {
            Outcome::Allocated(allocations) => Ok(self.allocated(allocations)),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn count_stored_chunks(
        &self,
        _caller: &Caller,
        request: CountStoredChunks,
    ) -> Result<StoredChunksCounted, WireError> {
        let count = request.chunks.len();
        check_count(count)?;
        let stored = self.read_chunks(count, move |files| files.count_stored(&request.chunks));
        let stored = u32::try_from(stored.await?).expect("no more than a block has");
        Ok(StoredChunksCounted { stored })
    }

    pub(super) async fn record_chunks(
        &self,
        _caller: &Caller,
        request: RecordChunks,
    ) -> Result<ChunksRecorded, WireError> {
        check_stored(&request.chunks)?;
        let missing = self.with_copies_missing(&request.chunks);
        let command = Command::RecordChunks {
            upload: request.upload,
            lease_until: self.lease_until(),
            block: request.block,
            place: request.place,
            doubtful: self.cluster.placeable().doubtful.clone(),
            chunks: request.chunks,
        };
        let outcome = self.committer.submit(command).await;
        // Also after a failure: it may have been done all the same.
        self.cluster.copies_missing(missing);
        outcome.map(|_| ChunksRecorded {})
    }

    pub(super) async fn commit_upload(
        &self,
        _caller: &Caller,
        request: CommitUpload,
    ) -> Result<UploadCommitted, WireError> {
        check_stored(&request.chunks)?;
        let missing = self.with_copies_missing(&request.chunks);
        let command = Command::CommitUpload {
            upload: request.upload,
            path: request.path,
            size: request.size,
            modified_ms: request.modified_ms,
            blocks: request.blocks,
            place: request.place,
            doubtful: self.cluster.placeable().doubtful.clone(),
            chunks: request.chunks,
            parents: request.parents,
            precondition: request.precondition,
        };
        let outcome = self.committer.submit(command).await;
        self.cluster.copies_missing(missing);
        match outcome? {
            Outcome::Committed(committed, _) => Ok(self.committed(committed)),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn abandon_upload(
        &self,
        _caller: &Caller,
        request: AbandonUpload,
    ) -> Result<UploadAbandoned, WireError> {
        let command = Command::EndUpload {
            upload: request.upload,
            expired_by: None,
        };
        self.committer.submit(command).await?;
        Ok(UploadAbandoned {})
    }

    fn committed(&self, committed: CommittedVersion) -> UploadCommitted {
        UploadCommitted {
            version: committed.version,
            created: committed.created,
            copies: committed.copies,
            copies_wanted: self.state.rules().replication_factor,
        }
    }

    /// Chunks that come with fewer receipts than copies are wanted.
    fn with_copies_missing(&self, chunks: &[StoredChunk]) -> Vec<ChunkId> {
        let wanted = usize::from(self.state.rules().replication_factor);
        let is_short = |chunk: &&StoredChunk| (1..wanted).contains(&chunk.receipts.len());
        let short = chunks.iter().filter(is_short);
        short.map(|chunk| chunk.chunk).collect()
    }

    fn lease_until(&self) -> ClusterMillis {
        self.time_after(self.upload_lease)
    }

    fn time_after(&self, span: Duration) -> ClusterMillis {
        ClusterMillis(self.committer.now().0.saturating_add(millis(span)))
    }

    fn new_promise(&self) -> PromiseId {
        let mut chance = self.chance.lock();
        PromiseId::new(uuid::Builder::from_random_bytes(chance.random()).into_uuid())
    }

    /// Chooses nodes for every chunk. What is chosen from this snapshot is checked again when it is applied.
    fn propose(&self, request: &AllocateChunks) -> Result<Vec<ChunkPromise>, WireError> {
        if request.chunks.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = self.state.read()?;
        let placeable = self.cluster.placeable();
        let avoided = avoided(&snapshot, &request.avoid)?;
        let check = self.check_usable(&placeable, &avoided);
        let proposed = request.chunks.iter().map(|chunk| {
            let is_stored = |row: ChunkRow| self.is_stored(&row, &placeable);
            if let Err(refusal) = &check
                && !snapshot.chunk(&chunk.chunk)?.is_some_and(is_stored)
            {
                self.cluster.writes_refused(&avoided);
                return Err(refusal.clone());
            }
            let candidates = &placeable.candidates;
            let nodes = self.choose(&snapshot, request, chunk, candidates, &avoided)?;
            let chunk = *chunk;
            Ok(ChunkPromise { chunk, nodes })
        });
        proposed.collect()
    }

    /// How many of them are stored with the length that they have here, up to the first that is not.
    fn count_stored(&self, chunks: &[ChunkToStore]) -> Result<usize, WireError> {
        let snapshot = self.state.read()?;
        let placeable = self.cluster.placeable();
        for (count, ChunkToStore { chunk, len }) in chunks.iter().enumerate() {
            let row = snapshot.chunk(chunk)?;
            let row = row.filter(|row| row.may_have_len(*len));
            if !row.is_some_and(|row| self.is_stored(&row, &placeable)) {
                return Ok(count);
            }
        }
        Ok(chunks.len())
    }

    /// Whether enough nodes hold a chunk that can be relied on.
    fn is_stored(&self, row: &ChunkRow, placeable: &Placeable) -> bool {
        let is_sure = |node: &&NodeNumber| placeable.doubtful.binary_search(node).is_err();
        let sure = row.replicas.iter().filter(is_sure);
        sure.count() >= usize::from(self.state.rules().min_write_replicas)
    }

    /// Nodes for one chunk: those that it was promised to before (if the snapshot shows that already), and others in the place of those that are to be
    /// avoided, are gone, are just deleting it, or did so. If too few are left, those that are just deleting it are among
    /// them, for which the upload has to wait.
    fn choose(
        &self,
        snapshot: &Snapshot,
        request: &AllocateChunks,
        chunk: &ChunkToStore,
        candidates: &Candidates,
        avoided: &[NodeNumber],
    ) -> Result<Vec<NodeNumber>, StateError> {
        let promised = snapshot.promise(request.upload, &chunk.chunk)?;
        let (promised, barred) =
            promised.map_or_else(Default::default, |row| (row.nodes, row.barred));
        let mut excluded = [avoided, &barred].concat();
        let mut deleting = Vec::new();
        loop {
            let mut nodes = self.draw(candidates, &promised, &excluded);
            let deleting_before = deleting.len();
            for node in &nodes {
                if snapshot.is_deletion_planned(*node, &chunk.chunk)? {
                    deleting.push(*node);
                }
            }
            if deleting.len() == deleting_before {
                let rules = self.state.rules();
                if nodes.len() < usize::from(rules.min_write_replicas) {
                    nodes.append(&mut deleting);
                    nodes.truncate(usize::from(rules.replication_factor));
                }
                return Ok(nodes);
            }
            excluded.extend_from_slice(&deleting[deleting_before..]);
        }
    }

    /// As many nodes as a chunk gets copies: first of those preferred, then by chance.
    fn draw(
        &self,
        candidates: &Candidates,
        preferred: &[NodeNumber],
        excluded: &[NodeNumber],
    ) -> Vec<NodeNumber> {
        let wanted = usize::from(self.state.rules().replication_factor);
        let kept = preferred
            .iter()
            .filter(|node| !excluded.contains(node))
            .filter_map(|node| candidates.find(*node))
            .take(wanted);
        let (mut nodes, zones): (Vec<NodeNumber>, Vec<Arc<str>>) =
            kept.map(|c| (c.node, c.zone.clone())).unzip();
        let taken = [excluded, nodes.as_slice()].concat();
        let count = wanted - nodes.len();
        let mut chance = self.chance.lock();
        nodes.extend(placement::choose(
            candidates,
            &taken,
            &zones,
            count,
            &mut *chance,
        ));
        nodes
    }

    /// Refuses an upload that cannot succeed without those that it avoids, with the reason.
    fn check_usable(&self, placeable: &Placeable, avoided: &[NodeNumber]) -> Result<(), WireError> {
        let needed = usize::from(self.state.rules().min_write_replicas);
        let (candidates, live) = (&placeable.candidates, placeable.live);
        let unused = avoided
            .iter()
            .filter(|node| candidates.find(**node).is_some());
        let usable = candidates.len() - unused.count();
        if usable >= needed {
            return Ok(());
        }
        if candidates.len() >= needed {
            return Err(WireError::new(
                ErrorCode::NotEnoughReplicas,
                format!(
                    "{usable} of the {} that take new chunks did not fail this client before; a write needs {needed}",
                    words::count(candidates.len() as u64, "node")
                ),
            ));
        }
        if live >= needed {
            return Err(WireError::new(
                ErrorCode::NoSpace,
                format!(
                    "{} live and {usable} of them {} new chunks; a write needs {needed}: free space, or add nodes",
                    nodes(live),
                    if usable == 1 { "takes" } else { "take" },
                ),
            ));
        }
        Err(WireError::new(
            ErrorCode::NotEnoughReplicas,
            format!(
                "{} live and a write needs {needed}: start or add nodes",
                nodes(live)
            ),
        ))
    }

    fn allocated(&self, allocations: Vec<Allocation>) -> ChunksAllocated {
        let mut places = NodePlaces::default();
        let placements = allocations
            .into_iter()
            .map(|allocation| match allocation {
                Allocation::Stored => Placement::Stored,
                Allocation::Promised { promise, nodes } => Placement::Promised {
                    promise,
                    nodes: nodes
                        .into_iter()
                        .filter_map(|node| places.place(node, &*self.cluster))
                        .collect(),
                },
            })
            .collect();
        let rules = self.state.rules();
        ChunksAllocated {
            placements,
            nodes: places.nodes,
            chunk_size: rules.chunk_size,
            lease_ms: millis(self.upload_lease),
            min_write_replicas: rules.min_write_replicas,
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn nodes(live: usize) -> String {
    let verb = if live == 1 { "is" } else { "are" };
    format!("{} {verb}", words::count(live as u64, "node"))
}

/// The numbers of the nodes that failed an uploader, those that are known, each once.
fn avoided(snapshot: &Snapshot, avoid: &[NodeId]) -> Result<Vec<NodeNumber>, StateError> {
    let numbers = avoid.iter().take(AVOIDED_MAX);
    let numbers: Result<BTreeSet<_>, _> = numbers.map(|node| snapshot.node_number(*node)).collect();
    Ok(numbers?.into_iter().flatten().collect())
}

fn check_count(count: usize) -> Result<(), WireError> {
    if count <= CHUNKS_PER_BLOCK {
        return Ok(());
    }
    Err(WireError::new(
        ErrorCode::InvalidArgument,
        format!("{count} chunks in one message; at most {CHUNKS_PER_BLOCK} are taken"),
    ))
}

fn check_stored(chunks: &[StoredChunk]) -> Result<(), WireError> {
    check_count(chunks.len())?;
    match chunks
        .iter()
        .find(|chunk| chunk.receipts.len() > RECEIPTS_MAX)
    {
        None => Ok(()),
        Some(chunk) => Err(WireError::new(
            ErrorCode::InvalidArgument,
            format!(
                "chunk {} comes with {} receipts; at most {RECEIPTS_MAX} are taken",
                chunk.chunk,
                chunk.receipts.len()
            ),
        )),
    }
}
