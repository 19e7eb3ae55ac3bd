//! How full a node is, and how its disks do.

use std::collections::HashSet;

use disk::Space;
use futures::future::join_all;
use proto::node::NodeUsage;

use super::Node;
use crate::extent::PAYLOAD_LEN_MAX;
use crate::node_disk::NodeDisk;
use crate::scrub::is_due;
use crate::store::Store;

impl Node {
    /// How full it is. Asks the file systems, all at once, and waits a moment; a disk that hangs counts as failed, with the
    /// room that it had.
    pub(crate) async fn usage(&self) -> NodeUsage {
        let disks = self.disks();
        let spaces = join_all(disks.iter().map(NodeDisk::space)).await;
        let mut usage = NodeUsage {
            failed_disks: disks.unopened + disks.late,
            file_system: only_file_system(&spaces),
            ..NodeUsage::default()
        };
        let (mut seen, mut seen_writable) = (HashSet::new(), HashSet::new());
        for (disk, space) in disks.iter().zip(spaces) {
            disk.log_hang();
            add_space(&mut usage, disk, space, &mut seen, &mut seen_writable);
            add_content(&mut usage, &disk.store);
        }
        // It could not be told to make copies, nor to delete.
        usage.writable &= !self.following.has_new_start();
        usage
    }
}

/// The file system that all folders are on, if it is one and the system says so.
fn only_file_system(spaces: &[Option<Space>]) -> Option<u64> {
    let file_system = |space: &Option<Space>| space.and_then(|space| space.file_system);
    let only = spaces.first().and_then(file_system)?;
    let is_only = |space| file_system(space) == Some(only);
    spaces.iter().all(is_only).then_some(only)
}

/// Folders on one file system have its room together: it counts once, and as free if one of them takes writes.
fn add_space(
    usage: &mut NodeUsage,
    disk: &NodeDisk,
    space: Option<Space>,
    seen: &mut HashSet<u64>,
    seen_writable: &mut HashSet<u64>,
) {
    let is_new = |seen: &mut HashSet<u64>| {
        let file_system = space.and_then(|space| space.file_system);
        file_system.is_none_or(|id| seen.insert(id))
    };
    if is_new(seen) {
        usage.capacity_bytes += space.map_or(0, |space| space.capacity);
    }
    let room = space.map_or(0, |space| disk.store.room_of(space));
    if !disk.is_sound() {
        usage.failed_disks += 1;
    } else if is_new(seen_writable) {
        usage.free_bytes += room;
        usage.writable |= room >= PAYLOAD_LEN_MAX as u64;
    }
}

fn add_content(usage: &mut NodeUsage, store: &Store) {
    let catalog = store.catalog();
    usage.stored_bytes += catalog.stored_bytes();
    usage.reclaimable_bytes += catalog.reclaimable_bytes();
    usage.chunks += catalog.chunks();
    usage.corrupt_chunks += catalog.corrupt_chunks;
    let now_ms = store.environment.now_ms();
    let extents = catalog.extents.values();
    let scrubbed = extents.filter(|sums| !is_due(sums, now_ms));
    usage.scrubbed_bytes += scrubbed.map(|sums| sums.len).sum::<u64>() + catalog.scrub.offset;
}
