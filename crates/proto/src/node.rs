//! What a storage node answers: the table, then each request next to its reply.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::connection::Peer;
use crate::error::WireError;
use crate::history::HistoryPoint;
use crate::id::{ChunkId, NodeId, PromiseId, ReceiptMac};
use crate::net::Address;
use crate::table::{Message, without_body};

crate::operations! {
    /// A request to a storage node.
    enum NodeRequest;
    /// What a storage node does.
    trait NodeHandlers;
    /// Answers [`NodeRequest`]s.
    struct NodeServer;

    /// Stores a chunk: answered when its bytes are verified and durable. Anybody.
    put_chunk: PutChunk => ChunkStored;
    /// Sends a chunk's bytes; who gets them verifies them. Anybody.
    get_chunk: GetChunk => ChunkRead;
    /// Tells what is known of some chunks, without reading them. Anybody.
    describe_chunks: DescribeChunks => ChunksDescribed;
    /// Reads a chunk and verifies it. Anybody.
    verify_chunk: VerifyChunk => ChunkVerified;
    /// Tells how the node does. Anybody.
    get_node_status: GetNodeStatus => NodeStatus;
    /// Fetches a chunk from another node, verifies and stores it. The master only.
    replicate_chunk: ReplicateChunk => ChunkReplicated;
    /// Removes chunks by name. The master only, in its current epoch.
    delete_chunks: DeleteChunks => ChunksDeleted;
    /// Sums up all chunks that count as copies in 256 buckets. The master only.
    digest_inventory: DigestInventory => InventoryDigest;
    /// Lists one bucket. The master only.
    list_bucket: ListBucket => BucketListed;
}

/// Most chunks in one `describe_chunks`, `delete_chunks` or page of `list_bucket`.
pub const CHUNKS_PER_MESSAGE_MAX: usize = 4096;

without_body!(
    ChunkStored,
    GetChunk,
    DescribeChunks,
    ChunksDescribed,
    VerifyChunk,
    ChunkVerified,
    GetNodeStatus,
    NodeStatus,
    ReplicateChunk,
    ChunkReplicated,
    DeleteChunks,
    ChunksDeleted,
    DigestInventory,
    InventoryDigest,
    ListBucket,
    BucketListed,
);

/// See [`NodeHandlers::put_chunk`]. Fails with `corrupt` (the bytes do not have this id), `no_space`,
/// `too_large`, `disk`, `busy`.
#[derive(Debug, Serialize, Deserialize)]
pub struct PutChunk {
    /// The SHA-256 of the body.
    pub chunk: ChunkId,
    /// The master's promise that the receipt shall be good for; without one there is no receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise: Option<PromiseId>,
    /// The chunk's bytes.
    #[serde(skip)]
    pub body: Bytes,
}

/// The chunk is durable here.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChunkStored {
    /// Whether the bytes were written now; false if they were here already.
    pub stored: bool,
    /// The proof for the master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// A node's word, which the master can check, that it holds a chunk durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Who holds it.
    pub node: NodeId,
    /// The proof.
    pub mac: ReceiptMac,
}

/// See [`NodeHandlers::get_chunk`]. Fails with `not_found`, `corrupt` (known to be bad), `disk`.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetChunk {
    /// Which.
    pub chunk: ChunkId,
}

/// The chunk's bytes follow.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChunkRead {
    /// The bytes; verify them.
    #[serde(skip)]
    pub body: Body,
}

/// See [`NodeHandlers::describe_chunks`].
#[derive(Debug, Serialize, Deserialize)]
pub struct DescribeChunks {
    /// At most [`CHUNKS_PER_MESSAGE_MAX`].
    pub chunks: Vec<ChunkId>,
}

/// One answer a chunk, in the order asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChunksDescribed {
    /// What is known.
    pub chunks: Vec<ChunkDescription>,
}

/// What a node knows of a chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkDescription {
    /// Which.
    pub chunk: ChunkId,
    /// Whether it is here and, as far as is known, good.
    pub state: ChunkState,
    /// When its bytes were last read and found good, or written: milliseconds since 1970, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_ms: Option<u64>,
    /// The extent that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extent: Option<u64>,
}

/// How a chunk is on one node, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkState {
    /// Here and good.
    Good,
    /// Here and, as far as is known, good, but on a disk that failed: it can be read for now, and does not count as a
    /// copy.
    OnFailedDisk,
    /// Perhaps here: on a disk that does not answer for now. It does not count as a copy, and is not lost either.
    OnHungDisk,
    /// Here, but the bytes do not have the id: never served, to be replaced.
    Corrupt,
    /// Not here.
    Missing,
}

impl ChunkState {
    /// Whether the node serves it.
    pub fn is_readable(self) -> bool {
        match self {
            Self::Good | Self::OnFailedDisk => true,
            Self::OnHungDisk | Self::Corrupt | Self::Missing => false,
        }
    }
}

/// See [`NodeHandlers::verify_chunk`].
#[derive(Debug, Serialize, Deserialize)]
pub struct VerifyChunk {
    /// Which.
    pub chunk: ChunkId,
}

/// What reading it showed.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChunkVerified {
    /// How it is.
    pub state: ChunkState,
}

/// See [`NodeHandlers::get_node_status`].
#[derive(Debug, Serialize, Deserialize)]
pub struct GetNodeStatus {}

/// How a node does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Who it is.
    pub node: NodeId,
    /// Whether it is registered with its master now.
    pub registered: bool,
    /// Its sums.
    pub usage: NodeUsage,
}

/// What a node holds and what it has room for. Constant in size, whatever the node holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeUsage {
    /// Bytes of the file systems below its folders.
    pub capacity_bytes: u64,
    /// Bytes that may still be stored: free bytes less the reserve.
    pub free_bytes: u64,
    /// Bytes of extents.
    pub stored_bytes: u64,
    /// Bytes of extents that compaction can win back.
    pub reclaimable_bytes: u64,
    /// Chunks held.
    pub chunks: u64,
    /// Chunks known to be corrupt here.
    pub corrupt_chunks: u64,
    /// Whether puts are taken: not when every disk is full or failed.
    pub writable: bool,
    /// Disks (folders) that take no writes because they failed or, for now, do not answer.
    pub failed_disks: u32,
    /// Bytes of extents, of those stored, that the scrubber has read within a month.
    pub scrubbed_bytes: u64,
    /// The file system below its folders, if all are on one: nodes of one machine that name the same have its room
    /// together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<u64>,
}

/// See [`NodeHandlers::replicate_chunk`]. Tries the sources in order, and fails with `no_source` if none gives good
/// bytes in time; any other error is the node's own. Refused with `stale_epoch` unless the master is the latest that
/// the node has seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReplicateChunk {
    /// Who orders it.
    pub as_of: HistoryPoint,
    /// Which.
    pub chunk: ChunkId,
    /// Its length, to refuse a source that announces another.
    pub len: u32,
    /// Nodes that hold it.
    pub sources: Vec<ChunkSource>,
}

/// A node that holds a chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkSource {
    /// Which.
    pub node: NodeId,
    /// Where it is reached.
    pub address: Address,
}

impl<'a> From<&'a ChunkSource> for Peer<'a> {
    fn from(source: &'a ChunkSource) -> Self {
        Self::node(source.node, &source.address)
    }
}

/// The chunk is verified and durable here.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChunkReplicated {
    /// Who gave the bytes: those that were named before failed. Nothing if a good copy was here already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<NodeId>,
}

/// See [`NodeHandlers::delete_chunks`]. Refused with `stale_epoch` unless the master is the latest that the node has
/// seen, and with `stale_order` unless the sequence is above that of its last order: this one came late, or twice.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeleteChunks {
    /// Who orders it.
    pub as_of: HistoryPoint,
    /// Counts the master's delete orders in this epoch, to all nodes: it rises from each to the next that a node gets.
    pub sequence: u64,
    /// At most [`CHUNKS_PER_MESSAGE_MAX`].
    pub chunks: Vec<ChunkId>,
}

/// None of them is here any more, and that is durable; except for those that are kept.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChunksDeleted {
    /// How many were here.
    pub deleted: u64,
    /// Those that are on a disk that failed and takes no writes, or may be on one that hangs: order them again later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<ChunkId>,
}

/// See [`NodeHandlers::digest_inventory`].
#[derive(Debug, Serialize, Deserialize)]
pub struct DigestInventory {}

/// 256 digests, by the first byte of the chunk ids: of just those chunks that [`ListBucket`] lists.
#[derive(Debug, Serialize, Deserialize)]
pub struct InventoryDigest {
    /// Always 256.
    pub buckets: Vec<BucketDigest>,
}

/// The sum of a set of chunk ids: equal sets have equal digests, in whatever order they came to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketDigest {
    /// How many.
    pub count: u64,
    /// All ids' last 16 bytes, combined by XOR, as a big-endian number in 32 hex digits.
    #[serde(with = "hex_u128")]
    pub xor: u128,
}

impl BucketDigest {
    /// Takes one more chunk into the sum.
    pub fn add(&mut self, chunk: &ChunkId) {
        self.count += 1;
        self.xor ^= Self::tail(chunk);
    }

    /// Takes a chunk that is in the sum out of it.
    pub fn remove(&mut self, chunk: &ChunkId) {
        self.count = self.count.saturating_sub(1);
        self.xor ^= Self::tail(chunk);
    }

    fn tail(chunk: &ChunkId) -> u128 {
        let (_, tail) = chunk.as_bytes().split_at(ChunkId::LEN - 16);
        u128::from_be_bytes(tail.try_into().expect("16 bytes are left"))
    }
}

/// See [`NodeHandlers::list_bucket`].
#[derive(Debug, Serialize, Deserialize)]
pub struct ListBucket {
    /// The first byte of the ids wanted.
    pub bucket: u8,
    /// Only ids above this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ChunkId>,
    /// At most [`CHUNKS_PER_MESSAGE_MAX`].
    pub limit: u32,
}

/// A page of a bucket, in the order of the ids. Corrupt chunks are not in it, nor those on disks that failed or hang.
#[derive(Debug, Serialize, Deserialize)]
pub struct BucketListed {
    /// The ids with their lengths.
    pub chunks: Vec<(ChunkId, u32)>,
    /// Whether more follow.
    pub more: bool,
}

impl Message for PutChunk {
    fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body).into()
    }

    fn put_body(&mut self, body: Bytes) -> Result<(), WireError> {
        self.body = body;
        Ok(())
    }
}

impl Message for ChunkRead {
    fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    fn put_body(&mut self, body: Bytes) -> Result<(), WireError> {
        self.body = body.into();
        Ok(())
    }
}

mod hex_u128 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}
