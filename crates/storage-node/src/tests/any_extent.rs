//! Extents of any records that were harmed in any way, or forged by somebody who knows their checksums and salt.
//!
//! A walk shows each record that is whole where it was written, and nothing else; a forged one is shown at most as what it says it is,
//! within its bounds.

use std::ops::Range;
use std::sync::Arc;

use bolero::TypeGenerator;
use disk::{Disk, MemoryDisk};
use fuzz::bytes::{Harm, harm};
use proto::id::{ChunkId, Epoch, NodeId};
use uuid::Uuid;

use super::support::{FIRST, TestNode, chunk, lose_index};
use crate::extent::{
    EXTENT_HEADER_LEN, ExtentHeader, Order, PAYLOAD_LEN_MAX, RECORD_HEADER_LEN, RecordHeader,
    RecordKind, batch_at,
};
use crate::walk::{Item, Payloads, Walk};

const SALT: u64 = 0x0123_4567_89ab_cdef;

#[derive(Debug, Clone, TypeGenerator)]
struct Record {
    kind: u8,
    number: u8,
    len: u16,
    /// A field of its header says something else, under a checksum that fits.
    forged: Option<(u8, u64)>,
}

impl Record {
    fn payload(&self) -> Vec<u8> {
        let len = u32::from(self.len % 700).saturating_add(8);
        chunk(u64::from(self.number % 6), usize::try_from(len).unwrap())
            .1
            .to_vec()
    }

    /// Writes it behind the others.
    fn write_to(&self, bytes: &mut Vec<u8>) {
        let offset = bytes.len() as u64;
        let order = Order {
            epoch: Epoch(1),
            sequence: offset,
        };
        let payload = self.payload();
        let (kind, payload) = match self.kind % 4 {
            0 => (RecordKind::Delete { order }, Vec::new()),
            1 => (RecordKind::Order { order }, Vec::new()),
            _ => (RecordKind::Put { written_ms: 5 }, payload),
        };
        let header = RecordHeader {
            kind,
            chunk: ChunkId::of(&self.payload()),
            payload_len: u32::try_from(payload.len()).unwrap(),
            payload_crc: crc32c::crc32c(&payload),
            salt: SALT,
            offset,
            batch: batch_at(offset),
        };
        let mut header = header.encode();
        if let Some((at, value)) = self.forged {
            let at = usize::from(at) % 77;
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
            let sum = crc32c::crc32c(&header[..84]).to_le_bytes();
            header[84..].copy_from_slice(&sum);
        }
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&payload);
    }
}

#[derive(Debug, Clone, TypeGenerator)]
struct Extent {
    #[generator(bolero::produce_with::<Vec<_>>().len(0..8_usize))]
    records: Vec<Record>,
    #[generator(bolero::produce_with::<Vec<_>>().len(0..4_usize))]
    harms: Vec<Harm>,
    is_forged: bool,
}

fn extent_header() -> ExtentHeader {
    ExtentHeader {
        number: 1,
        salt: SALT,
        node: NodeId::new(Uuid::from_u128(9)),
        disk: 0,
        created_ms: 2,
        previous: 0,
        previous_len: 0,
        order: Order::default(),
    }
}

impl Extent {
    /// The bytes as they were written, and where each record is.
    fn written(&self) -> (Vec<u8>, Vec<Range<usize>>) {
        let mut bytes = extent_header().encode();
        let mut places = Vec::new();
        for record in &self.records {
            let mut record = record.clone();
            record.forged = record.forged.filter(|_| self.is_forged);
            let start = bytes.len();
            record.write_to(&mut bytes);
            places.push(start..bytes.len());
        }
        (bytes, places)
    }

    /// The bytes as they are found: the extent's header is harmed in tests of its own.
    fn found(&self) -> Vec<u8> {
        let (mut bytes, _) = self.written();
        let mut records = bytes.split_off(usize::try_from(EXTENT_HEADER_LEN).unwrap());
        harm(&mut records, &self.harms);
        bytes.extend(records);
        bytes
    }
}

/// All that a walk shows, which is all of the range, once.
fn walk(bytes: &[u8], payloads: Payloads) -> Vec<(RecordHeader, bool)> {
    let disk = MemoryDisk::new();
    disk.put("e", bytes);
    let file = disk.open("e").unwrap();
    let mut walk = Walk::new(Arc::clone(&file), Some(SALT), 0..u64::MAX, payloads).unwrap();
    let mut records = Vec::new();
    let mut at = EXTENT_HEADER_LEN;
    while let Some(item) = walk.next_item() {
        let next = match item {
            Item::Damage(range) => {
                assert_eq!(range.start, at);
                range.end
            }
            Item::Record {
                header,
                payload_good,
            } => {
                assert_eq!(header.offset, at);
                records.push((header, payload_good));
                at + header.record_len()
            }
        };
        assert!(next > at, "it does not get on");
        at = next;
        assert_eq!(walk.offset(), at);
    }
    assert_eq!(
        at,
        (bytes.len() as u64).max(EXTENT_HEADER_LEN),
        "all of it was seen"
    );
    records
}

fn check_records(bytes: &[u8], records: &[(RecordHeader, bool)]) {
    for (header, payload_good) in records {
        let start = usize::try_from(header.offset).unwrap();
        let len = usize::try_from(header.payload_len).unwrap();
        assert!(len <= PAYLOAD_LEN_MAX && header.salt == SALT);
        assert_eq!(
            RecordHeader::decode(&bytes[start..], header.offset),
            Some(*header)
        );
        let payload = &bytes[start + RECORD_HEADER_LEN..][..len];
        assert_eq!(*payload_good, crc32c::crc32c(payload) == header.payload_crc);
    }
}

fn check_walk(extent: &Extent) {
    let (written, places) = extent.written();
    let bytes = extent.found();
    let verified = walk(&bytes, Payloads::Verify);
    check_records(&bytes, &verified);
    let skipped: Vec<_> = walk(&bytes, Payloads::Skip)
        .into_iter()
        .map(|(header, _)| header)
        .collect();
    let headers: Vec<_> = verified.iter().map(|(header, _)| *header).collect();
    assert_eq!(
        skipped, headers,
        "the same records, whether payloads are read or not"
    );
    if extent.is_forged {
        return;
    }
    let is_whole = |place: &Range<usize>| {
        bytes.get(place.start..place.start + RECORD_HEADER_LEN)
            == Some(&written[place.start..place.start + RECORD_HEADER_LEN])
            && place.end <= bytes.len()
    };
    let whole: Vec<_> = places
        .into_iter()
        .filter(is_whole)
        .map(|place| place.start as u64)
        .collect();
    let shown: Vec<_> = headers.iter().map(|header| header.offset).collect();
    assert_eq!(shown, whole, "just those whose headers are as they were");
}

#[test]
fn a_walk_shows_what_is_whole_and_nothing_else() {
    fuzz::check!(Extent, 10_000, check_walk);
}

/// A node starts on any such extent, serves nothing wrong, and takes what comes.
#[test]
fn a_node_starts_on_any_extent() {
    let disk = MemoryDisk::new();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    runtime().block_on(async { TestNode::open(&[&disk]).stop().await });
    lose_index(&disk);
    let owner = node_of(&disk);
    fuzz::check!(Extent, 1_000, |extent| {
        let disk = disk.fork();
        let mut bytes = extent.found();
        let header = ExtentHeader {
            node: owner,
            ..extent_header()
        };
        bytes[..4096].copy_from_slice(&header.encode());
        disk.put(FIRST, &bytes);
        runtime().block_on(async {
            let node = TestNode::open(&[&disk]);
            for record in &extent.records {
                let payload = record.payload();
                if let Ok(read) = node.get(&ChunkId::of(&payload)).await {
                    assert_eq!(read, payload);
                }
            }
            let new = chunk(99, 500);
            node.put(&new).await.unwrap();
            node.scrub().await;
            node.compact().await;
            assert_eq!(node.get(&new.0).await.unwrap(), new.1);
            node.stop().await;
        });
    });
}

/// Who a disk's node is.
fn node_of(disk: &MemoryDisk) -> NodeId {
    let identity: serde_json::Value =
        serde_json::from_slice(&disk.content("node.json").unwrap()).unwrap();
    identity["node"].as_str().unwrap().parse().unwrap()
}

/// Any bytes in the place of an extent's header are told from one, and one is what was written.
#[test]
fn an_extents_header_is_what_was_written_or_none() {
    #[derive(Debug, Clone, TypeGenerator)]
    struct Header {
        numbers: [u64; 5],
        disk: u32,
        #[generator(bolero::produce_with::<Vec<_>>().len(0..4_usize))]
        harms: Vec<Harm>,
    }
    fuzz::check!(Header, 20_000, |input| {
        let [number, salt, created_ms, previous_len, epoch] = input.numbers;
        let header = ExtentHeader {
            number,
            salt,
            disk: input.disk,
            created_ms,
            previous_len,
            order: Order {
                epoch: Epoch(epoch),
                sequence: salt ^ number,
            },
            ..extent_header()
        };
        let mut bytes = header.encode();
        assert_eq!(ExtentHeader::decode(&bytes).as_ref(), Ok(&header));
        harm(&mut bytes, &input.harms);
        if let Ok(read) = ExtentHeader::decode(&bytes) {
            assert_eq!(read, header);
        }
    });
}
