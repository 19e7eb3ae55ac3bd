//! Logs go to standard error, so that standard output stays for what a person or a program asked for.

use std::io;

use crate::sections::LogSettings;
use crate::terminal::stderr_takes_colours;
use crate::{LogFormat, SettingsError};

/// Starts logging for this process. Coloured on a terminal, unless `NO_COLOR` is set.
pub fn start_logging(log: &LogSettings) -> Result<(), SettingsError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(log.level.to_filter())
        .with_writer(io::stderr);
    let started = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder
            .with_ansi(stderr_takes_colours())
            .with_target(false)
            .try_init(),
    };
    started.map_err(|error| SettingsError::Logging(error.to_string()))
}
