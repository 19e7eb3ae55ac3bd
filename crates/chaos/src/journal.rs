//! What happened in a round, line by line in a file, what was counted, and what broke.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::task::JoinError;

/// Counts by name.
pub(crate) type Counts = BTreeMap<String, u64>;

/// One round's. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Arc<Mutex<Pages>>);

#[derive(Debug)]
struct Pages {
    began: Instant,
    file: File,
    counts: Counts,
    largest: Counts,
    failures: Vec<String>,
}

impl Journal {
    /// An empty one, in this file.
    pub(crate) fn new(path: &Path) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Pages {
            began: Instant::now(),
            file: File::create(path)?,
            counts: Counts::new(),
            largest: Counts::new(),
            failures: Vec::new(),
        }))))
    }

    /// Writes a line.
    pub(crate) fn note(&self, line: impl fmt::Display) {
        let mut pages = self.0.lock();
        let now = pages.began.elapsed().as_secs_f64();
        // A full disk must not end the round that fills one.
        drop(writeln!(pages.file, "{now:>9.3} {line}"));
    }

    /// Counts one of these.
    pub(crate) fn count(&self, what: &str) {
        self.count_many(what, 1);
    }

    /// Counts so many of these.
    pub(crate) fn count_many(&self, what: &str, many: u64) {
        *self.0.lock().counts.entry(what.to_owned()).or_default() += many;
    }

    /// Keeps the largest of these.
    pub(crate) fn largest(&self, what: &str, value: u64) {
        let mut pages = self.0.lock();
        let kept = pages.largest.entry(what.to_owned()).or_default();
        *kept = value.max(*kept);
    }

    /// Something broke that must not.
    pub(crate) fn fail(&self, what: impl fmt::Display) {
        self.note(format_args!("FAILED: {what}"));
        self.0.lock().failures.push(what.to_string());
    }

    /// A task of the round has ended, which must not have panicked.
    pub(crate) fn ended(&self, task: Result<(), JoinError>) {
        if let Err(error) = task
            && error.is_panic()
        {
            self.fail(error);
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.0.lock().failures.is_empty()
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.0.lock().failures.clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().counts.clone()
    }

    pub(crate) fn count_of(&self, what: &str) -> u64 {
        self.0.lock().counts.get(what).copied().unwrap_or(0)
    }

    /// The largest values that were kept.
    pub(crate) fn largest_values(&self) -> Counts {
        self.0.lock().largest.clone()
    }
}
