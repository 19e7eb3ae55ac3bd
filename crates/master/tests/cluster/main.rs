//! What a master does with its nodes, seen from outside: nodes and disks in memory, and a clock that is simulated.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it should be"
)]

mod corrupt;
mod failed_disks;
mod garbage;
mod joining;
mod lineage;
mod node;
mod rebalance;
mod repair;
mod slow_sources;
mod starting;
mod versions;
mod world;
