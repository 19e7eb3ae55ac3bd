//! A master's control without its loops, so that each step is taken by the test.

use std::sync::Arc;

use disk::{Blocking, Disk, MemoryDisk, RedbBackend};
use proto::connection::CallerIdentity;
use proto::hello::{ReceiptKey, Role};
use proto::id::{BootId, ClusterId, Epoch, NodeId, RunId};
use proto::master::{GetStatus, ListNodes, RegisterNode};
use proto::memory::MemoryNetwork;
use proto::node::NodeUsage;
use proto::pool::PoolOptions;
use proto::table::Caller;
use rand::SeedableRng;
use uuid::Uuid;

use super::*;
use crate::command::{ClusterMillis, Command, TimedCommand};
use crate::commit::{CommitOptions, Counted, Writer};
use crate::handlers::ControlHandlers;
use crate::state::StateOptions;

pub(crate) const NODE: NodeId = NodeId::new(Uuid::from_u128(1));

pub(crate) fn registration() -> RegisterNode {
    RegisterNode {
        node: NODE,
        boot: BootId::new(Uuid::from_u128(1)),
        address: "127.0.0.1:9001".parse().unwrap(),
        zone: String::new(),
        cluster: None,
        seen: None,
        last_order: Epoch(0),
        receipt_key: ReceiptKey::from_bytes([1; 32]),
        usage: NodeUsage::default(),
    }
}

pub(crate) fn caller(connection: u64) -> Caller {
    Caller {
        connection,
        peer: "127.0.0.1:50000".parse().unwrap(),
        role: Role::Node,
    }
}

/// A master whose state knows one node, and whose writer does not run yet.
pub(crate) fn master() -> (Arc<Control>, Writer) {
    master_on(&MemoryDisk::new())
}

/// The same, whose store is on this disk.
pub(crate) fn master_on(disk: &MemoryDisk) -> (Arc<Control>, Writer) {
    master_with(Blocking::inline(), disk, &MemoryDisk::new())
}

/// The same, whose free space is that of another disk.
fn master_with(
    blocking: Blocking,
    disk: &MemoryDisk,
    watched: &MemoryDisk,
) -> (Arc<Control>, Writer) {
    disk.create("state.redb").unwrap();
    disk.sync_folder("").unwrap();
    let config = Config {
        blocking,
        ..Config::default()
    };
    let options = StateOptions {
        new_cluster: ClusterId::new(Uuid::from_u128(1)),
        rules: config.rules,
        cache_bytes: 1 << 20,
    };
    let shared = disk.shared();
    let backend = move || Ok(RedbBackend::new(shared.open("state.redb")?));
    let state = Arc::new(State::open(backend, &options).unwrap());
    let RegisterNode {
        node,
        address,
        zone,
        receipt_key,
        ..
    } = registration();
    let known = TimedCommand {
        at: ClusterMillis(0),
        wall_ms: 0,
        command: Command::UpsertNode {
            node,
            address,
            zone,
            receipt_key,
        },
    };
    state.write().unwrap().run([&known], true).unwrap();
    let options = CommitOptions {
        blocking: Blocking::inline(),
        disk: disk.shared(),
        wall_ms: Arc::new(|| 0),
    };
    let (committer, writer) = Committer::new(state.clone(), options).unwrap();
    let identity = CallerIdentity {
        role: Role::Master,
        cluster: None,
        secret: None,
    };
    let network = Arc::new(MemoryNetwork::new());
    let parts = Parts {
        config,
        state,
        committer,
        pool: Pool::new(network, identity, PoolOptions::default()),
        disk: watched.shared(),
        epoch: Epoch(1),
        run: RunId::new(Uuid::from_u128(1)),
        chance: SmallRng::seed_from_u64(1),
    };
    (Control::new(parts).unwrap(), writer)
}

/// Control with its node registered and compared.
async fn with_a_node_relied_on() -> Arc<Control> {
    let (control, writer) = master();
    tokio::spawn(writer.run());
    control
        .register_node(&caller(1), registration())
        .await
        .unwrap();
    let mut membership = control.membership();
    let number = membership.number(NODE).unwrap();
    let comparison = membership.begin_comparison(number).unwrap();
    membership.end_comparison(comparison);
    assert!(membership.relied_on().contains(&number));
    drop(membership);
    control
}

/// The master's disk hung, and somebody asked for the status: it asked the disk for its room while it held what every
/// heartbeat needs, so that all nodes died.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_that_waits_for_the_disk_holds_up_no_heartbeat() {
    let watched = MemoryDisk::new();
    let (control, _writer) = master_with(Blocking::threads(), &MemoryDisk::new(), &watched);
    let hang = watched.hang();
    let asked = control.clone();
    let status = tokio::spawn(async move { asked.get_status(&caller(1), GetStatus {}).await });
    while watched.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(control.membership.try_lock().is_some());
    drop(hang);
    status.await.unwrap().unwrap();
}

#[tokio::test]
async fn nodes_are_listed_with_what_is_recorded_of_each() {
    let (control, writer) = master();
    tokio::spawn(writer.run());
    let chunks: Vec<_> = (0..3_u8).map(|number| ChunkId::of(&[number])).collect();
    control.state.add_garbage(&chunks);
    let add = Command::AddReplicas {
        node: NodeNumber(1),
        down: Vec::new(),
        chunks: chunks.into_iter().map(|chunk| (chunk, 1)).collect(),
    };
    control.committer.submit(add).await.unwrap();
    let list = ListNodes {
        after: None,
        limit: 9,
    };
    let listed = control.list_nodes(&caller(1), list).await.unwrap();
    assert_eq!((listed.nodes.len(), listed.more), (1, false));
    assert_eq!(listed.nodes[0].chunks, 3);
}

fn copies(count: u32, stored_at: ClusterMillis) -> Vec<(NodeNumber, ChunkId, ClusterMillis)> {
    let copy = |number: u32| {
        let chunk = ChunkId::of(&number.to_be_bytes());
        (NodeNumber(1), chunk, stored_at)
    };
    (0..count).map(copy).collect()
}

/// A node came back while many uploads to it were open. What did not fit into the queue of copies to look into waited
/// for the daily inventory.
#[tokio::test(start_paused = true)]
async fn a_node_with_more_copies_in_doubt_than_can_be_looked_into_is_compared() {
    let control = with_a_node_relied_on().await;
    control.look_into_doubtful(copies(1000, ClusterMillis(0)));
    assert!(
        control.placeable().doubtful.is_empty(),
        "each is looked into"
    );
    control.look_into_doubtful(copies(5000, ClusterMillis(0)));
    assert_eq!(control.placeable().doubtful, [NodeNumber(1)]);
}

#[tokio::test(start_paused = true)]
async fn what_was_promised_after_the_last_doubt_is_not_looked_into() {
    let control = with_a_node_relied_on().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    control.look_into_doubtful(copies(5000, control.committer.now()));
    assert!(control.placeable().doubtful.is_empty());
}

/// A transaction failed, and may be there all the same: nobody knew whose receipts it had counted.
#[tokio::test(start_paused = true)]
async fn all_nodes_are_compared_when_it_is_not_known_what_was_counted() {
    let control = with_a_node_relied_on().await;
    control.take_counted(Counted::default());
    assert!(control.placeable().doubtful.is_empty());
    control.take_counted(Counted {
        and_others: true,
        ..Counted::default()
    });
    assert_eq!(control.placeable().doubtful, [NodeNumber(1)]);
}

/// The store is verified when it is opened, or as it is read: what became damaged later, where nobody reads, was not found.
#[tokio::test(start_paused = true)]
async fn damage_of_the_store_where_nobody_reads_is_found_and_told() {
    let disk = MemoryDisk::new();
    let (control, _writer) = master_with(Blocking::inline(), &disk, &disk);
    let shutdown = CancellationToken::new();
    control.check_store(&shutdown).await;
    assert_eq!(control.store_damage.get(), None);
    let len = disk.content("state.redb").unwrap().len() as u64;
    for offset in (4096..len).step_by(4096) {
        disk.flip("state.redb", offset, 1);
    }
    control.check_store(&shutdown).await;
    let status = control.get_status(&caller(1), GetStatus {}).await.unwrap();
    let codes: Vec<_> = status
        .problems
        .iter()
        .map(|problem| &*problem.code)
        .collect();
    assert!(codes.contains(&"store_file_damaged"), "{codes:?}");
}
