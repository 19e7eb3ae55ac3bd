//! The group commit under several at once: repeated requests, and a disk that fails.

use disk::MemoryDisk;
use proto::id::RequestId;
use rand::SeedableRng;
use rand::rngs::StdRng;
use threads::races::{Happened, check, draw, prepare, switch};
use threads::spawn;
use uuid::Uuid;

use super::tests::{folder, new_disk, open, options_of};
use super::*;

fn beginning() -> MemoryDisk {
    prepare(|| async {
        let disk = new_disk();
        drop(open(&disk).unwrap());
        disk
    })
}

fn start(disk: &MemoryDisk) -> (Arc<State>, Committer) {
    let state = open(disk).unwrap();
    let (committer, writer) = Committer::new(state.clone(), options_of(disk)).unwrap();
    spawn(async move { writer.run().await.unwrap() });
    (state, committer)
}

/// A request to move one of two folders to a name that both want.
fn move_it(request: u128, from: u128) -> Command {
    Command::MoveEntry {
        request: RequestId::new(Uuid::from_u128(1 << 70 | request)),
        from: format!("/f{from}").parse().unwrap(),
        to: "/to".parse().unwrap(),
        replace: false,
    }
}

/// Each of two requests is sent twice, at once: only one of them can be done, and both times it is answered alike.
#[test]
fn requests_that_are_repeated_at_once_are_done_once() {
    let beginning = beginning();
    check(fuzz::cases(300), move || {
        let disk = beginning.fork();
        async move {
            let (state, committer) = start(&disk);
            for number in [1, 2] {
                committer.submit(folder(number)).await.unwrap();
            }
            let tasks = [1, 2, 1, 2].map(|number| {
                let committer = committer.clone();
                spawn(async move { committer.submit(move_it(number, number)).await })
            });
            let mut answers = Vec::new();
            for task in tasks {
                answers.push(threads::join(task).await.unwrap());
            }
            assert_eq!(answers[0], answers[2]);
            assert_eq!(answers[1], answers[3]);
            assert_ne!(answers[0].is_ok(), answers[1].is_ok(), "{answers:?}");
            assert_eq!(state.read().unwrap().sums().unwrap().folders, 2);
        }
    });
}

/// The disk fails while several wait: each is answered, what was answered as done is there after a power cut, and what was
/// refused is done when it is asked for again.
#[test]
fn a_disk_that_fails_while_many_wait() {
    let beginning = beginning();
    let refused = Happened::default();
    let count = refused.clone();
    check(fuzz::cases(300), move || {
        let (disk, refused) = (beginning.fork(), count.clone());
        async move {
            let (state, committer) = start(&disk);
            let failing = disk.clone();
            let fail = spawn(async move {
                for _ in 0..draw() % 16 {
                    switch();
                }
                failing.fail_next_sync();
            });
            let tasks = [1, 2, 3, 4].map(|number| {
                let (committer, refused) = (committer.clone(), refused.clone());
                spawn(async move {
                    switch();
                    let done = committer.submit(folder(number)).await;
                    refused.note(done.is_err());
                    if let Err(error) = done {
                        assert_eq!(error.code, ErrorCode::Unavailable);
                        switch();
                        let repeated = committer.submit(folder(number)).await;
                        repeated.expect("only one sync fails");
                    }
                })
            });
            for task in tasks {
                threads::join(task).await;
            }
            threads::join(fail).await;
            drop((state, committer));
            disk.crash(&mut StdRng::seed_from_u64(draw()));
            let state = open(&disk).unwrap();
            for number in 1..=4 {
                let path = format!("/f{number}").parse().unwrap();
                let entry = state.read().unwrap().entry(&path);
                assert!(entry.is_ok(), "an acknowledged folder is lost");
            }
        }
    });
    refused.expect("did the disk fail while somebody waited");
}
