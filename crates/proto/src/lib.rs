//! The wire protocol.

pub mod body;
pub mod connection;
pub mod error;
pub mod frame;
pub mod hello;
pub mod id;
pub mod master;
pub mod memory;
pub mod name;
pub mod net;
pub mod node;
pub mod pool;
pub mod server;
pub mod table;

pub use body::Body;
pub use error::{ErrorCode, WireError};
