//! Spans of time as people write them: `250ms`, `5s`, `1h30m`, `30d`.
//!
//! A bare number is refused, since nobody could tell its unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A span of time, in whole milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(u64);

/// Each unit with its milliseconds, the largest first. `ms` comes before `m` and `s`, which begin or end it.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("ms", 1),
    ("m", 60_000),
    ("s", 1000),
];

impl TimeSpan {
    /// So many milliseconds.
    pub const fn millis(count: u64) -> Self {
        Self(count)
    }

    /// So many seconds.
    pub const fn secs(count: u64) -> Self {
        Self(count * 1000)
    }

    /// So many minutes.
    pub const fn minutes(count: u64) -> Self {
        Self(count * 60_000)
    }

    /// So many hours.
    pub const fn hours(count: u64) -> Self {
        Self(count * 3_600_000)
    }

    /// So many days.
    pub const fn days(count: u64) -> Self {
        Self(count * 86_400_000)
    }

    /// As what timers take.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// As milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

impl From<TimeSpan> for Duration {
    fn from(span: TimeSpan) -> Self {
        span.duration()
    }
}

/// A text that is not a span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time: write a number and a unit, for example 250ms, 5s, 15m, 1h or 30d")]
pub struct ParseTimeSpanError(String);

impl FromStr for TimeSpan {
    type Err = ParseTimeSpanError;

    fn from_str(text: &str) -> Result<Self, ParseTimeSpanError> {
        parse(text).ok_or_else(|| ParseTimeSpanError(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<TimeSpan> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut millis = 0u64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let (unit, factor) = UNITS.into_iter().find(|(unit, _)| tail.starts_with(unit))?;
        millis = millis.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = tail[unit.len()..].trim_start();
    }
    Some(TimeSpan(millis))
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divides = |factor: u64| self.0 != 0 && self.0.is_multiple_of(factor);
        let mut units = UNITS;
        units.sort_by_key(|(_, factor)| std::cmp::Reverse(*factor));
        let (unit, factor) = units
            .into_iter()
            .find(|(_, factor)| divides(*factor))
            .unwrap_or(("s", 1000));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        let span = text.parse::<TimeSpan>().ok();
        assert_eq!(span.map(TimeSpan::as_millis), expected, "{text:?}");
        if let Some(span) = span {
            assert_eq!(span.to_string().parse(), Ok(span), "{text:?}");
        }
    }

    #[test]
    fn spans_are_numbers_with_units() {
        check("0s", Some(0));
        check("250ms", Some(250));
        check("5s", Some(5000));
        check("15 m", Some(900_000));
        check("1h30m", Some(5_400_000));
        check("1m 1ms", Some(60_001));
        check("30d", Some(2_592_000_000));
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "5 seconds",
            "1w",
            "99999999999999999999d",
            "213503982334602d",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn spans_are_shown_in_the_largest_unit_that_divides() {
        assert_eq!(TimeSpan::days(30).to_string(), "30d");
        assert_eq!(TimeSpan::secs(90).to_string(), "90s");
        assert_eq!(TimeSpan::minutes(15).to_string(), "15m");
        assert_eq!(TimeSpan::millis(1500).to_string(), "1500ms");
        assert_eq!(TimeSpan::secs(0).to_string(), "0s");
    }
}
