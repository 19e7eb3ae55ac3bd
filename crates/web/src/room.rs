//! Whether there is room for what is about to come: better said at once than hours later, when the disks are full.
//!
//! What the cluster has already takes no room, so a file is refused before its first byte only where it is larger than all disks, and
//! when its first bytes come although they could have been named, where all of it does not fit. Where nobody knows, nothing is
//! refused here: each write is refused that does not fit.

use std::sync::Arc;

use client::people::exact_size;
use proto::master::ClusterStatus;

use crate::AppState;
use crate::error::{Kind, Problem};
use crate::readiness::Known;

/// So little is not asked about.
const UNCHECKED_LEN_MAX: u64 = 1 << 20;

/// Refuses a file that the cluster does not take, or that no disks could hold.
pub(crate) async fn check_size(state: &AppState, size: u64) -> Result<(), Problem> {
    let Some(status) = status(state, size).await else {
        return Ok(());
    };
    if let Some(max) = status.rules.file_size_max.filter(|max| size > *max) {
        let detail = format!(
            "the file has {}, and this cluster takes {} at most",
            exact_size(size),
            exact_size(max)
        );
        return Err(Problem::new(Kind::TooLarge, detail));
    }
    // Disks of which nothing was heard yet, or no more, may be there in a moment: that is no reason to give up.
    let are_known = status.capacity_bytes > 0 && status.nodes.live == status.nodes.total;
    if !are_known || size <= status.capacity_bytes {
        return Ok(());
    }
    let detail = format!(
        "the file has {}, and all disks of the cluster together have {}: add nodes before",
        exact_size(size),
        exact_size(status.capacity_bytes)
    );
    Err(Problem::new(Kind::TooLarge, detail))
}

/// Refuses bytes of which it is known that not all that follow have room.
pub(crate) async fn check_left(state: &AppState, left: u64) -> Result<(), Problem> {
    let Some(status) = status(state, left).await else {
        return Ok(());
    };
    let is_known = status.uploads_possible && status.room_bytes > 0;
    if !is_known || left <= status.room_bytes {
        return Ok(());
    }
    let detail = format!(
        "{} of the file are to come, and there is room for about {}: free space, or add nodes",
        exact_size(left),
        exact_size(status.room_bytes)
    );
    Err(Problem::new(Kind::NoSpace, detail))
}

/// How the cluster does, if it is worth asking.
async fn status(state: &AppState, len: u64) -> Option<Arc<ClusterStatus>> {
    if len <= UNCHECKED_LEN_MAX {
        return None;
    }
    match state.status.get(&*state.drive).await {
        Known::Status(status) => Some(status),
        Known::Unknown(_) => None,
    }
}
