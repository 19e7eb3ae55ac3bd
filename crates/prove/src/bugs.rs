//! Planted bugs: each has to be found by the rung that is there for it, or the rung proves nothing.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, ensure};
use parking_lot::Mutex;
use planted::Bug;

use crate::counts::tests_in;
use crate::programs::{Checkout, Programs};
use crate::table::Row;

/// Chooses the bug in a program that is built for it.
const PLANTED_BUG: &str = "DFS_PLANTED_BUG";

/// What is there to find a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    /// The simulation, in some seed.
    Simulation,
    /// Tests of a package whose names have this in them.
    Tests(&'static str, &'static str),
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
        Bug::UnknownDeletedAtOnce => Rung::Tests("master", "their_grace_and_two_inventories"),
        Bug::MissingCopiesKept => Rung::Tests("master", "an_inventory_finds_what_a_node_lost"),
        Bug::RequestsRepeated => Rung::Tests("master", "a_repeated_request_gives_the_same"),
        Bug::WitnessIgnored => Rung::Tests("master", "fewer_commands_than_were_answered"),
        Bug::ReadsUnchecked => Rung::Tests("storage-node", "a_read_finds_any_flipped_byte"),
        _ => Rung::Simulation,
    }
}

/// Plants each, and says what found it.
pub(crate) fn find_all(checkout: &Checkout, seeds: u64) -> anyhow::Result<Row> {
    let programs = checkout.build_armed()?;
    let mut row = Row {
        rung: "planted bugs",
        command: "prove --only bugs".to_owned(),
        ..Row::default()
    };
    println!();
    for bug in Bug::ALL {
        let found = match rung_for(*bug) {
            Rung::Simulation => in_simulation(&programs, *bug, seeds)?,
            Rung::Tests(package, filter) => in_tests(checkout, *bug, (package, filter))?,
        };
        let (name, what) = (bug.name(), bug.what());
        if let Some(by) = found {
            println!("{name:<26} found by {by}: {what}");
            row.shown.push(format!("{name}: {by}"));
        } else {
            println!("{name:<26} NOT FOUND: {what}");
            row.failed.push(format!("{name} was not found"));
        }
    }
    Ok(row)
}

/// Plays seeds, as many at once as there are processors, until one fails.
fn in_simulation(programs: &Programs, bug: Bug, seeds: u64) -> anyhow::Result<Option<String>> {
    let (next, is_found) = (AtomicU64::new(1), AtomicBool::new(false));
    let failed = Mutex::new(Vec::new());
    let play = || -> anyhow::Result<()> {
        while !is_found.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > seeds {
                break;
            }
            let mut command = programs.command("sim");
            command
                .args(["--one", &seed.to_string()])
                .env(PLANTED_BUG, bug.name());
            if fails(&mut command)? {
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
        return Ok(None);
    };
    // It must be the bug that it fails for.
    let mut sound = programs.command("sim");
    sound.args(["--one", &seed.to_string()]);
    ensure!(!fails(&mut sound)?, "seed {seed} fails without any bug");
    Ok(Some(format!("simulation, seed {seed}")))
}

fn in_tests(
    checkout: &Checkout,
    bug: Bug,
    (package, filter): (&str, &str),
) -> anyhow::Result<Option<String>> {
    let arguments = ["test", "--locked", "--package", package, "--tests"];
    let mut cargo = checkout.cargo(&arguments);
    cargo.args(["--features", "planted/armed", filter]);
    cargo.stderr(Stdio::null()).stdin(Stdio::null());
    let sound = cargo.output().context("run a test without any bug")?;
    let (passed, _) = tests_in(&String::from_utf8_lossy(&sound.stdout));
    ensure!(
        sound.status.success() && passed > 0,
        "no test of {package} has {filter} in its name, or it fails without any bug"
    );
    let is_found = fails(cargo.env(PLANTED_BUG, bug.name()))?;
    Ok(is_found.then(|| format!("{package}'s test {filter}")))
}

fn fails(command: &mut Command) -> anyhow::Result<bool> {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null());
    let ended = silent.stderr(Stdio::null()).status();
    Ok(!ended.context("run what is to find a bug")?.success())
}
