//! Which of the files that came in forms are still wanted: whoever sends a file may give it an id, and cancel it by that.
//!
//! A ticket is of one file, and goes one way: wanted, then withdrawn or being committed, then ended. The step is taken under a
//! lock, right before the file gets its name.
//!
//! **Invariant:** of a file that was withdrawn nothing is stored here, also if it comes only afterwards, within [`UNSEEN_FOR`]; and of one
//! that is being committed nobody says how it ended before it has. What an earlier process was told is not known here, nor what another is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proto::id::VersionId;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::{Kind, Problem};

/// How many of those that ended are known.
const ENDED_MAX: usize = 8192;
/// How many that were cancelled and never came are known, and for how long: what is on its way has come by then, or broke off.
const UNSEEN_MAX: usize = 65536;
const UNSEEN_FOR: Duration = Duration::from_secs(600);
/// How long one waits for the end of a commit: longer, and a proxy might not wait any more.
const COMMIT_WAIT_MAX: Duration = Duration::from_secs(10);

/// All tickets that are known by an id.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    tickets: HashMap<Uuid, Arc<Ticket>>,
    /// The oldest first.
    ended: VecDeque<Uuid>,
    /// Cancelled before they came, the oldest first.
    unseen: VecDeque<(Instant, Uuid)>,
}

/// Whether one file is wanted.
#[derive(Debug)]
pub(crate) struct Ticket {
    has_come: bool,
    standing: watch::Sender<Standing>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Wanted,
    Withdrawn,
    Committing,
    Ended(Fate),
}

/// What became of a file that somebody asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum Fate {
    /// It is not stored, and will not be.
    NotStored,
    /// It was stored before.
    Stored {
        version: VersionId,
        copies: u8,
        copies_wanted: u8,
    },
    /// It is getting its name at this moment.
    Committing,
    /// It never came here, where it is refused for a while, or the cluster did not answer to its commit.
    Unsure,
}

/// A file that is being stored. Dropped before its end, it is one of which nobody knows.
#[derive(Debug)]
pub(crate) struct Claim {
    tickets: Arc<Tickets>,
    id: Option<Uuid>,
    ticket: Arc<Ticket>,
}

impl Tickets {
    /// A file has come, of this id if it has one.
    pub(crate) fn claim(self: &Arc<Self>, id: Option<Uuid>) -> Result<Claim, Problem> {
        let ticket = Ticket::new(true, Standing::Wanted);
        if let Some(id) = id {
            self.known.lock().enter(id, &ticket)?;
        }
        Ok(Claim {
            tickets: Arc::clone(self),
            id,
            ticket,
        })
    }

    /// The file of this id is not wanted any more. Says what became of it, once that is decided.
    pub(crate) async fn cancel(&self, id: Uuid) -> Result<Fate, Problem> {
        let ticket = self.known.lock().find(id)?;
        ticket.withdraw();
        let decided = tokio::time::timeout(COMMIT_WAIT_MAX, ticket.fate()).await;
        Ok(decided.unwrap_or(Fate::Committing))
    }
}

impl Known {
    fn enter(&mut self, id: Uuid, ticket: &Arc<Ticket>) -> Result<(), Problem> {
        match self.tickets.get(&id) {
            Some(before) if before.has_come => {
                let detail = format!("the id {id} is that of another file: give each its own");
                Err(Problem::new(Kind::InvalidArgument, detail))
            }
            Some(_) => Err(cancelled()),
            None => {
                self.tickets.insert(id, Arc::clone(ticket));
                Ok(())
            }
        }
    }

    /// The ticket of this id; of one that has not come, one with which it is refused.
    fn find(&mut self, id: Uuid) -> Result<Arc<Ticket>, Problem> {
        if let Some(ticket) = self.tickets.get(&id) {
            return Ok(Arc::clone(ticket));
        }
        let now = Instant::now();
        while let Some((since, oldest)) = self.unseen.front()
            && *since + UNSEEN_FOR < now
        {
            self.tickets.remove(oldest);
            self.unseen.pop_front();
        }
        if self.unseen.len() >= UNSEEN_MAX {
            let detail = "too many files were cancelled that never came: try again later";
            return Err(Problem::new(Kind::Busy, detail));
        }
        let ticket = Ticket::new(false, Standing::Withdrawn);
        self.unseen.push_back((now, id));
        self.tickets.insert(id, Arc::clone(&ticket));
        Ok(ticket)
    }

    fn end(&mut self, id: Uuid) {
        self.ended.push_back(id);
        if self.ended.len() > ENDED_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            self.tickets.remove(&oldest);
        }
    }
}

impl Ticket {
    fn new(has_come: bool, standing: Standing) -> Arc<Self> {
        Arc::new(Self {
            has_come,
            standing: watch::Sender::new(standing),
        })
    }

    /// It is not wanted any more; too late if it is being committed.
    pub(crate) fn withdraw(&self) {
        self.step(Standing::Withdrawn);
    }

    /// Is over when it is not wanted any more.
    pub(crate) async fn withdrawn(&self) {
        let mut standing = self.standing.subscribe();
        let withdrawn = standing.wait_for(|standing| *standing == Standing::Withdrawn);
        withdrawn.await.expect("the sender is here");
    }

    /// From now on it can not be withdrawn; says whether it was not.
    pub(crate) fn begin_commit(&self) -> bool {
        self.step(Standing::Committing)
    }

    /// Whether it got so far, and has not ended.
    pub(crate) fn is_being_committed(&self) -> bool {
        *self.standing.borrow() == Standing::Committing
    }

    fn step(&self, next: Standing) -> bool {
        self.standing.send_if_modified(|standing| {
            let is_wanted = *standing == Standing::Wanted;
            if is_wanted {
                *standing = next;
            }
            is_wanted
        })
    }

    fn end(&self, fate: Fate) {
        self.standing.send_if_modified(|standing| {
            let is_open = matches!(standing, Standing::Wanted | Standing::Committing);
            if is_open {
                *standing = Standing::Ended(fate);
            }
            is_open
        });
    }

    async fn fate(&self) -> Fate {
        let mut standing = self.standing.subscribe();
        let decided = |standing: &Standing| match standing {
            Standing::Wanted | Standing::Committing => false,
            Standing::Withdrawn | Standing::Ended(_) => true,
        };
        let standing = *standing
            .wait_for(decided)
            .await
            .expect("the sender is here");
        match standing {
            Standing::Ended(fate) => fate,
            _ if self.has_come => Fate::NotStored,
            _ => Fate::Unsure,
        }
    }
}

impl Claim {
    /// What others may hold, to withdraw the file.
    pub(crate) fn ticket(&self) -> Arc<Ticket> {
        Arc::clone(&self.ticket)
    }

    /// This became of it.
    pub(crate) fn end(self, fate: Fate) {
        self.ticket.end(fate);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.ticket.end(Fate::Unsure);
        if let Some(id) = self.id {
            self.tickets.known.lock().end(id);
        }
    }
}

/// What a file is refused with that is not wanted any more.
pub(crate) fn cancelled() -> Problem {
    let detail = "the file was cancelled before it was stored: nothing of it is stored";
    Problem::new(Kind::Cancelled, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_one_that_was_dropped_before_its_end_nobody_knows() {
        let (tickets, id) = (Arc::new(Tickets::default()), Uuid::new_v4());
        drop(tickets.claim(Some(id)).unwrap());
        assert_eq!(tickets.cancel(id).await.unwrap(), Fate::Unsure);
    }

    #[tokio::test]
    async fn only_the_last_of_those_that_ended_are_known() {
        let (tickets, first) = (Arc::new(Tickets::default()), Uuid::new_v4());
        let end = |id| tickets.claim(Some(id)).unwrap().end(Fate::NotStored);
        end(first);
        (1..ENDED_MAX).for_each(|_| end(Uuid::new_v4()));
        assert_eq!(tickets.cancel(first).await.unwrap(), Fate::NotStored);
        end(Uuid::new_v4());
        assert_eq!(tickets.known.lock().tickets.len(), ENDED_MAX);
        assert_eq!(tickets.cancel(first).await.unwrap(), Fate::Unsure);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_known_that_never_came() {
        let (tickets, came) = (Arc::new(Tickets::default()), Uuid::new_v4());
        let claim = tickets.claim(Some(came)).unwrap();
        for _ in 0..UNSEEN_MAX {
            tickets.cancel(Uuid::new_v4()).await.unwrap();
        }
        let refused = tickets.cancel(Uuid::new_v4()).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Busy);
        // One that came needs no more room.
        assert_eq!(tickets.cancel(came).await.unwrap(), Fate::NotStored);
        drop(claim);
        tokio::time::advance(UNSEEN_FOR + Duration::from_secs(1)).await;
        let later = tickets.cancel(Uuid::new_v4()).await.unwrap();
        assert_eq!(later, Fate::Unsure);
    }
}
