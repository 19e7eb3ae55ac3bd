//! What is measured, and how much of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;

use crate::systems::Kind;

const MIB: u64 = 1 << 20;

/// Measures this project beside its peers, and beside what the disk can do.
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 100, args_override_self = true)]
pub(crate) struct Arguments {
    /// All data goes into a new folder in this one, on the disk to be measured; it is removed at the end [default: the
    /// system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// Small sizes and one round: whether all works, not how fast it is
    #[arg(long)]
    pub(crate) quick: bool,
    /// How often each system has its turn [default: 3; 1 if quick]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: Option<u32>,
    /// The big file, in MiB [default: 1024; 64 if quick]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) big: Option<u64>,
    /// Entries of the folder that is listed [default: 10000; 1000 if quick]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) entries: Option<u64>,
    /// How long small files are written, and read, at each size and number of connections [default: 2; 0.4 if quick]
    #[arg(long, value_parser = seconds)]
    pub(crate) seconds: Option<Duration>,
    /// Only these
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<Kind>,
    /// The program `weed`; without it, its rows are left out
    #[arg(long, value_name = "FILE")]
    pub(crate) weed: Option<PathBuf>,
    /// The program `nginx`; without it, its row is left out
    #[arg(long, value_name = "FILE")]
    pub(crate) nginx: Option<PathBuf>,
    /// Where the JSON goes
    #[arg(long, value_name = "FILE", default_value = "target/bench/bench.json")]
    pub(crate) json: PathBuf,
    /// Where the picture goes
    #[arg(long, value_name = "FILE", default_value = "target/bench/bench.svg")]
    pub(crate) picture: PathBuf,
    /// In place of all else: how fast the copies of so many chunks of 1 MiB are made again when a node of four is lost
    #[arg(long, value_name = "CHUNKS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) repair: Option<u64>,
    /// Files of 4 KiB that are stored beside those chunks
    #[arg(long, value_name = "FILES", requires = "repair", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    pub(crate) repair_files: u64,
    /// In place of all else: how everything grows with files, nodes and chunks of a node
    #[arg(long, conflicts_with = "repair")]
    pub(crate) growth: bool,
    /// How many files the master has, from size to size
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000,10000000", value_parser = clap::value_parser!(u64).range(2000..=1 << 30))]
    pub(crate) files: Vec<u64>,
    /// How many nodes the master has, from size to size
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000", value_parser = clap::value_parser!(u32).range(4..=10_000))]
    pub(crate) nodes: Vec<u32>,
    /// How many chunks a node has, from size to size
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000", value_parser = clap::value_parser!(u64).range(100..=1 << 30))]
    pub(crate) chunks: Vec<u64>,
}

/// How much is done in a round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sizes {
    /// Bytes of the big file.
    pub(crate) big: u64,
    /// Files in the folder that is listed.
    pub(crate) entries: u64,
    /// For how long small files are written, and read.
    pub(crate) span: Duration,
    /// For how long files are written, and read, while a node is harmed.
    pub(crate) fault_span: Duration,
    /// How often the first byte of a file is awaited.
    pub(crate) first_bytes: u32,
    /// What the disk alone takes of each file, in bytes.
    pub(crate) disk: u64,
    /// Turns of each system.
    pub(crate) rounds: u32,
}

impl Arguments {
    /// What was asked for, and else what suits a whole run, or a quick one.
    pub(crate) fn sizes(&self) -> Sizes {
        let pick = |quick, whole| if self.quick { quick } else { whole };
        let big = self.big.unwrap_or(pick(64, 1024)) * MIB;
        Sizes {
            big,
            entries: self.entries.unwrap_or(pick(1000, 10_000)),
            span: self
                .seconds
                .unwrap_or(Duration::from_millis(pick(400, 2000))),
            fault_span: Duration::from_secs(pick(2, 8)),
            first_bytes: if self.quick { 20 } else { 100 },
            disk: big.min(512 * MIB),
            rounds: self.rounds.unwrap_or(if self.quick { 1 } else { 3 }),
        }
    }
}

impl Sizes {
    /// Bytes that the disk needs free, about: three copies of all that one system writes, and the files that stay to the end.
    pub(crate) fn room(&self) -> u64 {
        /// Files of 64 KiB that a second of writing makes at most, and what they take. One copy of each is written faster than three:
        /// who keeps one may make three times as many.
        const SMALL_PER_SECOND: u64 = 250 << 20;
        let small_secs = 6 * self.span.as_secs() + 2 * self.fault_span.as_secs() + 1;
        let once = 3 * self.big + self.entries * 8192 + small_secs * SMALL_PER_SECOND;
        3 * once + 4 * self.disk * u64::from(self.rounds + 1)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let secs: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if !(0.1..=600.0).contains(&secs) {
        return Err("it must be from 0.1 to 600".to_owned());
    }
    Ok(Duration::from_secs_f64(secs))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a quick run has.
    pub(crate) fn quick() -> Sizes {
        parsed(&["--quick"]).unwrap().sizes()
    }

    fn parsed(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from([&["bench"], arguments].concat())
    }

    #[test]
    fn sizes_are_those_asked_for_or_suit_the_kind_of_run() {
        let whole = parsed(&[]).unwrap().sizes();
        assert_eq!(
            (whole.big, whole.entries, whole.rounds),
            (1 << 30, 10_000, 3)
        );
        let quick = parsed(&["--quick", "--entries", "7"]).unwrap().sizes();
        assert_eq!((quick.big, quick.entries, quick.rounds), (64 << 20, 7, 1));
        assert!(quick.room() < whole.room());
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for arguments in [
            ["--seconds", "0"],
            ["--seconds", "nan"],
            ["--rounds", "0"],
            ["--big", "0"],
            ["--only", "garage"],
        ] {
            assert!(parsed(&arguments).is_err(), "{arguments:?}");
        }
    }
}
