//! Counts the instructions that hot paths take, and compares them with `counts.json`, so that a slow-down is seen without a clock: a
//! count is the same on a busy machine.
//!
//! ```text
//! scripts/instructions.sh              # builds, counts and compares: a part of scripts/check.sh
//! scripts/instructions.sh --update     # keeps what is counted now
//! scripts/instructions.sh --only node  # some scenarios
//! ```
//!
//! Each scenario (`scenarios.rs`) is run by valgrind in a process of its own, once for some turns and once for more: the difference is
//! what turns cost, without the process's start. Nothing in a scenario asks a clock, a disk or a network.

mod cluster;
mod compare;
mod count;
mod environment;
mod names;
mod node;
mod scenarios;
mod wire;

use std::process::ExitCode;

use clap::Parser;

fn main() -> anyhow::Result<ExitCode> {
    compare::main(&compare::Arguments::parse())
}
