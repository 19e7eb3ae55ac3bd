//! The wire protocol.

pub mod body;
pub mod error;
pub mod hello;
pub mod id;
pub mod master;
pub mod name;
pub mod net;
pub mod node;
pub mod table;

pub use body::Body;
pub use error::{ErrorCode, WireError};
