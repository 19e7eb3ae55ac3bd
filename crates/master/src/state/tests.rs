//! Tests of the state: commands in, outcomes and rows out. After every command the whole store is audited, and a refused
//! command must have left it as it was.

mod audit;
mod bench;
mod browse;
mod kept;
mod names;
mod nodes;
mod planted;
mod proofs;
mod random;
mod replicas;
mod search;
mod shares;
mod store;
mod sweep;
mod uploads;
mod versions;
mod world;
