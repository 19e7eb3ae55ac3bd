//! Values as people read them: sizes, times, and names that cannot lie.

use jiff::Timestamp;

/// A part of a name: text as it is, or a character that would not be seen but changes how the rest is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamePart {
    /// Shown as it is.
    Text(String),
    /// Shown as its code, for example `U+202E`.
    Hidden(String),
}

/// A name in parts: what turns the direction of writing, or has no shape at all, is shown by its code, so that
/// `photo<U+202E>gpj.exe` does not look like a picture.
pub(crate) fn name_parts(name: &str) -> Vec<NamePart> {
    let mut parts: Vec<NamePart> = Vec::new();
    for character in name.chars() {
        if is_hidden(character) {
            parts.push(NamePart::Hidden(format!("U+{:04X}", u32::from(character))));
        } else if let Some(NamePart::Text(text)) = parts.last_mut() {
            text.push(character);
        } else {
            parts.push(NamePart::Text(character.into()));
        }
    }
    parts
}

/// Joiners (U+200C, U+200D) are left alone: Persian and emoji need them.
fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{61c}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// A size with three digits or so, in steps of a thousand, as systems show it today.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    match bytes {
        1 => return "1 byte".into(),
        0..1000 => return format!("{bytes} bytes"),
        _ => {}
    }
    // In tenths, so that rounding needs no floating point.
    let mut unit = 0;
    let mut thousands = bytes;
    while thousands >= 999_950 && unit + 1 < UNITS.len() {
        thousands = thousands / 1000 + u64::from(thousands % 1000 >= 500);
        unit += 1;
    }
    if thousands >= 99_950 {
        format!("{} {}", (thousands + 500) / 1000, UNITS[unit])
    } else {
        let tenths = (thousands + 50) / 100;
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// A time for machines, and one for people where there is no script that knows their time zone.
pub(crate) fn time(modified_ms: u64) -> (String, String) {
    let timestamp = i64::try_from(modified_ms)
        .ok()
        .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
        .unwrap_or(Timestamp::MAX);
    let machine = timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    (
        machine,
        timestamp.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (999_949, "1000 kB"),
            (999_950, "1.0 MB"),
            (1_048_576, "1.0 MB"),
            (734_003_200, "734 MB"),
            (5_368_709_120, "5.4 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn hidden_characters_are_shown_by_their_code() {
        let text = |text: &str| NamePart::Text(text.into());
        let hidden = |code: &str| NamePart::Hidden(code.into());
        assert_eq!(name_parts("a.txt"), [text("a.txt")]);
        assert_eq!(
            name_parts("photo\u{202e}gpj.exe"),
            [text("photo"), hidden("U+202E"), text("gpj.exe")]
        );
        assert_eq!(name_parts("\u{200f}"), [hidden("U+200F")]);
        assert_eq!(name_parts("👩\u{200d}💻"), [text("👩\u{200d}💻")]);
    }

    #[test]
    fn times_are_written_in_both_ways() {
        let (machine, person) = time(784_111_777_000);
        assert_eq!(machine, "1994-11-06T08:49:37Z");
        assert_eq!(person, "1994-11-06 08:49 UTC");
        assert!(time(u64::MAX).0.starts_with("9999"));
    }
}
