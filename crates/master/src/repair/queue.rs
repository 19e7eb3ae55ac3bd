//! Which chunk is repaired next: fewest copies first, and of those in the order in which they were found.
//!
//! A plain value with a bound. What does not fit is not kept but remembered as a fact ([`RepairQueue::overflowed`]),
//! and found again by the next survey. A chunk is in the queue once; one that failed waits longer each time.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use proto::id::ChunkId;
use tokio::time::Instant;

/// Copies told apart; those with this many or more come last.
const LEVELS: usize = 8;
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// Chunks that wait for a copy, and those that get one now.
#[derive(Debug)]
pub struct RepairQueue {
    levels: [VecDeque<ChunkId>; LEVELS],
    jobs: HashMap<ChunkId, Job>,
    delayed: BTreeSet<(Instant, ChunkId)>,
    capacity: usize,
    overflowed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Job {
    level: usize,
    attempts: u32,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Waiting,
    Delayed(Instant),
    Running,
}

impl RepairQueue {
    /// A queue for at most so many chunks.
    pub fn new(capacity: usize) -> Self {
        Self {
            levels: Default::default(),
            jobs: HashMap::new(),
            delayed: BTreeSet::new(),
            capacity,
            overflowed: false,
        }
    }

    /// Adds a chunk with so many copies left. One that waits moves forward if it has fewer now; a delayed or a
    /// running one stays what it is.
    pub fn push(&mut self, chunk: ChunkId, copies: usize) {
        let level = copies.min(LEVELS - 1);
        if let Some(job) = self.jobs.get_mut(&chunk) {
            if job.place == Place::Waiting && level < job.level {
                let old = std::mem::replace(&mut job.level, level);
                self.levels[old].retain(|other| *other != chunk);
                self.levels[level].push_back(chunk);
            }
        } else if self.make_room(level) {
            let job = Job {
                level,
                attempts: 0,
                place: Place::Waiting,
            };
            self.jobs.insert(chunk, job);
            self.levels[level].push_back(chunk);
        } else {
            self.overflowed = true;
        }
    }

    /// The most urgent chunk. It counts as running until it is finished, put back or delayed.
    pub fn pop(&mut self, now: Instant) -> Option<ChunkId> {
        self.wake(now);
        let chunk = self.levels.iter_mut().find_map(VecDeque::pop_front)?;
        let job = self.jobs.get_mut(&chunk).expect("what waits is a job");
        job.place = Place::Running;
        Some(chunk)
    }

    /// A chunk that was popped cannot begin now: it is the first again.
    pub fn put_back(&mut self, chunk: ChunkId) {
        if let Some(job) = self.jobs.get_mut(&chunk) {
            job.place = Place::Waiting;
            self.levels[job.level].push_front(chunk);
        }
    }

    /// A chunk's copy failed: it is tried again later, and later still the next time.
    pub fn delay(&mut self, chunk: ChunkId, now: Instant) {
        if let Some(job) = self.jobs.get_mut(&chunk) {
            let wait = RETRY_FIRST * 2_u32.saturating_pow(job.attempts.min(16));
            let until = now + wait.min(RETRY_LAST);
            job.attempts += 1;
            job.place = Place::Delayed(until);
            self.delayed.insert((until, chunk));
        }
    }

    /// Nothing more is to be done for a chunk.
    pub fn finish(&mut self, chunk: &ChunkId) {
        if let Some(job) = self.jobs.remove(chunk) {
            match job.place {
                Place::Waiting => self.levels[job.level].retain(|other| other != chunk),
                Place::Delayed(until) => {
                    self.delayed.remove(&(until, *chunk));
                }
                Place::Running => {}
            }
        }
    }

    /// When the next delayed chunk may be tried again.
    pub fn next_retry(&self) -> Option<Instant> {
        self.delayed.first().map(|(until, _)| *until)
    }

    /// Chunks that wait for their turn or for another try.
    pub fn waiting(&self) -> usize {
        self.levels.iter().map(VecDeque::len).sum::<usize>() + self.delayed.len()
    }

    /// Whether nothing waits or runs.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether something did not fit since this was asked last.
    pub fn take_overflowed(&mut self) -> bool {
        std::mem::take(&mut self.overflowed)
    }

    /// Whether something did not fit.
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
            let job = self.jobs.get_mut(&chunk).expect("what is delayed is a job");
            job.place = Place::Waiting;
            self.levels[job.level].push_back(chunk);
        }
    }

    /// Whether there is room for one more of this level, if need be by forgetting a less urgent one.
    fn make_room(&mut self, level: usize) -> bool {
        if self.jobs.len() < self.capacity {
            return true;
        }
        let less_urgent = (level + 1..LEVELS)
            .rev()
            .find_map(|other| self.levels[other].pop_back());
        self.overflowed = true;
        less_urgent.is_some_and(|chunk| self.jobs.remove(&chunk).is_some())
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
        assert!(!queue.take_overflowed());
        queue.push(chunk(3), 1);
        assert!(queue.take_overflowed());
        queue.push(chunk(4), 2);
        assert!(queue.take_overflowed());
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
            assert_eq!(queue.waiting(), 1);
            assert_eq!(queue.pop(now), Some(chunk(1)));
        }
        assert!(waits.is_sorted(), "{waits:?}");
        assert_eq!((waits[0], waits[9]), (RETRY_FIRST, RETRY_LAST));
        queue.finish(&chunk(1));
        queue.finish(&chunk(2));
        assert!(queue.is_empty());
        assert_eq!(queue.waiting(), 0);
    }
}
