//! How a process ends with an error: one line on standard error, and an exit code.

use std::process::ExitCode;

use crate::SettingsError;

/// Something went wrong.
pub const EXIT_FAILURE: u8 = 1;
/// The settings, or the arguments, cannot be used.
pub const EXIT_SETTINGS: u8 = 2;

/// Prints the error's chain as one line, and gives the exit code of a server: 2 for bad settings, else 1.
///
/// Context that was added to the error does not hide what it is.
pub fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    let is_settings = error.downcast_ref::<SettingsError>().is_some();
    ExitCode::from(if is_settings {
        EXIT_SETTINGS
    } else {
        EXIT_FAILURE
    })
}
