//! Folders as people look at them, page after page, against the simplest that finds the same: all names, sorted.

use proptest::prelude::any;
use proptest::test_runner::{Config, TestRunner};
use proto::ErrorCode;
use proto::master::{BrowseCursor, BrowseFolder, Entry, FolderBrowsed};
use proto::name::{EntryName, EntryPath};

use super::bench::{Bench, chunk, code, path};
use crate::command::Command;

fn request(folder: &str) -> BrowseFolder {
    BrowseFolder {
        path: path(folder),
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

/// All pages; between them `change` is called with how many there were.
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

#[test]
fn folders_come_before_files_on_all_pages() {
    let names = proptest::collection::vec((0..60_u8, any::<bool>()), 0..24);
    let strategy = (names, 1..6_u32, 1..6_u32, any::<bool>());
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(fuzz::cases(40))
    };
    let check = |(names, limit, rows, is_cut): (Vec<(u8, bool)>, u32, u32, bool)| {
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
        expected.sort();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(is_file, name)| if is_file { name } else { name + "/" })
            .collect();
        let request = BrowseFolder {
            limit,
            rows,
            ..request("/f")
        };
        // What the next page begins behind may go: nothing is left out, and nothing comes twice.
        let found = all(&mut bench, request, |bench, page| {
            if let Some(last) = page.entries.last().filter(|_| is_cut) {
                let name = last.name().unwrap();
                bench.delete(&format!("/f/{name}"), true).unwrap();
            }
        });
        assert_eq!(found, expected);
        Ok(())
    };
    TestRunner::new(config).run(&strategy, check).unwrap();
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
        after: Some(BrowseCursor::Folder(EntryName::new("19").unwrap())),
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
