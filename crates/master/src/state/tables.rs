//! The tables of the store, and all of them opened for one write transaction.
//!
//! Keys are integers and fixed-width ids in the order in which they are scanned; values are rows of `rows.rs`,
//! or plain numbers where a row would say no more. UUIDs are keys as `u128`.
//!
//! Sums that many commands change (digests, tallies, the head) are collected in memory while a transaction runs and
//! written once at its end by [`Tables::finish`]: a batch of a hundred commits changes each at most once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proto::id::ClusterId;
use proto::master::ClusterRules;
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::error::StateError;
use super::head::{Head, Missing};
use super::rows::{NodeRow, NodeTally};
use super::rules::ClusterRow;

/// A chunk's id as a key.
pub(super) type ChunkKey = &'static [u8; 32];
/// A row.
pub(super) type Row = &'static [u8];

type Definition<K, V> = TableDefinition<'static, K, V>;

/// `cluster` and `head`.
pub(super) const META: Definition<&str, Row> = TableDefinition::new("meta");
/// Folder -> `FolderRow`.
pub(super) const FOLDERS: Definition<u64, Row> = TableDefinition::new("folders");
/// (folder, name) -> `EntryRow`.
pub(super) const ENTRIES: Definition<(u64, &str), Row> = TableDefinition::new("entries");
/// (folder, name): which of the names are folders.
pub(super) const SUBFOLDERS: Definition<(u64, &str), ()> = TableDefinition::new("subfolders");
/// (folder, collision key) -> name; only under the portable name rules.
pub(super) const COLLISIONS: Definition<(u64, &str), &str> = TableDefinition::new("collisions");
/// Version -> `VersionRow`.
pub(super) const VERSIONS: Definition<u64, Row> = TableDefinition::new("versions");
/// (file, version) -> when it was replaced.
pub(super) const FORMER: Definition<(u64, u64), u64> = TableDefinition::new("former_versions");
/// (when it was replaced, version) -> file.
pub(super) const FORMER_BY_TIME: Definition<(u64, u64), u64> =
    TableDefinition::new("former_versions_by_time");
/// (version, block) -> chunk ids, one after another.
pub(super) const BLOCKS: Definition<(u64, u32), Row> = TableDefinition::new("blocks");
/// Chunk -> `ChunkRow`.
pub(super) const CHUNKS: Definition<ChunkKey, Row> = TableDefinition::new("chunks");
/// (node, chunk): who holds what.
pub(super) const NODE_CHUNKS: Definition<(u32, ChunkKey), ()> = TableDefinition::new("node_chunks");
/// (node, chunk): who has what on a disk that failed or hangs.
pub(super) const FAILING: Definition<(u32, ChunkKey), ()> = TableDefinition::new("failing_copies");
/// (node, bucket) -> (count, xor).
pub(super) const DIGESTS: Definition<(u32, u8), (u64, u128)> =
    TableDefinition::new("bucket_digests");
/// (node, chunk): deletions planned and not confirmed.
pub(super) const PLANNED: Definition<(u32, ChunkKey), ()> =
    TableDefinition::new("planned_deletions");
/// (node, chunk) -> (first seen, in how many inventories).
pub(super) const UNKNOWN: Definition<(u32, ChunkKey), (u64, u32)> =
    TableDefinition::new("unknown_chunks");
/// Open upload -> `UploadRow`.
pub(super) const UPLOADS: Definition<u128, Row> = TableDefinition::new("uploads");
/// Upload -> `KeptRow`, for those that outlive crashes.
pub(super) const KEPT_UPLOADS: Definition<u128, Row> = TableDefinition::new("kept_uploads");
/// (upload, chunk) -> `PromiseRow`.
pub(super) const PROMISES: Definition<(u128, ChunkKey), Row> = TableDefinition::new("promises");
/// (chunk, upload): the same, found by chunk.
pub(super) const PROMISED: Definition<(ChunkKey, u128), ()> = TableDefinition::new("promised");
/// Share -> `ShareRow`.
pub(super) const SHARES: Definition<u64, Row> = TableDefinition::new("shares");
/// Hash of its token -> share.
pub(super) const SHARES_BY_TOKEN: Definition<ChunkKey, u64> =
    TableDefinition::new("shares_by_token");
/// (`Target::key`, share).
pub(super) const SHARES_BY_TARGET: Definition<(u8, u64, u64), ()> =
    TableDefinition::new("shares_by_target");
/// (when it ends, share), for those that do.
pub(super) const SHARES_BY_EXPIRY: Definition<(u64, u64), ()> =
    TableDefinition::new("shares_by_expiry");
/// Shared file -> (folder, name): where it is, or was last.
pub(super) const SHARED_FILES: Definition<u64, (u64, &str)> = TableDefinition::new("shared_files");
/// Folder -> the name that it has in its parent, or had last.
pub(super) const FOLDER_NAMES: Definition<u64, &str> = TableDefinition::new("folder_names");
/// Trash id -> `TrashRow`.
pub(super) const TRASH: Definition<u64, Row> = TableDefinition::new("trash");
/// (since, chunk): chunks without a reference.
pub(super) const GARBAGE: Definition<(u64, ChunkKey), ()> = TableDefinition::new("garbage");
/// Number -> `PurgeRow`: what is to be swept.
pub(super) const PURGES: Definition<u64, Row> = TableDefinition::new("purges");
/// (kind, id) -> `AnswerRow`.
pub(super) const ANSWERS: Definition<(u8, u128), Row> = TableDefinition::new("answers");
/// (when, kind, id): the same, by age.
pub(super) const ANSWERS_BY_TIME: Definition<(u64, u8, u128), ()> =
    TableDefinition::new("answers_by_time");
/// Epoch -> (run, changes that were durable when it began): the master's starts.
pub(super) const LINEAGE: Definition<u64, (u128, u64)> = TableDefinition::new("lineage");
/// Chunks that have more or fewer copies than they should.
pub(super) const NEEDS_COPIES: Definition<ChunkKey, ()> = TableDefinition::new("needs_copies");
/// Node number -> `NodeRow`.
pub(super) const NODES: Definition<u32, Row> = TableDefinition::new("nodes");
/// Node id -> its number.
pub(super) const NODE_NUMBERS: Definition<u128, u32> = TableDefinition::new("node_numbers");
/// Node number -> `NodeTally`, as (chunks, bytes, planned deletions).
pub(super) const TALLIES: Definition<u32, (u64, u64, u64)> = TableDefinition::new("node_tallies");

/// The key of the row that says which cluster this is.
pub(super) const CLUSTER_KEY: &str = "cluster";
/// The key of the row that changes with every transaction.
pub(super) const HEAD_KEY: &str = "head";

/// What one transaction did to one bucket's digest.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct DigestChange {
    pub(super) count: i64,
    pub(super) xor: u128,
}

/// What one transaction did to one node's tally.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct TallyChange {
    pub(super) chunks: i64,
    pub(super) bytes: i64,
    pub(super) planned: i64,
}

/// All tables, open for writing, and the sums of this transaction.
pub(super) struct Tables<'txn> {
    pub(super) cluster: ClusterId,
    pub(super) rules: ClusterRules,
    pub(super) head: Head,
    pub(super) digest_changes: BTreeMap<(u32, u8), DigestChange>,
    pub(super) tally_changes: BTreeMap<u32, TallyChange>,
    /// Nodes that were read: a block of chunks asks for each many times.
    pub(super) nodes_read: RefCell<BTreeMap<u32, Option<Rc<NodeRow>>>>,
    pub(super) meta: Table<'txn, &'static str, Row>,
    pub(super) folders: Table<'txn, u64, Row>,
    pub(super) entries: Table<'txn, (u64, &'static str), Row>,
    pub(super) subfolders: Table<'txn, (u64, &'static str), ()>,
    pub(super) collisions: Table<'txn, (u64, &'static str), &'static str>,
    pub(super) versions: Table<'txn, u64, Row>,
    pub(super) former: Table<'txn, (u64, u64), u64>,
    pub(super) former_by_time: Table<'txn, (u64, u64), u64>,
    pub(super) blocks: Table<'txn, (u64, u32), Row>,
    pub(super) chunks: Table<'txn, ChunkKey, Row>,
    pub(super) node_chunks: Table<'txn, (u32, ChunkKey), ()>,
    pub(super) failing: Table<'txn, (u32, ChunkKey), ()>,
    pub(super) digests: Table<'txn, (u32, u8), (u64, u128)>,
    pub(super) planned: Table<'txn, (u32, ChunkKey), ()>,
    pub(super) unknown: Table<'txn, (u32, ChunkKey), (u64, u32)>,
    pub(super) uploads: Table<'txn, u128, Row>,
    pub(super) kept_uploads: Table<'txn, u128, Row>,
    pub(super) promises: Table<'txn, (u128, ChunkKey), Row>,
    pub(super) promised: Table<'txn, (ChunkKey, u128), ()>,
    pub(super) shares: Table<'txn, u64, Row>,
    pub(super) shares_by_token: Table<'txn, ChunkKey, u64>,
    pub(super) shares_by_target: Table<'txn, (u8, u64, u64), ()>,
    pub(super) shares_by_expiry: Table<'txn, (u64, u64), ()>,
    pub(super) shared_files: Table<'txn, u64, (u64, &'static str)>,
    pub(super) folder_names: Table<'txn, u64, &'static str>,
    pub(super) trash: Table<'txn, u64, Row>,
    pub(super) garbage: Table<'txn, (u64, ChunkKey), ()>,
    pub(super) purges: Table<'txn, u64, Row>,
    pub(super) answers: Table<'txn, (u8, u128), Row>,
    pub(super) answers_by_time: Table<'txn, (u64, u8, u128), ()>,
    pub(super) lineage: Table<'txn, u64, (u128, u64)>,
    pub(super) needs_copies: Table<'txn, ChunkKey, ()>,
    pub(super) nodes: Table<'txn, u32, Row>,
    pub(super) node_numbers: Table<'txn, u128, u32>,
    pub(super) tallies: Table<'txn, u32, (u64, u64, u64)>,
}

impl<'txn> Tables<'txn> {
    /// Opens (and where the store is new, makes) every table.
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, StateError> {
        let meta = transaction.open_table(META)?;
        let cluster = ClusterRow::read(&meta)?
            .ok_or_else(|| StateError::Damaged("it does not say which cluster it is".to_owned()))?;
        let (head, missing) = match meta.get(HEAD_KEY)? {
            Some(row) => Head::decode(row.value())?,
            None => (Head::default(), Missing::default()),
        };
        let mut tables = Self {
            cluster: cluster.cluster,
            rules: cluster.rules(),
            head,
            digest_changes: BTreeMap::new(),
            tally_changes: BTreeMap::new(),
            nodes_read: RefCell::default(),
            meta,
            folders: transaction.open_table(FOLDERS)?,
            entries: transaction.open_table(ENTRIES)?,
            subfolders: transaction.open_table(SUBFOLDERS)?,
            collisions: transaction.open_table(COLLISIONS)?,
            versions: transaction.open_table(VERSIONS)?,
            former: transaction.open_table(FORMER)?,
            former_by_time: transaction.open_table(FORMER_BY_TIME)?,
            blocks: transaction.open_table(BLOCKS)?,
            chunks: transaction.open_table(CHUNKS)?,
            node_chunks: transaction.open_table(NODE_CHUNKS)?,
            failing: transaction.open_table(FAILING)?,
            digests: transaction.open_table(DIGESTS)?,
            planned: transaction.open_table(PLANNED)?,
            unknown: transaction.open_table(UNKNOWN)?,
            uploads: transaction.open_table(UPLOADS)?,
            kept_uploads: transaction.open_table(KEPT_UPLOADS)?,
            promises: transaction.open_table(PROMISES)?,
            promised: transaction.open_table(PROMISED)?,
            shares: transaction.open_table(SHARES)?,
            shares_by_token: transaction.open_table(SHARES_BY_TOKEN)?,
            shares_by_target: transaction.open_table(SHARES_BY_TARGET)?,
            shares_by_expiry: transaction.open_table(SHARES_BY_EXPIRY)?,
            shared_files: transaction.open_table(SHARED_FILES)?,
            folder_names: transaction.open_table(FOLDER_NAMES)?,
            trash: transaction.open_table(TRASH)?,
            garbage: transaction.open_table(GARBAGE)?,
            purges: transaction.open_table(PURGES)?,
            answers: transaction.open_table(ANSWERS)?,
            answers_by_time: transaction.open_table(ANSWERS_BY_TIME)?,
            lineage: transaction.open_table(LINEAGE)?,
            needs_copies: transaction.open_table(NEEDS_COPIES)?,
            nodes: transaction.open_table(NODES)?,
            node_numbers: transaction.open_table(NODE_NUMBERS)?,
            tallies: transaction.open_table(TALLIES)?,
        };
        // In the transaction that also writes the head in its new format: it is done once, or again.
        if missing.former {
            tables.count_former()?;
        }
        if missing.folders {
            tables.index_subfolders()?;
            tables.name_folders()?;
        }
        Ok(tables)
    }

    /// Writes the sums. Call it once, last.
    pub(super) fn finish(mut self) -> Result<(), StateError> {
        for (key, change) in &self.digest_changes {
            let (count, xor) = self.digests.get(key)?.map_or((0, 0), |sum| sum.value());
            let sum = (count.saturating_add_signed(change.count), xor ^ change.xor);
            if sum == (0, 0) {
                self.digests.remove(key)?;
            } else {
                self.digests.insert(key, sum)?;
            }
        }
        for (node, change) in &self.tally_changes {
            let mut tally: NodeTally = self
                .tallies
                .get(node)?
                .map_or_else(NodeTally::default, |tally| tally.value().into());
            tally.chunks = tally.chunks.saturating_add_signed(change.chunks);
            tally.bytes = tally.bytes.saturating_add_signed(change.bytes);
            tally.planned_deletions = tally
                .planned_deletions
                .saturating_add_signed(change.planned);
            if tally == NodeTally::default() {
                self.tallies.remove(node)?;
            } else {
                self.tallies.insert(node, tally.into_tuple())?;
            }
        }
        self.meta.insert(HEAD_KEY, self.head.encode().as_slice())?;
        Ok(())
    }
}
