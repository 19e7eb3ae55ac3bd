//! The one row that changes with every transaction: the clock, the next numbers, and the sums for the status.
//!
//! **Invariant:** every sum equals what a scan of the tables would give. So the status never scans.

use serde::{Deserialize, Serialize};

use super::error::StateError;
use super::fuse::Fuse;
use super::rows::{self, Sums, VersionSums};
use crate::command::ClusterMillis;

/// Places in [`Counters::chunks_by_copies`]; the last one counts all chunks with that many copies or more.
pub const COPIES_COUNTED: usize = 8;

/// The format of the row that this program writes.
const FORMAT: u8 = 3;
/// An older one, of a store without the tables of subfolders and of folders' names, which ended before [`Head::next_share`].
const FORMAT_WITHOUT_SHARES: u8 = 2;
/// An older one, which ended before [`Counters::former`].
const FORMAT_WITHOUT_FORMER: u8 = 1;

/// The number of the first share.
const FIRST_SHARE: u64 = 1;

/// The row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) epoch: u64,
    /// The latest epoch that was begun with `--restored`; 0 if none was.
    pub(super) restored_at: u64,
    /// The latest command's time.
    pub(super) at: ClusterMillis,
    /// Commands applied or refused since the store was new.
    pub(super) applied: u64,
    pub(super) next_folder: u64,
    pub(super) next_version: u64,
    pub(super) next_trash: u64,
    pub(super) next_purge: u64,
    pub(super) next_node: u32,
    /// Rows of the trash below this number were emptied, and only wait to be swept.
    pub(super) trash_emptied_below: u64,
    pub(super) fuse: Fuse,
    pub(super) counters: Counters,
    pub(super) next_share: u64,
}

/// What a store of an older program has yet to find out from what it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// The sums of former versions.
    pub(super) former: bool,
    /// The tables of subfolders, and of folders' names.
    pub(super) folders: bool,
}

impl Head {
    pub(super) fn encode(&self) -> Vec<u8> {
        rows::encode_as(FORMAT, self)
    }

    /// The head, and what a store of an older program lacks.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, Missing), StateError> {
        let format = match bytes.first() {
            Some(older @ (&FORMAT_WITHOUT_FORMER | &FORMAT_WITHOUT_SHARES)) => *older,
            _ => return Ok((rows::decode_as(FORMAT, bytes)?, Missing::default())),
        };
        let missing = Missing {
            former: format == FORMAT_WITHOUT_FORMER,
            folders: true,
        };
        // What is missing is at the end: of these, only the fields, without their format.
        let mut bytes = bytes.to_vec();
        if missing.former {
            bytes.extend(&rows::encode(&VersionSums::default())[1..]);
        }
        bytes.extend(&rows::encode(&FIRST_SHARE)[1..]);
        Ok((rows::decode_as(format, &bytes)?, missing))
    }
}

impl Default for Head {
    fn default() -> Self {
        Self {
            epoch: 0,
            restored_at: 0,
            at: ClusterMillis(0),
            applied: 0,
            next_folder: super::names::ROOT + 1,
            next_version: 1,
            next_trash: 1,
            next_purge: 1,
            next_node: 1,
            trash_emptied_below: 1,
            fuse: Fuse::default(),
            counters: Counters::default(),
            next_share: FIRST_SHARE,
        }
    }
}

/// Sums over the whole state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// What lies in the trash. What is below the root is in [`Snapshot::sums`](super::Snapshot::sums).
    pub trashed: Sums,
    /// Chunks that versions or uploads need.
    pub chunks: u64,
    /// Their bytes, each counted once.
    pub chunk_bytes: u64,
    /// Those chunks by the number of their recorded copies.
    pub chunks_by_copies: [u64; COPIES_COUNTED],
    /// Rows of `needs_copies`.
    pub needs_copies: u64,
    /// Chunks that nothing needs and whose deletion is not planned yet.
    pub garbage: u64,
    /// Copies recorded.
    pub replicas: u64,
    /// Deletions planned and not confirmed, on all nodes.
    pub planned_deletions: u64,
    /// Open uploads.
    pub uploads: u64,
    /// Work left to the sweep.
    pub purges: u64,
    /// All former versions that are listed, wherever their files are: those of a file that was purged are taken off the list
    /// by the sweep.
    pub former: VersionSums,
}

impl Counters {
    /// The sum of [`Self::chunks_by_copies`] that a chunk with so many copies belongs to.
    pub(super) fn by_copies(&mut self, copies: usize) -> &mut u64 {
        &mut self.chunks_by_copies[copies.min(COPIES_COUNTED - 1)]
    }
}
