//! Moves copies to a node that is much emptier than the others, a few at a time, while nothing is to be repaired.
//!
//! A move is one more copy; the trim that follows takes the surplus one from the fullest holder.

use std::collections::VecDeque;
use std::time::Duration;

use proto::id::ChunkId;
use tokio::time::Instant;

use super::controller::{Begun, Controller};
use super::rebalance;
use crate::command::NodeNumber;

/// How often an imbalance is looked for.
pub(super) const REBALANCE_INTERVAL: Duration = Duration::from_secs(5);
/// Chunks moved in one interval: repair and uploads come first.
const REBALANCE_BATCH: usize = 64;

/// Chunks that are to be moved, and where the next ones are looked for.
#[derive(Debug)]
pub(super) struct Moves {
    waiting: VecDeque<(ChunkId, NodeNumber)>,
    cursor: Option<(NodeNumber, ChunkId)>,
    look_at: Instant,
}

impl Moves {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            cursor: None,
            look_at: now + REBALANCE_INTERVAL,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Controller {
    pub(super) async fn rebalance(&mut self, now: Instant) {
        self.begin_moves(now).await;
        let is_quiet = self.queue.is_empty() && self.flights.is_empty() && self.moves.is_empty();
        if now < self.moves.look_at || !is_quiet {
            return;
        }
        self.moves.look_at = now + REBALANCE_INTERVAL;
        let fills = self.control.membership().fills();
        let Some(found) = rebalance::choose_move(&fills, self.control.config.rebalance_min_bytes)
        else {
            return;
        };
        let after = self.moves.cursor.filter(|(from, _)| *from == found.from);
        let after = after.map(|(_, chunk)| chunk);
        let page = self.control.read(move |snapshot| {
            snapshot.node_chunks_page(found.from, after.as_ref(), REBALANCE_BATCH)
        });
        let chunks = page.await.unwrap_or_default();
        self.moves.cursor = chunks.last().map(|chunk| (found.from, *chunk));
        self.moves
            .waiting
            .extend(chunks.into_iter().map(|chunk| (chunk, found.to)));
        self.begin_moves(now).await;
    }

    async fn begin_moves(&mut self, now: Instant) {
        while let Some((chunk, to)) = self.moves.waiting.pop_front() {
            let row = self
                .control
                .read(move |snapshot| snapshot.chunk(&chunk))
                .await;
            let view = self.view();
            let Ok(Some(row)) = row else { continue };
            if row.references == 0 || !view.may_move_to(&row, to) {
                continue;
            }
            let begun = self.loads.can_take(to, now)
                && self.begin_copy(&view, chunk, &row, to, None, now) == Begun::Settled;
            if !begun {
                self.moves.waiting.push_front((chunk, to));
                return;
            }
        }
    }
}
