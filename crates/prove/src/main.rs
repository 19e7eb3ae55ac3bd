//! Climbs the ladder of proof for a given time, and prints a table of what was shown: tests at greater effort, the
//! simulation, real processes that are harmed, and bugs that are planted to see that these find them.
//!
//! ```text
//! cargo run --release -p prove -- --minutes 60                     # all of it
//! cargo run --release -p prove -- --only simulation --minutes 30   # one rung
//! cargo run --release -p prove -- --only bugs                      # each planted bug, and what finds it
//! ```
//!
//! It runs other programs of this workspace and builds them by cargo, so it is for a checkout. The table is also
//! written to `target/proof.md`. It ends with 1 if anything was lost, wrong, or not found.

mod bugs;
mod command;
mod counts;
mod ladder;
mod points;
mod programs;
mod table;

use std::process::ExitCode;

use clap::Parser;

fn main() -> anyhow::Result<ExitCode> {
    let proof = ladder::climb(&ladder::Arguments::parse())?;
    Ok(ExitCode::from(u8::from(!proof.holds())))
}
