//! What proves that a chunk is stored: receipts for promises that are held, and copies that can be counted on.

use proto::ErrorCode;
use proto::id::{PromiseId, UploadId};
use proto::master::StoredChunk;

use super::bench::{Bench, changed, chunk, code, node_id, numbers, sent, stored, with_receipts};
use crate::command::{ChunkPromise, ClusterMillis, Command, NodeNumber};
use crate::state::{Allocation, Outcome};

#[test]
fn only_receipts_that_prove_a_promised_copy_count() {
    let mut bench = Bench::new(4);
    let (one, two) = (chunk(1), chunk(2));
    let upload = bench.upload_id();
    let other = bench.upload_id();
    bench.allocate(upload, &[one, two], &[1, 2, 3]).unwrap();
    let try_commit = |bench: &mut Bench, chunk: StoredChunk| {
        let result = bench.commit(upload, "/f", 0, &[chunk]);
        assert_eq!(code(result), ErrorCode::NotEnoughReplicas);
    };
    try_commit(&mut bench, stored(upload, &one, &[]));
    try_commit(&mut bench, stored(upload, &one, &[1]));
    try_commit(&mut bench, stored(upload, &one, &[1, 1, 1]));
    // Node 4 was not promised it, node 9 is not known.
    try_commit(&mut bench, stored(upload, &one, &[1, 4, 9]));
    // Receipts of another upload, of another chunk.
    try_commit(&mut bench, stored(other, &one, &[1, 2, 3]));
    let mut mixed = stored(upload, &two, &[1, 2, 3]);
    mixed.chunk = one.chunk;
    try_commit(&mut bench, mixed);
    let committed = bench
        .commit(upload, "/f", 0, &[stored(upload, &one, &[3, 1])])
        .unwrap();
    assert_eq!(committed.copies, 2);
    let row = bench.read().chunk(&one.chunk).unwrap().unwrap();
    assert_eq!(row.replicas, numbers(&[1, 3]));
    let needy = bench.read().needs_copies_page(None, 10).unwrap();
    assert_eq!(needy.len(), 1);
}

#[test]
fn a_receipt_of_a_removed_node_does_not_count() {
    let mut bench = Bench::new(3);
    let upload = bench.upload_id();
    bench.allocate(upload, &[chunk(1)], &[1, 2]).unwrap();
    bench
        .apply(Command::RemoveNode { node: node_id(2) })
        .unwrap();
    let result = bench.commit(upload, "/f", 0, &[stored(upload, &chunk(1), &[1, 2])]);
    assert_eq!(code(result), ErrorCode::NotEnoughReplicas);
}

#[test]
fn a_stored_chunk_that_lost_its_copies_has_to_be_sent_after_all() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    let upload = bench.upload_id();
    bench.allocate(upload, &[chunk(1)], &[1, 2, 3]).unwrap();
    for node in [1, 2] {
        let lost = Command::RemoveReplicas {
            node: NodeNumber(node),
            chunks: vec![chunk(1).chunk],
        };
        assert_eq!(changed(bench.apply(lost)), 1);
    }
    let result = bench.commit(upload, "/g", 0, &[stored(upload, &chunk(1), &[])]);
    assert_eq!(code(result), ErrorCode::NotEnoughReplicas);
    bench.allocate(upload, &[chunk(1)], &[1, 2, 3]).unwrap();
    let chunks = [stored(upload, &chunk(1), &[1, 2])];
    assert_eq!(bench.commit(upload, "/g", 0, &chunks).unwrap().copies, 3);
}

/// A node found its copy corrupt, and said so, before the upload was committed: with its receipt that copy counted as one
/// of two.
#[test]
fn a_receipt_for_a_copy_that_was_found_to_be_bad_does_not_count() {
    let mut bench = Bench::new(4);
    let upload = bench.upload_id();
    bench.allocate(upload, &[chunk(1)], &[1, 2, 3]).unwrap();
    let corrupt = Command::RemoveReplicas {
        node: NodeNumber(2),
        chunks: vec![chunk(1).chunk],
    };
    assert_eq!(changed(bench.apply(corrupt)), 0, "none was on record");
    let with_the_bad_one = [stored(upload, &chunk(1), &[1, 2])];
    let result = bench.commit(upload, "/f", 0, &with_the_bad_one);
    assert_eq!(code(result), ErrorCode::NotEnoughReplicas);
    let again = bench.allocate(upload, &[chunk(1)], &[1, 2, 4]).unwrap();
    assert_eq!(again, [sent(upload, &[1, 4])]);
    let chunks = [stored(upload, &chunk(1), &[1, 2, 4])];
    assert_eq!(bench.commit(upload, "/f", 0, &chunks).unwrap().copies, 2);
}

#[test]
fn copies_on_nodes_that_are_down_are_no_reason_not_to_send() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    bench.down = numbers(&[1, 2]);
    let upload = bench.upload_id();
    let allocated = bench.allocate(upload, &[chunk(1)], &[2, 3]).unwrap();
    assert_eq!(allocated, [sent(upload, &[2, 3])]);
    let result = bench.commit(upload, "/g", 0, &[stored(upload, &chunk(1), &[3])]);
    assert_eq!(code(result), ErrorCode::NotEnoughReplicas);
}

/// Two of three nodes died after a client was told that its chunk is stored. The master crashed and forgot that promise,
/// and took the copies on record, dead nodes and all, for proof.
#[test]
fn copies_on_nodes_that_are_down_prove_nothing_after_a_lost_promise() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    let upload = bench.upload_id();
    bench.allocate(upload, &[], &[]).unwrap();
    bench.down = numbers(&[1, 2]);
    let claimed = [stored(upload, &chunk(1), &[])];
    let result = bench.commit(upload, "/g", 0, &claimed);
    assert_eq!(code(result), ErrorCode::NotEnoughReplicas);
    bench.down = numbers(&[1]);
    assert_eq!(bench.commit(upload, "/g", 0, &claimed).unwrap().copies, 2);
}

/// The answer to an upload says how many copies there are now: those on a dead node are none.
#[test]
fn a_commit_counts_copies_on_nodes_that_are_not_down() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    bench.down = numbers(&[2]);
    assert_eq!(bench.put("/stored-before", &[chunk(1)]).copies, 2);
    // What a node signed for is there, although the master has just lost sight of the node.
    let upload = bench.upload_id();
    bench.allocate(upload, &[chunk(2)], &[1, 2, 3]).unwrap();
    let chunks = [stored(upload, &chunk(2), &[1, 2, 3])];
    assert_eq!(bench.commit(upload, "/new", 0, &chunks).unwrap().copies, 3);
}

/// An upload is over, what it stored is deleted, and its id is forgotten. The client comes back and goes on: it is promised
/// the same nodes again, but its receipts of before are for copies that are gone.
#[test]
fn an_upload_that_is_opened_again_cannot_redeem_old_receipts() {
    let mut bench = Bench::new(3);
    let upload = bench.upload_id();
    bench.allocate(upload, &[chunk(1)], &[1, 2, 3]).unwrap();
    let receipts = [stored(upload, &chunk(1), &[1, 2, 3])];
    let expired_by = Some(ClusterMillis(u64::MAX));
    bench
        .apply(Command::EndUpload { upload, expired_by })
        .unwrap();
    assert_eq!(bench.collect(), 3);
    for node in [1, 2, 3].map(NodeNumber) {
        let chunks = vec![chunk(1).chunk];
        bench
            .apply(Command::ConfirmDeletions { node, chunks })
            .unwrap();
    }
    let again = bench.allocate(upload, &[chunk(1)], &[1, 2, 3]);
    assert_eq!(code(again), ErrorCode::UploadUnknown);
    bench.sweep(0, 0, bench.now + 1);
    assert_promised_anew(&mut bench, upload, &receipts);
}

/// The master lost a promise in a crash, though not the upload, of which it has recorded a block. Meanwhile another
/// upload of the same bytes came and went, and what it left was deleted.
#[test]
fn a_promise_that_was_forgotten_is_not_kept_by_old_receipts() {
    let mut bench = Bench::new(3);
    let upload = bench.upload_id();
    bench.allocate(upload, &[], &[]).unwrap();
    let receipts = [stored(upload, &chunk(1), &[1, 2, 3])];
    assert_promised_anew(&mut bench, upload, &receipts);
}

/// A chunk is promised to the same nodes as when these receipts were given, and they do not count.
fn assert_promised_anew(bench: &mut Bench, upload: UploadId, receipts: &[StoredChunk]) {
    let promise = PromiseId::new(uuid::Uuid::from_u128(5));
    let allocate = Command::AllocateChunks {
        upload,
        lease_until: ClusterMillis(u64::MAX),
        promise,
        doubtful: Vec::new(),
        deletions_wait: false,
        chunks: vec![ChunkPromise {
            chunk: chunk(1),
            nodes: numbers(&[1, 2, 3]),
        }],
    };
    let nodes = numbers(&[1, 2, 3]);
    let expected = Outcome::Allocated(vec![Allocation::Promised { promise, nodes }]);
    assert_eq!(bench.apply(allocate), Ok(expected));
    let late = bench.commit(upload, "/late", 0, receipts);
    assert_eq!(code(late), ErrorCode::NotEnoughReplicas);
    let anew = [1, 2, 3].map(|node| (node, promise));
    let sent_again = [with_receipts(&chunk(1), anew.into_iter())];
    assert_eq!(
        bench
            .commit(upload, "/late", 0, &sent_again)
            .unwrap()
            .copies,
        3
    );
}

/// A promise keeps its id while it is held: receipts that came before its nodes were widened still count.
#[test]
fn a_promise_that_is_widened_takes_the_receipts_of_before() {
    let mut bench = Bench::new(4);
    let upload = bench.upload_id();
    bench.allocate(upload, &[chunk(1)], &[1, 2, 3]).unwrap();
    let allocate = Command::AllocateChunks {
        upload,
        lease_until: ClusterMillis(u64::MAX),
        promise: PromiseId::new(uuid::Uuid::from_u128(5)),
        doubtful: Vec::new(),
        deletions_wait: false,
        chunks: vec![ChunkPromise {
            chunk: chunk(1),
            nodes: numbers(&[1, 4]),
        }],
    };
    let expected = Outcome::Allocated(vec![sent(upload, &[1, 4])]);
    assert_eq!(bench.apply(allocate), Ok(expected));
    let chunks = [stored(upload, &chunk(1), &[3, 4])];
    assert_eq!(bench.commit(upload, "/f", 0, &chunks).unwrap().copies, 2);
}

#[test]
fn a_promise_and_a_planned_deletion_of_a_copy_exclude_each_other() {
    let mut bench = Bench::new(5);
    bench.put("/f", &[chunk(1)]);
    bench.delete("/f", true).unwrap();
    bench.sweep(0, 0, 0);

    // A promise keeps the garbage.
    let upload = bench.upload_id();
    let allocated = bench.allocate(upload, &[chunk(1)], &[1, 2, 3]).unwrap();
    assert_eq!(allocated, [Allocation::Stored]);
    assert_eq!(bench.collect(), 0);
    bench
        .apply(Command::EndUpload {
            upload,
            expired_by: None,
        })
        .unwrap();
    assert_eq!(bench.collect(), 3);

    // A planned deletion keeps promises away from its node.
    let upload = bench.upload_id();
    let refused = bench.allocate(upload, &[chunk(1)], &[1, 2, 4]);
    assert_eq!(code(refused), ErrorCode::Unavailable);
    let allocated = bench.allocate(upload, &[chunk(1)], &[1, 4, 5]).unwrap();
    assert_eq!(allocated, [sent(upload, &[4, 5])]);
    let early = [stored(upload, &chunk(1), &[1, 4])];
    assert_eq!(
        code(bench.commit(upload, "/g", 0, &early)),
        ErrorCode::NotEnoughReplicas
    );

    for node in [1, 2, 3] {
        let confirm = Command::ConfirmDeletions {
            node: NodeNumber(node),
            chunks: vec![chunk(1).chunk],
        };
        assert_eq!(changed(bench.apply(confirm)), 1);
    }
    // What it deleted before it was named, it may have given a receipt for.
    let allocated = bench.allocate(upload, &[chunk(1)], &[1, 3, 4, 5]).unwrap();
    assert_eq!(allocated, [sent(upload, &[4, 5])]);
    let chunks = [stored(upload, &chunk(1), &[1, 4])];
    assert_eq!(
        code(bench.commit(upload, "/g", 0, &chunks)),
        ErrorCode::NotEnoughReplicas
    );
    let later = bench.upload_id();
    bench.allocate(later, &[chunk(1)], &[1, 2]).unwrap();
    let chunks = [stored(later, &chunk(1), &[1, 2])];
    assert_eq!(bench.commit(later, "/g", 0, &chunks).unwrap().copies, 2);
}
