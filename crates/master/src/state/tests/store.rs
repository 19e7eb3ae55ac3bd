//! The store below the state: opening, rules, damage, failure.

use proto::ErrorCode;
use proto::master::{ClusterRules, Precondition};
use proto::name::NameRules;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::bench::{Bench, changed, chunk, code, new_disk, node_command, numbers, open_on, rules};
use crate::command::{ClusterMillis, Command, NodeNumber, TimedCommand};
use crate::state::{Outcome, StateError, VersionRow};

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

/// A flipped bit anywhere must be found when the store is opened, or be one that means nothing.
#[test]
fn damage_is_found_when_the_store_is_opened() {
    let mut bench = Bench::new(3);
    for file in 0..10 {
        bench.put(&format!("/a/f{file}"), &[chunk(file)]);
    }
    drop(bench.state);
    let dump = |disk: &disk::MemoryDisk| {
        let state = open_on(disk, rules())?;
        super::audit::audit(&state);
        Ok::<_, proto::WireError>(super::audit::dump(&state))
    };
    let expected = dump(&bench.disk.fork()).unwrap();
    let len = bench.disk.content("state.redb").unwrap().len() as u64;
    let mut found = 0;
    for offset in (0..len).step_by(509) {
        let disk = bench.disk.fork();
        disk.flip("state.redb", offset, 0x10);
        match std::panic::catch_unwind(|| dump(&disk)) {
            Ok(Ok(state)) => assert!(state == expected, "wrong rows after a flip at {offset}"),
            Ok(Err(_)) => found += 1,
            Err(panic) => panic!("a flip at {offset} was found only when used: {panic:?}"),
        }
    }
    assert!(found > 20, "only {found} flips were found");
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
