//! What must be true once the faults have ended, and a person who does what a person would do.
//!
//! Within a stated time every name can be read, every chunk of every file has just the wanted number of good copies, and
//! the cluster calls itself healthy. Nodes are asked to read each copy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::{Cluster, Error};
use futures::{StreamExt, stream};
use history::{Action, Answer, NAMES, Value, Verdict, check, healthy, path, read};
use proto::connection::{CallError, CallerIdentity, Connection};
use proto::hello::Role;
use proto::id::ChunkId;
use proto::master::NodeState;
use proto::net::Tcp;
use proto::node::{CHUNKS_PER_MESSAGE_MAX, ChunkState, DescribeChunks, VerifyChunk};
use tokio::time::{Instant, sleep};

use crate::world::{COPIES, World, secret};

/// Peace must be whole within this.
const PEACE_WITHIN: Duration = Duration::from_secs(120);
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(250);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Chunks that a node is asked to read at the same time.
const READS_AT_ONCE: usize = 16;

/// Which file has which content.
pub(crate) type Contents = BTreeMap<(usize, usize), Value>;

/// How many copies there are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copies {
    /// A node may have one more that it has yet to tell of, for example when it stored a chunk and nobody waited for it.
    AtLeast,
    /// No more than are wanted.
    Exactly,
}

/// Waits until nothing is wrong any more in so many groups of names; what was read then.
pub(crate) async fn until_whole(world: &World, groups: usize, wanted: Copies) -> Contents {
    let (cluster, began) = (world.connect(), Instant::now());
    loop {
        forget_dead_nodes(world, &cluster).await;
        let problem = match contents(world, &cluster, groups).await {
            Ok(contents) => match problem(world, &cluster, &contents, wanted).await {
                None => {
                    let elapsed = began.elapsed();
                    world
                        .journal
                        .note(format_args!("all is whole after {elapsed:?}"));
                    let seconds = elapsed.as_secs_f64().ceil();
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "it is short"
                    )]
                    world
                        .journal
                        .largest("seconds until all was whole", seconds as u64);
                    return contents;
                }
                Some(problem) => problem,
            },
            Err(problem) => problem,
        };
        world.journal.note(format_args!("not yet: {problem}"));
        if began.elapsed() > PEACE_WITHIN || world.journal.has_failed() {
            world
                .journal
                .fail(format_args!("after {PEACE_WITHIN:?} of peace, {problem}"));
            return Contents::new();
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// What a person does with nodes whose disks are gone: others have come in their place, at their addresses.
pub(crate) async fn forget_dead_nodes(world: &World, cluster: &Cluster) {
    let Ok(listed) = cluster.nodes(None, 100).await else {
        return;
    };
    let is_live = |address: &proto::net::Address| {
        let mut nodes = listed.nodes.iter();
        nodes.any(|node| node.address == *address && node.state == NodeState::Live)
    };
    for node in &listed.nodes {
        if node.state == NodeState::Dead && is_live(&node.address) {
            let removed = cluster.remove_node(node.node, false).await;
            world
                .journal
                .note(format_args!("remove {}: {removed:?}", node.node));
        }
    }
}

/// What all files hold.
pub(crate) async fn contents(
    world: &World,
    cluster: &Cluster,
    groups: usize,
) -> Result<Contents, String> {
    let mut contents = Contents::new();
    for place in (0..groups).flat_map(|group| (0..NAMES).map(move |name| (group, name))) {
        let path = path(place.0, place.1);
        match read(cluster, &path).await {
            Ok(Some(value)) => drop(contents.insert(place, value)),
            Ok(None) => {
                let problem = format!("the bytes of {path} are nobody's content");
                world.journal.count("wrong answers");
                world.journal.fail(&problem);
                return Err(problem);
            }
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(format!("{path} cannot be read: {error}")),
        }
    }
    Ok(contents)
}

/// The chunks of these files.
pub(crate) fn wanted(contents: &Contents) -> BTreeSet<ChunkId> {
    contents.values().flat_map(|value| value.chunks()).collect()
}

/// What is not as it should be.
async fn problem(
    world: &World,
    cluster: &Cluster,
    contents: &Contents,
    many: Copies,
) -> Option<String> {
    let wanted = wanted(contents);
    let mut copies: BTreeMap<ChunkId, usize> = wanted.iter().map(|chunk| (*chunk, 0)).collect();
    for node in 1..world.addresses.len() {
        match verify(world, node, wanted.iter().copied()).await {
            Ok(good) => good
                .into_iter()
                .for_each(|chunk| *copies.entry(chunk).or_default() += 1),
            Err(problem) => return Some(problem),
        }
    }
    let is_wrong = |count: usize| count < COPIES || (count > COPIES && many == Copies::Exactly);
    if let Some((chunk, count)) = copies.iter().find(|(_, count)| is_wrong(**count)) {
        return Some(format!("{chunk} has {count} good copies"));
    }
    match healthy(cluster).await {
        Err(problem) => Some(problem),
        // What nobody needs any more must go, once nobody can want it back.
        Ok(status) if many == Copies::Exactly && status.chunks.total != wanted.len() as u64 => {
            let total = status.chunks.total;
            Some(format!(
                "there are {total} chunks, of which {} are wanted",
                wanted.len()
            ))
        }
        Ok(_) => None,
    }
}

/// Has a node read these chunks; which of them it has, and are good.
pub(crate) async fn verify(
    world: &World,
    node: usize,
    chunks: impl Iterator<Item = ChunkId>,
) -> Result<BTreeSet<ChunkId>, String> {
    let name = &world.names[node];
    let connection = call(world, node).await?;
    let verify = |chunk| {
        let connection = connection.clone();
        async move {
            (
                chunk,
                connection.call(VerifyChunk { chunk }, CALL_TIMEOUT).await,
            )
        }
    };
    let mut verified = stream::iter(chunks.map(verify)).buffer_unordered(READS_AT_ONCE);
    let mut good = BTreeSet::new();
    while let Some((chunk, verified)) = verified.next().await {
        let verified = verified.map_err(|error| format!("{name} does not verify: {error}"))?;
        if verified.state == ChunkState::Good {
            good.insert(chunk);
        }
    }
    Ok(good)
}

/// Has a node read all that it says that it has.
pub(crate) async fn read_all(world: &World, node: usize) -> Result<(), String> {
    let (name, connection) = (&world.names[node], call(world, node).await?);
    for chunks in world.chunks().chunks(CHUNKS_PER_MESSAGE_MAX) {
        let held = held(&connection, chunks).await;
        let held = held.map_err(|error| format!("{name} does not describe: {error}"))?;
        let good = verify(world, node, held.iter().copied()).await?.len();
        let bad = u64::try_from(held.len() - good).unwrap_or(u64::MAX);
        world.journal.count_many("copies found corrupt", bad);
    }
    Ok(())
}

/// Which of these chunks a node has, good or not.
pub(crate) async fn held(
    connection: &Connection,
    chunks: &[ChunkId],
) -> Result<Vec<ChunkId>, CallError> {
    let describe = DescribeChunks {
        chunks: chunks.to_vec(),
    };
    let described = connection.call(describe, CALL_TIMEOUT).await?;
    let held = described.chunks.into_iter();
    let held = held.filter(|chunk| chunk.state != ChunkState::Missing);
    Ok(held.map(|chunk| chunk.chunk).collect())
}

/// A connection to a node, as any client has.
pub(crate) async fn call(world: &World, node: usize) -> Result<Connection, String> {
    let caller = CallerIdentity {
        role: Role::Client,
        cluster: None,
        secret: Some(secret()),
    };
    let connection = Connection::open(&Tcp, &world.addresses[node], &caller, CALL_TIMEOUT).await;
    connection.map_err(|error| format!("{} does not answer: {error}", world.names[node]))
}

/// Reads all names, as a client whose answers are judged.
pub(crate) async fn read_names(world: &World, groups: usize) {
    let (cluster, journal) = (world.connect(), &world.journal);
    for group in 0..groups {
        for name in 0..NAMES {
            let operation = world.history.lock().call(group, Action::Read { name });
            let answer = match read(&cluster, &path(group, name)).await {
                Ok(Some(value)) => Answer::Content(value),
                Ok(None) => Answer::WrongBytes,
                Err(Error::NotFound { .. }) => Answer::NotFound,
                Err(error) => {
                    journal.count("names lost");
                    journal.fail(format_args!("{} is lost: {error}", path(group, name)));
                    Answer::Failed
                }
            };
            world.history.lock().answer(operation, answer);
        }
    }
}

/// Judges what everybody was told.
pub(crate) fn judge(world: &World, groups: usize) {
    let journal = &world.journal;
    for group in 0..groups {
        let operations = world.history.lock().group(group);
        match check(&operations) {
            Verdict::Explained => journal.count("histories explained"),
            Verdict::GivenUp => {
                journal.fail(format_args!("the history of group {group} is not decided"));
            }
            Verdict::Impossible => {
                for operation in &operations {
                    journal.note(format_args!("{operation:?}"));
                }
                journal.count("histories that nothing explains");
                journal.fail(format_args!(
                    "nothing explains what clients were told of group {group}"
                ));
            }
        }
    }
}
