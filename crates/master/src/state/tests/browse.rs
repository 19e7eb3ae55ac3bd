//! Folders as people look at them, page after page, against the simplest that finds the same: all names, sorted.

use proptest::prelude::any;
use proptest::test_runner::{Config, TestRunner};
use proto::ErrorCode;
use proto::master::{BrowseCursor, BrowseFolder, BrowseOrder, Entry, FolderBrowsed, Precondition};
use proto::name::{EntryName, EntryPath};

use super::bench::{Bench, chunk, chunk_of, code, path};
use crate::command::Command;

fn request(folder: &str) -> BrowseFolder {
    BrowseFolder {
        path: path(folder),
        order: BrowseOrder::default(),
        after: None,
        from: None,
        limit: 10,
        rows: 1000,
    }
}

fn ask(bench: &Bench, request: &BrowseFolder) -> Result<FolderBrowsed, proto::WireError> {
    Ok(bench.read().browse(request)?)
}

fn shown(page: &FolderBrowsed) -> Vec<String> {
    let shown = page.entries.iter().map(|entry| match entry {
        Entry::Folder { name, .. } => format!("{}/", name.as_ref().unwrap()),
        Entry::File { name, .. } => name.to_string(),
    });
    shown.collect()
}

/// All pages, each of which is behind the one before; between them `change` is called with what came.
fn all(
    bench: &mut Bench,
    mut request: BrowseFolder,
    mut change: impl FnMut(&mut Bench, &FolderBrowsed),
) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..1000 {
        let page = ask(bench, &request).unwrap();
        assert!(page.entries.len() <= request.limit as usize);
        found.extend(shown(&page));
        change(bench, &page);
        let Some(next) = page.next else {
            return found;
        };
        if let Some(former) = &request.after {
            let place = request.order.compare(next.place(), former.place());
            assert!(place.is_gt(), "{next} behind {former}");
        }
        request.after = Some(next);
    }
    panic!("the pages never end");
}

fn make(bench: &mut Bench, name: &str, is_folder: bool) {
    if is_folder {
        let request = bench.request();
        let command = Command::CreateFolder {
            request,
            path: path(&format!("/f/{name}")),
            parents: true,
        };
        bench.apply(command).unwrap();
    } else {
        bench.put(&format!("/f/{name}"), &[chunk(1)]);
    }
}

fn order(text: &str) -> BrowseOrder {
    BrowseOrder::try_from(text.to_owned()).unwrap()
}

#[test]
fn folders_come_before_files_on_all_pages() {
    let names = proptest::collection::vec((0..60_u8, any::<bool>()), 0..24);
    let strategy = (names, 1..6_u32, 1..6_u32, any::<bool>(), any::<bool>());
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(fuzz::cases(40))
    };
    let check = |(names, limit, rows, is_cut, is_descending): Drawn| {
        let mut bench = Bench::new(3);
        make(&mut bench, "only", true);
        let mut expected = vec![(false, "only".to_owned())];
        for (number, is_folder) in names {
            let name = format!("{number:02}");
            if expected.iter().all(|(_, other)| *other != name) {
                make(&mut bench, &name, is_folder);
                expected.push((!is_folder, name));
            }
        }
        expected.sort_by(|left, right| {
            let names = left.1.cmp(&right.1);
            let names = if is_descending {
                names.reverse()
            } else {
                names
            };
            left.0.cmp(&right.0).then(names)
        });
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(is_file, name)| if is_file { name } else { name + "/" })
            .collect();
        let request = BrowseFolder {
            order: order(if is_descending { "-name" } else { "name" }),
            limit,
            rows,
            ..request("/f")
        };
        let found = all(&mut bench, request, |bench, page| {
            if is_cut {
                delete_last(bench, page);
            }
        });
        assert_eq!(found, expected);
        Ok(())
    };
    TestRunner::new(config).run(&strategy, check).unwrap();
}

/// Names and whether each is a folder, the lengths of a page, whether entries go meanwhile, and whether the last name is first.
type Drawn = (Vec<(u8, bool)>, u32, u32, bool, bool);

/// What the next page begins behind may go: nothing is left out, and nothing comes twice.
fn delete_last(bench: &mut Bench, page: &FolderBrowsed) {
    if let Some(last) = page.entries.last() {
        let name = last.name().unwrap();
        bench.delete(&format!("/f/{name}"), true).unwrap();
    }
}

/// Few sizes and times, so that many entries differ by their names only.
#[test]
fn a_folder_comes_in_the_order_of_sizes_and_of_times() {
    let files = proptest::collection::vec((0..90_u8, 0..4_u8, any::<bool>()), 0..40);
    let strategy = (files, 1..9_u32, any::<bool>());
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(fuzz::cases(40))
    };
    let check = |(files, limit, is_cut): (Vec<(u8, u8, bool)>, u32, bool)| {
        for text in ["size", "-size", "modified", "-modified"] {
            let mut bench = Bench::new(3);
            make(&mut bench, "only", true);
            for (number, small, is_folder) in &files {
                let name = format!("{number:02}");
                if bench.read().entry(&path(&format!("/f/{name}"))).is_ok() {
                    continue;
                }
                match text.trim_start_matches('-') {
                    _ if *is_folder => make(&mut bench, &name, true),
                    "size" => {
                        let chunks = [chunk_of(1, u32::from(*small) + 1)];
                        bench.put(&format!("/f/{name}"), &chunks);
                    }
                    _ => make_at(&mut bench, &name, u64::from(*small)),
                }
            }
            let folder = bench.read().folder_page(&path("/f"), None, 1000).unwrap();
            let mut entries = folder.entries;
            entries.sort_by_key(|entry| key(entry, text));
            if text.starts_with('-') {
                entries.reverse();
            }
            entries.sort_by_key(|entry| matches!(entry, Entry::File { .. }));
            let expected = shown(&FolderBrowsed {
                entries,
                next: None,
            });
            let request = BrowseFolder {
                order: order(text),
                limit,
                ..request("/f")
            };
            let found = all(&mut bench, request, |bench, page| {
                if is_cut {
                    delete_last(bench, page);
                }
            });
            assert_eq!(found, expected, "{text}");
        }
        Ok(())
    };
    TestRunner::new(config).run(&strategy, check).unwrap();
}

/// An empty file that was modified at this time.
fn make_at(bench: &mut Bench, name: &str, modified_ms: u64) {
    let command = Command::CommitUpload {
        upload: bench.upload_id(),
        path: path(&format!("/f/{name}")),
        size: 0,
        modified_ms: Some(modified_ms),
        blocks: 0,
        place: 0,
        doubtful: Vec::new(),
        chunks: Vec::new(),
        parents: true,
        precondition: Precondition::Absent,
    };
    bench.apply(command).unwrap();
}

/// By what an entry is sorted, and its name.
fn key(entry: &Entry, order: &str) -> (u64, String) {
    let name = entry.name().unwrap().to_string();
    match entry {
        Entry::Folder { modified_ms, .. } | Entry::File { modified_ms, .. }
            if order.ends_with("modified") =>
        {
            (*modified_ms, name)
        }
        Entry::File { size, .. } => (*size, name),
        Entry::Folder { .. } => (0, name),
    }
}

/// What grows while it is read comes again at the end, and not for ever: each page is behind the one before it.
#[test]
fn pages_of_a_folder_that_changes_come_to_an_end() {
    let mut bench = Bench::new(3);
    for number in 0..6 {
        bench.put(&format!("/f/{number}"), &[chunk(1)]);
    }
    let request = BrowseFolder {
        order: order("size"),
        limit: 2,
        ..request("/f")
    };
    let mut grown = 0;
    let found = all(&mut bench, request, |bench, page| {
        if let Some(first) = page.entries.first().filter(|_| grown < 4) {
            grown += 1;
            let chunks = [chunk(1), chunk(2)];
            bench.put(&format!("/f/{}", first.name().unwrap()), &chunks);
        }
    });
    assert_eq!(found, ["0", "1", "2", "3", "4", "5", "0", "2", "4"]);
}

#[test]
fn a_place_of_another_order_is_refused() {
    let mut bench = Bench::new(3);
    make(&mut bench, "a", false);
    for (text, after, from) in [
        ("size", Some("files/a"), None),
        ("-modified", Some("folders/a"), None),
        ("name", Some("files/1/a"), None),
        ("-name", Some("files/1/a"), None),
        ("size", None, Some("a")),
        ("-name", None, Some("a")),
    ] {
        let request = BrowseFolder {
            order: order(text),
            after: after.map(|text| text.parse().unwrap()),
            from: from.map(|text| EntryName::new(text).unwrap()),
            ..request("/f")
        };
        let answer = ask(&bench, &request);
        assert_eq!(code(answer), ErrorCode::InvalidArgument, "{text}");
    }
    for text in ["size", "modified"] {
        let request = BrowseFolder {
            order: order(text),
            ..request("/none")
        };
        assert_eq!(code(ask(&bench, &request)), ErrorCode::NotFound);
    }
}

#[test]
fn a_page_begins_where_a_name_is() {
    let mut bench = Bench::new(3);
    for (name, is_folder) in [
        ("alpha", true),
        ("beta", true),
        ("alarm", false),
        ("gamma", false),
        ("zeta", false),
    ] {
        make(&mut bench, name, is_folder);
    }
    for (from, expected) in [
        ("al", vec!["alpha/", "beta/", "alarm", "gamma", "zeta"]),
        ("be", vec!["beta/", "alarm", "gamma", "zeta"]),
        ("az", vec!["gamma", "zeta"]),
        ("gam", vec!["gamma", "zeta"]),
        ("zz", vec![]),
    ] {
        let request = BrowseFolder {
            from: Some(EntryName::new(from).unwrap()),
            ..request("/f")
        };
        assert_eq!(shown(&ask(&bench, &request).unwrap()), expected, "{from}");
    }
}

/// A folder full of folders, of which the last page has to pass over many to find that no file is among them.
#[test]
fn a_page_looks_at_a_bounded_number_of_names() {
    let mut bench = Bench::new(3);
    for number in 0..20 {
        make(&mut bench, &format!("{number:02}"), true);
    }
    make(&mut bench, "file", false);
    let mut request = BrowseFolder {
        after: Some(BrowseCursor::folder(EntryName::new("19").unwrap())),
        rows: 8,
        ..request("/f")
    };
    for expected in ["files/07", "files/15"] {
        let page = ask(&bench, &request).unwrap();
        assert!(page.entries.is_empty());
        assert_eq!(page.next.as_ref().unwrap().to_string(), expected);
        request.after = page.next;
    }
    let page = ask(&bench, &request).unwrap();
    assert_eq!(shown(&page), ["file"]);
    assert_eq!(page.next, None);
}

#[test]
fn what_is_no_folder_is_refused() {
    let mut bench = Bench::new(3);
    make(&mut bench, "file", false);
    for (folder, expected) in [
        ("/none", ErrorCode::NotFound),
        ("/f/file", ErrorCode::NotAFolder),
    ] {
        assert_eq!(code(ask(&bench, &request(folder))), expected);
    }
    let root = BrowseFolder {
        path: EntryPath::ROOT,
        ..request("/f")
    };
    assert_eq!(shown(&ask(&bench, &root).unwrap()), ["f/"]);
}
