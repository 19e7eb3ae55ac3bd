//! A storage node that keeps chunks in memory, and can be made to do everything wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use proto::hello::ReceiptKey;
use proto::id::{ChunkId, NodeId};
use proto::net::Address;
use proto::node::{
    BucketListed, ChunkDescription, ChunkRead, ChunkReplicated, ChunkState, ChunkStored,
    ChunkVerified, ChunksDeleted, ChunksDescribed, DeleteChunks, DescribeChunks, DigestInventory,
    GetChunk, GetNodeStatus, InventoryDigest, ListBucket, NodeHandlers, NodeServer, NodeStatus,
    NodeUsage, PutChunk, Receipt, ReplicateChunk, VerifyChunk,
};
use proto::table::Caller;
use proto::{ErrorCode, WireError};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::network::CuttableNetwork;

/// What a node does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    /// Takes requests and never answers, as when it is stopped.
    Hung,
    /// Answers after this time.
    Slow(Duration),
    /// Gives chunks with one bit flipped.
    Lying,
    /// Gives chunks without their last byte.
    Cutting,
    /// Has no room for chunks.
    Full,
}

/// A node as it is shared: by its server, the master and the test.
pub(crate) type NodeHandle = Arc<NodeServer<FakeNode>>;

/// One node.
#[derive(Debug)]
pub(crate) struct FakeNode {
    pub(crate) id: NodeId,
    pub(crate) address: Address,
    pub(crate) receipt_key: ReceiptKey,
    network: CuttableNetwork,
    mood: watch::Sender<Mood>,
    pub(crate) state: Mutex<NodeChunks>,
}

#[derive(Debug, Default)]
pub(crate) struct NodeChunks {
    pub(crate) chunks: HashMap<ChunkId, Bytes>,
    pub(crate) puts: u32,
    pub(crate) gets: u32,
}

impl FakeNode {
    pub(crate) fn new(id: NodeId, address: Address, network: CuttableNetwork) -> Self {
        let mut key = [0; 32];
        key[..16].copy_from_slice(id.uuid().as_bytes());
        Self {
            id,
            address,
            receipt_key: ReceiptKey::from_bytes(key),
            network,
            mood: watch::Sender::new(Mood::Good),
            state: Mutex::default(),
        }
    }

    pub(crate) fn kill(&self) {
        self.network.kill(&self.address);
    }

    pub(crate) fn restart(&self) {
        self.network.heal(&self.address);
    }

    pub(crate) fn become_(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Loses all of its chunks, as when its disk is replaced.
    pub(crate) fn wipe(&self) {
        self.state.lock().unwrap().chunks.clear();
    }

    pub(crate) fn holds(&self, chunk: &ChunkId) -> bool {
        self.state.lock().unwrap().chunks.contains_key(chunk)
    }

    fn chunk_state(&self, chunk: &ChunkId) -> ChunkState {
        if self.holds(chunk) {
            ChunkState::Good
        } else {
            ChunkState::Missing
        }
    }

    pub(crate) fn puts(&self) -> u32 {
        self.state.lock().unwrap().puts
    }

    pub(crate) fn gets(&self) -> u32 {
        self.state.lock().unwrap().gets
    }

    /// Waits as the node's mood says, and says what mood it is then.
    async fn mood(&self) -> Mood {
        let mut moods = self.mood.subscribe();
        let mood = *moods.wait_for(|mood| *mood != Mood::Hung).await.unwrap();
        if let Mood::Slow(time) = mood {
            sleep(time).await;
        }
        mood
    }
}

impl NodeHandlers for FakeNode {
    async fn put_chunk(&self, _: &Caller, put: PutChunk) -> Result<ChunkStored, WireError> {
        self.state.lock().unwrap().puts += 1;
        if self.mood().await == Mood::Full {
            return Err(WireError::new(ErrorCode::NoSpace, "the disk is full"));
        }
        if ChunkId::of(&put.body) != put.chunk {
            return Err(WireError::new(ErrorCode::Corrupt, "wrong bytes"));
        }
        let len = put.body.len() as u64;
        let mut state = self.state.lock().unwrap();
        let stored = state.chunks.insert(put.chunk, put.body).is_none();
        let receipt = put.promise.map(|promise| Receipt {
            node: self.id,
            mac: self.receipt_key.receipt(promise, &put.chunk, len),
        });
        Ok(ChunkStored { stored, receipt })
    }

    async fn get_chunk(&self, _: &Caller, get: GetChunk) -> Result<ChunkRead, WireError> {
        self.state.lock().unwrap().gets += 1;
        let mood = self.mood().await;
        let held = self.state.lock().unwrap().chunks.get(&get.chunk).cloned();
        let bytes = held.ok_or_else(|| WireError::new(ErrorCode::NotFound, "no such chunk"))?;
        let mut bytes = bytes.to_vec();
        match mood {
            Mood::Lying => bytes[0] ^= 1,
            Mood::Cutting => bytes.truncate(bytes.len() - 1),
            _ => {}
        }
        Ok(ChunkRead {
            body: Bytes::from(bytes).into(),
        })
    }

    async fn describe_chunks(
        &self,
        _: &Caller,
        describe: DescribeChunks,
    ) -> Result<ChunksDescribed, WireError> {
        let describe_one = |chunk: ChunkId| ChunkDescription {
            chunk,
            state: self.chunk_state(&chunk),
            verified_ms: None,
            extent: Some(1),
        };
        let chunks = describe.chunks.into_iter().map(describe_one).collect();
        Ok(ChunksDescribed { chunks })
    }

    async fn verify_chunk(&self, _: &Caller, ask: VerifyChunk) -> Result<ChunkVerified, WireError> {
        Ok(ChunkVerified {
            state: self.chunk_state(&ask.chunk),
        })
    }

    async fn get_node_status(&self, _: &Caller, _: GetNodeStatus) -> Result<NodeStatus, WireError> {
        Ok(NodeStatus {
            node: self.id,
            registered: true,
            usage: NodeUsage::default(),
        })
    }

    async fn replicate_chunk(
        &self,
        _: &Caller,
        _: ReplicateChunk,
    ) -> Result<ChunkReplicated, WireError> {
        masters_only()
    }

    async fn delete_chunks(&self, _: &Caller, _: DeleteChunks) -> Result<ChunksDeleted, WireError> {
        masters_only()
    }

    async fn digest_inventory(
        &self,
        _: &Caller,
        _: DigestInventory,
    ) -> Result<InventoryDigest, WireError> {
        masters_only()
    }

    async fn list_bucket(&self, _: &Caller, _: ListBucket) -> Result<BucketListed, WireError> {
        masters_only()
    }
}

/// As a real node answers a client.
fn masters_only<T>() -> Result<T, WireError> {
    let message = "only the master may ask a node for this";
    Err(WireError::new(ErrorCode::Forbidden, message))
}
