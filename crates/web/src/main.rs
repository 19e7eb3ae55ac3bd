//! `dfs-web`: arguments, settings, logging, shutdown, and then [`web::config::run`].

use std::process::ExitCode;

use clap::Parser;
use web::config::{Arguments, run};

fn main() -> ExitCode {
    settings::run(start(Arguments::parse()))
}

async fn start(arguments: Arguments) -> anyhow::Result<()> {
    let settings = arguments.settings()?;
    settings::start_logging(&settings.log)?;
    let shutdown = settings::shutdown::token(arguments.server.stop_with_stdin);
    run(settings, shutdown).await
}
