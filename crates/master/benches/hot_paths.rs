//! What the master does for each small upload without a network and without a disk: choosing nodes, and applying the commands that
//! allocate a chunk and commit a file, in transactions as the group commit makes them.
//!
//! `cargo bench -p master`; `examples/upload_rate.rs` measures the same on a real disk.

#![allow(missing_docs, clippy::unwrap_used, reason = "a measurement may fail")]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disk::{Disk, MemoryDisk, RedbBackend};
use master::command::{ChunkPromise, ClusterMillis, Command, NodeNumber, TimedCommand};
use master::placement::{Candidate, Candidates, choose};
use master::state::{State, StateOptions};
use proto::hello::ReceiptKey;
use proto::id::{ChunkId, ClusterId, NodeId, PromiseId, UploadId};
use proto::master::{ChunkToStore, ClusterRules, Precondition, StoredChunk};
use proto::name::NameRules;
use proto::node::Receipt;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use uuid::Uuid;

const NODES: u32 = 3;
const FILE_LEN: u32 = 4096;

fn placement(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("placement/choose 3 of");
    for (nodes, zones) in [(3, 1), (100, 10), (1000, 10)] {
        let candidates: Candidates = (1..=nodes).map(|node| candidate(node, zones)).collect();
        let mut chance = SmallRng::seed_from_u64(7);
        group.bench_function(format!("{nodes} nodes in {zones} zones"), |bencher| {
            bencher.iter(|| choose(&candidates, &[], &[], 3, &mut chance));
        });
    }
    group.finish();
}

fn candidate(node: u32, zones: u32) -> Candidate {
    Candidate {
        node: NodeNumber(node),
        zone: format!("zone {}", node % zones).into(),
        free_bytes: u64::from(node % 7 + 1) << 40,
    }
}

fn uploads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("state/small uploads in one transaction");
    group.sample_size(20).warm_up_time(Duration::from_secs(1));
    for count in [1, 16] {
        let (state, mut next) = (open(), 0);
        group.throughput(Throughput::Elements(count));
        group.bench_function(count.to_string(), |bencher| {
            bencher.iter(|| {
                let commands: Vec<_> = (next..next + count).flat_map(upload).collect();
                next += count;
                let applied = state.write().unwrap().run(&commands, true).unwrap();
                assert!(
                    applied.outcomes.iter().all(Result::is_ok),
                    "{:?}",
                    applied.outcomes
                );
            });
        });
    }
    group.finish();
}

fn open() -> State {
    let disk = MemoryDisk::new();
    disk.create("state.redb").unwrap();
    let options = StateOptions {
        new_cluster: ClusterId::new(Uuid::from_u128(1)),
        rules: ClusterRules {
            chunk_size: 1 << 20,
            replication_factor: 3,
            min_write_replicas: 2,
            file_size_max: None,
            names: NameRules::Any,
        },
        cache_bytes: 32 << 20,
    };
    let state = State::open(
        move || Ok(RedbBackend::new(disk.open("state.redb")?)),
        &options,
    )
    .unwrap();
    let nodes: Vec<_> = (1..=NODES).map(|node| timed(0, upsert(node))).collect();
    state.write().unwrap().run(&nodes, true).unwrap();
    state
}

fn upsert(node: u32) -> Command {
    Command::UpsertNode {
        node: node_id(node),
        address: format!("127.0.0.1:{}", 9000 + node).parse().unwrap(),
        zone: String::new(),
        receipt_key: key_of(node),
    }
}

/// What a client has the master do for one file.
fn upload(number: u64) -> [TimedCommand; 2] {
    let id = Uuid::from_u128(u128::from(number) + 1);
    let (upload, promise) = (UploadId::new(id), PromiseId::new(id));
    let name = format!("/folder{}/file{number}", number % 16);
    let chunk = ChunkToStore {
        chunk: ChunkId::of(name.as_bytes()),
        len: FILE_LEN,
    };
    let allocate = Command::AllocateChunks {
        upload,
        lease_until: ClusterMillis(u64::MAX),
        promise,
        doubtful: Vec::new(),
        deletions_wait: false,
        chunks: vec![ChunkPromise {
            chunk,
            nodes: (1..=NODES).map(NodeNumber).collect(),
        }],
    };
    let receipt = |node| Receipt {
        node: node_id(node),
        mac: key_of(node).receipt(promise, &chunk.chunk, u64::from(chunk.len)),
    };
    let commit = Command::CommitUpload {
        upload,
        path: name.parse().unwrap(),
        size: FILE_LEN.into(),
        modified_ms: None,
        blocks: 0,
        place: 0,
        doubtful: Vec::new(),
        chunks: vec![StoredChunk {
            chunk: chunk.chunk,
            len: chunk.len,
            receipts: (1..=NODES).map(receipt).collect(),
        }],
        parents: true,
        precondition: Precondition::Any,
    };
    [allocate, commit].map(|command| timed(number, command))
}

fn timed(number: u64, command: Command) -> TimedCommand {
    TimedCommand {
        at: ClusterMillis(number + 1),
        wall_ms: number,
        command,
    }
}

fn node_id(node: u32) -> NodeId {
    NodeId::new(Uuid::from_u128(u128::from(node)))
}

fn key_of(node: u32) -> ReceiptKey {
    ReceiptKey::from_bytes([u8::try_from(node).unwrap(); 32])
}

criterion_group!(hot_paths, placement, uploads);
criterion_main!(hot_paths);
