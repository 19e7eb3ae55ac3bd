//! What placement, and the counting of copies, need of all nodes together: made once, and kept until a node changes.
//!
//! An upload asks for it many times a second, and there may be a thousand nodes. **Invariant:** whatever decides whether a
//! node takes chunks, or can be relied on, shows at once; only how much room nodes have may be a moment old.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Membership;
use crate::command::NodeNumber;
use crate::placement::Candidates;

/// How old the room of nodes may be.
const ROOM_AGE_MAX: Duration = Duration::from_millis(100);

/// The nodes, as those see them who place chunks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placeable {
    /// The nodes that take new chunks.
    pub candidates: Candidates,
    /// The nodes on whose recorded copies nobody can rely, ascending: silent, or not compared with the record since they
    /// came.
    pub doubtful: Vec<NodeNumber>,
    /// How many nodes live, full ones included.
    pub live: usize,
}

/// What was made last, if it still holds.
#[derive(Debug, Default)]
pub(super) struct KeptPlaceable {
    kept: Option<(Arc<Placeable>, Instant)>,
    room_changed: bool,
}

impl KeptPlaceable {
    /// A node takes chunks or can be relied on, and did not or could not before, or the other way round.
    pub(super) fn forget(&mut self) {
        self.kept = None;
    }

    /// A node may have another amount of room.
    pub(super) fn note_room(&mut self) {
        self.room_changed = true;
    }
}

impl Membership {
    /// The nodes as they are now; their room as it was within a moment.
    pub fn placeable(&mut self, now: Instant) -> Arc<Placeable> {
        let KeptPlaceable { kept, room_changed } = &self.placeable;
        if let Some((placeable, made_at)) = kept
            && (!room_changed || now.saturating_duration_since(*made_at) < ROOM_AGE_MAX)
        {
            return placeable.clone();
        }
        let placeable = Arc::new(Placeable {
            candidates: self.candidates(),
            doubtful: self.doubtful(),
            live: self.live().len(),
        });
        self.placeable = KeptPlaceable {
            kept: Some((placeable.clone(), now)),
            room_changed: false,
        };
        placeable
    }
}
