//! Makes a new index for a disk whose index failed, while the node runs.
//!
//! Without its index a disk can be neither written nor read, although every chunk may be there. So its writer is stopped, the
//! extents are read ([`recover::open_anew`]), and the disk takes its place again. Where that fails it is tried again later, with
//! pauses that grow, since whatever broke one index may break the next.
//!
//! **Invariants:** the extents are read only when the old writer has stopped: never do two write to one disk. A disk that
//! failed for anything else takes no writes after this either.

use std::sync::Arc;
use std::time::Duration;

use disk::Blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::error::OpenError;
use crate::node::Node;
use crate::node_disk::NodeDisk;
use crate::recover;

/// What is waited for before each new index of a disk; the last for all that follow. When an index held for longer than that, it
/// begins anew.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(6 * 3600),
];

/// Between looks whether the old index is still in use.
const CLOSE_PAUSE: Duration = Duration::from_secs(1);

/// Watches over the index of one disk for as long as the node runs.
pub(crate) async fn run(node: Arc<Node>, place: usize, shutdown: CancellationToken) {
    let watch = async {
        let [.., longest] = PAUSES;
        let (mut pauses, mut opened) = (PAUSES.iter().copied(), Instant::now());
        loop {
            let (ended, disk) = {
                let store = &node.disks()[place].store;
                (store.index.ended(), store.options.disk_as_said())
            };
            ended.cancelled().await;
            if opened.elapsed() > longest {
                pauses = PAUSES.iter().copied();
            }
            sleep(pauses.next().unwrap_or(longest)).await;
            match reopen(&node, place).await {
                Ok(old) => {
                    tracing::info!(disk, "the disk has a new index");
                    tokio::spawn(close(old, node.blocking()));
                }
                Err(error) => {
                    tracing::error!(disk, %error, "could not make a new index; it is tried again, and at a restart");
                }
            }
            opened = Instant::now();
        }
    };
    shutdown.run_until_cancelled(watch).await;
}

/// Opens a disk anew, with a new index, and has the node use it so; gives it as it was.
///
/// # Errors
/// When the disk fails, or does not show all that was known to be on it; it is as it was then, without a writer.
pub(crate) async fn reopen(node: &Node, place: usize) -> Result<NodeDisk, OpenError> {
    let old = node.disks()[place].clone();
    old.writer.stop().await;
    let store = Arc::clone(&old.store);
    let blocking = node.blocking();
    let opened = blocking.run(move || recover::open_anew(&store)).await?;
    node.replace_disk(place, old.reopened(opened, blocking));
    Ok(old)
}

/// Closes the old index when nobody uses it any more: that may take as long as anything on a disk, and whoever lets go of it last
/// must not wait.
async fn close(old: NodeDisk, blocking: Blocking) {
    while Arc::strong_count(&old.store) > 1 {
        sleep(CLOSE_PAUSE).await;
    }
    blocking.run(move || drop(old)).await;
}
