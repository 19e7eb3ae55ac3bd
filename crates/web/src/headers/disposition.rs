//! `Content-Disposition`: the name under which a browser saves a file (RFC 6266, RFC 8187).
//!
//! The name goes out twice: percent-encoded as `filename*`, exact, and as `filename` in plain letters for what cannot
//! read that. Neither can hold a quote, a line end or anything else that would begin another header.

use axum::http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What RFC 8187 calls `attr-char` stays as it is.
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Whether a browser shows a file or saves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// Shows it.
    Inline,
    /// Saves it.
    Attachment,
}

/// The header's value for a file of this name.
pub(crate) fn content_disposition(disposition: Disposition, name: &str) -> HeaderValue {
    let kind = match disposition {
        Disposition::Inline => "inline",
        Disposition::Attachment => "attachment",
    };
    let plain: String = name.chars().map(plain_character).collect();
    let exact = utf8_percent_encode(name, NOT_ATTR_CHAR);
    HeaderValue::try_from(format!(
        "{kind}; filename=\"{plain}\"; filename*=UTF-8''{exact}"
    ))
    .expect("only printable ASCII is left")
}

/// `%` goes too: some browsers decode it in `filename`.
fn plain_character(character: char) -> char {
    match character {
        '"' | '\\' | '%' | '/' => '_',
        ' '..='~' => character,
        _ => '_',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &str) {
        let value = content_disposition(Disposition::Attachment, name);
        assert_eq!(value.to_str().unwrap(), format!("attachment; {expected}"));
    }

    #[test]
    fn names_are_exact_and_cannot_leave_the_header() {
        check("a.txt", "filename=\"a.txt\"; filename*=UTF-8''a.txt");
        check(
            "two words.txt",
            "filename=\"two words.txt\"; filename*=UTF-8''two%20words.txt",
        );
        check(
            "é\u{1f600}.txt",
            "filename=\"__.txt\"; filename*=UTF-8''%C3%A9%F0%9F%98%80.txt",
        );
        check(
            "a\"; filename=\"b.exe",
            "filename=\"a_; filename=_b.exe\"; filename*=UTF-8''a%22%3B%20filename%3D%22b.exe",
        );
        check(
            "a\r\nSet-Cookie: x",
            "filename=\"a__Set-Cookie: x\"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x",
        );
        check(
            "\u{202e}gpj.exe",
            "filename=\"_gpj.exe\"; filename*=UTF-8''%E2%80%AEgpj.exe",
        );
        check(
            "100%25'.txt",
            "filename=\"100_25'.txt\"; filename*=UTF-8''100%2525%27.txt",
        );
    }
}
