//! Searches, page after page, against the simplest that finds the same: all paths, sorted, and each looked at.

use proptest::prelude::{Strategy, any};
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use proto::ErrorCode;
use proto::frame::LINE_LEN_MAX;
use proto::master::{NamesFound, PAGE_LEN_MAX, Precondition, SearchCursor, SearchNames};
use proto::name::{EntryName, EntryPath, NAME_LEN_MAX, PATH_LEN_MAX};

use super::bench::{Bench, chunk, code, path};
use crate::command::Command;

/// Short, so that names meet, with letters whose cases and normal forms do.
const NAMES: [&str; 10] = [
    "a", "A b", "b", "ab", "aB", "é", "E\u{301}", "b a", "a-b", "z",
];
const TEXTS: [&str; 8] = ["a", "B", "a b", "b a", "É", "e", "z", "ab b"];

#[derive(Debug, Clone)]
struct Forest {
    /// Names, from the root down, and whether it is a file.
    entries: Vec<(Vec<usize>, bool)>,
    deleted: Vec<Index>,
    text: usize,
    under: Index,
    limit: u32,
    rows: u32,
    /// At which pages the entry goes away at which the search stands.
    cut: Vec<bool>,
}

fn forest() -> impl Strategy<Value = Forest> {
    let names = proptest::collection::vec(0..NAMES.len(), 1..5);
    (
        proptest::collection::vec((names, any::<bool>()), 0..14),
        proptest::collection::vec(any::<Index>(), 0..3),
        0..TEXTS.len(),
        any::<Index>(),
        1..5_u32,
        1..9_u32,
        proptest::collection::vec(any::<bool>(), 0..9),
    )
        .prop_map(|(entries, deleted, text, under, limit, rows, cut)| Forest {
            entries,
            deleted,
            text,
            under,
            limit,
            rows,
            cut,
        })
}

/// What does not fit together (a file in the way of a folder) is left out.
fn grow(bench: &mut Bench, forest: &Forest) {
    for (number, (names, is_file)) in (0..).zip(&forest.entries) {
        let names: Vec<_> = names.iter().map(|name| NAMES[*name]).collect();
        let at = format!("/{}", names.join("/"));
        if *is_file {
            bench.try_put(&at, &[chunk(number)], Precondition::Any).ok();
            continue;
        }
        let request = bench.request();
        let folder = Command::CreateFolder {
            request,
            path: path(&at),
            parents: true,
        };
        bench.apply(folder).ok();
    }
    for deleted in &forest.deleted {
        let tree = bench.tree();
        if !tree.is_empty() {
            bench
                .delete(&tree[deleted.index(tree.len())], false)
                .unwrap();
        }
    }
}

/// All that should be found behind the cursor, by looking at every path there is.
fn expected(
    bench: &Bench,
    text: &str,
    under: &EntryPath,
    after: Option<&SearchCursor>,
) -> Vec<EntryPath> {
    let mut all: Vec<EntryPath> = bench.tree().iter().map(|line| path(line)).collect();
    all.sort();
    let after = after.map(|after| after.folder.join(after.name.clone()).unwrap());
    let words: Vec<_> = text.split(' ').map(key).collect();
    let is_found = |at: &EntryPath| {
        let name = at.name().unwrap().collision_key();
        at.is_within(under)
            && at != under
            && after.as_ref().is_none_or(|after| at > after)
            && words.iter().all(|word| name.contains(word.as_str()))
    };
    all.into_iter().filter(is_found).collect()
}

fn key(text: &str) -> String {
    EntryName::new(text).unwrap().collision_key()
}

fn paths_of(page: &NamesFound) -> Vec<EntryPath> {
    page.found.iter().map(|found| found.path.clone()).collect()
}

fn check(forest: &Forest) {
    let mut bench = Bench::new(3);
    grow(&mut bench, forest);
    let mut folders = vec!["/".to_owned()];
    folders.extend(bench.tree().into_iter().filter(|line| line.ends_with('/')));
    let under = path(&folders[forest.under.index(folders.len())]);
    let text = TEXTS[forest.text];
    let mut cut = forest.cut.iter();
    let mut after = None;
    loop {
        let expected = expected(&bench, text, &under, after.as_ref());
        let request = SearchNames {
            text: text.to_owned(),
            under: under.clone(),
            after: after.clone(),
            limit: forest.limit,
            rows: forest.rows,
        };
        let page = bench.read().search(&request).unwrap();
        assert!(page.found.len() <= forest.limit as usize);
        assert!(page.found.len() <= forest.rows as usize);
        for found in &page.found {
            let entry = bench.read().entry(&found.path).unwrap();
            assert_eq!(found.entry, entry, "{:?}", found.path);
        }
        let found = paths_of(&page);
        let Some(next) = page.next else {
            assert_eq!(found, expected);
            return;
        };
        assert!(expected.starts_with(&found), "{found:?} of {expected:?}");
        let at = next.folder.join(next.name.clone()).unwrap();
        let came_by = expected.iter().filter(|path| **path <= at).count();
        assert_eq!(found.len(), came_by, "what lies before {next} was found");
        if cut.next() == Some(&true) {
            bench.delete(&at.to_string(), false).unwrap();
        }
        after = Some(next);
    }
}

/// Random trees, some of it in the trash, pages of any length, and entries that go away at which the search stands.
#[test]
fn any_search_finds_what_a_look_at_every_path_finds() {
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(fuzz::cases(150))
    });
    runner
        .run(&forest(), |forest| {
            check(&forest);
            Ok(())
        })
        .unwrap();
}

fn ask(bench: &Bench, request: &SearchNames) -> Result<NamesFound, proto::WireError> {
    Ok(bench.read().search(request)?)
}

fn request(text: &str) -> SearchNames {
    SearchNames {
        text: text.to_owned(),
        under: EntryPath::ROOT,
        after: None,
        limit: 10,
        rows: 10,
    }
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let mut bench = Bench::new(3);
    bench.put("/a/f", &[chunk(1)]);
    for (text, under, after, expected) in [
        (" ", "/", None, ErrorCode::InvalidArgument),
        (&*"x".repeat(1025), "/", None, ErrorCode::InvalidArgument),
        ("f", "/none", None, ErrorCode::NotFound),
        ("f", "/a/f", None, ErrorCode::NotAFolder),
        ("f", "/a", Some("/b/c"), ErrorCode::InvalidArgument),
    ] {
        let request = SearchNames {
            under: path(under),
            after: after.map(|after| after.parse().unwrap()),
            ..request(text)
        };
        assert_eq!(code(ask(&bench, &request)), expected, "{text} {under}");
    }
    let in_folder = SearchNames {
        under: path("/a"),
        ..request("F")
    };
    assert_eq!(paths_of(&ask(&bench, &in_folder).unwrap()), [path("/a/f")]);
}

/// Folders that were moved below each other may lie deeper than a path can say: they are passed over, and a search that
/// stops among them goes on.
#[test]
fn a_search_ends_where_no_path_reaches() {
    let mut bench = Bench::new(3);
    let long = "n".repeat(NAME_LEN_MAX);
    let deep = format!("/{long}").repeat(PATH_LEN_MAX / (NAME_LEN_MAX + 1));
    for (from, to) in [(deep.as_str(), None), ("/y", None), ("/", Some("/y"))] {
        let request = bench.request();
        let command = match to {
            None => Command::CreateFolder {
                request,
                path: path(from),
                parents: true,
            },
            Some(to) => Command::MoveEntry {
                request,
                from: path(&format!("{from}{long}")),
                to: path(&format!("{to}/{long}")),
                replace: false,
            },
        };
        bench.apply(command).unwrap();
    }
    bench.put("/z n", &[chunk(1)]);
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let request = SearchNames {
            after,
            rows: 1,
            ..request("n")
        };
        let page = ask(&bench, &request).unwrap();
        found.extend(paths_of(&page));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let reached = PATH_LEN_MAX / (NAME_LEN_MAX + 1) - 1;
    assert_eq!(found.len(), reached + 1);
    assert_eq!(found.last(), Some(&path("/z n")));
}

/// A page is one line on the wire, however long its paths are.
#[test]
fn a_page_of_long_paths_fits_a_line() {
    let mut bench = Bench::new(3);
    let folder = format!("/{}", "\"".repeat(NAME_LEN_MAX)).repeat(15);
    for number in 0..130 {
        bench.put(
            &format!("{folder}/{number}{}", "\"".repeat(200)),
            &[chunk(1)],
        );
    }
    let mut count = 0;
    let mut after = None;
    loop {
        let request = SearchNames {
            after,
            limit: PAGE_LEN_MAX,
            rows: 1000,
            ..request("\"\"\"")
        };
        let page = ask(&bench, &request).unwrap();
        let line = serde_json::to_vec(&page).unwrap();
        assert!(line.len() < LINE_LEN_MAX, "{} bytes", line.len());
        count += page.found.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(count, 15 + 130);
}
