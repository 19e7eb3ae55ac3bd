//! The command line `dfs`: what a person says becomes calls of the `client` library, and answers become words.
//!
//! [`Arguments`] is the grammar, `commands` has one file for each command, `output` writes for people and programs,
//! `exit` has the exit codes. `local` knows what names and files this machine can hold, `part` keeps a download that is
//! not complete, and `up` runs a whole cluster as child processes.
//!
//! **Invariant:** a file under its final name is whole: bytes go to `NAME.part`, are fsynced, and only then renamed.
//! No name that comes from the cluster leads outside the folder that was asked for.

mod args;
mod commands;
mod context;
mod exit;
mod local;
mod output;
mod part;
mod progress;
mod up;

pub use args::Arguments;
pub use commands::run;
pub use exit::report;
