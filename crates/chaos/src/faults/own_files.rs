//! Files beside those of the load, of which a fault knows the bytes, and sees to the end.

use std::time::Duration;

use anyhow::ensure;
use client::{Cluster, DeleteOptions, Error, UploadOptions};
use futures::TryStreamExt;
use proto::name::EntryPath;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use tokio::time::{Instant, sleep, sleep_until};

use crate::world::{UPLOAD_LEASE, World};

/// What does not succeed while others harm the cluster must within this.
const PATIENCE: Duration = Duration::from_secs(90);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// One of them. Nobody else writes it.
#[derive(Debug)]
pub(super) struct OwnFile {
    pub(super) path: EntryPath,
    pub(super) bytes: Vec<u8>,
    /// An upload that was cut off may be carried out late, but not after this.
    settled_at: Instant,
}

impl OwnFile {
    /// One that is not there yet.
    pub(super) fn new(folder: &str, len: usize, chance: &mut StdRng) -> anyhow::Result<Self> {
        let mut bytes = vec![0; len];
        chance.fill_bytes(&mut bytes);
        Ok(Self {
            path: format!("/{folder}/{:016x}", chance.random::<u64>()).parse()?,
            bytes,
            settled_at: Instant::now(),
        })
    }

    /// An upload of it was cut off.
    pub(super) fn doubt(&mut self) {
        self.settled_at = Instant::now() + UPLOAD_LEASE;
    }

    /// Uploads it, as often as it takes.
    pub(super) async fn store(&mut self, world: &World) -> anyhow::Result<()> {
        let (cluster, patience) = (world.connect(), Patience::new(world));
        loop {
            let options = UploadOptions::default();
            let stored = cluster.upload(&self.path, &self.bytes[..], options).await;
            match stored {
                Ok(_) => return Ok(()),
                Err(error) => {
                    self.doubt();
                    patience.after(error).await?;
                }
            }
        }
    }

    /// Whether it is there, as a whole. What is there in part fails the round.
    pub(super) async fn is_there(&self, world: &World, cluster: &Cluster) -> Result<bool, Error> {
        let file = match cluster.open(&self.path, None).await {
            Err(Error::NotFound { .. }) => return Ok(false),
            file => file?,
        };
        let size = file.size;
        let pieces: Vec<_> = file.read(0..size).try_collect().await?;
        if pieces.concat() != self.bytes {
            world.journal.count("wrong answers");
            world.journal.fail(format_args!(
                "{} has other bytes than it was given",
                self.path
            ));
        }
        Ok(true)
    }

    /// It is there as a whole, as soon as it can be read.
    pub(super) async fn expect_whole(&self, world: &World) -> anyhow::Result<()> {
        let (cluster, patience) = (world.connect(), Patience::new(world));
        let is_there = loop {
            match self.is_there(world, &cluster).await {
                Ok(is_there) => break is_there,
                Err(error) => patience.after(error).await?,
            }
        };
        ensure!(is_there, "{} was stored, and is not there", self.path);
        Ok(())
    }

    /// Deletes it for good, when no upload of it can come late any more.
    pub(super) async fn delete(self, world: &World) -> anyhow::Result<()> {
        sleep_until(self.settled_at).await;
        let (cluster, patience) = (world.connect(), Patience::new(world));
        loop {
            let options = DeleteOptions {
                purge: true,
                ..DeleteOptions::default()
            };
            match cluster.delete(&self.path, options).await {
                Ok(_) | Err(Error::NotFound { .. }) => return Ok(()),
                Err(error) => patience.after(error).await?,
            }
        }
    }
}

/// With what is tried again and again, as long as others harm the cluster.
#[derive(Debug)]
pub(super) struct Patience<'w> {
    world: &'w World,
    ends_at: Instant,
}

impl<'w> Patience<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        Self {
            world,
            ends_at: Instant::now() + PATIENCE,
        }
    }

    /// It failed: waits until it may be tried again; the error, if that was often enough.
    pub(super) async fn after(&self, error: impl Into<anyhow::Error>) -> anyhow::Result<()> {
        let (error, journal) = (error.into(), &self.world.journal);
        journal.note(format_args!("again, since {error:#}"));
        ensure!(!journal.has_failed(), "the round has failed");
        if Instant::now() > self.ends_at {
            return Err(error.context(format!("not within {PATIENCE:?}")));
        }
        sleep(TRY_AGAIN_AFTER).await;
        Ok(())
    }
}
