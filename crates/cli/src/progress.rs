//! Tells a person what goes on: bars with rate and time left on a terminal, plain lines elsewhere, nothing if quiet.
//!
//! Bars and warnings go to standard error; what was done goes to standard output, unless that carries data.

mod line;
mod rate;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use parking_lot::Mutex;
use proto::name::EntryPath;

use crate::output::shown;

use line::HowFar;
use rate::Rate;

/// How often a transfer says how far it is where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// How often a line on a terminal is drawn anew.
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);

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

    /// The transfer of one file begins; `total` is how many bytes it has, if that is known.
    pub(crate) fn file(&self, name: &str, total: Option<u64>) -> Transfer {
        self.transfer(Course::new(name, false), total)
    }

    /// The transfer of a folder begins. What is in it is told to the transfer as it is found.
    pub(crate) fn folder(&self, name: &str) -> Transfer {
        self.transfer(Course::new(name, true), None)
    }

    fn transfer(&self, course: Course, total: Option<u64>) -> Transfer {
        let course = Arc::new(course);
        if let Some(total) = total {
            course.found(1, total);
            course.is_total.store(true, Ordering::Relaxed);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(style(&course));
        let bar = self.bars.add(bar);
        if self.is_terminal && !self.is_quiet {
            bar.enable_steady_tick(REDRAW_INTERVAL);
        }
        Transfer {
            bar,
            course,
            has_lines: !self.is_quiet && !self.is_terminal,
        }
    }
}

/// One transfer that is shown. Cheap to clone; dropped last, it vanishes.
#[derive(Clone)]
pub(crate) struct Transfer {
    bar: ProgressBar,
    course: Arc<Course>,
    has_lines: bool,
}

impl Transfer {
    /// For one of its files.
    pub(crate) fn position(&self) -> Position {
        Position {
            transfer: self.clone(),
            there: AtomicU64::new(0),
        }
    }

    /// So many more files will be transferred, with so many bytes.
    pub(crate) fn found(&self, files: u64, bytes: u64) {
        self.course.found(files, bytes);
    }

    /// All that will be transferred has been found.
    pub(crate) fn found_all(&self) {
        self.course.is_total.store(true, Ordering::Relaxed);
    }

    /// One more file is done, well or not.
    pub(crate) fn file_done(&self) {
        self.course.files.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        self.bar.is_finished()
    }

    fn add(&self, bytes: u64, moved: bool) {
        self.course.bytes.fetch_add(bytes, Ordering::Relaxed);
        if moved {
            self.course.moved.fetch_add(bytes, Ordering::Relaxed);
        }
        if self.has_lines && self.course.is_line_due() {
            let how_far = self.course.how_far().sentence();
            writeln!(io::stderr(), "{}: {how_far}", self.course.name).ok();
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
            .field("course", &self.course)
            .finish_non_exhaustive()
    }
}

/// How far one file of a [`Transfer`] is.
#[derive(Debug)]
pub(crate) struct Position {
    transfer: Transfer,
    there: AtomicU64,
}

impl Position {
    /// So many bytes are there now.
    pub(crate) fn at(&self, bytes: u64) {
        self.advance(bytes, true);
    }

    /// So many bytes are there from an earlier time: they do not count for the rate.
    pub(crate) fn kept(&self, bytes: u64) {
        self.advance(bytes, false);
    }

    fn advance(&self, bytes: u64, moved: bool) {
        let before = self.there.fetch_max(bytes, Ordering::Relaxed);
        self.transfer.add(bytes.saturating_sub(before), moved);
    }
}

/// What is known of a transfer.
#[derive(Debug)]
struct Course {
    name: String,
    has_files: bool,
    began: Instant,
    /// What is where it should be, and how much of that was moved now.
    bytes: AtomicU64,
    moved: AtomicU64,
    files: AtomicU64,
    /// What was found until now, and whether that is all.
    bytes_found: AtomicU64,
    files_found: AtomicU64,
    is_total: AtomicBool,
    rate: Mutex<Rate>,
    /// Milliseconds after `began` at which the next line is due.
    due: AtomicU64,
}

impl Course {
    fn new(name: &str, has_files: bool) -> Self {
        Self {
            name: shown(name),
            has_files,
            began: Instant::now(),
            bytes: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            files: AtomicU64::new(0),
            bytes_found: AtomicU64::new(0),
            files_found: AtomicU64::new(0),
            is_total: AtomicBool::new(false),
            rate: Mutex::new(Rate::new()),
            due: AtomicU64::new(millis(LINE_INTERVAL)),
        }
    }

    fn found(&self, files: u64, bytes: u64) {
        self.files_found.fetch_add(files, Ordering::Relaxed);
        self.bytes_found.fetch_add(bytes, Ordering::Relaxed);
    }

    fn how_far(&self) -> HowFar {
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let is_total = self.is_total.load(Ordering::Relaxed);
        let total = |number| is_total.then(|| get(number));
        HowFar {
            bytes: get(&self.bytes),
            total: total(&self.bytes_found),
            files: self.has_files.then(|| get(&self.files)),
            files_total: total(&self.files_found),
            rate: self.rate.lock().at(self.began.elapsed(), get(&self.moved)),
        }
    }

    /// Whether a line is due, which is said once.
    fn is_line_due(&self) -> bool {
        let (now, due) = (
            millis(self.began.elapsed()),
            self.due.load(Ordering::Relaxed),
        );
        let next = now + millis(LINE_INTERVAL);
        let order = Ordering::Relaxed;
        now >= due && self.due.compare_exchange(due, next, order, order).is_ok()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The line of a transfer, which is made anew for the width that the terminal has just then.
fn style(course: &Arc<Course>) -> ProgressStyle {
    let course = Arc::clone(course);
    let write = move |_: &ProgressState, writer: &mut dyn fmt::Write| {
        let columns = Term::stderr().size().1;
        let line = course.how_far().line(&course.name, usize::from(columns));
        // A line of progress that cannot be formatted is no reason to end a transfer.
        writer.write_str(&line).ok();
    };
    let style = ProgressStyle::with_template("{line}").expect("the template is well formed");
    style.with_key("line", write)
}

/// The last name of a path, to stand beside a bar.
pub(crate) fn label(path: &EntryPath) -> &str {
    path.name().map_or("/", |name| name.as_str())
}
