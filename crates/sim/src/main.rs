//! Plays a whole cluster in one process under a simulated clock: the real master, real storage nodes on disks in memory,
//! and real clients, harmed in every way that a seed draws, then left in peace and judged.
//!
//! ```text
//! cargo run --release -p sim -- --seeds 1000            # counts, seeds/s, and what broke
//! cargo run --release -p sim -- --seeds 20 --twice      # each seed twice: the traces must be equal
//! cargo run --release -p sim -- --minutes 30            # as many as there is time for
//! cargo run --release -p sim -- --one 17 --log          # one seed, with all that happens
//! ```
//!
//! Each seed is played in a process of its own, since the order of hash maps comes from chance that a process has once.

mod faults;
mod journal;
mod network;
mod oracle;
mod run;
mod series;
mod system;
mod workload;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// Plays a cluster under faults that seeds draw.
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Arguments {
    /// How many seeds to play; 10 if neither this nor `--minutes` is said
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Begin no seed after so many minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// Play each seed twice, and compare the traces
    #[arg(long)]
    twice: bool,
    /// Seeds at once; as many as there are processors if not said
    #[arg(long)]
    jobs: Option<usize>,
    /// Play only this seed, in this process
    #[arg(long)]
    one: Option<u64>,
    /// With `--one`: print the trace
    #[arg(long, requires = "one")]
    log: bool,
    /// With `--one`: print the outcome for a program
    #[arg(long, requires = "one", hide = true)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.one {
        let outcome = run::run(seed, arguments.log);
        if arguments.json {
            println!("{}", serde_json::to_string(&outcome)?);
        } else {
            println!("{outcome:#?}");
        }
        return Ok(ExitCode::from(u8::from(!outcome.failures.is_empty())));
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let seeds = match (arguments.seeds, arguments.minutes) {
        (Some(seeds), _) => seeds,
        (None, Some(_)) => u64::MAX,
        (None, None) => 10,
    };
    let minutes = |minutes: u64| Duration::from_secs(minutes.saturating_mul(60));
    let series = series::Series {
        seeds: arguments.from..arguments.from.saturating_add(seeds),
        twice: arguments.twice,
        longest: arguments.minutes.map(minutes),
        jobs: arguments.jobs.unwrap_or(processors).max(1),
    };
    let is_good = series.play()?;
    Ok(ExitCode::from(u8::from(!is_good)))
}
