//! What must be true once the faults have ended, and a person who does what a person would do.
//!
//! Within a stated time every name can be read, every chunk of every file has just the wanted number of good copies, no
//! node holds anything else, and the cluster calls itself healthy. What is there is seen on the nodes' own disks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::{Cluster, Error};
use futures::future::join_all;
use history::{Action, Answer, GROUPS, NAMES, Value, Verdict, check, healthy, path, read};
use proto::connection::{CallerIdentity, Connection};
use proto::hello::Role;
use proto::id::{ChunkId, NodeId};
use proto::master::{NodeState, ReportBadReplica};
use proto::net::Address;
use proto::node::{ChunkState, ChunksDescribed, DescribeChunks, GetChunk};
use tokio::time::{Instant, sleep};

use crate::servers::secret;
use crate::workload::connect;
use crate::world::{COPIES, MASTER, Machine, OPERATOR, World, address_of};

/// Peace must be whole within this.
const PEACE_WITHIN: Duration = Duration::from_secs(150);
/// The same where nodes must find rot themselves: they rest for a minute, read all again slowly, and rest again.
const PEACE_WITHOUT_REPORTS_WITHIN: Duration = Duration::from_secs(400);
/// And again within this, when all machines lost power at once and came back.
const RESTART_WITHIN: Duration = Duration::from_secs(120);
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Waits for peace, judges, and finishes the run.
pub(crate) async fn run_operator(world: Arc<World>) -> turmoil::Result {
    let is_done = |client: &Machine| client.done.load(Ordering::Relaxed);
    while !world.is_peace() || !world.clients.iter().all(is_done) {
        sleep(LOOK_INTERVAL).await;
    }
    let operator = Machine::new(OPERATOR.to_owned(), []);
    let cluster = connect(&world, &operator, &mut world.chance_of(&operator));
    let within = if world.kind.reports_rot {
        PEACE_WITHIN
    } else {
        PEACE_WITHOUT_REPORTS_WITHIN
    };
    let before = until_whole(&world, &cluster, within).await;
    // What is only in memory, or not yet synced, goes now.
    world.ask_for_last_cut();
    sleep(LOOK_INTERVAL).await;
    let after = until_whole(&world, &cluster, RESTART_WITHIN).await;
    if before != after {
        world.journal.fail(format_args!(
            "the last power cut changed {before:?} to {after:?}"
        ));
    }
    judge(&world, &cluster).await;
    world.finish();
    Ok(())
}

/// Which file has which content, as it was read; up to where it could be.
type Contents = Vec<Option<Value>>;

/// Waits until nothing is wrong any more; what was read then.
async fn until_whole(world: &World, cluster: &Cluster, within: Duration) -> Contents {
    let began = Instant::now();
    let mut contents;
    loop {
        help(world, cluster).await;
        contents = Contents::new();
        let Some(problem) = problem(world, cluster, &mut contents).await else {
            break;
        };
        world.journal.note(format_args!("not yet: {problem}"));
        if began.elapsed() > within {
            world
                .journal
                .fail(format_args!("after {within:?} of peace, {problem}"));
            break;
        }
        sleep(LOOK_INTERVAL).await;
    }
    world
        .journal
        .note(format_args!("all is whole after {:?}", began.elapsed()));
    contents
}

/// What a person does: ends the safe mode of a master that was restored, forgets nodes whose disks are gone, and reads what
/// nobody has read since it rotted.
async fn help(world: &World, cluster: &Cluster) {
    if world.was_restored.load(Ordering::Relaxed) {
        let left = cluster.leave_safe_mode().await;
        world
            .journal
            .note(format_args!("leave safe mode: {left:?}"));
    }
    let there: BTreeSet<NodeId> = world.nodes.iter().filter_map(Machine::node).collect();
    for node in cluster
        .nodes(None, 100)
        .await
        .map_or_else(|_| Vec::new(), |listed| listed.nodes)
    {
        if node.state == NodeState::Dead && !there.contains(&node.node) {
            let removed = cluster.remove_node(node.node, false).await;
            world
                .journal
                .note(format_args!("remove {}: {removed:?}", node.node));
        }
    }
    let damaged = world.damaged.lock().clone();
    if damaged.is_empty() || !world.kind.reports_rot {
        return;
    }
    let Some(connection) = call_as_client(world, &address_of(MASTER)).await else {
        return;
    };
    for (chunk, node) in damaged {
        let reported = connection
            .call(ReportBadReplica { chunk, node }, CALL_TIMEOUT)
            .await;
        world.journal.note(format_args!(
            "report {chunk} on {node}: {}",
            reported.is_ok()
        ));
    }
}

/// What is not as it should be.
async fn problem(world: &World, cluster: &Cluster, contents: &mut Contents) -> Option<String> {
    let mut wanted = BTreeSet::new();
    for group in 0..GROUPS {
        for name in 0..NAMES {
            match read(cluster, &path(group, name)).await {
                Ok(None) => return Some(wrong_bytes(world, group, name)),
                Ok(Some(value)) => {
                    wanted.extend(value.chunks());
                    contents.push(Some(value));
                }
                Err(Error::NotFound { .. }) => contents.push(None),
                Err(error) => {
                    return Some(format!("{} cannot be read: {error}", path(group, name)));
                }
            }
        }
    }
    if let Some(problem) = wrong_copies(world, &wanted).await {
        return Some(problem);
    }
    if let Some(problem) = not_served(world, &wanted).await {
        return Some(problem);
    }
    healthy(cluster).await.err()
}

/// Fails the run, whatever else comes of it.
fn wrong_bytes(world: &World, group: usize, name: usize) -> String {
    let problem = format!("the bytes of {} are nobody's content", path(group, name));
    world.journal.fail(&problem);
    problem
}

async fn wrong_copies(world: &World, wanted: &BTreeSet<ChunkId>) -> Option<String> {
    let mut copies: BTreeMap<ChunkId, Vec<&Machine>> =
        wanted.iter().map(|chunk| (*chunk, Vec::new())).collect();
    for node in &world.nodes {
        for chunk in node.good_chunks() {
            copies.entry(chunk).or_default().push(node);
        }
    }
    for (chunk, mut holders) in copies {
        let is_wanted = wanted.contains(&chunk);
        if holders.len() > if is_wanted { COPIES } else { 0 } {
            holders = still_held(world, &chunk, is_wanted, holders).await;
        }
        if holders.len() == if is_wanted { COPIES } else { 0 } {
            continue;
        }
        for node in &world.nodes {
            for record in node.records_of(&chunk) {
                world
                    .journal
                    .explain(format_args!("{}: {record}", node.name));
            }
        }
        let kind = if is_wanted {
            "a file's chunk"
        } else {
            "an orphan"
        };
        let holders: Vec<_> = holders.iter().map(|node| &node.name).collect();
        return Some(format!("{kind} {chunk} is on {holders:?}"));
    }
    None
}

/// Asks the nodes themselves for the wanted chunks: what lies on a disk need not be served.
async fn not_served(world: &World, wanted: &BTreeSet<ChunkId>) -> Option<String> {
    let wanted: Vec<ChunkId> = wanted.iter().copied().collect();
    let mut served: BTreeMap<ChunkId, usize> = wanted.iter().map(|chunk| (*chunk, 0)).collect();
    for node in &world.nodes {
        let name = &node.name;
        let Some(connection) = call_as_client(world, &address_of(name)).await else {
            return Some(format!("{name} does not answer"));
        };
        let chunks = wanted.clone();
        let described = connection.call(DescribeChunks { chunks }, CALL_TIMEOUT);
        let described = match described.await {
            Ok(described) if described.chunks.len() == wanted.len() => described,
            other => return Some(format!("{name} does not say what it has: {other:?}")),
        };
        let mut good = Vec::new();
        for description in described.chunks {
            let chunk = description.chunk;
            match description.state {
                ChunkState::Missing => {}
                ChunkState::Good => good.push(chunk),
                other => return Some(format!("{chunk} is {other:?} on {name}")),
            }
        }
        let reads = good.iter().map(|chunk| read_from(&connection, *chunk));
        for (chunk, read) in good.iter().zip(join_all(reads).await) {
            match read {
                Ok(()) => *served.entry(*chunk).or_default() += 1,
                Err(error) => return Some(format!("{name} does not serve {chunk}: {error}")),
            }
        }
    }
    let wrong = served.iter().find(|(_, count)| **count != COPIES);
    wrong.map(|(chunk, count)| format!("{chunk} is served by {count} nodes"))
}

async fn read_from(connection: &Connection, chunk: ChunkId) -> Result<(), String> {
    let read = connection.call(GetChunk { chunk }, CALL_TIMEOUT).await;
    let body = read.map_err(|error| error.to_string())?.body;
    let bytes = body.into_bytes().ok_or("no bytes came")?;
    if ChunkId::of(&bytes) == chunk {
        Ok(())
    } else {
        Err("the bytes are wrong".to_owned())
    }
}

/// Those that do not say that they deleted the chunk. Its record may lie on the disk until the room is needed, also where the
/// deletion's own record was lost to damage.
async fn still_held<'a>(
    world: &World,
    chunk: &ChunkId,
    is_wanted: bool,
    holders: Vec<&'a Machine>,
) -> Vec<&'a Machine> {
    let mut still = Vec::new();
    for node in holders {
        let describe = DescribeChunks {
            chunks: vec![*chunk],
        };
        let described = match call_as_client(world, &address_of(&node.name)).await {
            Some(connection) => connection.call(describe, CALL_TIMEOUT).await.ok(),
            None => None,
        };
        if !described
            .as_ref()
            .is_some_and(|described| is_gone(chunk, described))
        {
            still.push(node);
        }
        // All was whole before.
        let has_come_back = world.is_last_start()
            && !node.is_harmed.load(Ordering::Relaxed)
            && described.is_some_and(|described| is_held(chunk, &described));
        if has_come_back && !is_wanted {
            let name = &node.name;
            let message =
                format_args!("{name} deleted {chunk}, and without its index has it again");
            world.journal.fail(message);
        }
    }
    still
}

/// Whether a node says of this chunk that it is not there.
fn is_gone(chunk: &ChunkId, described: &ChunksDescribed) -> bool {
    matches!(&described.chunks[..], [only] if only.chunk == *chunk && only.state == ChunkState::Missing)
}

/// Whether it says that it is.
fn is_held(chunk: &ChunkId, described: &ChunksDescribed) -> bool {
    matches!(&described.chunks[..], [only] if only.chunk == *chunk && only.state == ChunkState::Good)
}

/// A connection to a server, as any client has.
async fn call_as_client(world: &World, address: &Address) -> Option<Connection> {
    let caller = CallerIdentity {
        role: Role::Client,
        cluster: None,
        secret: Some(secret()),
    };
    let network = world.network(OPERATOR);
    let connection = Connection::open(&*network, address, &caller, CALL_TIMEOUT).await;
    connection.ok()
}

/// Reads all names for the last time, and judges what everybody was told.
async fn judge(world: &World, cluster: &Cluster) {
    for group in 0..GROUPS {
        for name in 0..NAMES {
            let operation = world.history.lock().call(group, Action::Read { name });
            let answer = match read(cluster, &path(group, name)).await {
                Ok(Some(value)) => Answer::Content(value),
                Ok(None) => {
                    wrong_bytes(world, group, name);
                    Answer::WrongBytes
                }
                Err(Error::NotFound { .. }) => Answer::NotFound,
                Err(error) => {
                    world
                        .journal
                        .fail(format_args!("{} is lost: {error}", path(group, name)));
                    Answer::Failed
                }
            };
            world.history.lock().answer(operation, answer);
        }
        let operations = world.history.lock().group(group);
        match check(&operations) {
            Verdict::Explained => world.journal.count("histories explained"),
            Verdict::GivenUp => world
                .journal
                .fail(format_args!("the history of group {group} is not decided")),
            Verdict::Impossible => {
                for operation in &operations {
                    world.journal.note(format_args!("{operation:?}"));
                }
                world.journal.fail(format_args!(
                    "nothing explains what clients were told of group {group}"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::node::ChunkDescription;

    use super::*;

    /// A node that said nothing of a chunk was taken to have deleted it.
    #[test]
    fn only_a_node_that_says_so_has_deleted_a_chunk() {
        let (asked, other) = (ChunkId::of(b"a"), ChunkId::of(b"b"));
        let says = |chunks: &[(ChunkId, ChunkState)]| {
            let describe = |&(chunk, state)| ChunkDescription {
                chunk,
                state,
                verified_ms: None,
                extent: None,
            };
            let chunks = chunks.iter().map(describe).collect();
            is_gone(&asked, &ChunksDescribed { chunks })
        };
        assert!(says(&[(asked, ChunkState::Missing)]));
        assert!(!says(&[]));
        assert!(!says(&[(other, ChunkState::Missing)]));
        assert!(!says(&[(asked, ChunkState::Good)]));
        assert!(!says(&[(asked, ChunkState::OnHungDisk)]));
    }
}
