//! Flags that several processes have in common.

use std::path::PathBuf;

use clap::Args;

/// Above the options that all processes have.
const COMMON: &str = "Common options";

/// Where settings come from.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Read settings from this file [default: config.toml in the current folder, if there is one]
    #[arg(long, value_name = "FILE", global = true, help_heading = COMMON)]
    pub config: Option<PathBuf>,
    /// Set any setting of the configuration file, for example `--set cluster.chunk_size=4MiB`
    #[arg(long, value_name = "SECTION.KEY=VALUE", global = true, help_heading = COMMON)]
    pub set: Vec<String>,
}

/// What the master, a storage node and the page have in common.
#[derive(Debug, Clone, Default, Args)]
pub struct ServerArgs {
    /// Where settings come from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Stop when standard input ends: whoever started this process holds the other end.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}
