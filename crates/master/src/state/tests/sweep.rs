//! The sweep: purged trees, old versions, old trash, old answers.

use proto::ErrorCode;
use proto::master::Precondition;

use super::bench::{Bench, chunk, code, path, stored};
use crate::command::Command;

#[test]
fn a_purged_tree_is_gone_at_once_and_swept_to_the_last_row() {
    let mut bench = Bench::new(3);
    for file in 0..20 {
        bench.put(&format!("/a/b{}/c/f{file}", file % 4), &[chunk(file)]);
        bench.put(&format!("/a/b{}/c/f{file}", file % 4), &[chunk(file + 100)]);
    }
    bench.put("/kept", &[chunk(3)]);
    bench.delete("/a", true).unwrap();
    assert_eq!(bench.tree(), ["/kept"]);
    bench.sweep(0, 0, 0);
    let counters = bench.read().counters().unwrap();
    assert_eq!(
        (counters.purges, counters.chunks, counters.garbage),
        (0, 1, 39)
    );
    assert_eq!(bench.collect(), 3 * 39);
}

#[test]
fn an_emptied_trash_and_an_old_one_are_swept() {
    let mut bench = Bench::new(3);
    for file in ["/a/1", "/a/2", "/b", "/c"] {
        bench.put(file, &[chunk(u32::try_from(bench.log.len()).unwrap())]);
    }
    bench.delete("/a", false).unwrap();
    let request = bench.request();
    bench
        .apply(Command::EmptyTrash {
            request,
            trash: None,
        })
        .unwrap();
    bench.delete("/b", false).unwrap();
    let between = bench.now + 1;
    bench.delete("/c", false).unwrap();
    bench.sweep(0, 0, 0);
    assert_eq!(bench.read().counters().unwrap().garbage, 2);
    assert_eq!(bench.read().trash_page(None, 9).unwrap().entries.len(), 2);
    bench.sweep(between, 0, 0);
    assert_eq!(bench.read().counters().unwrap().garbage, 3);
    let left = bench.read().trash_page(None, 9).unwrap().entries;
    assert_eq!(left[0].path, path("/c"));
    assert_eq!(left.len(), 1);
}

#[test]
fn former_versions_go_when_they_are_old_and_the_current_one_stays() {
    let mut bench = Bench::new(3);
    let first = bench.put("/f", &[chunk(1)]);
    let second = bench.put("/f", &[chunk(2)]);
    let replaced = bench.now;
    let third = bench.put("/f", &[chunk(3)]);
    bench.sweep(0, replaced + 1, 0);
    let snapshot = bench.read();
    let version = |version| snapshot.file(&path("/f"), Some(version)).map(|(v, _)| v);
    assert!(version(first.version).is_err());
    assert_eq!(version(second.version).unwrap(), second.version);
    assert_eq!(version(third.version).unwrap(), third.version);
    drop(snapshot);
    assert_eq!(bench.read().counters().unwrap().garbage, 1);
    bench.sweep(0, bench.now + 1, 0);
    assert_eq!(bench.read().counters().unwrap().chunks, 1);
}

#[test]
fn answers_are_forgotten_when_they_are_old() {
    let mut bench = Bench::new(3);
    let upload = bench.upload_id();
    bench.allocate(upload, &[chunk(1)], &[1, 2, 3]).unwrap();
    let chunks = [stored(upload, &chunk(1), &[1, 2, 3])];
    let first = bench.commit(upload, "/f", 0, &chunks).unwrap();
    bench.sweep(0, 0, bench.now);
    assert_eq!(bench.commit(upload, "/f", 0, &chunks), Ok(first));
    bench.sweep(0, 0, bench.now);
    let late = bench.commit_if(upload, "/f", (100, 0), &chunks, Precondition::Any);
    assert_eq!(code(late), ErrorCode::UploadUnknown);
}
