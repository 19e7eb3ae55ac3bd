//! Values as people read them: times, and names that cannot lie.

use client::people::is_deceptive;
use jiff::Timestamp;

use crate::texts::Texts;

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
pub(crate) fn time(texts: &Texts, modified_ms: u64) -> (String, String) {
    let timestamp = i64::try_from(modified_ms)
        .ok()
        .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
        .unwrap_or(Timestamp::MAX);
    let part = |format| timestamp.strftime(format).to_string();
    let values = [
        ("year", &*part("%Y")),
        ("month", &*part("%m")),
        ("day", &*part("%d")),
        ("time", &*part("%H:%M")),
    ];
    (
        part("%Y-%m-%dT%H:%M:%SZ"),
        texts.fill("times.moment", &values),
    )
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use super::*;
    use crate::texts;

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
    fn times_are_written_in_both_ways() {
        let [english, german] = ["en", "de"].map(|code| texts::of(code).unwrap());
        let (machine, person) = time(english, 784_111_777_000);
        assert_eq!(machine, "1994-11-06T08:49:37Z");
        assert_eq!(person, "1994-11-06 08:49 UTC");
        assert_eq!(time(german, 784_111_777_000).1, "06.11.1994, 08:49 UTC");
        assert!(time(english, u64::MAX).0.starts_with("9999"));
    }
}
