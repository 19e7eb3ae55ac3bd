//! A short round of each family, with all of its verbs. What cannot be done here is left out, with a line that says so.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Cargo does not build the programs of another package for a test: the first test does.
fn build_programs() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = std::path::Path::new(env!("CARGO_BIN_EXE_chaos")).ancestors();
        let mut build = Command::new(env!("CARGO"));
        build
            // With examples cargo chooses the features that it chose for this test, and builds little.
            .args(["build", "--quiet", "--workspace", "--bins", "--examples"])
            .arg("--target-dir")
            .arg(
                folder
                    .clone()
                    .nth(2)
                    .expect("it is in a folder of a target"),
            )
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(
            build.status().expect("cargo runs").success(),
            "the programs do not build"
        );
    });
}

/// Plays a round with these families, which must go well, and must have had one of the faults where they can be done. One round
/// at a time: each is a cluster that must keep up with its clock.
fn play(families: &str, faults: &[&str]) {
    static ROUND: Mutex<()> = Mutex::new(());
    build_programs();
    let _alone = ROUND.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["--as-built", "--rounds", "1", "--seconds", "6"])
        .args(["--dense", "--mixed", "--only", families])
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    println!("{said}{complaints}");
    let left_out = said.matches(": left out: ").count();
    if left_out == families.split(',').count() {
        println!("SKIPPED: {families}");
        return;
    }
    assert!(output.status.success(), "{families}: {said}{complaints}");
    let counts: BTreeMap<&str, u64> = said
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .filter_map(|(count, what)| Some((what, count.parse().ok()?)))
        .collect();
    let count = |what: &str| counts.get(what).copied().unwrap_or(0);
    for what in [
        "changes acknowledged",
        "reads verified",
        "histories explained",
    ] {
        assert!(count(what) > 0, "no {what}: {said}");
    }
    if left_out > 0 {
        println!("SKIPPED: a part of {families}");
        return;
    }
    // Which of them a short round has, chance and the machine say.
    let happened: u64 = faults.iter().map(|what| count(what)).sum();
    assert!(happened > 0, "none of {faults:?}: {said}");
}

#[test]
fn kills_pauses_clocks_and_restarts() {
    let all = [
        "kills",
        "kills of clients",
        "pauses",
        "clock jumps",
        "restarts",
    ];
    play("kills,pauses,clocks,restarts", &all);
}

#[test]
fn power_cuts_and_full_disks() {
    let all = ["power cuts", "power cuts of all at once", "full disks"];
    play("power-cuts,full-disks", &all);
}

#[test]
fn failing_calls_and_disks() {
    let all = [
        "servers with failing calls",
        "calls that failed",
        "disks that failed to write back",
    ];
    play("errors,failing-disks", &all);
}

#[test]
fn rot_and_lost_disks() {
    play(
        "corruption,empty-disks",
        &["corruptions", "empty disks", "copies found corrupt"],
    );
}

#[test]
fn partitions() {
    play("partitions", &["partitions"]);
}

#[test]
fn killed_commands_and_servers_short_of_memory() {
    play(
        "commands,memory",
        &["kills of commands", "servers short of memory"],
    );
}

#[test]
fn chunks_that_nobody_can_save() {
    play("lost-chunks", &["chunks rotten on all nodes that had them"]);
}
