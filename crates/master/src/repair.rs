//! Repair: brings every chunk to the number of copies that it should have, and to no more.
//!
//! Always on. Work is found by events (a node died or came back, a file was committed with copies missing, a copy was
//! found to be bad) and by surveys now and then; it waits in a bounded queue, fewest copies first, and is done by
//! asking nodes to fetch chunks from each other, a few at once on each. What fails is tried again later, elsewhere.
//! Nothing is ever made read-only by it.
//!
//! **Invariant:** a copy counts only after its node has verified and stored it and the store has recorded that.
//! **Invariant:** nothing is removed here. Surplus is planned for deletion (`trim.rs`) only after enough other copies
//! were confirmed by the nodes that hold them; moves between nodes are a copy first, and then surplus.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::id::ChunkId;
use threads::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::command::NodeNumber;
use crate::control::Control;
use survey::Tally;

mod controller;
mod copy;
mod flights;
pub mod loads;
pub mod plan;
pub mod queue;
#[cfg(test)]
#[cfg(feature = "races")]
mod races;
pub mod rate_limit;
pub mod rebalance;
pub mod survey;
mod survey_schedule;
mod throughput;
mod trim;

/// Notices that were given and not looked at yet.
const NOTICES_MAX: usize = 1024;

/// What others tell repair.
#[derive(Debug)]
enum Notice {
    /// The copies of these chunks are other than they were.
    Changed(Vec<ChunkId>),
    /// A node has corrupt copies of these, which are not on record any more.
    Corrupt(NodeNumber, Vec<ChunkId>),
}

/// How others reach repair, and what they may know of it.
#[derive(Debug)]
pub struct Repair {
    notices: mpsc::Sender<Notice>,
    inbox: Mutex<Option<mpsc::Receiver<Notice>>>,
    survey: Notify,
    returned: Mutex<BTreeSet<NodeNumber>>,
    report: Mutex<RepairReport>,
}

/// How repair does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// What the latest survey found; nothing before the first one.
    pub tally: Option<Tally>,
    /// The dead nodes whose chunks that survey looked at.
    pub dead: BTreeSet<NodeNumber>,
    /// Chunks being copied.
    pub running: u32,
    /// Copied in the last ten seconds or so.
    pub bytes_per_second: u64,
}

impl Repair {
    pub(crate) fn new() -> Self {
        let (notices, inbox) = mpsc::channel(NOTICES_MAX);
        Self {
            notices,
            inbox: Mutex::new(Some(inbox)),
            survey: Notify::new(),
            returned: Mutex::default(),
            report: Mutex::default(),
        }
    }

    /// Without its inbox the loop panics.
    #[cfg(test)]
    pub(crate) fn close(&self) {
        self.inbox.lock().take();
    }

    /// Has these chunks looked at soon: their copies are other than they were. Never waits.
    pub fn look_at(&self, chunks: Vec<ChunkId>) {
        if !chunks.is_empty() && self.notices.try_send(Notice::Changed(chunks)).is_err() {
            self.survey.notify_one();
        }
    }

    /// Has corrupt copies taken away as soon as nobody needs them: they are not on record any more. Never waits; what
    /// does not fit is reported again by the node.
    pub(crate) fn remove_corrupt(&self, node: NodeNumber, chunks: Vec<ChunkId>) {
        self.notices.try_send(Notice::Corrupt(node, chunks)).ok();
    }

    /// Has everything looked at soon: nodes are other than they were.
    pub fn survey(&self) {
        self.survey.notify_one();
    }

    /// A node is here again: what went wrong with it before does not count.
    pub(crate) fn node_returned(&self, node: NodeNumber) {
        self.returned.lock().insert(node);
        self.survey();
    }

    /// How it does.
    pub fn report(&self) -> RepairReport {
        self.report.lock().clone()
    }
}

/// Repairs until `shutdown`.
pub(crate) async fn run(control: Arc<Control>, shutdown: CancellationToken) {
    let inbox = control.repair.inbox.lock().take();
    let inbox = inbox.expect("repair runs once");
    controller::Controller::new(control, inbox)
        .run(shutdown)
        .await;
}
