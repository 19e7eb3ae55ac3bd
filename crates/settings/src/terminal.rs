//! Whether what a process writes is read on a terminal that shows colours.
//!
//! A console of Windows shows a colour's code as text until the program asks for the colour.

use std::io::{self, IsTerminal};

/// Whether standard output may be coloured: a person reads it on a terminal that understands colours, and `NO_COLOR` is not set.
pub fn stdout_takes_colours() -> bool {
    io::stdout().is_terminal() && colours_are_wanted() && codes::understood_on_stdout()
}

/// The same of standard error.
pub fn stderr_takes_colours() -> bool {
    io::stderr().is_terminal() && colours_are_wanted() && codes::understood_on_stderr()
}

fn colours_are_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|text| text.is_empty())
}

#[cfg(not(windows))]
mod codes {
    pub(super) fn understood_on_stdout() -> bool {
        true
    }

    pub(super) fn understood_on_stderr() -> bool {
        true
    }
}

#[cfg(windows)]
mod codes {
    use std::io;

    use winapi_util::console::Console;

    pub(super) fn understood_on_stdout() -> bool {
        are_understood(Console::stdout())
    }

    pub(super) fn understood_on_stderr() -> bool {
        are_understood(Console::stderr())
    }

    /// Asks the console to; one from before Windows 10 cannot. A terminal that is no console, as Git Bash has, does.
    fn are_understood(console: io::Result<Console>) -> bool {
        console.map_or(true, |mut console| {
            console.set_virtual_terminal_processing(true).is_ok()
        })
    }
}
