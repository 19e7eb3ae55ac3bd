//! Rounds, one after another, and what came of them all.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::faults::Family;
use crate::journal::Counts;
use crate::round::{Outcome, Plan};

/// Which rounds, and how.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) seed: u64,
    /// At most so many rounds.
    pub(crate) rounds: u64,
    /// None is begun after this.
    pub(crate) longest: Option<Duration>,
    pub(crate) families: Vec<Family>,
    /// Each round has all families, not those that its seed draws.
    pub(crate) all_at_once: bool,
    pub(crate) harm_for: Duration,
    pub(crate) is_dense: bool,
    pub(crate) namespaces: bool,
}

/// What is always shown, though it be nothing.
const ALWAYS: [&str; 5] = [
    "changes acknowledged",
    "reads verified",
    "histories explained",
    "names lost",
    "wrong answers",
];
/// What is asked for must have happened in so long a harm; in a shorter one, chance may leave something out,
const HARM_THAT_SHOWS_ALL: Duration = Duration::from_secs(90);
/// but not all of a family in one of three rounds of the usual length.
const HARM_THAT_SHOWS_SOME: Duration = Duration::from_secs(60);

/// What every such run has, whatever it is harmed by: a judge that sees none of it judges nothing.
const SEEN: [&str; 2] = ["copies seen on record", "chunks seen to be removed"];

/// The outcomes so far.
#[derive(Debug, Default)]
struct Sum {
    rounds: u64,
    failed: Vec<u64>,
    harmed_in_all: Duration,
    /// Time of harm by family, as an index of all.
    harmed: Vec<(Family, Duration)>,
    counts: Counts,
    largest: Counts,
}

impl Series {
    /// Plays them, and prints what came of them; whether all went well.
    pub(crate) async fn play(&self) -> anyhow::Result<bool> {
        let (began, mut sum) = (Instant::now(), Sum::default());
        for seed in (self.seed..).take(usize::try_from(self.rounds).unwrap_or(usize::MAX)) {
            if self
                .longest
                .is_some_and(|longest| began.elapsed() >= longest)
            {
                break;
            }
            self.play_one(seed, &mut sum).await?;
        }
        sum.print(self.seed, began.elapsed());
        Ok(sum.rounds > 0 && sum.failed.is_empty() && sum.has_shown_all())
    }

    async fn play_one(&self, seed: u64, sum: &mut Sum) -> anyhow::Result<()> {
        let mut plan = Plan {
            seed,
            families: self.families.clone(),
            harm_for: self.harm_for,
            is_dense: self.is_dense,
            namespaces: self.namespaces,
        };
        plan.draw(self.all_at_once);
        let folder = tempfile::Builder::new()
            .prefix("chaos-")
            .tempdir()
            .context("make a folder")?;
        let outcome = plan.play(folder.path()).await;
        let outcome = outcome.unwrap_or_else(|error| Outcome::broken(&error));
        let failed = !outcome.failures.is_empty();
        println!(
            "seed {seed}{} ({}{}): {} changes acknowledged",
            if failed { " failed" } else { "" },
            names(&plan.families),
            if plan.is_dense { ", dense" } else { "" },
            outcome.counts.get("changes acknowledged").unwrap_or(&0),
        );
        for failure in &outcome.failures {
            println!("  {failure}");
        }
        if failed {
            println!("  what happened is in {}", folder.keep().display());
            println!("  again: {}", self.again(seed));
        }
        sum.add(&plan, outcome);
        Ok(())
    }

    fn again(&self, seed: u64) -> String {
        let mut line = format!(
            "cargo run --release -p chaos -- --rounds 1 --seed {seed} --seconds {} --only {}",
            self.harm_for.as_secs(),
            names(&self.families)
        );
        let flags = [
            ("--dense", self.is_dense),
            ("--namespaces", self.namespaces),
            ("--mixed", self.all_at_once),
        ];
        for (flag, _) in flags.iter().filter(|(_, is_set)| *is_set) {
            line.extend([" ", flag]);
        }
        line
    }
}

impl Outcome {
    fn broken(error: &anyhow::Error) -> Self {
        Self {
            counts: Counts::new(),
            largest: Counts::new(),
            failures: vec![format!("{error:#}")],
        }
    }
}

impl Sum {
    fn add(&mut self, plan: &Plan, outcome: Outcome) {
        self.rounds += 1;
        self.harmed_in_all += plan.harm_for;
        if !outcome.failures.is_empty() {
            self.failed.push(plan.seed);
        }
        for (what, count) in outcome.counts {
            *self.counts.entry(what).or_default() += count;
        }
        for (what, value) in outcome.largest {
            let largest = self.largest.entry(what).or_default();
            *largest = value.max(*largest);
        }
        for family in &plan.families {
            match self.harmed.iter_mut().find(|(known, _)| known == family) {
                Some((_, harmed)) => *harmed += plan.harm_for,
                None => self.harmed.push((*family, plan.harm_for)),
            }
        }
    }

    /// Whether enough of everything happened that was asked for; says what did not.
    fn has_shown_all(&self) -> bool {
        let mut all = self.harmed_in_all < HARM_THAT_SHOWS_SOME || self.has_seen_all();
        for (family, harmed) in &self.harmed {
            let minima = family.minima();
            if *harmed >= HARM_THAT_SHOWS_SOME
                && minima.iter().all(|(what, _)| self.count_of(what) == 0)
            {
                println!("nothing of {} has happened", family.name());
                all = false;
            } else if *harmed >= HARM_THAT_SHOWS_ALL {
                all &= self.has_enough(minima, *harmed);
            }
        }
        all
    }

    fn has_seen_all(&self) -> bool {
        let mut all = true;
        for what in SEEN.iter().filter(|what| self.count_of(what) == 0) {
            println!("no {what}");
            all = false;
        }
        all
    }

    fn has_enough(&self, minima: &[(&str, f64)], harmed: Duration) -> bool {
        let mut all = true;
        for (what, a_minute) in minima {
            let least = (a_minute * harmed.as_secs_f64() / 60.0).floor();
            let count = self.count_of(what);
            #[expect(clippy::cast_precision_loss, reason = "they are small")]
            if (count as f64) < least {
                println!("too few {what}: {count}, of {least} at least");
                all = false;
            }
        }
        all
    }

    fn count_of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    fn print(&self, first: u64, elapsed: Duration) {
        let last = first + self.rounds.saturating_sub(1);
        println!(
            "{} rounds, seeds {first} to {last}, {} s, {} failed {:?}",
            self.rounds,
            elapsed.as_secs(),
            self.failed.len(),
            self.failed
        );
        let mut counts = self.counts.clone();
        for what in ALWAYS {
            counts.entry(what.to_owned()).or_default();
        }
        counts.insert("rounds played".to_owned(), self.rounds);
        for (what, count) in &counts {
            println!("{count:>10} {what}");
        }
        for (what, value) in &self.largest {
            println!("{value:>10} {what}, at most");
        }
    }
}

fn names(families: &[Family]) -> String {
    let names: Vec<_> = families.iter().map(|family| family.name()).collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(harmed: u64, counts: &[(&str, u64)]) -> Sum {
        let counts = counts
            .iter()
            .map(|(what, count)| ((*what).to_owned(), *count));
        Sum {
            harmed: vec![(Family::Kills, Duration::from_secs(harmed))],
            counts: counts.collect(),
            ..Sum::default()
        }
    }

    /// The end of each round kills all servers in peace, which was counted like a kill under load, and a run of two minutes was
    /// too short for minima to be looked at: a family that did nothing was not seen.
    #[test]
    fn a_family_that_does_nothing_is_seen() {
        let only_at_the_end = [("kills of all in peace", 3)];
        assert!(!after(60, &only_at_the_end).has_shown_all());
        assert!(after(60, &[("kills", 1)]).has_shown_all());
        assert!(!after(300, &[("kills", 1)]).has_shown_all());
        assert!(after(300, &[("kills", 50), ("kills of clients", 9)]).has_shown_all());
        assert!(after(6, &[]).has_shown_all());
    }

    /// Who looks what the master has on record may see nothing, or may have died: then nothing that is left of files that are
    /// gone was ever found.
    #[test]
    fn a_judge_that_sees_nothing_is_seen() {
        let seen = SEEN.map(|what| (what, 1));
        let run = |seconds, counts| Sum {
            harmed_in_all: Duration::from_secs(seconds),
            ..after(0, counts)
        };
        assert!(run(60, &seen).has_shown_all());
        assert!(!run(60, &seen[..1]).has_shown_all());
        assert!(!run(60, &seen[1..]).has_shown_all());
        assert!(run(6, &[]).has_shown_all());
    }
}
