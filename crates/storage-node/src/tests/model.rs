//! Random sequences of everything that a node does and suffers, against a model.
//!
//! The model knows what was acknowledged. What was refused or cut off in the middle may be in either state, until
//! the node is looked at; from then on it must stay as it was seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use disk::{Disk, MemoryDisk};
use futures::future::join_all;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proto::node::ChunkState;

use super::support::{TestNode, chunk};

const CHUNKS: u64 = 16;

#[derive(Debug, Clone)]
enum Step {
    /// At once, so that they share batches.
    Put(Vec<u64>),
    Delete(Vec<u64>),
    Compact,
    Scrub,
    Restart,
    Kill,
    Crash(u64),
    /// The disk stops after so many changes; then power is lost.
    CrashAfter(u64, Vec<u64>, Vec<u64>, u64),
    /// The next sync but so many fails.
    FailSync(u64, Vec<u64>),
    LoseIndex,
    /// The index fails while the node runs, and is made anew.
    FailIndex,
    /// The writes after so many fail; what that did to the index is mended while the node runs.
    FailWrites(u64, Vec<u64>, Vec<u64>),
    /// The disk stops while its index is made anew; then power is lost.
    CrashReopening(u64, u64),
}

fn numbers() -> impl Strategy<Value = Vec<u64>> {
    vec(0..CHUNKS, 1..6)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => numbers().prop_map(Step::Put),
        4 => numbers().prop_map(Step::Delete),
        2 => Just(Step::Compact),
        1 => Just(Step::Scrub),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::Crash),
        4 => (0..40_u64, numbers(), numbers(), any::<u64>())
            .prop_map(|(after, put, delete, seed)| Step::CrashAfter(after, put, delete, seed)),
        1 => (0..3_u64, numbers()).prop_map(|(after, put)| Step::FailSync(after, put)),
        1 => Just(Step::LoseIndex),
        2 => Just(Step::FailIndex),
        2 => (0..12_u64, numbers(), numbers())
            .prop_map(|(after, put, delete)| Step::FailWrites(after, put, delete)),
        1 => (0..12_u64, any::<u64>()).prop_map(|(after, seed)| Step::CrashReopening(after, seed)),
    ];
    vec(step, 1..24)
}

/// Lengths that share extents of 16 KiB in different ways.
fn numbered(number: u64) -> (proto::id::ChunkId, bytes::Bytes) {
    const LENS: [usize; 5] = [8, 500, 2000, 4096, 9000];
    chunk(number, LENS[usize::try_from(number).unwrap() % LENS.len()])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Present,
    Absent,
    Either,
    /// A put that was never answered is here and torn.
    Torn,
}

struct Model {
    disk: MemoryDisk,
    node: Option<TestNode>,
    known: BTreeMap<u64, Known>,
}

impl Model {
    fn new() -> Self {
        let disk = MemoryDisk::new();
        let node = Some(TestNode::open(&[&disk]));
        let known = (0..CHUNKS).map(|number| (number, Known::Absent)).collect();
        Self { disk, node, known }
    }

    fn node(&self) -> &TestNode {
        self.node.as_ref().unwrap()
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Put(numbers) => self.put(&numbers).await,
            Step::Delete(numbers) => self.delete(&numbers).await,
            Step::Compact => self.node().compact().await,
            Step::Scrub => self.node().scrub().await,
            Step::Restart => {
                self.node.take().unwrap().stop().await;
                self.reopen();
            }
            Step::Kill => {
                self.node.take().unwrap().kill().await;
                self.reopen();
            }
            Step::Crash(seed) => self.crash(seed).await,
            Step::CrashAfter(after, put, delete, seed) => {
                self.disk.stop_after(after);
                self.put(&put).await;
                self.delete(&delete).await;
                self.node().compact().await;
                self.crash(seed).await;
            }
            Step::FailSync(after, put) => {
                self.disk.fail_syncs_after(after);
                self.put(&put).await;
                self.disk.heal();
                self.node.take().unwrap().stop().await;
                self.reopen();
            }
            Step::LoseIndex => {
                self.node.take().unwrap().stop().await;
                self.disk.remove("index.redb").unwrap();
                self.reopen();
            }
            Step::FailIndex => {
                self.fail_index();
                self.node().reopen(0).await.unwrap();
            }
            Step::FailWrites(after, put, delete) => {
                self.disk.fail_writes_after(after);
                self.put(&put).await;
                self.delete(&delete).await;
                self.node().compact().await;
                self.disk.heal();
                self.mend().await;
            }
            Step::CrashReopening(after, seed) => {
                self.fail_index();
                self.disk.stop_after(after);
                drop(self.node().reopen(0).await);
                self.crash(seed).await;
            }
        }
        self.check().await;
    }

    fn fail_index(&self) {
        self.node().node.disks()[0].store.index.fail();
    }

    /// What failed is mended: the index while the node runs, all else by a restart.
    async fn mend(&mut self) {
        let store = Arc::clone(&self.node().node.disks()[0].store);
        if store.index.failure().is_some() {
            self.node().reopen(0).await.unwrap();
        }
        if store.own_failure().is_some() {
            self.node.take().unwrap().stop().await;
            drop(store);
            self.reopen();
        }
    }

    async fn crash(&mut self, seed: u64) {
        self.node.take().unwrap().crash(seed).await;
        self.reopen();
    }

    fn reopen(&mut self) {
        self.node = Some(TestNode::open(&[&self.disk]));
    }

    async fn put(&mut self, numbers: &[u64]) {
        let chunks: Vec<_> = numbers.iter().map(|number| numbered(*number)).collect();
        let node = self.node.as_ref().unwrap();
        let results = join_all(chunks.iter().map(|chunk| node.put(chunk))).await;
        for (number, result) in numbers.iter().zip(results) {
            self.note(*number, Known::Present, result.is_ok());
        }
    }

    async fn delete(&mut self, numbers: &[u64]) {
        let ids: Vec<_> = numbers.iter().map(|number| numbered(*number).0).collect();
        let result = self.node().delete(&ids).await;
        let disk_failed = self.node().node.disks()[0].store.failure().is_some();
        for number in numbers {
            // A put that a failed disk refused may turn up after the restart.
            let is_sure = !disk_failed || self.known[number] != Known::Either;
            self.note(*number, Known::Absent, result.is_ok() && is_sure);
        }
    }

    fn note(&mut self, number: u64, wanted: Known, done: bool) {
        let known = self.known.get_mut(&number).unwrap();
        *known = match (done, *known == wanted) {
            (true, _) | (false, true) => wanted,
            (false, false) => Known::Either,
        };
    }

    /// Everything acknowledged is here, bit for bit, or gone; and the sums say so.
    async fn check(&mut self) {
        let mut present = Vec::new();
        for number in 0..CHUNKS {
            let (id, bytes) = numbered(number);
            let seen = match self.node().get(&id).await {
                Ok(read) => {
                    assert_eq!(read, bytes);
                    present.push(id);
                    Known::Present
                }
                Err(error) => match self.node().state(&id) {
                    ChunkState::Missing => Known::Absent,
                    ChunkState::Corrupt => Known::Torn,
                    state => panic!("{state:?}: {error}"),
                },
            };
            let known = self.known.insert(number, seen).unwrap();
            assert!(
                known == Known::Either || known == seen,
                "chunk {number}: {known:?}, but {seen:?}"
            );
        }
        self.node().check_digest(present);
    }
}

/// Few in every run, since each case opens many nodes.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: fuzz::cases(100),
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_was_acknowledged_holds_whatever_happens(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new();
            for step in steps {
                model.run(step).await;
            }
            model.node.take().unwrap().stop().await;
        });
    }
}
