//! The loop that runs repair: events in, copies out. See [`super`].
//!
//! All that it knows is in one value that one task owns; copies, recordings and trims run as tasks of their own and
//! come back as [`Done`]. **Invariant:** it never waits for a node, and for the store only as long as a page takes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proto::WireError;
use proto::id::ChunkId;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::RepairReport;
use super::copy::{CopyFailure, CopyOrder, MadeCopy};
use super::moves::{Moves, REBALANCE_INTERVAL};
use super::pace::Pace;
use super::plan::{Loads, Need, View};
use super::queue::RepairQueue;
use super::rate_limit::RateLimiter;
use super::surveys::Surveys;
use super::trim::Trims;
use crate::claims::CopyClaim;
use crate::command::NodeNumber;
use crate::control::Control;
use crate::state::ChunkRow;

const QUEUE_LEN: usize = 32 * 1024;
/// Copies at once, however many nodes there are.
const FLIGHTS_MAX: usize = 512;
/// Chunks considered at once, so that one whose nodes are busy does not hold up the others.
const LOOK_AHEAD: usize = 32;
/// After a failure to record.
const RECORD_AGAIN_AFTER: Duration = Duration::from_millis(500);
const SAFE_MODE_POLL: Duration = Duration::from_millis(200);

pub(super) struct Controller {
    pub(super) control: Arc<Control>,
    inbox: mpsc::Receiver<Vec<ChunkId>>,
    pub(super) queue: RepairQueue,
    pub(super) loads: Loads,
    limiter: RateLimiter,
    pace: Pace,
    pub(super) flights: HashMap<u64, Flight>,
    next_flight: u64,
    /// Nodes that failed to take a chunk: others are tried before them.
    avoided: HashMap<ChunkId, Vec<NodeNumber>>,
    running: JoinSet<Done>,
    unrecorded: Vec<MadeCopy>,
    recording: bool,
    pub(super) surveys: Surveys,
    pub(super) trims: Trims,
    rate_until: Option<Instant>,
    pub(super) moves: Moves,
}

/// A copy that is being made.
pub(super) struct Flight {
    pub(super) order: CopyOrder,
    present: usize,
    missing: usize,
    /// Whether it stands in the queue, and not among the moves.
    is_repair: bool,
    claim: CopyClaim,
    abort: AbortHandle,
}

enum Done {
    Copied(u64, Result<(), CopyFailure>),
    Recorded(Vec<MadeCopy>, Result<(), WireError>),
    Trimmed(u64),
}

/// Whether a chunk's copy could begin.
#[derive(PartialEq, Eq)]
pub(super) enum Begun {
    /// It has, or there is nothing to do.
    Settled,
    /// Its nodes are busy.
    Busy,
}

impl Controller {
    pub(super) fn new(control: Arc<Control>, inbox: mpsc::Receiver<Vec<ChunkId>>) -> Self {
        let now = Instant::now();
        Self {
            inbox,
            queue: RepairQueue::new(QUEUE_LEN),
            loads: Loads::new(control.config.repairs_per_node),
            limiter: RateLimiter::new(control.config.repair_rate, now),
            pace: Pace::new(now),
            flights: HashMap::new(),
            next_flight: 0,
            avoided: HashMap::new(),
            running: JoinSet::new(),
            unrecorded: Vec::new(),
            recording: false,
            surveys: Surveys::default(),
            trims: Trims::new(now),
            rate_until: None,
            moves: Moves::new(now),
            control,
        }
    }

    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            self.begin_what_can().await;
            self.publish();
            let wake = self.wake_at();
            let surveys = self.surveys.current.is_some();
            let survey_first = self.surveys.take_turn();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = std::future::ready(()), if surveys && survey_first => {
                    self.read_survey_page().await;
                }
                Some(done) = self.running.join_next(), if !self.running.is_empty() => {
                    // A copy that was aborted has been taken off the books already.
                    if let Ok(done) = done {
                        self.finish(done);
                    }
                }
                Some(chunks) = self.inbox.recv() => self.look_at(chunks).await,
                () = self.control.repair.survey.notified() => self.nodes_changed(),
                () = std::future::ready(()), if surveys => self.read_survey_page().await,
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    pub(super) fn view(&self) -> View {
        let wanted = self.control.config.rules.replication_factor;
        View::new(&self.control.membership(), wanted)
    }

    // What can begin.

    async fn begin_what_can(&mut self) {
        let now = Instant::now();
        if self.survey_due().is_some_and(|due| due <= now) {
            self.surveys.begin(&self.view(), now);
        }
        self.record();
        self.rate_until = None;
        self.queue.wake(now);
        if self.control.safe_mode().repair_waits(now) {
            return;
        }
        self.begin_copies().await;
        self.begin_trim(now);
        self.rebalance(now).await;
    }

    fn survey_due(&self) -> Option<Instant> {
        let has_forgotten = self.queue.is_empty() && self.queue.overflowed();
        self.surveys.due(has_forgotten)
    }

    async fn begin_copies(&mut self) {
        let view = self.view();
        while self.flights.len() < FLIGHTS_MAX && self.rate_until.is_none() {
            let now = Instant::now();
            if !view
                .candidates
                .iter()
                .any(|c| self.loads.can_take(c.node, now))
            {
                return;
            }
            let chunks: Vec<_> = std::iter::from_fn(|| self.queue.pop(now))
                .take(LOOK_AHEAD)
                .collect();
            if chunks.is_empty() {
                if self.queue.take_overflowed() {
                    self.surveys.again = true;
                }
                return;
            }
            let ids = chunks.clone();
            let rows = self
                .control
                .read(move |snapshot| snapshot.chunks(&ids))
                .await;
            let Ok(rows) = rows else {
                for chunk in chunks {
                    self.queue.delay(chunk, now);
                }
                return;
            };
            let mut busy = Vec::new();
            for (chunk, row) in chunks.into_iter().zip(rows) {
                if self.begin_repair(&view, chunk, row, now) == Begun::Busy {
                    busy.push(chunk);
                }
            }
            for chunk in busy.iter().rev() {
                self.queue.put_back(*chunk);
            }
            if !busy.is_empty() {
                return;
            }
        }
    }

    fn begin_repair(
        &mut self,
        view: &View,
        chunk: ChunkId,
        row: Option<ChunkRow>,
        now: Instant,
    ) -> Begun {
        let row = row.filter(|row| row.references > 0);
        let need = row.as_ref().map(|row| view.need(row));
        let (Some(row), Some(Need::Copy(missing))) = (row, need) else {
            self.forget(&chunk);
            return Begun::Settled;
        };
        let avoided = self.avoided.get(&chunk).map_or(&[][..], Vec::as_slice);
        let avoided = [avoided, &row.failing].concat();
        let mut chance = self.control.chance();
        let mut target = view.target(&row.replicas, &avoided, &self.loads, now, &mut *chance);
        if target.is_none() {
            let failing = &row.failing;
            target = view.target(&row.replicas, failing, &self.loads, now, &mut *chance);
        }
        drop(chance);
        match target {
            Some(target) => self.begin_copy(view, chunk, &row, target, Some(missing), now),
            None => Begun::Busy,
        }
    }

    /// Begins a copy if a source has time for it; `missing` is nothing for a move.
    pub(super) fn begin_copy(
        &mut self,
        view: &View,
        chunk: ChunkId,
        row: &ChunkRow,
        target: NodeNumber,
        missing: Option<usize>,
        now: Instant,
    ) -> Begun {
        let present = view.present(&row.replicas);
        let Some(sources) = view.sources(row, &self.loads) else {
            return Begun::Busy;
        };
        if let Err(wait) = self.limiter.take(u64::from(row.len), now) {
            self.rate_until = Some(now + wait);
            return Begun::Busy;
        }
        let Some(claim) = self.control.claims.claim(target, chunk) else {
            self.queue.delay(chunk, now);
            return Begun::Settled;
        };
        self.loads.begin(sources[0], target);
        let order = CopyOrder {
            chunk,
            len: row.len,
            sources,
            target,
        };
        let id = self.next_flight;
        self.next_flight += 1;
        let (control, copied) = (self.control.clone(), order.clone());
        let abort = self
            .running
            .spawn(async move { Done::Copied(id, control.make_copy(&copied).await) });
        let flight = Flight {
            order,
            present: present.len(),
            missing: missing.unwrap_or(0),
            is_repair: missing.is_some(),
            claim,
            abort,
        };
        self.flights.insert(id, flight);
        Begun::Settled
    }

    fn begin_trim(&mut self, now: Instant) {
        if !self.trims.may_begin(now) {
            return;
        }
        if self.control.deletions_wait() {
            self.trims.rest(now);
            return;
        }
        let chunks = self.trims.take_batch();
        let control = self.control.clone();
        self.running
            .spawn(async move { Done::Trimmed(control.trim(chunks).await) });
    }

    /// Records what was made: all that has gathered while the last recording ran.
    fn record(&mut self) {
        if self.recording || self.unrecorded.is_empty() {
            return;
        }
        self.recording = true;
        let copies = std::mem::take(&mut self.unrecorded);
        let control = self.control.clone();
        self.running.spawn(async move {
            let (copies, result) = control.record_copies(copies).await;
            if result.is_err() {
                tokio::time::sleep(RECORD_AGAIN_AFTER).await;
            }
            Done::Recorded(copies, result)
        });
    }

    // What is done.

    fn finish(&mut self, done: Done) {
        match done {
            Done::Copied(id, result) => self.land(id, result),
            Done::Recorded(copies, Ok(())) => {
                self.recording = false;
                self.surveys.changed = true;
                for copy in copies {
                    self.forget(&copy.chunk);
                    if copy.missing > 1 {
                        self.queue.push(copy.chunk, copy.present + 1);
                    } else if copy.missing == 0 {
                        self.trims.add(copy.chunk);
                    }
                }
            }
            Done::Recorded(copies, Err(error)) => {
                warn!(%error, "cannot record new copies; it is tried again");
                self.recording = false;
                self.unrecorded.extend(copies);
            }
            Done::Trimmed(count) => {
                self.trims.ended(count, Instant::now());
                if count > 0 {
                    self.surveys.changed = true;
                    self.control.deletions.notify_one();
                }
            }
        }
    }

    /// A copy came to its end, or is given up.
    pub(super) fn land(&mut self, id: u64, result: Result<(), CopyFailure>) {
        let Some(flight) = self.flights.remove(&id) else {
            return;
        };
        flight.abort.abort();
        let now = Instant::now();
        let CopyOrder {
            chunk,
            len,
            sources,
            target,
        } = flight.order;
        let target_failed = result == Err(CopyFailure::Target);
        self.loads.end(sources[0], target, target_failed, now);
        if result.is_ok() {
            self.pace.add(u64::from(len), now);
            self.unrecorded.push(MadeCopy {
                chunk,
                len,
                node: target,
                present: flight.present,
                missing: flight.missing,
                _claim: flight.claim,
            });
            return;
        }
        if result == Err(CopyFailure::Sources) {
            for source in sources {
                self.control.checks.push(source, chunk);
            }
        }
        if flight.is_repair {
            let avoided = self.avoided.entry(chunk).or_default();
            if !avoided.contains(&target) {
                avoided.push(target);
            }
            self.queue.delay(chunk, now);
        }
    }

    fn forget(&mut self, chunk: &ChunkId) {
        self.queue.finish(chunk);
        self.avoided.remove(chunk);
    }

    // What others see, and when to look again.

    fn publish(&self) {
        let mut report = self.control.repair.report.lock();
        *report = RepairReport {
            tally: report.tally,
            running: u32::try_from(self.flights.len()).unwrap_or(u32::MAX),
            bytes_per_second: self.pace.bytes_per_second(Instant::now()),
        };
    }

    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let survey_due = self.survey_due();
        if self.control.safe_mode().repair_waits(now) {
            let poll = now + SAFE_MODE_POLL;
            return survey_due.map_or(poll, |due| due.min(poll));
        }
        let has_waiting = self.queue.waiting() > 0 || !self.moves.is_empty();
        [
            Some(now + REBALANCE_INTERVAL),
            survey_due,
            self.queue.next_retry(),
            self.loads.next_rested(now).filter(|_| has_waiting),
            self.rate_until,
            self.trims.next_try(),
        ]
        .into_iter()
        .flatten()
        .min()
        .expect("the first is always there")
    }
}
