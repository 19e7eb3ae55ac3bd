//! Work on one disk that may not come to an end.

use disk::Blocking;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, timeout_at};

/// Work on one disk.
pub(super) enum Work<T> {
    Done(T),
    Running(JoinHandle<T>),
}

impl<T: Send + 'static> Work<T> {
    pub(super) fn begin(blocking: Blocking, work: impl FnOnce() -> T + Send + 'static) -> Self {
        if blocking.is_inline() {
            return Self::Done(work());
        }
        Self::Running(tokio::spawn(async move { blocking.run(work).await }))
    }

    /// What it gives, if it does by then; without a deadline it is waited for.
    pub(super) async fn by(self, deadline: Option<Instant>) -> Result<T, JoinHandle<T>> {
        match (self, deadline) {
            (Self::Done(value), _) => Ok(value),
            (Self::Running(work), None) => Ok(ended(work.await)),
            (Self::Running(mut work), Some(deadline)) => {
                match timeout_at(deadline, &mut work).await {
                    Ok(value) => Ok(ended(value)),
                    Err(_) => Err(work),
                }
            }
        }
    }
}

/// A panic of the work goes on here.
pub(super) fn ended<T>(result: Result<T, JoinError>) -> T {
    result.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
