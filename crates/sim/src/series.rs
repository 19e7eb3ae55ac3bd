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
/// In fewer seeds than these, chance may leave something out.
const SEEDS_THAT_SHOW_ALL: u64 = 50;

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
        self.seeds += 1;
        self.seconds += outcome.seconds;
        for (what, count) in outcome.counts {
            *self.counts.entry(what).or_default() += count;
        }
        if outcome.failures.is_empty() {
            return;
        }
        let seed = outcome.seed;
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
        let missing = MINIMA.iter().filter(|(what, per_hundred)| {
            self.seeds >= SEEDS_THAT_SHOW_ALL && count(*what) < per_hundred * self.seeds / 100
        });
        let missing: Vec<_> = missing.collect();
        for (what, per_hundred) in &missing {
            println!("too few {what}: {per_hundred} are wanted for every hundred seeds");
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
        for (what, count) in &self.counts {
            println!("{count:>10} {what}");
        }
    }
}
