//! Uploads: what a commit takes, and what an upload leaves behind.

use proto::ErrorCode;
use proto::id::VersionId;
use proto::master::{ChunkToStore, ClusterRules, Precondition, StoredChunk};

use super::audit::holds;
use super::bench::{
    Bench, CHUNK_SIZE, changed, chunk, chunk_of, code, numbers, path, rules, sent, stored,
};
use crate::command::{ClusterMillis, Command, NodeNumber};
use crate::state::{Allocation, Outcome};

#[test]
fn a_committed_file_has_its_chunks_in_order_with_their_copies() {
    let mut bench = Bench::new(3);
    let chunks = [chunk(2), chunk(1), chunk(2), chunk_of(3, 40)];
    let committed = bench.put("/f", &chunks);
    assert!(committed.created);
    assert_eq!(committed.copies, 3);
    let snapshot = bench.read();
    let (version, row) = snapshot.file(&path("/f"), None).unwrap();
    assert_eq!((version, row.size), (committed.version, 340));
    let found = snapshot.chunks_of(version, &row, 0, 512).unwrap();
    assert_eq!(found, chunks.map(|chunk| (chunk.chunk, chunk.len)));
    let middle = snapshot.chunks_of(version, &row, 1, 2).unwrap();
    assert_eq!(middle, found[1..3]);
    assert!(snapshot.chunks_of(version, &row, 9, 9).unwrap().is_empty());
    let row = snapshot.chunk(&chunk(2).chunk).unwrap().unwrap();
    assert_eq!((row.references, row.replicas), (2, numbers(&[1, 2, 3])));
}

#[test]
fn an_empty_file_needs_no_upload_before_its_commit() {
    let mut bench = Bench::new(0);
    let upload = bench.upload_id();
    let committed = bench.commit(upload, "/empty", 0, &[]).unwrap();
    assert_eq!(committed.copies, 3);
    let (version, row) = bench.read().file(&path("/empty"), None).unwrap();
    assert_eq!(
        (version, row.size, row.chunk_count()),
        (committed.version, 0, 0)
    );
}

#[test]
fn a_chunk_that_is_stored_is_not_sent_again() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    let upload = bench.upload_id();
    let allocated = bench.allocate(upload, &[chunk(1), chunk(2)], &[1, 2, 3]);
    let expected = [Allocation::Stored, sent(upload, &[1, 2, 3])];
    assert_eq!(allocated.unwrap(), expected);
    let chunks = [
        stored(upload, &chunk(1), &[]),
        stored(upload, &chunk(2), &[1, 2]),
    ];
    let committed = bench.commit(upload, "/g", 0, &chunks).unwrap();
    assert_eq!(committed.copies, 2);
    let row = bench.read().chunk(&chunk(1).chunk).unwrap().unwrap();
    assert_eq!(row.references, 2);
}

#[test]
fn an_allocation_that_cannot_succeed_is_refused() {
    let mut bench = Bench::new(3);
    let upload = bench.upload_id();
    let few = bench.allocate(upload, &[chunk(1)], &[1]);
    assert_eq!(code(few), ErrorCode::NotEnoughReplicas);
    let unknown = bench.allocate(upload, &[chunk(1)], &[1, 8]);
    assert_eq!(code(unknown), ErrorCode::NotEnoughReplicas);
    for len in [0, CHUNK_SIZE + 1] {
        let wrong = bench.allocate(upload, &[chunk_of(1, len)], &[1, 2]);
        assert_eq!(code(wrong), ErrorCode::InvalidArgument);
    }
    bench.put("/f", &[chunk(1)]);
    let mut liar = chunk(1);
    liar.len = 5;
    let wrong = bench.allocate(upload, &[liar], &[1, 2]);
    assert_eq!(code(wrong), ErrorCode::InvalidArgument);
}

#[test]
fn a_commit_must_add_up() {
    let mut bench = Bench::new(3);
    let upload = bench.upload_id();
    let chunks = [chunk(1), chunk_of(2, 40)];
    bench.allocate(upload, &chunks, &[1, 2, 3]).unwrap();
    let proved: Vec<_> = chunks.iter().map(|c| stored(upload, c, &[1, 2])).collect();
    let swapped = [proved[1].clone(), proved[0].clone()];
    let check = |bench: &mut Bench, shape, chunks: &[StoredChunk], expected| {
        let result = bench.commit_if(upload, "/f", shape, chunks, Precondition::Any);
        assert_eq!(result.err().map(|e| e.code), expected, "{shape:?}");
    };
    let invalid = Some(ErrorCode::InvalidArgument);
    check(&mut bench, (139, 0), &proved, invalid);
    check(&mut bench, (141, 0), &proved, invalid);
    let forgotten = Some(ErrorCode::UploadUnknown);
    check(&mut bench, (140, 1), &proved, forgotten);
    check(&mut bench, (140, 0), &swapped, invalid);
    check(&mut bench, (140, 0), &proved, None);
    let unknown = bench.upload_id();
    let result = bench.commit_if(unknown, "/g", (140, 0), &proved, Precondition::Any);
    assert_eq!(code(result), ErrorCode::UploadUnknown);
}

#[test]
fn a_file_over_the_limit_is_refused() {
    let rules = ClusterRules {
        file_size_max: Some(150),
        ..rules()
    };
    let mut bench = Bench::with_rules(3, rules);
    bench.put("/fits", &[chunk(1), chunk_of(2, 50)]);
    let result = bench.try_put("/f", &[chunk(1), chunk_of(2, 51)], Precondition::Any);
    assert_eq!(code(result), ErrorCode::TooLarge);
}

#[test]
fn a_big_file_is_recorded_block_by_block() {
    let mut bench = Bench::new(3);
    let upload = bench.upload_id();
    let chunks: Vec<_> = (0..1030).map(|number| chunk(number % 700)).collect();
    let mut blocks = chunks.chunks(512);
    for block in 0..2 {
        let chunks = blocks.next().unwrap();
        bench.allocate(upload, chunks, &[1, 2, 3]).unwrap();
        let proved: Vec<_> = chunks
            .iter()
            .map(|c| stored(upload, c, &[1, 2, 3]))
            .collect();
        let first = block * 512;
        let early = bench.record(upload, first + 512, &proved);
        assert_eq!(code(early), ErrorCode::UploadUnknown);
        let recorded = bench.record(upload, first, &proved);
        let is_counted = matches!(recorded, Ok(Outcome::Recorded(Some(_))));
        assert!(is_counted, "the first time");
        let again = bench.record(upload, first, &proved);
        assert_eq!(again, Ok(Outcome::Recorded(None)));
        let mut other = proved.clone();
        other.swap(0, 1);
        let changed = bench.record(upload, first, &other);
        assert_eq!(code(changed), ErrorCode::InvalidArgument);
    }
    let rest: Vec<_> = blocks
        .next()
        .unwrap()
        .iter()
        .map(|c| stored(upload, c, &[]))
        .collect();
    let committed = bench.commit(upload, "/big", 1024, &rest).unwrap();
    let snapshot = bench.read();
    let row = snapshot.version(committed.version).unwrap().unwrap();
    assert_eq!(row.chunk_count(), 1030);
    let mut found = Vec::new();
    while found.len() < 1030 {
        let first = found.len() as u64;
        found.extend(
            snapshot
                .chunks_of(committed.version, &row, first, 300)
                .unwrap(),
        );
    }
    assert!(
        found
            .iter()
            .zip(&chunks)
            .all(|(found, chunk)| found.0 == chunk.chunk)
    );
    drop(snapshot);
    bench.delete("/big", true).unwrap();
    bench.sweep(0, 0, 0);
    assert_eq!(bench.read().counters().unwrap().chunks, 0);
    assert_eq!(bench.read().counters().unwrap().garbage, 700);
}

#[test]
fn chunks_are_recorded_in_pieces_of_any_length_within_a_block() {
    let mut bench = Bench::new(3);
    let upload = bench.upload_id();
    let chunks: Vec<_> = (0..512).chain([7, 512]).map(chunk).collect();
    let mut recorded = 0;
    for len in [1, 30, 2, 479] {
        let piece = &chunks[recorded..recorded + len];
        bench.allocate(upload, piece, &[1, 2, 3]).unwrap();
        let piece: Vec<_> = piece.iter().map(|c| stored(upload, c, &[1, 2])).collect();
        let first = recorded as u64;
        let too_many = vec![piece[0].clone(); 513 - recorded];
        let result = bench.record(upload, first, &too_many);
        assert_eq!(
            code(result),
            ErrorCode::InvalidArgument,
            "over the end of the block"
        );
        let early = bench.record(upload, first + 1, &piece[..1]);
        assert_eq!(code(early), ErrorCode::UploadUnknown);
        bench.record(upload, first, &piece).unwrap();
        let again = bench.record(upload, first, &piece);
        assert_eq!(again, Ok(Outcome::Recorded(None)));
        recorded += len;
    }
    assert_eq!(
        code(bench.record(upload, 512, &[])),
        ErrorCode::InvalidArgument
    );
    let rest = &chunks[512..];
    bench.allocate(upload, rest, &[1, 2, 3]).unwrap();
    let rest = [
        stored(upload, &rest[0], &[]),
        stored(upload, &rest[1], &[1, 2]),
    ];
    bench.record(upload, 512, &rest[..1]).unwrap();
    let early = bench.commit(upload, "/f", 512, &rest[1..]);
    assert_eq!(code(early), ErrorCode::InvalidArgument, "one left out");
    let committed = bench.commit(upload, "/f", 513, &rest[1..]).unwrap();
    let snapshot = bench.read();
    let row = snapshot.version(committed.version).unwrap().unwrap();
    let mut found = snapshot.chunks_of(committed.version, &row, 0, 512).unwrap();
    found.extend(
        snapshot
            .chunks_of(committed.version, &row, 512, 512)
            .unwrap(),
    );
    assert!(
        found
            .iter()
            .map(|found| found.0)
            .eq(chunks.iter().map(|c| c.chunk))
    );
}

#[test]
fn a_file_of_exactly_one_block_may_end_short_there() {
    let mut bench = Bench::new(3);
    let upload = bench.upload_id();
    let mut chunks: Vec<_> = (0..512).map(chunk).collect();
    chunks[511] = chunk_of(511, 1);
    bench.allocate(upload, &chunks, &[1, 2, 3]).unwrap();
    let chunks: Vec<_> = chunks
        .iter()
        .map(|c| stored(upload, c, &[1, 2, 3]))
        .collect();
    bench.record(upload, 0, &chunks).unwrap();
    bench.allocate(upload, &[chunk(1)], &[1, 2, 3]).unwrap();
    let more = [stored(upload, &chunk(1), &[])];
    let size = 511 * u64::from(CHUNK_SIZE) + 1;
    let result = bench.commit_if(upload, "/f", (size + 100, 512), &more, Precondition::Any);
    assert_eq!(code(result), ErrorCode::InvalidArgument);
    bench
        .commit_if(upload, "/f", (size, 512), &[], Precondition::Any)
        .unwrap();
}

#[test]
fn a_repeated_commit_gives_the_same_answer() {
    let mut bench = Bench::new(3);
    let upload = bench.upload_id();
    bench.allocate(upload, &[chunk(1)], &[1, 2, 3]).unwrap();
    let chunks = [stored(upload, &chunk(1), &[1, 2, 3])];
    let first = bench.commit(upload, "/f", 0, &chunks).unwrap();
    bench.put("/f", &[chunk(2)]);
    assert_eq!(bench.commit(upload, "/f", 0, &chunks), Ok(first));
    let (current, _) = bench.read().file(&path("/f"), None).unwrap();
    assert_ne!(current, first.version, "the repetition changed nothing");
    assert_eq!(
        code(bench.allocate(upload, &[chunk(3)], &[1, 2])),
        ErrorCode::UploadUnknown
    );
}

/// Two uploads of one name: the later commit wins as a whole, and the loser's version can still be read.
#[test]
fn an_overwritten_version_is_kept_as_a_former_one() {
    let mut bench = Bench::new(3);
    let (early, late) = (bench.upload_id(), bench.upload_id());
    bench.allocate(early, &[chunk(1)], &[1, 2, 3]).unwrap();
    bench
        .allocate(late, &[chunk_of(2, 50)], &[1, 2, 3])
        .unwrap();
    let second = bench.commit(late, "/f", 0, &[stored(late, &chunk_of(2, 50), &[1, 2])]);
    let first = bench.commit(early, "/f", 0, &[stored(early, &chunk(1), &[1, 2])]);
    let (second, first) = (second.unwrap(), first.unwrap());
    assert!(second.created && !first.created);
    let snapshot = bench.read();
    assert_eq!(snapshot.file(&path("/f"), None).unwrap().0, first.version);
    let (_, former) = snapshot.file(&path("/f"), Some(second.version)).unwrap();
    assert_eq!(former.size, 50);
    let other = snapshot.file(&path("/f"), Some(VersionId(99)));
    assert!(other.is_err());
    assert_eq!(snapshot.sums().unwrap().bytes, 100);
}

#[test]
fn an_upload_that_ends_leaves_only_garbage() {
    let mut bench = Bench::new(4);
    bench.put("/kept", &[chunk(1)]);
    let upload = bench.upload_id();
    bench
        .allocate(upload, &[chunk(1), chunk(2)], &[2, 3, 4])
        .unwrap();
    let end = |expired_by| Command::EndUpload { upload, expired_by };
    let early = bench.apply(end(Some(ClusterMillis(10))));
    assert_eq!(early, Ok(Outcome::UploadEnded(false)), "its lease goes on");
    assert_eq!(bench.apply(end(None)), Ok(Outcome::UploadEnded(true)));
    assert_eq!(bench.apply(end(None)), Ok(Outcome::UploadEnded(false)));
    assert_eq!(
        code(bench.allocate(upload, &[chunk(2)], &[2, 3])),
        ErrorCode::UploadUnknown
    );
    let late = bench.commit(upload, "/late", 0, &[stored(upload, &chunk(2), &[2, 3])]);
    assert_eq!(code(late), ErrorCode::UploadUnknown);

    let row = bench.read().chunk(&chunk(2).chunk).unwrap().unwrap();
    assert_eq!((row.references, row.leftovers), (0, numbers(&[2, 3, 4])));
    assert_eq!(bench.collect(), 3);
    assert!(bench.read().chunk(&chunk(2).chunk).unwrap().is_none());
    for node in [2, 3, 4] {
        assert!(
            bench
                .read()
                .is_deletion_planned(NodeNumber(node), &chunk(2).chunk)
                .unwrap()
        );
    }
    assert!(holds(&bench.state, NodeNumber(1), &chunk(1).chunk));
    assert_eq!(bench.read().counters().unwrap().uploads, 0);
}

/// A chunk with a length that it does not have.
fn wrong_len(number: u32) -> ChunkToStore {
    ChunkToStore {
        len: 7,
        ..chunk(number)
    }
}

/// Somebody promises a chunk with a length that it does not have, and ends the upload: that is nobody else's length.
#[test]
fn a_length_that_was_only_promised_binds_nobody() {
    let mut bench = Bench::new(3);
    let wrong = bench.upload_id();
    bench.allocate(wrong, &[wrong_len(1)], &[1, 2, 3]).unwrap();
    let end = |upload| Command::EndUpload {
        upload,
        expired_by: None,
    };
    bench.apply(end(wrong)).unwrap();
    let found = vec![(chunk(1).chunk, 100)];
    let add = |node| Command::AddReplicas {
        node: NodeNumber(node),
        down: Vec::new(),
        chunks: found.clone(),
    };
    assert_eq!(changed(bench.apply(add(1))), 1, "a node knows its length");
    bench.put("/f", &[chunk(1)]);
    let row = bench.read().chunk(&chunk(1).chunk).unwrap().unwrap();
    assert_eq!((row.len, row.replicas), (100, numbers(&[1, 2, 3])));
    let refused = bench.try_put("/g", &[wrong_len(1)], Precondition::Any);
    assert_eq!(code(refused), ErrorCode::InvalidArgument);
}

/// The wrong length was promised before the chunk came, and the upload ends when nothing names the chunk any more: the
/// copies keep their length.
#[test]
fn a_length_that_a_node_proved_stays() {
    let mut bench = Bench::new(3);
    let wrong = bench.upload_id();
    bench.allocate(wrong, &[wrong_len(1)], &[1, 2, 3]).unwrap();
    bench.put("/f", &[chunk(1)]);
    bench.delete("/f", true).unwrap();
    bench.sweep(0, 0, 0);
    bench
        .apply(Command::EndUpload {
            upload: wrong,
            expired_by: None,
        })
        .unwrap();
    let row = bench.read().chunk(&chunk(1).chunk).unwrap().unwrap();
    assert_eq!((row.references, row.len), (0, 100));
    bench.put("/g", &[chunk(1)]);
}

#[test]
fn blocks_of_an_ended_upload_are_swept() {
    let mut bench = Bench::new(3);
    let upload = bench.upload_id();
    let chunks: Vec<_> = (0..512).map(chunk).collect();
    bench.allocate(upload, &chunks, &[1, 2, 3]).unwrap();
    let chunks: Vec<_> = chunks
        .iter()
        .map(|c| stored(upload, c, &[1, 2, 3]))
        .collect();
    bench.record(upload, 0, &chunks).unwrap();
    bench
        .apply(Command::EndUpload {
            upload,
            expired_by: None,
        })
        .unwrap();
    assert_eq!(bench.read().counters().unwrap().chunks, 512);
    bench.sweep(0, 0, 0);
    assert_eq!(bench.read().counters().unwrap().chunks, 0);
    assert_eq!(bench.collect(), 3 * 512);
}

#[test]
fn an_upload_cannot_hold_promises_without_end() {
    let mut bench = Bench::new(2);
    let upload = bench.upload_id();
    let mut held = 0;
    loop {
        let chunks: Vec<_> = (held..held + 512).map(chunk).collect();
        match bench.allocate(upload, &chunks, &[1, 2]) {
            Ok(_) => held += 512,
            Err(refusal) => {
                assert_eq!(refusal.code, ErrorCode::InvalidArgument);
                break;
            }
        }
    }
    assert_eq!(held, 4096);
    bench
        .apply(Command::EndUpload {
            upload,
            expired_by: None,
        })
        .unwrap();
    assert_eq!(bench.read().counters().unwrap().garbage, 4096);
}
