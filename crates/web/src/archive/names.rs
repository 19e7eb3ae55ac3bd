//! Names as they are in a zip: `:` and `\`, which lead elsewhere on Windows, are written as `%3A` and `%5C`.
//!
//! **Invariant:** two names never become the same one. So nothing has to be remembered of names that were given already, nor
//! looked up.

/// What stands for what. A `%` is escaped only where it would be taken for the begin of one of these.
const CODES: [(char, &str); 3] = [(':', "%3A"), ('\\', "%5C"), ('%', "%25")];

/// Without `:` and `\`. The name can be told from what comes out.
///
/// For `C:a` it is `C%3Aa`, and for that `C%253Aa`.
pub(super) fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        let is_plain_percent = c == '%' && !begins_with_code(&name[at..]);
        match CODES.iter().find(|(special, _)| *special == c) {
            Some((_, code)) if !is_plain_percent => escaped.push_str(code),
            _ => escaped.push(c),
        }
    }
    escaped
}

fn begins_with_code(text: &str) -> bool {
    CODES.iter().any(|(_, code)| text.starts_with(code))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn only_what_would_be_mistaken_is_escaped() {
        for (name, expected) in [
            ("C:evil", "C%3Aevil"),
            ("..\\evil", "..%5Cevil"),
            ("100%: done", "100%%3A done"),
            ("100%", "100%"),
            ("%3a", "%3a"),
            ("C%3Aevil", "C%253Aevil"),
            ("C%253Aevil", "C%25253Aevil"),
            ("résumé 🎉", "résumé 🎉"),
        ] {
            assert_eq!(escaped(name), expected);
        }
    }

    /// All short names of what codes are made of.
    #[test]
    fn no_two_names_become_the_same() {
        let mut names = vec![String::new()];
        let mut begin = 0;
        for _ in 0..5 {
            let end = names.len();
            for at in begin..end {
                for c in [":", "\\", "%", "3", "A", "2", "5"] {
                    names.push(format!("{}{c}", names[at]));
                }
            }
            begin = end;
        }
        let mut given = HashMap::new();
        for name in &names {
            let other = escaped(name);
            assert!(!other.contains([':', '\\']), "{name}");
            assert_eq!(given.insert(other, name), None, "{name}");
        }
    }
}
