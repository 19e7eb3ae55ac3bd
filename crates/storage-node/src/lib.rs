//! A storage node: the process that holds the bytes of chunks.
//!
//! Chunks are appended to *extents* and never changed in place ([`extent`] is the format on disk). An upload's chunk
//! comes in through [`handlers`], is hashed off the async threads, waits in its disk's queue ([`writer`]), is appended and
//! synced with all that wait ([`appender`]) and only then answered. The index says where each chunk is; it is a
//! cache that [`recover`] brings up to date at every start. Beside that run the scrubber, the compactor and the
//! heartbeats.
//!
//! **Invariants:** an answered put is durable; a chunk that is known to be corrupt is never served. The last copy that the
//! node has of a chunk is removed only on the order of a master whose epoch is the newest seen: of several on its disks it
//! drops all but one good one by itself.
//!
//! [`run()`] is all of it; a test calls it with disks and a network in memory.

mod active;
mod appender;
pub mod arguments;
mod catalog;
mod compact;
mod config;
mod environment;
mod error;
pub mod extent;
mod found;
mod handlers;
mod heartbeat;
mod identity;
mod index;
mod index_file;
mod lane;
mod locked;
mod node;
mod node_disk;
pub mod offline;
mod opening;
mod pulse;
mod recover;
mod reopen;
mod run;
mod scrub;
mod send_file;
mod store;
mod summary;
mod tail;
mod verified;
mod walk;
mod writer;

pub use config::Config;
pub use environment::Environment;
pub use error::OpenError;
pub use identity::{Acceptance, Identity};
pub use run::{RunError, run};

#[cfg(test)]
mod tests;
