//! The model of the nodes' disks: which copies there are, and how they come and go.

use super::World;
use crate::command::{ClusterMillis, Command, NodeNumber};
use crate::state::Outcome;
use crate::state::tests::bench::{chunk, node_id};
use crate::state::tests::random::{CHUNKS, Step};

impl World {
    /// Steps that are about copies.
    pub(super) fn copies(&mut self, step: &Step) {
        let id = |number: &u32| chunk(*number).chunk;
        let command = match step {
            Step::Lose { node, chunk } => {
                self.disks.remove(&(*node, *chunk));
                Command::RemoveReplicas {
                    node: self.node_numbers[node],
                    chunks: vec![id(chunk)],
                }
            }
            Step::Fail { node, chunk } => Command::NoteFailing {
                node: self.node_numbers[node],
                chunks: vec![id(chunk)],
            },
            Step::Copy { from, to, chunk } => {
                let planned = self.bench.read();
                let planned = planned.is_deletion_planned(self.node_numbers[to], &id(chunk));
                if planned.unwrap() || !self.disks.contains(&(*from, *chunk)) {
                    return;
                }
                self.disks.insert((*to, *chunk));
                Command::AddReplicas {
                    node: self.node_numbers[to],
                    down: Vec::new(),
                    chunks: vec![(id(chunk), 100)],
                }
            }
            Step::Trim { node, chunk, down } => Command::TrimReplicas {
                down: self.numbers(down),
                copies: vec![(id(chunk), self.node_numbers[node])],
            },
            Step::Collect => Command::CollectGarbage {
                unreferenced_before: ClusterMillis(self.bench.now + 1),
                chunks: (0..CHUNKS).map(|number| id(&number)).collect(),
            },
            Step::Inventory { node } => Command::NoteUnknownChunks {
                node: self.node_numbers[node],
                seen_before: ClusterMillis(u64::MAX),
                chunks: self.on_disk(*node).iter().map(id).collect(),
            },
            Step::DeleteUnknown { node } => Command::DeleteUnknownChunks {
                node: self.node_numbers[node],
                seen_before: ClusterMillis(self.bench.now + 1),
                chunks: (0..CHUNKS).map(|number| id(&number)).collect(),
            },
            Step::DeleteOnNode { node } => {
                let number = self.node_numbers[node];
                let planned = self.bench.read();
                let planned = planned.planned_deletions_page(number, None, 99).unwrap();
                self.disks
                    .retain(|(n, c)| n != node || !planned.contains(&id(c)));
                Command::ConfirmDeletions {
                    node: number,
                    chunks: planned,
                }
            }
            other => unreachable!("{other:?}"),
        };
        self.bench.apply(command).unwrap();
    }

    fn on_disk(&self, node: u32) -> Vec<u32> {
        let held = self.disks.iter().filter(|(n, _)| *n == node);
        held.map(|(_, chunk)| *chunk).collect()
    }

    /// A node is removed for good; its disk is wiped and it comes back as a new one.
    pub(super) fn remove(&mut self, node: u32) {
        let id = node_id(node);
        self.bench.apply(Command::RemoveNode { node: id }).unwrap();
        self.disks.retain(|(n, _)| *n != node);
        self.lose_receipts(|n, _| n == node);
        let Ok(Outcome::Node(number)) = self.bench.add_node(node) else {
            panic!("a removed node was not taken in again");
        };
        self.node_numbers.insert(node, number);
    }

    /// A copy that the state counts on is there. A number that was given up does not count.
    pub(super) fn check_on_disk(&self, number: NodeNumber, chunk: u32) {
        let Some(node) = self.node_with(number) else {
            return;
        };
        let copy = (node, chunk);
        assert!(
            self.disks.contains(&copy),
            "chunk {chunk} is gone from node {node}"
        );
    }
}
