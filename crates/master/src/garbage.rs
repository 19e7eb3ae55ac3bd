//! Finds what may go: chunks that nothing needs after their grace, and chunks on nodes that nobody knows.
//!
//! Here deletions are only planned; `deletions.rs` carries them out. The same rounds sweep, bit by bit, what purges
//! and removed nodes left in the store, and empty the old trash.
//!
//! A chunk that the master does not know is planned only after its grace and two inventories, half of the grace apart, and
//! **invariant:** never more of them than the state's [`Fuse`](crate::state::Fuse) lets pass. All that is due is counted
//! first, so that too many of them are stopped as a whole.

use std::sync::Arc;
use std::time::Duration;

use proto::WireError;
use proto::id::ChunkId;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::command::{ClusterMillis, Command, NodeNumber};
use crate::control::Control;
use crate::handlers::ClusterView;
use crate::state::{INVENTORIES_MIN, Outcome, Snapshot, StateError};

const PAGE: usize = 1024;
/// Rows that one command sweeps: some tens of milliseconds in which other commands wait.
const SWEEP_ROWS: u32 = 2000;
/// Answers to repeated requests are kept for so long at least, and unless they are many for as long as an upload may pause:
/// its commit may be repeated after that.
const ANSWERS_KEPT_MIN: Duration = Duration::from_secs(15 * 60);
/// With more answers than these, those that were kept for that time go: the rest of a lease may see millions of small files.
const ANSWERS_MANY: u64 = 100_000;
const ROUND_LONGEST: Duration = Duration::from_secs(60);
const ROUND_SHORTEST: Duration = Duration::from_millis(200);

/// Works through rounds until `shutdown`.
pub(crate) async fn run(control: Arc<Control>, shutdown: CancellationToken) {
    let interval = control.config.garbage_grace / 10;
    let interval = interval.clamp(ROUND_SHORTEST, ROUND_LONGEST);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
            () = control.garbage.notified() => {}
        }
        let round = tokio::select! {
            () = shutdown.cancelled() => return,
            round = control.garbage_round() => round,
        };
        if let Err(error) = round {
            warn!(%error, "a garbage round was cut off; the next one goes on");
        }
    }
}

impl Control {
    pub(crate) async fn garbage_round(&self) -> Result<(), WireError> {
        self.sweep().await?;
        if self.deletions_wait() {
            return Ok(());
        }
        let planned = self.collect_garbage().await? + self.collect_unknown().await?;
        if planned > 0 {
            info!(copies = planned, "planned the deletion of garbage");
            self.deletions.notify_one();
        }
        Ok(())
    }

    async fn sweep(&self) -> Result<(), WireError> {
        let answers = self.read(Snapshot::answers_kept).await?;
        let answers_kept = match answers {
            ..ANSWERS_MANY => self.config.upload_lease.max(ANSWERS_KEPT_MIN),
            _ => ANSWERS_KEPT_MIN,
        };
        loop {
            let sweep = Command::SweepSome {
                trash_before: self.time_before(self.config.trash_retention),
                versions_before: self.time_before(self.config.version_retention),
                answers_before: self.time_before(answers_kept),
                limit: SWEEP_ROWS,
            };
            match self.committer.submit(sweep).await? {
                Outcome::Swept { more: true, .. } => tokio::task::yield_now().await,
                _ => return Ok(()),
            }
        }
    }

    async fn collect_garbage(&self) -> Result<u64, WireError> {
        let unreferenced_before = self.time_before(self.config.garbage_grace);
        let (mut planned, mut after) = (0, None);
        loop {
            // Behind the last page: of that, what uploads hold is still there.
            let page = self
                .read(move |snapshot| snapshot.garbage_page(unreferenced_before, after, PAGE))
                .await?;
            let is_last = page.len() < PAGE;
            if page.is_empty() {
                return Ok(planned);
            }
            after = page.last().copied();
            let collect = Command::CollectGarbage {
                unreferenced_before,
                chunks: page.into_iter().map(|(_, chunk)| chunk).collect(),
            };
            planned += self.committer.submit(collect).await?.changed();
            if is_last {
                return Ok(planned);
            }
        }
    }

    /// Notes chunks that a node was just seen to hold and that the state does not know. What is seen again within half of
    /// their grace, by a comparison that was cut off and begun again, or by repair, is no other inventory.
    pub(crate) async fn note_unknown(
        &self,
        node: NodeNumber,
        chunks: Vec<ChunkId>,
    ) -> Result<(), WireError> {
        if !chunks.is_empty() {
            let command = Command::NoteUnknownChunks {
                node,
                seen_before: self.time_before(self.config.unknown_chunk_grace / 2),
                chunks,
            };
            self.committer.submit(command).await?;
        }
        Ok(())
    }

    async fn collect_unknown(&self) -> Result<u64, WireError> {
        let seen_before = self.time_before(self.config.unknown_chunk_grace);
        if self.read(Snapshot::fuse).await?.tripped().is_some() {
            return Ok(0);
        }
        let nodes = self.membership().live();
        let mut due = 0;
        for node in &nodes {
            due += self.count_unknown(*node, seen_before).await?;
        }
        if due == 0 || !self.fuse_lets_pass(due).await? {
            return Ok(0);
        }
        let mut planned = 0;
        for node in nodes {
            planned += self.plan_unknown(node, seen_before).await?;
        }
        Ok(planned)
    }

    async fn count_unknown(
        &self,
        node: NodeNumber,
        seen_before: ClusterMillis,
    ) -> Result<u64, StateError> {
        let (mut due, mut after) = (0, None);
        loop {
            let (chunks, last) = self.unknown_page(node, seen_before, after).await?;
            due += chunks.len() as u64;
            match last {
                Some(last) => after = Some(last),
                None => return Ok(due),
            }
        }
    }

    async fn plan_unknown(
        &self,
        node: NodeNumber,
        seen_before: ClusterMillis,
    ) -> Result<u64, WireError> {
        let (mut planned, mut after) = (0, None);
        loop {
            let (chunks, last) = self.unknown_page(node, seen_before, after).await?;
            if !chunks.is_empty() {
                let delete = Command::DeleteUnknownChunks {
                    node,
                    seen_before,
                    chunks,
                };
                planned += self.committer.submit(delete).await?.changed();
            }
            match last {
                Some(last) => after = Some(last),
                None => return Ok(planned),
            }
        }
    }

    /// Unknown chunks of one page whose time has come, and where the next page begins.
    async fn unknown_page(
        &self,
        node: NodeNumber,
        seen_before: ClusterMillis,
        after: Option<ChunkId>,
    ) -> Result<(Vec<ChunkId>, Option<ChunkId>), StateError> {
        let page = self
            .read(move |snapshot| snapshot.unknown_page(node, after.as_ref(), PAGE))
            .await?;
        let last = page.last().filter(|_| page.len() == PAGE);
        let last = last.map(|row| row.chunk);
        let due = page
            .iter()
            .filter(|row| row.first_seen < seen_before && row.inventories >= INVENTORIES_MIN)
            .map(|row| row.chunk);
        Ok((due.collect(), last))
    }

    async fn fuse_lets_pass(&self, due: u64) -> Result<bool, WireError> {
        let (recorded, fuse) = self
            .read(|snapshot| Ok((snapshot.counters()?.replicas, snapshot.fuse()?)))
            .await?;
        if fuse.lets_pass(due, recorded, self.committer.now()) {
            return Ok(true);
        }
        error!(
            copies = due,
            of = recorded,
            "the delete fuse has tripped: {due} more copies of chunks that this master does not know would go within a day, \
             and {recorded} are recorded. Is this an old copy of the master's folder? Nothing unknown is deleted until \
             somebody resets the fuse"
        );
        let trip = Command::TripDeleteFuse {
            copies: due,
            of: recorded,
        };
        self.committer.submit(trip).await?;
        Ok(false)
    }

    /// The cluster's time so long ago; the beginning of time if it has not run that long.
    fn time_before(&self, age: Duration) -> ClusterMillis {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        ClusterMillis(self.committer.now().0.saturating_sub(age))
    }
}

#[cfg(test)]
#[cfg(feature = "races")]
mod races;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::master;
    use proto::id::UploadId;
    use proto::master::Precondition;

    /// A laptop slept for twenty minutes while it committed, and asked again: its answer was forgotten, so that it uploaded
    /// all of it once more, and found that a file of this name, its own, was there.
    #[tokio::test(start_paused = true)]
    async fn a_commit_that_is_repeated_after_a_pause_is_answered_alike() {
        let (control, writer) = master();
        tokio::spawn(writer.run());
        let commit = || Command::CommitUpload {
            upload: UploadId::new(uuid::Uuid::from_u128(1)),
            path: "/f".parse().unwrap(),
            size: 0,
            modified_ms: None,
            blocks: 0,
            place: 0,
            doubtful: Vec::new(),
            chunks: Vec::new(),
            parents: false,
            precondition: Precondition::Absent,
        };
        let Outcome::Committed(first, _) = control.committer.submit(commit()).await.unwrap() else {
            panic!("it is committed");
        };
        tokio::time::sleep(control.config.upload_lease / 2).await;
        control.sweep().await.unwrap();
        let again = control.committer.submit(commit()).await;
        assert_eq!(again, Ok(Outcome::Committed(first, None)));
    }

    /// A node was removed with many chunks: what it alone had went a page in each round.
    #[tokio::test(start_paused = true)]
    async fn garbage_without_copies_goes_in_one_round() {
        let (control, writer) = master();
        tokio::spawn(writer.run());
        let chunks = (0..2500_u32).map(|number| ChunkId::of(&number.to_be_bytes()));
        control.state.add_garbage(&chunks.collect::<Vec<_>>());
        tokio::time::sleep(2 * control.config.garbage_grace).await;
        control.collect_garbage().await.unwrap();
        let now = control.committer.now();
        let left = control.state.read().unwrap().garbage_page(now, None, 2500);
        assert_eq!(left.unwrap().len(), 0);
    }
}
