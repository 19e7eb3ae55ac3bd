//! Clocks of single machines that jump, forwards and back; none is ever right again.

use std::future::ready;
use std::time::SystemTime;

use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use rand::seq::IndexedRandom;

use super::{Harm, Verb};
use crate::world::World;

pub(super) const VERBS: &[Verb] = &[Verb {
    weight: 4,
    begin: |world, harm| Box::pin(ready(jump(&world, harm))),
}];
pub(super) const MINIMA: &[(&str, f64)] = &[("clock jumps", 0.7)];

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;
/// How far off a clock is, in seconds.
const OFF_BY: [i64; 8] = [0, HOUR, -HOUR, 30 * DAY, -30 * DAY, 61, -61, 3 * 365 * DAY];
/// What is between reading a clock and comparing it.
const LEEWAY: SignedDuration = SignedDuration::from_secs(2);

fn jump(world: &World, mut harm: Harm) -> anyhow::Result<()> {
    let Some(server) = world.any(&mut harm.chance) else {
        return Ok(());
    };
    let off_by = OFF_BY.choose(&mut harm.chance).expect("there are some");
    let off_by = format!("{off_by:+}");
    let clock = server.clock.as_ref().context("it has a clock")?;
    // A half written one would be no time at all.
    let new = clock.with_extension("new");
    std::fs::write(&new, &off_by)?;
    std::fs::rename(&new, clock)?;
    world.journal.note(format_args!(
        "the clock of {} is off by {off_by} s",
        server.name
    ));
    world.journal.count("clock jumps");
    Ok(())
}

/// Each server has been started since its clock was set, and logged that: whether it took the time from there.
pub(super) async fn check(world: &World) -> anyhow::Result<()> {
    let now = Timestamp::try_from(SystemTime::now())?;
    let began = now.checked_sub(SignedDuration::try_from(world.began.elapsed())?)?;
    for server in world.all().await {
        let Some(clock) = &server.clock else {
            continue;
        };
        let off_by: i64 = std::fs::read_to_string(clock)?.trim().parse()?;
        let logged = last_time(&server.log()).context("its log has times")?;
        let real = logged.checked_sub(SignedDuration::from_secs(off_by))?;
        ensure!(
            began - LEEWAY <= real && real <= now + LEEWAY,
            "the clock of {} should be off by {off_by} s, and it logged {logged}",
            server.name
        );
        world
            .journal
            .count("clocks seen to be off as they were set");
    }
    Ok(())
}

/// When the last line was logged that says so.
fn last_time(log: &str) -> Option<Timestamp> {
    let mut lines = log.lines().rev();
    lines.find_map(|line| line.split(' ').next()?.parse().ok())
}
