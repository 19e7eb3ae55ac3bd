//! A cluster that is only told to be there, and uploads to it in one step.

use futures::FutureExt;

use super::*;
use crate::commit::Counted;
use crate::handlers::Sorts;
use crate::placement::Candidate;

/// Nodes 1 to 5; some are down, some are full.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) down: Mutex<BTreeSet<u32>>,
    pub(super) full: Mutex<BTreeSet<u32>>,
    /// Whether nothing may be deleted.
    pub(super) is_in_safe_mode: Mutex<bool>,
    /// Nodes that uploads failed on.
    pub(super) refused: Mutex<BTreeSet<u32>>,
    /// Chunks that were recorded with fewer copies than wanted.
    pub(super) missing: Mutex<Vec<ChunkId>>,
    /// Where nodes were first chosen.
    pub(super) chosen_on: Mutex<Option<ThreadId>>,
    /// Where it was last said where a node is.
    pub(super) located_on: Mutex<Option<ThreadId>>,
}

pub(super) const NODES: std::ops::RangeInclusive<u32> = 1..=5;

impl Told {
    fn is_down(&self, node: u32) -> bool {
        self.down.lock().contains(&node)
    }
}

impl ClusterView for Told {
    fn placeable(&self) -> Arc<Placeable> {
        let here = std::thread::current().id();
        self.chosen_on.lock().get_or_insert(here);
        let full = self.full.lock();
        let (down, live): (Vec<_>, Vec<_>) = NODES.partition(|node| self.is_down(*node));
        let open = live.iter().filter(|node| !full.contains(node));
        let candidates = open.map(|node| Candidate {
            node: NodeNumber(*node),
            zone: "".into(),
            free_bytes: 1 << 30,
        });
        Arc::new(Placeable {
            candidates: candidates.collect(),
            doubtful: down.into_iter().map(NodeNumber).collect(),
            live: live.len(),
        })
    }

    fn is_live(&self, node: NodeNumber) -> bool {
        NODES.contains(&node.0) && !self.is_down(node.0)
    }

    fn deletions_wait(&self) -> bool {
        *self.is_in_safe_mode.lock()
    }

    fn location(&self, node: NodeNumber) -> Option<NodeLocation> {
        *self.located_on.lock() = Some(std::thread::current().id());
        NODES.contains(&node.0).then(|| NodeLocation {
            node: node_id(node.0),
            address: format!("127.0.0.1:{}", 9000 + node.0).parse().unwrap(),
            live: self.is_live(node),
        })
    }

    fn writes_refused(&self, nodes: &[NodeNumber]) {
        self.refused.lock().extend(nodes.iter().map(|node| node.0));
    }

    fn copies_missing(&self, chunks: Vec<ChunkId>) {
        self.missing.lock().extend(chunks);
    }
}

pub(super) fn node_id(node: u32) -> NodeId {
    NodeId::new(Uuid::from_u128(u128::from(node)))
}

pub(super) fn key_of(node: u32) -> ReceiptKey {
    ReceiptKey::from_bytes([u8::try_from(node).unwrap(); 32])
}

pub(super) fn caller() -> Caller {
    Caller {
        connection: 1,
        peer: "127.0.0.1:1".parse().unwrap(),
        role: Role::Client,
    }
}

pub(super) fn path(text: &str) -> EntryPath {
    text.parse().unwrap()
}

pub(super) fn upload_id(number: u128) -> UploadId {
    UploadId::new(Uuid::from_u128(number))
}

pub(super) fn chunk(number: u32) -> ChunkToStore {
    ChunkToStore {
        chunk: ChunkId::of(&number.to_be_bytes()),
        len: 100,
    }
}

pub(super) async fn files() -> Files<Told> {
    files_on(&MemoryDisk::new()).await
}

pub(super) async fn files_on(disk: &MemoryDisk) -> Files<Told> {
    disk.create("state.redb").unwrap();
    let options = StateOptions {
        new_cluster: ClusterId::new(Uuid::from_u128(1)),
        rules: ClusterRules {
            chunk_size: 100,
            replication_factor: 3,
            min_write_replicas: 2,
            file_size_max: None,
            names: NameRules::Any,
        },
        cache_bytes: 1 << 20,
    };
    let shared = disk.shared();
    let backend = move || Ok(RedbBackend::new(shared.open("state.redb")?));
    let state = Arc::new(State::open(backend, &options).unwrap());
    let options = CommitOptions {
        blocking: Blocking::inline(),
        disk: disk.shared(),
        wall_ms: Arc::new(|| 7),
    };
    let (committer, writer) = Committer::new(state.clone(), options).unwrap();
    tokio::spawn(writer.run());
    for node in NODES {
        let command = Command::UpsertNode {
            node: node_id(node),
            address: format!("127.0.0.1:{}", 9000 + node).parse().unwrap(),
            zone: String::new(),
            receipt_key: key_of(node),
        };
        let outcome = committer.submit(command).await;
        assert_eq!(outcome, Ok(Outcome::Node(NodeNumber(node))));
    }
    Files {
        state,
        committer,
        cluster: Arc::new(Told::default()),
        blocking: Blocking::inline(),
        sorts: Sorts::default(),
        upload_lease: Duration::from_secs(900),
        resumable_upload_retention: Duration::from_secs(3600),
        chance: Arc::new(Mutex::new(StdRng::seed_from_u64(1))),
    }
}

impl Files<Told> {
    pub(super) async fn allocate(
        &self,
        upload: u128,
        chunks: &[ChunkToStore],
        avoid: &[u32],
    ) -> Result<Vec<BTreeSet<NodeId>>, WireError> {
        let placed = self.place(upload, chunks, avoid).await?;
        Ok(placed.into_iter().map(|(_, nodes)| nodes).collect())
    }

    /// The promise and the nodes of each chunk; no nodes where it is stored.
    pub(super) async fn place(
        &self,
        upload: u128,
        chunks: &[ChunkToStore],
        avoid: &[u32],
    ) -> Result<Vec<(Option<PromiseId>, BTreeSet<NodeId>)>, WireError> {
        let request = AllocateChunks {
            upload: upload_id(upload),
            chunks: chunks.to_vec(),
            avoid: avoid.iter().copied().map(node_id).collect(),
        };
        let reply = self.allocate_chunks(&caller(), request).await?;
        assert_eq!(reply.placements.len(), chunks.len());
        let nodes_of = |placement: &Placement| match placement {
            Placement::Stored => (None, BTreeSet::new()),
            Placement::Promised { promise, nodes } => {
                let id = |place: &u16| reply.nodes[usize::from(*place)].node;
                (Some(*promise), nodes.iter().map(id).collect())
            }
        };
        Ok(reply.placements.iter().map(nodes_of).collect())
    }

    pub(super) async fn put(&self, at: &str, number: u32) -> UploadCommitted {
        let commit = self.stored(at, number).await;
        self.commit_upload(&caller(), commit).await.unwrap()
    }

    /// The commit of a file whose chunk three nodes have stored.
    pub(super) async fn stored(&self, at: &str, number: u32) -> CommitUpload {
        self.all_stored(at, &[number]).await
    }

    /// The commit of a file whose chunks three nodes each have stored.
    pub(super) async fn all_stored(&self, at: &str, numbers: &[u32]) -> CommitUpload {
        let upload = u128::from(numbers[0]) + 1000;
        let chunks: Vec<_> = numbers.iter().copied().map(chunk).collect();
        let placed = self.place(upload, &chunks, &[]).await.unwrap();
        let stored = chunks.iter().zip(placed).map(|(chunk, (promise, nodes))| {
            let receipts = nodes.iter().map(|node| Receipt {
                node: *node,
                mac: key_of(u32::try_from(node.uuid().as_u128()).unwrap()).receipt(
                    promise.unwrap(),
                    &chunk.chunk,
                    100,
                ),
            });
            StoredChunk {
                chunk: chunk.chunk,
                len: 100,
                receipts: receipts.collect(),
            }
        });
        CommitUpload {
            upload: upload_id(upload),
            path: path(at),
            size: 100 * chunks.len() as u64,
            modified_ms: None,
            blocks: 0,
            place: 0,
            chunks: stored.collect(),
            parents: true,
            precondition: Precondition::Any,
        }
    }

    /// What was counted since this was asked last; nothing if nothing was.
    pub(super) fn counted(&self) -> Option<Counted> {
        self.committer.counted().now_or_never()
    }
}

pub(super) fn set(nodes: &[u32]) -> BTreeSet<NodeId> {
    nodes.iter().copied().map(node_id).collect()
}
