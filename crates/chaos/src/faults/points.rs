//! Servers that are killed at named points: between two steps whose order keeps a promise. They take programs that are built
//! with `--features planted/armed`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use planted::{Point, PointOf};
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::{Harm, Verb};
use crate::system;
use crate::world::World;

pub(super) const VERBS: &[Verb] = &[Verb {
    weight: 6,
    begin: |world, harm| Box::pin(kill_at_point(world, harm)),
}];
pub(super) const MINIMA: &[(&str, f64)] = &[("kills at named points", 4.0)];

/// A point that is not reached is not waited for longer.
const POINT_WITHIN: Duration = Duration::from_secs(5);
/// How often a server gets to a point before it dies there: one that each request passes, and any other.
const TIMES_MAX: [u64; 2] = [8, 1];

/// Whether each request passes it that changes something.
fn is_passed_often(point: Point) -> bool {
    let name = point.name();
    name.starts_with("records-") || name.starts_with("commands-")
}

/// A server is started anew, and dies when it gets to a point for the n-th time, perhaps before it listens.
async fn kill_at_point(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Some(mut server) = world.any(&mut harm.chance) else {
        return Ok(());
    };
    let is_there = |point: &&Point| (point.server() == PointOf::Master) == server.is_master();
    let points: Vec<_> = Point::ALL.iter().filter(is_there).collect();
    let point = points.choose(&mut harm.chance).expect("there are points");
    let [often, seldom] = TIMES_MAX;
    let times = if is_passed_often(**point) {
        often
    } else {
        seldom
    };
    let (point, nth) = (point.name(), harm.chance.random_range(1..=times));
    server.kill().await?;
    world.journal.count("kills");
    let variable = format!("DFS_KILL_AT={point}:{nth}");
    let mut ended = server.start_or_end(&["env", &variable]).await?;
    if ended.is_none() {
        ended = server.has_ended_within(POINT_WITHIN).await;
    }
    let name = &server.name;
    world
        .journal
        .note(format_args!("{name} is killed at {point}:{nth}: {ended:?}"));
    if let Some(status) = ended {
        ensure!(
            system::was_killed(status),
            "{name} was to be killed at {point}, and ended by itself: {status}"
        );
        world.journal.count("kills at named points");
        world.journal.count(&format!("kills at {point}"));
    } else {
        server.kill().await?;
    }
    world.journal.count("kills");
    server.start().await
}
