//! The rungs, one after the other, and how the time is shared among them.

use std::time::Instant;

use anyhow::Context;
use clap::{Parser, ValueEnum};

use crate::bugs::{self, RealSearches};
use crate::command::{self, Ran, line_of};
use crate::counts::{counts_in, tests_in, tried_in};
use crate::points;
use crate::programs::{Checkout, Programs};
use crate::table::{Proof, Row};

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
    /// What every change has to pass: programs built as for tests, planted bugs without searches in real processes, two rounds of
    /// kills at named points, and two minutes of simulation
    #[arg(long, conflicts_with_all = ["minutes", "only", "effort"])]
    quick: bool,
}

/// How long the simulation is played in a quick proof.
const QUICK_MINUTES: u64 = 2;
/// Rounds of kills at named points then.
const QUICK_ROUNDS: u64 = 2;

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
    let checkout = Checkout::find(arguments.quick)?;
    let began = Instant::now();
    let rows = if arguments.quick {
        climb_quickly(arguments, &checkout)
    } else {
        climb_all(arguments, &checkout)
    };
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

/// With one build for all of it.
fn climb_quickly(arguments: &Arguments, checkout: &Checkout) -> Vec<Row> {
    let programs = match checkout.build_armed() {
        Ok(programs) => programs,
        Err(error) => return vec![Row::broken("harnesses", &error)],
    };
    let simulation = arguments.simulation("simulation", QUICK_MINUTES, &[]);
    vec![
        bugs::find_all(checkout, &programs, arguments.bug_seeds, RealSearches::No),
        points::kill_at_some(&programs, arguments.from, QUICK_ROUNDS),
        simulation.row(&programs),
    ]
}

fn climb_all(arguments: &Arguments, checkout: &Checkout) -> Vec<Row> {
    let mut rows = Vec::new();
    if arguments.wants(Rung::Tests) {
        rows.extend(
            TESTS
                .iter()
                .map(|tests| tests.row(checkout, arguments.effort)),
        );
    }
    if arguments.wants(Rung::Bugs) || arguments.wants(Rung::Points) {
        match checkout.build_armed() {
            Ok(programs) => rows.extend(with_armed(arguments, checkout, &programs)),
            Err(error) => rows.push(Row::broken("armed programs", &error)),
        }
    }
    let harm = arguments.harm();
    if !harm.is_empty() {
        match checkout.build() {
            Ok(programs) => rows.extend(harm.iter().map(|harm| harm.row(&programs))),
            Err(error) => rows.push(Row::broken("harnesses", &error)),
        }
    }
    rows
}

fn with_armed(arguments: &Arguments, checkout: &Checkout, programs: &Programs) -> Vec<Row> {
    let mut rows = Vec::new();
    if arguments.wants(Rung::Bugs) {
        let seeds = arguments.bug_seeds;
        rows.push(bugs::find_all(checkout, programs, seeds, RealSearches::Yes));
    }
    if arguments.wants(Rung::Points) {
        rows.push(points::kill_at_all(programs, arguments.from));
    }
    rows
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

    fn simulation(&self, said: &'static str, minutes: u64, others: &[&str]) -> Harm {
        self.harm_by((said, "sim", "--from"), minutes, others)
    }

    fn chaos(&self, said: &'static str, minutes: u64, others: &[&str]) -> Harm {
        self.harm_by((said, "chaos", "--seed"), minutes, others)
    }

    fn harm_by(
        &self,
        (said, program, first): (&'static str, &'static str, &str),
        minutes: u64,
        others: &[&str],
    ) -> Harm {
        let (first_seed, minutes) = (self.from.to_string(), minutes.max(1).to_string());
        let arguments = [first, &first_seed, "--minutes", &minutes];
        let arguments = [&arguments[..], others].concat();
        Harm {
            said,
            program,
            arguments: arguments.into_iter().map(str::to_owned).collect(),
        }
    }

    /// The harnesses that are wanted, with their shares of the time.
    fn harm(&self) -> Vec<Harm> {
        let of_both = match (self.wants(Rung::Simulation), self.wants(Rung::Chaos)) {
            (true, true) => self.minutes / 2,
            _ => self.minutes,
        };
        let mut all = Vec::new();
        if self.wants(Rung::Simulation) {
            let twice = of_both / 6;
            all.push(self.simulation("simulation", of_both - twice, &[]));
            if cfg!(all(target_os = "linux", target_env = "gnu")) {
                all.push(self.simulation("simulation, each seed twice", twice, &["--twice"]));
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
            all.push(self.chaos("real processes", of_both - dense, &[]));
            all.push(self.chaos("real processes, harmed often", dense, &often));
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

/// Tests that can be given more cases.
struct Tests {
    said: &'static str,
    arguments: &'static [&'static str],
    /// What they count themselves.
    counted: &'static str,
}

const TESTS: [Tests; 2] = [
    Tests {
        said: "tests at greater effort",
        arguments: &["test", "--locked", "--workspace"],
        counted: "cases",
    },
    Tests {
        said: "races at greater effort",
        arguments: &[
            "test",
            "--locked",
            "--package",
            "master",
            "--package",
            "storage-node",
            "--features",
            "races",
            "--lib",
            "races::",
        ],
        counted: "schedules",
    },
];

impl Tests {
    fn row(&self, checkout: &Checkout, effort: u32) -> Row {
        let mut cargo = checkout.cargo(self.arguments);
        cargo.env(EFFORT, effort.to_string());
        let command = line_of(&cargo);
        let ran = match command::run(&mut cargo) {
            Ok(ran) => ran,
            Err(error) => return Row::broken(self.said, &error),
        };
        let (passed, failed) = tests_in(&ran.said);
        let (targets, cases) = tried_in(&ran.said, self.counted);
        let mut problems = Vec::new();
        if !ran.succeeded || failed > 0 || passed == 0 {
            problems.push(format!("{failed} tests failed"));
        }
        if cases == 0 {
            problems.push(format!("no {} were counted", self.counted));
        }
        Row {
            rung: self.said,
            shown: vec![
                format!("{passed} tests passed"),
                format!("{cases} {} of {targets} targets", self.counted),
            ],
            failed: problems,
            command,
        }
    }
}

fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{processors} processors, {} on {}",
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}
