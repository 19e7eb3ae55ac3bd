//! The rungs, one after the other, and how the time is shared among them.

use std::time::Instant;

use anyhow::Context;
use clap::{Parser, ValueEnum};

use crate::command::{self, Ran, line_of};
use crate::counts::{counts_in, fuzzed_in, tests_in};
use crate::programs::{Checkout, Programs};
use crate::table::{Proof, Row};
use crate::{bugs, points};

/// Multiplies the cases of tests that can be given more.
const EFFORT: &str = "DFS_TEST_EFFORT";

/// Climbs the ladder of proof, and prints what was shown.
#[derive(Debug, Parser)]
#[command(name = "prove")]
pub(crate) struct Arguments {
    /// How long the simulation and the harm to real processes take together; planted bugs and tests take what they take
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(3..))]
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
    /// Real processes, killed at named points
    Points,
    /// The whole cluster under a simulated clock
    Simulation,
    /// Real processes, harmed
    Chaos,
}

/// Climbs, prints the table, and writes it to a file. A rung that cannot be climbed does not keep from the others.
pub(crate) fn climb(arguments: &Arguments) -> anyhow::Result<Proof> {
    let checkout = Checkout::find()?;
    let began = Instant::now();
    let mut rows = Vec::new();
    if arguments.wants(Rung::Tests) {
        let tests = tests(&checkout, arguments.effort);
        rows.push(tests.unwrap_or_else(|error| Row::broken("tests", &error)));
    }
    if arguments.wants(Rung::Bugs) {
        let found = bugs::find_all(&checkout, arguments.bug_seeds);
        rows.push(found.unwrap_or_else(|error| Row::broken("planted bugs", &error)));
    }
    if arguments.wants(Rung::Points) {
        let killed = points::kill_at_all(&checkout, arguments.from);
        rows.push(killed.unwrap_or_else(|error| Row::broken("kills at named points", &error)));
    }
    let harm = arguments.harm();
    if !harm.is_empty() {
        match checkout.build() {
            Ok(programs) => rows.extend(harm.iter().map(|harm| harm.row(&programs))),
            Err(error) => rows.push(Row::broken("harnesses", &error)),
        }
    }
    let proof = Proof {
        commit: checkout.commit(),
        machine: machine(),
        minutes: began.elapsed().as_secs().div_ceil(60),
        rows,
    };
    println!("\n{proof}");
    let table = checkout.table();
    std::fs::write(&table, proof.to_string())
        .with_context(|| format!("write the table to {}", table.display()))?;
    Ok(proof)
}

/// A harness that is run for a time.
struct Harm {
    said: &'static str,
    program: &'static str,
    arguments: Vec<String>,
}

impl Arguments {
    fn wants(&self, rung: Rung) -> bool {
        self.only.is_empty() || self.only.contains(&rung)
    }

    /// The harnesses that are wanted, with their shares of the time.
    fn harm(&self) -> Vec<Harm> {
        let harm = |said, program, minutes: u64, others: &[&str]| {
            let first = if program == "sim" { "--from" } else { "--seed" };
            let (first_seed, minutes) = (self.from.to_string(), minutes.max(1).to_string());
            let arguments = [first, &first_seed, "--minutes", &minutes];
            Harm {
                said,
                program,
                arguments: [&arguments[..], others]
                    .concat()
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            }
        };
        let of_both = match (self.wants(Rung::Simulation), self.wants(Rung::Chaos)) {
            (true, true) => self.minutes / 2,
            _ => self.minutes,
        };
        let mut all = Vec::new();
        if self.wants(Rung::Simulation) {
            let twice = of_both / 6;
            all.push(harm("simulation", "sim", of_both - twice, &[]));
            if cfg!(all(target_os = "linux", target_env = "gnu")) {
                all.push(harm(
                    "simulation, each seed twice",
                    "sim",
                    twice,
                    &["--twice"],
                ));
            }
        }
        if self.wants(Rung::Chaos) {
            let dense = of_both / 2;
            let often = [
                "--only",
                "kills,power-cuts,corruption",
                "--mixed",
                "--dense",
            ];
            all.push(harm("real processes", "chaos", of_both - dense, &[]));
            all.push(harm("real processes, harmed often", "chaos", dense, &often));
        }
        all
    }
}

impl Harm {
    fn row(&self, programs: &Programs) -> Row {
        let mut command = programs.command(self.program);
        command.args(&self.arguments);
        let line = line_of(&command);
        match command::run(&mut command) {
            Ok(ran) => row_of(self.said, &ran, line),
            Err(error) => Row::broken(self.said, &error),
        }
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
    let (targets, cases) = fuzzed_in(&ran.said);
    Ok(Row {
        rung: "tests at greater effort",
        shown: vec![
            format!("{passed} tests passed"),
            format!("{cases} cases of {targets} fuzzed targets"),
        ],
        failed: (!is_whole)
            .then(|| format!("{failed} tests failed"))
            .into_iter()
            .collect(),
        command: line_of(&cargo),
    })
}

fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{processors} processors, {} on {}",
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}
