//! Configuration files, variables and flags of all kinds: read alike, or refused with the place and the key, in one line.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fmt::Write;
use std::path::Path;

use bolero::TypeGenerator;
use fuzz::bytes::{Harm, harm};
use fuzz::text::{Piece, text};
use settings::{ConfigArgs, Loader, Settings, SettingsError};

/// Bytes in the longest error: it lists the keys of a section.
const SENTENCE_LEN_MAX: usize = 1200;
const SECRET: &str = "a secret of some length";
const LISTS: [&str; 4] = [
    "storage_node.data",
    "web.hosts",
    "web.proxies",
    "client.master",
];

/// Values that are right for some settings.
const VALUES: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "16",
    "255",
    "256",
    "-1",
    "1.5",
    "0.5",
    "1e3",
    "0x10",
    "4KiB",
    "1MiB",
    "8MiB",
    "9MiB",
    "16 GiB",
    "18446744073709551615",
    "18446744073709551616",
    "999999999999PiB",
    "10ms",
    "5s",
    "1h30m",
    "30d",
    "s",
    "99999999999999999999d",
    "none",
    "",
    " ",
    "any",
    "portable",
    "true",
    "false",
    "yes",
    "info",
    "info,master=debug",
    "off=",
    "=",
    "text",
    "json",
    "127.0.0.1:9000",
    "0.0.0.0:9000",
    "[::1]:1",
    "[::]:5000",
    "localhost:0",
    "host:65536",
    "a:b",
    ":1",
    "/srv/dfs",
    "a,b",
    ",",
    "short",
    SECRET,
];

#[derive(Debug, Clone, TypeGenerator)]
enum Value {
    Known(u8),
    Any(#[generator(bolero::produce_with::<Vec<_>>().len(0..5_usize))] Vec<Piece>),
}

impl Value {
    fn text(&self) -> String {
        match self {
            Self::Known(number) => VALUES[usize::from(*number) % VALUES.len()].to_owned(),
            Self::Any(pieces) => text(pieces),
        }
    }
}

#[derive(Debug, Clone, TypeGenerator)]
struct Set {
    key: u8,
    value: Value,
}

impl Set {
    fn key(&self) -> (&'static str, &'static str) {
        let keys: Vec<_> = Settings::keys().collect();
        keys[usize::from(self.key) % keys.len()]
    }

    fn text(&self) -> String {
        match self.value.text() {
            // Elsewhere it is none, and may be shown.
            text if text == SECRET && self.key() != ("cluster", "secret") => "any".to_owned(),
            text => text,
        }
    }
}

fn load(
    file: Option<&[u8]>,
    variables: &[(&str, &str)],
    set: &[String],
) -> Result<Settings, SettingsError> {
    let folder = tempfile::tempdir().unwrap();
    if let Some(file) = file {
        std::fs::write(folder.path().join("config.toml"), file).unwrap();
    }
    let args = ConfigArgs {
        config: None,
        set: set.to_vec(),
    };
    Loader::new(&args)
        .environment(variables)
        .folder(folder.path())
        .load()
}

/// The text as TOML has it between quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => {
                write!(quoted, "\\u{:04x}", u32::from(character)).unwrap();
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// What is wrong, without where that was found.
fn reason(result: Result<Settings, SettingsError>) -> Result<Settings, String> {
    result.map_err(|error| {
        let sentence = error.to_string();
        let (_, reason) = sentence.split_once(": ").unwrap();
        reason.to_owned()
    })
}

fn check_sentence(error: &SettingsError) {
    let sentence = error.to_string();
    assert!(
        sentence.len() < SENTENCE_LEN_MAX && !sentence.contains('\n'),
        "{sentence:?}"
    );
}

fn check_hidden(error: &SettingsError) {
    let sentence = error.to_string();
    assert!(!sentence.contains(SECRET), "{sentence}");
}

/// The same values in a file, in variables and in flags are the same settings, or the same mistake.
fn check_alike(sets: &[Set]) {
    let mut sets: Vec<_> = sets
        .iter()
        .map(|set| (set.key(), set.text()))
        .filter(|((section, key), text)| {
            let is_list = LISTS.contains(&format!("{section}.{key}").as_str());
            !is_list || (!text.contains(',') && text.trim() == text && !text.is_empty())
        })
        .collect();
    sets.sort();
    sets.dedup_by_key(|(key, _)| *key);
    let (mut file, mut variables, mut flags) = (String::new(), Vec::new(), Vec::new());
    for ((section, key), text) in &sets {
        writeln!(file, "{section}.{key} = {}", quoted(text)).unwrap();
        variables.push((format!("DFS_{section}_{key}").to_uppercase(), text.as_str()));
        flags.push(format!("{section}.{key}={text}"));
    }
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, text)| (name.as_str(), *text))
        .collect();
    let by_file = load(Some(file.as_bytes()), &[], &[]);
    let by_variable = load(None, &variables, &[]);
    let by_flag = load(None, &[], &flags);
    for (result, place) in [
        (&by_file, "config.toml, line "),
        (&by_variable, "the environment variable DFS_"),
        (&by_flag, "the flag --set"),
    ] {
        if let Err(error) = result {
            check_sentence(error);
            check_hidden(error);
            let sentence = error.to_string();
            assert!(sentence.contains(place), "{sentence}");
            let names_one = sets.iter().any(|((section, key), _)| {
                sentence.contains(&format!("{section}.{key} cannot be "))
            });
            assert!(names_one, "{sentence}");
        }
    }
    let by_file = reason(by_file);
    assert_eq!(by_file, reason(by_flag));
    assert_eq!(by_file, reason(by_variable));
}

#[test]
fn a_value_is_the_same_wherever_it_is_given() {
    #[derive(Debug, Clone, TypeGenerator)]
    struct Given {
        #[generator(bolero::produce_with::<Vec<_>>().len(1..5_usize))]
        sets: Vec<Set>,
    }
    fuzz::check!(Given, 8_000, |given| check_alike(&given.sets));
}

/// A line of a file.
#[derive(Debug, Clone, TypeGenerator)]
enum Line {
    Section(u8),
    Set(Set),
    Bare(Set),
    InArray(Set),
    InTable(Set),
    Dotted(Set),
    Any(#[generator(bolero::produce_with::<Vec<_>>().len(0..6_usize))] Vec<Piece>),
}

impl Line {
    fn text(&self) -> String {
        match self {
            Self::Section(number) => {
                let keys: Vec<_> = Settings::keys().collect();
                format!("[{}]", keys[usize::from(*number) % keys.len()].0)
            }
            Self::Set(set) => format!("{} = {}", set.key().1, quoted(&set.text())),
            Self::Bare(set) => format!("{} = {}", set.key().1, set.text()),
            Self::InArray(set) => {
                format!("{} = [[{}], 1979-05-27]", set.key().1, quoted(&set.text()))
            }
            Self::InTable(set) => format!("{} = {{ a = {} }}", set.key().1, quoted(&set.text())),
            Self::Dotted(set) => format!("{}.{}.{0} = 1", set.key().0, set.key().1),
            Self::Any(pieces) => text(pieces),
        }
    }
}

#[derive(Debug, Clone, TypeGenerator)]
struct File {
    #[generator(bolero::produce_with::<Vec<_>>().len(0..8_usize))]
    lines: Vec<Line>,
    #[generator(bolero::produce_with::<Vec<_>>().len(0..4_usize))]
    harms: Vec<Harm>,
    /// Whether the file begins as the one that everybody copies.
    is_copied: bool,
}

/// Whatever stands in a file: it is read, or the sentence says in which line and column it cannot be.
fn check_file(file: &File) {
    let mut bytes = Vec::new();
    if file.is_copied {
        let copied = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config.toml");
        bytes = std::fs::read(copied).unwrap();
        bytes.truncate(3000);
    }
    for line in &file.lines {
        bytes.extend_from_slice(line.text().as_bytes());
        bytes.push(b'\n');
    }
    harm(&mut bytes, &file.harms);
    let Err(error) = load(Some(&bytes), &[], &[]) else {
        return;
    };
    check_sentence(&error);
    if file.harms.is_empty() {
        check_hidden(&error);
    }
    let sentence = error.to_string();
    let place = sentence
        .split_once("config.toml, line ")
        .map(|(_, place)| place);
    let place = place.unwrap_or_else(|| panic!("{sentence:?} says no place"));
    let (line, column) = place.split_once(", column ").unwrap();
    let (line, column): (usize, usize) = (
        line.parse().unwrap(),
        column.split_once(':').unwrap().0.parse().unwrap(),
    );
    let lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
    assert!((1..=lines.len()).contains(&line), "{sentence}");
    assert!(
        (1..=lines[line - 1].len() + 1).contains(&column),
        "{sentence}"
    );
}

#[test]
fn any_file_is_read_or_refused_at_a_place_in_it() {
    fuzz::check!(File, 8_000, check_file);
}
