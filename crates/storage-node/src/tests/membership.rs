//! What a node tells its master, and what it does when the master is away, new or a stranger.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use disk::MemoryDisk;
use proto::hello::Role;
use proto::id::{ChunkId, ClusterId};
use proto::master::{
    ClusterRules, CorruptChunksNoted, HeartbeatNoted, MasterRequest, NodeRegistered, RegisterNode,
};
use proto::memory::MemoryNetwork;
use proto::name::NameRules;
use proto::net::{Address, Network};
use proto::server::{Identity, Limits, serve};
use proto::table::{Answer, Caller, Service};
use proto::{ErrorCode, HistoryPoint, WireError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::support::{TestNode, chunk, config, environment, extents, master_at, threads};
use crate::config::Config;
use crate::environment::Environment;
use crate::run::{RunError, run};

const SOON: Duration = Duration::from_secs(10);
const HEARTBEAT_INTERVAL_MS: u64 = 30;

/// What a master heard.
#[derive(Debug)]
enum Heard {
    Registered(Box<RegisterNode>),
    Heartbeat { sequence: u64, writable: bool },
    Corrupt(Vec<ChunkId>),
}

/// A master that only listens.
#[derive(Debug)]
struct Listening {
    cluster: ClusterId,
    start: HistoryPoint,
    position: AtomicU64,
    heard: Mutex<VecDeque<Heard>>,
    news: Notify,
    report_takes_ms: AtomicU64,
}

impl Listening {
    async fn next(&self) -> Heard {
        let waited = timeout(SOON, async {
            loop {
                let news = self.news.notified();
                if let Some(heard) = self.heard.lock().unwrap().pop_front() {
                    return heard;
                }
                news.await;
            }
        });
        waited.await.expect("the node says something soon")
    }

    async fn next_registration(&self) -> RegisterNode {
        loop {
            if let Heard::Registered(request) = self.next().await {
                return *request;
            }
        }
    }

    async fn next_heartbeat(&self) -> u64 {
        loop {
            if let Heard::Heartbeat { sequence, .. } = self.next().await {
                return sequence;
            }
        }
    }

    /// The first heartbeat of a node that has just registered, which says so soon, and does not register again.
    async fn heartbeat_after_registration(&self, writable: bool) {
        self.next_registration().await;
        self.heartbeat_that_is_writable(writable).await;
    }

    /// The next heartbeat that says so; the node must not have registered before it again.
    async fn heartbeat_that_is_writable(&self, expected: bool) {
        loop {
            match self.next().await {
                Heard::Heartbeat { writable, .. } if writable == expected => return,
                Heard::Registered(_) => panic!("the node left and registered again"),
                _ => {}
            }
        }
    }

    async fn next_corrupt(&self) -> Vec<ChunkId> {
        loop {
            if let Heard::Corrupt(chunks) = self.next().await {
                return chunks;
            }
        }
    }

    fn point(&self) -> HistoryPoint {
        HistoryPoint {
            position: self.position.load(Ordering::Relaxed),
            ..self.start
        }
    }

    fn note(&self, heard: Heard) {
        self.heard.lock().unwrap().push_back(heard);
        self.news.notify_one();
    }
}

impl Service for Listening {
    type Request = MasterRequest;

    async fn answer(&self, _: &Caller, request: MasterRequest) -> Result<Answer, WireError> {
        match request {
            MasterRequest::RegisterNode(request) => {
                if request
                    .cluster
                    .is_some_and(|cluster| cluster != self.cluster)
                {
                    return Err(WireError::new(ErrorCode::WrongCluster, "another cluster's"));
                }
                self.note(Heard::Registered(Box::new(request)));
                Answer::new(NodeRegistered {
                    cluster: self.cluster,
                    master: self.point(),
                    rules: ClusterRules {
                        chunk_size: 1 << 20,
                        replication_factor: 3,
                        min_write_replicas: 2,
                        file_size_max: None,
                        names: NameRules::Any,
                    },
                    heartbeat_interval_ms: HEARTBEAT_INTERVAL_MS,
                })
            }
            MasterRequest::ReportHeartbeat(request) => {
                self.note(Heard::Heartbeat {
                    sequence: request.sequence,
                    writable: request.usage.writable,
                });
                Answer::new(HeartbeatNoted {
                    master: self.point(),
                })
            }
            MasterRequest::ReportCorruptChunks(request) => {
                self.note(Heard::Corrupt(request.chunks));
                let pause = self.report_takes_ms.load(Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                Answer::new(CorruptChunksNoted {})
            }
            _ => Err(WireError::new(
                ErrorCode::Internal,
                "nodes do not ask for this",
            )),
        }
    }

    fn disconnected(&self, _: &Caller) {}
}

struct Master {
    service: Arc<Listening>,
    address: Address,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn master(network: &MemoryNetwork, listen: &Address, cluster: u128, epoch: u64) -> Master {
    let listener = network.listen(listen).await.unwrap();
    let address = listener.address();
    let cluster = ClusterId::new(Uuid::from_u128(cluster));
    let service = Arc::new(Listening {
        cluster,
        start: master_at(epoch),
        position: AtomicU64::new(0),
        heard: Mutex::default(),
        news: Notify::new(),
        report_takes_ms: AtomicU64::new(0),
    });
    let (_, known) = watch::channel(Some(cluster));
    let identity = Identity {
        role: Role::Master,
        cluster: known,
        node: None,
        secret: None,
    };
    let shutdown = CancellationToken::new();
    let served = Arc::clone(&service);
    let task = tokio::spawn(serve(
        listener,
        served,
        identity,
        Limits::default(),
        shutdown.clone(),
    ));
    Master {
        service,
        address,
        shutdown,
        task,
    }
}

impl Master {
    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

type RunningNode = (CancellationToken, JoinHandle<Result<(), RunError>>);

fn start(network: &MemoryNetwork, disk: &MemoryDisk, masters: &[&Address]) -> RunningNode {
    start_in(environment(), network, disk, masters)
}

fn start_in(
    environment: Environment,
    network: &MemoryNetwork,
    disk: &MemoryDisk,
    masters: &[&Address],
) -> RunningNode {
    let shutdown = CancellationToken::new();
    let config = Config {
        masters: masters.iter().map(|address| (*address).clone()).collect(),
        ..config()
    };
    let network: Arc<dyn Network> = Arc::new(network.clone());
    let disks = vec![disk.shared()];
    let running = run(
        config,
        environment,
        network,
        disks,
        shutdown.clone(),
        |_| {},
    );
    (shutdown, tokio::spawn(running))
}

async fn stop((shutdown, task): RunningNode) {
    shutdown.cancel();
    task.await.unwrap().unwrap();
}

fn any_port() -> Address {
    "127.0.0.1:0".parse().unwrap()
}

/// A new node joins, says that it lives, keeps what it joined, and comes back by itself to a master that was away.
#[tokio::test]
async fn a_node_joins_and_comes_back() {
    let (network, disk) = (MemoryNetwork::new(), MemoryDisk::new());
    let first = master(&network, &any_port(), 7, 3).await;
    let address = first.address.clone();
    let node = start(&network, &disk, &[&address]);
    let request = first.service.next_registration().await;
    assert_eq!((request.cluster, request.seen), (None, None));
    assert!(request.usage.writable);
    assert_eq!(first.service.next_heartbeat().await, 1);
    assert_eq!(first.service.next_heartbeat().await, 2);
    first.stop().await;

    let second = master(&network, &address, 7, 4).await;
    let again = second.service.next_registration().await;
    assert_eq!((again.node, again.boot), (request.node, request.boot));
    assert_eq!(again.cluster, Some(ClusterId::new(Uuid::from_u128(7))));
    assert_eq!(again.seen, Some(master_at(3)));
    assert!(
        second.service.next_heartbeat().await > 2,
        "heartbeats count on"
    );
    stop(node).await;

    let node = start(&network, &disk, &[&address]);
    let restarted = second.service.next_registration().await;
    assert_eq!(
        (restarted.node, restarted.seen),
        (request.node, Some(master_at(4)))
    );
    assert_ne!(restarted.boot, request.boot);
    stop(node).await;
    second.stop().await;
}

/// A node lost many chunks, and reporting a page of them takes the master longer than from one heartbeat to the next: there is
/// a heartbeat between any two pages.
#[tokio::test]
async fn heartbeats_go_between_reports_of_corrupt_chunks() {
    let (network, disk) = (MemoryNetwork::new(), MemoryDisk::new());
    let lone = Config {
        extent_size: 1 << 20,
        ..config()
    };
    let node = TestNode::open_with(&[&disk], &lone);
    for number in 0..5000 {
        node.put(&chunk(number, 8)).await.unwrap();
    }
    node.stop().await;
    disk.cut(&extents(&disk)[0], 4096);
    let master = master(&network, &any_port(), 7, 1).await;
    let slow = &master.service.report_takes_ms;
    slow.store(2 * HEARTBEAT_INTERVAL_MS, Ordering::Relaxed);
    let node = start(&network, &disk, &[&master.address]);
    assert_eq!(master.service.next_corrupt().await.len(), 4096);
    let next = master.service.next().await;
    assert!(matches!(next, Heard::Heartbeat { .. }), "{next:?}");
    assert_eq!(master.service.next_corrupt().await.len(), 904);
    stop(node).await;
    master.stop().await;
}

/// What was found corrupt is told at once, and all of it again to a master that just came to know the node.
#[tokio::test]
async fn corrupt_chunks_are_reported_now_and_at_each_registration() {
    let (network, disk) = (MemoryNetwork::new(), MemoryDisk::new());
    let (one, two) = (chunk(1, 100), chunk(2, 100));
    let node = TestNode::open(&[&disk]);
    node.put(&one).await.unwrap();
    node.put(&two).await.unwrap();
    disk.flip(&extents(&disk)[0], 4096 + 90, 1);
    node.get(&one.0).await.unwrap_err();
    node.stop().await;

    let first = master(&network, &any_port(), 7, 1).await;
    let node = start(&network, &disk, &[&first.address]);
    let node_address = first.service.next_registration().await.address;
    assert_eq!(first.service.next_corrupt().await, [one.0]);
    disk.flip(&extents(&disk)[0], 4096 + 188 + 90, 1);
    let caller = proto::connection::CallerIdentity {
        role: Role::Client,
        cluster: None,
        secret: None,
    };
    let client = proto::connection::Connection::open(&network, &node_address, &caller, SOON);
    let read = proto::node::GetChunk { chunk: two.0 };
    client.await.unwrap().call(read, SOON).await.unwrap_err();
    assert_eq!(first.service.next_corrupt().await, [two.0]);
    let address = first.address.clone();
    first.stop().await;
    let second = master(&network, &address, 7, 1).await;
    let mut all = second.service.next_corrupt().await;
    all.sort();
    let mut expected = [one.0, two.0];
    expected.sort();
    assert_eq!(all, expected);
    stop(node).await;
    second.stop().await;
}

/// The folder is another cluster's: the node says so and ends, and the folder stays as it was.
#[tokio::test]
async fn a_node_of_another_cluster_ends() {
    let (network, disk) = (MemoryNetwork::new(), MemoryDisk::new());
    let own = master(&network, &any_port(), 7, 1).await;
    let node = start(&network, &disk, &[&own.address]);
    own.service.next_heartbeat().await;
    stop(node).await;
    let stranger = master(&network, &any_port(), 8, 9).await;
    let (_, task) = start(&network, &disk, &[&stranger.address]);
    let ended = timeout(SOON, task).await.unwrap().unwrap();
    assert!(matches!(ended, Err(RunError::WrongCluster(_))), "{ended:?}");
    let node = start(&network, &disk, &[&own.address]);
    assert_eq!(
        own.service.next_registration().await.seen,
        Some(master_at(1))
    );
    stop(node).await;
    own.stop().await;
    stranger.stop().await;
}

/// A node never changes its cluster, whatever a master answers.
#[tokio::test]
async fn a_node_joins_one_cluster_and_no_other() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    let (own, other) = (Uuid::from_u128(7), Uuid::from_u128(8));
    node.node.join(ClusterId::new(own)).await.unwrap();
    let refused = node.node.join(ClusterId::new(other)).await.unwrap_err();
    let refused = WireError::from(refused);
    assert_eq!(refused.code, ErrorCode::WrongCluster, "{refused}");
    let kept = node.node.cluster();
    assert_eq!(kept, Some(ClusterId::new(own)));
    node.stop().await;
}

/// An answer of an earlier start of the master than the node has seen is not followed.
#[tokio::test]
async fn an_answer_that_does_not_fit_is_not_followed() {
    let (network, disk) = (MemoryNetwork::new(), MemoryDisk::new());
    let own = master(&network, &any_port(), 7, 5).await;
    let node = start(&network, &disk, &[&own.address]);
    own.service.next_heartbeat().await;
    let address = own.address.clone();
    own.stop().await;
    let old = master(&network, &address, 7, 4).await;
    for _ in 0..3 {
        let request = old.service.next_registration().await;
        assert_eq!(request.seen, Some(master_at(5)));
    }
    assert!(old.service.heard.lock().unwrap().is_empty());
    old.stop().await;
    let own = master(&network, &address, 7, 5).await;
    own.service.next_heartbeat().await;
    stop(node).await;
    own.stop().await;
}

/// How far the master had come is kept at a clean end, without a new start of the master.
#[tokio::test]
async fn the_masters_position_is_kept_at_a_clean_end() {
    let (network, disk) = (MemoryNetwork::new(), MemoryDisk::new());
    let own = master(&network, &any_port(), 7, 5).await;
    let node = start(&network, &disk, &[&own.address]);
    own.service.next_heartbeat().await;
    own.service.position.store(40, Ordering::Relaxed);
    own.service.next_heartbeat().await;
    own.service.next_heartbeat().await;
    stop(node).await;
    let node = start(&network, &disk, &[&own.address]);
    let seen = own.service.next_registration().await.seen.unwrap();
    assert_eq!(seen.position, 40);
    stop(node).await;
    own.stop().await;
}

/// The first disk takes no writes, so that a new start of the master cannot be kept: the node stays, because it may have
/// the last copies of something, says that it takes nothing, and catches up when the disk is well.
#[tokio::test]
async fn a_first_disk_that_takes_no_writes_does_not_keep_the_node_away() {
    let (network, disk) = (MemoryNetwork::new(), MemoryDisk::new());
    let first = master(&network, &any_port(), 7, 1).await;
    let node = start(&network, &disk, &[&first.address]);
    first.service.heartbeat_after_registration(true).await;
    let address = first.address.clone();
    first.stop().await;
    disk.fail_writes_after(0);
    let second = master(&network, &address, 7, 2).await;
    second.service.heartbeat_after_registration(false).await;
    second.service.heartbeat_that_is_writable(false).await;
    disk.heal();
    second.service.heartbeat_that_is_writable(true).await;
    stop(node).await;
    let node = start(&network, &disk, &[&address]);
    let seen = second.service.next_registration().await.seen;
    assert_eq!(seen, Some(master_at(2)));
    stop(node).await;
    second.stop().await;
}

/// The first disk hangs: heartbeats go on, whatever the master's history does meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_disk_that_hangs_does_not_keep_the_node_away() {
    let (network, disk) = (MemoryNetwork::new(), MemoryDisk::new());
    let first = master(&network, &any_port(), 7, 1).await;
    let node = start_in(threads(), &network, &disk, &[&first.address]);
    first.service.heartbeat_after_registration(true).await;
    let address = first.address.clone();
    first.stop().await;
    let hang = disk.hang();
    let second = master(&network, &address, 7, 2).await;
    second.service.heartbeat_after_registration(false).await;
    second.service.position.store(40, Ordering::Relaxed);
    second.service.heartbeat_that_is_writable(false).await;
    drop(hang);
    second.service.heartbeat_that_is_writable(true).await;
    stop(node).await;
    second.stop().await;
}

/// An order of a new start of the master is carried out only when that start is kept; one of an earlier start not at all,
/// although the new one is not kept yet.
#[tokio::test]
async fn an_order_of_a_start_that_is_not_kept_is_not_carried_out() {
    let disk = MemoryDisk::new();
    let node = TestNode::open(&[&disk]);
    node.node.follow(master_at(1)).await.unwrap();
    disk.fail_writes_after(0);
    let refused = node.node.follow(master_at(2)).await.unwrap_err();
    assert_eq!(WireError::from(refused).code, ErrorCode::Disk);
    let again = node.node.follow(master_at(2)).await.unwrap_err();
    assert_eq!(WireError::from(again).code, ErrorCode::Disk);
    let old = node.node.follow(master_at(1)).await.unwrap_err();
    assert_eq!(WireError::from(old).code, ErrorCode::StaleEpoch);
    disk.heal();
    node.node.follow(master_at(2)).await.unwrap();
    node.kill().await;
    let node = TestNode::open(&[&disk]);
    assert_eq!(node.node.seen(), Some(master_at(2)));
    node.stop().await;
}

/// The first master is gone: the next in the list is tried.
#[tokio::test]
async fn the_next_master_is_tried() {
    let (network, disk) = (MemoryNetwork::new(), MemoryDisk::new());
    let there = master(&network, &any_port(), 7, 1).await;
    let gone: Address = "127.0.0.1:60000".parse().unwrap();
    let node = start(&network, &disk, &[&gone, &there.address]);
    there.service.next_heartbeat().await;
    stop(node).await;
    there.stop().await;
}
