//! Real processes under load, harmed in every way that a machine can be, then left in peace and judged.
//!
//! ```text
//! cargo run --release -p chaos -- --minutes 5                            # rounds for five minutes, with all there is
//! cargo run --release -p chaos -- --minutes 10 --only power-cuts --dense # as many power cuts as possible
//! cargo run --release -p chaos -- --rounds 1 --seed 17 --only kills      # one round
//! cargo run --release -p chaos -- --list                                 # what can be done here
//! ```
//!
//! A round is a new cluster (a master and four storage nodes, chunks of 4 KiB), eight clients that work on a few files at
//! the same time, and faults drawn from a seed; then `oracle.rs` says what must be true. A seed draws the same faults each
//! time, but when they hit depends on the machine. With root on Linux everything runs where mounts, network and processes are this
//! program's own, so that nothing is left behind (but, if it is killed, an empty control group, which a later run removes); what cannot
//! be done elsewhere is left out, with a line that says so.

mod faults;
mod folders;
mod image;
mod journal;
mod lines;
mod load;
mod memory_group;
mod oracle;
mod probes;
mod programs;
mod remains;
mod round;
mod series;
mod server;
mod strace;
mod system;
mod watch;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use faults::Family;

/// Harms real clusters in every way that a machine can be.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
struct Arguments {
    /// How many rounds to play; 1 if neither this nor `--minutes` is said
    #[arg(long)]
    rounds: Option<u64>,
    /// Begin no round after so many minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// The first round's seed; each further one has the next
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long each round is harmed
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Only these; everything that can be done here if not said
    #[arg(long, value_delimiter = ',')]
    only: Vec<Family>,
    /// All of them in every round, in place of those that a seed draws
    #[arg(long)]
    mixed: bool,
    /// Fault after fault, with short pauses, in all rounds; else in those that a seed draws
    #[arg(long)]
    dense: bool,
    /// Give each server a network of its own in all rounds, not only where that is parted
    #[arg(long)]
    namespaces: bool,
    /// Tell what there is, and what can be done here
    #[arg(long)]
    list: bool,
    /// Take the programs as they are, in place of building them
    #[arg(long)]
    as_built: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if !system::is_isolated() {
        programs::build(arguments.as_built)?;
    }
    if let Some(code) = system::run_isolated()? {
        return Ok(ExitCode::from(code));
    }
    let families = arguments.families();
    if arguments.list || families.is_empty() {
        return Ok(ExitCode::from(u8::from(!arguments.list)));
    }
    let rounds = match (arguments.rounds, arguments.minutes) {
        (Some(rounds), _) => rounds,
        (None, Some(_)) => u64::MAX,
        (None, None) => 1,
    };
    let series = series::Series {
        seed: arguments.seed,
        rounds,
        longest: arguments
            .minutes
            .map(|minutes| Duration::from_secs(minutes * 60)),
        families,
        all_at_once: arguments.mixed,
        harm_for: Duration::from_secs(arguments.seconds),
        is_dense: arguments.dense,
        namespaces: arguments.namespaces,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let is_good = runtime.block_on(series.play())?;
    Ok(ExitCode::from(u8::from(!is_good)))
}

impl Arguments {
    /// Those that were asked for and can be done; says which cannot.
    fn families(&self) -> Vec<Family> {
        let asked = if self.only.is_empty() {
            Family::all()
        } else {
            &self.only
        };
        let mut families = asked.to_vec();
        families.retain(|family| {
            let missing = family.missing();
            match missing {
                Some(why) => println!("{}: left out: {why}", family.name()),
                None if self.list => println!("{}", family.name()),
                None => {}
            }
            missing.is_none()
        });
        families
    }
}
