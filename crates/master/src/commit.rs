//! Group commit: commands that wait are applied in one transaction with one fsync, and then all are answered.
//!
//! [`Committer`] is the queue's entry, [`Writer`] its one end. An answer means that the change is on the disk, with one
//! exception: promises to uploads (`AllocateChunks`), which are worth nothing without the commit that follows, are first
//! in their transaction and answered as soon as they are applied; a transaction of promises alone has no fsync. Readers
//! never wait for the writer.
//!
//! **Invariant:** but for promises, nothing is answered as done before its transaction is durable. When the disk fails a
//! transaction, all of it that was not answered is refused, and the store is opened again: what is there then is the
//! truth. When that fails too, the writer ends with the error, and the process with it. A command that meets a damaged
//! row is refused alone.
//!
//! **Invariant:** whoever was promised something may go on before any snapshot shows it. What is chosen by a snapshot of
//! promises is a proposal, which is decided when it is applied.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use disk::{Blocking, Disk};
use proto::{ErrorCode, WireError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::command::{ClusterMillis, Command};
use crate::state::{Outcome, State, StateError};
use crate::witness::Witness;
use batcher::Batcher;
use counted::CountedReceipts;
use reserve::Reserve;

mod batcher;
mod clock;
mod counted;
#[cfg(test)]
#[cfg(feature = "races")]
mod races;
mod reserve;
#[cfg(test)]
mod tests;

pub use clock::ClusterClock;
pub use counted::Counted;
pub use reserve::RESERVE_BYTES;
pub(crate) use reserve::make_room_to_open;

/// Commands that may wait.
const QUEUE_LEN_MAX: usize = 4096;
/// Work in one transaction, in chunks and the like: a bound on how long one fsync's worth takes.
const BATCH_WEIGHT_MAX: usize = 16 * 1024;
/// Transactions in a row that are not made durable: pages that they free are free only after one that is.
const VOLATILE_MAX: u32 = 64;
/// How long a command may wait for a place in the queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a command may wait for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What the writer is given.
pub struct CommitOptions {
    /// Where it blocks.
    pub blocking: Blocking,
    /// The data folder, whose free space is watched.
    pub disk: Arc<dyn Disk>,
    /// Milliseconds since 1970, UTC: for display only.
    pub wall_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for CommitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitOptions")
            .field("blocking", &self.blocking)
            .finish_non_exhaustive()
    }
}

/// Takes commands. Clones share the queue; when the last one is gone, the writer ends.
#[derive(Debug, Clone)]
pub struct Committer {
    queue: mpsc::Sender<Job>,
    clock: ClusterClock,
    shared: Arc<Shared>,
}

/// What the queue's entry and its end tell each other.
#[derive(Debug)]
struct Shared {
    /// How many commands are durable.
    position: AtomicU64,
    /// Why nothing is taken any more.
    fenced: OnceLock<String>,
    /// What is wrong with the store's rows, if a command met it.
    damage: OnceLock<String>,
    counted: CountedReceipts,
}

impl Shared {
    fn check_fence(&self) -> Result<(), WireError> {
        match self.fenced.get() {
            None => Ok(()),
            Some(reason) => {
                let message = format!("this master takes no changes: {reason}");
                Err(WireError::new(ErrorCode::StaleEpoch, message))
            }
        }
    }
}

#[derive(Debug)]
struct Job {
    command: Command,
    answer: Answer,
}

type Answer = oneshot::Sender<Result<Outcome, WireError>>;

impl Committer {
    /// A queue and its writer, which has to be run. The cluster's clock goes on from where the state's stands.
    ///
    /// # Errors
    /// `FellBack` if the state has lost commands that were answered.
    pub fn new(state: Arc<State>, options: CommitOptions) -> Result<(Self, Writer), StateError> {
        let snapshot = state.read()?;
        let clock = ClusterClock::starting_at(snapshot.now()?);
        let witness = Witness::open(&*options.disk).map_err(redb::StorageError::Io)?;
        let applied = snapshot.applied()?;
        witness.check(applied)?;
        let shared = Arc::new(Shared {
            position: AtomicU64::new(applied),
            fenced: OnceLock::new(),
            damage: OnceLock::new(),
            counted: CountedReceipts::default(),
        });
        drop(snapshot);
        let (queue, jobs) = mpsc::channel(QUEUE_LEN_MAX);
        let writer = Writer {
            jobs,
            clock,
            batcher: Batcher {
                state,
                clock,
                witness,
                shared: shared.clone(),
                reserve: Reserve::find(options.disk),
                wall_ms: options.wall_ms,
            },
            blocking: options.blocking,
            volatile: 0,
        };
        let committer = Self {
            queue,
            clock,
            shared,
        };
        Ok((committer, writer))
    }

    /// Has a command applied, and waits until that is durable (a promise: until it is applied).
    ///
    /// # Errors
    /// The command's refusal; `no_space` for one that would make the store grow on a full disk; `busy`, `timed_out`
    /// or `unavailable` if it is not known whether it was done: repeat it with the same id; `stale_epoch` once
    /// [`fence`](Self::fence)d.
    pub async fn submit(&self, command: Command) -> Result<Outcome, WireError> {
        self.shared.check_fence()?;
        let (answer, answered) = oneshot::channel();
        let job = Job { command, answer };
        match self.queue.send_timeout(job, QUEUE_TIMEOUT).await {
            Ok(()) => {}
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                let message = "the master has more to write than it can: try again in a moment";
                return Err(WireError::new(ErrorCode::Busy, message));
            }
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(stopping()),
        }
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(stopping()),
            Err(_) => Err(WireError::new(
                ErrorCode::TimedOut,
                "the master's disk did not answer in time; whether it was done is not known: repeat \
                 the request with the same id",
            )),
        }
    }

    /// How many commands are durable, since the cluster was new.
    pub fn position(&self) -> u64 {
        self.shared.position.load(Ordering::Relaxed)
    }

    /// Takes no more commands: this master was superseded, and what it did would be lost with it. `false` if it was
    /// fenced before.
    pub fn fence(&self, reason: String) -> bool {
        self.shared.fenced.set(reason).is_ok()
    }

    /// Why no more commands are taken, if so.
    pub fn fenced(&self) -> Option<&str> {
        self.shared.fenced.get().map(String::as_str)
    }

    /// Refuses as any command is refused once no more are taken.
    pub(crate) fn check_fence(&self) -> Result<(), WireError> {
        self.shared.check_fence()
    }

    /// What is wrong with rows of the store, if a command met such a one since the start.
    pub fn damage(&self) -> Option<&str> {
        self.shared.damage.get().map(String::as_str)
    }

    /// Waits until copies were taken for stored, and says for which receipts. For one who asks again and again.
    pub async fn counted(&self) -> Counted {
        self.shared.counted.next().await
    }

    /// The cluster's time.
    pub fn now(&self) -> ClusterMillis {
        self.clock.now()
    }

    /// What that was, or will be, at an instant.
    pub fn time_at(&self, instant: Instant) -> ClusterMillis {
        self.clock.at(instant)
    }
}

fn stopping() -> WireError {
    WireError::new(
        ErrorCode::Unavailable,
        "the master is stopping; whether it was done is not known: repeat the request with the same \
         id when it is back",
    )
}

/// The end of the queue where commands are applied. See [`Writer::run`].
pub struct Writer {
    jobs: mpsc::Receiver<Job>,
    clock: ClusterClock,
    batcher: Batcher,
    blocking: Blocking,
    /// Transactions since the last durable one.
    volatile: u32,
}

impl Writer {
    /// Applies what comes until every [`Committer`] is gone. Spawn it, and end the process if it fails.
    ///
    /// # Errors
    /// The store is lost to this process.
    pub async fn run(self) -> Result<(), StateError> {
        let stop = CancellationToken::new();
        let stop_when_dropped = stop.clone().drop_guard();
        let reserve = self.batcher.reserve.clone();
        let keeping = threads::spawn(reserve.keep(self.blocking, stop));
        let result = self.write().await;
        drop(stop_when_dropped);
        threads::join(keeping).await;
        result
    }

    async fn write(mut self) -> Result<(), StateError> {
        while let Some(first) = self.jobs.recv().await {
            let (promises, changes) = self.take_batch(first);
            self.volatile += 1;
            let durable = !changes.is_empty() || self.volatile >= VOLATILE_MAX;
            if durable {
                self.volatile = 0;
            }
            let batcher = self.batcher.clone();
            self.blocking
                .run(move || batcher.commit(promises, changes, durable))
                .await?;
        }
        Ok(())
    }

    /// All that waits, up to a transaction's worth: promises apart, since they need not wait for an fsync.
    fn take_batch(&mut self, first: Job) -> (Vec<Job>, Vec<Job>) {
        let (mut promises, mut changes) = (Vec::new(), Vec::new());
        let mut weight = 0;
        let mut next = Some(first);
        while let Some(job) = next {
            weight += weight_of(&job.command);
            if is_promise(&job.command) {
                promises.push(job);
            } else {
                changes.push(job);
            }
            next = if weight < BATCH_WEIGHT_MAX {
                self.jobs.try_recv().ok()
            } else {
                None
            };
        }
        (promises, changes)
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

fn is_promise(command: &Command) -> bool {
    matches!(command, Command::AllocateChunks { .. })
}

/// About how many rows a command changes.
fn weight_of(command: &Command) -> usize {
    let rows = match command {
        Command::AllocateChunks { chunks, .. } => chunks.len(),
        Command::RecordChunks { chunks, .. } | Command::CommitUpload { chunks, .. } => chunks.len(),
        Command::AddReplicas { chunks, .. } => chunks.len(),
        Command::TrimReplicas { copies, .. } => copies.len(),
        Command::RemoveReplicas { chunks, .. }
        | Command::NoteFailing { chunks, .. }
        | Command::CollectGarbage { chunks, .. }
        | Command::NoteUnknownChunks { chunks, .. }
        | Command::DeleteUnknownChunks { chunks, .. }
        | Command::ConfirmDeletions { chunks, .. } => chunks.len(),
        Command::SweepSome { limit, .. } => *limit as usize,
        _ => 0,
    };
    rows + 16
}
