//! Puts and deletions of one chunk at once: some order, one after another, explains what all were told.

use disk::{Disk, MemoryDisk, Space};
use proto::ErrorCode;
use threads::races::{Happened, check, draw, prepare};
use threads::{JoinHandle, spawn};

use super::super::support::{TestNode, order, rng};
use super::{LEN, begin, numbered};

/// The highest order that the node has seen at the beginning.
const SEEN: u64 = 5;

/// What one did to the chunk, and was told.
#[derive(Debug, Clone, Copy)]
enum Did {
    Put {
        is_new: bool,
    },
    Deleted {
        sequence: u64,
        was_there: bool,
    },
    /// The order came after a later one.
    Refused {
        sequence: u64,
    },
}

impl Did {
    /// How the chunk is, and which order was seen last, after it was done in such a state; nothing if that cannot be.
    fn after(self, is_there: bool, seen: u64) -> Option<(bool, u64)> {
        match self {
            Self::Put { is_new } => (is_new != is_there).then_some((true, seen)),
            Self::Deleted {
                sequence,
                was_there,
            } => (sequence > seen && was_there == is_there).then_some((false, sequence)),
            Self::Refused { sequence } => (sequence <= seen).then_some((is_there, seen)),
        }
    }
}

/// Whether there is an order of all of them from one state to the other.
fn is_explained((is_there, seen): (bool, u64), did: &[Did], end: bool) -> bool {
    if did.is_empty() {
        return is_there == end;
    }
    (0..did.len()).any(|first| {
        let mut rest = did.to_vec();
        let after = rest.remove(first).after(is_there, seen);
        after.is_some_and(|state| is_explained(state, &rest, end))
    })
}

fn beginning() -> MemoryDisk {
    prepare(|| async {
        let disk = MemoryDisk::new();
        let node = TestNode::open(&[&disk]);
        node.node.delete(order(SEEN), &[]).await.unwrap();
        assert!(node.put(&numbered(1)).await.unwrap());
        node.stop().await;
        disk
    })
}

async fn put(node: &TestNode) -> Did {
    let is_new = node.put(&numbered(1)).await.unwrap();
    Did::Put { is_new }
}

async fn delete(node: &TestNode, sequence: u64) -> Did {
    match node.node.delete(order(sequence), &[numbered(1).0]).await {
        Ok(done) => {
            assert!(done.kept.is_empty());
            let was_there = done.deleted == 1;
            Did::Deleted {
                sequence,
                was_there,
            }
        }
        Err(error) => {
            assert_eq!(error.code, ErrorCode::StaleOrder);
            Did::Refused { sequence }
        }
    }
}

async fn all_of(tasks: Vec<JoinHandle<Did>>) -> Vec<Did> {
    let mut did = Vec::new();
    for task in tasks {
        did.push(threads::join(task).await.unwrap());
    }
    did
}

#[test]
fn a_chunk_is_put_and_deleted_at_once() {
    let beginning = beginning();
    let (anew, overtaken) = (Happened::default(), Happened::default());
    let counts = (anew.clone(), overtaken.clone());
    check(fuzz::cases(300), move || {
        let disk = beginning.fork();
        let (anew, overtaken) = counts.clone();
        async move {
            let node = begin(&[&disk]);
            let mut tasks = Vec::new();
            for _ in 0..3 {
                let node = node.clone();
                tasks.push(spawn(async move { put(&node).await }));
            }
            for sequence in [SEEN, SEEN + 1, SEEN + 2] {
                let node = node.clone();
                tasks.push(spawn(async move { delete(&node, sequence).await }));
            }
            let did = all_of(tasks).await;
            let new = |did: &Did| matches!(did, Did::Put { is_new: true });
            let late = |did: &Did| matches!(did, Did::Refused { sequence } if *sequence > SEEN);
            anew.note(did.iter().any(new));
            overtaken.note(did.iter().any(late));
            disk.crash(&mut rng(draw()));
            node.stop_writers().await;
            let node = begin(&[&disk]);
            let is_there = node.get(&numbered(1).0).await.is_ok();
            assert!(
                is_explained((true, SEEN), &did, is_there),
                "{did:?}, then {is_there}"
            );
            let late = delete(&node, SEEN + 2).await;
            assert!(
                matches!(late, Did::Refused { .. }),
                "an old order is carried out"
            );
            node.stop_writers().await;
        }
    });
    anew.expect("was the chunk put after a deletion");
    overtaken.expect("did one order overtake another");
}

/// So little that a chunk more or less makes a difference to whoever chooses a disk.
fn leave_little_room(disk: &MemoryDisk) {
    let Space { capacity, free, .. } = disk.space().unwrap();
    disk.set_capacity(capacity - free + 100 * LEN as u64);
}

/// The disks have other room at each moment: the chunk goes to one of them all the same, and is new once.
#[test]
fn a_chunk_that_is_put_several_times_at_once_is_stored_once() {
    let places = [Happened::default(), Happened::default()];
    let counts = places.clone();
    check(fuzz::cases(300), move || {
        let places = counts.clone();
        async move {
            let disks = [MemoryDisk::new(), MemoryDisk::new()];
            let node = begin(&[&disks[0], &disks[1]]);
            disks.iter().for_each(leave_little_room);
            let mut tasks = Vec::new();
            for number in [1, 2, 1, 3, 1] {
                let node = node.clone();
                tasks.push(spawn(async move {
                    let is_new = node.put(&numbered(number)).await.unwrap();
                    (number == 1 && is_new).then_some(())
                }));
            }
            let mut stored = 0;
            for task in tasks {
                stored += usize::from(threads::join(task).await.unwrap().is_some());
            }
            assert_eq!(stored, 1);
            let disks = node.node.disks();
            let mut has = 0;
            for (disk, place) in disks.iter().zip(&places) {
                let is_here = disk.store.find(&numbered(1).0).unwrap().is_some();
                place.note(is_here);
                has += usize::from(is_here);
            }
            assert_eq!(has, 1, "it is on both disks");
            node.stop_writers().await;
        }
    });
    for place in places {
        place.expect("was the chunk on this disk");
    }
}
