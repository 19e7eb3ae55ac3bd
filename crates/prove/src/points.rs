//! Real processes that are killed at named points, until they were at each.

use std::collections::BTreeSet;

use planted::Point;

use crate::command::{self, line_of};
use crate::counts::{Counts, counts_in};
use crate::programs::{Checkout, Programs};
use crate::table::Row;

/// Rounds that are played at most until all points were reached.
const ROUNDS: u64 = 12;
/// How long servers are harmed in one.
const SECONDS: &str = "20";

/// Plays rounds from this seed on.
pub(crate) fn kill_at_all(checkout: &Checkout, from: u64) -> anyhow::Result<Row> {
    let programs = checkout.build_armed()?;
    let mut row = Row {
        rung: "kills at named points",
        command: "prove --only points".to_owned(),
        ..Row::default()
    };
    let mut counts = Counts::new();
    for seed in from..from + ROUNDS {
        let said = play(&programs, seed, &mut row)?;
        if let Some(why) = said.lines().find(|line| line.contains(": left out: ")) {
            row.shown.push(why.trim().to_owned());
            return Ok(row);
        }
        for (what, count) in counts_in(&said) {
            *counts.entry(what).or_default() += count;
        }
        if missing(&counts).is_empty() || !row.failed.is_empty() {
            break;
        }
    }
    let not_reached = missing(&counts).into_iter();
    row.failed
        .extend(not_reached.map(|point| format!("nothing was killed at {point}")));
    let shown = counts.iter().map(|(what, count)| format!("{count} {what}"));
    row.shown.extend(shown);
    Ok(row)
}

fn play(programs: &Programs, seed: u64, row: &mut Row) -> anyhow::Result<String> {
    let seed = seed.to_string();
    let mut chaos = programs.command("chaos");
    chaos.args(["--as-built", "--rounds", "1", "--seed", &seed]);
    chaos.args(["--only", "points", "--dense", "--seconds", SECONDS]);
    let ran = command::run(&mut chaos)?;
    if !ran.succeeded {
        row.failed.push(format!("seed {seed}: {}", line_of(&chaos)));
    }
    Ok(ran.said)
}

/// Where nothing was killed yet.
fn missing(counts: &Counts) -> BTreeSet<&'static str> {
    let reached = |name: &str| counts.contains_key(&format!("kills at {name}"));
    let names = Point::ALL.iter().map(|point| point.name());
    names.filter(|name| !reached(name)).collect()
}
