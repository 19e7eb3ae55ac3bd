//! One of the node's disks: what readers use and the way to it, its writer, and how it does.

use std::sync::Arc;
use std::time::Duration;

use disk::{Blocking, Space};
use proto::id::ChunkId;
use threads::{Mutex, MutexGuard};
use tokio::time::timeout;

use crate::error::StoreError;
use crate::lane::Lane;
use crate::pulse::Pulse;
use crate::recover::OpenedStore;
use crate::store::Store;
use crate::writer::Writer;

/// A heartbeat waits no longer than this for a disk. Healthy ones answer at once.
const HEARTBEAT_PATIENCE: Duration = Duration::from_secs(1);

/// Chunks that a disk is asked about in one go.
const CHUNKS_AT_ONCE: usize = 64;

/// One disk. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct NodeDisk {
    pub(crate) store: Arc<Store>,
    pub(crate) writer: Writer,
    pub(crate) lane: Lane,
    pub(crate) pulse: Pulse,
    known: Arc<Mutex<Known>>,
}

/// What was heard of it last.
#[derive(Debug, Default)]
struct Known {
    space: Option<Space>,
    hung: bool,
}

impl NodeDisk {
    /// Starts the disk's writer.
    pub(crate) fn start((store, appender): OpenedStore, blocking: Blocking) -> Self {
        let pulse = Pulse::default();
        Self {
            store,
            writer: Writer::start(appender, blocking, pulse.clone()),
            lane: Lane::new(blocking, pulse.clone()),
            pulse,
            known: Arc::default(),
        }
    }

    /// The same disk, opened anew: what was begun on it before still counts.
    pub(crate) fn reopened(&self, (store, appender): OpenedStore, blocking: Blocking) -> Self {
        Self {
            store,
            writer: Writer::start(appender, blocking, self.pulse.clone()),
            ..self.clone()
        }
    }

    /// Whether it answers, and did not fail: only then what is on it counts, and it gets chunks.
    pub(crate) fn is_sound(&self) -> bool {
        self.store.failure().is_none() && !self.pulse.hangs()
    }

    /// Why it is not sound.
    pub(crate) fn trouble(&self) -> Option<StoreError> {
        let failed = self.store.failure().map(StoreError::Failed);
        failed.or_else(|| self.pulse.hangs().then_some(StoreError::TimedOut))
    }

    /// Room on its file system: as it says now, or said last if it does not answer soon.
    pub(crate) async fn space(&self) -> Option<Space> {
        let store = Arc::clone(&self.store);
        let space = self.ask_briefly(move || Ok(store.space()?)).await;
        let mut known = self.known();
        if let Ok(space) = space {
            known.space = Some(space);
        }
        known.space
    }

    /// Reads what a heartbeat waits for, and can go without.
    ///
    /// # Errors
    /// Those of the work; `TimedOut` if the disk does not answer soon.
    pub(crate) async fn ask_briefly<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answer = timeout(HEARTBEAT_PATIENCE, self.lane.ask_soon(work)).await;
        answer.unwrap_or(Err(StoreError::TimedOut))
    }

    /// Asks about each of the chunks, a few at a time: so many look-ups on a slow disk take long without it hanging.
    ///
    /// # Errors
    /// Those of the question; `TimedOut` if the disk hangs.
    pub(crate) async fn ask_each<T: Send + 'static>(
        &self,
        chunks: &[ChunkId],
        ask: fn(&Store, &ChunkId) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut answers = Vec::with_capacity(chunks.len());
        for piece in chunks.chunks(CHUNKS_AT_ONCE) {
            let (store, piece) = (Arc::clone(&self.store), piece.to_vec());
            let ask_piece = move || piece.iter().map(|chunk| ask(&store, chunk)).collect();
            let piece: Vec<T> = self.lane.ask_soon(ask_piece).await?;
            answers.extend(piece);
        }
        Ok(answers)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }

    /// Says in the log when it began to hang, and when that was over.
    pub(crate) fn log_hang(&self) {
        let hangs = self.pulse.hangs();
        let hung = std::mem::replace(&mut self.known().hung, hangs);
        let disk = self.store.options.disk_as_said();
        match (hung, hangs) {
            (false, true) => tracing::error!(
                disk,
                "the disk does not answer: it gets no chunks, and what it has does not count, until it does"
            ),
            (true, false) => tracing::info!(disk, "the disk answers again"),
            _ => {}
        }
    }
}
