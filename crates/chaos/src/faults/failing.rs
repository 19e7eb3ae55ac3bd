//! Disks below which there is no room any more, as below a thin volume: the system takes what a node writes, and fails to write
//! it back. The fsync says so once, and what it should have kept is gone, though it can still be read for a while.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use super::{Harm, Verb};
use crate::world::World;

pub(super) const VERBS: &[Verb] = &[Verb {
    weight: 4,
    begin: |world, harm| Box::pin(fail_writeback(world, harm)),
}];
pub(super) const MINIMA: &[(&str, f64)] = &[("disks that failed to write back", 0.5)];

const FAILS_MAX: Duration = Duration::from_secs(4);
/// What the system says of it.
const SAID: &str = "Input/output error";

async fn fail_writeback(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Some(mut node) = world.any_node(&mut harm.chance) else {
        return Ok(());
    };
    let number = world.number_of(&node.name);
    let before = node.log().matches(SAID).count();
    world
        .journal
        .note(format_args!("{} has a disk that fails", node.name));
    // An fsync that is under way when the file system gives up may end well, though nothing was kept.
    world.probes.doubt(number, true);
    world.probes.lies(number);
    node.index_may_be_damaged = true;
    let image = node.image.as_ref().context("it has a disk")?;
    image.starve()?;
    sleep(Duration::from_millis(500) + harm.up_to(FAILS_MAX)).await;
    if node.log().matches(SAID).count() > before {
        world.journal.count("disks that failed to write back");
    }
    node.kill().await?;
    let image = node.image.as_ref().context("it has a disk")?;
    image.feed()?;
    image.power_on().await?;
    node.start().await?;
    world.probes.doubt(number, false);
    world
        .journal
        .note(format_args!("the disk of {} is well again", node.name));
    Ok(())
}
