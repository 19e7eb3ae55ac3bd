//! Plays a whole cluster in one process under a simulated clock: the real master, real storage nodes on disks in memory,
//! and real clients, harmed in every way that a seed draws, then left in peace and judged.
//!
//! ```text
//! cargo run --release -p sim -- --seeds 1000            # counts, seeds/s, and what broke
//! cargo run --release -p sim -- --seeds 20 --twice      # each seed twice: the traces must be equal
//! cargo run --release -p sim -- --minutes 30            # as many as there is time for
//! cargo run --release -p sim -- --one 17 --log          # one seed, with all that happens
//! ```
//!
//! Each seed is played in a process of its own, since the order of hash maps comes from chance that a process has once.

mod arguments;
mod faults;
mod journal;
mod network;
mod oracle;
mod run;
mod series;
mod servers;
pub mod system;
mod workload;
mod world;

pub use arguments::Arguments;
pub use run::{Outcome, run};
pub use series::Series;
