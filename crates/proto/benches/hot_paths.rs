//! What each message costs: its line, and its body, from one end of a connection in memory to the other.
//!
//! `cargo bench -p proto`

#![allow(missing_docs, clippy::unwrap_used, reason = "a measurement may fail")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use proto::Body;
use proto::frame::{FrameLimits, FrameReader, FrameWriter, RequestHead, reply_line, request_line};
use proto::id::ChunkId;

/// What a connection in memory holds.
const IN_FLIGHT: usize = 256 << 10;
const FIELDS: &[u8] =
    br#"{"chunk":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}"#;

fn lines(criterion: &mut Criterion) {
    criterion.bench_function("frame/write a request's line", |bencher| {
        bencher.iter(|| request_line(black_box(7), "get_chunk", black_box(FIELDS), 0));
    });
    let line = request_line(7, "get_chunk", FIELDS, 0);
    criterion.bench_function("frame/read a request's head", |bencher| {
        bencher.iter(|| {
            serde_json::from_slice::<RequestHead<'_>>(black_box(&line))
                .unwrap()
                .id
        });
    });
    criterion.bench_function("frame/write a reply's line", |bencher| {
        bencher.iter(|| reply_line(black_box(7), br#"{"stored":true}"#, 0));
    });
}

fn bodies(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group("frame/pass a message");
    for len in [0, 4 << 10, 1 << 20] {
        let body = Bytes::from(vec![7; len]);
        let line = request_line(7, "put_chunk", FIELDS, len);
        group.throughput(Throughput::Bytes(len.max(1) as u64));
        group.bench_function(format!("{len} bytes"), |bencher| {
            let (here, there) = tokio::io::duplex(IN_FLIGHT);
            let (_, sink) = tokio::io::split(here);
            let (source, _) = tokio::io::split(there);
            let mut writer = FrameWriter::new(Box::new(sink));
            let mut reader = FrameReader::new(Box::new(source), FrameLimits::default());
            bencher.iter(|| {
                let write = writer.write(line.clone(), Body::Bytes(body.clone()));
                let read = async {
                    reader.line().await.unwrap().unwrap();
                    reader.body(len).await.unwrap().len()
                };
                let (written, read) = runtime.block_on(async { tokio::join!(write, read) });
                written.unwrap();
                assert_eq!(read, len);
            });
        });
    }
    group.finish();
}

fn hashes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunk/hash");
    for len in [4 << 10, 1 << 20] {
        let bytes = vec![7; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("{len} bytes"), |bencher| {
            bencher.iter(|| ChunkId::of(black_box(&bytes)));
        });
    }
    group.finish();
}

criterion_group!(hot_paths, lines, bodies, hashes);
criterion_main!(hot_paths);
