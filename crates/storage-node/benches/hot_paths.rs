//! What storing a chunk costs without a network and without a disk: its record alone, and a whole node on a disk in memory, where
//! group commit, hashing, appending and the index are what is left.
//!
//! `cargo bench -p storage-node`

#![allow(missing_docs, clippy::unwrap_used, reason = "a measurement may fail")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disk::MemoryDisk;
use proto::connection::{CallerIdentity, Channel};
use proto::hello::Role;
use proto::id::ChunkId;
use proto::memory::MemoryNetwork;
use proto::net::Address;
use proto::node::{GetChunk, PutChunk};
use storage_node::extent::{RecordHeader, RecordKind, batch_at};
use storage_node::{Acceptance, Config, Environment, run};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

const SMALL: usize = 4 << 10;
const WRITERS: u64 = 16;
/// The disk is memory: so much is written at most, whatever the time.
const ROOM: u64 = 4 << 30;

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

/// One node in this process, and connections to it.
struct Node {
    channels: Vec<Channel>,
    written: u64,
    stop: CancellationToken,
}

impl Node {
    async fn start() -> Self {
        let disk = MemoryDisk::new();
        disk.set_capacity(2 * ROOM);
        let config = Config {
            listen: "node:9001".parse().unwrap(),
            masters: Vec::new(),
            ..Config::from_settings(&settings::Settings::default(), Acceptance::default())
        };
        let network = Arc::new(MemoryNetwork::new());
        let (tell, told) = oneshot::channel();
        let stop = CancellationToken::new();
        let listening = move |address: &Address| drop(tell.send(address.clone()));
        let node = run(
            config,
            Environment::real(),
            network.clone(),
            vec![disk.shared()],
            stop.clone(),
            listening,
        );
        tokio::spawn(node);
        let address = told.await.unwrap();
        let identity = CallerIdentity {
            role: Role::Client,
            cluster: None,
            secret: None,
        };
        let mut channels = Vec::new();
        for _ in 0..WRITERS {
            let opened = Channel::open(&*network, &address, &identity, Duration::from_secs(5));
            channels.push(opened.await.unwrap());
        }
        Self {
            channels,
            written: 0,
            stop,
        }
    }

    /// Stores so many new chunks, over all connections at once.
    async fn put(&mut self, count: u64) -> Duration {
        assert!(
            (self.written + count) * (SMALL as u64) < ROOM,
            "too much for memory"
        );
        let first = self.written;
        self.written += count;
        let begun = Instant::now();
        let writers = (0..)
            .zip(&mut self.channels)
            .map(async |(writer, channel)| {
                for number in (first..first + count).filter(|number| number % WRITERS == writer) {
                    let body = bytes_of(number);
                    let chunk = ChunkId::of(&body);
                    let put = PutChunk {
                        chunk,
                        promise: None,
                        body,
                    };
                    channel.exchange(put).await.unwrap();
                }
            });
        futures::future::join_all(writers).await;
        begun.elapsed()
    }

    /// Reads chunks that are there.
    async fn get(&mut self, count: u64) -> Duration {
        let there = self.written;
        let begun = Instant::now();
        let readers = (0..)
            .zip(&mut self.channels)
            .map(async |(reader, channel)| {
                for number in (0..count).filter(|number| number % WRITERS == reader) {
                    let chunk = ChunkId::of(&bytes_of(number % there));
                    channel.exchange(GetChunk { chunk }).await.unwrap();
                }
            });
        futures::future::join_all(readers).await;
        begun.elapsed()
    }
}

fn bytes_of(number: u64) -> Bytes {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(SMALL, 7);
    bytes.into()
}

fn nodes(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut node = runtime.block_on(Node::start());
    let mut group = criterion.benchmark_group("node on a disk in memory, 16 connections");
    group.throughput(Throughput::Elements(1));
    group.sample_size(20).warm_up_time(Duration::from_secs(1));
    group.bench_function("put 4 KiB", |bencher| {
        bencher.iter_custom(|count| runtime.block_on(node.put(count)));
    });
    group.bench_function("get 4 KiB", |bencher| {
        bencher.iter_custom(|count| runtime.block_on(node.get(count)));
    });
    group.finish();
    node.stop.cancel();
}

criterion_group!(hot_paths, records, nodes);
criterion_main!(hot_paths);
