//! An index on a disk without room.

use disk::{Disk, MemoryDisk};
use proto::id::NodeId;
use redb::Builder;
use uuid::Uuid;

use super::*;
use crate::index_file::IndexFile;

fn open(disk: &MemoryDisk) -> (Index, Option<Catalog>) {
    let owner = (NodeId::new(Uuid::from_u128(1)), 0);
    Index::open(&disk.shared(), owner, 64 << 10).unwrap()
}

fn commit(index: &Index, numbers: std::ops::Range<u32>) -> Catalog {
    let mut catalog = Catalog::default();
    let rows = numbers.map(|number| {
        let location = Location {
            extent: 1,
            offset: u64::from(number),
            len: 1,
        };
        let row = Row {
            location,
            corrupt: false,
            verified_ms: 0,
        };
        (ChunkId::of(&number.to_be_bytes()), Some(row))
    });
    let changes = Changes {
        rows: rows.collect(),
        ..Changes::default()
    };
    for (chunk, old, new) in index.commit(&changes).unwrap() {
        catalog.note(&chunk, old.as_ref(), new.as_ref());
    }
    catalog
}

fn has(index: &Index, number: u32) -> bool {
    let chunk = ChunkId::of(&number.to_be_bytes());
    index.get(&chunk).unwrap().is_some()
}

/// After a kill the whole index was read before the node served: how long that took grew with what the node had.
#[test]
fn an_index_opens_at_once_after_a_kill() {
    let disk = MemoryDisk::new();
    let (index, _) = open(&disk);
    let catalog = commit(&index, 0..20_000);
    index.checkpoint(&catalog).unwrap();
    commit(&index, 20_000..60_000);
    disk.kill();
    drop(index);
    let name = Arc::new(IndexName::new(&disk.shared()));
    let file = IndexFile::new(disk.open(INDEX_PATH).unwrap(), name).unwrap();
    Builder::new()
        .set_repair_callback(|_| panic!("it reads the whole index"))
        .create_with_backend(file)
        .unwrap();
    assert!(open(&disk).1.is_some());
}

/// Somebody else takes the last room of the disk just before the index is written: it is read and written on, and
/// the next start makes a new one.
#[test]
fn an_index_without_room_goes_on() {
    let disk = MemoryDisk::new();
    let (index, _) = open(&disk);
    commit(&index, 0..10);
    disk.fill();
    let catalog = commit(&index, 0..20_000);
    index.checkpoint(&catalog).unwrap();
    assert!(has(&index, 19_999));
    disk.set_capacity(1 << 30);
    commit(&index, 20_000..20_010);
    assert!(has(&index, 5) && has(&index, 20_009));
    drop(index);
    assert!(open(&disk).1.is_none());
}

/// A panic on a page that rotted went on with one in a destructor, which ended the process: the node ended at each start, until
/// somebody removed its index.
#[test]
fn an_index_that_panics_has_lost_its_name_before_anything_is_dropped() {
    struct Looks<'d>(&'d MemoryDisk, &'d std::cell::Cell<bool>);
    impl Drop for Looks<'_> {
        fn drop(&mut self) {
            self.1.set(self.0.content(INDEX_PATH).is_none());
        }
    }
    let disk = MemoryDisk::new();
    let owner = (NodeId::new(Uuid::from_u128(5)), 0);
    let index = Index::create(&disk.shared(), owner, 1 << 20).unwrap();
    let was_gone = std::cell::Cell::new(false);
    let read = index.read(|_| -> io::Result<()> {
        let _looks = Looks(&disk, &was_gone);
        panic!("a page that rotted");
    });
    read.unwrap_err();
    assert!(was_gone.get());
}
