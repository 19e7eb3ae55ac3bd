//! Real processes that are killed at named points.

use std::collections::BTreeSet;

use planted::Point;

use crate::command::{self, Ran, line_of};
use crate::counts::{Counts, counts_in};
use crate::programs::Programs;
use crate::table::Row;

/// Rounds that are played at most until all points were reached.
const ROUNDS_MAX: u64 = 16;
/// How long servers are harmed in one.
const SECONDS: &str = "20";

/// Plays rounds from this seed on until something was killed at each point.
pub(crate) fn kill_at_all(programs: &Programs, from: u64) -> Row {
    let (mut row, counts) = play(programs, from, ROUNDS_MAX);
    if row.failed.is_empty() && !counts.is_empty() {
        let missed = missed(&counts).into_iter();
        row.failed = missed
            .map(|point| format!("nothing was killed at {point}"))
            .collect();
    }
    row
}

/// Plays no more rounds than this, whichever points they reach.
pub(crate) fn kill_at_some(programs: &Programs, from: u64, rounds: u64) -> Row {
    play(programs, from, rounds).0
}

fn play(programs: &Programs, from: u64, rounds: u64) -> (Row, Counts) {
    let mut row = Row {
        rung: "kills at named points",
        command: "prove --only points".to_owned(),
        ..Row::default()
    };
    let mut counts = Counts::new();
    for seed in from..from + rounds {
        let (line, ran) = match play_one(programs, seed) {
            Ok(played) => played,
            Err(error) => return (Row::broken(row.rung, &error), counts),
        };
        if let Some(why) = ran.said.lines().find(|line| line.contains(": left out: ")) {
            row.shown.push(why.trim().to_owned());
            return (row, counts);
        }
        for (what, count) in counts_in(&ran.said) {
            *counts.entry(what).or_default() += count;
        }
        if !ran.succeeded {
            row.failed.push(line);
        }
        if missed(&counts).is_empty() || !row.failed.is_empty() {
            break;
        }
    }
    let shown = counts.iter().map(|(what, count)| format!("{count} {what}"));
    row.shown.extend(shown);
    (row, counts)
}

fn play_one(programs: &Programs, seed: u64) -> anyhow::Result<(String, Ran)> {
    let seed = seed.to_string();
    let mut chaos = programs.command("chaos");
    chaos.args(["--as-built", "--rounds", "1", "--seed", &seed]);
    chaos.args(["--only", "points", "--dense", "--seconds", SECONDS]);
    let ran = command::run(&mut chaos)?;
    Ok((line_of(&chaos), ran))
}

/// Where nothing was killed yet.
fn missed(counts: &Counts) -> BTreeSet<&'static str> {
    let reached = |name: &str| counts.contains_key(&format!("kills at {name}"));
    let names = Point::ALL.iter().map(|point| point.name());
    names.filter(|name| !reached(name)).collect()
}
