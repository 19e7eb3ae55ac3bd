//! What a storage node does with a chunk: the real node, asked over a connection in memory, on a disk in memory.

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use disk::{Blocking, MemoryDisk};
use proto::connection::{CallerIdentity, Channel};
use proto::hello::Role;
use proto::id::ChunkId;
use proto::memory::MemoryNetwork;
use proto::net::{Address, Network};
use proto::node::{GetChunk, PutChunk};
use proto::server::Limits;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use storage_node::extent::{RecordHeader, RecordKind, batch_at};
use storage_node::{Acceptance, Config, Environment, run};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

const SMALL: usize = 4 << 10;
const LARGE: usize = 256 << 10;

pub(crate) fn put_small(turns: u64) -> Result<()> {
    with_node(|channel| put(channel, turns, 64, SMALL))
}

pub(crate) fn put_large(turns: u64) -> Result<()> {
    with_node(|channel| put(channel, turns, 2, LARGE))
}

pub(crate) fn get_small(turns: u64) -> Result<()> {
    with_node(|channel| get(channel, turns, SMALL))
}

pub(crate) fn get_large(turns: u64) -> Result<()> {
    with_node(|channel| get(channel, turns, LARGE))
}

pub(crate) fn record(turns: u64) -> Result<()> {
    const OFFSET: u64 = 1 << 20;
    let payload = vec![7; SMALL];
    let chunk = ChunkId::of(&payload);
    for _ in 0..turns {
        let header = RecordHeader {
            kind: RecordKind::Put { written_ms: 7 },
            chunk,
            payload_len: u32::try_from(payload.len())?,
            payload_crc: crc32c::crc32c(black_box(&payload)),
            salt: 7,
            offset: OFFSET,
            batch: batch_at(OFFSET),
        };
        let encoded = black_box(header.encode());
        let decoded = RecordHeader::decode(&encoded, OFFSET);
        ensure!(decoded.context("it is a header")?.chunk == chunk);
    }
    Ok(())
}

/// As many chunks are made whatever the turns, so that their making does not count.
async fn put(mut channel: Channel, turns: u64, turns_max: u64, len: usize) -> Result<()> {
    let mut chunks = (0..turns_max)
        .map(|number| put_chunk(number, len))
        .collect::<Vec<_>>();
    for _ in 0..turns {
        let chunk = chunks.pop().context("there is a chunk for each turn")?;
        ensure!(channel.exchange(chunk).await?.stored);
    }
    Ok(())
}

async fn get(mut channel: Channel, turns: u64, len: usize) -> Result<()> {
    let put = put_chunk(0, len);
    let chunk = put.chunk;
    channel.exchange(put).await?;
    for _ in 0..turns {
        let read = channel.exchange(GetChunk { chunk }).await?;
        ensure!(read.body.len() == len);
    }
    Ok(())
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

/// Runs a node, and what is done to it over one connection.
fn with_node<F: Future<Output = Result<()>>>(work: impl FnOnce(Channel) -> F) -> Result<()> {
    still(async {
        let network = Arc::new(MemoryNetwork::new());
        let (address, stop) = start(network.clone(), Vec::new()).await?;
        let identity = CallerIdentity {
            role: Role::Client,
            cluster: None,
            secret: None,
        };
        let patience = Duration::from_secs(60);
        let channel = Channel::open(&*network, &address, &identity, patience).await?;
        work(channel).await?;
        stop.cancel();
        Ok(())
    })
}

/// Starts a node on an empty disk, and says where it listens.
pub(crate) async fn start(
    network: Arc<dyn Network>,
    masters: Vec<Address>,
) -> Result<(Address, CancellationToken)> {
    let stop = CancellationToken::new();
    let (tell, told) = oneshot::channel();
    let listening = move |address: &Address| drop(tell.send(address.clone()));
    let disks = vec![MemoryDisk::new().shared()];
    let node = run(
        config(masters)?,
        environment(),
        network,
        disks,
        stop.clone(),
        listening,
    );
    tokio::spawn(node);
    Ok((told.await.context("a node did not start")?, stop))
}

fn config(masters: Vec<Address>) -> Result<Config> {
    Ok(Config {
        listen: "127.0.0.1:0".parse()?,
        advertise: None,
        data: Vec::new(),
        masters,
        zone: String::new(),
        secret: None,
        reserve: 0,
        extent_size: 1 << 30,
        cache_bytes: 8 << 20,
        scrub_rate: 0,
        compact_below: 0.5,
        limits: Limits::default(),
        acceptance: Acceptance::default(),
    })
}

/// One in which equal runs are equal, and no two nodes are.
fn environment() -> Environment {
    static SEED: AtomicU64 = AtomicU64::new(1);
    let random = |bytes: &mut [u8]| {
        StdRng::seed_from_u64(SEED.fetch_add(1, Ordering::Relaxed)).fill_bytes(bytes);
    };
    Environment::new(Blocking::inline(), || 1_700_000_000_000, random)
}

/// Runs this in one thread, with a clock that goes on only when nothing else is to be done.
pub(crate) fn still(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?
        .block_on(work)
}
