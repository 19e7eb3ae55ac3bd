//! Ends uploads whose lease ran out, so that what they stored can be collected.
//!
//! Leases are in the cluster's time, which goes by the monotonic clock and stands still while no master runs: a jump of
//! the wall clock ends nothing, and after a restart an uploader has what was left of its lease.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::command::Command;
use crate::commit::Committer;
use crate::state::{State, StateError};

/// Uploads looked at in one snapshot.
const PAGE_LEN: usize = 256;
/// Longest and shortest time between two rounds.
const PAUSE_MAX: Duration = Duration::from_secs(30);
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Ends what has run out, a round each quarter of a lease, until it is told to stop.
pub async fn run(
    state: Arc<State>,
    committer: Committer,
    upload_lease: Duration,
    shutdown: CancellationToken,
) {
    let pause = (upload_lease / 4).clamp(PAUSE_MIN, PAUSE_MAX);
    while shutdown
        .run_until_cancelled(tokio::time::sleep(pause))
        .await
        .is_some()
    {
        match end_expired(&state, &committer).await {
            Ok(0) => {}
            Ok(ended) => tracing::info!(ended, "ended uploads that were silent for their lease"),
            Err(error) => tracing::warn!(%error, "uploads could not be ended; trying again"),
        }
    }
}

/// One round; returns how many uploads were ended.
///
/// # Errors
/// Of the store, or of the first command that was refused.
pub async fn end_expired(state: &State, committer: &Committer) -> Result<u64, StateError> {
    let now = committer.now();
    let mut ended = 0;
    let mut after = None;
    loop {
        let page = state.read()?.uploads_page(after, PAGE_LEN)?;
        let Some((last, _)) = page.last() else {
            return Ok(ended);
        };
        after = Some(*last);
        for (upload, row) in page {
            if row.lease_until <= now {
                let command = Command::EndUpload {
                    upload,
                    expired_by: Some(now),
                };
                committer.submit(command).await?;
                ended += 1;
            }
        }
    }
}
