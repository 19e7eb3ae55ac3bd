//! Every short sequence of what is done to a node's disk, with a power cut after every change of it.
//!
//! A cut within an earlier step is one of a shorter sequence, so each sequence is cut in its last step. What was acknowledged is
//! there afterwards, with the index and without; what was begun and not answered is there whole or not at all.

use bytes::Bytes;
use disk::{Disk, MemoryDisk};
use proto::id::ChunkId;
use proto::node::ChunkState;

use super::support::{TestNode, chunk, config, rng};
use crate::config::Config;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Put(usize),
    Delete(usize),
    Compact,
    Scrub,
    /// It stops and starts again.
    Restart,
}

const STEPS: [Step; 6] = [
    Step::Put(0),
    Step::Put(1),
    Step::Delete(0),
    Step::Compact,
    Step::Scrub,
    Step::Restart,
];
const CHUNKS: usize = 2;

fn numbered(number: usize) -> (ChunkId, Bytes) {
    chunk(number as u64, 3000)
}

/// An extent holds one chunk.
fn small() -> Config {
    Config {
        extent_size: 4096 + 3500,
        ..config()
    }
}

/// All sequences of so many steps that begin with something that changes a new disk.
fn sequences(len: usize) -> Vec<Vec<Step>> {
    let begins = [Step::Put(0), Step::Put(1), Step::Delete(0)];
    let mut all: Vec<Vec<Step>> = begins.map(|step| vec![step]).to_vec();
    for _ in 1..len {
        let longer =
            |sequence: &Vec<Step>| STEPS.map(|step| [sequence.as_slice(), &[step]].concat());
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// Without those of which a shorter one says as much: that begin with a deletion of nothing, do twice in a row what changes nothing
/// the second time, or end with what writes no record.
fn is_telling(sequence: &[Step]) -> bool {
    let again = |pair: &[Step]| pair[0] == pair[1] && !matches!(pair[0], Step::Put(_));
    sequence[0] != Step::Delete(0)
        && !sequence.windows(2).any(again)
        && !matches!(sequence.last(), Some(Step::Scrub | Step::Restart))
}

/// What is known of each chunk: whether it is here, or `None` if that may be either.
type Known = [Option<bool>; CHUNKS];

struct Run {
    disk: MemoryDisk,
    node: Option<TestNode>,
    known: Known,
}

impl Run {
    fn new() -> Self {
        let disk = MemoryDisk::new();
        let node = Some(TestNode::open_with(&[&disk], &small()));
        Self {
            disk,
            node,
            known: [Some(false); CHUNKS],
        }
    }

    async fn step(&mut self, step: Step) {
        let node = self.node.as_ref().unwrap();
        let (number, wanted, done) = match step {
            Step::Put(number) => (number, true, node.put(&numbered(number)).await.is_ok()),
            Step::Delete(number) => (
                number,
                false,
                node.delete(&[numbered(number).0]).await.is_ok(),
            ),
            Step::Compact => return node.compact().await,
            Step::Scrub => return node.scrub().await,
            Step::Restart => {
                self.node.take().unwrap().stop().await;
                self.node = TestNode::try_open(&[&self.disk], &small()).ok();
                return;
            }
        };
        let known = &mut self.known[number];
        *known = Some(wanted).filter(|_| done || *known == Some(wanted));
    }

    async fn crash(&mut self, seed: u64) {
        match self.node.take() {
            Some(node) => node.crash(seed).await,
            None => self.disk.crash(&mut rng(seed)),
        }
    }

    /// The node as it starts then: what is known is so, and all that is here is right.
    async fn check(&self, what: &str) {
        let node = TestNode::open_with(&[&self.disk], &small());
        let mut here = Vec::new();
        for number in 0..CHUNKS {
            let (id, bytes) = numbered(number);
            let known = self.known[number];
            let read = node.get(&id).await.ok();
            match (read, known) {
                (Some(read), Some(true) | None) => {
                    assert_eq!(read, bytes, "{what}");
                    here.push(id);
                }
                (None, Some(false) | None) => {
                    let torn = known.is_none() && node.state(&id) == ChunkState::Corrupt;
                    assert!(torn || node.state(&id) == ChunkState::Missing, "{what}");
                }
                (read, known) => panic!(
                    "{what}: {number} was {known:?}, and is here: {}",
                    read.is_some()
                ),
            }
        }
        node.check_digest(here);
        // It takes what comes.
        node.put(&numbered(1)).await.unwrap();
        node.get(&numbered(1).0).await.unwrap();
        node.stop().await;
    }
}

/// Cuts the last step of a sequence after each change that it makes.
async fn check_sequence(sequence: &[Step], seeds: u64) -> u64 {
    let (last, before) = sequence.split_last().unwrap();
    let mut cuts = 0;
    for stop in 0.. {
        let mut was_stopped = false;
        for seed in 0..seeds {
            let mut run = Run::new();
            for step in before {
                run.step(*step).await;
            }
            let changes = run.disk.changes();
            run.disk.stop_after(stop);
            run.step(*last).await;
            was_stopped = run.disk.changes() - changes >= stop && stop > 0 || stop == 0;
            run.crash(seed * 100 + stop).await;
            let what = format!("{sequence:?} cut after {stop}, seed {seed}");
            if (seed + stop).is_multiple_of(2) {
                drop(run.disk.remove("index.redb"));
            }
            run.check(&what).await;
            cuts += 1;
        }
        if !was_stopped {
            return cuts;
        }
    }
    unreachable!("a step makes an end of its changes")
}

async fn check_all(sequences: &[Vec<Step>], seeds: u32) {
    let mut cuts = 0;
    for sequence in sequences {
        cuts += check_sequence(sequence, u64::from(seeds)).await;
    }
    println!("{} sequences, {cuts} power cuts", sequences.len());
}

#[tokio::test]
async fn a_power_cut_in_any_sequence_of_up_to_three_steps_loses_nothing() {
    let all: Vec<_> = (1..=3).flat_map(sequences).collect();
    check_all(&all, fuzz::effort()).await;
}

#[tokio::test]
async fn a_power_cut_in_any_sequence_of_four_steps_loses_nothing() {
    let mut all = sequences(4);
    if fuzz::effort() == 1 {
        all.retain(|sequence| is_telling(sequence));
    }
    check_all(&all, fuzz::effort()).await;
}
