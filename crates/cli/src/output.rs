//! Words and figures for people, and JSON for programs.
//!
//! Names come from anybody who can store a file: on a terminal they are shown so that they cannot move the cursor,
//! change colours or pretend to be another name. Programs get them as they are.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use client::people::is_deceptive;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

/// Standard output, which knows whether a person reads it.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: io::BufWriter<io::Stdout>,
    is_terminal: bool,
    is_coloured: bool,
}

/// A colour of text on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// All is well.
    Green,
    /// Needs a look.
    Yellow,
    /// Needs a hand.
    Red,
    /// Less important.
    Dim,
}

impl Colour {
    const fn code(self) -> u8 {
        match self {
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Red => 31,
            Self::Dim => 2,
        }
    }
}

impl Output {
    /// This process' standard output.
    pub(crate) fn stdout() -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        Self {
            is_terminal,
            is_coloured: settings::stdout_takes_colours(),
            stdout: io::BufWriter::new(stdout),
        }
    }

    /// Whether a person reads it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// One line.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        self.stdout.write_all(text.as_bytes())?;
        self.stdout.write_all(b"\n")
    }

    /// A name as it can be shown here.
    pub(crate) fn name(&self, name: &str) -> String {
        if self.is_terminal {
            shown(name)
        } else {
            name.to_owned()
        }
    }

    /// The text in this colour, where there are colours.
    pub(crate) fn paint(&self, colour: Colour, text: &str) -> String {
        if self.is_coloured {
            paint(colour.code(), text)
        } else {
            text.to_owned()
        }
    }

    /// One JSON value, on as many lines as make it readable.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.stdout, value)?;
        self.stdout.write_all(b"\n")
    }

    /// A JSON array whose items come one by one. Nothing is written before the first is there: what fails before gives
    /// no JSON at all.
    pub(crate) fn json_array(&mut self) -> JsonArray<'_, impl Write> {
        JsonArray {
            out: &mut self.stdout,
            is_empty: true,
        }
    }

    /// Hands over all that was written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

/// A JSON array that is being written, one item a line.
#[derive(Debug)]
pub(crate) struct JsonArray<'a, W> {
    out: &'a mut W,
    is_empty: bool,
}

impl<W: Write> JsonArray<'_, W> {
    /// One more.
    pub(crate) fn item(&mut self, value: &impl Serialize) -> io::Result<()> {
        let separator: &[u8] = if self.is_empty { b"[\n  " } else { b",\n  " };
        self.is_empty = false;
        self.out.write_all(separator)?;
        Ok(serde_json::to_writer(&mut *self.out, value)?)
    }

    /// There are no more.
    pub(crate) fn end(self) -> io::Result<()> {
        let end: &[u8] = if self.is_empty { b"[]\n" } else { b"\n]\n" };
        self.out.write_all(end)?;
        self.out.flush()
    }
}

/// The text with a terminal's code for a colour before it.
pub(crate) fn paint(code: u8, text: &str) -> String {
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// The text with all that would lie about it, or do something to a terminal, written as `\u{202e}`.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A span of time for people, in its largest unit.
pub(crate) fn span(span: Duration) -> String {
    let secs = span.as_secs();
    match secs {
        0 => "less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..120 => format!("{secs} seconds"),
        120..7200 => format!("{} minutes", secs / 60),
        7200..172_800 => format!("{} hours", secs / 3600),
        _ => format!("{} days", secs / 86_400),
    }
}

/// A time of day in the zone of this machine, or in another.
pub(crate) fn time(millis: u64, zone: &TimeZone) -> String {
    let timestamp = i64::try_from(millis)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok());
    match timestamp {
        Some(timestamp) => timestamp
            .to_zoned(zone.clone())
            .strftime("%Y-%m-%d %H:%M")
            .to_string(),
        None => "unknown".to_owned(),
    }
}

/// How long ago that was.
pub(crate) fn ago(millis: u64, now: Timestamp) -> String {
    let now = u64::try_from(now.as_millisecond()).unwrap_or(0);
    if millis > now {
        return "just now".to_owned();
    }
    format!("{} ago", span(Duration::from_millis(now - millis)))
}

/// Columns that are as wide as their widest text, two spaces between them. One without any text is left out.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// One more row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The lines, each after `indent`.
    pub(crate) fn lines(&self, indent: &str) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| visible_width(cell)).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        self.rows
            .iter()
            .map(|row| {
                let mut line = indent.to_owned();
                let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
                for (cell, width) in cells {
                    let padding = width - visible_width(cell) + 2;
                    // Writing to a String cannot fail.
                    write!(line, "{cell}{:padding$}", "").expect("a String takes any text");
                }
                line.trim_end().to_owned()
            })
            .collect()
    }
}

/// Characters that are seen: not those of a colour's code.
fn visible_width(text: &str) -> usize {
    let mut width = 0;
    let mut in_code = false;
    for c in text.chars() {
        match (in_code, c) {
            (false, '\x1b') => in_code = true,
            (false, _) => width += 1,
            (true, 'm') => in_code = false,
            (true, _) => {}
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_lie_on_a_terminal() {
        assert_eq!(shown("résumé 🦀 日本.txt"), "résumé 🦀 日本.txt");
        assert_eq!(shown("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
        assert_eq!(shown("a\x1b[31mb\n"), "a\\u{1b}[31mb\\u{a}");
        assert_eq!(shown("a\u{200b}b\u{feff}"), "a\\u{200b}b\\u{feff}");
        assert_eq!(shown("👩\u{200d}🚀"), "👩\u{200d}🚀");
    }

    #[test]
    fn a_json_array_is_whole_or_not_begun() {
        let written = |items: &[u8], has_end| {
            let mut out = Vec::new();
            let mut array = JsonArray {
                out: &mut out,
                is_empty: true,
            };
            for item in items {
                array.item(item).unwrap();
            }
            if has_end {
                array.end().unwrap();
            }
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(&[], false), "");
        assert_eq!(written(&[], true), "[]\n");
        assert_eq!(written(&[1, 2], true), "[\n  1,\n  2\n]\n");
    }

    #[test]
    fn spans_are_words() {
        assert_eq!(span(Duration::from_millis(400)), "less than a second");
        assert_eq!(span(Duration::from_secs(90)), "90 seconds");
        assert_eq!(span(Duration::from_secs(3600)), "60 minutes");
        assert_eq!(span(Duration::from_secs(200_000)), "2 days");
    }

    #[test]
    fn times_are_in_the_zone_asked_for() {
        assert_eq!(time(0, &TimeZone::UTC), "1970-01-01 00:00");
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(time(1_700_000_000_000, &zone), "2023-11-15 00:13");
        assert_eq!(time(u64::MAX, &TimeZone::UTC), "unknown");
        let now = Timestamp::from_millisecond(60_000).unwrap();
        assert_eq!(ago(55_000, now), "5 seconds ago");
        assert_eq!(ago(65_000, now), "just now");
    }

    #[test]
    fn columns_are_as_wide_as_what_is_seen() {
        let mut table = Table::default();
        table.row(["a".to_owned(), String::new(), "b".to_owned()]);
        table.row([paint(31, "long"), String::new(), "c".to_owned()]);
        assert_eq!(
            table.lines("  "),
            ["  a     b", "  \u{1b}[31mlong\u{1b}[0m  c"]
        );
    }
}
