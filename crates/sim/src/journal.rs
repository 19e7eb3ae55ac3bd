//! What happened in a run: its trace (only a hash of it is kept), its counts, and what broke.
//!
//! Two runs of a seed are the same if and only if their traces are: every message that is sent, every fault, and every
//! line that the processes log goes into it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// A damaged index panics in there, which nodes catch.
const CAUGHT_IN: &str = "redb-";

/// One run's. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    now: Duration,
    trace: Sha256,
    aloud: bool,
    counts: BTreeMap<String, u64>,
    failures: Vec<String>,
    /// Whether a warning is a failure.
    strict: bool,
    /// Whether something was done to a file that may be a database.
    is_index_harmed: bool,
    /// How often a master found out that it is not the right one.
    superseded: u64,
}

impl Journal {
    /// An empty one; `aloud` also prints the trace to standard error.
    pub(crate) fn new(aloud: bool) -> Self {
        let journal = Self::default();
        journal.0.lock().aloud = aloud;
        journal
    }

    pub(crate) fn set_now(&self, now: Duration) {
        self.0.lock().now = now;
    }

    pub(crate) fn now(&self) -> Duration {
        self.0.lock().now
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, line: impl fmt::Display) {
        let mut pages = self.0.lock();
        let line = format!("{:>9.3} {line}\n", pages.now.as_secs_f64());
        pages.trace.update(&line);
        if pages.aloud {
            eprint!("{line}");
        }
    }

    /// Prints, if the trace is printed, what is not part of it.
    pub(crate) fn explain(&self, line: impl fmt::Display) {
        if self.0.lock().aloud {
            eprintln!("          {line}");
        }
    }

    /// Adds to the trace what was sent on a line, byte for byte.
    pub(crate) fn sent(&self, line: &str, bytes: &[u8]) {
        let mut pages = self.0.lock();
        pages.trace.update(line);
        pages.trace.update(bytes);
        if pages.aloud {
            let hash: [u8; 32] = Sha256::digest(bytes).into();
            let (now, len) = (pages.now.as_secs_f64(), bytes.len());
            eprintln!("{now:>9.3} {line} {len} {:02x}{:02x}", hash[0], hash[1]);
        }
    }

    /// Counts one of these.
    pub(crate) fn count(&self, what: &str) {
        self.count_many(what, 1);
    }

    /// Counts so many of these.
    pub(crate) fn count_many(&self, what: &str, count: u64) {
        *self.0.lock().counts.entry(what.to_owned()).or_default() += count;
    }

    /// From now on a warning of a process fails the run, or does not.
    pub(crate) fn set_strict(&self, strict: bool) {
        self.0.lock().strict = strict;
    }

    /// A file that may be a database was damaged, or cannot be read: from now on it may panic, which nodes catch. Or, at the
    /// end, no database is left to which that was done.
    pub(crate) fn set_index_harmed(&self, is_harmed: bool) {
        self.0.lock().is_index_harmed = is_harmed;
    }

    /// Takes in a panic in this file. Whoever did not catch it ends, and that is not excused.
    pub(crate) fn panicked(&self, file: &str, panic: impl fmt::Display) {
        if self.0.lock().is_index_harmed && file.contains(CAUGHT_IN) {
            self.count("panics of a damaged index");
            self.note(format_args!("panic: {panic}"));
        } else {
            self.fail(format_args!("panic: {panic}"));
        }
    }

    /// How often a master has said that it is superseded.
    pub(crate) fn superseded(&self) -> u64 {
        self.0.lock().superseded
    }

    /// Takes in what a process logs.
    fn log(&self, host: &str, level: Level, line: &str) {
        if line.contains("not closed cleanly") {
            self.count("stores not closed");
        }
        if line.starts_with("this master is superseded") {
            self.0.lock().superseded += 1;
        }
        self.note(format_args!("{host} {level} {line}"));
        if level <= Level::WARN && self.0.lock().strict {
            self.fail(format_args!(
                "nothing was done to it, and {host} says: {line}"
            ));
        }
    }

    /// Something broke that must not.
    pub(crate) fn fail(&self, what: impl fmt::Display) {
        self.note(format_args!("FAILED: {what}"));
        self.0.lock().failures.push(what.to_string());
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.0.lock().failures.is_empty()
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.0.lock().failures.clone()
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.0.lock().counts.clone()
    }

    /// A hash of the trace so far.
    pub(crate) fn trace_hash(&self) -> String {
        let hash: [u8; 32] = self.0.lock().trace.clone().finalize().into();
        let short = hash[..8]
            .iter()
            .fold(0_u64, |short, byte| short << 8 | u64::from(*byte));
        format!("{short:016x}")
    }
}

/// Takes what the processes log into the trace.
#[derive(Debug)]
pub(crate) struct Logged(pub(crate) Journal);

/// On whose machine it was logged.
struct Host(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Logged {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Level::INFO
            && (metadata.is_span() || !metadata.target().starts_with("turmoil"))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id)
            && attributes.metadata().target().starts_with("turmoil")
        {
            span.extensions_mut().insert(Host(fields.others));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let outermost = context
            .event_scope(event)
            .and_then(|scope| scope.from_root().next());
        let extensions = outermost
            .as_ref()
            .map(tracing_subscriber::registry::SpanRef::extensions);
        let host = extensions
            .as_ref()
            .and_then(|extensions| extensions.get::<Host>());
        let host = host.map_or("", |host| host.0.trim());
        let Fields { message, others } = fields;
        let level = *event.metadata().level();
        self.0.log(host, level, &format!("{message}{others}"));
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "name" => write!(self.others, " {value:?}"),
            name => write!(self.others, " {name}={value:?}"),
        };
        written.expect("a string takes all");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_of_all_that_happened_and_when() {
        let play = |at, line: &str, bytes: &[u8]| {
            let journal = Journal::new(false);
            journal.set_now(Duration::from_millis(at));
            journal.note("a fault");
            journal.sent(line, bytes);
            journal.trace_hash()
        };
        let trace = play(1, "a -> b", b"hello");
        assert_eq!(play(1, "a -> b", b"hello"), trace);
        assert_ne!(play(2, "a -> b", b"hello"), trace);
        assert_ne!(play(1, "a -> c", b"hello"), trace);
        assert_ne!(play(1, "a -> b", b"hallo"), trace);
    }

    /// Any panic of a database was taken for one of a damaged index, also where nothing had been damaged.
    #[test]
    fn a_database_panics_only_if_something_was_done_to_it() {
        let has_failed = |is_harmed, file| {
            let journal = Journal::new(false);
            journal.set_index_harmed(is_harmed);
            journal.panicked(file, "a page is gone");
            journal.has_failed()
        };
        assert!(has_failed(false, "redb-4.1.0/src/db.rs"));
        assert!(!has_failed(true, "redb-4.1.0/src/db.rs"));
        assert!(has_failed(true, "crates/master/src/commit.rs"));
    }

    #[test]
    fn a_warning_fails_a_run_in_which_nothing_was_done() {
        let journal = Journal::new(false);
        journal.log("node-1", Level::ERROR, "the disk failed");
        assert!(!journal.has_failed());
        journal.set_strict(true);
        journal.log("node-1", Level::INFO, "started");
        assert!(!journal.has_failed());
        journal.log("node-1", Level::WARN, "a copy is bad");
        assert!(journal.has_failed());
    }
}
