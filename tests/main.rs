//! The cluster as its users meet it: real processes, real disks, and everything that can happen to them.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test may fail"
)]

mod accessible;
mod arranging;
mod batching;
mod browsing;
mod command_line;
mod figures;
mod files;
mod finding;
mod full_disks;
mod going_on;
mod http;
mod lineage;
mod loss;
mod naming;
mod naming_small;
mod page;
mod resumable;
mod selecting;
mod sharing;
mod starting;
mod support;
mod translated;
mod trash;
mod uploading;
mod viewing;
mod waiting;
mod wire;
