//! What HTTP's headers mean, as pure functions: values in, a decision out, no clock and no cluster.

pub(crate) mod conditional;
pub(crate) mod content_type;
pub(crate) mod disposition;
pub(crate) mod range;
pub(crate) mod tus;
