//! How the page and the command line show values to people, so that both say the same.

use std::io;

pub use proto::words::{count, grouped};

/// A size with three digits or so, in steps of a thousand, as systems show it today: `812 bytes`, `4.2 GB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    match bytes {
        1 => return "1 byte".into(),
        0..1000 => return format!("{bytes} bytes"),
        _ => {}
    }
    // In whole numbers, so that rounding needs no floating point.
    let mut unit = 0;
    let mut thousandths = bytes;
    while thousandths >= 999_500 && unit + 1 < UNITS.len() {
        thousandths = thousandths / 1000 + u64::from(thousandths % 1000 >= 500);
        unit += 1;
    }
    if thousandths >= 99_950 {
        format!("{} {}", (thousandths + 500) / 1000, UNITS[unit])
    } else {
        let tenths = (thousandths + 50) / 100;
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// A size to the byte, where it is compared with another: `1 byte`, `5,368,709,120 bytes`.
pub fn exact_size(bytes: u64) -> String {
    count(bytes, "byte")
}

/// Why another process was not reached, in words, and without the system's number for it.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there".into(),
        io::ErrorKind::TimedOut => "there is no answer in time".into(),
        _ => {
            let text = error.to_string();
            let end = text.find(" (os error ").unwrap_or(text.len());
            text[..end].to_owned()
        }
    }
}

/// Whether a character of a name makes the name look like another: it turns the direction of writing, breaks the
/// line, or cannot be seen. Such a character is to be shown by its code.
///
/// The joiners U+200C and U+200D are not among them: Persian and emoji need them.
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Marks of direction, which reorder what stands around them.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Breaks of lines and paragraphs.
            | '\u{2028}' | '\u{2029}'
            // Without width: two names would look the same.
            | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{feff}' | '\u{ad}' | '\u{180e}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_sizes_name_each_byte() {
        assert_eq!(exact_size(1), "1 byte");
        assert_eq!(exact_size(5_368_709_120), "5,368,709,120 bytes");
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (1_234, "1.2 kB"),
            (99_949, "99.9 kB"),
            (99_951, "100 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (1_048_576, "1.0 MB"),
            (734_003_200, "734 MB"),
            (5_368_709_120, "5.4 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn reasons_are_words() {
        for (error, expected) in [
            (
                io::ErrorKind::ConnectionRefused.into(),
                "nothing listens there",
            ),
            (io::ErrorKind::TimedOut.into(), "there is no answer in time"),
            (
                io::Error::other("No route to host (os error 113)"),
                "No route to host",
            ),
            (io::Error::other("closed"), "closed"),
        ] {
            assert_eq!(reason(&error), expected);
        }
    }

    #[test]
    fn what_cannot_be_seen_is_deceptive_and_writing_is_not() {
        for character in [
            '\u{202e}',
            '\u{200f}',
            '\u{2028}',
            '\u{200b}',
            '\u{ad}',
            '\u{1b}',
            '\u{e0041}',
        ] {
            assert!(is_deceptive(character), "{character:?}");
        }
        for character in [
            'a', 'é', '\u{301}', '日', 'ع', '👩', '\u{200d}', '\u{200c}', ' ',
        ] {
            assert!(!is_deceptive(character), "{character:?}");
        }
    }
}
