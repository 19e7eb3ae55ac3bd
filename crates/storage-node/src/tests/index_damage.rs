//! An index that does not know what the extents hold: from another moment than its sums, or with pages that rotted.

use std::sync::Arc;

use disk::MemoryDisk;
use proto::id::{Epoch, NodeId};
use uuid::Uuid;

use super::support::{chunk, environment};
use crate::appender::Appender;
use crate::extent::Order;
use crate::recover;
use crate::store::{Store, StoreOptions};
use crate::verified::VerifiedChunk;

fn open_store(disk: &MemoryDisk) -> (Arc<Store>, Appender) {
    let options = StoreOptions {
        node: NodeId::new(Uuid::from_u128(5)),
        disk_number: 0,
        extent_size: 1 << 20,
        reserve: 0,
        cache_bytes: 1 << 20,
        checkpoint_bytes: 64 << 20,
    };
    recover::open(&disk.shared(), options, &environment()).unwrap()
}

fn put(appender: &mut Appender, number: u64) {
    let (id, bytes) = chunk(number, 1000);
    let verified = VerifiedChunk::check(id, bytes).unwrap();
    appender.put(&verified).unwrap();
}

fn reads_well(store: &Store, number: u64) -> bool {
    let file = store.open_chunk(&chunk(number, 1000).0);
    file.and_then(|file| file.verify()).is_ok()
}

fn len_of(store: &Store, extent: u64) -> u64 {
    store.catalog().extents[&extent].len
}

/// A sync failed, so that an extent was begun without a checkpoint, and the index was closed without its sums: what was stored
/// in the extent before, after the last checkpoint, is still there when the new one is compacted.
#[test]
fn compaction_leaves_the_extent_before_whole() {
    let disk = MemoryDisk::new();
    let (store, mut appender) = open_store(&disk);
    put(&mut appender, 1);
    appender.flush().unwrap();
    appender.checkpoint_if_due(true).unwrap();
    put(&mut appender, 2);
    appender.flush().unwrap();
    disk.fail_next_sync();
    put(&mut appender, 3);
    appender.flush().unwrap_err();
    disk.heal();
    put(&mut appender, 4);
    appender.flush().unwrap();
    let len = len_of(&store, 1);
    drop((store, appender));

    let (store, mut appender) = open_store(&disk);
    assert_eq!(len_of(&store, 1), len);
    let order = Order {
        epoch: Epoch(1),
        sequence: 1,
    };
    appender.delete(order, &[chunk(4, 1000).0]).unwrap();
    appender.seal().unwrap();
    assert!(appender.remove_extent(2).unwrap());
    assert!(reads_well(&store, 1) && reads_well(&store, 2));
    drop((store, appender));
    let (store, _appender) = open_store(&disk);
    assert!(reads_well(&store, 1) && reads_well(&store, 2));
}

/// Whatever the sums say of an extent's length: what the index points to is not cut off.
#[test]
fn nothing_that_the_index_points_to_is_cut_off() {
    let disk = MemoryDisk::new();
    let (store, mut appender) = open_store(&disk);
    put(&mut appender, 1);
    put(&mut appender, 2);
    appender.seal().unwrap();
    let order = Order {
        epoch: Epoch(1),
        sequence: 1,
    };
    appender.delete(order, &[]).unwrap();
    appender.seal().unwrap();
    let first = store
        .catalog()
        .extents
        .get_mut(&1)
        .map(|sums| &mut sums.len)
        .map(|len| *len -= 1088);
    assert!(first.is_some());
    assert!(appender.remove_extent(2).unwrap());
    assert!(reads_well(&store, 1) && reads_well(&store, 2));
}
