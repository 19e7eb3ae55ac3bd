//! `*` and `?` in the names of local files: the shells of Windows leave them to the program.
//!
//! No file there can have them in its name, so they always stand for others; elsewhere the shell has replaced those that do.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::exit::{Exit, Stop};
use crate::local::System;

/// What a source stands for, by name: itself, or on Windows all in its folder that are named like it.
pub(super) fn expand(source: &Path, system: System) -> anyhow::Result<Vec<PathBuf>> {
    let pattern = source.file_name().and_then(|name| name.to_str());
    let Some(pattern) =
        pattern.filter(|name| system == System::Windows && name.contains(['*', '?']))
    else {
        return Ok(vec![source.to_owned()]);
    };
    let folder = match source.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| is_like(name, pattern)) {
            found.push(source.with_file_name(name));
        }
    }
    if found.is_empty() {
        let source = source.display();
        return Err(Stop::error(
            Exit::NotFound,
            format!("there is nothing named like {source} on this machine"),
        ));
    }
    found.sort();
    Ok(found)
}

/// Whether the name fits: `*` is any text, `?` any character, and case does not count. `*.*` is every name on Windows, also
/// one without a dot.
fn is_like(name: &str, pattern: &str) -> bool {
    let pattern = if pattern == "*.*" { "*" } else { pattern };
    let name: Vec<char> = name.to_lowercase().chars().collect();
    // Which beginnings of the name the pattern fits so far, by their lengths.
    let mut fits = vec![false; name.len() + 1];
    fits[0] = true;
    for wanted in pattern.to_lowercase().chars() {
        if wanted == '*' {
            let first = fits.iter().position(|fits| *fits).unwrap_or(fits.len());
            fits[first..].fill(true);
        } else {
            for len in (1..fits.len()).rev() {
                fits[len] = fits[len - 1] && (wanted == '?' || wanted == name[len - 1]);
            }
            fits[0] = false;
        }
    }
    fits[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_others() {
        for (pattern, name, expected) in [
            ("*.jpg", "a.jpg", true),
            ("*.jpg", "A.JPG", true),
            ("*.jpg", ".jpg", true),
            ("*.jpg", "a.jpeg", false),
            ("*.jpg", "a.jpg.bak", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            ("*", "ü", true),
            ("**", "", true),
            ("*.*", "README", true),
            ("*.*", "a.txt", true),
            ("a*.*", "abc", false),
            ("?.txt", "ü.txt", true),
            ("?.txt", "ab.txt", false),
            ("?.txt", ".txt", false),
        ] {
            assert_eq!(is_like(name, pattern), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn only_on_windows_and_only_where_something_fits() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.jpg", "a.jpg", "c.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let pattern = folder.path().join("*.jpg");
        let expanded = |path: &Path, system| expand(path, system).unwrap();
        assert_eq!(
            expanded(&pattern, System::Windows),
            [folder.path().join("a.jpg"), folder.path().join("b.jpg")]
        );
        assert_eq!(expanded(&pattern, System::Unix), [pattern.as_path()]);
        let plain = folder.path().join("none");
        assert_eq!(expanded(&plain, System::Windows), [plain.as_path()]);
        let nothing = expand(&folder.path().join("*.png"), System::Windows);
        assert_eq!(crate::exit::exit_of(&nothing.unwrap_err()), Exit::NotFound);
    }
}
