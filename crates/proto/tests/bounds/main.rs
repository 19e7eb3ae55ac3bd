//! What peers cannot do to a server however they try: take its memory, its places or the time that it needs to stop.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod accepting;
mod ending;
mod memory;
mod support;
