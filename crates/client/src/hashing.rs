//! The one place where chunks are hashed: on threads meant for blocking work, or in place under simulation.

use bytes::Bytes;
use proto::id::ChunkId;

/// Below this a hash takes less time than handing it to another thread.
const THREAD_LEN_MIN: usize = 64 << 10;

/// Where hashes are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hashing {
    /// On the runtime's threads for blocking work, unless there are few bytes.
    #[default]
    Threads,
    /// Where the caller runs: the same order of events each time.
    Inline,
}

impl Hashing {
    /// The id of these bytes.
    pub(crate) async fn chunk_id(self, bytes: &Bytes) -> ChunkId {
        if self == Self::Inline || bytes.len() < THREAD_LEN_MIN {
            return ChunkId::of(bytes);
        }
        let shared = bytes.clone();
        tokio::task::spawn_blocking(move || ChunkId::of(&shared))
            .await
            .unwrap_or_else(|_| ChunkId::of(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_hash_does_not_depend_on_where_it_is_computed() {
        for len in [0, 1, THREAD_LEN_MIN - 1, THREAD_LEN_MIN, 1 << 20] {
            let bytes = Bytes::from(vec![7; len]);
            let expected = ChunkId::of(&bytes);
            assert_eq!(Hashing::Threads.chunk_id(&bytes).await, expected);
            assert_eq!(Hashing::Inline.chunk_id(&bytes).await, expected);
        }
    }
}
