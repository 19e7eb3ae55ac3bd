//! A node comes back with an empty disk: it is a new one, and gets its share.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::copies::Leave;
use super::{Harm, Verb};
use crate::world::World;

pub(super) const VERBS: &[Verb] = &[Verb {
    weight: 3,
    begin: |world, harm| Box::pin(wipe(world, harm)),
}];
pub(super) const MINIMA: &[(&str, f64)] = &[("empty disks", 0.1)];

const DOWN_MAX: Duration = Duration::from_secs(3);

async fn wipe(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Some(mut node) = world.any_node(&mut harm.chance) else {
        return Ok(());
    };
    let Some(leave) = Leave::ask(&world).await else {
        return Ok(());
    };
    world
        .journal
        .note(format_args!("empty the disk of {}", node.name));
    let number = world.number_of(&node.name);
    world.probes.give_up(number);
    node.kill().await?;
    std::fs::remove_dir_all(node.data())?;
    world.journal.count("empty disks");
    sleep(harm.up_to(DOWN_MAX)).await;
    node.start().await?;
    leave.mend(&world, &[number]).await;
    Ok(())
}
