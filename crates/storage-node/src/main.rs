//! `dfs-storage-node`: see [`storage_node::arguments`] for its command line.

use std::process::ExitCode;

use clap::Parser;
use storage_node::arguments::Arguments;

fn main() -> ExitCode {
    settings::run(Arguments::parse().run())
}
