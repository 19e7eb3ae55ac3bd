//! Lines between machines that carry nothing, in one direction or both, or lose a share.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::{Harm, Verb};
use crate::lines::Loss;
use crate::world::World;

pub(super) const VERBS: &[Verb] = &[
    Verb {
        weight: 3,
        begin: |world, harm| Box::pin(part(world, harm)),
    },
    Verb {
        weight: 3,
        begin: |world, harm| Box::pin(part_one_way(world, harm)),
    },
    Verb {
        weight: 2,
        begin: |world, harm| Box::pin(cut_off(world, harm)),
    },
    Verb {
        weight: 2,
        begin: |world, harm| Box::pin(part_from_clients(world, harm)),
    },
    Verb {
        weight: 2,
        begin: |world, harm| Box::pin(lose_packets(world, harm)),
    },
    Verb {
        weight: 1,
        begin: |world, harm| Box::pin(flap(world, harm)),
    },
];
pub(super) const MINIMA: &[(&str, f64)] = &[("partitions", 2.0), ("lines that lost packets", 0.2)];

/// Some are longer than the failure timeout.
const PART_MAX: Duration = Duration::from_secs(7);

/// Neither of two hears the other.
async fn part(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let (one, other) = two(&world, &mut harm.chance);
    lose(
        &world,
        &[(one, Loss::From(other)), (other, Loss::From(one))],
        &mut harm,
    )
    .await
}

/// One does not hear the other, which hears it.
async fn part_one_way(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let (one, other) = two(&world, &mut harm.chance);
    lose(&world, &[(one, Loss::From(other))], &mut harm).await
}

async fn cut_off(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let (one, _) = two(&world, &mut harm.chance);
    lose(&world, &[(one, Loss::All)], &mut harm).await
}

async fn part_from_clients(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let (one, _) = two(&world, &mut harm.chance);
    lose(&world, &[(one, Loss::FromClients)], &mut harm).await
}

/// A line that is there, and not, and there.
async fn flap(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let (one, other) = two(&world, &mut harm.chance);
    for _ in 0..6 {
        lose(&world, &[(one, Loss::From(other))], &mut harm).await?;
        sleep(harm.up_to(PART_MAX) / 8).await;
    }
    Ok(())
}

async fn lose_packets(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let (one, _) = two(&world, &mut harm.chance);
    let percent = harm.chance.random_range(5..50);
    world.journal.count("lines that lost packets");
    lose(&world, &[(one, Loss::Share(percent))], &mut harm).await
}

/// The network needs nobody's leave: servers are harmed in other ways at the same time.
fn two(world: &World, chance: &mut StdRng) -> (usize, usize) {
    let many = world.addresses.len();
    let one = chance.random_range(0..many);
    (one, (one + chance.random_range(1..many)) % many)
}

async fn lose(world: &World, what: &[(usize, Loss)], harm: &mut Harm) -> anyhow::Result<()> {
    let lines = world
        .lines
        .as_ref()
        .context("servers have networks of their own")?;
    for (server, loss) in what {
        let name = &world.names[*server];
        world.journal.note(format_args!("{name} loses {loss:?}"));
        lines.lose(*server, *loss)?;
    }
    if !matches!(what, [(_, Loss::Share(_))]) {
        world.journal.count("partitions");
    }
    sleep(harm.up_to(PART_MAX)).await;
    for (server, loss) in what {
        lines.mend(*server, *loss)?;
        let name = &world.names[*server];
        world
            .journal
            .note(format_args!("{name} has got over {loss:?}"));
    }
    Ok(())
}
