//! Makes a new index for a disk whose index failed, while the node runs.
//!
//! Without its index a disk can be neither written nor read, although every chunk may be there. So its writer is stopped, the
//! extents are read as at a start, and the disk takes its place again. That is tried a few times, with pauses
//! that grow, since whatever broke one index may break the next.
//!
//! **Invariants:** the extents are read only when the old writer has stopped: never do two write to one disk. A disk that
//! failed for anything else takes no writes after this either.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use disk::Disk;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::OpenError;
use crate::index::INDEX_PATH;
use crate::node::Node;
use crate::node_disk::NodeDisk;
use crate::recover;

/// What is waited for before each new index of a disk. After the last one, a restart makes the next.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(6 * 3600),
];

/// Watches over the index of one disk for as long as the node runs.
pub(crate) async fn run(
    node: Arc<Node>,
    place: usize,
    writers: TaskTracker,
    shutdown: CancellationToken,
) {
    let watch = async {
        for pause in PAUSES {
            let disk = node.disks()[place].clone();
            disk.store.index.until_failed().await;
            sleep(pause).await;
            let said = disk.store.options.disk_as_said();
            match reopen(&node, place, &writers).await {
                Ok(()) => tracing::info!(disk = said, "the disk has a new index"),
                Err(error) => tracing::error!(disk = said, %error, "could not make a new index"),
            }
        }
        let disk = node.disks()[place].clone();
        disk.store.index.until_failed().await;
        let said = disk.store.options.disk_as_said();
        tracing::error!(
            disk = said,
            "the index failed too often: a restart makes a new one"
        );
        std::future::pending::<()>().await;
    };
    shutdown.run_until_cancelled(watch).await;
}

/// Opens a disk anew, with a new index, and has the node use it so.
///
/// # Errors
/// When the disk fails; it is as it was then, without a writer.
pub(crate) async fn reopen(
    node: &Node,
    place: usize,
    writers: &TaskTracker,
) -> Result<(), OpenError> {
    let old = node.disks()[place].clone();
    old.writer.stop().await;
    let store = Arc::clone(&old.store);
    drop(old);
    let blocking = node.blocking();
    let opened = blocking.run(move || {
        remove_index(&*store.disk).map_err(OpenError::while_doing("remove the index"))?;
        let opened = recover::open(&store.disk, store.options.clone(), &store.environment)?;
        opened.0.take_over(&store);
        Ok::<_, OpenError>(opened)
    });
    let (disk, task) = NodeDisk::new(opened.await?, blocking);
    writers.spawn(task);
    node.replace_disk(place, disk);
    Ok(())
}

/// Whoever still reads the old index has its file open, and may yet write to it: the new one must not be the same.
fn remove_index(disk: &dyn Disk) -> io::Result<()> {
    match disk.remove(INDEX_PATH) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => disk.sync_folder(""),
    }
}
