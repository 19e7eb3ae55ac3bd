//! The model that random commands are compared with: names, the disks of the nodes, and what uploaders hold.

use std::collections::{BTreeMap, BTreeSet};

use proto::ErrorCode;
use proto::id::{ChunkId, UploadId};
use proto::master::{Precondition, StoredChunk, TrashId};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::audit::{audit, dump};
use super::bench::{Bench, chunk, new_disk, open_on, path, rules, stored};
use super::random::{CHUNKS, NODES, PATHS, Step};
use crate::command::{ChunkPromise, ClusterMillis, Command, NodeNumber};
use crate::state::{Allocation, Outcome};

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Folder,
    File(Vec<u32>),
}

/// Paths to items; a path's parents are all in it.
type Names = BTreeMap<String, Item>;

#[derive(Debug, Clone, Default)]
struct Upload {
    id: Option<UploadId>,
    chunks: BTreeSet<u32>,
    /// Receipts that the uploader has.
    receipts: BTreeSet<(u32, u32)>,
}

/// The state, and what must be true of it.
pub(super) struct World {
    pub(super) bench: Bench,
    names: Names,
    trash: BTreeMap<u64, (String, Names)>,
    next_trash: u64,
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
            uploads: vec![Upload::default(); 4],
            disks: BTreeSet::new(),
            node_numbers: (1..=NODES).map(|node| (node, NodeNumber(node))).collect(),
        }
    }

    fn numbers(&self, nodes: &[u32]) -> Vec<NodeNumber> {
        nodes.iter().map(|node| self.node_numbers[node]).collect()
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
            Step::Allocate {
                upload,
                chunks,
                nodes,
                live,
            } => {
                self.allocate(*upload, chunks, nodes, live);
            }
            Step::Store { upload, node } => self.store(*upload, *node),
            Step::Commit { upload, at, chunks } => self.commit(*upload, PATHS[*at], chunks),
            Step::End { upload } => self.end(*upload),
            Step::PowerCut { seed } => self.power_cut(*seed),
            Step::Remove { node } => self.remove(*node),
            Step::Sweep { limit, old } => {
                let before = ClusterMillis(if *old { self.bench.now + 1 } else { 0 });
                if *old {
                    self.trash.clear();
                }
                // Answers are kept: an upload's id is not used again in this test, nor should it be.
                let sweep = Command::SweepSome {
                    trash_before: before,
                    versions_before: before,
                    answers_before: ClusterMillis(0),
                    limit: if *old { 400 } else { *limit },
                };
                self.bench.apply(sweep).unwrap();
            }
            other => self.copies(other),
        }
    }

    /// Steps that are about copies.
    fn copies(&mut self, step: &Step) {
        let id = |number: &u32| chunk(*number).chunk;
        let command = match step {
            Step::Lose { node, chunk } => {
                self.disks.remove(&(*node, *chunk));
                for upload in &mut self.uploads {
                    upload.receipts.remove(&(*node, *chunk));
                }
                Command::RemoveReplicas {
                    node: self.node_numbers[node],
                    chunks: vec![id(chunk)],
                }
            }
            Step::Copy { from, to, chunk } => {
                let planned = self.bench.read();
                let planned = planned.is_deletion_planned(self.node_numbers[to], &id(chunk));
                if planned.unwrap() || !self.disks.contains(&(*from, *chunk)) {
                    return;
                }
                self.disks.insert((*to, *chunk));
                Command::AddReplicas {
                    node: self.node_numbers[to],
                    chunks: vec![(id(chunk), 100)],
                }
            }
            Step::Trim { node, chunk, live } => Command::TrimReplicas {
                live: self.numbers(live),
                copies: vec![(id(chunk), self.node_numbers[node])],
            },
            Step::Collect => Command::CollectGarbage {
                unreferenced_before: ClusterMillis(self.bench.now + 1),
                chunks: (0..CHUNKS).map(|number| id(&number)).collect(),
            },
            Step::Inventory { node } => Command::NoteUnknownChunks {
                node: self.node_numbers[node],
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

    fn folder(&mut self, at: &str, parents: bool) {
        let request = self.bench.request();
        let outcome = self.bench.apply(Command::CreateFolder {
            request,
            path: path(at),
            parents,
        });
        let existing = self.names.get(at);
        let expected = match existing {
            Some(Item::Folder) if parents => Ok(()),
            Some(_) => match self.parent_error(at, parents) {
                Some(code) => Err(code),
                None => Err(ErrorCode::AlreadyExists),
            },
            None => match self.parent_error(at, parents) {
                Some(code) => Err(code),
                None => Ok(()),
            },
        };
        assert_eq!(outcome.map(drop).map_err(|e| e.code), expected);
        if expected.is_ok() {
            self.make_parents(at);
            self.names.insert(at.to_owned(), Item::Folder);
        }
    }

    /// What keeps a path's parents from being there.
    fn parent_error(&self, at: &str, parents: bool) -> Option<ErrorCode> {
        for (end, _) in at.match_indices('/').skip(1) {
            match self.names.get(&at[..end]) {
                Some(Item::Folder) => {}
                Some(Item::File(_)) => return Some(ErrorCode::NotAFolder),
                None if parents => return None,
                None => return Some(ErrorCode::NotFound),
            }
        }
        None
    }

    fn make_parents(&mut self, at: &str) {
        for (end, _) in at.match_indices('/').skip(1) {
            self.names.insert(at[..end].to_owned(), Item::Folder);
        }
    }

    /// Takes a path and all below it out of the names; keys become relative to it.
    fn take(&mut self, at: &str) -> Names {
        let below = format!("{at}/");
        let is_in = |key: &String| key == at || key.starts_with(&below);
        let (taken, left) = std::mem::take(&mut self.names)
            .into_iter()
            .partition(|(key, _)| is_in(key));
        self.names = left;
        let taken: Names = taken;
        let relative = |(key, item): (String, Item)| (key[at.len()..].to_owned(), item);
        taken.into_iter().map(relative).collect()
    }

    fn put_back(&mut self, at: &str, taken: Names) {
        self.make_parents(at);
        for (key, item) in taken {
            self.names.insert(format!("{at}{key}"), item);
        }
    }

    fn rename(&mut self, from: &str, to: &str, replace: bool) {
        let request = self.bench.request();
        let outcome = self.bench.apply(Command::MoveEntry {
            request,
            from: path(from),
            to: path(to),
            replace,
        });
        let moved = self.names.get(from);
        let expected = match (moved, self.names.get(to)) {
            (None, _) => Err(ErrorCode::NotFound),
            (Some(_), _) if from == to => Ok(()),
            (Some(Item::Folder), _) if path(to).is_within(&path(from)) => {
                Err(ErrorCode::InvalidArgument)
            }
            (Some(moved), existing) => match (self.parent_error(to, false), existing) {
                (Some(code), _) => Err(code),
                (None, Some(_)) if !replace => Err(ErrorCode::AlreadyExists),
                (None, Some(Item::Folder)) => Err(ErrorCode::IsAFolder),
                (None, Some(_)) if *moved == Item::Folder => Err(ErrorCode::NotAFolder),
                (None, _) => Ok(()),
            },
        };
        assert_eq!(
            outcome.map(drop).map_err(|e| e.code),
            expected,
            "{from} {to}"
        );
        if expected.is_ok() && from != to {
            let replaced = self.take(to);
            if !replaced.is_empty() {
                self.put_in_trash(to, replaced);
            }
            let taken = self.take(from);
            self.put_back(to, taken);
        }
    }

    fn put_in_trash(&mut self, at: &str, taken: Names) {
        self.trash.insert(self.next_trash, (at.to_owned(), taken));
        self.next_trash += 1;
    }

    fn delete(&mut self, at: &str, recursive: bool, purge: bool) {
        let request = self.bench.request();
        let outcome = self.bench.apply(Command::DeleteEntry {
            request,
            path: path(at),
            recursive,
            purge,
            precondition: Precondition::Any,
        });
        let below = self
            .names
            .keys()
            .filter(|key| key.starts_with(&format!("{at}/")));
        let expected = match self.names.get(at) {
            None => Err(ErrorCode::NotFound),
            Some(_) if below.count() > 0 && !recursive => Err(ErrorCode::FolderNotEmpty),
            Some(_) => Ok(()),
        };
        assert_eq!(outcome.map(drop).map_err(|e| e.code), expected);
        if expected.is_ok() {
            let taken = self.take(at);
            if !purge {
                self.put_in_trash(at, taken);
            }
        }
    }

    fn restore(&mut self, trash: u64, to: Option<&str>) {
        let request = self.bench.request();
        let outcome = self.bench.apply(Command::RestoreEntry {
            request,
            trash: TrashId(trash),
            to: to.map(path),
        });
        let row = self.trash.get(&trash).cloned();
        let expected = match &row {
            None => Err(ErrorCode::NotFound),
            Some((from, _)) => {
                let to = to.unwrap_or(from);
                match (self.parent_error(to, true), self.names.get(to)) {
                    (Some(code), _) => Err(code),
                    (None, Some(_)) => Err(ErrorCode::AlreadyExists),
                    (None, None) => Ok(()),
                }
            }
        };
        assert_eq!(outcome.map(drop).map_err(|e| e.code), expected);
        if let (Ok(()), Some((from, taken))) = (expected, row) {
            self.trash.remove(&trash);
            self.put_back(to.unwrap_or(&from), taken);
        }
    }

    fn empty(&mut self, trash: Option<u64>) {
        let request = self.bench.request();
        let outcome = self.bench.apply(Command::EmptyTrash {
            request,
            trash: trash.map(TrashId),
        });
        match trash {
            None => self.trash.clear(),
            Some(trash) => {
                let removed = self.trash.remove(&trash);
                assert_eq!(outcome.is_ok(), removed.is_some());
            }
        }
    }

    fn allocate(&mut self, upload: usize, chunks: &[u32], nodes: &[u32], live: &[u32]) {
        if self.uploads[upload].id.is_none() {
            self.uploads[upload] = Upload {
                id: Some(self.bench.upload_id()),
                ..Upload::default()
            };
        }
        let id = self.uploads[upload].id.unwrap();
        let promise = |number: &u32| ChunkPromise {
            chunk: chunk(*number),
            nodes: self.numbers(nodes),
            live: self.numbers(live),
        };
        let command = Command::AllocateChunks {
            upload: id,
            lease_until: ClusterMillis(u64::MAX),
            chunks: chunks.iter().map(promise).collect(),
        };
        if let Ok(Outcome::Allocated(allocations)) = self.bench.apply_as(command, false) {
            let promised = chunks.iter().zip(&allocations);
            let sent = promised.filter(|(_, a)| matches!(a, Allocation::Nodes(_)));
            self.uploads[upload]
                .chunks
                .extend(sent.map(|(number, _)| *number));
        }
    }

    /// The uploader sends what it was told to send to one of the nodes, and gets receipts.
    fn store(&mut self, upload: usize, node: u32) {
        let Some(id) = self.uploads[upload].id else {
            return;
        };
        let snapshot = self.bench.read();
        for number in self.uploads[upload].chunks.clone() {
            let promised = snapshot.promised_nodes(id, &chunk(number).chunk).unwrap();
            if promised.contains(&self.node_numbers[&node]) {
                self.disks.insert((node, number));
                self.uploads[upload].receipts.insert((node, number));
            }
        }
    }

    fn commit(&mut self, upload: usize, at: &str, chunks: &[u32]) {
        let Some(id) = self.uploads[upload].id else {
            return;
        };
        let proved: Vec<StoredChunk> = chunks
            .iter()
            .map(|number| {
                let receipts = self.uploads[upload].receipts.iter();
                let nodes = receipts.filter(|(_, chunk)| chunk == number);
                let nodes: Vec<u32> = nodes.map(|(node, _)| *node).collect();
                stored(id, &chunk(*number), &nodes)
            })
            .collect();
        let size = 100 * chunks.len() as u64;
        let result = self
            .bench
            .commit_if(id, at, (size, 0), &proved, Precondition::Any);
        let parent_error = self.parent_error(at, true);
        let Ok(committed) = result else {
            return;
        };
        assert_eq!(parent_error, None);
        assert!(committed.copies >= 2);
        let before = self.names.get(at).cloned();
        assert_eq!(committed.created, before.is_none());
        assert_ne!(before, Some(Item::Folder));
        self.make_parents(at);
        self.names
            .insert(at.to_owned(), Item::File(chunks.to_vec()));
        self.uploads[upload] = Upload::default();
    }

    fn end(&mut self, upload: usize) {
        if let Some(id) = std::mem::take(&mut self.uploads[upload]).id {
            let end = Command::EndUpload {
                upload: id,
                expired_by: None,
            };
            self.bench.apply(end).unwrap();
        }
    }

    /// A node is removed for good; its disk is wiped and it comes back as a new one.
    fn remove(&mut self, node: u32) {
        let id = super::bench::node_id(node);
        self.bench.apply(Command::RemoveNode { node: id }).unwrap();
        self.disks.retain(|(n, _)| *n != node);
        for upload in &mut self.uploads {
            upload.receipts.retain(|(n, _)| *n != node);
        }
        let Ok(Outcome::Node(number)) = self.bench.add_node(node) else {
            panic!("a removed node was not taken in again");
        };
        self.node_numbers.insert(node, number);
    }

    /// The master loses power: what was not durable may be gone, and with it uploads that were only promised.
    fn power_cut(&mut self, seed: u64) {
        let placeholder = open_on(&new_disk(), rules()).unwrap();
        let state = std::mem::replace(&mut self.bench.state, placeholder);
        self.bench.disk.crash(&mut StdRng::seed_from_u64(seed));
        drop(state);
        self.bench.state = open_on(&self.bench.disk, rules()).unwrap();
        self.bench.log.truncate(self.bench.durable);
        audit(&self.bench.state);
        let snapshot = self.bench.read();
        let open = snapshot.uploads_page(None, 99).unwrap();
        for upload in &mut self.uploads {
            let is_open = open.iter().any(|(id, _)| Some(*id) == upload.id);
            if !is_open {
                *upload = Upload::default();
            }
        }
    }

    pub(super) fn check(&self) {
        self.check_names();
        let snapshot = self.bench.read();
        for number in 0..CHUNKS {
            let row = snapshot.chunk(&chunk(number).chunk).unwrap();
            for node in row.iter().flat_map(|row| &row.replicas) {
                self.check_on_disk(*node, number);
            }
        }
        for upload in &self.uploads {
            let Some(id) = upload.id else { continue };
            for (node, number) in &upload.receipts {
                let promised = snapshot.promised_nodes(id, &chunk(*number).chunk).unwrap();
                if promised.contains(&self.node_numbers[node]) {
                    self.check_on_disk(self.node_numbers[node], *number);
                }
            }
        }
    }

    /// A copy that the state counts on is there. A number that was given up does not count.
    fn check_on_disk(&self, number: NodeNumber, chunk: u32) {
        let Some((node, _)) = self.node_numbers.iter().find(|(_, n)| **n == number) else {
            return;
        };
        let copy = (*node, chunk);
        assert!(
            self.disks.contains(&copy),
            "chunk {chunk} is gone from node {node}"
        );
    }

    fn check_names(&self) {
        let expected: Vec<String> = {
            let mark = |(key, item): (&String, &Item)| match item {
                Item::Folder => format!("{key}/"),
                Item::File(_) => key.clone(),
            };
            let mut keys: Vec<_> = self.names.iter().map(mark).collect();
            keys.sort();
            keys
        };
        assert_eq!(self.bench.tree(), expected);
        let snapshot = self.bench.read();
        for (key, item) in &self.names {
            let Item::File(chunks) = item else { continue };
            let (version, row) = snapshot.file(&path(key), None).unwrap();
            let found = snapshot.chunks_of(version, &row, 0, 99).unwrap();
            let ids: Vec<ChunkId> = found.iter().map(|(id, _)| *id).collect();
            let expected: Vec<ChunkId> = chunks.iter().map(|n| chunk(*n).chunk).collect();
            assert_eq!(ids, expected, "{key}");
        }
        let trash = snapshot.trash_page(None, 99).unwrap().entries;
        let listed: Vec<u64> = trash.iter().rev().map(|entry| entry.trash.0).collect();
        let expected: Vec<u64> = self.trash.keys().copied().collect();
        assert_eq!(listed, expected, "trash");
    }

    /// The same log makes the same state, however it is cut into transactions.
    pub(super) fn check_replay(&self) {
        let state = open_on(&new_disk(), rules()).unwrap();
        let transaction = state.write().unwrap();
        transaction.run(&self.bench.log, true).unwrap();
        assert!(dump(&state) == dump(&self.bench.state), "a replay differs");
    }
}
