//! Tells a person what goes on: bars with rate and time left on a terminal, plain lines elsewhere, nothing if quiet.
//!
//! Bars and warnings go to standard error; what was done goes to standard output, unless that carries data.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use proto::name::EntryPath;

use crate::output::{shown, span};
use client::people::size;

/// How often a transfer says how far it is where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Speaks for a command.
#[derive(Debug, Clone)]
pub(crate) struct Narrator {
    bars: MultiProgress,
    is_quiet: bool,
    is_terminal: bool,
    output_is_data: bool,
}

impl Narrator {
    /// One that speaks, or does not.
    pub(crate) fn new(is_quiet: bool) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let target = if is_quiet || !is_terminal {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        Self {
            bars: MultiProgress::with_draw_target(target),
            is_quiet,
            is_terminal,
            output_is_data: false,
        }
    }

    /// Standard output carries a file's bytes: nothing else may go there.
    pub(crate) fn keep_off_stdout(&mut self) {
        self.output_is_data = true;
    }

    /// What was done. Silent if quiet.
    pub(crate) fn done(&self, text: &str) -> io::Result<()> {
        if self.is_quiet {
            return Ok(());
        }
        let line = format!("{}\n", shown(text));
        self.bars.suspend(|| {
            if self.output_is_data {
                io::stderr().write_all(line.as_bytes())
            } else {
                io::stdout().lock().write_all(line.as_bytes())
            }
        })
    }

    /// What a person should know although nothing failed, or the one failure of many. Never silent.
    pub(crate) fn warn(&self, text: &str) {
        // Where nobody reads it, there is nobody to tell.
        let line = format!("{}\n", shown(text));
        self.bars
            .suspend(|| io::stderr().write_all(line.as_bytes()).ok());
    }

    /// A transfer begins; `total` is how many bytes there are, if that is known.
    pub(crate) fn transfer(&self, name: &str, total: Option<u64>) -> Transfer {
        let bar = self.bars.add(bar(name, total));
        let lines = (!self.is_quiet && !self.is_terminal).then(|| Lines::new(name, total));
        Transfer {
            bar,
            lines: lines.map(Arc::new),
        }
    }
}

/// One transfer that is shown. Cheap to clone; dropped last, it vanishes.
#[derive(Clone)]
pub(crate) struct Transfer {
    bar: ProgressBar,
    lines: Option<Arc<Lines>>,
}

impl Transfer {
    /// For the one file that this is.
    pub(crate) fn position(&self) -> Position {
        Position {
            transfer: self.clone(),
            added: None,
        }
    }

    /// For one of several files.
    pub(crate) fn share(&self) -> Position {
        Position {
            transfer: self.clone(),
            added: Some(AtomicU64::new(0)),
        }
    }

    /// What is there already does not count for the rate.
    fn begin_at(&self, bytes: u64) {
        self.bar.set_position(bytes);
        self.bar.reset_eta();
        if let Some(lines) = &self.lines {
            lines.began_at.store(bytes, Ordering::Relaxed);
        }
    }

    fn at(&self, bytes: u64) {
        self.bar.set_position(bytes);
        if let Some(lines) = &self.lines {
            lines.at(bytes);
        }
    }

    fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
        if let Some(lines) = &self.lines {
            lines.at(self.bar.position());
        }
    }

    /// It is over, well or not.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer")
            .field("position", &self.bar.position())
            .finish_non_exhaustive()
    }
}

/// How far one file is: the whole of what a [`Transfer`] shows, or one of several files that it shows as one.
#[derive(Debug)]
pub(crate) struct Position {
    transfer: Transfer,
    /// What this file has added so far, if it is one of several.
    added: Option<AtomicU64>,
}

impl Position {
    /// So many bytes are there already from an earlier time.
    pub(crate) fn begin_at(&self, bytes: u64) {
        if self.added.is_none() {
            self.transfer.begin_at(bytes);
        } else {
            self.at(bytes);
        }
    }

    /// So many bytes are there now.
    pub(crate) fn at(&self, bytes: u64) {
        match &self.added {
            None => self.transfer.at(bytes),
            Some(added) => {
                let before = added.fetch_max(bytes, Ordering::Relaxed);
                self.transfer.add(bytes.saturating_sub(before));
            }
        }
    }
}

/// A transfer where there is no terminal: a line now and then.
#[derive(Debug)]
struct Lines {
    name: String,
    total: Option<u64>,
    began: Instant,
    began_at: AtomicU64,
    /// Milliseconds after `began` at which the next line is due.
    due: AtomicU64,
}

impl Lines {
    fn new(name: &str, total: Option<u64>) -> Self {
        Self {
            name: shown(name),
            total,
            began: Instant::now(),
            began_at: AtomicU64::new(0),
            due: AtomicU64::new(millis(LINE_INTERVAL)),
        }
    }

    fn at(&self, bytes: u64) {
        let elapsed = self.began.elapsed();
        let (now, due) = (millis(elapsed), self.due.load(Ordering::Relaxed));
        let next = now + millis(LINE_INTERVAL);
        let is_mine = now >= due
            && self
                .due
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_mine {
            let began_at = self.began_at.load(Ordering::Relaxed);
            let how_far = how_far(bytes, began_at, self.total, elapsed);
            writeln!(io::stderr(), "{}: {how_far}", self.name).ok();
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How far a transfer is: `35 % of 5.0 GB, 80.0 MB/s, 40 seconds left`.
fn how_far(bytes: u64, began_at: u64, total: Option<u64>, elapsed: Duration) -> String {
    let moved = bytes.saturating_sub(began_at);
    let rate = u128::from(moved) * 1000 / elapsed.as_millis().max(1);
    let rate = u64::try_from(rate).unwrap_or(u64::MAX);
    let Some(total) = total.filter(|total| *total > 0) else {
        return format!("{}, {}/s", size(bytes), size(rate));
    };
    let percent = u128::from(bytes) * 100 / u128::from(total);
    let left = match total.saturating_sub(bytes).checked_div(rate) {
        Some(secs) => format!(", {} left", span(Duration::from_secs(secs))),
        None => String::new(),
    };
    format!("{percent} % of {}, {}/s{left}", size(total), size(rate))
}

fn bar(name: &str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{msg:28!} {bar:24} {percent:>3} % of {total_size}, {rate}, {eta} left",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{msg:28!} {spinner} {size}, {rate}",
        ),
    };
    // A template that is wrong is caught by the test below; here the plain one will do.
    let style = ProgressStyle::with_template(template).map(in_our_units);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(shown(name));
    bar
}

/// Sizes in a bar as everywhere else.
fn in_our_units(style: ProgressStyle) -> ProgressStyle {
    fn write(writer: &mut dyn fmt::Write, text: String) {
        // A line of progress that cannot be formatted is no reason to end a transfer.
        writer.write_str(&text).ok();
    }
    style
        .with_key(
            "size",
            |state: &ProgressState, writer: &mut dyn fmt::Write| {
                write(writer, size(state.pos()));
            },
        )
        .with_key(
            "total_size",
            |state: &ProgressState, writer: &mut dyn fmt::Write| {
                write(writer, size(state.len().unwrap_or(0)));
            },
        )
        .with_key(
            "rate",
            |state: &ProgressState, writer: &mut dyn fmt::Write| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a rate is shown with three digits"
                )]
                let rate = state.per_sec() as u64;
                write(writer, format!("{}/s", size(rate)));
            },
        )
}

/// The last name of a path, to stand beside a bar.
pub(crate) fn label(path: &EntryPath) -> &str {
    path.name().map_or("/", |name| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_transfer_is_comes_in_words() {
        let second = Duration::from_secs(1);
        assert_eq!(
            how_far(50_000_000, 0, Some(100_000_000), second),
            "50 % of 100 MB, 50.0 MB/s, 1 second left"
        );
        assert_eq!(
            how_far(60_000_000, 50_000_000, Some(100_000_000), second),
            "60 % of 100 MB, 10.0 MB/s, 4 seconds left"
        );
        assert_eq!(how_far(1_000_000, 0, None, second), "1.0 MB, 1.0 MB/s");
        assert_eq!(
            how_far(0, 0, Some(10), second),
            "0 % of 10 bytes, 0 bytes/s"
        );
        assert_eq!(how_far(0, 0, Some(0), Duration::ZERO), "0 bytes, 0 bytes/s");
    }
}
