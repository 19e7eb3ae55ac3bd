//! Copies that are made, trimmed, deleted and lost at once.

use threads::races::{Happened, check, switch};
use threads::spawn;

use super::copy::{CopyOrder, MadeCopy};
use crate::command::NodeNumber;
use crate::races::{Beginning, World, chunk, join_all};

const FILE: &str = "/f";

/// The nodes that hold the file's chunk at the beginning, and one that does not.
fn holders_and_another(world: &World) -> (Vec<u32>, u32) {
    let holders = world.check_copies(&chunk(1));
    assert_eq!(holders.len(), 3);
    let other = (1..=4).find(|node| !holders.contains(node)).unwrap();
    (holders, other)
}

/// Has a copy made and records it, as repair does; whether it was made.
async fn copy(world: &World, source: u32, target: u32) -> bool {
    let (control, chunk, node) = (&world.control, chunk(1), NodeNumber(target));
    let Some(claim) = control.claims.claim(node, chunk) else {
        return false;
    };
    let order = CopyOrder {
        chunk,
        len: 100,
        sources: vec![NodeNumber(source)],
        target: node,
    };
    if control.make_copy(&order).await.is_err() {
        return false;
    }
    let made = MadeCopy {
        chunk,
        len: 100,
        node,
        present: 2,
        missing: 1,
        begun_at: control.committer.now(),
        _claim: claim,
    };
    let (_made, recorded) = control.clone().record_copies(vec![made]).await;
    recorded.unwrap();
    true
}

/// A copy is made where a bad one was, whose deletion is planned and ordered at the same time.
#[test]
fn a_copy_is_made_where_one_is_to_be_deleted() {
    let beginning = Beginning::with_file(FILE, 1);
    let (copied, deleted) = (Happened::default(), Happened::default());
    let counts = (copied.clone(), deleted.clone());
    check(fuzz::cases(300), move || {
        let beginning = beginning.fork();
        let (copied, deleted) = counts.clone();
        async move {
            let world = World::open(&beginning).await;
            let (holders, other) = holders_and_another(&world);
            world.held.store(other, chunk(1));
            let (copying, trimming, deleting) = (world.clone(), world.clone(), world.clone());
            let tasks = vec![
                spawn(async move { copied.note(copy(&copying, holders[0], other).await) }),
                spawn(async move {
                    let bad = (chunk(1), Some(NodeNumber(other)));
                    trimming.control.trim(vec![bad]).await;
                }),
                spawn(async move {
                    for _ in 0..3 {
                        deleting.control.delete_planned(NodeNumber(other)).await;
                        switch();
                    }
                }),
            ];
            join_all(tasks).await;
            world.check_copies(&chunk(1));
            world.carry_out_deletions().await;
            deleted.note(!world.held.has(other, &chunk(1)));
            assert!(world.check_copies(&chunk(1)).len() >= 3);
        }
    });
    copied.expect("was a copy made");
    deleted.expect("was the bad copy deleted");
}

/// A chunk has a copy too much, which is trimmed, while another of its copies is lost.
#[test]
fn a_surplus_copy_is_trimmed_while_another_is_lost() {
    let beginning = Beginning::with_file(FILE, 1);
    let (trimmed, was_lost) = (Happened::default(), Happened::default());
    let counts = (trimmed.clone(), was_lost.clone());
    check(fuzz::cases(300), move || {
        let beginning = beginning.fork();
        let (trimmed, was_lost) = counts.clone();
        async move {
            let world = World::open(&beginning).await;
            let (holders, other) = holders_and_another(&world);
            assert!(copy(&world, holders[0], other).await);
            assert_eq!(world.check_copies(&chunk(1)).len(), 4);
            let (trimming, losing) = (world.clone(), world.clone());
            let trim = spawn(async move {
                trimming.control.trim(vec![(chunk(1), None)]).await;
                trimming.carry_out_deletions().await;
            });
            let loss = spawn(async move {
                let lost = NodeNumber(holders[0]);
                losing.held.lose(lost.0, &chunk(1));
                let removed = losing.control.remove_replicas(lost, vec![chunk(1)]).await;
                let left = losing.recorded(&chunk(1)).len();
                (removed.unwrap(), left)
            });
            join_all(vec![trim]).await;
            let (removed, left_then) = threads::join(loss).await.unwrap();
            let left = world.check_copies(&chunk(1)).len();
            // Each of the two comes first; what is trimmed after the loss was known would be one too many.
            assert!(left_then < 3 || left == 3, "trimmed after the loss");
            let removed = usize::try_from(removed).unwrap();
            assert!(left >= 3 - removed);
            trimmed.note(left + removed < 4);
            was_lost.note(removed > 0);
        }
    });
    trimmed.expect("was a copy trimmed");
    was_lost.expect("was a copy lost that was on record");
}

/// The file is deleted and its chunk collected, while a copy of it is made.
#[test]
fn a_copy_is_made_of_what_is_being_collected() {
    let beginning = Beginning::with_file(FILE, 1);
    let copied = Happened::default();
    let count = copied.clone();
    check(fuzz::cases(300), move || {
        let (beginning, copied) = (beginning.fork(), count.clone());
        async move {
            let world = World::open(&beginning).await;
            let (holders, other) = holders_and_another(&world);
            let (copying, deleting) = (world.clone(), world.clone());
            let tasks = vec![
                spawn(async move { copied.note(copy(&copying, holders[0], other).await) }),
                spawn(async move {
                    deleting.delete(FILE).await;
                    deleting.collect().await;
                    deleting.collect().await;
                }),
            ];
            join_all(tasks).await;
            world.check_copies(&chunk(1));
            world.collect().await;
            let recorded = world.check_copies(&chunk(1));
            assert!(recorded.is_empty(), "nothing needs it: {recorded:?}");
        }
    });
    copied.expect("was a copy made");
}
