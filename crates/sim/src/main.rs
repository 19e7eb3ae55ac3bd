//! The program `sim`: see the library beside it.

use std::process::ExitCode;

use clap::Parser;

fn main() -> anyhow::Result<ExitCode> {
    sim::Arguments::parse().carry_out()
}
