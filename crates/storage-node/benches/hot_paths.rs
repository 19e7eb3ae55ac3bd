//! What storing a chunk costs without a network and without a disk: its record alone.
//!
//! `cargo bench -p storage-node`

#![allow(missing_docs, clippy::unwrap_used, reason = "a measurement may fail")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use proto::id::ChunkId;
use storage_node::extent::{RecordHeader, RecordKind, batch_at};

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

criterion_group!(hot_paths, records);
criterion_main!(hot_paths);
