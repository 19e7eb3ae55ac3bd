//! What a node does at once, under a scheduler that looks for races: see [`threads::races`].
//!
//! Each schedule begins with a copy of one disk. Who reads gets the right bytes, or hears "not here" only where a deletion
//! was begun; and what was answered is there after a power cut.

mod one_chunk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use disk::MemoryDisk;
use proto::id::ChunkId;
use proto::{ErrorCode, WireError};
use threads::races::{Happened, check, draw, prepare, switch};
use threads::{JoinHandle, spawn};

use super::support::{TestNode, chunk, rng};
use crate::compact::compact_all;
use crate::node::OpenChunk;

/// Two such chunks fill an extent.
const LEN: usize = 6000;
/// Also an extent with one of its two chunks is compacted.
const LIVE_SHARE_MIN: f64 = 0.9;

fn numbered(number: u64) -> (ChunkId, Bytes) {
    chunk(number, LEN)
}

/// A node that several use at once.
fn begin(disks: &[&MemoryDisk]) -> Arc<TestNode> {
    Arc::new(TestNode::open(disks))
}

/// Chunks 0 to 5 in three extents, two in each; 0 and 4 are deleted, so that 1 and 5 will be moved.
fn beginning() -> MemoryDisk {
    prepare(|| async {
        let disk = MemoryDisk::new();
        let node = TestNode::open(&[&disk]);
        for number in 0..6 {
            assert!(node.put(&numbered(number)).await.unwrap());
        }
        node.delete(&[numbered(0).0, numbered(4).0]).await.unwrap();
        node.stop().await;
        disk
    })
}

/// How far a change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Done {
    No,
    Begun,
    Answered,
}

/// What is known of a chunk by those who changed it.
#[derive(Debug, Clone, Copy)]
struct Known {
    put: Done,
    deletion: Done,
}

/// A node that several use at once, and what they were told. No chunk is put and deleted by different ones.
struct Shared {
    node: TestNode,
    known: Mutex<BTreeMap<u64, Known>>,
    /// Whether the power may be cut while they do: then anything may fail.
    may_fail: bool,
}

impl Shared {
    fn open(disk: &MemoryDisk, may_fail: bool) -> Arc<Self> {
        let there = |number| {
            let done = |is_done| if is_done { Done::Answered } else { Done::No };
            let known = Known {
                put: done(number < 6),
                deletion: done(number == 0 || number == 4),
            };
            (number, known)
        };
        Arc::new(Self {
            node: TestNode::open(&[disk]),
            known: Mutex::new((0..12).map(there).collect()),
            may_fail,
        })
    }

    fn known(&self, number: u64) -> Known {
        self.known.lock().unwrap()[&number]
    }

    fn note(&self, number: u64, note: impl Fn(&mut Known)) {
        note(self.known.lock().unwrap().get_mut(&number).unwrap());
    }

    fn check_done<T>(&self, result: Result<T, WireError>) -> Option<T> {
        assert!(self.may_fail || result.is_ok(), "{:?}", result.err());
        result.ok()
    }

    async fn put(&self, number: u64) {
        let was_there = self.known(number).put == Done::Answered;
        self.note(number, |known| known.put = known.put.max(Done::Begun));
        let stored = self.node.put(&numbered(number)).await;
        if let Some(stored) = self.check_done(stored) {
            assert_eq!(stored, !was_there);
            self.note(number, |known| known.put = Done::Answered);
        }
    }

    async fn delete(&self, number: u64) {
        self.note(number, |known| known.deletion = Done::Begun);
        let deleted = self.node.delete_what_can(&[numbered(number).0]).await;
        if let Some(done) = self.check_done(deleted)
            && done.kept.is_empty()
        {
            self.note(number, |known| known.deletion = Done::Answered);
        }
    }

    async fn read(&self, number: u64) {
        let (id, right) = numbered(number);
        let before = self.known(number);
        let read = self.node.node.open_chunk(&id).await;
        let after = self.known(number);
        match read.map_err(WireError::from) {
            Ok(OpenChunk::Bytes(bytes)) => {
                assert!(bytes == right, "wrong bytes of chunk {number}");
                assert!(before.deletion < Done::Answered, "chunk {number} is back");
                assert!(after.put >= Done::Begun, "chunk {number} is from nowhere");
            }
            Ok(OpenChunk::File(_)) => panic!("small chunks are read at once"),
            Err(error) if error.code == ErrorCode::NotFound => {
                assert!(
                    before.put < Done::Answered || after.deletion >= Done::Begun,
                    "chunk {number} is missing"
                );
            }
            Err(error) => assert!(self.may_fail, "chunk {number}: {error}"),
        }
    }

    async fn compact(&self) {
        compact_all(&self.node.node, 0, LIVE_SHARE_MIN, &mut BTreeSet::new()).await;
    }

    async fn seal(&self) {
        let sealed = self.node.node.disks()[0].writer.seal().await;
        self.check_done(sealed.map_err(WireError::from));
    }

    /// Everything that a node does at once.
    fn begin_all(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let (putting, again, deleting) = (self.clone(), self.clone(), self.clone());
        let (compacting, sealing) = (self.clone(), self.clone());
        let mut tasks = vec![
            spawn(async move {
                putting.put(10).await;
                putting.put(11).await;
            }),
            spawn(async move {
                again.put(3).await;
                again.put(9).await;
            }),
            spawn(async move { deleting.delete(5).await }),
            spawn(async move { compacting.compact().await }),
            spawn(async move { sealing.seal().await }),
        ];
        for numbers in [[1, 5, 10], [5, 3, 1]] {
            let reading = self.clone();
            tasks.push(spawn(async move {
                for number in numbers {
                    reading.read(number).await;
                }
            }));
        }
        tasks
    }

    /// Whether compaction has moved chunk 1.
    fn has_moved(&self) -> bool {
        let found = self.node.node.disks()[0].store.find(&numbered(1).0);
        found.unwrap().unwrap().location.extent > 1
    }

    /// Whether some of the new chunks were stored, and others not.
    fn was_broken_off(&self) -> bool {
        let is_stored = [9, 10, 11].map(|number| self.known(number).put == Done::Answered);
        is_stored.contains(&true) && is_stored.contains(&false)
    }

    /// What was answered is so.
    async fn check_known(&self, node: &TestNode) {
        let known = self.known.lock().unwrap().clone();
        for (number, known) in known {
            let (id, right) = numbered(number);
            match node.get(&id).await {
                Ok(bytes) => {
                    assert!(bytes == right, "wrong bytes of chunk {number}");
                    assert!(known.deletion < Done::Answered, "chunk {number} is back");
                    assert!(known.put >= Done::Begun, "chunk {number} is from nowhere");
                }
                // A power cut may have torn what was never answered.
                Err(error) if known.put == Done::Begun => {
                    let is_torn = error.code == ErrorCode::Corrupt;
                    assert!(is_torn || error.code == ErrorCode::NotFound, "{error}");
                }
                Err(error) => {
                    assert_eq!(error.code, ErrorCode::NotFound, "chunk {number}");
                    assert!(
                        known.put < Done::Answered || known.deletion >= Done::Begun,
                        "chunk {number} is lost"
                    );
                }
            }
        }
    }
}

async fn join_all(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        threads::join(task).await;
    }
}

#[test]
fn puts_a_deletion_reads_and_a_compaction_at_once() {
    let beginning = beginning();
    let moved = Happened::default();
    let count = moved.clone();
    check(fuzz::cases(300), move || {
        let (disk, moved) = (beginning.fork(), count.clone());
        async move {
            let shared = Shared::open(&disk, false);
            join_all(shared.begin_all()).await;
            moved.note(shared.has_moved());
            shared.check_known(&shared.node).await;
            disk.crash(&mut rng(draw()));
            shared.node.stop_writers().await;
            let node = TestNode::open(&[&disk]);
            shared.check_known(&node).await;
            node.stop().await;
        }
    });
    moved.expect("did compaction move a chunk");
}

#[test]
fn a_power_cut_amid_all_that_a_node_does() {
    let beginning = beginning();
    let broken_off = Happened::default();
    let count = broken_off.clone();
    check(fuzz::cases(300), move || {
        let (disk, broken_off) = (beginning.fork(), count.clone());
        async move {
            let shared = Shared::open(&disk, true);
            let mut tasks = shared.begin_all();
            let cut = disk.clone();
            tasks.push(spawn(async move {
                for _ in 0..draw() % 64 {
                    switch();
                }
                cut.stop_after(draw() % 4);
            }));
            join_all(tasks).await;
            broken_off.note(shared.was_broken_off());
            disk.crash(&mut rng(draw()));
            shared.node.stop_writers().await;
            let node = TestNode::open(&[&disk]);
            shared.check_known(&node).await;
            node.stop().await;
        }
    });
    broken_off.expect("was the power cut between one put and another");
}
