//! Tries many orders in which tasks can go on: some drawn at random, some with few changes of whose turn it is, which finds
//! what takes just these (probabilistic concurrency testing). A failure prints its schedule, and fails again by
//! `shuttle::replay`.
//!
//! All tasks run in one thread, one at a time, and change at locks of this crate, where something is awaited that is not
//! there yet, and at [`switch`]. Time stands still unless a test advances it: no timeout ends by itself.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};
use tokio::runtime::{Builder, Runtime};

pub use shuttle;

/// redb goes deep.
const STACK_LEN: usize = 1 << 20;
/// Whose turn it is changes once less than that, at places that are drawn.
const DEPTH: usize = 5;

/// Runs a model under so many schedules of each kind, and prints how many that were, also where the test's output is kept
/// back.
///
/// # Panics
/// If the model does under one of them.
pub fn check<F: Future<Output = ()>>(
    schedules: u32,
    model: impl Fn() -> F + Clone + Send + Sync + 'static,
) {
    let of_each = usize::try_from(schedules).expect("it is no small machine");
    run(RandomScheduler::new(of_each), model.clone());
    run(PctScheduler::new(DEPTH, of_each), model);
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a model");
    // Whoever does not read it misses nothing.
    drop(writeln!(
        std::io::stdout(),
        "  {} schedules of {name}",
        2 * of_each
    ));
}

/// In how many schedules something happened: a model in which it never does shows nothing. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Happened(Arc<AtomicU32>);

impl Happened {
    /// Counts this schedule, if it happened in it.
    pub fn note(&self, happened: bool) {
        self.0.fetch_add(happened.into(), Ordering::Relaxed);
    }

    /// To be asked after all schedules.
    ///
    /// # Panics
    /// If it happened in none.
    pub fn expect(&self, what: &str) {
        let count = self.0.load(Ordering::Relaxed);
        assert!(count > 0, "in none of the schedules {what}");
    }
}

/// What all schedules of a model begin with.
///
/// # Panics
/// If it cannot be made.
pub fn prepare<T: Clone + Send + 'static, F: Future<Output = T>>(
    make: impl Fn() -> F + Send + Sync + 'static,
) -> T {
    let result = Arc::new(Mutex::new(None));
    let place = Arc::clone(&result);
    run(RandomScheduler::new_from_seed(1, 1), move || {
        let (value, place) = (make(), Arc::clone(&place));
        async move { *place.lock().expect("nobody panicked") = Some(value.await) }
    });
    let result = result.lock().expect("nobody panicked").take();
    result.expect("it was made once")
}

fn run<F: Future<Output = ()>>(
    scheduler: impl Scheduler + 'static,
    model: impl Fn() -> F + Send + Sync + 'static,
) {
    // Nobody drives it: it is there so that timeouts can be begun, and to say what time it is.
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs nothing of the system but memory");
    // Its end would wake what a schedule that failed has left, outside of it.
    let runtime: &Runtime = Box::leak(Box::new(runtime));
    let _entered = runtime.enter();
    let mut config = Config::new();
    config.stack_size = STACK_LEN;
    Runner::new(scheduler, config).run(move || shuttle::future::block_on(model()));
}

/// Another task may go on here.
pub fn switch() {
    drop(shuttle::sync::Mutex::new(()).lock());
}

/// A number that belongs to the schedule.
pub fn draw() -> u64 {
    use shuttle::rand::RngCore;
    shuttle::rand::thread_rng().next_u64()
}
