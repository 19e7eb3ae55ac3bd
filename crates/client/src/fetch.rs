//! One chunk, from whichever node gives it: the likely best first, another when that one fails or is late.
//!
//! **Invariant:** only bytes whose SHA-256 is the chunk's id leave this file. Wrong ones are counted, reported to the
//! master and dropped.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use planted::{Bug, is_planted};
use proto::ErrorCode;
use proto::connection::CallError;
use proto::id::{ChunkId, NodeId, VersionId};
use proto::master::{ChunkLocations, GetStatus, LocateChunks, NodeLocation};
use proto::name::EntryPath;
use proto::node::GetChunk;
use tokio::time::{Instant, sleep, timeout};

use crate::late::Watch;
use crate::{Error, Shared};

/// Chunks up to here are sent and fetched on the connection that all small calls share.
const SMALL_LEN_MAX: u32 = 64 << 10;
/// Pauses before the master is asked again where the chunk is: its nodes may just be starting.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_secs(1),
];

/// Whether a chunk of this length goes on the connection that all small calls share.
pub(crate) fn is_small(len: u32) -> bool {
    len <= SMALL_LEN_MAX
}

/// One chunk of a file, and who holds it.
#[derive(Debug, Clone)]
pub(crate) struct ChunkPlace {
    pub(crate) index: u64,
    pub(crate) chunk: ChunkId,
    pub(crate) len: u32,
    pub(crate) nodes: Vec<NodeLocation>,
    /// Of these, the last ones have it on a disk that failed or hangs.
    pub(crate) failing: usize,
}

/// The file that is read.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) path: EntryPath,
    pub(crate) version: VersionId,
}

/// The chunks of a reply with the nodes that each names; `first` is the first one's place in the file.
pub(crate) fn chunk_places(
    first: u64,
    locations: ChunkLocations,
) -> impl Iterator<Item = ChunkPlace> {
    let ChunkLocations { chunks, nodes } = locations;
    (first..).zip(chunks).map(move |(index, located)| {
        let of_chunk = located.nodes.iter();
        ChunkPlace {
            index,
            chunk: located.chunk,
            len: located.len,
            nodes: of_chunk
                .filter_map(|place| nodes.get(usize::from(*place)).cloned())
                .collect(),
            failing: usize::from(located.failing),
        }
    })
}

/// The chunk's bytes. Asks the master anew where it is before giving up.
pub(crate) async fn fetch(
    shared: &Arc<Shared>,
    origin: &Origin,
    place: ChunkPlace,
) -> Result<Bytes, Error> {
    let after = shared.options.chunk_deadline;
    let what = || format!("read {}: chunk {}", origin.path, place.index);
    let watch = Watch::new(&shared.health, place.len);
    let mut fetching = pin!(fetch_patiently(shared, origin, &place, &watch));
    loop {
        let before = watch.received().bytes();
        match timeout(after, &mut fetching).await {
            Ok(Ok(bytes)) => return Ok(bytes),
            Ok(Err(failures)) => return Err(failures.into_error(what(), place.chunk)),
            Err(_) if watch.received().bytes() > before => {}
            Err(_) => {
                let what = what();
                return Err(Error::TimedOut { what, after });
            }
        }
    }
}

async fn fetch_patiently(
    shared: &Arc<Shared>,
    origin: &Origin,
    place: &ChunkPlace,
    watch: &Watch<'_>,
) -> Result<Bytes, Failures> {
    let ChunkPlace { chunk, len, .. } = *place;
    let mut result = fetch_from(shared, chunk, len, place.nodes.clone(), watch).await;
    for pause in PAUSES {
        let Err(failures) = &result else { break };
        if failures.are_final && !pause.is_zero() {
            break;
        }
        sleep(pause).await;
        let Some(again) = relocate(shared, origin, place).await else {
            continue;
        };
        result = if again.is_empty() {
            Err(nowhere(shared).await)
        } else {
            fetch_from(shared, chunk, len, again, watch).await
        };
    }
    result
}

/// A chunk of which the master knows no copy. Asking again does not help, unless it has yet to hear from nodes.
async fn nowhere(shared: &Arc<Shared>) -> Failures {
    let retry_for = shared.options.call_retry_for;
    let status = shared.masters.call(retry_for, || GetStatus {}).await;
    Failures {
        are_final: status.is_ok_and(|status| status.safe_mode.is_none()),
        ..Failures::default()
    }
}

/// Asks these nodes again after a pause each time: the connections to them may have died, or they may just be starting.
pub(crate) async fn fetch_from_patiently(
    shared: &Arc<Shared>,
    chunk: ChunkId,
    len: u32,
    nodes: Vec<NodeLocation>,
) -> Result<Bytes, Failures> {
    let started = Instant::now();
    let watch = Watch::new(&shared.health, len);
    let mut result = fetch_from(shared, chunk, len, nodes.clone(), &watch).await;
    for pause in PAUSES {
        let may_help = matches!(&result, Err(failures) if !failures.are_final);
        if !may_help || started.elapsed() >= shared.options.chunk_deadline {
            break;
        }
        sleep(pause).await;
        result = fetch_from(shared, chunk, len, nodes.clone(), &watch).await;
    }
    result
}

/// Where the master knows the chunk to be now.
async fn relocate(
    shared: &Arc<Shared>,
    origin: &Origin,
    place: &ChunkPlace,
) -> Option<Vec<NodeLocation>> {
    let request = || LocateChunks {
        version: origin.version,
        first: place.index,
        limit: 1,
    };
    let retry_for = shared.options.call_retry_for;
    let located = shared.masters.call(retry_for, request).await.ok()?;
    let again = chunk_places(place.index, located.locations).next()?;
    (again.chunk == place.chunk).then_some(again.nodes)
}

/// Why no node gave a chunk.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// Bytes that came, but were wrong, or that the node knows to be.
    wrong: usize,
    /// Whatever else.
    last: Option<CallError>,
    /// Trying again will not help.
    are_final: bool,
}

impl Failures {
    pub(crate) fn into_error(self, what: String, chunk: ChunkId) -> Error {
        if self.are_final {
            return Error::Corrupt { what, chunk };
        }
        Error::Unavailable {
            what: format!("{what}: no node with a good copy of {chunk} can be reached"),
            source: self.last.map(Into::into),
        }
    }
}

/// Asks these nodes until one gives the chunk: the next one when one fails, or is late.
async fn fetch_from(
    shared: &Arc<Shared>,
    chunk: ChunkId,
    len: u32,
    mut nodes: Vec<NodeLocation>,
    watch: &Watch<'_>,
) -> Result<Bytes, Failures> {
    shared.health.order_for_reading(&chunk, &mut nodes);
    let mut nodes = nodes.into_iter();
    let mut tries = FuturesUnordered::new();
    let mut asked: Vec<NodeId> = Vec::new();
    let mut failures = Failures::default();
    loop {
        if let Some(location) = nodes.next() {
            asked.push(location.node);
            tries.push(ask(shared, chunk, len, location, watch));
        }
        let given = tokio::select! {
            biased;
            given = tries.next() => given,
            () = watch.until_late(), if nodes.len() > 0 => continue,
        };
        let Some((node, given)) = given else {
            failures.are_final = failures.wrong > 0 && failures.last.is_none();
            return Err(failures);
        };
        asked.retain(|asked| *asked != node);
        match given {
            Ok(bytes) => {
                // Whoever was asked earlier and has not answered is late.
                for late in asked {
                    shared.health.note_late_read(late);
                }
                return Ok(bytes);
            }
            Err(failure) => failures.note(shared, chunk, node, failure),
        }
    }
}

/// Why one node did not give a chunk.
#[derive(Debug)]
enum Failure {
    Wrong,
    Call(CallError),
}

impl Failures {
    fn note(&mut self, shared: &Arc<Shared>, chunk: ChunkId, node: NodeId, failure: Failure) {
        match failure {
            Failure::Wrong => {
                tracing::warn!(%chunk, %node, "a node gave wrong bytes; asking another one");
                self.wrong += 1;
                shared.report_bad_replica(chunk, node);
            }
            Failure::Call(error) => {
                tracing::debug!(%chunk, %node, %error, "a node did not give a chunk");
                match error.code() {
                    Some(ErrorCode::NotFound) => shared.report_bad_replica(chunk, node),
                    Some(ErrorCode::Corrupt) => {
                        self.wrong += 1;
                        shared.report_bad_replica(chunk, node);
                        return;
                    }
                    _ => shared.health.avoid(node),
                }
                self.last = Some(error);
            }
        }
    }
}

async fn ask(
    shared: &Shared,
    chunk: ChunkId,
    len: u32,
    location: NodeLocation,
    watch: &Watch<'_>,
) -> (NodeId, Result<Bytes, Failure>) {
    let _counted = shared.health.begin_read(location.node);
    let given = ask_and_verify(shared, chunk, len, &location, watch).await;
    (location.node, given)
}

async fn ask_and_verify(
    shared: &Shared,
    chunk: ChunkId,
    len: u32,
    location: &NodeLocation,
    watch: &Watch<'_>,
) -> Result<Bytes, Failure> {
    let started = Instant::now();
    let request = GetChunk { chunk };
    let within = shared.options.time_for(len);
    let reply = if is_small(len) {
        shared.pool.call(location, request, within).await
    } else {
        let received = Some(watch.received().clone());
        let pool = &shared.pool;
        pool.transfer_counted(location, request, within, received)
            .await
    };
    let body = reply.map_err(Failure::Call)?.body;
    let bytes = body.into_bytes().ok_or(Failure::Wrong)?;
    shared.health.note_read_time(len, started.elapsed());
    let is_good = bytes.len() == len as usize
        && (shared.options.hashing.chunk_id(&bytes).await == chunk
            || is_planted(Bug::ReadsUnchecked));
    if !is_good {
        return Err(Failure::Wrong);
    }
    shared.health.forgive(location.node);
    tracing::debug!(%chunk, node = %location.node, "a node gave a chunk");
    Ok(bytes)
}
