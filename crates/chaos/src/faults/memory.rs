//! Servers that may have less memory than they need, for a moment or from their start on: the system kills them, like kill -9.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::RngExt;
use tokio::time::{sleep, timeout};

use super::{Harm, Verb};
use crate::memory_group::MemoryGroup;
use crate::system;
use crate::world::World;

pub(super) const VERBS: &[Verb] = &[
    Verb {
        weight: 3,
        begin: |world, harm| Box::pin(squeeze(world, harm)),
    },
    Verb {
        weight: 2,
        begin: |world, harm| Box::pin(start_squeezed(world, harm)),
    },
];
pub(super) const MINIMA: &[(&str, f64)] = &[
    ("servers short of memory", 1.0),
    ("kills for want of memory", 0.3),
];

/// Of what a server takes in addition; what it has stays its own.
const MORE_MAX: u64 = 1 << 20;
/// Of all that a server takes.
const ALL_MAX: u64 = 16 << 20;
/// So long, unless it is killed before.
const SHORT_MAX: Duration = Duration::from_secs(4);
/// Whom the system has chosen dies within this.
const DIES_WITHIN: Duration = Duration::from_secs(10);
const DOWN_MAX: Duration = Duration::from_secs(2);
/// What takes longer is ended.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// From now on, and for a while, a server gets hardly any more memory.
async fn squeeze(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Some(mut server) = world.any(&mut harm.chance) else {
        return Ok(());
    };
    let name = server.name.clone();
    let bytes = harm.chance.random_range(0..MORE_MAX);
    let group = MemoryGroup::new(&name, bytes).context("make a group of processes")?;
    let id = server
        .id()
        .with_context(|| format!("{name} does not run"))?;
    world
        .journal
        .note(format_args!("{name} gets {bytes} bytes more at most"));
    std::fs::write(group.entry(), id.to_string())?;
    world.journal.count("servers short of memory");
    let short_for = Duration::from_millis(300) + harm.up_to(SHORT_MAX);
    let mut ended = server.has_ended_within(short_for).await;
    group.lift()?;
    let kills = group.kills()?;
    if kills > 0 && ended.is_none() {
        ended = server.has_ended_within(DIES_WITHIN).await;
    }
    drop(group);
    world
        .journal
        .note(format_args!("{name} may have what it needs: {ended:?}"));
    if let Some(status) = ended {
        ensure!(
            system::was_killed(status) && kills > 0,
            "{name} ended by itself when it was short of memory: {status}; it said: {}",
            server.last_words()
        );
        world.journal.count("kills for want of memory");
        sleep(harm.up_to(DOWN_MAX)).await;
        server.start().await?;
    }
    Ok(())
}

/// A server is killed, and gets little memory at its next start.
async fn start_squeezed(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Some(mut server) = world.any(&mut harm.chance) else {
        return Ok(());
    };
    let name = server.name.clone();
    let bytes = harm.chance.random_range(MORE_MAX..ALL_MAX);
    let group = MemoryGroup::new(&name, bytes).context("make a group of processes")?;
    server.kill().await?;
    world.journal.count("kills");
    world
        .journal
        .note(format_args!("{name} starts with {bytes} bytes at most"));
    server.group = Some(group.entry());
    let started = timeout(STARTS_WITHIN, server.start_or_end(&[])).await;
    server.group = None;
    world.journal.count("servers short of memory");
    let ended = match started {
        Ok(Ok(Some(status))) => Some(status),
        Ok(Ok(None)) => server.has_ended_within(harm.up_to(SHORT_MAX)).await,
        // Without swap it gives up what it can read again, again and again: it may crawl.
        slow => {
            world
                .journal
                .note(format_args!("{name} does not start: {slow:?}"));
            server.end().await?
        }
    };
    world.journal.note(format_args!("{name}: {ended:?}"));
    match ended {
        Some(status) => {
            ensure!(
                system::was_killed(status) && group.kills()? > 0,
                "{name} ended by itself when it was short of memory: {status}; it said: {}",
                server.last_words()
            );
            world.journal.count("kills for want of memory");
        }
        None => server.kill().await?,
    }
    drop(group);
    server.start().await
}
