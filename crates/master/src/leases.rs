//! Ends uploads whose lease ran out, so that what they stored can be collected.
//!
//! Leases are in the cluster's time, which goes by the monotonic clock and stands still while no master runs: a jump of
//! the wall clock ends nothing, and after a restart an uploader has what was left of its lease.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use proto::id::UploadId;
use tokio_util::sync::CancellationToken;

use crate::command::{ClusterMillis, Command};
use crate::commit::Committer;
use crate::state::{Outcome, State, StateError};

/// Uploads looked at in one snapshot.
const PAGE_LEN: usize = 256;
/// Uploads that are ended at once, and so with one fsync: each may hold thousands of promises.
const ENDED_AT_ONCE: usize = 16;
/// Longest and shortest time between two rounds, which look at all open uploads.
const PAUSE_MAX: Duration = Duration::from_secs(600);
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Ends what has run out, a round each quarter of a lease and ten minutes at the most, until it is told to stop.
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

/// One round; returns how many uploads were ended. One that was renewed meanwhile is not.
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
        let expired = page.into_iter().filter(|(_, row)| row.lease_until <= now);
        let expired: Vec<_> = expired.map(|(upload, _)| upload).collect();
        for some in expired.chunks(ENDED_AT_ONCE) {
            let ending = some.iter().map(|upload| end(committer, *upload, now));
            let were_open = try_join_all(ending).await?;
            ended += were_open.iter().map(|one| u64::from(*one)).sum::<u64>();
        }
    }
}

/// Ends an upload whose lease has run out by then; says whether it was ended.
async fn end(
    committer: &Committer,
    upload: UploadId,
    by: ClusterMillis,
) -> Result<bool, StateError> {
    let command = Command::EndUpload {
        upload,
        expired_by: Some(by),
    };
    let outcome = committer.submit(command).await?;
    Ok(outcome == Outcome::UploadEnded(true))
}
