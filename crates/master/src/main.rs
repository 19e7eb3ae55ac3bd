//! `dfs-master`: reads the settings, opens the data folder and runs the master until it is told to stop.

mod args;

use std::process::ExitCode;

use args::Args;
use clap::Parser;
use disk::RealDisk;
use master::StartError;
use proto::net::Tcp;

fn main() -> ExitCode {
    settings::run(run(Args::parse()))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let settings = args.loader().load()?;
    settings::start_logging(&settings.log)?;
    let config = master::Config::from_settings(&settings, args.restored)?;
    let data = format!("data folder {}", settings.master.data.display());
    let disk = RealDisk::at(&settings.master.data);
    let shutdown = settings::shutdown::token(args.server.stop_with_stdin);
    let ended = master::run(config, Tcp::shared(), disk, shutdown).await;
    ended.map_err(|error| match error {
        StartError::Exposed(_) | StartError::Listen(_) => error.into(),
        error => anyhow::Error::from(error).context(data),
    })
}
