//! What storing a chunk costs without a network and without a disk: its record alone, and all that a node does with it, from the request
//! to the answer, on a disk in memory.
//!
//! `cargo bench -p storage-node`

#![allow(missing_docs, clippy::unwrap_used, reason = "a measurement may fail")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disk::{Blocking, MemoryDisk};
use proto::connection::{CallerIdentity, Channel};
use proto::hello::Role;
use proto::id::ChunkId;
use proto::memory::MemoryNetwork;
use proto::net::{Address, Network};
use proto::node::PutChunk;
use proto::server::Limits;
use storage_node::extent::{RecordHeader, RecordKind, batch_at};
use storage_node::{Acceptance, Config, Environment, run};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

const SMALL: usize = 4 << 10;

fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("extent/make a record");
    for len in [SMALL, 1 << 20] {
        let payload = vec![7; len];
        let chunk = ChunkId::of(&payload);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("{len} bytes"), |bencher| {
            bencher.iter(|| header(chunk, black_box(&payload)).encode());
        });
    }
    group.finish();
    let payload = vec![7; SMALL];
    let encoded = header(ChunkId::of(&payload), &payload).encode();
    criterion.bench_function("extent/read a record's header", |bencher| {
        bencher.iter(|| RecordHeader::decode(black_box(&encoded), OFFSET).unwrap());
    });
}

const OFFSET: u64 = 1 << 20;

fn header(chunk: ChunkId, payload: &[u8]) -> RecordHeader {
    RecordHeader {
        kind: RecordKind::Put { written_ms: 7 },
        chunk,
        payload_len: u32::try_from(payload.len()).unwrap(),
        payload_crc: crc32c::crc32c(payload),
        salt: 7,
        offset: OFFSET,
        batch: batch_at(OFFSET),
    }
}

fn appends(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group("extent/append a chunk");
    group.sample_size(10);
    for len in [SMALL, 256 << 10] {
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("{len} bytes"), |bencher| {
            bencher.iter_custom(|count| runtime.block_on(append(count, len)));
        });
    }
    group.finish();
}

/// How long so many chunks take, each on its own. What a disk in memory holds is bounded: after some there is another node.
async fn append(count: u64, len: usize) -> Duration {
    const OF_ONE_NODE: u64 = 256;
    let mut took = Duration::ZERO;
    for first in (0..count).step_by(usize::try_from(OF_ONE_NODE).unwrap()) {
        let numbers = first..count.min(first + OF_ONE_NODE);
        let puts: Vec<_> = numbers.map(|number| put_chunk(number, len)).collect();
        let (mut channel, stop) = node().await;
        let begun = Instant::now();
        for put in puts {
            assert!(channel.exchange(put).await.unwrap().stored);
        }
        took += begun.elapsed();
        stop.cancel();
    }
    took
}

fn put_chunk(number: u64, len: usize) -> PutChunk {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(len, 7);
    PutChunk {
        chunk: ChunkId::of(&bytes),
        promise: None,
        body: Bytes::from(bytes),
    }
}

/// A node with nothing in it, and a connection to it.
async fn node() -> (Channel, CancellationToken) {
    let network: Arc<dyn Network> = Arc::new(MemoryNetwork::new());
    let stop = CancellationToken::new();
    let (tell, told) = oneshot::channel();
    let listening = move |address: &Address| drop(tell.send(address.clone()));
    let environment = Environment::new(
        Blocking::inline(),
        || 1_700_000_000_000,
        |bytes| bytes.fill(7),
    );
    let disks = vec![MemoryDisk::new().shared()];
    let node = run(
        config(),
        environment,
        network.clone(),
        disks,
        stop.clone(),
        listening,
    );
    tokio::spawn(node);
    let identity = CallerIdentity {
        role: Role::Client,
        cluster: None,
        secret: None,
    };
    let (address, patience) = (told.await.unwrap(), Duration::from_secs(60));
    let channel = Channel::open(&*network, &address, &identity, patience).await;
    (channel.unwrap(), stop)
}

fn config() -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        data: Vec::new(),
        masters: Vec::new(),
        zone: String::new(),
        secret: None,
        reserve: 0,
        extent_size: 1 << 30,
        cache_bytes: 8 << 20,
        scrub_rate: 0,
        compact_below: 0.5,
        limits: Limits::default(),
        acceptance: Acceptance::default(),
    }
}

criterion_group!(hot_paths, records, appends);
criterion_main!(hot_paths);
