//! The one place where chunks are hashed: on threads meant for blocking work, or in place under simulation.

/// Where hashes are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hashing {
    /// On the runtime's threads for blocking work, unless there are few bytes.
    #[default]
    Threads,
    /// Where the caller runs: the same order of events each time.
    Inline,
}
