//! A storage node with more and more chunks.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use proto::hello::Role;
use proto::id::ChunkId;
use proto::net::Address;
use proto::node::{DescribeChunks, GetChunk, PutChunk};

use super::caller::{Caller, rate};
use super::curve::{Curves, Kind, Subject};
use super::files::cluster;
use crate::machine::resident;
use crate::process::{Ending, Process};
use crate::systems::server;

/// Small, so that it is the number of chunks that grows, and not their bytes.
const LEN: usize = 1 << 10;
const SENDERS: usize = 64;
const AT_ONCE: usize = 16;
const SPAN: Duration = Duration::from_secs(3);
const START_MAX: Duration = Duration::from_secs(600);

const fn subject(title: &'static str, unit: &'static str, kind: Kind, least: f64) -> Subject {
    Subject {
        of: "chunks",
        title,
        unit,
        kind,
        least,
    }
}

const PUTS: Subject = subject("stored, 64 at once, fsynced", "/s", Kind::Rate, 0.0);
const GETS: Subject = subject("read, 16 at once", "/s", Kind::Rate, 0.0);
const HAS: Subject = subject("asked for, 16 at once", "/s", Kind::Rate, 0.0);
const START: Subject = subject("start", "s", Kind::Whole, 0.1);
const START_KILLED: Subject = subject("start after a kill", "s", Kind::Whole, 0.1);
const MEMORY: Subject = subject("memory after a start", "MB", Kind::Whole, 10.0);
const MEMORY_AFTER: Subject = subject("memory after all of this", "MB", Kind::Whole, 30.0);

/// Fills one node from size to size.
pub(crate) async fn measure(folder: &Path, sizes: &[u64], curves: &mut Curves) -> Result<()> {
    let mut stored = 0;
    for size in sizes {
        let size = *size;
        let (mut process, address, _) = start(folder).await?;
        let caller = Caller::connect(&address, Role::Client, cluster()).await?;
        let begun = Instant::now();
        let senders = (0..SENDERS as u64).map(|sender| put(&caller, stored + sender, size));
        futures::future::try_join_all(senders).await?;
        let puts = (size - stored) as f64 / begun.elapsed().as_secs_f64();
        curves.add(PUTS, size, puts);
        stored = size;
        process.end()?;

        let (mut process, address, took) = start(folder).await?;
        curves.add(START, size, took);
        curves.add(MEMORY, size, resident(&process.ids()));
        let caller = Caller::connect(&address, Role::Client, cluster()).await?;
        read(&caller, size, curves).await?;
        curves.add(MEMORY_AFTER, size, resident(&process.ids()));
        process.kill()?;
        let (mut process, _, took) = start(folder).await?;
        curves.add(START_KILLED, size, took);
        process.end()?;
    }
    Ok(())
}

/// Starts the node; says where it listens, and how long it took, in seconds.
async fn start(folder: &Path) -> Result<(Process, Address, f64)> {
    let node = server("dfs-storage-node", folder, "node-log")?;
    let mut node = node
        .ended_by(Ending::Terminate)
        .with(["--config", "config.toml", "127.0.0.1", "0", "node"])
        // It needs no master to take chunks.
        .with(["--master", "127.0.0.1:1"]);
    let begun = Instant::now();
    let address = node.start_listening_within(START_MAX).await?;
    let took = begun.elapsed().as_secs_f64();
    Ok((node, address.parse()?, took))
}

/// Stores every 64th chunk from the first one on.
async fn put(caller: &Caller, first: u64, end: u64) -> Result<()> {
    for number in (first..end).step_by(SENDERS) {
        let bytes = bytes_of(number);
        let put = PutChunk {
            chunk: ChunkId::of(&bytes),
            promise: None,
            body: bytes,
        };
        caller.call(put).await?;
    }
    Ok(())
}

async fn read(caller: &Caller, size: u64, curves: &mut Curves) -> Result<()> {
    let chunk_at = |turn: u64| {
        let number = turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) % size;
        ChunkId::of(&bytes_of(number))
    };
    let has = rate(AT_ONCE, SPAN, async |turn| {
        let chunks = vec![chunk_at(turn)];
        let described = caller.call(DescribeChunks { chunks }).await?;
        ensure!(described.chunks.len() == 1);
        Ok(())
    });
    curves.add(HAS, size, has.await?);
    let gets = rate(AT_ONCE, SPAN, async |turn| {
        let chunk = chunk_at(turn);
        let read = caller.call(GetChunk { chunk }).await?;
        ensure!(read.body.len() == LEN);
        Ok(())
    });
    curves.add(GETS, size, gets.await?);
    Ok(())
}

fn bytes_of(number: u64) -> Bytes {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(LEN, 7);
    bytes.into()
}
