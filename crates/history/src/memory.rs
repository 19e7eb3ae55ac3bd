//! What clients remember of what they were told, to ask for it again: versions that they uploaded, and where files that
//! they deleted are in the trash.

use std::time::Duration;

use proto::id::VersionId;
use proto::master::TrashId;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::time::Instant;

use crate::act::Told;
use crate::content::Value;
use crate::record::{Action, Answer, NAMES};

/// The clients' of one cluster.
#[derive(Debug)]
pub struct Memory {
    kept_for: Duration,
    kept: Vec<Kept>,
}

/// What a cluster keeps for a time.
#[derive(Debug, Clone, Copy)]
struct Kept {
    group: usize,
    what: What,
    /// When it was called for: it is kept longer than from then on.
    since: Instant,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Version {
        name: usize,
        value: Value,
        version: VersionId,
    },
    Trashed {
        deletion: usize,
        trash: TrashId,
    },
}

impl Memory {
    /// An empty one. The cluster promises to keep former versions and the trash for so long.
    pub fn new(kept_for: Duration) -> Self {
        Self {
            kept_for,
            kept: Vec::new(),
        }
    }

    /// Draws something of the past of a group to ask for, if there is any.
    pub fn choose(&self, chance: &mut StdRng, group: usize) -> Option<Action> {
        // Also what may be gone: its bytes must not be wrong, if there are any.
        let now = Instant::now();
        let is_asked = |kept: &&Kept| kept.group == group && now - kept.since < self.kept_for * 2;
        let kept: Vec<_> = self.kept.iter().filter(is_asked).collect();
        let kept = kept.choose(chance)?;
        Some(match kept.what {
            What::Version {
                name,
                value,
                version,
            } => Action::ReadVersion {
                // Where it was, or where it was moved to.
                name: if chance.random_bool(0.7) {
                    name
                } else {
                    chance.random_range(0..NAMES)
                },
                value,
                version,
            },
            What::Trashed { deletion, trash } => Action::Restore {
                deletion,
                trash,
                to: chance.random_range(0..NAMES),
            },
        })
    }

    /// Remembers what an answer said of the operation of this number.
    pub fn learn(
        &mut self,
        (group, number): (usize, usize),
        action: Action,
        called: Instant,
        told: &Told,
    ) {
        let what = match (action, &told.uploaded, told.trash) {
            (Action::Upload { name, value }, Some(uploaded), _) => What::Version {
                name,
                value,
                version: uploaded.version,
            },
            (Action::Delete { .. }, _, Some(trash)) => What::Trashed {
                deletion: number,
                trash,
            },
            _ => return,
        };
        let now = Instant::now();
        self.kept
            .retain(|kept| now - kept.since < self.kept_for * 2);
        self.kept.push(Kept {
            group,
            what,
            since: called,
        });
    }

    /// What an answer says of the past: that something is not there, nothing any more once its time is over.
    pub fn judge(&self, action: Action, answer: Answer) -> Answer {
        let is_of_the_past = matches!(action, Action::ReadVersion { .. } | Action::Restore { .. });
        if answer == Answer::NotFound && is_of_the_past && !self.is_promised(action) {
            return Answer::Failed;
        }
        answer
    }

    fn is_promised(&self, action: Action) -> bool {
        let now = Instant::now();
        let is_asked = |kept: &Kept| match (kept.what, action) {
            (What::Version { version, .. }, Action::ReadVersion { version: asked, .. }) => {
                version == asked
            }
            (What::Trashed { trash, .. }, Action::Restore { trash: asked, .. }) => trash == asked,
            _ => false,
        };
        let mut kept = self.kept.iter();
        kept.any(|kept| is_asked(kept) && now - kept.since < self.kept_for)
    }
}
