//! Whole nodes over a network in memory: what clients, the master and other nodes see.

use std::sync::Arc;
use std::time::Duration;

use disk::MemoryDisk;
use proto::ErrorCode;
use proto::connection::{CallError, CallerIdentity, Connection, Peer};
use proto::hello::Role;
use proto::id::{NodeId, PromiseId, RunId};
use proto::memory::MemoryNetwork;
use proto::net::{Address, Network};
use proto::node::{
    ChunkSource, ChunkState, DeleteChunks, DescribeChunks, DigestInventory, GetChunk,
    GetNodeStatus, ListBucket, PutChunk, ReplicateChunk, VerifyChunk,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::support::{chunk, config, environment, extents, master_at};
use crate::identity::read_owner;
use crate::run::{RunError, run};

const SOON: Duration = Duration::from_secs(10);

struct Running {
    address: Address,
    disk: MemoryDisk,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

async fn start(network: &MemoryNetwork) -> Running {
    start_on(network, MemoryDisk::new()).await
}

async fn start_on(network: &MemoryNetwork, disk: MemoryDisk) -> Running {
    let shutdown = CancellationToken::new();
    let (tell, told) = oneshot::channel();
    let network: Arc<dyn Network> = Arc::new(network.clone());
    let running = run(
        config(),
        environment(),
        network,
        vec![disk.shared()],
        shutdown.clone(),
        move |address| tell.send(address.clone()).unwrap(),
    );
    let task = tokio::spawn(running);
    Running {
        address: told.await.unwrap(),
        disk,
        shutdown,
        task,
    }
}

impl Running {
    fn id(&self) -> NodeId {
        read_owner(&*self.disk.shared()).unwrap().0
    }

    fn source(&self) -> ChunkSource {
        ChunkSource {
            node: self.id(),
            address: self.address.clone(),
        }
    }

    async fn connect(&self, network: &MemoryNetwork, role: Role) -> Connection {
        let identity = CallerIdentity {
            role,
            cluster: None,
            secret: None,
        };
        Connection::open(network, &self.address, &identity, SOON)
            .await
            .unwrap()
    }

    async fn restart(self, network: &MemoryNetwork) -> Self {
        let disk = self.disk.clone();
        self.stop().await;
        start_on(network, disk).await
    }

    async fn stop(self) -> MemoryDisk {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
        self.disk
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, CallError>) -> ErrorCode {
    result.unwrap_err().code().unwrap()
}

#[tokio::test]
async fn chunks_are_put_read_described_and_verified() {
    let network = MemoryNetwork::new();
    let node = start(&network).await;
    let client = node.connect(&network, Role::Client).await;
    let promise = PromiseId::new(Uuid::from_u128(1));
    // Below and above the length from which bodies are sent from the file.
    for (number, len) in [(1, 8), (2, 5000), (3, 64 << 10), (4, 300_000)] {
        let (id, body) = chunk(number, len);
        let put = |promise, body| PutChunk {
            chunk: id,
            promise,
            body,
        };
        let stored = client
            .call(put(Some(promise), body.clone()), SOON)
            .await
            .unwrap();
        assert!(stored.stored);
        let again = client
            .call(put(Some(promise), body.clone()), SOON)
            .await
            .unwrap();
        assert!(!again.stored);
        assert_eq!(again.receipt, stored.receipt);
        assert!(stored.receipt.is_some());
        let read = client.call(GetChunk { chunk: id }, SOON).await.unwrap();
        assert_eq!(read.body.into_bytes().unwrap(), body);
        let verified = client.call(VerifyChunk { chunk: id }, SOON).await.unwrap();
        assert_eq!(verified.state, ChunkState::Good);
        let described = client
            .call(DescribeChunks { chunks: vec![id] }, SOON)
            .await
            .unwrap();
        assert_eq!(described.chunks[0].state, ChunkState::Good);
        assert!(described.chunks[0].verified_ms.is_some());
    }
    let missing = chunk(9, 9).0;
    assert_eq!(
        code(client.call(GetChunk { chunk: missing }, SOON).await),
        ErrorCode::NotFound
    );
    let status = client.call(GetNodeStatus {}, SOON).await.unwrap();
    assert_eq!((status.usage.chunks, status.registered), (4, false));
    drop(client);
    node.stop().await;
}

/// A large body whose bytes rot after the header was checked breaks the connection off; nothing wrong arrives.
#[tokio::test]
async fn wrong_bytes_never_leave_the_node() {
    let network = MemoryNetwork::new();
    let node = start(&network).await;
    let client = node.connect(&network, Role::Client).await;
    let (id, body) = chunk(1, 300_000);
    let put = PutChunk {
        chunk: id,
        promise: None,
        body,
    };
    client.call(put, SOON).await.unwrap();
    node.disk
        .flip(&extents(&node.disk)[0], 4096 + 88 + 200_000, 1);
    client.call(GetChunk { chunk: id }, SOON).await.unwrap_err();
    let client = node.connect(&network, Role::Client).await;
    assert_eq!(
        code(client.call(GetChunk { chunk: id }, SOON).await),
        ErrorCode::Corrupt
    );
    drop(client);
    node.stop().await;
}

/// The index of a node's only disk could not be written: what the node had could be read by nobody until it was restarted.
#[tokio::test(start_paused = true)]
async fn a_node_whose_index_failed_serves_again() {
    let network = MemoryNetwork::new();
    let node = start(&network).await;
    let client = node.connect(&network, Role::Client).await;
    let put = |number| {
        let (chunk, body) = chunk(number, 1000);
        let promise = None;
        client.call(
            PutChunk {
                chunk,
                promise,
                body,
            },
            SOON,
        )
    };
    put(1).await.unwrap();
    node.disk.fail_writes_after(0);
    // The node makes its index durable when nothing happens for a while.
    while node.disk.content("index.redb").is_some() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    node.disk.heal();
    let get = || {
        client.call(
            GetChunk {
                chunk: chunk(1, 1000).0,
            },
            SOON,
        )
    };
    assert_eq!(code(get().await), ErrorCode::Disk);
    let read = loop {
        match get().await {
            Ok(read) => break read,
            Err(error) => assert_eq!(error.code(), Some(ErrorCode::Disk)),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    assert_eq!(read.body.into_bytes().unwrap(), chunk(1, 1000).1);
    assert!(put(2).await.unwrap().stored);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn only_the_master_copies_deletes_and_lists() {
    let network = MemoryNetwork::new();
    let node = start(&network).await;
    for role in [Role::Client, Role::Node] {
        let caller = node.connect(&network, role).await;
        let delete = DeleteChunks {
            as_of: master_at(9),
            sequence: 9,
            chunks: Vec::new(),
        };
        let replicate = ReplicateChunk {
            as_of: master_at(9),
            chunk: chunk(1, 8).0,
            len: 8,
            sources: Vec::new(),
        };
        let list = ListBucket {
            bucket: 0,
            after: None,
            limit: 10,
        };
        assert_eq!(code(caller.call(delete, SOON).await), ErrorCode::Forbidden);
        assert_eq!(
            code(caller.call(replicate, SOON).await),
            ErrorCode::Forbidden
        );
        assert_eq!(
            code(caller.call(DigestInventory {}, SOON).await),
            ErrorCode::Forbidden
        );
        assert_eq!(code(caller.call(list, SOON).await), ErrorCode::Forbidden);
    }
    node.stop().await;
}

/// Whatever names a later start of the master counts, also an order: what comes from an earlier one, or from a second
/// master that started as often, does nothing, also after a restart of the node.
#[tokio::test]
async fn orders_of_a_superseded_master_are_refused() {
    let network = MemoryNetwork::new();
    let mut node = start(&network).await;
    let (id, body) = chunk(1, 100);
    let client = node.connect(&network, Role::Client).await;
    let put = PutChunk {
        chunk: id,
        promise: None,
        body,
    };
    client.call(put, SOON).await.unwrap();
    let copy = |master| ReplicateChunk {
        as_of: master,
        chunk: id,
        len: 100,
        sources: Vec::new(),
    };
    let delete = |master| DeleteChunks {
        as_of: master,
        sequence: 99,
        chunks: vec![id],
    };
    let master = node.connect(&network, Role::Master).await;
    master.call(copy(master_at(6)), SOON).await.unwrap();
    let mut twin = master_at(6);
    twin.run = RunId::new(Uuid::from_u128(666));
    for restarted in [false, true] {
        if restarted {
            node = node.restart(&network).await;
        }
        let master = node.connect(&network, Role::Master).await;
        for stale in [master_at(5), twin] {
            let copied = master.call(copy(stale), SOON).await;
            assert_eq!(code(copied), ErrorCode::StaleEpoch, "{stale:?}");
            let deleted = master.call(delete(stale), SOON).await;
            assert_eq!(code(deleted), ErrorCode::StaleEpoch, "{stale:?}");
        }
        let verified = master.call(VerifyChunk { chunk: id }, SOON).await.unwrap();
        assert_eq!(verified.state, ChunkState::Good);
    }
    node.stop().await;
}

/// Addresses change hands: whoever means one node is not answered by another.
#[tokio::test]
async fn a_node_answers_only_who_means_it() {
    let network = MemoryNetwork::new();
    let (one, other) = (start(&network).await, start(&network).await);
    let identity = CallerIdentity {
        role: Role::Master,
        cluster: None,
        secret: None,
    };
    let right = Peer::node(one.id(), &one.address);
    Connection::open(&network, right, &identity, SOON)
        .await
        .unwrap();
    let swapped = Peer::node(one.id(), &other.address);
    let refused = Connection::open(&network, swapped, &identity, SOON).await;
    assert_eq!(code(refused), ErrorCode::WrongNode);
    for node in [one, other] {
        node.stop().await;
    }
}

/// A copy is fetched from the first source that has a good one, and replaces a corrupt one.
#[tokio::test]
async fn a_chunk_is_copied_from_node_to_node() {
    let network = MemoryNetwork::new();
    let (from, rotten, to) = (
        start(&network).await,
        start(&network).await,
        start(&network).await,
    );
    let (id, body) = chunk(1, 100_000);
    for node in [&from, &rotten, &to] {
        let client = node.connect(&network, Role::Client).await;
        let put = PutChunk {
            chunk: id,
            promise: None,
            body: body.clone(),
        };
        client.call(put, SOON).await.unwrap();
    }
    for node in [&rotten, &to] {
        node.disk.flip(&extents(&node.disk)[0], 4096 + 88 + 5, 1);
    }
    let master = to.connect(&network, Role::Master).await;
    let verified = master.call(VerifyChunk { chunk: id }, SOON).await.unwrap();
    assert_eq!(verified.state, ChunkState::Corrupt);
    let order = |sources: Vec<ChunkSource>| ReplicateChunk {
        as_of: master_at(1),
        chunk: id,
        len: 100_000,
        sources,
    };
    let nobody = ChunkSource {
        node: from.id(),
        address: "127.0.0.1:60000".parse().unwrap(),
    };
    let failed = master
        .call(order(vec![nobody.clone(), rotten.source()]), SOON)
        .await;
    assert_eq!(code(failed), ErrorCode::NoSource);
    let sources = vec![nobody, rotten.source(), from.source()];
    let copied = master.call(order(sources.clone()), SOON).await.unwrap();
    assert_eq!(copied.source, Some(from.id()));
    let again = master.call(order(sources), SOON).await.unwrap();
    assert_eq!(again.source, None);
    let verified = master.call(VerifyChunk { chunk: id }, SOON).await.unwrap();
    assert_eq!(verified.state, ChunkState::Good);
    drop(master);
    for node in [from, rotten, to] {
        node.stop().await;
    }
}

/// Repair counts on a copy that a node says it has: one that rotted unseen is fetched anew.
#[tokio::test]
async fn a_copy_that_rotted_unseen_is_fetched_anew() {
    let network = MemoryNetwork::new();
    let (from, to) = (start(&network).await, start(&network).await);
    let (id, body) = chunk(1, 100_000);
    for node in [&from, &to] {
        let client = node.connect(&network, Role::Client).await;
        let put = PutChunk {
            chunk: id,
            promise: None,
            body: body.clone(),
        };
        client.call(put, SOON).await.unwrap();
    }
    to.disk.flip(&extents(&to.disk)[0], 4096 + 88 + 5, 1);
    let master = to.connect(&network, Role::Master).await;
    let order = ReplicateChunk {
        as_of: master_at(1),
        chunk: id,
        len: 100_000,
        sources: vec![from.source()],
    };
    let copied = master.call(order, SOON).await.unwrap();
    assert_eq!(copied.source, Some(from.id()));
    let read = master.call(GetChunk { chunk: id }, SOON).await.unwrap();
    assert_eq!(read.body.into_bytes().unwrap(), body);
    drop(master);
    for node in [from, to] {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_node_open_to_everybody_does_not_start() {
    let config = crate::config::Config {
        listen: "0.0.0.0:0".parse().unwrap(),
        ..config()
    };
    let network: Arc<dyn Network> = Arc::new(MemoryNetwork::new());
    let disks = vec![MemoryDisk::new().shared()];
    let shutdown = CancellationToken::new();
    let result = run(config, environment(), network, disks, shutdown, |_| {}).await;
    assert!(matches!(result, Err(RunError::Exposed(_))), "{result:?}");
}
