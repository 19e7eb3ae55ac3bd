//! Many seeds, each in a process of its own, and what came of them all.

use std::collections::BTreeMap;
use std::env;
use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::Mutex;

use crate::run::Outcome;

/// What must have happened in a series, for every hundred of its seeds: a run without faults proves nothing. What was set is
/// counted when it came to pass; the power cut with which each seed ends is not counted here.
const MINIMA: &[(&str, u64)] = &[
    ("changes acknowledged", 3000),
    ("reads verified", 1000),
    ("acknowledgements found durable", 400),
    ("files restored", 20),
    ("versions read again", 200),
    ("kills", 80),
    ("kills of clients", 30),
    ("power cuts with something unsynced", 100),
    ("power cuts of all", 10),
    ("stores not closed", 100),
    ("partitions", 100),
    ("damaged extents", 40),
    ("damaged files beside extents", 30),
    ("damaged files of the master", 6),
    ("damage refused by the master", 2),
    ("failed syncs", 20),
    ("failed writes", 10),
    ("failed reads", 4),
    ("failed opens", 8),
    ("full disks", 15),
    ("writes without room", 3),
    ("lost disks", 5),
    ("old disks", 4),
    ("old masters", 3),
    ("histories explained", 200),
];
/// No seed takes as long as this in real time.
const LONGEST: Duration = Duration::from_secs(600);
/// In fewer seeds than these, chance may leave something out or make it rare.
const SEEDS_THAT_SHOW_ALL: u64 = 50;
/// From so many on, nothing that is wanted once a seed is left out.
const SEEDS_THAT_SHOW_THE_COMMON: u64 = 10;

/// Which seeds, and how.
#[derive(Debug)]
pub struct Series {
    /// Which.
    pub seeds: Range<u64>,
    /// Each twice, to compare the traces.
    pub twice: bool,
    /// No seed is begun after this.
    pub longest: Option<Duration>,
    /// How many at once.
    pub jobs: usize,
}

/// The outcomes so far.
#[derive(Debug, Default)]
struct Sum {
    seeds: u64,
    /// The first and the last.
    range: Option<(u64, u64)>,
    seconds: u64,
    failed: Vec<u64>,
    counts: BTreeMap<String, u64>,
}

impl Series {
    /// Plays them all, and prints what came of them; whether all went well.
    pub fn play(&self) -> anyhow::Result<bool> {
        let began = Instant::now();
        let (next, sum) = (AtomicU64::new(self.seeds.start), Mutex::new(Sum::default()));
        thread::scope(|scope| {
            let work = || -> anyhow::Result<()> {
                while self.longest.is_none_or(|longest| began.elapsed() < longest) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !self.seeds.contains(&seed) {
                        break;
                    }
                    let outcome = self.play_one(seed)?;
                    sum.lock().add(outcome);
                }
                Ok(())
            };
            let workers: Vec<_> = (0..self.jobs).map(|_| scope.spawn(work)).collect();
            let joined = workers
                .into_iter()
                .map(|worker| worker.join().expect("workers do not panic"));
            joined.collect::<anyhow::Result<Vec<()>>>()
        })?;
        let sum = sum.into_inner();
        sum.print(began.elapsed().as_secs_f64());
        Ok(sum.seeds > 0 && sum.failed.is_empty() && sum.has_shown_all())
    }

    fn play_one(&self, seed: u64) -> anyhow::Result<Outcome> {
        let mut outcome = play_in_a_process(seed)?;
        if self.twice {
            let again = play_in_a_process(seed)?;
            if again.trace == outcome.trace {
                *outcome
                    .counts
                    .entry("seeds with the same trace twice".to_owned())
                    .or_default() += 1;
            } else {
                outcome.failures.push(format!(
                    "the same seed took another course: trace {} and {}",
                    outcome.trace, again.trace
                ));
            }
        }
        Ok(outcome)
    }
}

fn play_in_a_process(seed: u64) -> anyhow::Result<Outcome> {
    let program = env::current_exe().context("find this program")?;
    let mut child = Command::new(program)
        .args(["--one", &seed.to_string(), "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .context("start a process for a seed")?;
    let began = Instant::now();
    // What it says at its end is less than what a pipe takes.
    while child.try_wait().context("wait for a seed")?.is_none() {
        if began.elapsed() > LONGEST {
            child.kill().context("end a seed's process")?;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let played = child.wait_with_output().context("read what a seed says")?;
    Ok(
        serde_json::from_slice(&played.stdout).unwrap_or_else(|_| Outcome {
            seed,
            failures: vec![format!("its process ended: {}", played.status)],
            ..Outcome::default()
        }),
    )
}

impl Sum {
    fn add(&mut self, outcome: Outcome) {
        let seed = outcome.seed;
        self.seeds += 1;
        let (first, last) = self.range.unwrap_or((seed, seed));
        self.range = Some((first.min(seed), last.max(seed)));
        self.seconds += outcome.seconds;
        for (what, count) in outcome.counts {
            *self.counts.entry(what).or_default() += count;
        }
        if outcome.failures.is_empty() {
            return;
        }
        self.failed.push(seed);
        println!("seed {seed} failed (trace {}):", outcome.trace);
        for failure in &outcome.failures {
            println!("  {failure}");
        }
        println!("  to see it: cargo run --release -p sim -- --one {seed} --log");
    }

    /// Whether enough of everything happened; says what did not.
    fn has_shown_all(&self) -> bool {
        let count = |what| self.counts.get(what).copied().unwrap_or(0);
        let missing = MINIMA
            .iter()
            .filter(|(what, per_hundred)| count(*what) < wanted(*per_hundred, self.seeds));
        let missing: Vec<_> = missing.collect();
        for (what, per_hundred) in &missing {
            let wanted = wanted(*per_hundred, self.seeds);
            println!(
                "too few {what}: {wanted} are wanted in {} seeds",
                self.seeds
            );
        }
        missing.is_empty()
    }

    fn print(&self, elapsed: f64) {
        let Self { seeds, seconds, .. } = self;
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rate = *seeds as f64 / elapsed;
        println!(
            "{seeds} seeds, {rate:.2} seeds/s, {seconds} s of simulated time, {} failed",
            self.failed.len()
        );
        if let Some((first, last)) = self.range {
            println!("the first was {first}, the last {last}");
        }
        println!("{seeds:>10} seeds played");
        for (what, count) in &self.counts {
            println!("{count:>10} {what}");
        }
    }
}

/// How many are wanted in so many seeds.
fn wanted(per_hundred: u64, seeds: u64) -> u64 {
    if seeds >= SEEDS_THAT_SHOW_ALL {
        per_hundred * seeds / 100
    } else {
        u64::from(seeds >= SEEDS_THAT_SHOW_THE_COMMON && per_hundred >= 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_of(seeds: Range<u64>, counts: &[(&str, u64)]) -> Sum {
        let mut sum = Sum::default();
        for seed in seeds {
            let counts = counts.iter();
            sum.add(Outcome {
                seed,
                counts: counts
                    .map(|(what, count)| ((*what).to_owned(), *count))
                    .collect(),
                ..Outcome::default()
            });
        }
        sum
    }

    /// A series of fewer than fifty seeds was good also if nothing at all had happened in it.
    #[test]
    fn a_short_series_must_show_what_is_common() {
        let common = MINIMA.iter().filter(|(_, per_hundred)| *per_hundred >= 100);
        let common: Vec<_> = common.map(|(what, _)| (*what, 1)).collect();
        assert!(sum_of(0..9, &[]).has_shown_all(), "chance may be so");
        assert!(!sum_of(0..10, &[]).has_shown_all());
        assert!(!sum_of(0..49, &common[1..]).has_shown_all());
        assert!(sum_of(0..49, &common).has_shown_all());
        assert!(!sum_of(0..50, &common).has_shown_all());
        assert!(sum_of(0..50, MINIMA).has_shown_all());
    }

    #[test]
    fn a_series_says_which_seeds_it_played() {
        let sum = sum_of(7..12, &[]);
        assert_eq!((sum.seeds, sum.range), (5, Some((7, 11))));
    }
}
