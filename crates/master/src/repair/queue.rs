//! Which chunk is repaired next: fewest copies first, and of those in the order in which they were found.
//!
//! A plain value with a bound. What does not fit is not kept but remembered as a fact ([`RepairQueue::overflowed`]),
//! and found again by the next survey. A chunk is in the queue once, in one place; one that failed waits longer each time.
//!
//! A chunk whose nodes are busy steps aside until one of them has time, so that it does not hold up those behind it:
//! however urgent they are, chunks that only one node has wait for that node alone. So few may do that for one node that
//! there is always room for others.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use proto::id::ChunkId;
use tokio::time::Instant;

use super::loads::Part;
use crate::command::NodeNumber;

/// Chunks that wait for one node's time.
const ASIDE_MAX: usize = 1024;
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// Chunks that wait for a copy, and those that get one now.
#[derive(Debug)]
pub struct RepairQueue {
    ready: BTreeSet<Turn>,
    aside: HashMap<Part, BTreeSet<Turn>>,
    aside_len: usize,
    delayed: BTreeSet<(Instant, ChunkId)>,
    jobs: HashMap<ChunkId, Job>,
    next_number: u64,
    capacity: usize,
    overflowed: bool,
}

/// Copies left, when it was found, and which: the first is the most urgent.
type Turn = (usize, u64, ChunkId);

#[derive(Debug)]
struct Job {
    copies: usize,
    number: u64,
    attempts: u32,
    /// Nodes that failed to take it.
    avoided: Vec<NodeNumber>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Ready,
    /// Until any of these has time.
    Aside(Vec<Part>),
    Delayed(Instant),
    Running,
}

impl RepairQueue {
    /// A queue for at most so many chunks.
    pub fn new(capacity: usize) -> Self {
        Self {
            ready: BTreeSet::new(),
            aside: HashMap::new(),
            aside_len: 0,
            delayed: BTreeSet::new(),
            jobs: HashMap::new(),
            next_number: 0,
            capacity,
            overflowed: false,
        }
    }

    /// Adds a chunk with so many copies left. One that waits moves forward if it has fewer now; a delayed or a
    /// running one stays what it is. `false` if there is no room for it.
    pub fn push(&mut self, chunk: ChunkId, copies: usize) -> bool {
        if let Some(job) = self.jobs.get(&chunk) {
            let waits = matches!(job.place, Place::Ready | Place::Aside(_));
            if waits && copies < job.copies {
                self.take_up(&chunk);
                self.make_ready(chunk, Some(copies));
            }
        } else if self.make_room(copies) {
            let job = Job {
                copies,
                number: 0,
                attempts: 0,
                avoided: Vec::new(),
                place: Place::Running,
            };
            self.jobs.insert(chunk, job);
            self.make_ready(chunk, Some(copies));
        } else {
            return false;
        }
        true
    }

    /// The most urgent chunk. It counts as running until it is finished, put back, set aside or delayed.
    pub fn pop(&mut self, now: Instant) -> Option<ChunkId> {
        self.wake(now);
        let (_, _, chunk) = self.ready.first().copied()?;
        self.take_up(&chunk);
        Some(chunk)
    }

    /// A chunk that was popped cannot begin now: it has its turn again.
    pub fn put_back(&mut self, chunk: ChunkId) {
        if self.take_up(&chunk) {
            self.make_ready(chunk, None);
        }
    }

    /// A chunk that was popped waits until any of these has time for whom not too many wait already. It is forgotten if there is none,
    /// or half the queue waits so; a later survey finds it again.
    pub fn set_aside(&mut self, chunk: ChunkId, mut parts: Vec<Part>) {
        if !self.take_up(&chunk) {
            return;
        }
        parts.retain(|part| !self.is_full(*part));
        if parts.is_empty() || self.aside_len >= self.capacity / 2 {
            self.jobs.remove(&chunk);
            self.overflowed = true;
            return;
        }
        self.aside_len += 1;
        let job = self.jobs.get_mut(&chunk).expect("it was taken up");
        for part in &parts {
            let turn = (job.copies, job.number, chunk);
            self.aside.entry(*part).or_default().insert(turn);
        }
        job.place = Place::Aside(parts);
    }

    /// Whether as many chunks wait for a node's time as may.
    pub fn is_full(&self, part: Part) -> bool {
        let aside = self.aside.get(&part);
        aside.is_some_and(|turns| turns.len() >= ASIDE_MAX)
    }

    /// How many chunks wait for nodes' time.
    pub fn aside_len(&self) -> usize {
        self.aside_len
    }

    /// Whether chunks wait for this node's time.
    pub fn waits_for(&self, part: Part) -> bool {
        self.aside.contains_key(&part)
    }

    /// Gives chunks their turn again for whom a node has time now; `room` tells for how many. Says how many these are.
    pub fn bring_back(&mut self, room: impl Fn(Part) -> usize) -> usize {
        let due = self
            .aside
            .iter()
            .flat_map(|(part, turns)| turns.iter().take(room(*part)))
            .map(|(_, _, chunk)| *chunk)
            .collect::<BTreeSet<_>>();
        for chunk in &due {
            self.put_back(*chunk);
        }
        due.len()
    }

    /// Gives all chunks that are set aside their turn again: the nodes are other than they were.
    pub fn bring_all_back(&mut self) {
        self.bring_back(|_| usize::MAX);
    }

    /// A node failed to take a chunk: others are tried before it.
    pub fn avoid(&mut self, chunk: &ChunkId, node: NodeNumber) {
        if let Some(job) = self.jobs.get_mut(chunk)
            && !job.avoided.contains(&node)
        {
            job.avoided.push(node);
        }
    }

    /// The nodes that failed to take a chunk.
    pub fn avoided(&self, chunk: &ChunkId) -> &[NodeNumber] {
        let job = self.jobs.get(chunk);
        job.map_or(&[], |job| &job.avoided)
    }

    /// A chunk's copy failed: it is tried again later, and later still the next time.
    pub fn delay(&mut self, chunk: ChunkId, now: Instant) {
        if self.take_up(&chunk) {
            let job = self.jobs.get_mut(&chunk).expect("it was taken up");
            let wait = RETRY_FIRST * 2_u32.saturating_pow(job.attempts.min(16));
            let until = now + wait.min(RETRY_LAST);
            job.attempts += 1;
            job.place = Place::Delayed(until);
            self.delayed.insert((until, chunk));
        }
    }

    /// Nothing more is to be done for a chunk.
    pub fn finish(&mut self, chunk: &ChunkId) {
        self.take_up(chunk);
        self.jobs.remove(chunk);
    }

    /// When the next delayed chunk may be tried again.
    pub fn next_retry(&self) -> Option<Instant> {
        self.delayed.first().map(|(until, _)| *until)
    }

    /// Whether chunks wait for their turn, for a node or for another try.
    pub fn has_waiting(&self) -> bool {
        !(self.ready.is_empty() && self.aside.is_empty() && self.delayed.is_empty())
    }

    /// Whether half of it is free.
    pub fn has_room(&self) -> bool {
        self.jobs.len() <= self.capacity / 2
    }

    /// Whether nothing waits or runs.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// What did not fit is looked for again.
    pub fn forgive_overflow(&mut self) {
        self.overflowed = false;
    }

    /// Whether something did not fit, or was forgotten, since then.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Lets delayed chunks wait for their turn again whose time has come.
    pub fn wake(&mut self, now: Instant) {
        while let Some((until, chunk)) = self.delayed.first().copied() {
            if until > now {
                break;
            }
            self.delayed.pop_first();
            if self.take_up(&chunk) {
                let copies = self.jobs.get(&chunk).map(|job| job.copies);
                self.make_ready(chunk, copies);
            }
        }
    }

    /// Takes a chunk out of where it is, as running; `false` if it is no job.
    fn take_up(&mut self, chunk: &ChunkId) -> bool {
        let Some(job) = self.jobs.get_mut(chunk) else {
            return false;
        };
        let turn = (job.copies, job.number, *chunk);
        match std::mem::replace(&mut job.place, Place::Running) {
            Place::Ready => {
                self.ready.remove(&turn);
            }
            Place::Delayed(until) => {
                self.delayed.remove(&(until, *chunk));
            }
            Place::Aside(parts) => {
                self.aside_len -= 1;
                for part in parts {
                    if let Some(turns) = self.aside.get_mut(&part) {
                        turns.remove(&turn);
                        if turns.is_empty() {
                            self.aside.remove(&part);
                        }
                    }
                }
            }
            Place::Running => {}
        }
        true
    }

    /// A chunk that was taken up waits for its turn: behind those with as many copies, or, without a number, where it was.
    fn make_ready(&mut self, chunk: ChunkId, copies: Option<usize>) {
        let Some(job) = self.jobs.get_mut(&chunk) else {
            return;
        };
        if let Some(copies) = copies {
            job.copies = copies;
            job.number = self.next_number;
            self.next_number += 1;
        }
        job.place = Place::Ready;
        self.ready.insert((job.copies, job.number, chunk));
    }

    /// Whether there is room for one more with so many copies, if need be by forgetting a less urgent one.
    fn make_room(&mut self, copies: usize) -> bool {
        if self.jobs.len() < self.capacity {
            return true;
        }
        self.overflowed = true;
        let last = self.ready.last().copied();
        let Some((_, _, chunk)) = last.filter(|(least, ..)| *least > copies) else {
            return false;
        };
        self.finish(&chunk);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(number: u8) -> ChunkId {
        ChunkId::from_bytes([number; 32])
    }

    fn drain(queue: &mut RepairQueue, now: Instant) -> Vec<u8> {
        std::iter::from_fn(|| queue.pop(now))
            .map(|chunk| chunk.as_bytes()[0])
            .collect()
    }

    #[test]
    fn the_fewest_copies_come_first_and_then_the_oldest() {
        let now = Instant::now();
        let mut queue = RepairQueue::new(10);
        for (number, copies) in [(1, 2), (2, 1), (3, 2), (4, 1), (5, 30), (1, 1), (2, 2)] {
            queue.push(chunk(number), copies);
        }
        assert_eq!(drain(&mut queue, now), [2, 4, 1, 3, 5]);
        queue.push(chunk(3), 1);
        assert!(drain(&mut queue, now).is_empty(), "it runs already");
    }

    #[test]
    fn a_full_queue_keeps_the_urgent_and_says_that_it_forgot() {
        let mut queue = RepairQueue::new(2);
        queue.push(chunk(1), 2);
        queue.push(chunk(2), 2);
        assert!(!queue.overflowed());
        assert!(queue.push(chunk(3), 1), "a less urgent one goes");
        assert!(queue.overflowed());
        queue.forgive_overflow();
        assert!(!queue.push(chunk(4), 2));
        assert!(queue.overflowed());
        assert_eq!(drain(&mut queue, Instant::now()), [3, 1]);
    }

    #[test]
    fn what_failed_waits_longer_each_time_and_what_was_put_back_does_not() {
        let mut now = Instant::now();
        let mut queue = RepairQueue::new(10);
        queue.push(chunk(1), 1);
        queue.push(chunk(2), 1);
        let first = queue.pop(now).unwrap();
        queue.put_back(first);
        assert_eq!(queue.pop(now), Some(chunk(1)));
        assert_eq!(queue.pop(now), Some(chunk(2)));
        let mut waits = Vec::new();
        for _ in 0..10 {
            queue.delay(chunk(1), now);
            assert_eq!(queue.pop(now), None, "not before its time");
            let until = queue.next_retry().unwrap();
            waits.push(until - now);
            now = until;
            assert!(queue.has_waiting());
            assert_eq!(queue.pop(now), Some(chunk(1)));
        }
        assert!(waits.is_sorted(), "{waits:?}");
        assert_eq!((waits[0], waits[9]), (RETRY_FIRST, RETRY_LAST));
        queue.finish(&chunk(1));
        queue.finish(&chunk(2));
        assert!(queue.is_empty() && !queue.has_waiting());
    }

    type Step = fn(&mut RepairQueue, Instant, &[Part]);

    #[test]
    fn a_chunk_is_in_one_place_whatever_happens_to_it() {
        let now = Instant::now();
        let parts = vec![Part::Source(NodeNumber(1)), Part::Target(NodeNumber(2))];
        let steps: [Step; 4] = [
            |queue, now, _| queue.delay(chunk(1), now),
            |queue, _, _| queue.put_back(chunk(1)),
            |queue, _, parts| queue.set_aside(chunk(1), parts.to_vec()),
            |queue, now, _| {
                queue.pop(now);
            },
        ];
        for first in steps {
            for second in steps {
                let mut queue = RepairQueue::new(10);
                queue.push(chunk(1), 2);
                first(&mut queue, now, &parts);
                second(&mut queue, now, &parts);
                queue.finish(&chunk(1));
                assert!(queue.is_empty() && !queue.has_waiting());
                queue.bring_all_back();
                assert_eq!(queue.pop(now + RETRY_LAST), None);
            }
        }
    }

    #[test]
    fn chunks_whose_nodes_are_busy_step_aside_and_come_back_in_their_turn() {
        let now = Instant::now();
        let (one, two) = (Part::Source(NodeNumber(1)), Part::Target(NodeNumber(2)));
        let mut queue = RepairQueue::new(10);
        for number in 1..=4 {
            queue.push(chunk(number), usize::from(number / 4));
        }
        for number in 1..=3 {
            assert_eq!(queue.pop(now), Some(chunk(number)));
            queue.set_aside(chunk(number), vec![one, two]);
        }
        assert_eq!(drain(&mut queue, now), [4]);
        assert!(queue.waits_for(one) && queue.waits_for(two));
        let brought = queue.bring_back(|part| usize::from(part == two) * 2);
        assert_eq!((brought, drain(&mut queue, now)), (2, vec![1, 2]));
        assert_eq!(queue.bring_back(|_| 0), 0);
        assert_eq!(queue.pop(now), None);
        queue.push(chunk(3), 0);
        queue.bring_back(|_| 1);
        assert_eq!(drain(&mut queue, now), [3]);
        assert!(!queue.waits_for(one));
    }

    #[test]
    fn so_few_wait_for_one_node_that_there_is_room_for_others() {
        let now = Instant::now();
        let part = Part::Source(NodeNumber(1));
        let mut queue = RepairQueue::new(3 * ASIDE_MAX);
        for number in 0..ASIDE_MAX + 10 {
            let chunk = ChunkId::of(&number.to_le_bytes());
            assert_eq!(queue.is_full(part), number >= ASIDE_MAX);
            queue.push(chunk, 1);
            assert_eq!(queue.pop(now), Some(chunk));
            queue.set_aside(chunk, vec![part]);
        }
        assert!(queue.overflowed(), "ten were forgotten");
        let other = Part::Source(NodeNumber(2));
        queue.push(chunk(1), 1);
        queue.pop(now);
        queue.set_aside(chunk(1), vec![part, other]);
        assert_eq!(queue.bring_back(|part| usize::from(part == other)), 1);
        queue.finish(&chunk(1));
        queue.bring_all_back();
        assert_eq!(std::iter::from_fn(|| queue.pop(now)).count(), ASIDE_MAX);

        let mut queue = RepairQueue::new(4);
        for number in 0..4 {
            queue.push(chunk(number), 1);
            queue.pop(now);
            let node = NodeNumber(number.into());
            queue.set_aside(chunk(number), vec![Part::Source(node)]);
        }
        queue.bring_all_back();
        assert_eq!(drain(&mut queue, now), [0, 1], "half of it");
    }
}
