//! The index's database, behind a guard: it is a cache, and must not take the node down with it.
//!
//! redb panics on pages that rotted, and takes no more reads or writes after any that failed. Whichever it is, the
//! database is given up at once: everything that is asked of it from then on is refused, and its file is removed, so that
//! a new one is made from the extents ([`crate::reopen`]).
//!
//! What redb drops on the way out of a panic may panic once more, which ends the process, whatever is caught here. So the
//! file loses its name before that, when the first panic begins: the next start makes a new index, and not the same end.

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once, OnceLock};

use redb::Database;
use tokio_util::sync::CancellationToken;

use super::name::IndexName;

/// The database, as long as it can be used.
#[derive(Debug)]
pub(super) struct Guarded {
    /// There until it is dropped.
    database: Option<Database>,
    name: Arc<IndexName>,
    disk_number: u32,
    given_up: OnceLock<Arc<str>>,
    /// Cancelled when it is given up, and nothing more is done to its file's name.
    ended: CancellationToken,
}

impl Guarded {
    pub(super) fn new(database: Database, name: Arc<IndexName>, disk_number: u32) -> Self {
        Self {
            database: Some(database),
            name,
            disk_number,
            given_up: OnceLock::new(),
            ended: CancellationToken::new(),
        }
    }

    /// The database itself, for whoever looks whether it can be used.
    pub(super) fn database(&self) -> &Database {
        self.database.as_ref().expect("it is there until the drop")
    }

    /// Uses the database; one that fails or panics is given up.
    pub(super) fn run<T>(&self, work: impl FnOnce(&Database) -> io::Result<T>) -> io::Result<T> {
        if let Some(why) = self.given_up.get() {
            return Err(io::Error::other(why.to_string()));
        }
        let done = unless_damaged(&self.name, || work(self.database()));
        done.inspect_err(|error| self.give_up(error))
    }

    /// Why it cannot be used any more.
    pub(super) fn given_up(&self) -> Option<Arc<str>> {
        self.given_up.get().cloned()
    }

    /// Cancelled when it cannot be used any more.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Has nobody use it any more, since there is to be another.
    pub(super) fn retire(&self) -> io::Result<()> {
        self.given_up.get_or_init(|| "it is being made anew".into());
        self.ended.cancel();
        self.name.remove()
    }

    fn give_up(&self, error: &io::Error) {
        if self.given_up.set(error.to_string().into()).is_err() {
            return;
        }
        let disk = self.disk_number + 1;
        tracing::error!(disk, %error, "the index failed: the disk takes and gives nothing until a new one is made from the extents");
        if let Err(error) = self.name.remove() {
            tracing::debug!(%error, "could not remove the index");
        }
        self.ended.cancel();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let database = self.database.take();
        // Closing one that is damaged may panic too.
        let closed = unless_damaged(&self.name, || {
            drop(database);
            Ok(())
        });
        if closed.is_err() {
            tracing::debug!("the index could not be closed");
        }
    }
}

thread_local! {
    /// The name of the index that this thread uses now.
    static IN_USE: RefCell<Option<Arc<IndexName>>> = const { RefCell::new(None) };
}

/// Uses the index of this name. If that panics, the index is damaged, and its file has lost its name.
pub(super) fn unless_damaged<T>(
    name: &Arc<IndexName>,
    work: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            remove_index_in_use();
            others(panic);
        }));
    });
    let before = IN_USE.replace(Some(Arc::clone(name)));
    let done = catch_unwind(AssertUnwindSafe(work));
    IN_USE.set(before);
    done.unwrap_or_else(|_| Err(io::Error::other("the index is damaged")))
}

/// A panic has begun in this thread.
fn remove_index_in_use() {
    if let Some(name) = IN_USE.take()
        && let Err(error) = name.remove()
    {
        tracing::error!(%error, "could not remove an index that is damaged");
    }
}
