//! Values as people read them: times, and names that cannot lie.

use client::people::{count, is_deceptive};
use jiff::Timestamp;

/// A part of a name: text as it is, or a character that would not be seen but changes how the rest is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamePart {
    /// Shown as it is.
    Text(String),
    /// Shown as its code, for example `U+202E`.
    Hidden(String),
}

impl NamePart {
    /// What is shown of it.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Hidden(code) => code,
        }
    }
}

/// A name in parts: what turns the direction of writing, or has no shape at all, is shown by its code, so that
/// `photo<U+202E>gpj.exe` does not look like a picture; so is a space at either end.
pub(crate) fn name_parts(name: &str) -> Vec<NamePart> {
    let mut parts: Vec<NamePart> = Vec::new();
    let last = name.chars().count().saturating_sub(1);
    for (place, character) in name.chars().enumerate() {
        let is_at_edge = place == 0 || place == last;
        if is_deceptive(character) || (is_at_edge && character == ' ') {
            parts.push(NamePart::Hidden(format!("U+{:04X}", u32::from(character))));
        } else if let Some(NamePart::Text(text)) = parts.last_mut() {
            text.push(character);
        } else {
            parts.push(NamePart::Text(character.into()));
        }
    }
    parts
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

/// A span of time in its largest unit that says it roughly: `30 days`.
pub(crate) fn span(milliseconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400, "day"),
        (3600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let seconds = milliseconds / 1000;
    let fits = |(length, _): &&(u64, &str)| seconds >= 2 * length;
    let (length, unit) = UNITS.iter().find(fits).unwrap_or(&UNITS[3]);
    count(seconds / length, unit)
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use super::*;

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
        assert_eq!(
            name_parts(" a b "),
            [hidden("U+0020"), text("a b"), hidden("U+0020")]
        );
        assert_eq!(name_parts("👩\u{200d}💻"), [text("👩\u{200d}💻")]);
    }

    /// The page's script draws names as well: what it does not know of would look another way after a click.
    #[test]
    fn the_pages_script_hides_the_same_characters() {
        let script = include_str!("../../../static/format.js");
        let (_, class) = script.split_once("const HIDDEN = /([").unwrap();
        let (class, _) = class.split_once("])/u;").unwrap();
        // Each is `\u1234` or `\u{12345}`, and begins a range where a `-` comes after it.
        let mut hidden: Vec<RangeInclusive<char>> = Vec::new();
        let mut begin = None;
        for text in class.split("\\u").skip(1) {
            let digits = text.trim_end_matches('-').trim_matches(['{', '}']);
            let character = char::from_u32(u32::from_str_radix(digits, 16).unwrap()).unwrap();
            if text.ends_with('-') {
                begin = Some(character);
            } else {
                hidden.push(begin.take().unwrap_or(character)..=character);
            }
        }
        for character in '\0'..=char::MAX {
            let is_hidden = hidden.iter().any(|range| range.contains(&character));
            assert_eq!(is_hidden, is_deceptive(character), "{character:?}");
        }
    }

    #[test]
    fn spans_are_in_their_largest_unit() {
        for (seconds, expected) in [
            (30 * 86_400, "30 days"),
            (2 * 86_400, "2 days"),
            (86_400, "24 hours"),
            (90 * 60, "90 minutes"),
            (90, "90 seconds"),
            (1, "1 second"),
            (0, "0 seconds"),
        ] {
            assert_eq!(span(seconds * 1000), expected);
        }
    }

    #[test]
    fn times_are_written_in_both_ways() {
        let (machine, person) = time(784_111_777_000);
        assert_eq!(machine, "1994-11-06T08:49:37Z");
        assert_eq!(person, "1994-11-06 08:49 UTC");
        assert!(time(u64::MAX).0.starts_with("9999"));
    }
}
