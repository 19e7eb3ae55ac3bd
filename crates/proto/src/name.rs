//! The names that people give to things: validated here, once, and carried as types from then on.
//!
//! A name is opaque text: it never becomes a path on anybody's disk inside the cluster. What is refused
//! is refused because no system could hold it (`/`, NUL), because it would lie to a person (control
//! characters), or because it means something else (`.`, `..`). Names that only some systems cannot hold
//! are refused where the cluster asks for it, see [`NameRules`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::matching::folded;

/// Bytes in the longest name, as on every common file system.
pub const NAME_LEN_MAX: usize = 255;
/// Bytes in the longest path.
pub const PATH_LEN_MAX: usize = 4096;

/// The name of one file or folder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryName(String);

impl EntryName {
    /// The name, if it is one.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        let reason = match text.as_str() {
            "" => "it is empty",
            "." | ".." => "`.` and `..` are not names",
            _ if text.len() > NAME_LEN_MAX => "it is longer than 255 bytes",
            _ if text.contains('/') => "it contains `/`",
            _ if text.chars().any(char::is_control) => "it contains a control character",
            _ => return Ok(Self(text)),
        };
        Err(NameError::new(&text, reason))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What two names that collide have in common: NFC, then lower case, so that `Résumé` in either
    /// normal form, and `RESUME` and `resume`, meet.
    pub fn collision_key(&self) -> String {
        folded(&self.0)
    }

    /// Whether Windows can hold this name: no reserved device, no `<>:"\|?*`, no trailing dot or space.
    pub fn is_portable(&self) -> bool {
        const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
        const NUMBERS: [&str; 12] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³"];
        let stem = self
            .0
            .split('.')
            .next()
            .unwrap_or("")
            .trim_end()
            .to_lowercase();
        let numbered = ["com", "lpt"].iter().any(|device| {
            stem.strip_prefix(device)
                .is_some_and(|number| NUMBERS.contains(&number))
        });
        !numbered
            && !DEVICES.contains(&stem.as_str())
            && !self.0.contains(['<', '>', ':', '"', '\\', '|', '?', '*'])
            && !self.0.ends_with(['.', ' '])
    }
}

/// Which names a cluster takes beyond what [`EntryName`] refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameRules {
    /// Any valid name, told apart byte by byte.
    Any,
    /// Only names that Windows can hold, and no two in a folder that differ in case or normal form only.
    Portable,
}

/// Where an entry is, from the root: zero or more names. The root itself has none.
///
/// Written with `/` between names. A leading and a trailing `/` are taken and dropped; an empty name
/// in the middle is an error.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryPath(Vec<EntryName>);

impl EntryPath {
    /// The folder that holds everything.
    pub const ROOT: Self = Self(Vec::new());

    /// The names from the root down.
    pub fn names(&self) -> &[EntryName] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The folder that holds it, and its name there; nothing for the root.
    pub fn split_last(&self) -> Option<(Self, &EntryName)> {
        let (name, parents) = self.0.split_last()?;
        Some((Self(parents.to_vec()), name))
    }

    /// The last name; nothing for the root.
    pub fn name(&self) -> Option<&EntryName> {
        self.0.last()
    }

    /// The entry of this name below this folder.
    pub fn join(&self, name: EntryName) -> Result<Self, NameError> {
        let mut names = self.0.clone();
        names.push(name);
        Self::from_names(names)
    }

    /// Whether it is `folder` or anything below it.
    pub fn is_within(&self, folder: &Self) -> bool {
        self.0.starts_with(&folder.0)
    }

    fn from_names(names: Vec<EntryName>) -> Result<Self, NameError> {
        let len: usize = names.iter().map(|name| name.0.len() + 1).sum();
        if len > PATH_LEN_MAX {
            return Err(NameError::new(
                &Self(names).to_string(),
                "the path is longer than 4096 bytes",
            ));
        }
        Ok(Self(names))
    }
}

/// A name or a path that cannot be one, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid name: {reason}")]
pub struct NameError {
    text: String,
    reason: &'static str,
}

impl NameError {
    fn new(text: &str, reason: &'static str) -> Self {
        let mut shown: String = text.chars().take(80).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Self {
            text: shown,
            reason,
        }
    }
}

impl FromStr for EntryPath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let inner = text.strip_prefix('/').unwrap_or(text);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() {
            return Ok(Self::ROOT);
        }
        let names = inner
            .split('/')
            .map(EntryName::new)
            .collect::<Result<_, _>>()?;
        Self::from_names(names)
    }
}

impl TryFrom<String> for EntryPath {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl TryFrom<String> for EntryName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<EntryPath> for String {
    fn from(path: EntryPath) -> Self {
        path.to_string()
    }
}

impl From<EntryName> for String {
    fn from(name: EntryName) -> Self {
        name.0
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str("/");
        }
        self.0.iter().try_for_each(|name| write!(f, "/{}", name.0))
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let got = text.parse::<EntryPath>().map(|path| path.to_string());
        match expected {
            Ok(path) => assert_eq!(got.as_deref(), Ok(path), "{text:?}"),
            Err(reason) => {
                let error = got.unwrap_err().to_string();
                assert!(error.contains(reason), "{text:?}: {error}");
            }
        }
    }

    #[test]
    fn paths_are_names_between_slashes() {
        check("", Ok("/"));
        check("/", Ok("/"));
        check("a.txt", Ok("/a.txt"));
        check("/photos/2024/", Ok("/photos/2024"));
        check("/CON", Ok("/CON"));
        check("/trailing ", Ok("/trailing "));
        check("/\u{202e}gpj.exe", Ok("/\u{202e}gpj.exe"));
        check("/%2e%2e", Ok("/%2e%2e"));
        check(&"a".repeat(255), Ok(&format!("/{}", "a".repeat(255))));
        check("a//b", Err("it is empty"));
        check("//", Ok("/"));
        check("../../etc/passwd", Err("`.` and `..` are not names"));
        check("a/./b", Err("`.` and `..` are not names"));
        check("a\0b", Err("control character"));
        check("a\nb", Err("control character"));
        check(&"a".repeat(256), Err("longer than 255 bytes"));
        check(&"abc/".repeat(1100), Err("longer than 4096 bytes"));
    }

    #[test]
    fn names_that_windows_cannot_hold_are_known() {
        for name in [
            "CON",
            "nul.txt",
            "com1",
            "LPT9.log",
            "COM¹",
            "lpt³.txt",
            "CONIN$",
            "conout$.log",
            "a.",
            "a ",
            "a:b",
            "what?",
        ] {
            assert!(!EntryName::new(name).unwrap().is_portable(), "{name}");
        }
        for name in [
            "console",
            "com0",
            "com10",
            "com⁴",
            "con$",
            ".gitignore",
            "résumé",
        ] {
            assert!(EntryName::new(name).unwrap().is_portable(), "{name}");
        }
    }

    #[test]
    fn names_that_look_alike_have_one_collision_key() {
        let key = |name: &str| EntryName::new(name).unwrap().collision_key();
        assert_eq!(key("R\u{e9}sum\u{e9}"), key("re\u{301}SUME\u{301}"));
        assert_ne!(key("a"), key("b"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(fuzz::cases(256)))]

        /// Whatever a person or a program sends is refused, or is a path that reads back as itself.
        #[test]
        fn any_text_is_refused_or_comes_back(text in "(\\PC|[/.\u{0}-\u{1f}\u{202e}]){0,40}") {
            if let Ok(path) = text.parse::<EntryPath>() {
                let shown = path.to_string();
                assert_eq!(shown.parse::<EntryPath>().unwrap(), path);
                let harmless = |name: &EntryName| {
                    let name = name.as_str();
                    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0', '\n'])
                };
                assert!(path.names().iter().all(harmless), "{shown:?}");
            }
        }
    }
}
