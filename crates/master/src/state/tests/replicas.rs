//! Copies that are found, lost, surplus, garbage or unknown.

use proto::ErrorCode;
use proto::id::ChunkId;

use super::audit::holds;
use super::bench::{Bench, changed, chunk, code, numbers, sent};
use crate::command::{ClusterMillis, Command, NodeNumber};

const NODE: NodeNumber = NodeNumber(4);

fn add(bench: &mut Bench, node: u32, number: u32, len: u32) -> u64 {
    let outcome = bench.apply(Command::AddReplicas {
        node: NodeNumber(node),
        down: Vec::new(),
        chunks: vec![(chunk(number).chunk, len)],
    });
    changed(outcome)
}

fn trim(bench: &mut Bench, node: u32, down: &[u32]) -> u64 {
    let outcome = bench.apply(Command::TrimReplicas {
        down: numbers(down),
        copies: vec![(chunk(1).chunk, NodeNumber(node))],
    });
    changed(outcome)
}

fn note(bench: &mut Bench, chunks: &[ChunkId]) -> u64 {
    note_after(bench, u64::MAX, chunks)
}

fn note_after(bench: &mut Bench, seen_before: u64, chunks: &[ChunkId]) -> u64 {
    let outcome = bench.apply(Command::NoteUnknownChunks {
        node: NODE,
        seen_before: ClusterMillis(seen_before),
        chunks: chunks.to_vec(),
    });
    changed(outcome)
}

fn delete_unknown(bench: &mut Bench, seen_before: u64, chunks: &[ChunkId]) -> u64 {
    let outcome = bench.apply(Command::DeleteUnknownChunks {
        node: NODE,
        seen_before: ClusterMillis(seen_before),
        chunks: chunks.to_vec(),
    });
    changed(outcome)
}

#[test]
fn unknown_chunks_go_only_as_the_fuse_lets_them() {
    let mut bench = Bench::new(4);
    let ids = |range: std::ops::Range<u32>| range.map(|n| chunk(n).chunk).collect::<Vec<_>>();
    for _ in 0..2 {
        assert_eq!(note(&mut bench, &ids(0..1600)), 1600);
    }
    let before = bench.now + 1;
    assert_eq!(delete_unknown(&mut bench, before, &ids(0..900)), 900);
    let delete = |range| Command::DeleteUnknownChunks {
        node: NODE,
        seen_before: ClusterMillis(before),
        chunks: ids(range),
    };
    let refused = bench.apply(delete(900..1001));
    assert_eq!(code(refused), ErrorCode::PreconditionFailed);

    let (copies, of) = (500, 0);
    bench.apply(Command::TripDeleteFuse { copies, of }).unwrap();
    let refused = bench.apply(delete(900..901));
    assert_eq!(code(refused), ErrorCode::PreconditionFailed);
    bench.apply(Command::ResetDeleteFuse).unwrap();
    assert_eq!(delete_unknown(&mut bench, before, &ids(900..1500)), 600);
    let refused = bench.apply(delete(1500..1501));
    assert_eq!(code(refused), ErrorCode::PreconditionFailed);
}

#[test]
fn a_copy_is_added_only_where_it_is_true_and_wanted() {
    let mut bench = Bench::new(4);
    bench.put("/f", &[chunk(1)]);
    assert_eq!(add(&mut bench, 4, 1, 100), 1);
    assert_eq!(add(&mut bench, 4, 1, 100), 0, "again");
    assert_eq!(add(&mut bench, 4, 2, 100), 0, "not known");
    assert_eq!(add(&mut bench, 9, 1, 100), 0, "no such node");
    bench.put("/g", &[chunk(3)]);
    assert_eq!(add(&mut bench, 4, 3, 99), 0, "another length");
    let needy = bench.read().needs_copies_page(None, 10).unwrap();
    assert_eq!(needy.len(), 1, "one has too many copies");
}

#[test]
fn a_lost_copy_is_noted_and_needs_another() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    let lost = Command::RemoveReplicas {
        node: NodeNumber(2),
        chunks: vec![chunk(1).chunk, chunk(2).chunk],
    };
    assert_eq!(changed(bench.apply(lost)), 1);
    let needy = bench.read().needs_copies_page(None, 10).unwrap();
    assert_eq!(needy[0].1.replicas, numbers(&[1, 3]));
    assert_eq!(bench.read().counters().unwrap().planned_deletions, 0);
    assert_eq!(bench.read().counters().unwrap().chunks_by_copies[2], 1);
}

#[test]
fn a_copy_on_a_failed_disk_stays_known_until_there_are_enough_others() {
    let mut bench = Bench::new(4);
    bench.put("/f", &[chunk(1)]);
    let fail = |bench: &mut Bench, node| {
        let failing = Command::NoteFailing {
            node: NodeNumber(node),
            chunks: vec![chunk(1).chunk, chunk(2).chunk],
        };
        changed(bench.apply(failing))
    };
    let row = |bench: &Bench| bench.read().chunk(&chunk(1).chunk).unwrap().unwrap();
    for node in [1, 2, 3] {
        assert_eq!(fail(&mut bench, node), 1);
        assert_eq!(fail(&mut bench, node), 0, "it is noted");
    }
    assert_eq!(fail(&mut bench, 4), 0, "not a copy");
    assert_eq!(row(&bench).failing, numbers(&[1, 2, 3]));
    let by_copies = bench.read().counters().unwrap().chunks_by_copies;
    assert_eq!((by_copies[0], by_copies[1]), (0, 1), "it can be read");
    let upload = bench.upload_id();
    let allocated = bench.allocate(upload, &[chunk(1)], &[1, 4]).unwrap();
    assert_eq!(allocated, [sent(upload, &[1, 4])], "it does not count");

    add(&mut bench, 4, 1, 100);
    add(&mut bench, 1, 1, 100);
    let now = row(&bench);
    assert_eq!(
        (now.replicas, now.failing),
        (numbers(&[1, 4]), numbers(&[2, 3]))
    );
    add(&mut bench, 2, 1, 100);
    assert!(row(&bench).failing.is_empty());
}

/// Of the other copies one was on a node that was dead: the one on the failed disk was forgotten, and could not be read
/// any more, while there were only two that could.
#[test]
fn copies_on_nodes_that_are_down_do_not_make_up_for_one_on_a_failed_disk() {
    let mut bench = Bench::new(4);
    bench.put("/f", &[chunk(1)]);
    let fail = Command::NoteFailing {
        node: NodeNumber(1),
        chunks: vec![chunk(1).chunk],
    };
    bench.apply(fail).unwrap();
    let found = |down: &[u32], node| Command::AddReplicas {
        node: NodeNumber(node),
        down: numbers(down),
        chunks: vec![(chunk(1).chunk, 100)],
    };
    let failing = |bench: &Bench| {
        bench
            .read()
            .chunk(&chunk(1).chunk)
            .unwrap()
            .unwrap()
            .failing
    };
    bench.apply(found(&[2], 4)).unwrap();
    assert_eq!(failing(&bench), numbers(&[1]));
    let lost = Command::RemoveReplicas {
        node: NodeNumber(4),
        chunks: vec![chunk(1).chunk],
    };
    bench.apply(lost).unwrap();
    bench.apply(found(&[], 4)).unwrap();
    assert_eq!(failing(&bench), []);
}

#[test]
fn copies_on_failed_disks_are_deleted_with_the_others() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    bench
        .apply(Command::NoteFailing {
            node: NodeNumber(2),
            chunks: vec![chunk(1).chunk],
        })
        .unwrap();
    bench.delete("/f", true).unwrap();
    bench.sweep(0, 0, 0);
    assert_eq!(bench.collect(), 3);
}

#[test]
fn only_a_surplus_copy_is_trimmed() {
    let mut bench = Bench::new(5);
    bench.put("/f", &[chunk(1)]);
    assert_eq!(trim(&mut bench, 1, &[]), 0, "no surplus");
    add(&mut bench, 4, 1, 100);
    assert_eq!(trim(&mut bench, 1, &[4]), 0, "another one is down");
    let upload = bench.upload_id();
    bench.allocate(upload, &[chunk(1)], &[4, 5]).unwrap();
    assert_eq!(trim(&mut bench, 1, &[]), 1);
    assert_eq!(trim(&mut bench, 2, &[]), 0, "no surplus any more");
    assert!(!holds(&bench.state, NodeNumber(1), &chunk(1).chunk));
    assert_eq!(add(&mut bench, 1, 1, 100), 0, "its deletion is planned");
}

/// A corrupt copy is not on record any more, and has to go all the same.
#[test]
fn a_copy_that_is_not_on_record_is_trimmed_when_nobody_needs_it() {
    let mut bench = Bench::new(5);
    bench.put("/f", &[chunk(1)]);
    assert_eq!(trim(&mut bench, 5, &[2]), 0, "one of the others is down");
    assert_eq!(trim(&mut bench, 5, &[]), 1);
    bench.delete("/f", true).unwrap();
    bench.sweep(0, 0, 0);
    assert_eq!(trim(&mut bench, 4, &[]), 0, "nothing names the chunk");
}

/// A corrupt copy of a chunk that nothing names was forgotten, and stayed when the chunk went.
#[test]
fn corrupt_copies_go_with_their_chunk() {
    let mut bench = Bench::new(5);
    bench.put("/f", &[chunk(1)]);
    bench.delete("/f", true).unwrap();
    bench.sweep(0, 0, 0);
    for node in [1, 5] {
        bench
            .apply(Command::RemoveReplicas {
                node: NodeNumber(node),
                chunks: vec![chunk(1).chunk],
            })
            .unwrap();
    }
    assert_eq!(bench.collect(), 4);
}

/// A trim must not take a copy whose receipt an uploader may hold.
#[test]
fn a_promised_copy_is_not_trimmed() {
    let mut bench = Bench::new(4);
    bench.put("/f", &[chunk(1)]);
    let upload = bench.upload_id();
    let promise = Command::AllocateChunks {
        upload,
        lease_until: ClusterMillis(9_999),
        chunks: vec![crate::command::ChunkPromise {
            chunk: chunk(1),
            nodes: numbers(&[3, 4]),
        }],
        promise: super::bench::promise_of(upload),
        doubtful: numbers(&[1, 2, 3]),
        deletions_wait: false,
    };
    bench.apply(promise).unwrap();
    add(&mut bench, 4, 1, 100);
    assert_eq!(trim(&mut bench, 4, &[]), 0);
    assert_eq!(trim(&mut bench, 2, &[]), 1);
}

#[test]
fn garbage_is_collected_only_when_old_and_still_garbage() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1), chunk(2)]);
    bench.delete("/f", true).unwrap();
    bench.sweep(0, 0, 0);
    let since = bench
        .read()
        .chunk(&chunk(1).chunk)
        .unwrap()
        .unwrap()
        .unreferenced_since;
    let early = bench.apply(Command::CollectGarbage {
        unreferenced_before: since,
        chunks: vec![chunk(1).chunk],
    });
    assert_eq!(changed(early), 0);
    let listed = bench.read().garbage_page(since, None, 10).unwrap();
    assert!(listed.is_empty());
    let listed = bench
        .read()
        .garbage_page(ClusterMillis(since.0 + 1), None, 10)
        .unwrap();
    assert_eq!(listed.len(), 2);
    // Chosen from this page, chunk 2 is needed again before it is collected.
    bench.put("/g", &[chunk(2)]);
    let outcome = bench.apply(Command::CollectGarbage {
        unreferenced_before: ClusterMillis(since.0 + 1),
        chunks: listed.into_iter().map(|(_, chunk)| chunk).collect(),
    });
    assert_eq!(changed(outcome), 3);
    assert!(holds(&bench.state, NodeNumber(1), &chunk(2).chunk));
    let planned = bench
        .read()
        .planned_deletions_page(NodeNumber(1), None, 10)
        .unwrap();
    assert_eq!(planned, [chunk(1).chunk]);
    assert_eq!(
        bench
            .read()
            .node_tally(NodeNumber(1))
            .unwrap()
            .planned_deletions,
        1
    );
}

#[test]
fn an_unknown_chunk_is_deleted_after_two_inventories_and_the_grace_period() {
    let mut bench = Bench::new(4);
    bench.put("/f", &[chunk(1)]);
    let unknown = [chunk(1).chunk, chunk(8).chunk, chunk(9).chunk];
    assert_eq!(note(&mut bench, &unknown), 2, "chunk 1 is known");
    let seen = bench.now;
    assert_eq!(
        delete_unknown(&mut bench, seen + 1, &unknown),
        0,
        "one inventory"
    );
    assert_eq!(note(&mut bench, &unknown[..2]), 1);
    assert_eq!(delete_unknown(&mut bench, seen, &unknown), 0, "too early");
    assert_eq!(delete_unknown(&mut bench, seen + 1, &unknown), 1);
    let planned = bench.read().planned_deletions_page(NODE, None, 10).unwrap();
    assert_eq!(planned, [chunk(8).chunk]);
    assert_eq!(note(&mut bench, &unknown[..2]), 0, "it goes anyway");
    let left = bench.read().unknown_page(NODE, None, 10).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].chunk, left[0].inventories), (chunk(9).chunk, 1));
}

/// A comparison was cut off and begun again: what it had seen the first time counted as seen in two inventories.
#[test]
fn what_is_seen_again_soon_is_no_other_inventory() {
    let mut bench = Bench::new(4);
    let ids = [chunk(8).chunk];
    assert_eq!(note(&mut bench, &ids), 1);
    let first = bench.read().unknown_page(NODE, None, 10).unwrap()[0].first_seen;
    assert_eq!(note_after(&mut bench, first.0, &ids), 1);
    let far = bench.now + 100;
    assert_eq!(delete_unknown(&mut bench, far, &ids), 0);
    assert_eq!(note_after(&mut bench, first.0 + 1, &ids), 1);
    assert_eq!(delete_unknown(&mut bench, far, &ids), 1);
}

#[test]
fn an_unknown_chunk_that_is_promised_or_known_by_now_is_kept() {
    let mut bench = Bench::new(4);
    let ids = [chunk(8).chunk];
    assert_eq!(note(&mut bench, &ids), 1);
    assert_eq!(note(&mut bench, &ids), 1);
    let far = bench.now + 100;
    let upload = bench.upload_id();
    bench.allocate(upload, &[chunk(8)], &[1, 4]).unwrap();
    assert_eq!(delete_unknown(&mut bench, far, &ids), 0, "promised");
    let chunks = [super::bench::stored(upload, &chunk(8), &[1, 4])];
    bench.commit(upload, "/f", 0, &chunks).unwrap();
    assert_eq!(delete_unknown(&mut bench, far, &ids), 0, "recorded");
    assert!(
        bench
            .read()
            .unknown_page(NODE, None, 10)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn pages_of_a_node_go_by_id_and_by_bucket() {
    let mut bench = Bench::new(3);
    let chunks: Vec<_> = (0..300).map(chunk).collect();
    bench.put("/f", &chunks);
    let mut ids: Vec<_> = chunks.iter().map(|c| c.chunk).collect();
    ids.sort();
    let snapshot = bench.read();
    let node = NodeNumber(1);
    let mut found: Vec<ChunkId> = Vec::new();
    loop {
        let page = snapshot.node_chunks_page(node, found.last(), 70).unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found, ids);
    for bucket in 0..=u8::MAX {
        let expected: Vec<_> = ids
            .iter()
            .copied()
            .filter(|id| id.bucket() == bucket)
            .collect();
        let page = snapshot.node_bucket_page(node, bucket, None, 70).unwrap();
        assert_eq!(page, expected);
        let after = snapshot
            .node_bucket_page(node, bucket, expected.last(), 70)
            .unwrap();
        assert!(expected.is_empty() || after.is_empty());
        let digest = snapshot.bucket_digests(node).unwrap()[usize::from(bucket)];
        assert_eq!(digest.count, expected.len() as u64);
    }
    let beyond = ChunkId::from_bytes([255; 32]);
    assert!(
        snapshot
            .node_bucket_page(node, 3, Some(&beyond), 9)
            .unwrap()
            .is_empty()
    );
}
