//! How many small chunks a node reads a second, on a real disk and over TCP: `cargo run --release -p storage-node
//! --example read_rate [threads|inline]`. With `inline`, reads block the asynchronous threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use disk::{Blocking, RealDisk};
use proto::connection::{CallerIdentity, Channel};
use proto::hello::Role;
use proto::id::ChunkId;
use proto::net::{Address, Tcp};
use proto::node::{GetChunk, PutChunk};
use storage_node::{Acceptance, Config, Environment, run};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

const CHUNK_LEN: usize = 4 << 10;
const CHUNKS: u64 = 2000;
const READERS: u64 = 16;
const READS: u64 = 5000;

fn bytes_of(number: u64) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(CHUNK_LEN, 7);
    bytes
}

async fn connect(address: &Address) -> anyhow::Result<Channel> {
    let identity = CallerIdentity {
        role: Role::Client,
        cluster: None,
        secret: None,
    };
    Ok(Channel::open(&Tcp, address, &identity, Duration::from_secs(5)).await?)
}

async fn store(address: Address) -> anyhow::Result<()> {
    let mut channel = connect(&address).await?;
    for number in 0..CHUNKS {
        let bytes = bytes_of(number);
        let put = PutChunk {
            chunk: ChunkId::of(&bytes),
            promise: None,
            body: bytes.into(),
        };
        channel.exchange(put).await?;
    }
    Ok(())
}

async fn read(address: Address, reader: u64) -> anyhow::Result<()> {
    let mut channel = connect(&address).await?;
    for turn in 0..READS {
        let chunk = ChunkId::of(&bytes_of((reader * 7919 + turn) % CHUNKS));
        channel.exchange(GetChunk { chunk }).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let is_inline = std::env::args()
        .nth(1)
        .is_some_and(|place| place == "inline");
    let folder = tempfile::tempdir()?;
    let disks = vec![RealDisk::open(folder.path().join("node"))?];
    let settings = settings::Settings::default();
    let config = Config {
        listen: "127.0.0.1:0".parse()?,
        masters: Vec::new(),
        ..Config::from_settings(&settings, Acceptance::default())
    };
    let mut environment = Environment::real();
    if is_inline {
        environment.blocking = Blocking::inline();
    }
    let (tell, told) = oneshot::channel();
    let shutdown = CancellationToken::new();
    let listening = move |address: &Address| drop(tell.send(address.clone()));
    let network = Arc::new(Tcp);
    let node = tokio::spawn(run(
        config,
        environment,
        network,
        disks,
        shutdown.clone(),
        listening,
    ));
    let address = told.await?;
    store(address.clone()).await?;
    for _ in 0..3 {
        let begun = Instant::now();
        let readers = (0..READERS).map(|reader| tokio::spawn(read(address.clone(), reader)));
        for reader in futures::future::join_all(readers).await {
            reader??;
        }
        let reads = u32::try_from(READERS * READS)?;
        println!(
            "{:.0} reads/s",
            f64::from(reads) / begun.elapsed().as_secs_f64()
        );
    }
    shutdown.cancel();
    node.await??;
    Ok(())
}
