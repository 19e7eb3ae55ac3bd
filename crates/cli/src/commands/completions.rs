//! `dfs completions`: the script with which a shell completes commands and flags.

use std::io::Write;

use clap::CommandFactory;

use crate::args::{Arguments, Completions};

pub(super) fn run(completions: &Completions) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(
        completions.shell,
        &mut Arguments::command(),
        "dfs",
        &mut script,
    );
    std::io::stdout().lock().write_all(&script)?;
    Ok(())
}
