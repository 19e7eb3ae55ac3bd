//! Measures this project beside its peers, on this machine and in the same run, and beside what its disk can do alone.
//!
//! ```text
//! scripts/bench.sh                      # builds, fetches the peers, and runs this
//! scripts/bench.sh --quick              # small sizes and one round
//! scripts/bench.sh --folder /mnt/disk   # on another disk
//! scripts/bench.sh --repair 10000       # only this project: how fast lost copies are made again
//! scripts/growth.sh                     # only this project: how it does with more and more files, nodes and chunks
//! ```
//!
//! Each system is started with nothing in it, does the same work as the others (`work.rs`), is harmed (`faults.rs`) and removed; then
//! the next one, and again from the first one, as many rounds as there are. What is shown is the median of the rounds and how far they lie
//! apart. Every file has content of its own, and everything that is read is compared: wrong bytes end the run.

#![allow(
    clippy::cast_precision_loss,
    reason = "figures are rounded when they are shown"
)]

mod arguments;
mod content;
mod disk;
mod faults;
mod figures;
mod growth;
mod http;
mod load;
mod machine;
mod picture;
mod process;
mod repair;
mod report;
mod run;
mod systems;
mod table;
mod work;

use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = arguments::Arguments::parse();
    let stop = settings::shutdown::token(false);
    tokio::select! {
        result = run::run(&arguments) => result,
        // What is running is dropped: processes end, and the folder goes.
        () = stop.cancelled() => anyhow::bail!("interrupted: all was stopped and removed"),
    }
}
