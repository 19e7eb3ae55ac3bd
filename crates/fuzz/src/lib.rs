//! What random and exhaustive tests share: how much they try, and input that is nearly right. For tests only.
//!
//! Raw bytes find little: they are refused at the first look. So the targets draw *changes* of something that is right, by
//! `bolero`, which draws them at random in a plain `cargo test`, says the seed of a failure (`BOLERO_RANDOM_SEED`), and
//! makes the input smaller; `cargo bolero test` runs the same targets under a fuzzer that watches the coverage.
//!
//! `DFS_TEST_EFFORT=10` tries ten times as much as the default, which is what every run can afford.

pub mod bytes;
pub mod json;
pub mod text;

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use bolero;

/// One target's time at an effort of 1, at most: a slow machine tries less.
const TIME: Duration = Duration::from_secs(4);
/// What a target has to try of what it was given, or it shows nothing: a hundredth.
const LEAST: u32 = 100;

/// How much is tried, as a multiple of the default.
///
/// # Panics
/// If `DFS_TEST_EFFORT` is no whole number above 0.
pub fn effort() -> u32 {
    let Some(text) = std::env::var_os("DFS_TEST_EFFORT") else {
        return 1;
    };
    let effort = text.to_str().and_then(|text| text.parse().ok());
    effort.filter(|effort| *effort > 0).unwrap_or_else(|| {
        panic!(
            "DFS_TEST_EFFORT is {}, and has to be a whole number above 0",
            text.display()
        )
    })
}

/// So many cases at an effort of 1, and as many more as that is higher.
pub fn cases(base: u32) -> u32 {
    base.saturating_mul(effort())
}

/// The time that one target may take.
pub fn time() -> Duration {
    TIME.saturating_mul(effort())
}

/// How often a target was tried.
#[derive(Debug, Default)]
pub struct Tried(AtomicU32);

impl Tried {
    /// The same test, counted.
    pub fn count<I, R>(&self, test: impl Fn(&I) -> R) -> impl Fn(&I) -> R {
        move |input| {
            self.0.fetch_add(1, Ordering::Relaxed);
            test(input)
        }
    }

    /// Prints the count, also where the test's output is kept back.
    ///
    /// # Panics
    /// If the target was hardly tried: so slow a machine proves nothing.
    pub fn end(&self, wanted: u32) {
        let tried = self.0.load(Ordering::Relaxed);
        let thread = std::thread::current();
        let target = thread.name().unwrap_or("a target");
        // Whoever does not read it misses nothing.
        drop(writeln!(std::io::stdout(), "  {tried} cases of {target}"));
        assert!(
            tried >= wanted / LEAST,
            "{target} had time for {tried} of {wanted} cases"
        );
    }
}

/// A target whose input is of this type, tried so often at an effort of 1: `fuzz::check!(Input, 5000, |input| …)`.
#[macro_export]
macro_rules! check {
    ($input:ty, $cases:expr, $test:expr) => {{
        let (tried, wanted) = ($crate::Tried::default(), $crate::cases($cases));
        $crate::bolero::check!()
            .with_type::<$input>()
            .with_iterations(wanted as usize)
            .with_test_time($crate::time())
            .for_each(tried.count::<$input, _>($test));
        tried.end(wanted);
    }};
}
