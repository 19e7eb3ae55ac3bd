//! Numbers of bytes as people write them: `64KiB`, `1 GB`, `4096`.
//!
//! Shown, a size that was read reads the same again: it is written in the largest unit that divides it.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const UNITS: [(&str, u64); 11] = [
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("PB", 1_000_000_000_000_000),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// So many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many times 1,024 bytes.
    pub const fn kibi(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many times 1,024 KiB.
    pub const fn mebi(count: u64) -> Self {
        Self(count << 20)
    }

    /// So many times 1,024 MiB.
    pub const fn gibi(count: u64) -> Self {
        Self(count << 30)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes, as far as memory can be addressed.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size: write a number and a unit, for example 64KiB, 1MiB or 10GB")]
pub struct ParseByteSizeError(String);

impl FromStr for ByteSize {
    type Err = ParseByteSizeError;

    fn from_str(text: &str) -> Result<Self, ParseByteSizeError> {
        parse(text).ok_or_else(|| ParseByteSizeError(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<ByteSize> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let factor = UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .map(|(_, factor)| *factor)
        .or_else(|| unit.is_empty().then_some(1))?;
    let bytes = number.parse::<u64>().ok()?.checked_mul(factor)?;
    Some(ByteSize(bytes))
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divides = |factor: u64| self.0 != 0 && self.0.is_multiple_of(factor);
        let (unit, factor) = UNITS
            .into_iter()
            .find(|(_, factor)| divides(*factor))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        let size = text.parse::<ByteSize>().ok();
        assert_eq!(size.map(ByteSize::get), expected, "{text:?}");
        if let Some(size) = size {
            assert_eq!(size.to_string().parse(), Ok(size), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_a_number_and_a_unit() {
        check("0", Some(0));
        check("4096", Some(4096));
        check("4096B", Some(4096));
        check("1KiB", Some(1024));
        check("1 kb", Some(1000));
        check(" 64 MiB ", Some(64 << 20));
        check("5tb", Some(5_000_000_000_000));
        check("16383PiB", Some(16383 << 50));
        check("16384PiB", None);
        for text in ["", "MiB", "-1", "1.5GiB", "1 potato", "1M", "1_000", "٣"] {
            check(text, None);
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_divides() {
        assert_eq!(ByteSize::mebi(1).to_string(), "1MiB");
        assert_eq!(ByteSize::kibi(1536).to_string(), "1536KiB");
        assert_eq!(ByteSize::bytes(1000).to_string(), "1kB");
        assert_eq!(ByteSize::bytes(1).to_string(), "1B");
        assert_eq!(ByteSize::bytes(0).to_string(), "0B");
    }
}
