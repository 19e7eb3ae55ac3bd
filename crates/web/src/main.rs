//! `dfs-web`: arguments, settings, logging, shutdown, and then [`web::config::run`].

use std::process::ExitCode;

use clap::Parser;
use web::config::{Arguments, run};

fn main() -> ExitCode {
    match start(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => settings::report(&error),
    }
}

fn start(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = arguments.settings()?;
    settings::start_logging(&settings.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let shutdown = settings::shutdown::token(arguments.server.stop_with_stdin);
        run(settings, shutdown).await
    })
}
