//! The model of uploaders: what each was told to send, and the receipts that it got.

use std::collections::{BTreeMap, BTreeSet};

use proto::id::{PromiseId, UploadId};
use proto::master::{Precondition, StoredChunk, UploadPlan};

use super::World;
use super::names::Item;
use super::versions::FileVersions;
use crate::command::{ChunkPromise, ClusterMillis, Command, NodeNumber};
use crate::state::tests::bench::{chunk, path, with_receipts};
use crate::state::{Allocation, KeptUpload, Outcome};

/// An uploader. It goes on under its id whatever the master forgot, and keeps all receipts that it ever got.
#[derive(Debug, Clone, Default)]
pub(super) struct Upload {
    id: Option<UploadId>,
    /// Which chunks it was told to send, for which promise.
    told: BTreeMap<u32, PromiseId>,
    /// (node, chunk, promise).
    receipts: BTreeSet<(u32, u32, PromiseId)>,
    /// What it is to become, if it is kept.
    kept: Option<String>,
    /// Chunks recorded.
    recorded: Vec<u32>,
}

impl World {
    /// Copies are gone by a node's fault, and not on the master's order: receipts for them are not looked at.
    pub(super) fn lose_receipts(&mut self, is_lost: impl Fn(u32, u32) -> bool) {
        for upload in &mut self.uploads {
            let receipts = &mut upload.receipts;
            receipts.retain(|(node, chunk, _)| !is_lost(*node, *chunk));
        }
    }

    pub(super) fn allocate(&mut self, upload: usize, chunks: &[u32], nodes: &[u32], down: &[u32]) {
        let id = self.uploads[upload].id;
        let id = id.unwrap_or_else(|| self.bench.upload_id());
        self.uploads[upload].id = Some(id);
        let wanted = |number: &u32| ChunkPromise {
            chunk: chunk(*number),
            nodes: self.numbers(nodes),
        };
        let command = Command::AllocateChunks {
            upload: id,
            lease_until: ClusterMillis(u64::MAX),
            doubtful: self.numbers(down),
            deletions_wait: false,
            chunks: chunks.iter().map(wanted).collect(),
            promise: self.bench.promise_id(),
        };
        let Ok(Outcome::Allocated(allocations)) = self.bench.apply_as(command, false) else {
            return;
        };
        for (number, allocation) in chunks.iter().zip(allocations) {
            if let Allocation::Promised { promise, nodes } = allocation {
                let is_known = |node: &NodeNumber| self.node_with(*node).is_some();
                assert!(nodes.iter().all(is_known));
                self.uploads[upload].told.insert(*number, promise);
            }
        }
    }

    /// The uploader sends what it was promised to one of the nodes, whether it was told so or not, and gets receipts. It
    /// may be late.
    pub(super) fn store(&mut self, upload: usize, node: u32) {
        let Upload { told, receipts, .. } = &mut self.uploads[upload];
        for (chunk, promise) in told {
            self.disks.insert((node, *chunk));
            receipts.insert((node, *chunk, *promise));
        }
    }

    /// Every copy whose receipt could still be used is there.
    pub(super) fn check_receipts(&self) {
        let snapshot = self.bench.read();
        for upload in &self.uploads {
            let Some(id) = upload.id else { continue };
            for (node, number, promise) in &upload.receipts {
                let held = snapshot.promise(id, &chunk(*number).chunk).unwrap();
                let node = self.node_numbers[node];
                if held.is_some_and(|held| held.id == *promise && held.nodes.contains(&node)) {
                    self.check_on_disk(node, *number);
                }
            }
        }
    }

    /// The upload is to outlive crashes, under its id: it may have been opened before, or not.
    pub(super) fn keep(&mut self, upload: usize, at: &str) {
        let id = self.uploads[upload].id;
        let id = id.unwrap_or_else(|| self.bench.upload_id());
        let command = Command::KeepUpload {
            upload: id,
            lease_until: ClusterMillis(u64::MAX),
            plan: plan(at),
        };
        let kept = self.bench.apply(command);
        if kept.is_err() {
            return;
        }
        let before = self.uploads[upload].kept.replace(at.to_owned());
        assert!(
            before.is_none_or(|before| before == at),
            "kept for another name"
        );
        self.uploads[upload].id = Some(id);
    }

    /// Records what follows, or once more what was recorded last.
    pub(super) fn record(&mut self, upload: usize, chunks: &[u32], down: &[u32], again: bool) {
        let Some(id) = self.uploads[upload].id else {
            return;
        };
        let recorded = self.uploads[upload].recorded.len();
        let first = if again {
            recorded.saturating_sub(chunks.len())
        } else {
            recorded
        };
        let proved = self.proved(upload, chunks);
        self.bench.down = self.numbers(down);
        let result = self.bench.record(id, first as u64, &proved);
        let recorded = &mut self.uploads[upload].recorded;
        match result {
            Ok(Outcome::Recorded(Some(_))) => {
                assert_eq!(first, recorded.len());
                recorded.extend(chunks);
            }
            Ok(Outcome::Recorded(None)) => assert_eq!(recorded[first..], *chunks),
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
    }

    /// A kept upload is as far as it was recorded, whatever the master forgot.
    pub(super) fn check_kept(&self) {
        let snapshot = self.bench.read();
        for upload in &self.uploads {
            let (Some(id), Some(at)) = (upload.id, &upload.kept) else {
                continue;
            };
            let KeptUpload::Open(found, row) = snapshot.kept_upload(id).unwrap() else {
                panic!("it was not committed");
            };
            assert_eq!(found, plan(at));
            assert_eq!(row.bytes, 100 * upload.recorded.len() as u64);
        }
    }

    fn proved(&self, upload: usize, chunks: &[u32]) -> Vec<StoredChunk> {
        let of = |number: &u32| {
            let receipts = self.uploads[upload].receipts.iter();
            let receipts = receipts.filter(|(_, chunk, _)| chunk == number);
            let receipts = receipts.map(|(node, _, promise)| (*node, *promise));
            with_receipts(&chunk(*number), receipts)
        };
        chunks.iter().map(of).collect()
    }

    pub(super) fn commit(&mut self, upload: usize, at: &str, chunks: &[u32], down: &[u32]) {
        let Some(id) = self.uploads[upload].id else {
            return;
        };
        let proved = self.proved(upload, chunks);
        let recorded = self.uploads[upload].recorded.clone();
        let size = 100 * (recorded.len() + chunks.len()) as u64;
        self.bench.down = self.numbers(down);
        let result = self.bench.commit_if(
            id,
            at,
            (size, recorded.len() as u64),
            &proved,
            Precondition::Any,
        );
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
        let mut versions = match before {
            Some(Item::File(versions)) => versions,
            _ => FileVersions::default(),
        };
        versions.add(committed.version, &[&recorded, chunks].concat());
        self.names.insert(at.to_owned(), Item::File(versions));
        self.uploads[upload] = Upload::default();
    }

    pub(super) fn end(&mut self, upload: usize) {
        if let Some(id) = self.uploads[upload].id {
            let end = Command::EndUpload {
                upload: id,
                expired_by: None,
            };
            self.bench.apply(end).unwrap();
            self.uploads[upload].kept = None;
            self.uploads[upload].recorded.clear();
        }
    }
}

fn plan(at: &str) -> UploadPlan {
    UploadPlan {
        path: path(at),
        size: 300,
        modified_ms: None,
        parents: true,
        precondition: Precondition::Any,
        note: String::new(),
    }
}
