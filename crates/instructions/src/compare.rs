//! Compares what is counted now with what is kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};

use crate::count::{Counted, count};
use crate::environment::{Environment, processor};
use crate::scenarios::{SCENARIOS, Scenario, find};

/// A count may be so many percent higher than the one that is kept.
const MORE_MAX: f64 = 3.0;

/// Counts the instructions of hot paths, and compares them with those that are kept.
#[derive(Debug, Parser)]
#[command(name = "instructions", max_term_width = 100)]
pub(crate) struct Arguments {
    /// Keeps what is counted now
    #[arg(long)]
    update: bool,
    /// Only scenarios whose names have this in them
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        conflicts_with = "update"
    )]
    only: String,
    #[command(subcommand)]
    work: Option<Work>,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Does one scenario: what is counted, or profiled
    Run {
        /// Which
        name: String,
        /// How often
        turns: u64,
    },
}

/// The counts that are kept in the repository.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    environment: Environment,
    /// Of each turn, by scenario.
    pub(crate) instructions: BTreeMap<String, u64>,
}

impl Kept {
    pub(crate) fn read() -> Result<Self> {
        let path = path();
        let text = std::fs::read_to_string(&path);
        let text = text.with_context(|| format!("read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))
    }

    fn write(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        let path = path();
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }
}

fn path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "counts.json"].iter().collect()
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(Work::Run { name, turns }) = &arguments.work {
        let scenario = find(name).with_context(|| format!("there is no scenario {name:?}"))?;
        // The order of hash maps, and of what is ready at the same time, is the same each time.
        sim::system::begin(1);
        (scenario.run)(*turns)?;
        println!("{}", processor());
        return Ok(ExitCode::SUCCESS);
    }
    let valgrind = Command::new("valgrind").arg("--version").output();
    if !valgrind.is_ok_and(|said| said.status.success()) {
        println!("SKIPPED: counts of instructions: valgrind is not here, or does not run");
        return Ok(ExitCode::SUCCESS);
    }
    let is_wanted = |scenario: &&Scenario| scenario.name.contains(&arguments.only);
    let wanted: Vec<_> = SCENARIOS.iter().filter(is_wanted).collect();
    ensure!(
        !wanted.is_empty(),
        "no scenario has {:?} in its name",
        arguments.only
    );
    let Counted {
        instructions,
        processor,
    } = count(&wanted)?;
    let now = Kept {
        environment: Environment::find(processor)?,
        instructions,
    };
    if arguments.update {
        now.write()?;
        println!("kept {} counts", now.instructions.len());
        return Ok(ExitCode::SUCCESS);
    }
    Ok(report(&Kept::read()?, &now))
}

/// Shows all counts, and says what is slower.
fn report(kept: &Kept, now: &Kept) -> ExitCode {
    let differences = now.environment.differences(&kept.environment);
    let mut slower = Vec::new();
    for (name, count) in &now.instructions {
        let verdict = Verdict::of(kept.instructions.get(name).copied(), *count);
        println!("{count:>12}  {name}{}", verdict.sentence());
        if verdict.is_failure() {
            slower.push(name);
        }
    }
    if !differences.is_empty() {
        // How much more another compiler, or copying memory in another way, comes to is not known.
        println!(
            "SKIPPED: judging counts of instructions: those that are kept were made elsewhere ({})",
            differences.join("; ")
        );
        return ExitCode::SUCCESS;
    }
    if slower.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!(
        "\nSLOWER: {slower:?} took over {MORE_MAX} % more instructions than are kept, or are not kept. \"Counts of instructions\" in \
         docs/PERFORMANCE.md says how to find where they go, and how to keep the new counts where it is worth that."
    );
    ExitCode::FAILURE
}

/// What a count is beside the one that is kept.
#[derive(Debug, PartialEq)]
enum Verdict {
    New,
    Same,
    Faster { kept: u64, percent: f64 },
    Slower { kept: u64, percent: f64 },
}

impl Verdict {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a percentage is shown with one digit"
    )]
    fn of(kept: Option<u64>, now: u64) -> Self {
        let Some(kept) = kept else { return Self::New };
        let percent = (now as f64 / kept.max(1) as f64 - 1.0) * 100.0;
        if percent > MORE_MAX {
            Self::Slower { kept, percent }
        } else if percent < -MORE_MAX {
            Self::Faster { kept, percent }
        } else {
            Self::Same
        }
    }

    const fn is_failure(&self) -> bool {
        matches!(self, Self::New | Self::Slower { .. })
    }

    fn sentence(&self) -> String {
        match self {
            Self::New => ": no count is kept".to_owned(),
            Self::Same => String::new(),
            Self::Faster { kept, percent } => {
                format!(": {:.1} % fewer than {kept}; keep it by --update", -percent)
            }
            Self::Slower { kept, percent } => format!(": SLOWER, {percent:.1} % more than {kept}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_is_allowed_is_slower_and_much_less_is_to_be_kept() {
        let check = |kept, now, expected: &str| {
            let sentence = Verdict::of(kept, now).sentence();
            assert_eq!(sentence, expected, "{kept:?} {now}");
        };
        check(Some(1000), 1029, "");
        check(Some(1000), 971, "");
        check(Some(1000), 1031, ": SLOWER, 3.1 % more than 1000");
        check(
            Some(1000),
            900,
            ": 10.0 % fewer than 1000; keep it by --update",
        );
        check(None, 1, ": no count is kept");
    }
}
