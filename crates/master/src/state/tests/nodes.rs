//! Nodes that come, change and are forgotten.

use proto::ErrorCode;
use proto::id::{Epoch, RunId};
use uuid::Uuid;

use super::bench::{Bench, chunk, code, node_id, numbers};
use crate::command::{ClusterMillis, Command, NodeNumber};
use crate::lineage::STARTS_LOST_MAX;
use crate::state::{NodeTally, Outcome};

#[test]
fn a_node_keeps_its_number_and_changes_its_address() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.add_node(2), Ok(Outcome::Node(NodeNumber(2))));
    let snapshot = bench.read();
    assert_eq!(snapshot.nodes().unwrap().len(), 2);
    assert_eq!(
        snapshot.node_number(node_id(2)).unwrap(),
        Some(NodeNumber(2))
    );
    assert_eq!(snapshot.node_number(node_id(3)).unwrap(), None);
    assert_eq!(
        snapshot.node(NodeNumber(1)).unwrap().unwrap().id,
        node_id(1)
    );
}

#[test]
fn a_removed_node_is_forgotten_step_by_step_and_its_number_with_it() {
    let mut bench = Bench::new(4);
    for file in 0..20 {
        bench.put(&format!("/f{file}"), &[chunk(file)]);
    }
    bench.delete("/f0", true).unwrap();
    bench.sweep(0, 0, 0);
    assert_eq!(bench.collect(), 3);
    let note = Command::NoteUnknownChunks {
        node: NodeNumber(2),
        seen_before: ClusterMillis(0),
        chunks: vec![chunk(99).chunk],
    };
    bench.apply(note).unwrap();
    let remove = Command::RemoveNode { node: node_id(2) };
    assert_eq!(bench.apply(remove.clone()), Ok(Outcome::Done));
    assert_eq!(code(bench.apply(remove)), ErrorCode::NotFound);
    assert!(bench.read().node(NodeNumber(2)).unwrap().is_none());
    assert_eq!(bench.add_node(2), Ok(Outcome::Node(NodeNumber(5))));
    bench.sweep(0, 0, 0);
    let snapshot = bench.read();
    let left = snapshot.node_chunks_page(NodeNumber(2), None, 9).unwrap();
    assert!(left.is_empty());
    assert_eq!(
        snapshot.node_tally(NodeNumber(2)).unwrap(),
        NodeTally::default()
    );
    assert_eq!(snapshot.counters().unwrap().needs_copies, 19);
    let row = snapshot.chunk(&chunk(1).chunk).unwrap().unwrap();
    assert_eq!(row.replicas, numbers(&[1, 3]));
}

#[test]
fn each_start_raises_the_epoch() {
    let mut bench = Bench::new(0);
    for epoch in 1..4 {
        let outcome = bench.apply(raise(false)).unwrap();
        assert_eq!(outcome, Outcome::Epoch(Epoch(epoch)));
        assert_eq!(bench.read().epoch().unwrap().0, epoch);
    }
    assert_eq!(bench.read().now().unwrap(), ClusterMillis(3));
}

#[test]
fn each_start_is_remembered_with_where_it_began() {
    let mut bench = Bench::new(0);
    let before = bench.read().applied().unwrap();
    bench.apply(raise(false)).unwrap();
    bench.apply(Command::ResetDeleteFuse).unwrap();
    bench.apply(raise(false)).unwrap();
    let known = bench.read().lineage_of(Epoch(1)).unwrap();
    assert_eq!(known.start.unwrap().began, before);
    assert_eq!(known.next_began, Some(before + 2));
    assert_eq!((known.epoch, known.restored_at), (Epoch(2), Epoch(0)));
    let known = bench.read().lineage_of(Epoch(2)).unwrap();
    assert_eq!(
        (known.start.unwrap().began, known.next_began),
        (before + 2, None)
    );
    assert_eq!(bench.read().lineage_of(Epoch(5)).unwrap().start, None);
    bench.read().lineage_of(Epoch(u64::MAX)).unwrap();
}

#[test]
fn a_restored_start_is_above_all_lost_ones_and_forgets_what_it_forgives() {
    let mut bench = Bench::new(0);
    bench.apply(raise(false)).unwrap();
    bench.apply(raise(true)).unwrap();
    let known = bench.read().lineage_of(Epoch(1)).unwrap();
    let restored = Epoch(1 + STARTS_LOST_MAX);
    assert_eq!((known.epoch, known.restored_at), (restored, restored));
    assert_eq!(known.start, None, "no row is kept of it");
    bench.apply(raise(false)).unwrap();
    let known = bench.read().lineage_of(restored).unwrap();
    assert!(known.start.is_some() && known.next_began.is_some());
    assert_eq!(known.epoch, Epoch(restored.0 + 1));
}

fn raise(restored: bool) -> Command {
    Command::RaiseEpoch {
        restored,
        run: RunId::new(Uuid::from_u128(7)),
    }
}

#[test]
fn the_fuse_stays_tripped_until_it_is_reset() {
    let mut bench = Bench::new(0);
    bench
        .apply(Command::TripDeleteFuse { copies: 5, of: 9 })
        .unwrap();
    let fuse = bench.read().fuse().unwrap().tripped().unwrap();
    assert_eq!((fuse.copies, fuse.of), (5, 9));
    bench.apply(Command::ResetDeleteFuse).unwrap();
    assert_eq!(bench.read().fuse().unwrap().tripped(), None);
}
