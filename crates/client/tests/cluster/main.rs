//! The client against a cluster in memory, whose parts do everything wrong that parts can do.
//!
//! Time is simulated: tests that wait for seconds take none, and what is said about time holds exactly. Only the
//! network and the two kinds of servers are fakes; what is between them and the client is the real protocol.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod by_name;
mod copying;
mod download;
mod master;
mod masters;
mod names;
mod network;
mod node;
mod resumed;
mod shares;
mod support;
mod upload;
mod upload_faults;
