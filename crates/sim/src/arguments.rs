//! The command line, and what it asks for.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;

use crate::run::{Outcome, run};
use crate::series::Series;

/// A whole cluster runs on one thread; the stacks that systems give to programs are less than it may need.
const STACK_LEN: usize = 64 << 20;

/// Plays a cluster under faults that seeds draw.
#[derive(Debug, Parser)]
#[command(name = "sim")]
pub struct Arguments {
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

impl Arguments {
    /// Does what was asked for, and says whether all went well.
    pub fn carry_out(self) -> anyhow::Result<ExitCode> {
        let is_good = match self.one {
            Some(seed) => self.play_one(seed)?,
            None => self.series().play()?,
        };
        Ok(ExitCode::from(u8::from(!is_good)))
    }

    fn play_one(&self, seed: u64) -> anyhow::Result<bool> {
        let outcome = play_on_a_thread(seed, self.log)?;
        if self.json {
            println!("{}", serde_json::to_string(&outcome)?);
        } else {
            println!("{outcome:#?}");
        }
        Ok(outcome.failures.is_empty())
    }

    fn series(&self) -> Series {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let seeds = match (self.seeds, self.minutes) {
            (Some(seeds), _) => seeds,
            (None, Some(_)) => u64::MAX,
            (None, None) => 10,
        };
        let minutes = |minutes: u64| Duration::from_secs(minutes.saturating_mul(60));
        Series {
            seeds: self.from..self.from.saturating_add(seeds),
            twice: self.twice,
            longest: self.minutes.map(minutes),
            jobs: self.jobs.unwrap_or(processors).max(1),
        }
    }
}

fn play_on_a_thread(seed: u64, aloud: bool) -> anyhow::Result<Outcome> {
    let thread = thread::Builder::new().stack_size(STACK_LEN);
    let played = thread.spawn(move || run(seed, aloud))?.join();
    Ok(played.expect("panics are caught where they are counted"))
}
