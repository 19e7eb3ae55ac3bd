//! Which copies faults destroyed.

use std::collections::BTreeSet;

use proto::id::ChunkId;

/// Copies that faults destroyed and that have not been seen since, by the names of their machines: as long as nobody found out,
/// the master counts them, also for files that come to share the chunk.
#[derive(Debug, Default)]
pub(crate) struct Destroyed(BTreeSet<(ChunkId, String)>);

impl Destroyed {
    /// These are gone from a machine.
    pub(crate) fn note<'a>(&mut self, name: &str, chunks: impl IntoIterator<Item = &'a ChunkId>) {
        let chunks = chunks.into_iter();
        self.0.extend(chunks.map(|chunk| (*chunk, name.to_owned())));
    }

    /// These are on a machine: if they were destroyed, then they were made anew.
    pub(crate) fn see(&mut self, name: &str, there: &BTreeSet<ChunkId>) {
        self.0
            .retain(|(chunk, machine)| machine != name || !there.contains(chunk));
    }

    /// Whether a fault is why a chunk is not there.
    pub(crate) fn contains(&self, name: &str, chunk: &ChunkId) -> bool {
        self.0.contains(&(*chunk, name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy that was destroyed once was excused for ever, also when it was made anew and then lost by a defect.
    #[test]
    fn a_copy_that_was_seen_again_is_not_destroyed_any_more() {
        let (a, b) = (ChunkId::of(b"a"), ChunkId::of(b"b"));
        let mut destroyed = Destroyed::default();
        destroyed.note("node-1", [&a, &b]);
        destroyed.note("node-2", [&a]);
        destroyed.see("node-1", &BTreeSet::from([a]));
        assert!(!destroyed.contains("node-1", &a));
        assert!(destroyed.contains("node-1", &b));
        assert!(destroyed.contains("node-2", &a));
        destroyed.note("node-1", [&a]);
        assert!(destroyed.contains("node-1", &a));
    }
}
