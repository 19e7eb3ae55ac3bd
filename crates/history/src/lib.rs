//! Clients that work on a few files at the same time, what they were told, and whether one cluster that does one thing after
//! another could have told it: for whoever harms a cluster, simulated or real, and wants to know what that did.
//!
//! [`Value`] is a content of which no second file has the same; [`Action`] is what a client can ask for, and
//! [`carry_out`] asks a real cluster for it; [`Memory`] knows what can be asked for again; [`History`] keeps what was asked
//! and answered; [`check()`] judges it; [`healthy`] asks the cluster itself.

mod act;
mod check;
mod content;
mod health;
mod memory;
mod model;
mod record;

pub use act::{GROUPS, Pace, Told, carry_out, choose, path, read};
pub use check::{Verdict, check};
pub use content::{CHUNK_LEN, Value};
pub use health::healthy;
pub use memory::Memory;
pub use record::{Action, Answer, History, NAMES, Operation, State};
