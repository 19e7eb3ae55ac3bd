//! Disks that somebody else fills to the last byte, and later gives back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::RngExt;
use tokio::time::sleep;

use super::{Harm, Verb};
use crate::world::World;

pub(super) const VERBS: &[Verb] = &[Verb {
    weight: 4,
    begin: |world, harm| Box::pin(fill(world, harm)),
}];
pub(super) const MINIMA: &[(&str, f64)] = &[("full disks", 0.5)];

const FULL_MAX: Duration = Duration::from_secs(6);

async fn fill(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Some(mut server) = world.any(&mut harm.chance) else {
        return Ok(());
    };
    let image = server.image.as_ref().context("it has a disk")?;
    world
        .journal
        .note(format_args!("fill the disk of {}", server.name));
    image.fill()?;
    world.journal.count("full disks");
    sleep(harm.up_to(FULL_MAX)).await;
    // What was freed meanwhile is taken too.
    image.fill()?;
    let restarts = harm.chance.random_bool(0.3);
    let mut refused = None;
    if restarts {
        world
            .journal
            .note(format_args!("restart {} on its full disk", server.name));
        server.kill().await?;
        refused = server.start_or_end(&[]).await?;
        sleep(harm.up_to(FULL_MAX)).await;
    }
    let image = server.image.as_ref().context("it has a disk")?;
    image.make_room()?;
    world
        .journal
        .note(format_args!("{} has room again", server.name));
    if let Some(refused) = refused {
        // Where nothing at all is free, not even what a server had set aside, it says so.
        ensure!(
            refused.code().is_some(),
            "{} did not refuse to start, it was ended: {refused}",
            server.name
        );
        world
            .journal
            .note(format_args!("it had not started: {refused}"));
        world.journal.count("starts refused on full disks");
        server.start().await?;
    }
    Ok(())
}
