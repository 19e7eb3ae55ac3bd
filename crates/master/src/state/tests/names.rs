//! Names and the trash: scripts of what a person does, each line with what comes of it.

use proto::ErrorCode;
use proto::WireError;
use proto::master::{ClusterRules, Entry, Precondition, TrashId};
use proto::name::NameRules;

use super::bench::{Bench, CHUNK_SIZE, chunk, chunk_of, code, path, rules};
use crate::command::Command;
use crate::state::{Outcome, Sums};

/// Runs lines like `mv /a /b -> already_exists`; without an arrow a line must succeed.
fn run(bench: &mut Bench, script: &str) {
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (command, expected) = line.split_once(" -> ").unwrap_or((line, "ok"));
        let outcome = run_line(bench, command);
        let got = match &outcome {
            Ok(()) => "ok",
            Err(refusal) => refusal.code.as_str(),
        };
        assert_eq!(got, expected, "{line}: {outcome:?}");
    }
}

fn run_line(bench: &mut Bench, line: &str) -> Result<(), WireError> {
    let words: Vec<&str> = line.split(' ').collect();
    let flag = |flag: &str| words.contains(&flag);
    let paths: Vec<_> = words[1..].iter().filter(|w| w.starts_with('/')).collect();
    let at = |place: usize| path(paths[place]);
    let request = bench.request();
    let command = match words[0] {
        "mkdir" => Command::CreateFolder {
            request,
            path: at(0),
            parents: flag("-p"),
        },
        "mv" => Command::MoveEntry {
            request,
            from: at(0),
            to: at(1),
            replace: flag("-f"),
        },
        "rm" => Command::DeleteEntry {
            request,
            path: at(0),
            recursive: flag("-r"),
            purge: flag("--purge"),
            precondition: Precondition::Any,
        },
        "restore" => Command::RestoreEntry {
            request,
            trash: TrashId(words[1].parse().unwrap()),
            to: (!paths.is_empty()).then(|| at(0)),
        },
        "empty" => Command::EmptyTrash {
            request,
            trash: words.get(1).map(|id| TrashId(id.parse().unwrap())),
        },
        "put" => {
            let number = u32::try_from(bench.log.len()).unwrap();
            return bench
                .try_put(paths[0], &[chunk(number)], Precondition::Any)
                .map(drop);
        }
        other => panic!("{other}"),
    };
    bench.apply(command).map(drop)
}

fn check(script: &str, expected: &[&str]) -> Bench {
    check_with(rules(), script, expected)
}

fn check_with(rules: ClusterRules, script: &str, expected: &[&str]) -> Bench {
    let mut bench = Bench::with_rules(3, rules);
    run(&mut bench, script);
    assert_eq!(bench.tree(), expected);
    bench
}

#[test]
fn folders_are_made_once_or_with_their_parents() {
    check(
        "mkdir /a
         mkdir /a -> already_exists
         mkdir -p /a
         mkdir /x/y -> not_found
         mkdir -p /x/y/z
         mkdir -p /
         mkdir / -> already_exists
         put /f
         mkdir /f -> already_exists
         mkdir -p /f -> already_exists
         mkdir -p /f/g -> not_a_folder",
        &["/a/", "/f", "/x/", "/x/y/", "/x/y/z/"],
    );
}

#[test]
fn a_folder_moves_with_all_below_it() {
    let bench = check(
        "put /a/b/c/file
         mkdir /d
         mv /a/b /d/b
         mv /d /a/d",
        &["/a/", "/a/d/", "/a/d/b/", "/a/d/b/c/", "/a/d/b/c/file"],
    );
    let expected = Sums {
        files: 1,
        folders: 4,
        bytes: CHUNK_SIZE.into(),
    };
    assert_eq!(bench.read().sums().unwrap(), expected);
}

#[test]
fn moves_that_would_lose_something_are_refused() {
    check(
        "mkdir -p /a/b/c
         mkdir /empty
         put /f
         put /g
         mv /a /a/b/x -> invalid_argument
         mv /a /a/x -> invalid_argument
         mv / /x -> invalid_argument
         mv /a / -> invalid_argument
         mv /a /a
         mv /f /f
         mv /none /x -> not_found
         mv /none/x /x -> not_found
         mv /f/x /x -> not_found
         mv /f /none/x -> not_found
         mv /f /g/x -> not_a_folder
         mv /f /g -> already_exists
         mv /f /empty -> already_exists
         mv -f /f /empty -> is_a_folder
         mv -f /a /f -> not_a_folder
         mv -f /a /empty -> is_a_folder
         mv /f /fine",
        &["/a/", "/a/b/", "/a/b/c/", "/empty/", "/fine", "/g"],
    );
}

#[test]
fn a_file_that_is_replaced_by_a_move_goes_to_the_trash() {
    check(
        "put /f
         put /g
         mv -f /f /g
         restore 1 -> already_exists
         restore 1 /old",
        &["/g", "/old"],
    );
}

#[test]
fn what_is_deleted_can_come_back_until_the_trash_is_emptied() {
    let mut bench = check(
        "put /a/b/f
         put /g
         rm / -> invalid_argument
         rm /none -> not_found
         rm /a -> folder_not_empty
         rm -r /a
         rm /g
         rm /g -> not_found
         restore 9 -> not_found
         restore 1
         restore 1 -> not_found
         rm -r /a
         restore 3 /x/y/a
         rm -r /x
         mkdir /a
         restore 4 /a/b/c",
        &[
            "/a/",
            "/a/b/",
            "/a/b/c/",
            "/a/b/c/y/",
            "/a/b/c/y/a/",
            "/a/b/c/y/a/b/",
            "/a/b/c/y/a/b/f",
        ],
    );
    let trash = bench.read().trash_page(None, 10).unwrap();
    assert_eq!(trash.entries.len(), 1);
    assert_eq!(trash.entries[0].path, path("/g"));
    assert!(matches!(&trash.entries[0].entry, Entry::File { name, .. } if name.as_str() == "g"));
    run(
        &mut bench,
        "empty 2
         empty 2 -> not_found
         restore 2 -> not_found
         rm -r /a
         put /h
         rm /h
         empty
         restore 5 -> not_found
         empty",
    );
    assert!(bench.tree().is_empty());
    let snapshot = bench.read();
    assert!(snapshot.trash_page(None, 10).unwrap().entries.is_empty());
    assert_eq!(snapshot.counters().unwrap().trashed, Sums::default());
    assert_eq!(snapshot.sums().unwrap(), Sums::default());
}

#[test]
fn the_trash_is_listed_newest_first_in_pages() {
    let bench = check(
        "put /a
         rm /a
         put /b
         rm /b
         put /c
         rm /c",
        &[],
    );
    let first = bench.read().trash_page(None, 2).unwrap();
    let paths: Vec<_> = first.entries.iter().map(|e| e.path.to_string()).collect();
    assert_eq!((paths, first.more), (vec!["/c".into(), "/b".into()], true));
    let before = first.entries[1].trash;
    let second = bench.read().trash_page(Some(before), 2).unwrap();
    assert_eq!((second.entries.len(), second.more), (1, false));
}

#[test]
fn names_are_told_apart_byte_by_byte() {
    check(
        "put /CON
         put /con
         put /r\u{e9}sum\u{e9}
         put /re\u{301}sume\u{301}
         put /\u{202e}gpj.exe
         put /%2e%2e
         put /quote\"'<b>
         put /trailing.",
        &[
            "/%2e%2e",
            "/CON",
            "/con",
            "/quote\"'<b>",
            "/re\u{301}sume\u{301}",
            "/r\u{e9}sum\u{e9}",
            "/trailing.",
            "/\u{202e}gpj.exe",
        ],
    );
}

#[test]
fn portable_names_do_not_collide_and_fit_windows() {
    let rules = ClusterRules {
        names: NameRules::Portable,
        ..rules()
    };
    check_with(
        rules,
        "put /Readme
         put /README -> already_exists
         put /Readme
         mkdir /readme -> already_exists
         mkdir -p /readme/x -> already_exists
         put /CON -> invalid_argument
         put /a/b?/c -> invalid_argument
         put /new/CON/c -> invalid_argument
         mkdir -p /x/aux -> invalid_argument
         mv /Readme /README
         put /d/README
         mv /d/README /readme -> already_exists
         rm /README
         mv /d/README /readme
         restore 1 -> already_exists
         rm -r --purge /d
         put /D/x",
        &["/D/", "/D/x", "/readme"],
    );
}

#[test]
fn a_repeated_request_gives_the_same_answer_and_is_done_once() {
    let mut bench = Bench::new(3);
    bench.put("/a/f", &[chunk(1)]);
    let request = bench.request();
    let commands = [
        Command::CreateFolder {
            request,
            path: path("/b"),
            parents: false,
        },
        Command::MoveEntry {
            request: bench.request(),
            from: path("/a/f"),
            to: path("/b/g"),
            replace: false,
        },
        Command::DeleteEntry {
            request: bench.request(),
            path: path("/b"),
            recursive: true,
            purge: false,
            precondition: Precondition::Any,
        },
        Command::RestoreEntry {
            request: bench.request(),
            trash: TrashId(1),
            to: None,
        },
        Command::EmptyTrash {
            request: bench.request(),
            trash: None,
        },
    ];
    for command in commands {
        let first = bench.apply(command.clone()).unwrap();
        let before = super::audit::dump(&bench.state);
        assert_eq!(bench.apply(command), Ok(first));
        assert_eq!(super::audit::dump(&bench.state), before);
    }
    assert_eq!(bench.tree(), ["/a/", "/b/", "/b/g"]);
    let other = Command::EmptyTrash {
        request,
        trash: None,
    };
    assert_eq!(code(bench.apply(other)), ErrorCode::InvalidArgument);
}

#[test]
fn preconditions_are_about_the_entry_as_it_is() {
    let mut bench = Bench::new(3);
    let first = bench.put("/f", &[chunk(1)]);
    bench.put("/d/x", &[chunk(2)]);
    let version = Precondition::Version(first.version);
    let check = |bench: &mut Bench, at: &str, precondition, holds: bool| {
        let result = bench.try_put(at, &[chunk(1), chunk(2)], precondition);
        let expected = if holds {
            None
        } else {
            Some(ErrorCode::PreconditionFailed)
        };
        assert_eq!(
            result.err().map(|e| e.code),
            expected,
            "{at} {precondition:?}"
        );
    };
    check(&mut bench, "/f", Precondition::Absent, false);
    check(&mut bench, "/g", Precondition::Present, false);
    check(&mut bench, "/g", version, false);
    check(&mut bench, "/d", Precondition::Present, false);
    check(&mut bench, "/f", version, true);
    check(&mut bench, "/f", version, false);
    check(&mut bench, "/f", Precondition::Present, true);
    check(&mut bench, "/g", Precondition::Absent, true);
    let request = bench.request();
    let delete = Command::DeleteEntry {
        request,
        path: path("/f"),
        recursive: false,
        purge: false,
        precondition: version,
    };
    assert_eq!(code(bench.apply(delete)), ErrorCode::PreconditionFailed);
}

#[test]
fn deleting_a_folder_is_one_step_whatever_is_below() {
    let mut bench = Bench::new(3);
    for file in 0..30 {
        bench.put(&format!("/a/b{}/f{file}", file % 3), &[chunk_of(file, 7)]);
    }
    let below = bench.read().sums().unwrap();
    let expected = Sums {
        files: 30,
        folders: 4,
        bytes: 210,
    };
    assert_eq!(below, expected);
    let outcome = bench.delete("/a", false).unwrap();
    assert!(matches!(outcome, Outcome::Deleted { trashed: Some(_) }));
    assert_eq!(bench.read().sums().unwrap(), Sums::default());
    assert_eq!(bench.read().counters().unwrap().trashed, expected);
    assert_eq!(bench.read().counters().unwrap().purges, 0);
}

/// A page of the trash is one line on the wire, and paths are up to 4 KiB long.
#[test]
fn a_page_of_the_trash_with_long_paths_fits_into_a_line() {
    let mut bench = Bench::new(3);
    let folder = vec!["x".repeat(250); 15].join("/");
    let number = proto::frame::LINE_LEN_MAX / folder.len() + 10;
    for file in 0..number {
        bench.put(&format!("/{folder}/{file}"), &[]);
        bench.delete(&format!("/{folder}/{file}"), false).unwrap();
    }
    let (mut before, mut seen) = (None, 0);
    loop {
        let page = bench.read().trash_page(before, 1000).unwrap();
        let len = serde_json::to_vec(&page).unwrap().len();
        assert!(len < proto::frame::LINE_LEN_MAX, "{len} bytes");
        seen += page.entries.len();
        before = page.entries.last().map(|entry| entry.trash);
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, number);
}
