//! What is wrong with JSON that somebody sent, in words for whoever wrote it.
//!
//! The parser's own words name the types that this program has for a value, which nobody outside knows.
//!
//! **Invariant:** what is said is short, however long what was sent is.

/// Characters of what was sent that are said again.
const SHOWN_MAX: usize = 80;
/// Characters of all else that the parser says.
const WORDS_MAX: usize = 400;

/// Says what does not fit, and where: `an object is expected, not an array (column 1)`.
pub fn fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = match text.rsplit_once(" at line ") {
        Some((what, _)) if error.line() > 0 => what,
        _ => &text,
    };
    let place = match (error.line(), error.column()) {
        (0, _) => String::new(),
        (1, column) => format!(" (column {column})"),
        (line, column) => format!(" (line {line}, column {column})"),
    };
    if !error.is_data() {
        return format!("it is not JSON: {}{place}", shortened(what, WORDS_MAX));
    }
    let found = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|prefix| what.strip_prefix(prefix));
    // A struct can be read from an array too, if that is long enough.
    let is_too_short = what.starts_with("invalid length ") && what.contains(", expected struct ");
    let found = found.and_then(|found| found.rsplit_once(", expected "));
    match found.or(is_too_short.then_some(("sequence", "a map"))) {
        Some((found, expected)) => {
            format!(
                "{} is expected, not {}{place}",
                wanted(expected),
                had(found)
            )
        }
        None => format!("{}{place}", shortened(what, WORDS_MAX)),
    }
}

/// The text, or its beginning and its end.
fn shortened(text: &str, max: usize) -> String {
    let count = text.chars().count();
    if count <= max {
        return text.to_owned();
    }
    let (start, end) = (max / 2, count - max / 2);
    let chars = text.chars().enumerate();
    let shown = chars.filter(|(place, _)| *place < start || *place >= end);
    let mut shown: Vec<char> = shown.map(|(_, character)| character).collect();
    shown.insert(start, '…');
    shown.into_iter().collect()
}

fn wanted(expected: &str) -> &str {
    const NUMBERS: [&str; 7] = ["u8", "u16", "u32", "u64", "u128", "usize", "i64"];
    if NUMBERS.contains(&expected) {
        "a whole number"
    } else if expected.starts_with("struct ") || expected == "a map" {
        "an object"
    } else if expected == "a sequence" {
        "an array"
    } else {
        expected
    }
}

fn had(found: &str) -> String {
    match found.split_once(' ') {
        _ if found == "sequence" => "an array".to_owned(),
        _ if found == "map" => "an object".to_owned(),
        Some(("string", text)) => format!("the text {}", shortened(text, SHOWN_MAX)),
        Some(("integer", number)) => format!("the number {}", number.trim_matches('`')),
        Some(("floating", number)) => {
            let number = number.trim_start_matches("point ");
            format!("the number {}", number.trim_matches('`'))
        }
        Some(("boolean", yes)) => yes.trim_matches('`').to_owned(),
        _ => shortened(found, SHOWN_MAX),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only what is wrong with it matters")]
    struct Request {
        id: u32,
        names: Vec<String>,
    }

    fn check(text: &str, expected: &str) {
        let error = serde_json::from_str::<Request>(text).unwrap_err();
        assert_eq!(fault(&error), expected, "{text}");
    }

    #[test]
    fn what_does_not_fit_is_said_without_this_programs_types() {
        check("7", "an object is expected, not the number 7 (column 1)");
        check(
            r#"{"id":"a","names":[]}"#,
            "a whole number is expected, not the text \"a\" (column 9)",
        );
        check(
            r#"{"id":-1,"names":[]}"#,
            "a whole number is expected, not the number -1 (column 8)",
        );
        check(
            r#"{"id":1.5,"names":[]}"#,
            "a whole number is expected, not the number 1.5 (column 9)",
        );
        check(
            r#"{"id":1,"names":{}}"#,
            "an array is expected, not an object (column 16)",
        );
        check(r#"{"id":1}"#, "missing field `names` (column 8)");
        check("x", "it is not JSON: expected value (column 1)");
        check(
            "{\n\"id\":1",
            "it is not JSON: EOF while parsing an object (line 2, column 6)",
        );
    }

    /// A text of a megabyte in the place of a number was said again as it is shown, up to eight times as long: an answer that
    /// no line has room for, so that the peer that had sent it lost the connection and never learned why.
    #[test]
    fn what_is_said_is_short_however_long_what_was_sent_is() {
        let long = "\u{202e}".repeat(300_000);
        for text in [
            format!(r#"{{"id":"{long}","names":[]}}"#),
            format!(r#"{{"id":1,"names":"{long}"}}"#),
        ] {
            let sentence = fault(&serde_json::from_str::<Request>(&text).unwrap_err());
            assert!(
                sentence.len() < 600 && sentence.contains("is expected, not"),
                "{sentence}"
            );
        }
        let variant = serde_json::from_str::<crate::name::NameRules>(&format!("\"{long}\""));
        let sentence = fault(&variant.unwrap_err());
        assert!(
            sentence.len() < 2000 && sentence.contains("`portable`"),
            "{sentence}"
        );
    }

    #[test]
    fn an_array_in_place_of_an_object_is_no_object() {
        check("[]", "an object is expected, not an array (column 2)");
        check("[1]", "an object is expected, not an array (column 3)");
    }
}
