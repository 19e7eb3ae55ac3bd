//! How a process runs to its end: with an error, that is one line on standard error, and an exit code.

use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use crate::{SettingsError, heaps};

/// Something went wrong.
pub const EXIT_FAILURE: u8 = 1;
/// The settings, or the arguments, cannot be used.
pub const EXIT_SETTINGS: u8 = 2;

/// So long the end waits for what is begun on other threads. A disk that hangs never finishes it.
const LINGER: Duration = Duration::from_secs(1);

/// Runs a server on a runtime of its own to its end, and [`report`]s its error.
pub fn run(server: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    heaps::share();
    heaps::give_back_from_time_to_time();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let ended = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let ended = runtime.block_on(server);
        runtime.shutdown_timeout(LINGER);
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

/// An error's chain on one line, from what was wanted down to the cause. What a cause repeats of the error above it
/// is left out.
pub fn chain(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.is_empty() {
            line = text;
        } else if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
    }
    line
}

/// Whether it is that whoever read standard output, `head` for example, has what it wanted: nothing needs to be said then.
pub fn reader_went_away(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    let is_one = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    causes.any(|cause| cause.downcast_ref().is_some_and(is_one))
}

/// Prints the error's chain as one line, and gives the exit code of a server: 2 for bad settings, else 1.
///
/// Context that was added to the error does not hide what it is.
pub fn report(error: &anyhow::Error) -> ExitCode {
    // Where nobody reads it, the exit code still tells.
    writeln!(io::stderr(), "error: {}", chain(error)).ok();
    let is_settings = error.downcast_ref::<SettingsError>().is_some();
    ExitCode::from(if is_settings {
        EXIT_SETTINGS
    } else {
        EXIT_FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_reads_from_what_was_wanted_to_the_cause_and_repeats_nothing() {
        let cause = anyhow::anyhow!("connection refused");
        let error = cause
            .context("node 127.0.0.1:9002: connection refused")
            .context("upload a.txt");
        let expected = "upload a.txt: node 127.0.0.1:9002: connection refused";
        assert_eq!(chain(&error), expected);
    }
}
