//! One transaction: what it is refused for, what it applies and answers, and what becomes of it when the disk or a row
//! fails.
//!
//! **Invariant:** a change is not answered as done before it is durable. A promise is answered once, when it is applied; if
//! its transaction then meets a damaged row, the promise is applied again to the same state, and so with the same outcome.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use planted::{Bug, Point, is_planted, reach};
use proto::{ErrorCode, WireError};

use super::clock::ClusterClock;
use super::reserve::{RESERVE_BYTES, Reserve};
use super::{Answer, Job, Shared};
use crate::command::{ClusterMillis, Command, TimedCommand};
use crate::state::{Applied, Outcome, State, StateError};
use crate::witness::Witness;

/// What one transaction needs; goes to where blocking work runs.
#[derive(Clone)]
pub(super) struct Batcher {
    pub(super) state: Arc<State>,
    pub(super) clock: ClusterClock,
    pub(super) witness: Witness,
    pub(super) shared: Arc<Shared>,
    pub(super) reserve: Reserve,
    pub(super) wall_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Batcher {
    /// Applies promises and answers each at once, applies changes, makes all of it durable, answers: in this order.
    pub(super) fn commit(
        &self,
        promises: Vec<Job>,
        changes: Vec<Job>,
        durable: bool,
    ) -> Result<(), StateError> {
        let free = self.reserve.free_for_commit();
        let promises = refuse_growth(self.refuse_fenced(promises), free);
        let changes = refuse_growth(self.refuse_fenced(changes), free);
        if promises.is_empty() && changes.is_empty() {
            return Ok(());
        }
        let (at, wall_ms) = (self.clock.now(), (self.wall_ms)());
        let (mut commands, mut at_once) = at_time(at, wall_ms, promises);
        let (changes, answers) = at_time(at, wall_ms, changes);
        commands.extend(changes);
        reach(Point::CommandsTaken);
        // Promises come first, and so do their outcomes.
        let result = self.apply(&commands, durable, |outcome| {
            if let Some(answer) = at_once.pop_front() {
                reply(answer, outcome.clone());
            }
        });
        let answers = at_once.into_iter().chain(answers).collect::<Vec<_>>();
        let result = match result {
            Err(StateError::Damaged(_)) => self.apply_each(&commands, durable),
            result => result,
        };
        match result {
            Ok(applied) => {
                if durable {
                    reach(Point::CommandsDurable);
                    self.witness.note(applied.commands);
                    reach(Point::CommandsWitnessed);
                    let position = &self.shared.position;
                    position.store(applied.commands, Ordering::Relaxed);
                }
                self.shared.counted.note(&applied.outcomes);
                let answered = applied.outcomes.len() - answers.len();
                let not_yet = applied.outcomes.into_iter().skip(answered);
                for (answer, outcome) in answers.into_iter().zip(not_yet) {
                    reply(answer, outcome);
                }
                Ok(())
            }
            Err(failure) => {
                let reopened = self.recover(answers, &failure);
                if commands.iter().any(|timed| counts_receipts(&timed.command)) {
                    self.shared.counted.note_others();
                }
                reopened
            }
        }
    }

    fn apply(
        &self,
        commands: &[TimedCommand],
        durable: bool,
        note: impl FnMut(&Result<Outcome, WireError>),
    ) -> Result<Applied, StateError> {
        let durable = durable && !is_planted(Bug::MasterAnswersUnsynced);
        self.state.write()?.run_each(commands, durable, note)
    }

    /// One of the commands met a damaged row: each is applied by itself, so that only that one is refused. A last
    /// transaction makes all the others durable.
    fn apply_each(&self, commands: &[TimedCommand], durable: bool) -> Result<Applied, StateError> {
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in commands {
            match self.apply(std::slice::from_ref(command), false, |_| {}) {
                Ok(applied) => outcomes.extend(applied.outcomes),
                Err(StateError::Damaged(what)) => outcomes.push(Err(self.note_damage(what))),
                Err(failure) => return Err(failure),
            }
        }
        let last = self.apply(&[], durable, |_| {})?;
        Ok(Applied { outcomes, ..last })
    }

    /// Keeps what was found first, for the status.
    fn note_damage(&self, what: String) -> WireError {
        let damage = StateError::Damaged(what.clone()).to_string();
        tracing::error!("a command is refused, and changed nothing: {damage}");
        drop(self.shared.damage.set(what));
        WireError::new(ErrorCode::Internal, damage)
    }

    /// Refuses all that was not answered, and opens the store again.
    fn recover(&self, answers: Vec<Answer>, failure: &StateError) -> Result<(), StateError> {
        tracing::error!(%failure, "a transaction failed; its commands are refused and the store is reopened");
        let reopened = self
            .state
            .reopen()
            .and_then(|()| self.witness.check(self.state.read()?.applied()?));
        for answer in answers {
            let message = format!(
                "the master could not write: {failure}; whether it was done is not known: repeat the \
                 request with the same id"
            );
            reply(answer, Err(WireError::new(ErrorCode::Unavailable, message)));
        }
        reopened
    }

    /// Refuses what was in the queue already when this master was superseded.
    fn refuse_fenced(&self, jobs: Vec<Job>) -> Vec<Job> {
        let Err(refusal) = self.shared.check_fence() else {
            return jobs;
        };
        for job in jobs {
            reply(job.answer, Err(refusal.clone()));
        }
        Vec::new()
    }
}

/// Commands with their time, and whom to answer.
fn at_time(
    at: ClusterMillis,
    wall_ms: u64,
    jobs: Vec<Job>,
) -> (Vec<TimedCommand>, VecDeque<Answer>) {
    let timed = |command| TimedCommand {
        at,
        wall_ms,
        command,
    };
    let taken = jobs.into_iter().map(|job| (timed(job.command), job.answer));
    taken.unzip()
}

/// Where the disk has too few bytes free, refuses what makes the store grow, and gives back the rest.
fn refuse_growth(jobs: Vec<Job>, free: u64) -> Vec<Job> {
    if free >= RESERVE_BYTES {
        return jobs;
    }
    let (growing, rest): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| grows(&job.command));
    for job in growing {
        let message = format!(
            "the master's disk has {} MiB left, and takes nothing new below {}: free some space \
             there; deleting files works",
            free >> 20,
            RESERVE_BYTES >> 20
        );
        reply(job.answer, Err(WireError::new(ErrorCode::NoSpace, message)));
    }
    rest
}

fn reply(answer: Answer, outcome: Result<Outcome, WireError>) {
    // Whoever asked may have given up; what was done stays done.
    drop(answer.send(outcome));
}

/// Whether copies may be taken for stored because of receipts that come with a command.
fn counts_receipts(command: &Command) -> bool {
    matches!(
        command,
        Command::RecordChunks { .. } | Command::CommitUpload { .. }
    )
}

/// Whether a command takes room for something new.
fn grows(command: &Command) -> bool {
    matches!(
        command,
        Command::AllocateChunks { .. }
            | Command::KeepUpload { .. }
            | Command::RecordChunks { .. }
            | Command::CommitUpload { .. }
            | Command::CreateFolder { .. }
            | Command::CreateShare { .. }
    )
}
