//! What all parts together do for a small file: a client, a master and three nodes, in one thread, over a network in memory.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use client::{ClientOptions, Cluster, Hashing, UploadOptions};
use disk::{Blocking, MemoryDisk};
use futures::TryStreamExt;
use proto::memory::MemoryNetwork;
use proto::name::EntryPath;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::node;

const FILE_LEN: u64 = 4 << 10;

pub(crate) fn upload(turns: u64) -> Result<()> {
    node::still(async {
        let cluster = start().await?;
        for file in 0..turns {
            store(&cluster, file).await?;
        }
        Ok(())
    })
}

pub(crate) fn download(turns: u64) -> Result<()> {
    node::still(async {
        let cluster = start().await?;
        store(&cluster, 0).await?;
        for _ in 0..turns {
            let file = cluster.open(&path(0)?, None).await?;
            let parts: Vec<_> = file.read(0..FILE_LEN).try_collect().await?;
            let len: usize = parts.iter().map(bytes::Bytes::len).sum();
            ensure!(len as u64 == FILE_LEN);
        }
        Ok(())
    })
}

pub(crate) fn heartbeats(turns: u64) -> Result<()> {
    node::still(async {
        let cluster = start().await?;
        sleep(Duration::from_secs(turns * 20)).await;
        ensure!(cluster.status().await?.nodes.live == 3);
        Ok(())
    })
}

async fn store(cluster: &Cluster, file: u64) -> Result<()> {
    let mut bytes = file.to_be_bytes().to_vec();
    bytes.resize(usize::try_from(FILE_LEN)?, 7);
    let (path, options) = (path(file)?, UploadOptions::default());
    cluster.upload(&path, bytes.as_slice(), options).await?;
    Ok(())
}

fn path(file: u64) -> Result<EntryPath> {
    Ok(format!("/folder/file {file}.txt").parse()?)
}

async fn start() -> Result<Cluster> {
    let network = Arc::new(MemoryNetwork::new());
    let config = master::Config {
        blocking: Blocking::inline(),
        ..master::Config::default()
    };
    let disk = MemoryDisk::new().shared();
    let master = master::start(config, network.clone(), disk, CancellationToken::new()).await?;
    let address = master.address().clone();
    tokio::spawn(master.ended());
    for _ in 0..3 {
        node::start(network.clone(), vec![address.clone()]).await?;
    }
    let options = ClientOptions {
        hashing: Hashing::Inline,
        seed: Some(7),
        ..ClientOptions::default()
    };
    let cluster = Cluster::new(network, vec![address], None, options);
    for _ in 0..1000 {
        if cluster.status().await?.nodes.writable == 3 {
            return Ok(cluster);
        }
        sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the nodes did not join the master")
}
