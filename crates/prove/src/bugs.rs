//! Planted bugs: each has to be found by the rungs that are there for it, or they prove nothing.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use parking_lot::Mutex;
use planted::Bug;

use crate::command::run_silently;
use crate::counts::tests_in;
use crate::programs::{Checkout, Programs};
use crate::table::Row;

/// Chooses the bug in a program that is built for it.
const PLANTED_BUG: &str = "DFS_PLANTED_BUG";

/// No seed, round or test takes as long as this.
const LONGEST: Duration = Duration::from_secs(600);
/// Rounds of real processes that are played at most to find a bug.
const ROUNDS: u64 = 8;

/// What is there to find a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    /// The simulation, in some seed.
    Simulation,
    /// Tests of a package whose names have this in them.
    Tests(&'static str, &'static str),
    /// Real processes, harmed in this way.
    Chaos(&'static str),
}

/// Whether a rung has found a bug.
#[derive(Debug, PartialEq, Eq)]
enum Find {
    By(String),
    Nothing,
    /// The rung cannot be climbed on this machine.
    LeftOut(String),
}

/// What finds a bug: the simulation where it needs few seeds, else the tests that are there for it. Many are found by both.
fn rung_for(bug: Bug) -> Rung {
    match bug {
        Bug::SyncRetried => Rung::Tests("storage-node", "one_failed_sync_costs_one_batch"),
        Bug::NodeAnswersFirst => Rung::Tests("storage-node", "a_failed_write_refuses"),
        Bug::PutsUnchecked => Rung::Tests("storage-node", "wrong_bytes_and_wrong_lengths"),
        Bug::RecordsUnchecked => Rung::Tests("storage-node", "names_the_wrong_record"),
        Bug::TornTailKept => Rung::Tests("storage-node", "a_tail_cut_at_any_byte"),
        Bug::TailCutEarly => Rung::Tests("storage-node", "has_a_good_record_behind_it"),
        Bug::ExtentRemovedFirst => Rung::Tests("storage-node", "any_step_of_a_compaction"),
        Bug::DeletionsDropped => Rung::Tests("storage-node", "could_not_be_removed_stays_known"),
        Bug::StaleOrdersTaken => Rung::Tests("storage-node", "never_from_the_past"),
        Bug::PromisesIgnored => Rung::Tests("master", "deletion_of_a_copy_exclude_each_other"),
        Bug::PlannedCopiesCounted => Rung::Tests("master", "only_a_surplus_copy_is_trimmed"),
        Bug::ReceiptsUnchecked => Rung::Tests("master", "cannot_redeem_old_receipts"),
        Bug::DoubtfulCopiesCounted => Rung::Tests("master", "are_no_reason_not_to_send"),
        Bug::OneCopyEnough => Rung::Tests("master", "only_receipts_that_prove"),
        Bug::TrimUnconfirmed => Rung::Tests("master", "unless_the_other_copies_are_confirmed"),
        Bug::UnknownDeletedAtOnce => Rung::Tests("master", "go_only_as_the_fuse_lets_them"),
        Bug::ClaimsIgnored => Rung::Tests("master", "races::a_copy_is_made_where"),
        Bug::DeletionsUnconfirmed => Rung::Tests("master", "on_a_failed_disk_stays_planned"),
        Bug::MissingCopiesKept => Rung::Tests("master", "an_inventory_finds_what_a_node_lost"),
        Bug::RequestsRepeated => Rung::Tests("master", "a_repeated_request_gives_the_same"),
        Bug::WitnessIgnored => Rung::Tests("master", "fewer_commands_than_were_answered"),
        Bug::ReadsUnchecked => Rung::Tests("storage-node", "a_read_finds_any_flipped_byte"),
        _ => Rung::Simulation,
    }
}

/// What has to find a bug too, on real disks.
fn real_rung_for(bug: Bug) -> Option<Rung> {
    match bug {
        Bug::NoFileSync | Bug::NodeAnswersFirst | Bug::MasterAnswersUnsynced => {
            Some(Rung::Chaos("power-cuts"))
        }
        Bug::MoveOverwrites => Some(Rung::Chaos("kills")),
        _ => None,
    }
}

/// Whether bugs are looked for in real processes too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RealSearches {
    Yes,
    No,
}

/// Plants each in these programs, which are armed, and says what found it.
pub(crate) fn find_all(
    checkout: &Checkout,
    programs: &Programs,
    seeds: u64,
    real: RealSearches,
) -> Row {
    let hunt = Hunt {
        checkout,
        programs,
        seeds,
    };
    let mut row = Row {
        rung: "planted bugs",
        command: "prove --only bugs".to_owned(),
        ..Row::default()
    };
    let (mut found, mut left_out) = (0, 0);
    println!();
    for bug in Bug::ALL {
        let before = row.failed.len();
        let real_rung = real_rung_for(*bug).filter(|_| real == RealSearches::Yes);
        for rung in std::iter::once(rung_for(*bug)).chain(real_rung) {
            let (name, what) = (bug.name(), bug.what());
            match hunt.find(*bug, rung) {
                Ok(Find::By(by)) => println!("{name:<26} found by {by}: {what}"),
                Ok(Find::LeftOut(why)) => {
                    println!("{name:<26} left out: {why}");
                    left_out += 1;
                }
                Ok(Find::Nothing) => row.failed.push(format!("{name} was not found: {what}")),
                Err(error) => row.failed.push(format!("{name}: {error:#}")),
            }
        }
        found += usize::from(row.failed.len() == before);
        for failed in &row.failed[before..] {
            println!("{failed}");
        }
    }
    row.shown.push(format!("{found} bugs planted and found"));
    if left_out > 0 {
        let without = format!("without {left_out} searches in real processes");
        row.shown.push(without);
    }
    row
}

/// What is needed to look for a bug.
struct Hunt<'h> {
    checkout: &'h Checkout,
    programs: &'h Programs,
    seeds: u64,
}

impl Hunt<'_> {
    fn find(&self, bug: Bug, rung: Rung) -> anyhow::Result<Find> {
        match rung {
            Rung::Simulation => self.in_simulation(bug),
            Rung::Tests(package, filter) => self.in_tests(bug, package, filter),
            Rung::Chaos(families) => self.in_real_processes(bug, families),
        }
    }

    /// Plays seeds, as many at once as there are processors, until one fails.
    fn in_simulation(&self, bug: Bug) -> anyhow::Result<Find> {
        let (next, is_found) = (AtomicU64::new(1), AtomicBool::new(false));
        let failed = Mutex::new(Vec::new());
        let play = || -> anyhow::Result<()> {
            while !is_found.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed > self.seeds {
                    break;
                }
                let mut sim = self.sim(seed);
                let ended = run_silently(sim.env(PLANTED_BUG, bug.name()), LONGEST)?;
                if ended.code == Some(1) {
                    is_found.store(true, Ordering::Relaxed);
                    failed.lock().push(seed);
                }
            }
            Ok(())
        };
        let processors = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let players: Vec<_> = (0..processors).map(|_| scope.spawn(play)).collect();
            let joined = players.into_iter().map(|player| {
                let joined = player.join();
                joined.expect("players do not panic")
            });
            joined.collect::<anyhow::Result<Vec<()>>>()
        })?;
        let Some(seed) = failed.into_inner().into_iter().min() else {
            return Ok(Find::Nothing);
        };
        // It must be the bug that it fails for.
        let sound = run_silently(&mut self.sim(seed), LONGEST)?;
        ensure!(sound.code == Some(0), "seed {seed} fails without any bug");
        Ok(Find::By(format!("the simulation, seed {seed}")))
    }

    fn sim(&self, seed: u64) -> Command {
        let mut command = self.programs.command("sim");
        command.args(["--one", &seed.to_string()]);
        command
    }

    fn in_tests(&self, bug: Bug, package: &str, filter: &str) -> anyhow::Result<Find> {
        let arguments = ["test", "--locked", "--package", package, "--tests"];
        let mut cargo = self.checkout.cargo(&arguments);
        // Tests of races are for a build of their own.
        let features = if filter.starts_with("races::") {
            "planted/armed,races"
        } else {
            "planted/armed"
        };
        cargo.args(["--no-fail-fast", "--features", features, filter]);
        let sound = run_silently(&mut cargo, LONGEST)?;
        ensure!(
            sound.code == Some(0) && tests_in(&sound.said).0 > 0,
            "no test of {package} has {filter} in its name, or it fails without any bug"
        );
        let with_bug = run_silently(cargo.env(PLANTED_BUG, bug.name()), LONGEST)?;
        Ok(match tests_in(&with_bug.said).1 {
            0 => Find::Nothing,
            _ => Find::By(format!("{package}'s test {filter}")),
        })
    }

    fn in_real_processes(&self, bug: Bug, families: &str) -> anyhow::Result<Find> {
        let play = |seed: u64, bug: Option<Bug>| {
            let mut chaos = self.programs.command("chaos");
            chaos.args(["--as-built", "--rounds", "1", "--seed", &seed.to_string()]);
            chaos.args(["--dense", "--mixed", "--seconds", "15", "--only", families]);
            chaos.envs(bug.map(|bug| (PLANTED_BUG, bug.name())));
            run_silently(&mut chaos, LONGEST)
        };
        let has_failed =
            |said: &str, seed| said.contains(&format!("seed {seed} failed ({families}"));
        for seed in 1..=ROUNDS {
            let ended = play(seed, Some(bug))?;
            if ended.said.contains(": left out: ") {
                return Ok(Find::LeftOut(ended.said.trim().to_owned()));
            }
            if has_failed(&ended.said, seed) {
                // It must be the bug that it fails for.
                let sound = play(seed, None)?;
                ensure!(
                    sound.code == Some(0),
                    "seed {seed} of {families} fails without any bug"
                );
                return Ok(Find::By(format!("real processes, {families}, seed {seed}")));
            }
        }
        Ok(Find::Nothing)
    }
}
