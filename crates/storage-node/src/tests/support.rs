//! A node on disks in memory, with faults as verbs. Everything runs in place, in one thread.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use disk::{Blocking, Disk, MemoryDisk};
use futures::FutureExt;
use proto::id::{ChunkId, Epoch, NodeId, RunId};
use proto::node::{BucketDigest, CHUNKS_PER_MESSAGE_MAX, ChunkState, ChunksDeleted};
use proto::{ErrorCode, HistoryPoint, WireError};
use rand::SeedableRng;
use rand::rngs::StdRng;
use uuid::Uuid;

use crate::appender::Appender;
use crate::config::Config;
use crate::environment::Environment;
use crate::extent::{EXTENTS_FOLDER, Order, extent_number};
use crate::identity::Acceptance;
use crate::node::{Node, OpenChunk};
use crate::opening::{Opened, Started};
use crate::recover;
use crate::reopen::reopen;
use crate::scrub::{reread_bad, scrub_extent};
use crate::store::{Store, StoreOptions};
use crate::summary::make_missing;
use crate::verified::VerifiedChunk;

/// A disk's first extent.
pub(super) const FIRST: &str = "extents/00000001.extent";
/// Small, so that tests reach many extents.
pub(super) const EXTENT_SIZE: u64 = 16 << 10;

pub(super) fn config() -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        data: Vec::new(),
        masters: Vec::new(),
        zone: String::new(),
        secret: None,
        reserve: 0,
        extent_size: EXTENT_SIZE,
        cache_bytes: 1 << 20,
        scrub_rate: 0,
        limits: proto::server::Limits::default(),
        compact_below: 0.5,
        acceptance: Acceptance::default(),
    }
}

/// Never the same random bytes twice.
pub(super) fn environment() -> Environment {
    environment_on(Blocking::inline())
}

/// The same, with disk work on other threads: for disks that hang.
pub(super) fn threads() -> Environment {
    environment_on(Blocking::threads())
}

fn environment_on(blocking: Blocking) -> Environment {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let random = |bytes: &mut [u8]| {
        use rand::Rng;
        StdRng::seed_from_u64(NEXT.fetch_add(1, Ordering::Relaxed)).fill_bytes(bytes);
    };
    Environment::new(blocking, || 1_700_000_000_000, random)
}

/// A chunk that is told from others by its number.
pub(super) fn chunk(number: u64, len: usize) -> (ChunkId, Bytes) {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(len.max(8), u8::try_from(number % 251).unwrap());
    (ChunkId::of(&bytes), bytes.into())
}

pub(super) fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// A start of the master, by its number.
pub(super) fn master_at(epoch: u64) -> HistoryPoint {
    HistoryPoint {
        epoch: Epoch(epoch),
        run: RunId::new(Uuid::from_u128(u128::from(epoch))),
        position: 0,
    }
}

/// The paths of a disk's extents, in order.
pub(super) fn extents(disk: &MemoryDisk) -> Vec<String> {
    let mut names: Vec<_> = disk
        .list(EXTENTS_FOLDER)
        .unwrap_or_default()
        .into_iter()
        .filter(|entry| extent_number(&entry.name).is_some())
        .map(|entry| format!("{EXTENTS_FOLDER}/{}", entry.name))
        .collect();
    names.sort();
    names
}

/// A disk whose only extent has these chunks, in this order, each of a batch of its own.
pub(super) async fn disk_with(chunks: &[(ChunkId, Bytes)]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    for chunk in chunks {
        assert!(node.put(chunk).await.unwrap());
    }
    node.stop().await;
    disk
}

/// Each of two files gets the other's name.
pub(super) fn swap(disk: &MemoryDisk, one: &str, other: &str) {
    disk.rename(one, "extents/swap").unwrap();
    disk.rename(other, one).unwrap();
    disk.rename("extents/swap", other).unwrap();
}

pub(super) fn lose_index(disk: &MemoryDisk) {
    disk.remove("index.redb").unwrap();
}

pub(super) fn small_chunks() -> Vec<(ChunkId, Bytes)> {
    [20, 70, 33]
        .iter()
        .zip(1..)
        .map(|(len, number)| chunk(number, *len))
        .collect()
}

/// A disk with six chunks, two in each extent.
pub(super) async fn disk_with_three_extents() -> (MemoryDisk, Vec<(ChunkId, Bytes)>) {
    let chunks: Vec<_> = (0..6).map(|number| chunk(number, 6000)).collect();
    let disk = disk_with(&chunks).await;
    assert_eq!(extents(&disk).len(), 3, "two chunks an extent");
    (disk, chunks)
}

/// An order of the first start of the master.
pub(super) fn order(sequence: u64) -> Order {
    Order {
        epoch: Epoch(1),
        sequence,
    }
}

/// The store of a disk, without a node.
pub(super) fn open_store(disk: &MemoryDisk) -> (Arc<Store>, Appender) {
    let options = StoreOptions {
        node: NodeId::new(Uuid::from_u128(5)),
        disk_number: 0,
        extent_size: 1 << 20,
        reserve: 0,
        cache_bytes: 1 << 20,
        checkpoint_bytes: 64 << 20,
    };
    recover::open(&disk.shared(), options, &environment()).unwrap()
}

/// Begins to put a chunk.
pub(super) fn put_with(appender: &mut Appender, number: u64) {
    let (id, bytes) = chunk(number, 1000);
    let verified = VerifiedChunk::check(id, bytes).unwrap();
    appender.put(&verified).unwrap();
}

/// A running node.
pub(super) struct TestNode {
    pub(super) node: Arc<Node>,
    pub(super) disks: Vec<MemoryDisk>,
    sequence: AtomicU64,
}

impl TestNode {
    pub(super) fn open(disks: &[&MemoryDisk]) -> Self {
        Self::open_with(disks, &config())
    }

    pub(super) fn open_with(disks: &[&MemoryDisk], config: &Config) -> Self {
        Self::try_open(disks, config).unwrap()
    }

    /// One whose disks may hang.
    pub(super) fn open_on_threads(disks: &[&MemoryDisk]) -> Self {
        Self::open_on_threads_with(disks, &config())
    }

    pub(super) fn open_on_threads_with(disks: &[&MemoryDisk], config: &Config) -> Self {
        Self::try_open_in(&threads(), disks, config).unwrap()
    }

    pub(super) fn try_open(disks: &[&MemoryDisk], config: &Config) -> Result<Self, String> {
        Self::try_open_in(&environment(), disks, config)
    }

    pub(super) fn try_open_in(
        environment: &Environment,
        disks: &[&MemoryDisk],
        config: &Config,
    ) -> Result<Self, String> {
        let shared: Vec<Arc<dyn Disk>> = disks.iter().map(|disk| disk.shared()).collect();
        let mut node = Self::try_open_shared(environment, &shared, config)?;
        node.disks = disks.iter().map(|disk| (*disk).clone()).collect();
        Ok(node)
    }

    /// One on a disk of any kind.
    pub(super) fn open_any(disk: Arc<dyn Disk>) -> Self {
        Self::try_open_shared(&environment(), &[disk], &config()).unwrap()
    }

    fn try_open_shared(
        environment: &Environment,
        disks: &[Arc<dyn Disk>],
        config: &Config,
    ) -> Result<Self, String> {
        let opening = environment.in_place();
        let opened = Opened::open(config, &opening, disks).now_or_never();
        let opened = opened.expect("it runs in place");
        let started = opened.map_err(|error| error.to_string())?;
        let Started { node, .. } = started.start(environment.clone());
        let highest = node
            .disks()
            .iter()
            .map(|disk| disk.store.catalog().order.sequence)
            .max();
        Ok(Self {
            node,
            disks: Vec::new(),
            sequence: AtomicU64::new(highest.unwrap_or(0)),
        })
    }

    /// Makes a new index for a disk while the node runs.
    pub(super) async fn reopen(&self, disk: usize) -> Result<(), String> {
        let reopened = reopen(&self.node, disk).await.map(drop);
        reopened.map_err(|error| error.to_string())
    }

    /// Stops it as `SIGTERM` does.
    pub(super) async fn stop(self) {
        self.stop_writers().await;
    }

    /// The same, for one that several use.
    pub(super) async fn stop_writers(&self) {
        for disk in self.node.disks().iter() {
            disk.writer.stop().await;
        }
    }

    /// Takes the power away from all its disks.
    pub(super) async fn crash(self, seed: u64) {
        for (place, disk) in self.disks.iter().enumerate() {
            disk.crash(&mut rng(seed + place as u64));
        }
        self.stop().await;
    }

    /// Kills the process; the machine lives on.
    pub(super) async fn kill(self) {
        for disk in &self.disks {
            disk.kill();
        }
        self.stop().await;
    }

    pub(super) async fn put(&self, chunk: &(ChunkId, Bytes)) -> Result<bool, WireError> {
        self.node.put(chunk.0, chunk.1.clone()).await
    }

    /// Deletes on an order above all before: all of them, or it is an error.
    pub(super) async fn delete(&self, chunks: &[ChunkId]) -> Result<u64, WireError> {
        let done = self.delete_what_can(chunks).await?;
        if done.kept.is_empty() {
            return Ok(done.deleted);
        }
        Err(WireError::new(ErrorCode::Disk, "some are kept"))
    }

    /// The same, with what is kept.
    pub(super) async fn delete_what_can(
        &self,
        chunks: &[ChunkId],
    ) -> Result<ChunksDeleted, WireError> {
        let order = self.next_order();
        self.node.delete(order, chunks).await
    }

    pub(super) fn next_order(&self) -> Order {
        Order {
            epoch: Epoch(1),
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    /// The chunk's bytes as a client gets them, which verifies them.
    pub(super) async fn get(&self, chunk: &ChunkId) -> Result<Bytes, WireError> {
        let read = match self.node.open_chunk(chunk).await {
            Ok(OpenChunk::Bytes(bytes)) => Ok(bytes),
            Ok(OpenChunk::File(found)) => found.file.read().inspect_err(|_| {
                let at = found.file.row.location;
                self.node.mark_corrupt_soon(found.disk, *chunk, at);
            }),
            Err(error) => Err(error),
        };
        self.node.marks_are_done().await;
        let bytes = read?;
        assert_eq!(ChunkId::of(&bytes), *chunk, "wrong bytes were served");
        Ok(bytes)
    }

    pub(super) fn state(&self, chunk: &ChunkId) -> ChunkState {
        let described = self.node.describe(vec![*chunk]).now_or_never();
        described.expect("it runs in place").unwrap()[0].state
    }

    /// What is to be reported as corrupt now: all of it, or what is new.
    pub(super) async fn to_report(&self, all: bool) -> Vec<ChunkId> {
        if all {
            self.node.report_all_corrupt();
        }
        let mut chunks = Vec::new();
        loop {
            let page = self.node.next_corrupt().await;
            assert!(page.chunks.len() <= CHUNKS_PER_MESSAGE_MAX);
            chunks.extend(page.chunks);
            if !page.more {
                break;
            }
        }
        chunks.sort_unstable();
        chunks.dedup();
        chunks
    }

    /// Compacts until nothing is worth it.
    pub(super) async fn compact(&self) {
        for disk in 0..self.disks.len() {
            crate::compact::compact_all(&self.node, disk, 0.5, &mut BTreeSet::new()).await;
            self.summarize(disk).await;
        }
    }

    /// Makes all summaries of a disk that are missing.
    async fn summarize(&self, disk: usize) {
        let disk = &self.node.disks()[disk];
        make_missing(disk, &mut BTreeSet::new()).await;
    }

    /// Reads once more what is known to be bad, as the scrubber does first.
    pub(super) async fn reread_bad(&self) {
        for place in 0..self.node.disks().len() {
            reread_bad(&self.node, place, None).await.unwrap();
        }
    }

    /// Reads everything once, as after a month.
    pub(super) async fn scrub(&self) {
        for (place, disk) in self.node.disks().iter().enumerate() {
            for sums in disk.store.catalog().extents.values_mut() {
                sums.scrubbed_ms = 0;
            }
            while !matches!(scrub_extent(&self.node, place, None).await, Ok(false)) {}
        }
    }

    /// The digests are those of just these chunks.
    pub(super) fn check_digest(&self, chunks: impl IntoIterator<Item = ChunkId>) {
        let mut expected = vec![BucketDigest::default(); 256];
        for chunk in chunks {
            expected[usize::from(chunk.bucket())].add(&chunk);
        }
        assert_eq!(
            self.node.digest(),
            expected,
            "the digests are not of the chunks that are here"
        );
    }
}
