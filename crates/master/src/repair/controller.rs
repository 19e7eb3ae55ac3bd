//! The loop that runs repair: events in, copies out. See [`super`].
//!
//! All that it knows is in one value that one task owns; copies, recordings and trims run as tasks of their own and
//! come back. **Invariant:** it never waits for a node, and for the store only as long as a page takes.

use std::sync::Arc;
use std::time::Duration;

use proto::id::ChunkId;
use proto::master::NodeState;
use proto::{ErrorCode, WireError};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Notice;
use super::copy::MadeCopy;
use super::flights::{Begun, Flights, Landed};
use super::loads::Part;
use super::plan::{Need, View};
use super::queue::RepairQueue;
use super::rebalance::{REBALANCE_INTERVAL, Rebalance};
use super::survey::{Found, Page};
use super::survey_schedule::SurveySchedule;
use super::trim::{Trimmed, Trims};
use crate::control::Control;
use crate::handlers::ClusterView;
use crate::state::ChunkRow;

const QUEUE_LEN: usize = 32 * 1024;
/// Chunks whose rows are read at once.
const BATCH: usize = 32;
/// Batches that are looked at before other events get their turn.
const BATCHES_MAX: usize = 32;
const SURVEY_PAGE: usize = 512;
/// Chunks that wait for nodes' time are many then: whichever node has time, there is one for it.
const STOCK: usize = 1024;
/// After chunks had their turn in vain.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// After a failure to record.
const RECORD_AGAIN_AFTER: Duration = Duration::from_millis(500);
const SAFE_MODE_POLL: Duration = Duration::from_millis(200);

pub(super) struct Controller {
    pub(super) control: Arc<Control>,
    inbox: mpsc::Receiver<Notice>,
    pub(super) queue: RepairQueue,
    pub(super) flights: Flights,
    surveys: SurveySchedule,
    trims: Trims,
    pub(super) rebalance: Rebalance,
    unrecorded: Vec<MadeCopy>,
    is_recording: bool,
    running: JoinSet<Done>,
    /// When there may be chunks to begin without another event.
    look_again: Option<Instant>,
    /// When chunks may be looked at again though many wait.
    next_look: Instant,
}

/// What ran beside.
enum Done {
    Recorded(Vec<MadeCopy>, Result<(), WireError>),
    Trimmed(Trimmed),
}

impl Controller {
    pub(super) fn new(control: Arc<Control>, inbox: mpsc::Receiver<Notice>) -> Self {
        let now = Instant::now();
        Self {
            inbox,
            queue: RepairQueue::new(QUEUE_LEN),
            flights: Flights::new(control.clone(), now),
            surveys: SurveySchedule::default(),
            trims: Trims::new(now),
            rebalance: Rebalance::new(now),
            unrecorded: Vec::new(),
            is_recording: false,
            running: JoinSet::new(),
            look_again: None,
            next_look: now,
            control,
        }
    }

    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            self.begin_what_can().await;
            self.publish();
            let wake = self.wake_at();
            let surveys = self.surveys.page(self.has_room()).is_some();
            let survey_first = self.surveys.take_turn();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = std::future::ready(()), if surveys && survey_first => {
                    self.read_survey_page().await;
                }
                landed = self.flights.next_landed() => self.take_landed(landed, Instant::now()),
                Some(done) = self.running.join_next() => self.finish(done),
                Some(notice) = self.inbox.recv() => self.take_notice(notice).await,
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
        if self.survey_due(now).is_some_and(|due| due <= now) {
            self.queue.forgive_overflow();
            self.surveys.begin(&self.view(), now);
        }
        self.record();
        self.look_again = None;
        self.queue.wake(now);
        if self.control.safe_mode().repair_waits(now) {
            return;
        }
        self.begin_copies().await;
        self.begin_trim(now);
        self.begin_moves(now).await;
    }

    fn survey_due(&self, now: Instant) -> Option<Instant> {
        self.surveys.due(self.queue.overflowed(), now)
    }

    async fn begin_copies(&mut self) {
        let view = self.view();
        let (now, loads) = (Instant::now(), &self.flights.loads);
        let mut brought = self.queue.bring_back(|part| loads.room(part, now));
        if self.queue.has_waiting() {
            // Should they wait for others again, nobody may tell that these have time.
            self.look_again = Some(now + LOOK_AGAIN_AFTER);
        }
        for _ in 0..BATCHES_MAX {
            let now = Instant::now();
            // No more than can begin: each is a seek of the store, and what is set aside may be forgotten.
            let mut count = self.flights.room(&view, now).min(BATCH);
            let are_new = brought == 0;
            if are_new && !self.may_look_further(&view, now) {
                return;
            }
            if !are_new {
                count = count.min(brought);
                brought -= count;
            }
            let next = || self.queue.pop(now);
            let chunks: Vec<_> = std::iter::from_fn(next).take(count).collect();
            if chunks.is_empty() {
                return;
            }
            let ids = chunks.clone();
            let rows = self.control.read(move |snapshot| snapshot.chunks(&ids));
            let Ok(rows) = rows.await else {
                for chunk in chunks {
                    self.queue.delay(chunk, now);
                }
                return;
            };
            let before = self.flights.len();
            for (chunk, row) in chunks.into_iter().zip(rows) {
                self.begin_repair(&view, chunk, row, now);
            }
            if are_new && self.flights.len() == before {
                self.next_look = now + LOOK_AGAIN_AFTER;
            }
        }
        self.look_again = Some(Instant::now());
    }

    /// Whether chunks that were not looked at may be for nodes that have time and nothing to do. Those that are not are set aside, of which
    /// there is a bound: so no more are looked at than are needed, and few once many wait and a look was in vain (a new node
    /// has time, and no chunk to give).
    fn may_look_further(&self, view: &View, now: Instant) -> bool {
        let waits_for = |part| self.queue.waits_for(part);
        let may_look = self.queue.aside_len() < STOCK || now >= self.next_look;
        self.flights.is_empty()
            || (may_look && view.has_idle_pair(&self.flights.loads, waits_for, now))
    }

    fn begin_repair(&mut self, view: &View, chunk: ChunkId, row: Option<ChunkRow>, now: Instant) {
        let row = row.filter(|row| row.references > 0);
        let need = row.as_ref().map(|row| view.need(row));
        let (Some(row), Some(Need::Copy(missing))) = (row, need) else {
            self.queue.finish(&chunk);
            self.trims.needs_no_copy(chunk);
            return;
        };
        let loads = &self.flights.loads;
        let avoided = [self.queue.avoided(&chunk), &row.failing].concat();
        let target = {
            let mut chance = self.control.chance();
            let mut among =
                |excluded: &[_]| view.target(&row.replicas, excluded, loads, now, &mut *chance);
            among(&avoided).or_else(|| among(&row.failing))
        };
        let Some(target) = target else {
            let awaited = view.busy_targets(&row, loads, now);
            self.queue.set_aside(chunk, awaited);
            return;
        };
        let begun = self
            .flights
            .begin(view, (chunk, &row), target, missing, now);
        match begun {
            Begun::Yes => {}
            Begun::Busy(awaited) => self.queue.set_aside(chunk, awaited),
            Begun::TooFast => self.queue.put_back(chunk),
            Begun::Claimed => self.queue.delay(chunk, now),
        }
    }

    fn begin_trim(&mut self, now: Instant) {
        if !self.trims.may_begin(now) {
            return;
        }
        if self.control.deletions_wait() {
            self.trims.rest(now);
            return;
        }
        let batch = self.trims.take_batch();
        let control = self.control.clone();
        self.running
            .spawn(async move { Done::Trimmed(control.trim(batch).await) });
    }

    /// Records what was made: all that has gathered while the last recording ran.
    fn record(&mut self) {
        if self.is_recording || self.unrecorded.is_empty() {
            return;
        }
        self.is_recording = true;
        let copies = std::mem::take(&mut self.unrecorded);
        let control = self.control.clone();
        self.running.spawn(async move {
            let (copies, result) = control.record_copies(copies).await;
            if result
                .as_ref()
                .is_err_and(|error| error.code != ErrorCode::StaleEpoch)
            {
                tokio::time::sleep(RECORD_AGAIN_AFTER).await;
            }
            Done::Recorded(copies, result)
        });
    }

    // What is done.

    fn take_landed(&mut self, landed: Landed, now: Instant) {
        match landed {
            Landed::Made(copy) => self.unrecorded.push(copy),
            Landed::Failed {
                chunk,
                avoid,
                is_repair: true,
            } => {
                if let Some(node) = avoid {
                    self.queue.avoid(&chunk, node);
                }
                self.queue.delay(chunk, now);
            }
            Landed::Failed { .. } => {}
        }
    }

    fn finish(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Recorded(copies, Ok(()))) => {
                self.is_recording = false;
                self.surveys.changed = true;
                let stored = |copy: &MadeCopy| (copy.node, copy.chunk, copy.begun_at);
                self.control
                    .look_into_doubtful(copies.iter().map(stored).collect());
                for copy in copies {
                    self.take_recorded(&copy);
                }
            }
            // Superseded: it gives no orders any more, and what it made is another master's to find.
            Ok(Done::Recorded(copies, Err(error))) if error.code == ErrorCode::StaleEpoch => {
                self.is_recording = false;
                for copy in copies {
                    self.queue.finish(&copy.chunk);
                }
            }
            Ok(Done::Recorded(copies, Err(error))) => {
                warn!(%error, "cannot record new copies; it is tried again");
                self.is_recording = false;
                self.unrecorded.extend(copies);
            }
            Ok(Done::Trimmed(trimmed)) => {
                self.trims.ended(&trimmed, Instant::now());
                if trimmed.count > 0 {
                    self.surveys.changed = true;
                    self.control.deletions.notify_one();
                }
            }
            // None of these is ever aborted. Repair must not go on without its record.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn take_recorded(&mut self, copy: &MadeCopy) {
        self.queue.finish(&copy.chunk);
        match copy.missing {
            0 => {
                self.trims.add(copy.chunk);
            }
            1 => self.trims.needs_no_copy(copy.chunk),
            _ => {
                self.queue.push(copy.chunk, copy.present + 1);
            }
        }
    }

    // What is to be done: chunks that are announced, nodes that came or went, and pages of surveys.

    async fn take_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Changed(chunks) => self.look_at(chunks).await,
            Notice::Corrupt(node, chunks) => {
                for chunk in chunks {
                    self.trims.add_corrupt(chunk, node);
                }
            }
        }
    }

    async fn look_at(&mut self, chunks: Vec<ChunkId>) {
        let ids = chunks.clone();
        let rows = self
            .control
            .read(move |snapshot| snapshot.chunks(&ids))
            .await;
        let view = self.view();
        for (chunk, row) in chunks.into_iter().zip(rows.unwrap_or_default()) {
            let Some(row) = row.filter(|row| row.references > 0) else {
                continue;
            };
            match view.need(&row) {
                Need::Copy(_) => {
                    self.enqueue(&view, chunk, &row);
                }
                Need::Trim(_) => {
                    self.trims.add(chunk);
                }
                Need::Nothing | Need::Wait | Need::Unavailable => {}
            }
        }
        self.surveys.changed = true;
    }

    /// Has a chunk wait for its turn, unless enough others wait for the very nodes that have it: a later survey finds it
    /// again. `false` if there was no room for it.
    fn enqueue(&mut self, view: &View, chunk: ChunkId, row: &ChunkRow) -> bool {
        let copies = view.present(&row.replicas);
        let failing = view.present(&row.failing);
        let mut sources = copies.iter().chain(&failing).copied().map(Part::Source);
        sources.all(|source| self.queue.is_full(source)) || self.queue.push(chunk, copies.len())
    }

    /// Whether much of what a survey finds would fit. Surplus waits for ever while nothing may be deleted.
    fn has_room(&self) -> bool {
        self.queue.has_room() && (self.trims.have_room() || self.control.deletions_wait())
    }

    fn nodes_changed(&mut self) {
        for node in std::mem::take(&mut *self.control.repair.returned.lock()) {
            self.flights.loads.forgive(node);
        }
        let (view, now) = (self.view(), Instant::now());
        let is_dead = |node| view.state(node) == NodeState::Dead;
        for landed in self.flights.give_up(is_dead) {
            self.take_landed(landed, now);
        }
        self.queue.bring_all_back();
        self.surveys.nodes_changed(&view, now);
    }

    async fn read_survey_page(&mut self) {
        let Some(page) = self.surveys.page(self.has_room()) else {
            return;
        };
        let read = self.control.read(move |snapshot| {
            Ok(match page {
                Page::Needs(after) => {
                    let rows = snapshot.needs_copies_page(after.as_ref(), SURVEY_PAGE)?;
                    let last = rows.last().filter(|_| rows.len() == SURVEY_PAGE);
                    (last.map(|row| row.0), rows)
                }
                Page::Dead(node, after) => {
                    let ids = snapshot.node_chunks_page(node, after.as_ref(), SURVEY_PAGE)?;
                    let last = ids.last().copied().filter(|_| ids.len() == SURVEY_PAGE);
                    let rows = ids.iter().copied().zip(snapshot.chunks(&ids)?);
                    (
                        last,
                        rows.filter_map(|(id, row)| Some((id, row?))).collect(),
                    )
                }
            })
        });
        match read.await {
            Ok((last, rows)) => self.take_survey_page(&rows, last),
            Err(error) => {
                warn!(%error, "a survey of the chunks was cut off; it begins again");
                self.surveys.cut_off(Instant::now());
            }
        }
    }

    fn take_survey_page(&mut self, rows: &[(ChunkId, ChunkRow)], last: Option<ChunkId>) {
        let view = self.view();
        let Some(survey) = self.surveys.reading() else {
            return;
        };
        let before = survey.clone();
        let Found { copy, trim } = survey.take(&view, rows, last);
        let mut all_fit = true;
        for (chunk, row) in copy {
            all_fit &= self.enqueue(&view, chunk, &row);
        }
        for chunk in trim {
            all_fit &= self.trims.add(chunk) || self.control.deletions_wait();
        }
        self.surveys.note_page(before, all_fit);
        if let Some(survey) = self.surveys.take_whole(Instant::now()) {
            self.trims.look_again();
            let mut report = self.control.repair.report.lock();
            report.tally = Some(survey.tally());
            report.dead = survey.into_dead();
        }
    }

    // What others see, and when to look again.

    fn publish(&self) {
        let mut report = self.control.repair.report.lock();
        report.running = u32::try_from(self.flights.len()).unwrap_or(u32::MAX);
        report.bytes_per_second = self.flights.bytes_per_second(Instant::now());
    }

    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let survey_due = self.survey_due(now);
        if self.control.safe_mode().repair_waits(now) {
            let poll = now + SAFE_MODE_POLL;
            return survey_due.map_or(poll, |due| due.min(poll));
        }
        let has_waiting = self.queue.has_waiting() || !self.rebalance.is_empty();
        [
            Some(now + REBALANCE_INTERVAL),
            survey_due,
            self.look_again,
            self.queue.next_retry(),
            self.flights.next_chance(now).filter(|_| has_waiting),
            self.trims.next_try(),
        ]
        .into_iter()
        .flatten()
        .min()
        .expect("the first is always there")
    }
}
