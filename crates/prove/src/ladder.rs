//! The rungs, one after the other, and how the time is shared among them.

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Parser, ValueEnum};

use crate::bugs;
use crate::command::{self, Ran, line_of};
use crate::counts::{counts_in, tests_in};
use crate::programs::{Checkout, Programs};
use crate::table::{Proof, Row};

/// Multiplies the cases of tests that can be given more.
const EFFORT: &str = "DFS_TEST_EFFORT";
/// Of the time that is left to both, the simulation has this share.
const SIMULATION_SHARE: (u64, u64) = (3, 5);

/// Climbs the ladder of proof, and prints what was shown.
#[derive(Debug, Parser)]
#[command(name = "prove")]
pub(crate) struct Arguments {
    /// How long in all, without building; planted bugs and tests take what they take
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Only these rungs; all if not said
    #[arg(long, value_delimiter = ',')]
    only: Vec<Rung>,
    /// The first seed of the simulation and of the harm to real processes
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many times as many cases the tests have as in any other run
    #[arg(long, default_value_t = 10)]
    effort: u32,
    /// Seeds that are played at most to find a planted bug
    #[arg(long, default_value_t = 200)]
    bug_seeds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rung {
    /// Exhaustive tests, properties and fuzzing, with more cases
    Tests,
    /// Bugs that are planted, each to be found
    Bugs,
    /// The whole cluster under a simulated clock
    Simulation,
    /// Real processes, harmed
    Chaos,
}

/// Climbs, prints the table, and writes it to a file.
pub(crate) fn climb(arguments: &Arguments) -> anyhow::Result<Proof> {
    let checkout = Checkout::find()?;
    let began = Instant::now();
    let mut proof = Proof {
        commit: checkout.commit(),
        machine: machine(),
        minutes: 0,
        rows: Vec::new(),
    };
    if arguments.wants(Rung::Tests) {
        proof.rows.push(tests(&checkout, arguments.effort)?);
    }
    if arguments.wants(Rung::Bugs) {
        proof
            .rows
            .push(bugs::find_all(&checkout, arguments.bug_seeds)?);
    }
    let mut spent = began.elapsed();
    if arguments.wants(Rung::Simulation) || arguments.wants(Rung::Chaos) {
        let programs = checkout.build()?;
        let began = Instant::now();
        // Whoever asks for these wants to see them, though the others took all the time.
        let left = arguments.minutes.saturating_sub(minutes(spent)).max(2);
        proof.rows.extend(arguments.harm(&programs, left)?);
        spent += began.elapsed();
    }
    proof.minutes = minutes(spent);
    println!("\n{proof}");
    let table = checkout.table();
    std::fs::write(&table, proof.to_string())
        .with_context(|| format!("write the table to {}", table.display()))?;
    Ok(proof)
}

impl Arguments {
    fn wants(&self, rung: Rung) -> bool {
        self.only.is_empty() || self.only.contains(&rung)
    }

    /// The simulation and the harm to real processes, in so many minutes.
    fn harm(&self, programs: &Programs, minutes: u64) -> anyhow::Result<Vec<Row>> {
        let share = match (self.wants(Rung::Simulation), self.wants(Rung::Chaos)) {
            (true, true) => minutes * SIMULATION_SHARE.0 / SIMULATION_SHARE.1,
            (true, false) => minutes,
            (false, _) => 0,
        };
        let mut rows = Vec::new();
        let wanted = [
            (Rung::Simulation, "simulation", "sim", "--from", share),
            (
                Rung::Chaos,
                "real processes",
                "chaos",
                "--seed",
                minutes - share,
            ),
        ];
        for (rung, said, program, first, minutes) in wanted {
            if self.wants(rung) {
                let mut command = programs.command(program);
                command.args([first, &self.from.to_string()]);
                command.args(["--minutes", &minutes.to_string()]);
                let ran = command::run(&mut command)?;
                rows.push(row_of(said, &ran, line_of(&command)));
            }
        }
        Ok(rows)
    }
}

/// What a harness counted, and what it says that failed.
fn row_of(rung: &'static str, ran: &Ran, command: String) -> Row {
    let counts = counts_in(&ran.said);
    let shown = counts.iter().map(|(what, count)| format!("{count} {what}"));
    let mut failed: Vec<_> = ran
        .said
        .lines()
        .filter(|line| line.contains("failed (") || line.starts_with("too few"))
        .map(str::to_owned)
        .collect();
    if !ran.succeeded && failed.is_empty() {
        failed.push("it ended with an error".to_owned());
    }
    Row {
        rung,
        shown: shown.collect(),
        failed,
        command,
    }
}

fn tests(checkout: &Checkout, effort: u32) -> anyhow::Result<Row> {
    let mut cargo = checkout.cargo(&["test", "--locked", "--workspace"]);
    cargo.env(EFFORT, effort.to_string());
    let ran = command::run(&mut cargo)?;
    let (passed, failed) = tests_in(&ran.said);
    let is_whole = ran.succeeded && failed == 0 && passed > 0;
    Ok(Row {
        rung: "tests at greater effort",
        shown: vec![format!("{passed} tests passed")],
        failed: (!is_whole)
            .then(|| format!("{failed} tests failed"))
            .into_iter()
            .collect(),
        command: line_of(&cargo),
    })
}

fn minutes(spent: Duration) -> u64 {
    spent.as_secs().div_ceil(60)
}

fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{processors} processors, {} on {}",
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}
