//! Which bytes of a file a `Range` header asks for (RFC 9110, section 14).
//!
//! One range is served. Several ranges in one request, another unit, or text that is no range are ignored, as the RFC
//! allows: the whole file comes. One range that cannot be satisfied, or that ends before it begins, is refused.

use std::ops::Range;

/// What is to be sent of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it.
    Whole,
    /// These bytes, never none: 206.
    Part(Range<u64>),
    /// Nothing, since the range is not in the file: 416.
    Nothing,
}

/// What `header` asks for of a file with `size` bytes.
pub(crate) fn wanted(header: &str, size: u64) -> Wanted {
    let Some((unit, ranges)) = header.split_once('=') else {
        return Wanted::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || ranges.contains(',') {
        return Wanted::Whole;
    }
    match ranges.trim().split_once('-') {
        Some(("", last)) => suffix(last, size),
        Some((first, "")) => number(first).map_or(Wanted::Whole, |first| part(first, size, size)),
        Some((first, last)) => match (number(first), number(last)) {
            (Some(first), Some(last)) => part(first, last.saturating_add(1), size),
            _ => Wanted::Whole,
        },
        None => Wanted::Whole,
    }
}

/// The last `len` bytes.
fn suffix(len: &str, size: u64) -> Wanted {
    number(len).map_or(Wanted::Whole, |len| {
        part(size.saturating_sub(len), size, size)
    })
}

fn part(first: u64, end: u64, size: u64) -> Wanted {
    let end = end.min(size);
    if first < end {
        Wanted::Part(first..end)
    } else {
        Wanted::Nothing
    }
}

/// Digits only: `parse` alone would take a sign. A number too large for any file is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, size: u64, expected: &Wanted) {
        assert_eq!(
            wanted(header, size),
            *expected,
            "{header:?} of {size} bytes"
        );
    }

    #[test]
    fn one_range_is_a_part() {
        for (header, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-", 0..10),
            ("bytes=3-5", 3..6),
            ("bytes=9-9", 9..10),
            ("bytes=3-99", 3..10),
            ("bytes=0-18446744073709551615", 0..10),
            ("bytes=0-99999999999999999999999", 0..10),
            ("bytes=-1", 9..10),
            ("bytes=-99", 0..10),
            ("Bytes= 1-2 ", 1..3),
        ] {
            check(header, 10, &Wanted::Part(expected));
        }
    }

    #[test]
    fn a_range_outside_the_file_is_refused() {
        for header in [
            "bytes=10-",
            "bytes=10-12",
            "bytes=5-2",
            "bytes=-0",
            "bytes=99999999999999999999-",
        ] {
            check(header, 10, &Wanted::Nothing);
        }
        check("bytes=0-", 0, &Wanted::Nothing);
        check("bytes=-5", 0, &Wanted::Nothing);
    }

    #[test]
    fn several_ranges_and_what_is_no_range_are_ignored() {
        let many = format!("bytes={}0-1", "0-1,".repeat(10_000));
        for header in [
            "bytes=0-1,3-4",
            "bytes=0-5,2-8",
            many.as_str(),
            "lines=0-1",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes= 1 - 2",
            "",
        ] {
            check(header, 10, &Wanted::Whole);
        }
    }
}
