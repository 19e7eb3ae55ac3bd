//! What this machine can hold: names of the cluster made fit for it, and the folder's part of durability.
//!
//! **Invariant:** [`LocalNames::choose`] gives one plain name, never a path: joined to a folder it stays directly in it.
//! Within one folder it gives no name twice, also where upper and lower case are the same.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::Path;

use proto::name::EntryName;

use crate::part::is_part_name;

/// How a system tells names apart, and which it cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// Any name; each byte counts.
    Unix,
    /// Any name; case and normal form do not count.
    Mac,
    /// No reserved characters, devices, trailing dots and spaces; case does not count.
    Windows,
}

impl System {
    /// The one that this program runs on.
    pub(crate) const HERE: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::Mac
    } else {
        Self::Unix
    };
}

/// The names of one local folder that have been given away.
#[derive(Debug)]
pub(crate) struct LocalNames {
    system: System,
    taken: HashSet<String>,
}

impl LocalNames {
    /// A folder in which no name has been given away.
    pub(crate) fn new(system: System) -> Self {
        Self {
            system,
            taken: HashSet::new(),
        }
    }

    /// The name under which an entry is kept here: its own, or one like it where that cannot be. What Windows cannot
    /// hold is written as `%` and two hex digits; a name that is taken gets a number, and all that parts could have are.
    pub(crate) fn choose(&mut self, name: &EntryName) -> String {
        let fit = match self.system {
            System::Windows if !name.is_portable() => escaped(name.as_str()),
            _ => name.as_str().to_owned(),
        };
        let mut candidate = fit.clone();
        let mut number = 2;
        while is_part_name(&candidate) || !self.taken.insert(self.key(&candidate)) {
            candidate = numbered(&fit, number);
            number += 1;
        }
        candidate
    }

    fn key(&self, name: &str) -> String {
        match (self.system, EntryName::new(name)) {
            (System::Mac | System::Windows, Ok(name)) => name.collision_key(),
            _ => name.to_owned(),
        }
    }
}

/// `a.txt` and 2 is `a (2).txt`.
pub(crate) fn numbered(name: &str, number: u32) -> String {
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => format!("{stem} ({number}).{ending}"),
        _ => format!("{name} ({number})"),
    }
}

/// The name with what Windows gives a meaning written as `%` and two hex digits. What is then still the name of a device
/// gets its first character written so.
fn escaped(name: &str) -> String {
    let kept_len = name.trim_end_matches(['.', ' ']).len();
    let mut fit = String::new();
    for (place, c) in name.char_indices() {
        if RESERVED.contains(&c) || place >= kept_len {
            write!(fit, "%{:02X}", u32::from(c)).expect("a String takes any text");
        } else {
            fit.push(c);
        }
    }
    let is_device = EntryName::new(fit.as_str()).is_ok_and(|fit| !fit.is_portable());
    match fit.chars().next() {
        Some(first) if is_device => {
            format!("%{:02X}{}", u32::from(first), &fit[first.len_utf8()..])
        }
        _ => fit,
    }
}

const RESERVED: [char; 8] = ['<', '>', ':', '"', '\\', '|', '?', '*'];

/// Makes a rename in a folder, or a new file's name, survive a power cut. Windows has no way to ask for it, and does
/// it by itself.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::path::{Component, PathBuf};

    use super::*;

    fn choose(system: System, names: &[&str]) -> Vec<String> {
        let mut local = LocalNames::new(system);
        names
            .iter()
            .map(|name| local.choose(&EntryName::new(*name).unwrap()))
            .collect()
    }

    #[test]
    fn unix_keeps_every_name() {
        let names = [
            "a",
            "A",
            "CON",
            "..\\x",
            "a:b",
            "trailing ",
            "C:\\x",
            "~",
            "-rf",
        ];
        assert_eq!(choose(System::Unix, &names), names);
    }

    #[test]
    fn windows_gets_names_that_it_can_hold() {
        for (name, expected) in [
            ("a.txt", "a.txt"),
            ("..\\x", "..%5Cx"),
            ("..\\..\\x", "..%5C..%5Cx"),
            ("C:\\x", "C%3A%5Cx"),
            ("a:stream", "a%3Astream"),
            ("con", "%63on"),
            ("NUL.txt", "%4EUL.txt"),
            ("com1", "%63om1"),
            ("a.", "a%2E"),
            ("...", "%2E%2E%2E"),
            ("a .", "a%20%2E"),
            ("con ", "con%20"),
            ("nul.a?b", "%6Eul.a%3Fb"),
            ("COM¹.txt", "%43OM¹.txt"),
            ("conin$", "%63onin$"),
            ("nul .txt.", "%6Eul .txt%2E"),
            ("what?", "what%3F"),
        ] {
            assert_eq!(choose(System::Windows, &[name]), [expected], "{name}");
            assert!(
                EntryName::new(expected).unwrap().is_portable(),
                "{expected}"
            );
        }
    }

    #[test]
    fn names_that_are_one_to_the_system_stay_two_files() {
        assert_eq!(
            choose(System::Windows, &["A.txt", "a.txt", "a (2).txt"]),
            ["A.txt", "a (2).txt", "a (2) (2).txt"]
        );
        assert_eq!(
            choose(System::Mac, &["é", "e\u{301}"]),
            ["é", "e\u{301} (2)"]
        );
        assert_eq!(
            choose(System::Windows, &["a%3Ab", "a:b"]),
            ["a%3Ab", "a%3Ab (2)"]
        );
    }

    /// The small file was renamed over the part that a large one was being written to, which then became the large one.
    #[test]
    fn no_name_is_one_that_parts_have() {
        assert_eq!(
            choose(
                System::Unix,
                &[
                    "a.txt",
                    "a.txt.1-ee586cd2.part",
                    "a.txt.1-ee586cd2 (2).part",
                    "a.txt.1-ee586cd2.part.json"
                ]
            ),
            [
                "a.txt",
                "a.txt.1-ee586cd2 (2).part",
                "a.txt.1-ee586cd2 (2) (2).part",
                "a.txt.1-ee586cd2.part (2).json"
            ]
        );
    }

    #[test]
    fn no_name_leads_out_of_its_folder() {
        for system in [System::Unix, System::Mac, System::Windows] {
            for name in ["..\\x", "...", "..;", "C:", "~", "\\\\server\\share"] {
                let local = choose(system, &[name]).remove(0);
                let components: Vec<_> = PathBuf::from(&local)
                    .components()
                    .map(|component| matches!(component, Component::Normal(_)))
                    .collect();
                assert_eq!(components, [true], "{local}");
                assert!(system != System::Windows || !local.contains(['\\', ':']));
            }
        }
    }
}
