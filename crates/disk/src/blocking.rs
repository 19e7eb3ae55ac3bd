//! One helper through which all blocking work goes (the disk, hashing), so that a simulation can run it in place.
//!
//! **Invariant:** asynchronous code never calls the disk directly: it hands a closure to [`Blocking::run`], which
//! runs it on a thread of its own pool, or right here under simulation, where threads would break the order
//! of events.

/// Where blocking work runs.
#[derive(Debug, Clone, Copy)]
pub struct Blocking {
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Threads,
    Inline,
}

impl Blocking {
    /// On tokio's threads for blocking work.
    pub const fn threads() -> Self {
        Self {
            place: Place::Threads,
        }
    }

    /// In place: deterministic, for simulations and small tools.
    pub const fn inline() -> Self {
        Self {
            place: Place::Inline,
        }
    }

    /// Whether work runs in place.
    pub const fn is_inline(self) -> bool {
        matches!(self.place, Place::Inline)
    }

    /// Runs the work and gives what it returns. A panic of the work goes on here.
    ///
    /// Work that has begun runs to its end even if this future is dropped.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match self.place {
            Place::Inline => work(),
            Place::Threads => match tokio::task::spawn_blocking(work).await {
                Ok(value) => value,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The runtime stops before the work began: whoever waits here is about to be dropped too.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_and_its_value_comes_back() {
        let here = std::thread::current().id();
        let there = Blocking::threads()
            .run(|| std::thread::current().id())
            .await;
        assert_ne!(here, there);
        let inline = Blocking::inline().run(|| std::thread::current().id()).await;
        assert_eq!(here, inline);
    }

    #[tokio::test]
    #[should_panic(expected = "the work failed")]
    async fn a_panic_of_the_work_goes_on_in_the_caller() {
        Blocking::threads().run(|| panic!("the work failed")).await;
    }
}
