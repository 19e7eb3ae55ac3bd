//! The master: the process that holds names, versions and placement, and never a file's bytes.
//!
//! All that must last is in one store (`state`), changed only by commands (`command.rs`) that a single writer applies in
//! groups with one fsync (`commit.rs`). Names, uploads and downloads are answered in `handlers/`; [`control`] keeps the
//! cluster together: membership, safe mode, repair, garbage, inventories. [`start()`] puts it all together.
//!
//! **Invariant:** everything that is answered as done is durable. What is only in memory can be learnt anew from the
//! nodes after a start, and until it has been, nothing is deleted or repaired.

mod checks;
mod claims;
pub mod command;
pub mod commit;
pub mod config;
pub mod control;
mod deletions;
pub mod folder;
pub mod garbage;
pub mod handlers;
mod inventory;
pub mod leases;
pub mod lineage;
pub mod membership;
mod node_tasks;
pub mod placement;
#[cfg(test)]
#[cfg(feature = "races")]
mod races;
pub mod repair;
pub mod safe_mode;
mod start;
pub mod state;
pub mod status;
mod store_check;
pub mod witness;

pub use config::Config;
pub use start::{Running, StartError, run, start};
