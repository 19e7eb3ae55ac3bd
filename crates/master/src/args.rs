//! The arguments of `dfs-master`.

use clap::Parser;
use settings::{Loader, ServerArgs};

/// Holds the names of all files, and where their chunks are.
#[derive(Parser)]
#[command(name = "dfs-master", version)]
pub(crate) struct Args {
    #[arg(long, value_name = "HOST:PORT")]
    #[arg(help = "Listen here [default: 127.0.0.1:9000]")]
    listen: Option<String>,
    #[arg(long, value_name = "DIR")]
    #[arg(help = "Keep names, versions and placement in this folder [default: ./master_data]")]
    data: Option<String>,
    /// The folder was restored from an old copy: take in nodes that have seen later masters
    #[arg(long)]
    pub(crate) restored: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

impl Args {
    /// Reads the settings, in which these arguments win.
    pub(crate) fn loader(&self) -> Loader {
        Loader::new(&self.server.config)
            .flag("--listen", "master.listen", self.listen.as_deref())
            .flag("--data", "master.data", self.data.as_deref())
    }
}
