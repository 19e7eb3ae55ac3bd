//! What sending a chunk takes.

use std::sync::Arc;

use disk::{Disk, MemoryDisk, RealDisk};
use proto::body::BodySource;

use super::support::{TestNode, chunk};
use crate::node::OpenChunk;
use crate::send_file::ChunkBody;

const LEN: usize = 100_000;

/// The memory that a large chunk takes on its way from this disk to a connection.
async fn memory_len(disk: Arc<dyn Disk>, on_tcp: bool) -> usize {
    let node = TestNode::open_any(disk);
    let (id, bytes) = chunk(1, LEN);
    node.put(&(id, bytes)).await.unwrap();
    let OpenChunk::File(found) = node.node.open_chunk(&id).await.unwrap() else {
        panic!("it is large");
    };
    let memory_len = ChunkBody::new(Arc::clone(&node.node), found).memory_len(on_tcp);
    node.stop().await;
    memory_len
}

/// A chunk that has to be read to be sent is lent memory for; one that the system sends is not.
#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_read_counts() {
    let folder = tempfile::tempdir().unwrap();
    let real = |name: &str| RealDisk::open(folder.path().join(name)).unwrap();
    let sent_by_system = if cfg!(target_os = "linux") { 0 } else { LEN };
    assert_eq!(memory_len(real("a"), true).await, sent_by_system);
    assert_eq!(memory_len(real("b"), false).await, LEN);
    assert_eq!(memory_len(MemoryDisk::new().shared(), true).await, LEN);
}
