//! Group commit: a bounded queue in front of a disk's one [`Appender`].
//!
//! While one batch is being synced, others gather; then all that wait are appended together, synced once and
//! answered. So many small puts cost one sync, and the order of everything that changes a disk is the order of
//! this queue.
//!
//! **Invariant:** a writer that ends, and was not stopped, fails its disk: no disk counts as well and takes nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use disk::Blocking;
use proto::id::ChunkId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::appender::{Appender, Moved};
use crate::catalog::Location;
use crate::error::StoreError;
use crate::extent::Order;
use crate::pulse::Pulse;
use crate::verified::VerifiedChunk;

/// Jobs that wait; whoever brings more waits outside.
const QUEUE_LEN: usize = 1024;
/// Bytes of chunks that wait or are being written; whoever brings more waits outside. Whoever brought them may be gone and have
/// returned the memory that it was lent for them, so they are counted here.
pub(crate) const WAITING_BYTES_MAX: usize = 64 << 20;
/// The index is made durable when nothing happened for this long.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(5);
/// A disk that does not answer for this long is not waited for.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A disk that has been working on one job, or writing one batch, for so long hangs.
pub(crate) const HUNG_AFTER: Duration = Duration::from_secs(20);

/// One change of a store.
enum Job {
    Put(VerifiedChunk, OwnedSemaphorePermit, Reply<bool>),
    Delete(Order, Vec<ChunkId>, Reply<Vec<ChunkId>>),
    DropCopy(ChunkId, Location, Reply<bool>),
    Mark(ChunkId, Location, bool, Reply<bool>),
    Relocate(u64, Vec<Moved>, Reply<()>),
    RemoveExtent(u64, Reply<bool>),
    Bury(u64, Vec<ChunkId>, Reply<()>),
    ScrubbedTo(ScrubProgress, Reply<()>),
    Seal(Reply<()>),
}

impl Job {
    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Put(.., reply)
            | Self::DropCopy(.., reply)
            | Self::Mark(.., reply)
            | Self::RemoveExtent(.., reply) => reply.is_closed(),
            Self::Delete(.., reply) => reply.is_closed(),
            Self::Relocate(.., reply)
            | Self::Bury(.., reply)
            | Self::ScrubbedTo(.., reply)
            | Self::Seal(reply) => reply.is_closed(),
        }
    }
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// The answer to a job. A job whose answer nobody waits for any more is not begun.
#[derive(Debug)]
pub(crate) struct Answer<T>(oneshot::Receiver<Result<T, StoreError>>);

impl<T> Answer<T> {
    /// Waits for it.
    pub(crate) async fn get(&mut self) -> Result<T, StoreError> {
        (&mut self.0).await.map_err(|_| StoreError::Stopping)?
    }

    /// Whether the job may still be done.
    pub(crate) fn is_pending(&mut self) -> bool {
        matches!(self.0.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

/// What the scrubber wants kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScrubProgress {
    /// Where it goes on.
    pub(crate) position: crate::catalog::Position,
    /// An extent that it has read to its end, and when.
    pub(crate) finished: Option<(u64, u64)>,
}

/// Hands changes to a disk's writer. Clones share it; it ends when it is stopped, or the last is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
    free_bytes: Arc<Semaphore>,
    stop: CancellationToken,
    stopped: CancellationToken,
}

impl Writer {
    /// Starts the task that does the work.
    pub(crate) fn start(appender: Appender, blocking: Blocking, pulse: Pulse) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE_LEN);
        let writer = Self {
            jobs,
            free_bytes: Arc::new(Semaphore::new(WAITING_BYTES_MAX)),
            stop: CancellationToken::new(),
            stopped: CancellationToken::new(),
        };
        let (stop, stopped) = (writer.stop.clone(), writer.stopped.clone());
        threads::spawn(async move {
            let _stopped = stopped.drop_guard();
            run(appender, queue, pulse, blocking, stop).await;
        });
        writer
    }

    /// Stops it behind what is in the queue, although there are handles; when this returns nothing is written any more.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.stopped.cancelled().await;
    }

    /// Stores a chunk; `false` if it was here. Either way it is durable.
    pub(crate) async fn put(&self, chunk: VerifiedChunk) -> Result<bool, StoreError> {
        let put = async {
            let bytes = Arc::clone(&self.free_bytes);
            let bytes = bytes.acquire_many_owned(chunk.len()).await;
            let bytes = bytes.expect("it is never closed");
            let job = |reply| Job::Put(chunk, bytes, reply);
            self.begin(job).await?.get().await
        };
        answer_in_time(put).await
    }

    /// Begins to remove chunks; the answer tells which were here. Either way the order is durable then.
    pub(crate) async fn delete(
        &self,
        order: Order,
        chunks: Vec<ChunkId>,
    ) -> Result<Answer<Vec<ChunkId>>, StoreError> {
        self.begin(|reply| Job::Delete(order, chunks, reply)).await
    }

    /// Removes the record at this place, of a chunk that another disk of the node has in good state; `false` if it is not
    /// there any more.
    pub(crate) async fn drop_copy(
        &self,
        chunk: ChunkId,
        location: Location,
    ) -> Result<bool, StoreError> {
        let job = |reply| Job::DropCopy(chunk, location, reply);
        self.submit(job).await
    }

    /// Notes that the record at this place is corrupt, or good after all; `false` if the chunk is not there any more.
    pub(crate) async fn mark(
        &self,
        chunk: ChunkId,
        location: Location,
        corrupt: bool,
    ) -> Result<bool, StoreError> {
        self.submit(|reply| Job::Mark(chunk, location, corrupt, reply))
            .await
    }

    /// Copies to the active extent what is still needed of these records.
    pub(crate) async fn relocate(&self, extent: u64, moved: Vec<Moved>) -> Result<(), StoreError> {
        self.submit(|reply| Job::Relocate(extent, moved, reply))
            .await
    }

    /// Removes an extent of which nothing is needed; `false` if something is.
    pub(crate) async fn remove_extent(&self, extent: u64) -> Result<bool, StoreError> {
        self.submit(|reply| Job::RemoveExtent(extent, reply)).await
    }

    /// Forgets puts of an extent that was removed.
    pub(crate) async fn bury(&self, extent: u64, puts: Vec<ChunkId>) -> Result<(), StoreError> {
        self.submit(|reply| Job::Bury(extent, puts, reply)).await
    }

    /// Closes the active extent.
    pub(crate) async fn seal(&self) -> Result<(), StoreError> {
        self.submit(Job::Seal).await
    }

    /// Keeps the scrubber's place; durable with the next checkpoint.
    pub(crate) async fn note_scrubbed(&self, progress: ScrubProgress) -> Result<(), StoreError> {
        self.submit(|reply| Job::ScrubbedTo(progress, reply)).await
    }

    async fn submit<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, StoreError> {
        answer_in_time(async { self.begin(job).await?.get().await }).await
    }

    /// Waits until the job is in the queue.
    async fn begin<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<Answer<T>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.jobs.send(job(reply)).await;
        sent.map_err(|_| StoreError::Stopping)?;
        Ok(Answer(answer))
    }

    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> usize {
        self.free_bytes.available_permits()
    }
}

async fn answer_in_time<T>(
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let waited = timeout(ANSWER_TIMEOUT, answer).await;
    waited.unwrap_or(Err(StoreError::TimedOut))
}

async fn run(
    mut appender: Appender,
    mut queue: mpsc::Receiver<Job>,
    pulse: Pulse,
    blocking: Blocking,
    stop: CancellationToken,
) {
    let mut jobs = Vec::new();
    loop {
        let has_changes = appender.has_changes();
        let next = async {
            if has_changes {
                timeout(IDLE_CHECKPOINT, queue.recv_many(&mut jobs, QUEUE_LEN)).await
            } else {
                Ok(queue.recv_many(&mut jobs, QUEUE_LEN).await)
            }
        };
        let received = stop.run_until_cancelled(next).await;
        let received = if let Some(received) = received {
            received
        } else {
            // What is in the queue is done; there is no more.
            queue.close();
            Ok(queue.recv_many(&mut jobs, QUEUE_LEN).await)
        };
        let is_idle = received.is_err();
        let is_over = received == Ok(0);
        let batch = std::mem::take(&mut jobs);
        let pulse = pulse.clone();
        let ran = blocking.run(move || {
            let ran = AssertUnwindSafe(|| {
                run_batch(&mut appender, batch, is_idle || is_over, &pulse);
                if is_over {
                    appender.end();
                }
            });
            if catch_unwind(ran).is_ok() {
                Some(appender)
            } else {
                appender.give_up();
                None
            }
        });
        match ran.await {
            Some(goes_on) if !is_over => appender = goes_on,
            _ => return,
        }
    }
}

fn run_batch(appender: &mut Appender, jobs: Vec<Job>, checkpoint: bool, pulse: &Pulse) {
    for job in jobs.into_iter().filter(|job| !job.is_abandoned()) {
        let _begun = pulse.begin(HUNG_AFTER);
        run_job(appender, job);
    }
    let begun = pulse.begin(HUNG_AFTER);
    // Whoever waits was told, and the disk's state says the rest.
    drop(appender.flush());
    drop(begun);
    let _begun = pulse.begin(HUNG_AFTER);
    if let Err(error) = appender.checkpoint_if_due(checkpoint) {
        tracing::debug!(%error, "no checkpoint");
    }
}

fn run_job(appender: &mut Appender, job: Job) {
    match job {
        Job::Put(chunk, bytes, reply) => {
            let stored = appender.put(&chunk);
            answer_when_durable(appender, stored, reply);
            // The batch has them until it is written.
            appender.answer_when_durable(Box::new(move |_| drop(bytes)));
        }
        Job::Delete(order, chunks, reply) => {
            let deleted = appender.delete(order, &chunks);
            answer_when_durable(appender, deleted, reply);
        }
        Job::DropCopy(chunk, location, reply) => {
            let dropped = appender.drop_copy(&chunk, location);
            answer_when_durable(appender, dropped, reply);
        }
        Job::Mark(chunk, location, corrupt, reply) => {
            let marked = appender.mark(&chunk, location, corrupt);
            answer_when_durable(appender, marked, reply);
        }
        Job::Relocate(extent, moved, reply) => {
            let relocated = appender.relocate(extent, &moved);
            answer_when_durable(appender, relocated, reply);
        }
        Job::RemoveExtent(extent, reply) => answer(reply, appender.remove_extent(extent)),
        Job::Bury(extent, puts, reply) => answer(reply, appender.bury(extent, &puts)),
        Job::Seal(reply) => answer(reply, appender.seal()),
        Job::ScrubbedTo(progress, reply) => {
            appender.note_scrubbed(progress);
            answer(reply, Ok(()));
        }
    }
}

fn answer_when_durable<T: Send + 'static>(
    appender: &mut Appender,
    done: Result<T, StoreError>,
    reply: Reply<T>,
) {
    match done {
        Ok(value) => appender.answer_when_durable(Box::new(move |durable| {
            answer(reply, durable.map(|()| value));
        })),
        Err(error) => answer(reply, Err(error)),
    }
}

fn answer<T>(reply: Reply<T>, result: Result<T, StoreError>) {
    // Who asked may have gone away meanwhile.
    drop(reply.send(result));
}
