//! Copies that wait to be looked into, in the order in which they were reported. Of one node only a few are looked into at
//! once, so that one that is slow, or does not answer, holds up no others.

use std::collections::{HashMap, HashSet, VecDeque};

use proto::id::ChunkId;
use threads::Mutex;
use tokio::sync::Notify;

use crate::command::NodeNumber;

const QUEUE_LEN: usize = 4096;
/// How many of one node may wait, so that one that does not answer leaves room for others'.
const QUEUE_LEN_PER_NODE: usize = QUEUE_LEN / 4;
const AT_ONCE_PER_NODE: usize = 2;

pub(super) type Copy = (NodeNumber, ChunkId);

/// Copies to look into.
#[derive(Debug, Default)]
pub(crate) struct CheckQueue {
    copies: Mutex<Copies>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Copies {
    /// Those that wait, and those that are looked into.
    known: HashSet<Copy>,
    waiting: VecDeque<Copy>,
    waiting_of: HashMap<NodeNumber, usize>,
    running: HashMap<NodeNumber, usize>,
}

impl CheckQueue {
    /// Has a copy looked into; `false` if too many wait for that already.
    pub(crate) fn push(&self, node: NodeNumber, chunk: ChunkId) -> bool {
        let mut copies = self.copies.lock();
        if copies.known.contains(&(node, chunk)) {
            return true;
        }
        let of_node = copies.waiting_of.get(&node).copied().unwrap_or_default();
        if copies.waiting.len() >= QUEUE_LEN || of_node >= QUEUE_LEN_PER_NODE {
            return false;
        }
        *copies.waiting_of.entry(node).or_default() += 1;
        copies.known.insert((node, chunk));
        copies.waiting.push_back((node, chunk));
        self.news.notify_one();
        true
    }

    /// Waits for the next copy that may be looked into. For one who asks again whenever one is [`done`](Self::done).
    pub(super) async fn next(&self) -> Copy {
        loop {
            let next = self.copies.lock().take();
            match next {
                Some(copy) => return copy,
                None => self.news.notified().await,
            }
        }
    }

    /// It was looked into, and can be asked about again.
    pub(super) fn done(&self, copy: &Copy) {
        let mut copies = self.copies.lock();
        copies.known.remove(copy);
        count_down(&mut copies.running, copy.0);
    }
}

impl Copies {
    fn take(&mut self) -> Option<Copy> {
        let running = &self.running;
        let may_run = |(node, _): &Copy| {
            let running = running.get(node).copied().unwrap_or_default();
            running < AT_ONCE_PER_NODE
        };
        let place = self.waiting.iter().position(may_run)?;
        let copy = self.waiting.remove(place)?;
        count_down(&mut self.waiting_of, copy.0);
        *self.running.entry(copy.0).or_default() += 1;
        Some(copy)
    }
}

fn count_down(counts: &mut HashMap<NodeNumber, usize>, node: NodeNumber) {
    if let Some(count) = counts.get_mut(&node) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One node hung: copies on it took all the places, for half a minute each, and no other node was asked.
    #[tokio::test]
    async fn a_node_that_does_not_answer_holds_up_no_others() {
        let queue = CheckQueue::default();
        let chunk = |number: u8| ChunkId::of(&[number]);
        for number in 0..8 {
            assert!(queue.push(NodeNumber(1), chunk(number)));
        }
        assert!(queue.push(NodeNumber(2), chunk(0)));
        for expected in [(1, 0), (1, 1), (2, 0)] {
            let (node, copy) = queue.next().await;
            assert_eq!((node.0, copy), (expected.0, chunk(expected.1)));
        }
        let mut next = Box::pin(queue.next());
        assert!(futures::poll!(&mut next).is_pending());
        drop(next);
        queue.done(&(NodeNumber(1), chunk(1)));
        assert_eq!(queue.next().await, (NodeNumber(1), chunk(2)));
    }

    #[tokio::test]
    async fn a_copy_waits_once_and_only_so_many_do() {
        let queue = CheckQueue::default();
        let number = |number: usize| ChunkId::of(&number.to_be_bytes());
        for node in 1..=4 {
            for chunk in 0..QUEUE_LEN_PER_NODE {
                assert!(queue.push(NodeNumber(node), number(chunk)));
            }
            assert!(!queue.push(NodeNumber(node), number(QUEUE_LEN)));
        }
        assert!(queue.push(NodeNumber(1), number(0)), "it waits already");
        assert!(!queue.push(NodeNumber(5), number(0)));
        queue.next().await;
        assert!(queue.push(NodeNumber(5), number(0)));
    }
}
