//! Servers that stand still and go on: nobody can tell them from dead ones, until they speak again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{Harm, Verb};
use crate::system::Signal;
use crate::world::World;

pub(super) const VERBS: &[Verb] = &[Verb {
    weight: 4,
    begin: |world, harm| Box::pin(pause(world, harm)),
}];
pub(super) const MINIMA: &[(&str, f64)] = &[("pauses", 0.7)];

/// Some are longer than the failure timeout.
const PAUSE_MAX: Duration = Duration::from_secs(8);

async fn pause(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Some(server) = world.any(&mut harm.chance) else {
        return Ok(());
    };
    let pause = harm.up_to(PAUSE_MAX);
    world
        .journal
        .note(format_args!("pause {} for {pause:?}", server.name));
    server.signal(Signal::Stop)?;
    world.journal.count("pauses");
    sleep(pause).await;
    server.signal(Signal::Continue)
}
