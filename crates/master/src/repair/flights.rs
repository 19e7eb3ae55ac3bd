//! The copies that are being made: within what each node may do at once, and no faster than the rate.
//!
//! Knows nothing of why a chunk is copied. **Invariant:** a flight is on the books, with its claim and its nodes' slots, from
//! when it begins until it has landed, however its task ends.

use std::collections::HashMap;
use std::sync::Arc;

use proto::id::ChunkId;
use proto::master::NodeState;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Instant;

use super::copy::{CopyFailure, CopyOrder, MadeCopy};
use super::loads::{Loads, Part};
use super::plan::View;
use super::rate_limit::RateLimiter;
use super::throughput::Throughput;
use crate::claims::CopyClaim;
use crate::command::{ClusterMillis, NodeNumber};
use crate::control::Control;
use crate::state::ChunkRow;

/// Copies at once, however many nodes there are.
const FLIGHTS_MAX: usize = 512;

/// All flights.
pub(super) struct Flights {
    control: Arc<Control>,
    pub(super) loads: Loads,
    limiter: RateLimiter,
    /// When the rate allows the next copy.
    rate_until: Option<Instant>,
    throughput: Throughput,
    running: JoinSet<Result<Option<NodeNumber>, CopyFailure>>,
    by_task: HashMap<Id, Flight>,
}

struct Flight {
    order: CopyOrder,
    present: usize,
    missing: usize,
    begun_at: ClusterMillis,
    claim: CopyClaim,
    abort: AbortHandle,
}

/// What became of the wish to begin a copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It has begun.
    Yes,
    /// These are busy.
    Busy(Vec<Part>),
    /// The rate does not allow it yet.
    TooFast,
    /// Somebody else is about to record this copy.
    Claimed,
}

/// A flight that came to its end.
pub(super) enum Landed {
    /// The copy is made, and is to be recorded.
    Made(MadeCopy),
    /// It is not made.
    Failed {
        chunk: ChunkId,
        /// The target, unless it is not its fault.
        avoid: Option<NodeNumber>,
        /// Whether the chunk lacked copies: else it was a move.
        is_repair: bool,
    },
}

impl Flights {
    pub(super) fn new(control: Arc<Control>, now: Instant) -> Self {
        Self {
            loads: Loads::new(control.config.repairs_per_node),
            limiter: RateLimiter::new(control.config.repair_rate, now),
            rate_until: None,
            throughput: Throughput::new(now),
            running: JoinSet::new(),
            by_task: HashMap::new(),
            control,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_task.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_task.is_empty()
    }

    pub(super) fn bytes_per_second(&self, now: Instant) -> u64 {
        self.throughput.bytes_per_second(now)
    }

    /// How many more may begin, as far as the rate and the nodes' time allow.
    pub(super) fn room(&self, view: &View, now: Instant) -> usize {
        if self.rate_until.is_some_and(|until| until > now) {
            return 0;
        }
        let room = |part| self.loads.room(part, now);
        let targets = view.candidates.iter().map(|c| room(Part::Target(c.node)));
        let nodes = view.nodes.keys().copied();
        let sources = nodes.filter(|node| view.state(*node) != NodeState::Dead);
        let giving: usize = sources.map(|node| room(Part::Source(node))).sum();
        let left = FLIGHTS_MAX.saturating_sub(self.by_task.len());
        targets.sum::<usize>().min(giving).min(left)
    }

    /// When a wait ends that nobody else tells of: the rate's, or that of a node that rests.
    pub(super) fn next_chance(&self, now: Instant) -> Option<Instant> {
        let rate = self.rate_until.filter(|until| *until > now);
        rate.into_iter().chain(self.loads.next_rested(now)).min()
    }

    /// Begins a copy if a source has time for it; `missing` copies are lacked, none if it is a move.
    pub(super) fn begin(
        &mut self,
        view: &View,
        (chunk, row): (ChunkId, &ChunkRow),
        target: NodeNumber,
        missing: usize,
        now: Instant,
    ) -> Begun {
        let present = view.present(&row.replicas);
        let sources = match view.sources(row, &self.loads, now) {
            Ok(sources) => sources,
            Err(busy) => return Begun::Busy(busy),
        };
        let Some(claim) = self.control.claims.claim(target, chunk) else {
            return Begun::Claimed;
        };
        if let Err(wait) = self.limiter.take(u64::from(row.len), now) {
            self.rate_until = Some(now + wait);
            return Begun::TooFast;
        }
        self.loads.begin(sources[0], target);
        let order = CopyOrder {
            chunk,
            len: row.len,
            sources,
            target,
        };
        let (control, copied) = (self.control.clone(), order.clone());
        let abort = self
            .running
            .spawn(async move { control.make_copy(&copied).await });
        let flight = Flight {
            order,
            present: present.len(),
            missing,
            begun_at: self.control.committer.now(),
            claim,
            abort,
        };
        self.by_task.insert(flight.abort.id(), flight);
        Begun::Yes
    }

    /// The next one that lands. Waits for ever while none flies; may be dropped at any time.
    pub(super) async fn next_landed(&mut self) -> Landed {
        loop {
            let (id, result) = match self.running.join_next_with_id().await {
                Some(Ok(ended)) => ended,
                Some(Err(error)) => (error.id(), Err(CopyFailure::Target)),
                None => std::future::pending().await,
            };
            // One that was given up is off the books already.
            if let Some(landed) = self.land(id, result) {
                return landed;
            }
        }
    }

    /// Gives up those of which a node is gone.
    pub(super) fn give_up(&mut self, is_gone: impl Fn(NodeNumber) -> bool) -> Vec<Landed> {
        let lost: Vec<_> = self
            .by_task
            .iter()
            .filter(|(_, Flight { order, .. })| is_gone(order.target) || is_gone(order.sources[0]))
            .map(|(id, _)| *id)
            .collect();
        lost.into_iter()
            .filter_map(|id| self.land(id, Err(CopyFailure::Obsolete)))
            .collect()
    }

    fn land(&mut self, id: Id, result: Result<Option<NodeNumber>, CopyFailure>) -> Option<Landed> {
        let flight = self.by_task.remove(&id)?;
        flight.abort.abort();
        let now = Instant::now();
        self.loads.end(flight.order.sources[0], flight.order.target);
        self.note_how_they_did(&flight.order, result, now);
        let is_obsolete = result == Err(CopyFailure::Obsolete);
        let CopyOrder {
            chunk, len, target, ..
        } = flight.order;
        if result.is_err() {
            return Some(Landed::Failed {
                chunk,
                avoid: (!is_obsolete).then_some(target),
                is_repair: flight.missing > 0,
            });
        }
        self.throughput.add(u64::from(len), now);
        Some(Landed::Made(MadeCopy {
            chunk,
            len,
            node: target,
            present: flight.present,
            missing: flight.missing,
            begun_at: flight.begun_at,
            _claim: flight.claim,
        }))
    }

    /// Lets nodes rest for whose sake a copy failed, or came from another source than the first.
    fn note_how_they_did(
        &mut self,
        order: &CopyOrder,
        result: Result<Option<NodeNumber>, CopyFailure>,
        now: Instant,
    ) {
        let in_vain = match result {
            Ok(Some(giver)) => {
                self.loads.succeeded(giver);
                let before = order.sources.iter().take_while(|node| **node != giver);
                before.copied().collect()
            }
            Err(CopyFailure::Sources) => order.sources.clone(),
            Ok(None) | Err(CopyFailure::Obsolete | CopyFailure::Target) => Vec::new(),
        };
        for source in in_vain {
            self.loads.failed(source, now);
            self.control.checks.push(source, order.chunk);
        }
        match result {
            Ok(_) => self.loads.succeeded(order.target),
            Err(CopyFailure::Target) => self.loads.failed(order.target, now),
            Err(CopyFailure::Obsolete | CopyFailure::Sources) => {}
        }
    }
}
