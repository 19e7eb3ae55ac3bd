//! The disks that a node has now: those that answer late join one by one, and one whose index failed is
//! opened anew.
//!
//! **Invariants:** a disk keeps its place in the list for as long as the node runs. While a disk is late, no chunk is said to be
//! missing, or to be gone: it may be there.

use std::ops::Deref;
use std::sync::Arc;

use super::Node;
use crate::node_disk::NodeDisk;

/// The disks of one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disks {
    joined: Vec<NodeDisk>,
    /// Disks that were not open in time, and are not yet, or cannot be opened: what they have is not known.
    pub(crate) late: u32,
    /// Disks that could not be opened at the start.
    pub(crate) unopened: u32,
}

impl Disks {
    pub(crate) fn new(joined: Vec<NodeDisk>, late: u32, unopened: u32) -> Self {
        Self {
            joined,
            late,
            unopened,
        }
    }
}

impl Deref for Disks {
    type Target = [NodeDisk];

    fn deref(&self) -> &[NodeDisk] {
        &self.joined
    }
}

impl Node {
    /// The disks as they are now.
    pub(crate) fn disks(&self) -> Arc<Disks> {
        Arc::clone(&self.disks.read())
    }

    /// Takes in a disk that was late; gives its place. Its chunks count from now on, and no order that it has seen is
    /// given once more.
    pub(crate) async fn join_disk(&self, disk: NodeDisk) -> usize {
        let order = disk.store.catalog().order;
        // No deletion goes to some of the disks before this one, and to others after it.
        let mut orders = self.orders.lock().await;
        orders.add_disk(order);
        self.note_order_of_disk(order);
        let place = self.disks().len();
        self.change_disks(|disks| {
            disks.joined.push(disk);
            disks.late -= 1;
        });
        self.report_all_corrupt();
        place
    }

    /// From now on a disk is used as it was opened anew.
    pub(crate) fn replace_disk(&self, place: usize, disk: NodeDisk) {
        self.change_disks(|disks| disks.joined[place] = disk);
        self.report_all_corrupt();
    }

    fn change_disks(&self, change: impl FnOnce(&mut Disks)) {
        let mut disks = self.disks.write();
        change(Arc::make_mut(&mut disks));
    }
}
