//! What comes from strangers: messages, frames and names that are nearly right. Whatever comes is read as it is meant or
//! refused with a short sentence, and nothing of it takes more memory than came.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod frames;
mod messages;
mod names;
mod replies;
mod samples;
