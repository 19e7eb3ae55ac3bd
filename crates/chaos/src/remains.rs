//! What is left on the nodes of files that are gone.
//!
//! Nothing may be, when the grace of garbage is over, of what the master was seen to have on record. Other copies may be, which the
//! master does not know and keeps for a day: those that came to a node so late that nobody waited for them any more. They are counted.
//! And a node whose disk lost the record of a deletion may have again what it had deleted. What the master forgot in a crash, before
//! anybody was told of it, waits a day too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use history::{Action, Answer, GROUPS, NAMES, Value, path};
use parking_lot::Mutex;
use proto::id::ChunkId;
use proto::node::CHUNKS_PER_MESSAGE_MAX;
use tokio::time::{Instant, sleep};

use crate::load::groups_used;
use crate::oracle::{self, Contents, LOOK_INTERVAL};
use crate::world::World;

/// The grace of garbage, and the time that the last rounds of it take.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// A file has no more chunks than this.
const CHUNKS_MAX: u32 = 8;

/// Copies that the master was seen to have on record: which chunk, and on which node.
#[derive(Debug, Default)]
pub(crate) struct OnRecord(Mutex<BTreeSet<(ChunkId, usize)>>);

impl OnRecord {
    fn has(&self, chunk: ChunkId, node: usize) -> bool {
        self.0.lock().contains(&(chunk, node))
    }
}

/// Looks what the master has on record of the files that clients use now, until there is peace.
pub(crate) async fn look(world: Arc<World>) {
    let cluster = world.connect();
    while !world.is_peace() {
        let now = groups_used(&world);
        for (group, name) in (now - GROUPS..now).flat_map(|g| (0..NAMES).map(move |n| (g, n))) {
            let Ok(file) = cluster.open(&path(group, name), None).await else {
                continue;
            };
            let explained = file.explain(0, CHUNKS_MAX).await.unwrap_or_default();
            for (chunk, copy) in explained
                .iter()
                .flat_map(|chunk| chunk.copies.iter().map(move |copy| (chunk.chunk, copy)))
            {
                let node = world.addresses.iter().position(|a| *a == copy.address);
                world
                    .on_record
                    .0
                    .lock()
                    .extend(node.map(|node| (chunk, node)));
            }
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// Waits until what acknowledged files had, and these do not, is gone.
pub(crate) async fn check(world: &World, groups: usize, contents: &Contents) {
    let (wanted, journal, began) = (oracle::wanted(contents), &world.journal, Instant::now());
    let mut gone = recorded(world, groups);
    gone.retain(|chunk| !wanted.contains(chunk));
    let gone: Vec<ChunkId> = gone.into_iter().collect();
    loop {
        let is_over = began.elapsed() > GONE_WITHIN;
        let problem = match remains(world, &gone).await {
            Ok(copies) => match to_go(world, &copies, is_over) {
                Some((chunk, nodes)) => {
                    format!("{chunk}, which no file needs, is on the nodes {nodes:?}")
                }
                None => return count(world, gone.len(), &copies),
            },
            Err(problem) => problem,
        };
        if is_over {
            return journal.fail(format_args!("after {GONE_WITHIN:?}, {problem}"));
        }
        journal.note(format_args!("not yet: {problem}"));
        sleep(LOOK_INTERVAL).await;
    }
}

/// What must go: what was on record. Until that time is over, also what is on more nodes than one, and hardly came late.
fn to_go<'c>(
    world: &World,
    copies: &'c BTreeMap<ChunkId, Vec<usize>>,
    is_over: bool,
) -> Option<(&'c ChunkId, &'c Vec<usize>)> {
    copies.iter().find(|(chunk, nodes)| {
        let mut nodes_on_record = nodes.iter();
        let on_record = nodes_on_record.any(|node| world.on_record.has(**chunk, *node));
        on_record || (nodes.len() > 1 && !is_over)
    })
}

fn count(world: &World, gone: usize, copies: &BTreeMap<ChunkId, Vec<usize>>) {
    let late = copies.values().map(Vec::len).sum::<usize>();
    let on_record = world.on_record.0.lock().len();
    for (what, many) in [
        ("copies that came too late", late),
        ("chunks seen to be removed", gone - copies.len()),
        ("copies seen on record", on_record),
    ] {
        world.journal.count_many(what, many as u64);
    }
}

/// Which nodes still have which of these.
async fn remains(world: &World, gone: &[ChunkId]) -> Result<BTreeMap<ChunkId, Vec<usize>>, String> {
    let mut copies = BTreeMap::<ChunkId, Vec<usize>>::new();
    for node in (1..world.addresses.len()).filter(|node| !world.probes.may_have_kept(*node)) {
        let (name, connection) = (&world.names[node], oracle::call(world, node).await?);
        for chunks in gone.chunks(CHUNKS_PER_MESSAGE_MAX) {
            let held = oracle::held(&connection, chunks).await;
            for chunk in held.map_err(|error| format!("{name} does not describe: {error}"))? {
                copies.entry(chunk).or_default().push(node);
            }
        }
    }
    Ok(copies)
}

/// The chunks that the master has recorded of files that clients were told of, without those that another upload has too.
fn recorded(world: &World, groups: usize) -> BTreeSet<ChunkId> {
    let (mut uploaded, mut told) = (BTreeSet::new(), BTreeSet::new());
    for group in 0..groups {
        for operation in world.history.lock().group(group) {
            if let Action::Upload { value, .. } = operation.action {
                uploaded.insert(value);
            }
            match (operation.action, operation.answer) {
                (Action::Upload { value, .. }, Answer::Done) | (_, Answer::Content(value)) => {
                    told.insert(value);
                }
                _ => {}
            }
        }
    }
    let mut uploads = BTreeMap::<ChunkId, usize>::new();
    for chunk in uploaded.into_iter().flat_map(Value::chunks) {
        *uploads.entry(chunk).or_default() += 1;
    }
    let told = told.into_iter().flat_map(Value::chunks);
    told.filter(|chunk| uploads.get(chunk) == Some(&1))
        .collect()
}
