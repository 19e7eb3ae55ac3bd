//! The model that random commands are compared with: names, the disks of the nodes, and what uploaders hold.

mod copies;
mod names;
mod shares;
mod uploads;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use proto::master::ClusterRules;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::audit::{audit, dump};
use super::bench::{Bench, chunk, new_disk, open_on, rules};
use super::random::{CHUNKS, NODES, PATHS, Step};
use crate::command::{ClusterMillis, Command, NodeNumber};
use names::Names;
use shares::Shared;
use uploads::Upload;

/// The state, and what must be true of it.
pub(super) struct World {
    pub(super) bench: Bench,
    names: Names,
    trash: BTreeMap<u64, (String, Names)>,
    next_trash: u64,
    /// By their numbers.
    shares: BTreeMap<u64, Shared>,
    uploads: Vec<Upload>,
    /// (node's number, chunk) on the nodes' disks.
    disks: BTreeSet<(u32, u32)>,
    /// The present number of each node.
    node_numbers: BTreeMap<u32, NodeNumber>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            bench: Bench::new(NODES),
            names: Names::new(),
            trash: BTreeMap::new(),
            next_trash: 1,
            shares: BTreeMap::new(),
            uploads: vec![Upload::default(); 4],
            disks: BTreeSet::new(),
            node_numbers: (1..=NODES).map(|node| (node, NodeNumber(node))).collect(),
        }
    }

    fn numbers(&self, nodes: &[u32]) -> Vec<NodeNumber> {
        nodes.iter().map(|node| self.node_numbers[node]).collect()
    }

    /// The node that has this number now.
    fn node_with(&self, number: NodeNumber) -> Option<u32> {
        let mut nodes = self.node_numbers.iter();
        nodes.find(|(_, n)| **n == number).map(|(node, _)| *node)
    }

    pub(super) fn run(&mut self, step: &Step) {
        match step {
            Step::Folder { at, parents } => self.folder(PATHS[*at], *parents),
            Step::Move { from, to, replace } => self.rename(PATHS[*from], PATHS[*to], *replace),
            Step::Delete {
                at,
                recursive,
                purge,
            } => self.delete(PATHS[*at], *recursive, *purge),
            Step::Restore { trash, to } => self.restore(*trash, to.map(|to| PATHS[to])),
            Step::Empty { trash } => self.empty(*trash),
            Step::RestoreVersion { at, which } => self.restore_version(PATHS[*at], *which),
            Step::RemoveVersion { at, which } => self.remove_version(PATHS[*at], *which),
            Step::Share {
                at,
                is_limited,
                upload_only,
            } => self.share(PATHS[*at], *is_limited, *upload_only),
            Step::Fetch { share } => self.fetch(*share),
            Step::Revoke { share } => self.revoke(*share),
            Step::Allocate {
                upload,
                chunks,
                nodes,
                down,
            } => {
                self.allocate(*upload, chunks, nodes, down);
            }
            Step::Store { upload, node } => self.store(*upload, *node),
            Step::Keep { upload, at } => self.keep(*upload, PATHS[*at]),
            Step::Record {
                upload,
                chunks,
                down,
                again,
            } => self.record(*upload, chunks, down, *again),
            Step::Commit {
                upload,
                at,
                chunks,
                down,
            } => self.commit(*upload, PATHS[*at], chunks, down),
            Step::End { upload } => self.end(*upload),
            Step::Copies { wanted } => {
                let rules = ClusterRules {
                    replication_factor: *wanted,
                    ..rules()
                };
                self.bench.apply(Command::SetRules { rules }).unwrap();
            }
            Step::PowerCut { seed } => self.power_cut(*seed),
            Step::Remove { node } => self.remove(*node),
            Step::Sweep { limit, old } => {
                let before = ClusterMillis(if *old { self.bench.now + 1 } else { 0 });
                if *old {
                    self.trash.clear();
                    self.shares_emptied(None);
                    self.forget_versions();
                }
                let sweep = Command::SweepSome {
                    trash_before: before,
                    versions_before: before,
                    answers_before: before,
                    limit: if *old { 400 } else { *limit },
                };
                self.bench.apply(sweep).unwrap();
            }
            other => self.copies(other),
        }
    }

    /// The master loses power: what was not durable may be gone, and with it promises that uploaders rely on.
    fn power_cut(&mut self, seed: u64) {
        let placeholder = open_on(&new_disk(), rules()).unwrap();
        let state = std::mem::replace(&mut self.bench.state, placeholder);
        self.bench.disk.crash(&mut StdRng::seed_from_u64(seed));
        drop(state);
        self.bench.state = open_on(&self.bench.disk, rules()).unwrap();
        self.bench.log.truncate(self.bench.durable);
        audit(&self.bench.state);
    }

    pub(super) fn check(&self) {
        self.check_names();
        self.check_shares();
        let snapshot = self.bench.read();
        for number in 0..CHUNKS {
            let row = snapshot.chunk(&chunk(number).chunk).unwrap();
            let row = row.unwrap_or_default();
            for node in row.replicas.iter().chain(&row.failing) {
                self.check_on_disk(*node, number);
            }
        }
        self.check_receipts();
        self.check_kept();
    }

    /// The same log makes the same state, however it is cut into transactions.
    pub(super) fn check_replay(&self) {
        let state = open_on(&new_disk(), rules()).unwrap();
        let transaction = state.write().unwrap();
        transaction.run(&self.bench.log, true).unwrap();
        assert!(dump(&state) == dump(&self.bench.state), "a replay differs");
    }
}
