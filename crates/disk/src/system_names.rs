//! What systems put into folders by themselves, so that one that holds nothing else is as good as empty.

/// Upper and lower case do not count: Windows writes some of them in several ways.
const NAMES: [&str; 5] = [
    "lost+found",
    ".DS_Store",
    "System Volume Information",
    "$RECYCLE.BIN",
    "desktop.ini",
];

/// Whether a system has put something of this name there: a file system in its root, or whoever showed the folder.
pub fn is_of_the_system(name: &str) -> bool {
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_systems_make_is_theirs() {
        for name in ["lost+found", "$RECYCLE.BIN", "$Recycle.Bin", "Desktop.ini"] {
            assert!(is_of_the_system(name), "{name}");
        }
        for name in ["", "lock", "thesis.tex", "lost+found2"] {
            assert!(!is_of_the_system(name), "{name}");
        }
    }
}
