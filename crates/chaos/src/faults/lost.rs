//! All copies of a chunk rot. Nobody can survive that: it must be said honestly, and nothing else may suffer.
//!
//! It befalls a file that no history has, since it is a loss by design: when it was seen how that is told, the file is given up
//! and deleted, and then the cluster must be whole.

use std::fmt::Display;
use std::iter::once;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure};
use client::{Cluster, Error};
use futures::StreamExt;
use history::CHUNK_LEN;
use proto::id::ChunkId;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};

use super::copies::{self, Leave};
use super::own_files::{OwnFile, Patience};
use super::{Harm, Verb, records};
use crate::oracle;
use crate::world::{COPIES, NODES, World};

pub(super) const VERBS: &[Verb] = &[Verb {
    weight: 3,
    begin: |world, harm| Box::pin(lose(world, harm)),
}];
pub(super) const MINIMA: &[(&str, f64)] = &[("chunks rotten on all nodes that had them", 0.3)];

const CHUNKS_MAX: usize = 6;
/// Others that destroy copies have mended what they did within this.
const LEAVE_WITHIN: Duration = Duration::from_secs(30);
/// Files that are tried, until one has all its copies where they can be told.
const TRIES_MAX: usize = 3;
/// A file that has not got all its copies by then is none for this.
const WHOLE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

async fn lose(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Ok(_turn) = world.losses.try_acquire() else {
        return Ok(());
    };
    let Some(leave) = Leave::wait(&world, LEAVE_WITHIN).await else {
        return Ok(());
    };
    for _ in 0..TRIES_MAX {
        if lose_a_chunk(&world, &mut harm.chance).await? {
            break;
        }
    }
    // When a node comes back, the master counts anew what can be read, and not only within its next minute.
    if let Some(mut node) = world.any_node(&mut harm.chance) {
        node.kill().await?;
        node.start().await?;
    }
    drop(leave);
    Ok(())
}

/// Has a chunk of a new file rot on all nodes, and looks what is said of it and of all else; whether it could be done.
async fn lose_a_chunk(world: &World, chance: &mut StdRng) -> anyhow::Result<bool> {
    let chunks = chance.random_range(1..=CHUNKS_MAX);
    let mut file = OwnFile::new("lost", chunks * CHUNK_LEN, chance)?;
    let mut other = OwnFile::new("kept", chunks * CHUNK_LEN, chance)?;
    file.store(world).await?;
    other.store(world).await?;
    let which = chance.random_range(0..chunks);
    let at = which * CHUNK_LEN..(which + 1) * CHUNK_LEN;
    let chunk = ChunkId::of(&file.bytes[at.clone()]);
    let is_lost = rot_all(world, chunk, chance).await?;
    if is_lost {
        let (cluster, patience) = (world.connect(), Patience::new(world));
        while let Err(error) = is_honest(world, &cluster, &file, &at).await {
            patience.after(error).await?;
        }
        for part in [0..at.start, at.end..file.bytes.len()] {
            while let Err(error) = is_good(world, &cluster, &file, part.clone()).await {
                patience.after(error).await?;
            }
        }
        other.expect_whole(world).await?;
        world
            .journal
            .count("chunks rotten on all nodes that had them");
    }
    file.delete(world).await?;
    other.delete(world).await?;
    Ok(is_lost)
}

/// Has a chunk rot wherever it is; whether it has. Nobody else harms a node meanwhile.
async fn rot_all(world: &World, chunk: ChunkId, chance: &mut StdRng) -> anyhow::Result<bool> {
    let began = Instant::now();
    let (mut nodes, holders) = loop {
        let nodes = world.all_nodes().await;
        match copies::holders(world, chunk).await {
            Ok(holders) if holders.len() == COPIES => break (nodes, holders),
            other => world
                .journal
                .note(format_args!("not to rot yet: {other:?}")),
        }
        drop(nodes);
        if began.elapsed() > WHOLE_WITHIN {
            return Ok(false);
        }
        sleep(LOOK_INTERVAL).await;
    };
    // A node that runs might copy it in this moment.
    for number in &holders {
        nodes[number - 1].kill().await?;
    }
    // Or has done so in the moment before.
    let mut is_elsewhere = false;
    for number in (1..=NODES).filter(|number| !holders.contains(number)) {
        let verified = oracle::verify(world, number, once(chunk)).await;
        is_elsewhere |= verified.map_or(true, |good| !good.is_empty());
    }
    if is_elsewhere {
        for number in &holders {
            nodes[number - 1].start().await?;
        }
        return Ok(false);
    }
    for number in &holders {
        let node = &mut nodes[number - 1];
        let rotten = records::rot(&node.data().join("extents"), chunk, chance)?;
        ensure!(rotten > 0, "{} had {chunk}, and it is nowhere", node.name);
        world.journal.count("corruptions");
        node.start().await?;
    }
    world
        .journal
        .note(format_args!("{chunk} has rotten on {holders:?}"));
    Ok(true)
}

/// The whole file cannot be read: the error says so, which file and which chunk it is, and what came before is right.
async fn is_honest(
    world: &World,
    cluster: &Cluster,
    file: &OwnFile,
    rotten: &Range<usize>,
) -> anyhow::Result<()> {
    let (came, error) = read(file, cluster, 0..file.bytes.len()).await;
    let is_right = came.len() <= rotten.start && file.bytes.starts_with(&came);
    must(
        world,
        is_right,
        format_args!("{} was read where it has rotten", file.path),
    )?;
    match error {
        Some(Error::Corrupt { what, chunk }) => {
            let index = rotten.start / CHUNK_LEN;
            let says = what == format!("read {}: chunk {index}", file.path)
                && chunk == ChunkId::of(&file.bytes[rotten.clone()]);
            must(
                world,
                says,
                format_args!("it is not said what has rotten: {what}: {chunk}"),
            )
        }
        Some(error) => Err(error.into()),
        None => bail!("nothing more came, and no error"),
    }
}

/// A part that has not rotted.
async fn is_good(
    world: &World,
    cluster: &Cluster,
    file: &OwnFile,
    part: Range<usize>,
) -> anyhow::Result<()> {
    let (came, error) = read(file, cluster, part.clone()).await;
    let is_right = file.bytes[part].starts_with(&came);
    must(
        world,
        is_right,
        format_args!("wrong bytes of {}", file.path),
    )?;
    error.map_or(Ok(()), |error| Err(error.into()))
}

/// What is wrong is wrong, though it be right when it is tried again.
fn must(world: &World, is_right: bool, else_say: impl Display) -> anyhow::Result<()> {
    if !is_right {
        world.journal.count("wrong answers");
        world.journal.fail(&else_say);
        bail!("{else_say}");
    }
    Ok(())
}

/// What came of a part of a file, and what it ended with.
async fn read(file: &OwnFile, cluster: &Cluster, part: Range<usize>) -> (Vec<u8>, Option<Error>) {
    let mut came = Vec::new();
    let opened = match cluster.open(&file.path, None).await {
        Ok(opened) => opened,
        Err(error) => return (came, Some(error)),
    };
    let mut pieces = opened.read(part.start as u64..part.end as u64);
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => came.extend(piece),
            Err(error) => return (came, Some(error)),
        }
    }
    (came, None)
}
