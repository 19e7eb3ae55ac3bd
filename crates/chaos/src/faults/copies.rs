//! Leave to destroy the copies of one node, and the way back.
//!
//! **Invariant:** it is given only while every chunk has two copies that count, on nodes of which none was harmed since it
//! was last read and mended: so a good one is left.

use std::iter::once;
use std::time::Duration;

use client::Cluster;
use proto::id::ChunkId;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep, timeout};

use crate::oracle;
use crate::world::{NODES, World};

/// What was destroyed is there again within this, or no more is destroyed in this round.
const MEND_WITHIN: Duration = Duration::from_secs(20);
/// A node that was read has told its master of what it found within this.
const TELL_WITHIN: Duration = Duration::from_secs(1);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Leave, for as long as it is held.
#[derive(Debug)]
pub(super) struct Leave {
    /// Whether more may be given after it.
    may_be_given: OwnedMutexGuard<bool>,
}

impl Leave {
    /// Leave to destroy, if it can be given now.
    pub(super) async fn ask(world: &World) -> Option<Self> {
        let may_be_given = world.copies.clone().try_lock_owned().ok()?;
        let may_harm = *may_be_given && has_two_copies_of_all(&world.connect()).await;
        if !may_harm {
            world.journal.count("harm spared: too few copies");
        }
        may_harm.then_some(Self { may_be_given })
    }

    /// The same, as soon as it can be given, within this.
    pub(super) async fn wait(world: &World, within: Duration) -> Option<Self> {
        let asked = world.copies.clone().lock_owned();
        let given = timeout(within, async {
            let (may_be_given, cluster) = (asked.await, world.connect());
            while *may_be_given && !has_two_copies_of_all(&cluster).await {
                sleep(LOOK_INTERVAL).await;
            }
            may_be_given
        });
        let may_be_given = given.await.ok().filter(|may_be_given| **may_be_given);
        if may_be_given.is_none() {
            world.journal.count("harm spared: too few copies");
        }
        may_be_given.map(|may_be_given| Self { may_be_given })
    }

    /// Has nodes read all that they hold, as their scrubbers would within a month, and waits until what they lost is there again.
    pub(super) async fn mend(mut self, world: &World, nodes: &[usize]) {
        let (began, cluster) = (Instant::now(), world.connect());
        let mut read_at = None;
        while began.elapsed() < MEND_WITHIN {
            oracle::forget_dead_nodes(world, &cluster).await;
            if read_at.is_none() && read_all(world, nodes).await.is_ok() {
                read_at = Some(Instant::now());
            }
            let has_told = read_at.is_some_and(|at| at.elapsed() > TELL_WITHIN);
            if has_told && has_two_copies_of_all(&cluster).await {
                world
                    .journal
                    .note(format_args!("mended after {:?}", began.elapsed()));
                return;
            }
            sleep(LOOK_INTERVAL).await;
        }
        world
            .journal
            .note("not mended for now: nothing more is destroyed");
        *self.may_be_given = false;
    }
}

async fn read_all(world: &World, nodes: &[usize]) -> Result<(), String> {
    for node in nodes {
        oracle::read_all(world, *node).await?;
    }
    Ok(())
}

/// Which nodes have a good copy of a chunk, by reading it; an error if not all can be asked.
pub(super) async fn holders(world: &World, chunk: ChunkId) -> Result<Vec<usize>, String> {
    let mut holders = Vec::new();
    for node in 1..=NODES {
        if !oracle::verify(world, node, once(chunk)).await?.is_empty() {
            holders.push(node);
        }
    }
    Ok(holders)
}

async fn has_two_copies_of_all(cluster: &Cluster) -> bool {
    let Ok(status) = cluster.status().await else {
        return false;
    };
    let live = usize::try_from(status.nodes.live).unwrap_or(0);
    let chunks = &status.chunks;
    live >= NODES - 1
        && status.safe_mode.is_none()
        && chunks.one_copy == 0
        && chunks.unavailable == 0
}
