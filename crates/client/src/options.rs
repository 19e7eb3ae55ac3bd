//! How a client behaves: bounds on its memory, and how long it waits for whom.

use std::time::Duration;

use crate::hashing::Hashing;

/// What a [`Cluster`](crate::Cluster) is made with. The defaults suit a person's machine and a web server alike.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Chunks that one upload holds in memory at once (being read, hashed or sent), and that one download fetches ahead
    /// of its reader. At least one always is.
    pub chunks_in_flight: usize,
    /// How long a read waits for a node that gives nothing before it asks another one as well. It waits longer where
    /// all reads take longer.
    pub hedge_delay: Duration,
    /// How long a write waits for the last nodes once enough have stored a chunk.
    pub straggler_patience: Duration,
    /// How long a node that failed or straggled is the last choice.
    pub avoid_for: Duration,
    /// How long a new try is made when a master does not answer: for calls that a person waits for.
    pub call_retry_for: Duration,
    /// The same for calls in the middle of an upload or a download.
    pub transfer_retry_for: Duration,
    /// How long one try may take at a master.
    pub call_timeout: Duration,
    /// How long one chunk may take to or from one node, unless it is so large that a line just quick enough takes
    /// longer.
    pub transfer_timeout: Duration,
    /// How long an upload tries to send a chunk (a large one twice as long as it may take), and how long a download
    /// waits for one of which nothing comes, whatever is tried, until it fails.
    pub chunk_deadline: Duration,
    /// How long an upload waits for nodes to come back when the master knows too few.
    pub nodes_patience: Duration,
    /// Where hashes are computed.
    pub hashing: Hashing,
    /// Makes the ids that this client gives to its requests, and its other choices, repeatable: for simulation
    /// only, since two clients with the same seed give the same ids.
    pub seed: Option<u64>,
}

/// Servers give up what is slower.
const BYTES_PER_SECOND_MIN: u64 = 10 << 10;

impl ClientOptions {
    /// How long so many bytes may take to or from one node.
    pub(crate) fn time_for(&self, len: u32) -> Duration {
        let at_slowest = Duration::from_secs(u64::from(len) / BYTES_PER_SECOND_MIN);
        self.transfer_timeout.max(at_slowest)
    }

    /// How long an upload tries to send so many bytes.
    pub(crate) fn deadline_for(&self, len: u32) -> Duration {
        self.chunk_deadline.max(self.time_for(len) * 2)
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            chunks_in_flight: 8,
            hedge_delay: Duration::from_millis(250),
            straggler_patience: Duration::from_secs(1),
            avoid_for: Duration::from_secs(10),
            call_retry_for: Duration::from_secs(3),
            transfer_retry_for: Duration::from_secs(30),
            call_timeout: Duration::from_secs(10),
            transfer_timeout: Duration::from_secs(60),
            chunk_deadline: Duration::from_secs(120),
            nodes_patience: Duration::from_secs(5),
            hashing: Hashing::Threads,
            seed: None,
        }
    }
}
