//! `dfs-storage-node`: see [`storage_node::arguments`] for its command line.

use std::process::ExitCode;

use clap::Parser;
use storage_node::arguments::Arguments;

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => settings::report(&error),
    }
}
