//! Counts what is wrong with the chunks, page by page: those with too few or too many copies, and those on dead nodes.
//!
//! A survey reads the list of chunks whose recorded copies are not as many as wanted, and then what is recorded on
//! each dead node; what is in both, or on several dead nodes, is counted once. A plain value: the caller reads the pages.

use std::collections::{BTreeSet, VecDeque};

use proto::id::ChunkId;
use proto::master::NodeState;
use tokio::time::Instant;

use super::plan::{Need, View};
use crate::command::NodeNumber;
use crate::state::ChunkRow;

/// Which page comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// Of the chunks that need copies.
    Needs(Option<ChunkId>),
    /// Of the chunks recorded on a dead node.
    Dead(NodeNumber, Option<ChunkId>),
}

/// What is wrong, in sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Chunks with fewer copies on nodes that are not dead than wanted.
    pub missing_copies: u64,
    /// Those with just one.
    pub one_copy: u64,
    /// Those with none.
    pub unavailable: u64,
    /// Those that some node could take a copy of now.
    pub repairable: u64,
    /// Bytes that are to be copied for them.
    pub repairable_bytes: u64,
    /// Copies too many.
    pub surplus: u64,
}

/// A survey under way.
#[derive(Debug, Clone)]
pub(super) struct Survey {
    pub(super) began: Instant,
    next: Option<Page>,
    dead: VecDeque<NodeNumber>,
    seen: BTreeSet<NodeNumber>,
    tally: Tally,
}

/// What a page asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Chunks to copy.
    pub(super) copy: Vec<(ChunkId, ChunkRow)>,
    /// Chunks with too many copies.
    pub(super) trim: Vec<ChunkId>,
}

impl Survey {
    pub(super) fn new(view: &View, now: Instant) -> Self {
        let mut survey = Self {
            began: now,
            next: Some(Page::Needs(None)),
            dead: VecDeque::new(),
            seen: BTreeSet::new(),
            tally: Tally::default(),
        };
        survey.add_dead(view);
        survey
    }

    /// Nodes that died meanwhile come first.
    pub(super) fn add_dead(&mut self, view: &View) {
        for (node, (state, ..)) in &view.nodes {
            if *state == NodeState::Dead && self.seen.insert(*node) {
                self.dead.push_front(*node);
            }
        }
    }

    /// The page to read next; nothing at the end.
    pub(super) fn page(&self) -> Option<Page> {
        self.next
    }

    /// Takes a page in. `is_last` says that its list ends with it.
    pub(super) fn take(
        &mut self,
        view: &View,
        rows: &[(ChunkId, ChunkRow)],
        last: Option<ChunkId>,
    ) -> Found {
        let Some(page) = self.next else {
            return Found::default();
        };
        let mut found = Found::default();
        for (chunk, row) in rows {
            if row.references > 0 && is_counted_here(view, page, row) {
                self.judge(view, *chunk, row, &mut found);
            }
        }
        self.next = match (last, page) {
            (Some(last), Page::Needs(_)) => Some(Page::Needs(Some(last))),
            (Some(last), Page::Dead(node, _)) => Some(Page::Dead(node, Some(last))),
            (None, _) => self.dead.pop_front().map(|node| Page::Dead(node, None)),
        };
        found
    }

    /// The sums so far: whole when [`page`](Self::page) gives nothing.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// The dead nodes whose chunks are among the sums.
    pub(super) fn into_dead(self) -> BTreeSet<NodeNumber> {
        self.seen
    }

    fn judge(&mut self, view: &View, chunk: ChunkId, row: &ChunkRow, found: &mut Found) {
        let has_one = view.present(&row.replicas).len() <= 1 && view.replication_factor > 1;
        let tally = &mut self.tally;
        let need = view.need(row);
        let is_readable = need != Need::Unavailable;
        match need {
            Need::Nothing => return,
            Need::Trim(surplus) => {
                tally.surplus += surplus as u64;
                found.trim.push(chunk);
                return;
            }
            Need::Unavailable => tally.unavailable += 1,
            Need::Wait => {}
            Need::Copy(copies) => {
                tally.repairable += 1;
                tally.repairable_bytes += copies as u64 * u64::from(row.len);
                found.copy.push((chunk, row.clone()));
            }
        }
        tally.missing_copies += 1;
        // One that is on failed disks only has no copy that counts, and can be read.
        tally.one_copy += u64::from(is_readable && has_one);
    }
}

/// A chunk on dead nodes is counted with the first of them, any other with the list of needs.
fn is_counted_here(view: &View, page: Page, row: &ChunkRow) -> bool {
    let first_dead = row
        .replicas
        .iter()
        .copied()
        .find(|node| view.nodes.contains_key(node) && view.state(*node) == NodeState::Dead);
    match page {
        Page::Needs(_) => first_dead.is_none(),
        Page::Dead(node, _) => first_dead == Some(node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn view(dead: &[u32]) -> View {
        let nodes: BTreeMap<_, _> = (1..=4)
            .map(|node| {
                let state = if dead.contains(&node) {
                    NodeState::Dead
                } else {
                    NodeState::Live
                };
                (NodeNumber(node), (state, Arc::from(""), 0))
            })
            .collect();
        let candidates = nodes
            .iter()
            .filter(|(_, (state, ..))| *state == NodeState::Live)
            .map(|(node, _)| crate::placement::Candidate {
                node: *node,
                zone: "".into(),
                free_bytes: 1,
            })
            .collect();
        View {
            replication_factor: 3,
            candidates,
            nodes,
        }
    }

    fn row(number: u8, replicas: &[u32]) -> (ChunkId, ChunkRow) {
        let row = ChunkRow {
            len: 10,
            references: 1,
            replicas: replicas.iter().copied().map(NodeNumber).collect(),
            ..ChunkRow::default()
        };
        (ChunkId::from_bytes([number; 32]), row)
    }

    #[test]
    fn a_chunk_is_counted_once_however_many_lists_it_is_in() {
        let view = view(&[1, 2]);
        let rows = [
            row(1, &[1, 3, 4]),
            row(2, &[1, 2, 3]),
            row(3, &[1, 2]),
            row(4, &[3]),
            row(5, &[3, 4]),
            row(6, &[]),
        ];
        let (mut survey, mut copies, mut pages) = (Survey::new(&view, Instant::now()), 0, 0);
        while let Some(page) = survey.page() {
            let listed: Vec<_> = rows
                .iter()
                .filter(|(_, row)| match page {
                    Page::Needs(_) => row.replicas.len() != 3,
                    Page::Dead(node, _) => row.replicas.contains(&node),
                })
                .cloned()
                .collect();
            copies += survey.take(&view, &listed, None).copy.len();
            pages += 1;
        }
        assert_eq!(pages, 3);
        assert_eq!(
            survey.tally(),
            Tally {
                missing_copies: 6,
                one_copy: 2,
                unavailable: 2,
                repairable: 2,
                repairable_bytes: 40,
                surplus: 0,
            }
        );
        assert_eq!(copies, 2);
    }

    #[test]
    fn surplus_is_found_and_garbage_is_left_alone() {
        let view = view(&[]);
        let mut garbage = row(2, &[1]);
        garbage.1.references = 0;
        let mut survey = Survey::new(&view, Instant::now());
        let rows = [row(1, &[1, 2, 3, 4]), garbage];
        let found = survey.take(&view, &rows, Some(rows[1].0));
        assert_eq!(found.trim, [rows[0].0]);
        assert!(found.copy.is_empty());
        assert_eq!(survey.page(), Some(Page::Needs(Some(rows[1].0))));
        survey.take(&view, &[], None);
        assert_eq!(survey.page(), None);
    }
}
