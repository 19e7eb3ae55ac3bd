//! An extent with records of each kind, cut at every byte of its last ones and with each part of each flipped; beside an index
//! of each age, or none. What is there then is said by the simplest of models.

use bytes::Bytes;
use disk::MemoryDisk;
use proto::id::ChunkId;
use proto::node::ChunkState;

use super::support::{FIRST, TestNode, chunk, lose_index};
use crate::extent::{EXTENT_HEADER_LEN, RECORD_HEADER_LEN, record_len};

const INDEX: &str = "index.redb";

/// What was done, each in a batch of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Put(u64),
    Delete(u64),
    /// A delete order that found nothing.
    Order,
}

/// The last three are of each kind.
const HISTORY: [Done; 8] = [
    Done::Put(1),
    Done::Put(2),
    Done::Delete(1),
    Done::Put(3),
    Done::Put(1),
    Done::Delete(2),
    Done::Order,
    Done::Put(4),
];
const CHUNKS: std::ops::RangeInclusive<u64> = 1..=4;

fn numbered(number: u64) -> (ChunkId, Bytes) {
    let len = usize::try_from(20 + 13 * number).unwrap();
    chunk(number, len)
}

/// The disk with all of the history; what the index was after each part of it; where each record begins, and the last ends.
struct Beginning {
    disk: MemoryDisk,
    indexes: Vec<Vec<u8>>,
    starts: Vec<u64>,
}

impl Beginning {
    async fn new() -> Self {
        let disk = MemoryDisk::new();
        TestNode::open(&[&disk]).stop().await;
        let mut indexes = vec![disk.content(INDEX).unwrap()];
        let mut starts = vec![EXTENT_HEADER_LEN];
        for done in HISTORY {
            let node = TestNode::open(&[&disk]);
            match done {
                Done::Put(number) => assert!(node.put(&numbered(number)).await.unwrap()),
                Done::Delete(number) => assert_eq!(node.delete(&[numbered(number).0]).await, Ok(1)),
                Done::Order => assert_eq!(node.delete(&[numbered(99).0]).await, Ok(0)),
            }
            node.stop().await;
            indexes.push(disk.content(INDEX).unwrap());
            starts.push(disk.content(FIRST).unwrap().len() as u64);
        }
        let expected = HISTORY.iter().fold(EXTENT_HEADER_LEN, |end, done| {
            let Done::Put(number) = done else {
                return end + record_len(0);
            };
            end + record_len(u32::try_from(numbered(*number).1.len()).unwrap())
        });
        assert_eq!(starts.last(), Some(&expected));
        Self {
            disk,
            indexes,
            starts,
        }
    }

    /// The disk with the index as it was when so much was done; without one if that is `None`.
    fn with_index(&self, age: Option<usize>) -> MemoryDisk {
        let disk = self.disk.fork();
        match age {
            Some(age) => disk.put(INDEX, &self.indexes[age]),
            None => lose_index(&disk),
        }
        disk
    }
}

/// The record that holds a chunk after so much of the history.
fn holder(number: u64, done: usize) -> Option<usize> {
    let is_about = |done: &Done| matches!(done, Done::Put(n) | Done::Delete(n) if *n == number);
    let last = HISTORY[..done].iter().rposition(is_about)?;
    matches!(HISTORY[last], Done::Put(_)).then_some(last)
}

/// Ages of the index: none, and after parts of the history; after each of them where more is to be tried.
fn ages() -> Vec<Option<usize>> {
    if fuzz::effort() > 1 {
        return std::iter::once(None)
            .chain((0..=HISTORY.len()).map(Some))
            .collect();
    }
    vec![None, Some(0), Some(4), Some(6), Some(HISTORY.len())]
}

/// Whatever was lost can be stored again, and is there after a power cut, with the index and without.
async fn check_goes_on(node: TestNode, disk: &MemoryDisk, seed: u64) {
    if fuzz::effort() == 1 && !seed.is_multiple_of(5) {
        return node.stop().await;
    }
    for number in CHUNKS {
        node.put(&numbered(number)).await.unwrap();
        assert_eq!(
            node.get(&numbered(number).0).await.unwrap(),
            numbered(number).1
        );
    }
    node.crash(seed).await;
    if seed.is_multiple_of(2) {
        drop(disk::Disk::remove(disk, INDEX));
    }
    let node = TestNode::open(&[disk]);
    for number in CHUNKS {
        assert_eq!(
            node.get(&numbered(number).0).await.unwrap(),
            numbered(number).1
        );
    }
    node.check_digest(CHUNKS.map(|number| numbered(number).0));
    node.stop().await;
}

/// Power was lost, or the file was cut, at any byte of the last records: what is whole is there. What the index knew behind the
/// cut is corrupt, and has a name; what it knew to be deleted stays deleted.
#[tokio::test]
async fn an_extent_cut_at_any_byte_keeps_what_is_whole() {
    let beginning = Beginning::new().await;
    let (first, end) = (
        beginning.starts[HISTORY.len() - 3],
        beginning.starts[HISTORY.len()],
    );
    for age in ages() {
        for cut in first..=end {
            let disk = beginning.with_index(age);
            disk.cut(FIRST, cut);
            let whole = beginning.starts[1..].partition_point(|end| *end <= cut);
            let node = TestNode::open(&[&disk]);
            for number in CHUNKS {
                let known = whole.max(age.unwrap_or(0));
                let expected = match holder(number, known) {
                    None => ChunkState::Missing,
                    Some(record) if record < whole => ChunkState::Good,
                    Some(_) => ChunkState::Corrupt,
                };
                let (id, bytes) = numbered(number);
                assert_eq!(
                    node.state(&id),
                    expected,
                    "{number}, cut at {cut}, index {age:?}"
                );
                let read = node.get(&id).await.ok();
                assert_eq!(read, (expected == ChunkState::Good).then_some(bytes));
            }
            check_goes_on(node, &disk, cut).await;
        }
    }
}

/// The places of a record of which each is another part of it.
fn parts(record_len: u64) -> Vec<u64> {
    let header = RECORD_HEADER_LEN as u64;
    let mut parts = vec![
        0,
        4,
        5,
        6,
        8,
        12,
        16,
        24,
        32,
        63,
        64,
        72,
        80,
        84,
        header - 1,
    ];
    if record_len > header {
        parts.extend([header, header + (record_len - header) / 2, record_len - 1]);
    }
    parts
}

/// One bit rots in any part of any record: no other chunk is harmed by it, and nothing wrong is ever read. If a deletion is hit, its
/// chunk may be there again, with the right bytes, for which the master knows no use.
#[tokio::test]
async fn a_bit_that_rots_harms_the_chunk_of_its_record_only() {
    let beginning = Beginning::new().await;
    for (record, hit) in HISTORY.into_iter().enumerate() {
        let (start, end) = (beginning.starts[record], beginning.starts[record + 1]);
        for (place, age) in parts(end - start)
            .into_iter()
            .flat_map(|place| ages().into_iter().map(move |age| (place, age)))
        {
            let disk = beginning.with_index(age);
            disk.flip(FIRST, start + place, 1 << (place % 8));
            let node = TestNode::open(&[&disk]);
            for number in CHUNKS {
                let holder = holder(number, HISTORY.len());
                let (id, bytes) = numbered(number);
                let read = node.get(&id).await.ok();
                let what = format!("{number}, record {record} at {place}, index {age:?}");
                match holder {
                    Some(holder) if holder == record => assert_eq!(read, None, "{what}"),
                    Some(_) => assert_eq!(read, Some(bytes), "{what}"),
                    None if hit == Done::Delete(number) => {
                        assert!(read.is_none_or(|read| read == bytes));
                    }
                    None => assert_eq!(node.state(&id), ChunkState::Missing, "{what}"),
                }
                assert_ne!(
                    (node.state(&id), holder == Some(record)),
                    (ChunkState::Good, true),
                    "{what}"
                );
            }
            check_goes_on(node, &disk, start + place).await;
        }
    }
}

/// What a disk does while it rots: some sectors of the last batches are those of before, and some of one sector stand in the place of
/// another. Nothing wrong is read.
#[tokio::test]
async fn sectors_in_the_place_of_others_are_found() {
    let beginning = Beginning::new().await;
    let content = beginning.disk.content(FIRST).unwrap();
    let sectors = content.len().div_ceil(disk::SECTOR_LEN);
    for (from, to) in (0..sectors).flat_map(|from| (0..sectors).map(move |to| (from, to))) {
        if from == to || to < 8 && from < 8 {
            continue;
        }
        let mut misplaced = content.clone();
        let sector = |number: usize| {
            number * disk::SECTOR_LEN..((number + 1) * disk::SECTOR_LEN).min(content.len())
        };
        let len = sector(from).len().min(sector(to).len());
        misplaced[sector(to).start..sector(to).start + len]
            .copy_from_slice(&content[sector(from)][..len]);
        for age in [None, Some(4), Some(HISTORY.len())] {
            let disk = beginning.with_index(age);
            disk.put(FIRST, &misplaced);
            let node = TestNode::open(&[&disk]);
            for number in CHUNKS {
                let (id, bytes) = numbered(number);
                let read = node.get(&id).await.ok();
                assert!(read.is_none_or(|read| read == bytes), "{from} to {to}");
            }
            check_goes_on(node, &disk, (from * sectors + to) as u64).await;
        }
    }
}
