//! Machines lose power: what was not synced is gone, and the process with it.
//!
//! What must survive is what clients were told before, so a machine stands still first: as in life, its process and its disk
//! end in one moment. Some nodes' processes run on for a moment, on a disk that takes nothing any more; their answers of this
//! moment count for nothing, since an fsync that the system has begun may then end well though nothing was kept.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rand::RngExt;
use rand::seq::SliceRandom;
use tokio::time::sleep;

use super::{Harm, Verb};
use crate::server::Server;
use crate::system::Signal;
use crate::world::World;

pub(super) const VERBS: &[Verb] = &[
    Verb {
        weight: 8,
        begin: |world, harm| Box::pin(cut_power(world, harm)),
    },
    Verb {
        weight: 1,
        begin: |world, harm| {
            Box::pin(async move { cut_all(&world, harm, "power cuts of all at once").await })
        },
    },
];
pub(super) const MINIMA: &[(&str, f64)] =
    &[("power cuts", 3.0), ("power cuts of all at once", 0.1)];

const OFF_MAX: Duration = Duration::from_secs(3);
/// A disk without power is used for so long at most.
const RUNS_ON_MAX: Duration = Duration::from_millis(50);

async fn cut_power(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Some(mut server) = world.any(&mut harm.chance) else {
        return Ok(());
    };
    let number = world.number_of(&server.name);
    let runs_on = !server.is_master() && harm.chance.random_bool(0.3);
    let name = &server.name;
    world.journal.note(format_args!(
        "cut the power of {name}, which runs on: {runs_on}"
    ));
    world.probes.doubt(number, true);
    if runs_on {
        world.probes.lies(number);
    } else {
        server.signal(Signal::Stop)?;
        server.until_still().await?;
    }
    cut(&server)?;
    if runs_on {
        sleep(RUNS_ON_MAX.mul_f64(harm.chance.random())).await;
    }
    server.kill().await?;
    world.journal.count("power cuts");
    sleep(harm.up_to(OFF_MAX)).await;
    switch_on(&mut server).await?;
    world.probes.doubt(number, false);
    world
        .journal
        .note(format_args!("{} has power again", server.name));
    Ok(())
}

/// All servers lose power at once, and come back in any order. It is counted as this.
pub(super) async fn cut_all(world: &World, mut harm: Harm, counted: &str) -> anyhow::Result<()> {
    let mut servers = world.all().await;
    world.journal.note("cut the power of all");
    for server in &servers {
        server.signal(Signal::Stop)?;
    }
    for server in &servers {
        server.until_still().await?;
    }
    for server in &servers {
        cut(server)?;
    }
    for server in &mut servers {
        server.kill().await?;
    }
    world.journal.count(counted);
    sleep(harm.up_to(OFF_MAX)).await;
    servers.shuffle(&mut harm.chance);
    for server in &mut servers {
        switch_on(server).await?;
    }
    world.journal.note("all have power again");
    Ok(())
}

fn cut(server: &Server) -> anyhow::Result<()> {
    let image = server.image.as_ref().context("it has a disk")?;
    image.cut_power().context("shut the file system down")
}

async fn switch_on(server: &mut Server) -> anyhow::Result<()> {
    let image = server.image.as_ref().context("it has a disk")?;
    image
        .power_on()
        .await
        .with_context(|| format!("mount the disk of {}", server.name))?;
    server.start().await
}
