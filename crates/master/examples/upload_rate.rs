//! Measures the master's state alone: how many small uploads (allocate, then commit) it makes durable in a second.
//!
//! `cargo run --release -p master --example upload_rate -- FOLDER [UPLOADERS] [SECONDS]`: the store is made in FOLDER,
//! which must not hold one. Receipts are made here, so no node is needed and no chunk is stored.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use disk::{Blocking, RealDisk, RedbBackend};
use master::command::{ChunkPromise, ClusterMillis, Command, NodeNumber};
use master::commit::{CommitOptions, Committer};
use master::state::{State, StateOptions};
use proto::hello::ReceiptKey;
use proto::id::{ChunkId, ClusterId, NodeId, PromiseId, UploadId};
use proto::master::{ChunkToStore, ClusterRules, Precondition, StoredChunk};
use proto::name::NameRules;
use proto::node::Receipt;
use uuid::Uuid;

const NODES: u32 = 3;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("name a folder")?;
    let uploaders: u32 = arguments.next().map_or(Ok(16), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let (state, committer) = open(Path::new(&folder)).await?;

    let end = Instant::now() + Duration::from_secs(seconds);
    let started = Instant::now();
    let tasks: Vec<_> = (0..uploaders)
        .map(|uploader| tokio::spawn(upload_until(committer.clone(), uploader, end)))
        .collect();
    let mut uploads = 0;
    for task in tasks {
        uploads += task.await??;
    }
    let rate = f64::from(uploads) / started.elapsed().as_secs_f64();
    let sums = state.read()?.sums()?;
    println!(
        "{uploads} uploads, {rate:.0} a second; {} files",
        sums.files
    );
    Ok(())
}

async fn open(folder: &Path) -> Result<(Arc<State>, Committer)> {
    let disk = RealDisk::open(folder)?;
    disk.create("state.redb")?;
    disk.sync_folder("")?;
    let options = StateOptions {
        new_cluster: ClusterId::new(Uuid::new_v4()),
        rules: ClusterRules {
            chunk_size: 1 << 20,
            replication_factor: 3,
            min_write_replicas: 2,
            file_size_max: None,
            names: NameRules::Any,
        },
        cache_bytes: 32 << 20,
    };
    let files = disk.clone();
    let backend = move || Ok(RedbBackend::new(files.open("state.redb")?));
    let state = Arc::new(State::open(backend, &options)?);
    let options = CommitOptions {
        blocking: Blocking::threads(),
        disk,
        wall_ms: Arc::new(|| 0),
    };
    let (committer, writer) = Committer::new(state.clone(), options)?;
    tokio::spawn(writer.run());
    for node in 1..=NODES {
        let command = Command::UpsertNode {
            node: node_id(node),
            address: format!("127.0.0.1:{}", 9000 + node).parse()?,
            zone: String::new(),
            receipt_key: key_of(node),
        };
        committer.submit(command).await?;
    }
    Ok((state, committer))
}

fn node_id(node: u32) -> NodeId {
    NodeId::new(Uuid::from_u128(u128::from(node)))
}

fn key_of(node: u32) -> ReceiptKey {
    ReceiptKey::from_bytes([u8::try_from(node).expect("few nodes"); 32])
}

async fn upload_until(committer: Committer, uploader: u32, end: Instant) -> Result<u32> {
    let mut uploads = 0;
    while Instant::now() < end {
        upload(&committer, uploader, uploads).await?;
        uploads += 1;
    }
    Ok(uploads)
}

async fn upload(committer: &Committer, uploader: u32, number: u32) -> Result<()> {
    let upload = UploadId::new(Uuid::new_v4());
    let promise = PromiseId::new(Uuid::new_v4());
    let name = format!("/folder{uploader}/file{number}");
    let chunk = ChunkToStore {
        chunk: ChunkId::of(name.as_bytes()),
        len: 4096,
    };
    let nodes: Vec<_> = (1..=NODES).map(NodeNumber).collect();
    let wanted = ChunkPromise { chunk, nodes };
    committer
        .submit(Command::AllocateChunks {
            upload,
            lease_until: ClusterMillis(u64::MAX),
            promise,
            doubtful: Vec::new(),
            deletions_wait: false,
            chunks: vec![wanted],
        })
        .await?;
    let receipt = |node| Receipt {
        node: node_id(node),
        mac: key_of(node).receipt(promise, &chunk.chunk, 4096),
    };
    let stored = StoredChunk {
        chunk: chunk.chunk,
        len: chunk.len,
        receipts: (1..=NODES).map(receipt).collect(),
    };
    let commit = Command::CommitUpload {
        upload,
        path: name.parse()?,
        size: 4096,
        modified_ms: None,
        blocks: 0,
        place: 0,
        doubtful: Vec::new(),
        chunks: vec![stored],
        parents: true,
        precondition: Precondition::Any,
    };
    committer.submit(commit).await?;
    Ok(())
}
