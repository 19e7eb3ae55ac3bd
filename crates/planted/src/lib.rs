//! Bugs that are planted on purpose, to see that the tests find them: a test that cannot fail proves nothing.
//!
//! Each takes one protection out that everything else relies on, where the code asks [`is_planted`]. Only a program
//! that is built with the feature `armed` can have one, and only if `DFS_PLANTED_BUG` names it; without the feature the
//! question is answered by the compiler, and nothing is left of it. The same holds for [`Point`]s, at which a process can be killed.
//!
//! ```text
//! cargo run --release -p prove -- --only bugs       # each bug, and what finds it
//! ```

mod points;

pub use points::{Point, PointOf, reach};

/// Whether this program was built so that bugs can be planted in it, and that it can be killed at a point.
pub const IS_ARMED: bool = cfg!(feature = "armed");

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $bug:ident = $name:literal,)+) => {
        /// A bug that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug {
            $($(#[doc = $doc])+ $bug,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$bug,)+];

            /// What `DFS_PLANTED_BUG` calls it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)+
                }
            }

            /// What it does.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$bug => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}

bugs! {
    /// Files are not synced.
    NoFileSync = "no-file-sync",
    /// Folders are not synced.
    NoFolderSync = "no-folder-sync",
    /// A sync that failed is tried again, and believed.
    SyncRetried = "sync-retried",
    /// A storage node answers before it has written.
    NodeAnswersFirst = "node-answers-first",
    /// The master answers without having synced.
    MasterAnswersUnsynced = "master-answers-unsynced",
    /// Nobody checks what is read against its checksum and its hash.
    ReadsUnchecked = "reads-unchecked",
    /// A node stores what does not have the hash that it was sent under.
    PutsUnchecked = "puts-unchecked",
    /// A node serves whatever record its index points to, whosever it is.
    RecordsUnchecked = "records-unchecked",
    /// What was appended after the index was made durable is not looked for at a start.
    IndexTrusted = "index-trusted",
    /// What a power cut tore off is left at the end of an extent, and written behind.
    TornTailKept = "torn-tail-kept",
    /// An extent ends at its first bad record, whatever is behind it.
    TailCutEarly = "tail-cut-early",
    /// Compaction removes an extent before what is needed of it is copied.
    ExtentRemovedFirst = "extent-removed-first",
    /// Compaction drops the deletions of an extent, also where what they deleted is still on the disk.
    DeletionsDropped = "deletions-dropped",
    /// A node carries out delete orders of whatever start of the master, in whatever order they come.
    StaleOrdersTaken = "stale-orders-taken",
    /// A start of the master does not raise the epoch.
    EpochNotRaised = "epoch-not-raised",
    /// Garbage is collected although an upload was promised it.
    PromisesIgnored = "promises-ignored",
    /// A copy whose deletion is planned counts again when its node lists it.
    PlannedCopiesCounted = "planned-copies-counted",
    /// A commit takes the client's word for what is stored.
    ReceiptsUnchecked = "receipts-unchecked",
    /// Copies on record count for an upload also on nodes of which nobody knows whether they still have them.
    DoubtfulCopiesCounted = "doubtful-copies-counted",
    /// A commit is content with one copy.
    OneCopyEnough = "one-copy-enough",
    /// A chunk that one file needs no more is garbage, whatever other files need it.
    SharedChunksFreed = "shared-chunks-freed",
    /// Copies are trimmed without asking whether the others are good.
    TrimUnconfirmed = "trim-unconfirmed",
    /// A chunk that the master does not know is deleted when it is first seen, and no fuse stops that.
    UnknownDeletedAtOnce = "unknown-deleted-at-once",
    /// A copy is ordered to be deleted while repair is about to record it.
    ClaimsIgnored = "claims-ignored",
    /// A planned deletion is forgotten when it was ordered, whether the node did it or not.
    DeletionsUnconfirmed = "deletions-unconfirmed",
    /// What a node reports not to have stays on record.
    MissingCopiesKept = "missing-copies-kept",
    /// A repeated request is carried out again.
    RequestsRepeated = "requests-repeated",
    /// A file moved to a name that is taken replaces what is there, though it was asked not to.
    MoveOverwrites = "move-overwrites",
    /// What is put into the trash is gone with the next sweep.
    TrashNotKept = "trash-not-kept",
    /// A version that was replaced is gone with the next sweep.
    VersionsNotKept = "versions-not-kept",
    /// The master starts on a store that has lost commands that were answered.
    WitnessIgnored = "witness-ignored",
}

/// Whether this bug is planted in this process.
#[cfg(not(feature = "armed"))]
#[inline]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}

/// Whether this bug is planted in this process.
#[cfg(feature = "armed")]
pub fn is_planted(bug: Bug) -> bool {
    static PLANTED: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
    *PLANTED.get_or_init(planted) == Some(bug)
}

#[cfg(feature = "armed")]
fn planted() -> Option<Bug> {
    let name = std::env::var("DFS_PLANTED_BUG").ok()?;
    let found = Bug::ALL.iter().copied().find(|bug| bug.name() == name);
    // A name that is misspelt would prove nothing.
    Some(found.unwrap_or_else(|| panic!("DFS_PLANTED_BUG names no bug: {name}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn bugs_have_names_of_their_own() {
        let names: BTreeSet<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!(names.len(), Bug::ALL.len());
        assert!(Bug::ALL.iter().all(|bug| bug.what().ends_with('.')));
        let names: BTreeSet<_> = Point::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }

    #[cfg(not(feature = "armed"))]
    #[test]
    fn nothing_is_planted_in_a_program_that_is_not_armed() {
        assert!(Bug::ALL.iter().all(|bug| !is_planted(*bug)));
    }
}
