//! The store below the state: opening, rules, damage, failure.

use std::panic::AssertUnwindSafe;

use proto::master::{ClusterRules, Precondition};
use proto::name::NameRules;
use proto::{ErrorCode, WireError};

use disk::MemoryDisk;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::audit::Dump;
use super::bench::{
    Bench, changed, chunk, code, new_disk, node_command, numbers, open_on, open_with_cache, rules,
};
use crate::command::{ClusterMillis, Command, NodeNumber, TimedCommand};
use crate::folder::STORE;
use crate::state::{CHECKSUMS, Outcome, State, StateError, VersionRow};

#[test]
fn a_store_opens_again_with_what_it_had() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    let cluster = bench.state.cluster();
    drop(bench.state);
    let state = open_on(&bench.disk, rules()).unwrap();
    assert_eq!(state.cluster(), cluster);
    let row = state
        .read()
        .unwrap()
        .chunk(&chunk(1).chunk)
        .unwrap()
        .unwrap();
    assert_eq!(row.replicas, numbers(&[1, 2, 3]));
}

/// A block had fewer chunks than its version says: whoever opened the file never got an answer.
#[test]
fn a_block_that_is_too_short_is_damage() {
    let mut bench = Bench::new(3);
    let version = bench.put("/f", &[chunk(1)]).version;
    let snapshot = bench.read();
    let row = snapshot.version(version).unwrap().unwrap();
    let longer = VersionRow { size: 300, ..row };
    let chunks = snapshot.chunks_of(version, &longer, 0, 512);
    assert!(matches!(chunks, Err(StateError::Damaged(_))), "{chunks:?}");
}

#[test]
fn rules_that_are_fixed_are_refused() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    drop(bench.state);
    let chunk_size = ClusterRules {
        chunk_size: 200,
        ..rules()
    };
    let names = ClusterRules {
        names: NameRules::Portable,
        ..rules()
    };
    for other in [chunk_size, names] {
        let refusal = open_on(&bench.disk, other).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::InvalidArgument);
        assert!(refusal.message.contains("set "), "{refusal}");
    }
    bench.state = open_on(&bench.disk, rules()).unwrap();
    for other in [chunk_size, names] {
        let refused = bench.apply(Command::SetRules { rules: other });
        assert_eq!(code(refused), ErrorCode::InvalidArgument);
    }
}

/// The settings of a process changed its state without a command: two masters with other settings made other states of the
/// same commands.
#[test]
fn rules_are_those_of_the_commands_and_not_of_the_settings() {
    let mut bench = Bench::new(3);
    let two_copies = ClusterRules {
        replication_factor: 2,
        file_size_max: Some(150),
        ..rules()
    };
    bench
        .apply(Command::SetRules { rules: two_copies })
        .unwrap();
    bench.put("/f", &[chunk(1)]);
    let too_large = bench.try_put("/g", &[chunk(1), chunk(2)], Precondition::Any);
    assert_eq!(code(too_large), ErrorCode::TooLarge);
    let needs = |bench: &Bench| bench.read().counters().unwrap().needs_copies;
    assert_eq!(needs(&bench), 1, "it has three copies");
    drop(bench.state);
    bench.state = open_on(&bench.disk, rules()).unwrap();
    assert_eq!(bench.state.rules(), two_copies);
    bench.sweep(0, 0, 0);
    assert_eq!(needs(&bench), 1);

    let small_files = ClusterRules {
        file_size_max: Some(1),
        ..rules()
    };
    let other = open_on(&new_disk(), small_files).unwrap();
    let first = TimedCommand {
        at: ClusterMillis(0),
        wall_ms: 0,
        command: Command::SetRules { rules: rules() },
    };
    bench.log.insert(0, first);
    other.write().unwrap().run(&bench.log, true).unwrap();
    assert!(super::audit::dump(&other) == super::audit::dump(&bench.state));
}

/// All chunks were read anew in one transaction, at the start, in which nobody was answered.
#[test]
fn another_number_of_copies_is_counted_some_chunks_at_a_time() {
    let mut bench = Bench::new(4);
    let chunks: Vec<_> = (0..40).map(chunk).collect();
    bench.put("/f", &chunks);
    let needs = |bench: &Bench| bench.read().counters().unwrap().needs_copies;
    let sweep = |bench: &mut Bench| {
        let swept = bench.apply(Command::SweepSome {
            trash_before: ClusterMillis(0),
            versions_before: ClusterMillis(0),
            answers_before: ClusterMillis(0),
            limit: 8,
        });
        assert!(matches!(
            swept,
            Ok(Outcome::Swept {
                rows: 8,
                more: true
            })
        ));
    };
    let set = |bench: &mut Bench, replication_factor| {
        let rules = ClusterRules {
            replication_factor,
            ..rules()
        };
        bench.apply(Command::SetRules { rules }).unwrap();
    };
    set(&mut bench, 4);
    assert_eq!(needs(&bench), 0);
    for reached in [8, 16] {
        sweep(&mut bench);
        assert_eq!(needs(&bench), reached);
    }
    // What changes meanwhile is as it should be, reached or not.
    let (node, some) = (NodeNumber(4), chunks.iter().step_by(2));
    let some = some.map(|chunk| (chunk.chunk, chunk.len)).collect();
    let added = bench.apply(Command::AddReplicas {
        node,
        down: Vec::new(),
        chunks: some,
    });
    assert_eq!(changed(added), 20);
    bench.sweep(0, 0, 0);
    assert_eq!(needs(&bench), 20);

    set(&mut bench, 3);
    sweep(&mut bench);
    bench.delete("/f", true).unwrap();
    bench.sweep(0, 0, 0);
    assert_eq!(needs(&bench), 0);
}

/// A state with some files that was closed, and what is in it.
fn closed(files: u32) -> (MemoryDisk, Dump) {
    let mut bench = Bench::new(3);
    for file in 0..files {
        bench.put(&format!("/a/f{file}"), &[chunk(file)]);
    }
    let expected = super::audit::dump(&bench.state);
    drop(bench.state);
    (bench.disk, expected)
}

/// Flips of single bits all over the store's file: what it is like to open it after each.
fn each_flip(disk: &MemoryDisk, step: usize, mut check: impl FnMut(u64, Result<State, WireError>)) {
    let len = disk.content(STORE).unwrap().len() as u64;
    for offset in (0..len).step_by(step) {
        let disk = disk.fork();
        disk.flip(STORE, offset, 0x10);
        check(offset, open_on(&disk, rules()));
    }
}

/// All rows, or why they cannot be read.
fn read_all(state: &State) -> Result<Dump, String> {
    let read = std::panic::catch_unwind(AssertUnwindSafe(|| {
        super::audit::audit(state);
        super::audit::dump(state)
    }));
    read.map_err(|panic| *panic.downcast::<String>().unwrap())
}

/// A flipped bit anywhere must be found when a store is opened that has no checksums beside it, or be one that means
/// nothing.
#[test]
fn damage_is_found_when_the_store_is_opened() {
    let (disk, expected) = closed(10);
    disk.shared().remove(CHECKSUMS).unwrap();
    let mut found = 0;
    each_flip(&disk, 509, |offset, opened| match opened {
        Ok(state) => {
            let read = read_all(&state);
            assert!(
                read.is_ok_and(|read| read == expected),
                "after a flip at {offset}"
            );
        }
        Err(_) => found += 1,
    });
    assert!(found > 20, "only {found} flips were found");
}

/// A block's checksum was that of its first reading, and was kept although the store was refused: so the next start took it.
#[test]
fn a_store_that_was_refused_is_refused_again() {
    let (disk, _) = closed(10);
    disk.shared().remove(CHECKSUMS).unwrap();
    let len = disk.content(STORE).unwrap().len() as u64;
    let mut refused = 0;
    for offset in (0..len).step_by(509) {
        let disk = disk.fork();
        disk.flip(STORE, offset, 0x10);
        if open_on(&disk, rules()).is_err() {
            refused += 1;
            assert_eq!(disk.content(CHECKSUMS), None, "after a flip at {offset}");
            assert!(open_on(&disk, rules()).is_err(), "after a flip at {offset}");
        }
    }
    assert!(refused > 20, "only {refused} were refused");
}

/// With checksums, a store is opened without a look at all of it, and its disk may do harm later: whoever reads what is damaged is
/// told so, and so is whoever verifies it.
#[test]
fn damage_is_found_when_it_is_read() {
    let (disk, expected) = closed(200);
    let len = disk.content(STORE).unwrap().len() as u64;
    let mut found = 0;
    for offset in (0..len).step_by(4007) {
        let disk = disk.fork();
        let state = open_with_cache(&disk, rules(), 0).unwrap();
        disk.flip(STORE, offset, 0x10);
        let verified = verify_all(&state);
        match read_all(&state) {
            Ok(read) => assert!(read == expected, "wrong rows after a flip at {offset}"),
            Err(failure) => {
                found += 1;
                assert!(failure.contains("not what was written"), "{failure}");
                assert!(
                    matches!(verified, Err(StateError::Damaged(_))),
                    "{verified:?}"
                );
            }
        }
    }
    assert!(found > 20, "only {found} flips were found");
}

fn verify_all(state: &State) -> Result<(), StateError> {
    let mut next = Some(0);
    while let Some(from) = next {
        next = state.verify_some(from)?;
    }
    Ok(())
}

/// Checksums are of the store as it was closed: after a crash, or beside another state of the same store, they are not used.
#[test]
fn checksums_are_good_for_one_start_of_one_state() {
    let is_used = |disk: &MemoryDisk| {
        let mut opened_damaged = false;
        each_flip(disk, 4007, |_, opened| {
            opened_damaged |= opened.is_ok_and(|state| verify_all(&state).is_err());
        });
        opened_damaged
    };
    let (disk, _) = closed(200);
    let kept = disk.content(CHECKSUMS).unwrap();
    assert!(is_used(&disk));

    let state = open_on(&disk, rules()).unwrap();
    assert_eq!(disk.content(CHECKSUMS), None);
    verify_all(&state).unwrap();
    let crashed = disk.fork();
    crashed.put(CHECKSUMS, &kept);
    assert!(!is_used(&crashed), "of a store that was not closed");

    drop(state);
    assert!(disk.content(CHECKSUMS).is_some_and(|again| again != kept));
    disk.put(CHECKSUMS, &kept);
    assert!(!is_used(&disk), "of the state before");
}

/// A failed fsync loses what it should have kept, but a reader still sees it, and the next fsync reports success. What
/// is answered after such a failure must survive a power cut all the same.
#[test]
fn what_a_failed_fsync_lost_is_written_anew() {
    for seed in 0..20 {
        let mut bench = Bench::new(3);
        bench.put("/before", &[chunk(1)]);
        bench.disk.fail_syncs_after(0);
        // A change of rows that the later commands do not write again.
        let timed = TimedCommand {
            at: ClusterMillis(bench.now),
            wall_ms: 0,
            command: node_command(4),
        };
        assert!(bench.state.write().unwrap().run([&timed], true).is_err());
        assert!(bench.state.reopen().is_err(), "the disk still fails");
        assert!(bench.state.read().is_err(), "nothing is served from it");

        bench.disk.heal();
        if seed % 2 == 0 {
            bench.state.reopen().unwrap();
        } else {
            drop(bench.state);
            bench.state = open_on(&bench.disk, rules()).unwrap();
        }
        bench.put("/after", &[chunk(2)]);
        let expected = super::audit::dump(&bench.state);

        bench.disk.crash(&mut StdRng::seed_from_u64(seed));
        drop(bench.state);
        bench.state = open_on(&bench.disk, rules()).unwrap();
        super::audit::audit(&bench.state);
        assert!(super::audit::dump(&bench.state) == expected, "seed {seed}");
    }
}
