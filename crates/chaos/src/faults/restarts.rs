//! Servers that are restarted: one after another as for an upgrade, and again and again.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::time::sleep;

use super::{Harm, Verb};
use crate::server::Server;
use crate::world::World;

pub(super) const VERBS: &[Verb] = &[
    Verb {
        weight: 3,
        begin: |world, harm| Box::pin(restart(world, harm)),
    },
    Verb {
        weight: 2,
        begin: |world, harm| Box::pin(restart_all_in_turn(world, harm)),
    },
    Verb {
        weight: 2,
        begin: |world, harm| Box::pin(storm(world, harm)),
    },
];
pub(super) const MINIMA: &[(&str, f64)] = &[("restarts", 2.0)];

const BETWEEN_MAX: Duration = Duration::from_secs(1);

async fn restart(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Some(mut server) = world.any(&mut harm.chance) else {
        return Ok(());
    };
    stop_and_start(&world, &mut server).await
}

/// As for an upgrade: the next one when the one before runs.
async fn restart_all_in_turn(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    world.journal.note("restart all in turn");
    for mut server in world.all().await {
        stop_and_start(&world, &mut server).await?;
        sleep(harm.up_to(BETWEEN_MAX)).await;
    }
    Ok(())
}

/// Again and again, hardly that it listens; by kill -9 or as a person would.
async fn storm(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Some(mut server) = world.any(&mut harm.chance) else {
        return Ok(());
    };
    world
        .journal
        .note(format_args!("a storm on {}", server.name));
    for _ in 0..10 {
        if harm.chance.random_bool(0.5) {
            stop_and_start(&world, &mut server).await?;
        } else {
            server.kill().await?;
            server.start().await?;
            world.journal.count("restarts");
        }
    }
    world.journal.count("restart storms");
    Ok(())
}

async fn stop_and_start(world: &World, server: &mut Server) -> anyhow::Result<()> {
    world.journal.note(format_args!("restart {}", server.name));
    if let Some(status) = server.stop().await? {
        let name = &server.name;
        world.journal.fail(format_args!(
            "{name} was asked to stop, and ended with {status}"
        ));
    }
    server.start().await?;
    world.journal.count("restarts");
    Ok(())
}
