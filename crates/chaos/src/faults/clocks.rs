//! Clocks of single machines that jump, forwards and back; none is ever right again.

use std::future::ready;

use anyhow::Context;
use rand::seq::IndexedRandom;

use super::{Harm, Verb};
use crate::world::World;

pub(super) const VERBS: &[Verb] = &[Verb {
    weight: 4,
    begin: |world, harm| Box::pin(ready(jump(&world, harm))),
}];
pub(super) const MINIMA: &[(&str, f64)] = &[("clock jumps", 0.7)];

/// How far off a clock is, in libfaketime's words.
const OFF_BY: [&str; 8] = ["+0", "+1h", "-1h", "+30d", "-30d", "+61", "-61", "+3y"];

fn jump(world: &World, mut harm: Harm) -> anyhow::Result<()> {
    let Some(server) = world.any(&mut harm.chance) else {
        return Ok(());
    };
    let off_by = OFF_BY.choose(&mut harm.chance).expect("there are some");
    let clock = server.clock.as_ref().context("it has a clock")?;
    // A half written one would be no time at all.
    let new = clock.with_extension("new");
    std::fs::write(&new, off_by)?;
    std::fs::rename(&new, clock)?;
    world.journal.note(format_args!(
        "the clock of {} is off by {off_by}",
        server.name
    ));
    world.journal.count("clock jumps");
    Ok(())
}
