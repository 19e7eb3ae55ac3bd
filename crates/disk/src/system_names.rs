//! What systems put into folders by themselves, so that one that holds nothing else is as good as empty.

/// Upper and lower case do not count: Windows writes some of them in several ways.
const NAMES: [&str; 10] = [
    "lost+found",
    ".DS_Store",
    ".fseventsd",
    ".Spotlight-V100",
    ".Trashes",
    ".TemporaryItems",
    "Thumbs.db",
    "System Volume Information",
    "$RECYCLE.BIN",
    "desktop.ini",
];

/// Desktops on Linux put the user's number behind it.
const TRASH_OF_A_USER: &str = ".Trash-";

/// Whether a system has put something of this name there: a file system in its root, or whoever showed the folder.
pub fn is_of_the_system(name: &str) -> bool {
    let is_known = NAMES.iter().any(|known| known.eq_ignore_ascii_case(name));
    is_known || name.starts_with(TRASH_OF_A_USER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_systems_make_is_theirs() {
        for name in [
            "lost+found",
            "$RECYCLE.BIN",
            "$Recycle.Bin",
            "Desktop.ini",
            ".Trash-1000",
        ] {
            assert!(is_of_the_system(name), "{name}");
        }
        for name in ["", "lock", "thesis.tex", "lost+found2"] {
            assert!(!is_of_the_system(name), "{name}");
        }
    }
}
