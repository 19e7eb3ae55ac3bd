//! Logs go to standard error, so that standard output stays for what a person or a program asked for.

use std::io::{self, IsTerminal};

use crate::sections::LogSettings;
use crate::{LogFormat, SettingsError};

/// Starts logging for this process. Coloured on a terminal, unless `NO_COLOR` is set.
pub fn start_logging(log: &LogSettings) -> Result<(), SettingsError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(log.level.to_filter())
        .with_writer(io::stderr);
    let started = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => {
            let no_color = std::env::var_os("NO_COLOR").is_some_and(|text| !text.is_empty());
            builder
                .with_ansi(io::stderr().is_terminal() && !no_color)
                .with_target(false)
                .try_init()
        }
    };
    started.map_err(|error| SettingsError::Logging(error.to_string()))
}
