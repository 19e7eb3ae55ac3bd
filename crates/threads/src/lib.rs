//! Where threads and tasks meet: locks, and tasks that are begun and joined.
//!
//! In every program they are `parking_lot`'s and tokio's, and nothing of this crate is left. With the feature `races` they
//! are shuttle's: then a test runs the same code under a scheduler that decides at each of them who goes on, and tries one
//! order after another (`races.rs`). What is locked below a lock that is not from here, as within redb, must not be from here.
//!
//! ```text
//! cargo test -p master -p storage-node --features races --lib races::
//! ```

#[cfg(feature = "races")]
pub mod races;

#[cfg(not(feature = "races"))]
pub use parking_lot::{Mutex, MutexGuard, RwLock};
#[cfg(not(feature = "races"))]
pub use tokio::{spawn, task::JoinHandle};

#[cfg(feature = "races")]
pub use shuttle::future::{JoinHandle, spawn};
#[cfg(feature = "races")]
pub use shuttle_parking_lot::{Mutex, MutexGuard, RwLock};

/// Waits for the end of a task; nothing if the runtime stopped before that. A panic of the task goes on here.
#[cfg(not(feature = "races"))]
pub async fn join<T>(task: JoinHandle<T>) -> Option<T> {
    match task.await {
        Ok(value) => Some(value),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => None,
    }
}

/// Waits for the end of a task; nothing if it was aborted.
#[cfg(feature = "races")]
pub async fn join<T>(task: JoinHandle<T>) -> Option<T> {
    task.await.ok()
}
