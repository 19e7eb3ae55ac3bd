//! What sending a chunk takes.

use std::sync::Arc;

use std::time::Duration;

use disk::{Disk, MemoryDisk, RealDisk};
use proto::body::BodySource;
use proto::net::Tcp;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::support::{TestNode, chunk};
use crate::lane::READS_MAX;
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

/// A disk hung while hundreds of chunks were being sent from it: each took a thread, until there was none for anything
/// else. What the system sends takes one of the disk's turns as well.
#[tokio::test(flavor = "multi_thread")]
async fn sending_takes_a_turn_of_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let node = TestNode::open_any(RealDisk::open(folder.path().join("a")).unwrap());
    let (id, bytes) = chunk(1, LEN);
    node.put(&(id, bytes.clone())).await.unwrap();
    let OpenChunk::File(found) = node.node.open_chunk(&id).await.unwrap() else {
        panic!("it is large");
    };
    let body = ChunkBody::new(Arc::clone(&node.node), found);
    let network = Tcp::shared();
    let listener = network
        .listen(&"127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = listener.address();
    let (sending, accepted) = tokio::join!(network.connect(&address), listener.accept());
    let (mut sending, mut receiving) = (sending.unwrap(), accepted.unwrap());

    let lane = node.node.disks()[0].lane.clone();
    let mut turns = Vec::new();
    for _ in 0..READS_MAX {
        turns.push(lane.turn().await.unwrap());
    }
    let sent = tokio::spawn(async move { Box::new(body).write_to(&mut *sending.sink).await });
    let mut received = vec![0; LEN];
    let early = timeout(
        Duration::from_millis(200),
        receiving.source.read(&mut received),
    )
    .await;
    assert!(early.is_err(), "it was read without a turn");
    drop(turns);
    receiving.source.read_exact(&mut received).await.unwrap();
    assert_eq!(received, bytes);
    sent.await.unwrap().unwrap();
    node.stop().await;
}
