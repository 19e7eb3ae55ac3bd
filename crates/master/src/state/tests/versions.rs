//! Versions: listing, restoring and removing them, and what they are counted for.

use disk::MemoryDisk;
use proto::ErrorCode;
use proto::WireError;
use proto::id::VersionId;
use proto::master::{Entry, Precondition, VersionsListed};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::audit::{audit, dump};
use super::bench::{Bench, chunk, chunk_of, code, open_on, path, rules};
use crate::command::Command;
use crate::state::tables::{HEAD_KEY, Tables};
use crate::state::{Outcome, State, Sums, VersionSums};

impl Bench {
    fn restore_version(
        &mut self,
        at: &str,
        version: VersionId,
        precondition: Precondition,
    ) -> Result<Entry, WireError> {
        let request = self.request();
        let command = Command::RestoreVersion {
            request,
            path: path(at),
            version,
            precondition,
        };
        match self.apply(command)? {
            Outcome::VersionRestored(entry) => Ok(entry),
            other => panic!("{other:?}"),
        }
    }

    fn remove_version(&mut self, at: &str, version: VersionId) -> Result<Outcome, WireError> {
        let request = self.request();
        self.apply(Command::RemoveVersion {
            request,
            path: path(at),
            version,
        })
    }

    fn versions(&self, at: &str) -> VersionsListed {
        self.read().versions_page(&path(at), None, 99).unwrap()
    }

    fn former(&self) -> VersionSums {
        self.read().counters().unwrap().former
    }
}

fn numbers(listed: &VersionsListed) -> (u64, Vec<u64>) {
    let former = listed.former.iter().map(|row| row.version.0);
    (listed.current.version.0, former.collect())
}

/// Three versions of a file of 100, 30 and 200 bytes.
fn with_three_versions() -> (Bench, [VersionId; 3]) {
    let mut bench = Bench::new(3);
    let contents = [
        vec![chunk(1)],
        vec![chunk_of(2, 30)],
        vec![chunk(3), chunk(4)],
    ];
    let versions = contents.map(|chunks| bench.put("/a/f", &chunks).version);
    (bench, versions)
}

#[test]
fn a_restored_version_changes_places_with_the_current_one() {
    let (mut bench, [first, second, third]) = with_three_versions();
    assert_eq!(
        numbers(&bench.versions("/a/f")),
        (third.0, vec![second.0, first.0])
    );
    let sums = |versions, bytes| VersionSums { versions, bytes };
    assert_eq!(bench.former(), sums(2, 130));
    let entry = bench
        .restore_version("/a/f", first, Precondition::Any)
        .unwrap();
    assert!(matches!(entry, Entry::File { size: 100, version, .. } if version == first));
    assert_eq!(
        numbers(&bench.versions("/a/f")),
        (first.0, vec![third.0, second.0])
    );
    assert_eq!(bench.former(), sums(2, 230));
    let below = Sums {
        files: 1,
        folders: 1,
        bytes: 100,
    };
    assert_eq!(bench.read().sums().unwrap(), below);
    assert_eq!(
        bench.read().counters().unwrap().chunks,
        4,
        "no chunk is touched"
    );

    // The next upload follows it, and is the latest.
    let fourth = bench.put("/a/f", &[chunk(9)]).version;
    let former = vec![third.0, second.0, first.0];
    assert_eq!(numbers(&bench.versions("/a/f")), (fourth.0, former));
}

#[test]
fn what_is_current_already_is_restored_without_a_change() {
    let (mut bench, [_, _, third]) = with_three_versions();
    let before = bench.versions("/a/f");
    bench
        .restore_version("/a/f", third, Precondition::Any)
        .unwrap();
    let after = bench.versions("/a/f");
    assert_eq!(after.current, before.current);
    assert_eq!(numbers(&after), numbers(&before));
}

#[test]
fn versions_that_cannot_be_restored_are_refused() {
    let (mut bench, [first, second, third]) = with_three_versions();
    let other = bench.put("/g", &[chunk(5)]).version;
    let mut check = |at: &str, version, precondition, expected: Option<ErrorCode>| {
        let restored = bench.restore_version(at, version, precondition);
        let refused = restored.err().map(|refusal| refusal.code);
        assert_eq!(refused, expected, "{at} {version} {precondition:?}");
    };
    let any = Precondition::Any;
    check("/a/f", other, any, Some(ErrorCode::NotFound));
    check("/a/f", VersionId(99), any, Some(ErrorCode::NotFound));
    check("/none", first, any, Some(ErrorCode::NotFound));
    check("/a", first, any, Some(ErrorCode::IsAFolder));
    check("/", first, any, Some(ErrorCode::IsAFolder));
    let failed = Some(ErrorCode::PreconditionFailed);
    check("/a/f", first, Precondition::Version(second), failed);
    check("/a/f", first, Precondition::Absent, failed);
    check("/a/f", first, Precondition::Version(third), None);
    let listed = bench.read().versions_page(&path("/a"), None, 9);
    assert!(matches!(listed, Err(crate::state::StateError::Refused(_))));
}

#[test]
fn a_former_version_is_removed_for_good_and_the_current_one_is_not() {
    let (mut bench, [first, second, third]) = with_three_versions();
    assert_eq!(
        code(bench.remove_version("/a/f", third)),
        ErrorCode::PreconditionFailed
    );
    bench.remove_version("/a/f", first).unwrap();
    assert_eq!(
        code(bench.remove_version("/a/f", first)),
        ErrorCode::NotFound
    );
    // Its rows are still there, and nobody gets it any more.
    let opened = bench.read().file(&path("/a/f"), Some(first));
    assert!(opened.is_err(), "{opened:?}");
    assert_eq!(
        code(bench.restore_version("/a/f", first, Precondition::Any)),
        ErrorCode::NotFound
    );
    assert_eq!(numbers(&bench.versions("/a/f")), (third.0, vec![second.0]));
    bench.sweep(0, 0, 0);
    assert_eq!(bench.read().counters().unwrap().garbage, 1);
    assert_eq!(bench.former().versions, 1);
}

/// A version that was restored is the current one, however old: only what it replaced grows old, from then on.
#[test]
fn a_restored_version_does_not_grow_old() {
    let (mut bench, [first, second, third]) = with_three_versions();
    let before = bench.now + 1;
    bench
        .restore_version("/a/f", first, Precondition::Any)
        .unwrap();
    bench.sweep(0, before, 0);
    assert_eq!(numbers(&bench.versions("/a/f")), (first.0, vec![third.0]));
    assert!(bench.read().file(&path("/a/f"), Some(second)).is_err());
    bench.sweep(0, bench.now + 1, 0);
    assert_eq!(numbers(&bench.versions("/a/f")), (first.0, vec![]));
}

#[test]
fn a_repeated_request_about_a_version_is_done_once() {
    let (mut bench, [first, second, third]) = with_three_versions();
    let restore = Command::RestoreVersion {
        request: bench.request(),
        path: path("/a/f"),
        version: first,
        precondition: Precondition::Version(third),
    };
    let remove = Command::RemoveVersion {
        request: bench.request(),
        path: path("/a/f"),
        version: second,
    };
    for command in [restore.clone(), remove] {
        let answer = bench.apply(command.clone()).unwrap();
        let before = dump(&bench.state);
        assert_eq!(bench.apply(command), Ok(answer));
        assert!(dump(&bench.state) == before);
    }
    let Command::RestoreVersion { request, .. } = restore else {
        unreachable!("it is written so");
    };
    let other = Command::RemoveVersion {
        request,
        path: path("/a/f"),
        version: third,
    };
    assert_eq!(code(bench.apply(other)), ErrorCode::InvalidArgument);
}

#[test]
fn former_versions_are_listed_in_pages_with_their_age() {
    let (mut bench, [first, second, third]) = with_three_versions();
    let replaced = bench.now;
    bench.delete("/nothing", false).unwrap_err();
    let page = |before| {
        bench
            .read()
            .versions_page(&path("/a/f"), before, 1)
            .unwrap()
    };
    let top = page(None);
    assert_eq!((numbers(&top), top.more), ((third.0, vec![second.0]), true));
    assert_eq!(top.current.former_for_ms, None);
    let age = bench.read().now().unwrap().0 - replaced;
    assert_eq!(top.former[0].former_for_ms, Some(age));
    assert!(age > 0);
    let next = page(Some(second));
    assert_eq!(
        (numbers(&next), next.more),
        ((third.0, vec![first.0]), false)
    );
}

/// Where a file with former versions goes, they go too, and are counted until the sweep has come to them.
#[test]
fn former_versions_are_counted_wherever_their_file_is() {
    let (mut bench, _) = with_three_versions();
    let all = bench.former();
    bench.delete("/a", false).unwrap();
    assert_eq!(bench.former(), all, "in the trash");
    let request = bench.request();
    bench
        .apply(Command::RestoreEntry {
            request,
            trash: proto::master::TrashId(1),
            to: Some(path("/b")),
        })
        .unwrap();
    assert_eq!(bench.former(), all);
    assert_eq!(bench.versions("/b/f").former.len(), 2);
    bench.delete("/b", true).unwrap();
    bench.sweep(0, 0, 0);
    assert_eq!(bench.former(), VersionSums::default());
}

/// Rows that differ between two dumps.
fn changed_rows(before: &State, after: &State) -> usize {
    let (before, after) = (dump(before), dump(after));
    let differ = |name: &&'static str| {
        let is_in = |rows: &[(Vec<u8>, Vec<u8>)], row| rows.binary_search(row).is_ok();
        let (old, new) = (&before[*name], &after[*name]);
        let gone = old.iter().filter(|row| !is_in(new, row)).count();
        gone + new.iter().filter(|row| !is_in(old, row)).count()
    };
    before.keys().map(differ).sum()
}

/// Deleting a folder, restoring it, and restoring a version write as many rows, whatever lies below and however large it is.
#[test]
fn deleting_and_restoring_write_a_few_rows_whatever_is_below() {
    let rows_of = |files: u32, chunks: u32| {
        let mut bench = Bench::new(3);
        for file in 0..files {
            let at = format!("/a/b{}/f{file}", file % 2);
            bench.put(&at, &[chunk(file)]);
            bench.put(&at, &[chunk(file + 1000)]);
        }
        let large: Vec<_> = (0..chunks).map(|number| chunk(number + 2000)).collect();
        let first = bench.put("/a/large", &large).version;
        bench.put("/a/large", &[]);
        let mut written = Vec::new();
        let mut step = |bench: &mut Bench, command: &dyn Fn(&mut Bench)| {
            let before = open_on(&bench.disk.fork(), rules()).unwrap();
            command(bench);
            written.push(changed_rows(&before, &bench.state));
        };
        step(&mut bench, &|bench| {
            bench
                .restore_version("/a/large", first, Precondition::Any)
                .unwrap();
        });
        step(&mut bench, &|bench| {
            bench.delete("/a", false).unwrap();
        });
        step(&mut bench, &|bench| {
            let request = bench.request();
            let trash = proto::master::TrashId(1);
            let restore = Command::RestoreEntry {
                request,
                trash,
                to: None,
            };
            bench.apply(restore).unwrap();
        });
        written
    };
    let (few, many) = (rows_of(2, 1), rows_of(60, 200));
    assert_eq!(few, many);
    assert!(few.iter().all(|rows| *rows < 25), "{few:?}");
}

/// Lets the store be as a program left it that did not count former versions, and had no table of subfolders: its head
/// ended before their sums.
fn make_old(state: &State) {
    let transaction = state.write().unwrap().transaction;
    let mut tables = Tables::open(&transaction).unwrap();
    tables.subfolders.retain(|_, ()| false).unwrap();
    let mut head = tables.head.clone();
    head.counters.former = VersionSums::default();
    let mut bytes = head.encode();
    // The format, two sums that are zero, and the number of the first share.
    bytes[0] = 1;
    assert_eq!(bytes.split_off(bytes.len() - 3), [0, 0, 1]);
    tables.folder_names.retain(|_, _| false).unwrap();
    tables.meta.insert(HEAD_KEY, bytes.as_slice()).unwrap();
    drop(tables);
    transaction.commit().unwrap();
}

/// A store of a program that did not count former versions, with the sums that they have.
fn old_store() -> (MemoryDisk, VersionSums) {
    let (mut bench, [first, ..]) = with_three_versions();
    bench
        .restore_version("/a/f", first, Precondition::Any)
        .unwrap();
    bench.delete("/a/f", false).unwrap();
    let sums = bench.former();
    make_old(&bench.state);
    drop(bench.state);
    (bench.disk, sums)
}

#[test]
fn former_versions_of_an_older_store_are_counted_when_it_is_opened() {
    let (disk, sums) = old_store();
    for _ in 0..2 {
        let state = open_on(&disk, rules()).unwrap();
        assert_eq!(state.read().unwrap().counters().unwrap().former, sums);
        audit(&state);
    }
}

/// The power is cut after each of the writes in which an older store is opened: they are counted the next time.
#[test]
fn a_power_cut_while_an_older_store_is_opened_leaves_the_sums_right() {
    let (disk, sums) = old_store();
    let before = disk.changes();
    open_on(&disk.fork(), rules()).unwrap();
    for stop_after in 0..200 {
        let disk = disk.fork();
        disk.stop_after(stop_after);
        let opened = open_on(&disk, rules());
        let was_whole = opened.is_ok();
        disk.crash(&mut StdRng::seed_from_u64(stop_after));
        drop(opened);
        let state = open_on(&disk, rules()).unwrap();
        assert_eq!(state.read().unwrap().counters().unwrap().former, sums);
        audit(&state);
        if was_whole {
            assert!(stop_after > 0 && disk.changes() > before);
            return;
        }
    }
    panic!("it was never opened");
}
