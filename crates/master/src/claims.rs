//! Copies that are being made or noted just now: no delete order may name them meanwhile.
//!
//! Repair fetches a chunk to a node and then records the copy; an inventory sees a copy and then records it. Between
//! the two, a deletion of this very copy could run, and the record would name a copy that is gone. So whoever is
//! about to record a copy claims it first, then looks whether its deletion is planned, and gives up if so; whoever
//! is about to order deletions leaves out what is claimed.
//!
//! **Invariant:** a copy is never claimed and in a delete order at once: an order names only what the state has as
//! planned, a claim is kept only if the state, read after claiming, has not.

use std::collections::HashSet;
use std::sync::Arc;

use proto::id::ChunkId;
use threads::Mutex;

use crate::command::NodeNumber;

/// All claims.
#[derive(Debug, Clone, Default)]
pub(crate) struct CopyClaims(Arc<Mutex<HashSet<(NodeNumber, ChunkId)>>>);

/// One claim, until it is dropped.
#[derive(Debug)]
pub(crate) struct CopyClaim {
    claims: CopyClaims,
    copy: (NodeNumber, ChunkId),
}

impl CopyClaims {
    /// Claims a copy; nothing if somebody else has.
    pub(crate) fn claim(&self, node: NodeNumber, chunk: ChunkId) -> Option<CopyClaim> {
        let copy = (node, chunk);
        self.0.lock().insert(copy).then(|| CopyClaim {
            claims: self.clone(),
            copy,
        })
    }

    /// Whether a copy is claimed.
    pub(crate) fn is_claimed(&self, node: NodeNumber, chunk: &ChunkId) -> bool {
        self.0.lock().contains(&(node, *chunk))
    }
}

impl Drop for CopyClaim {
    fn drop(&mut self) {
        self.claims.0.lock().remove(&self.copy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_claimed_once_until_the_claim_is_dropped() {
        let claims = CopyClaims::default();
        let (node, chunk) = (NodeNumber(1), ChunkId::of(b"a"));
        let claim = claims.claim(node, chunk);
        assert!(claim.is_some() && claims.is_claimed(node, &chunk));
        assert!(claims.claim(node, chunk).is_none());
        assert!(!claims.is_claimed(NodeNumber(2), &chunk));
        drop(claim);
        assert!(!claims.is_claimed(node, &chunk));
        assert!(claims.claim(node, chunk).is_some());
    }
}
