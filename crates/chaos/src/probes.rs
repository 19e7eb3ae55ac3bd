//! Chunks that a single node has, and no other: nothing replaces one, so that each node's own word is judged. What it
//! answered to have must be there at the end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use proto::id::ChunkId;
use proto::node::PutChunk;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::oracle;
use crate::world::World;

/// Between two chunks for a node.
const PAUSE: Duration = Duration::from_millis(4);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(50);
const PUT_WITHIN: Duration = Duration::from_secs(3);
/// A disk of a node is small.
const LEN_MAX: usize = 600;

/// What nodes answered to have, by their number.
#[derive(Debug)]
pub(crate) struct Probes(Vec<Mutex<Answered>>);

/// What one node answered to have.
#[derive(Debug, Default)]
struct Answered {
    chunks: BTreeSet<ChunkId>,
    /// What it answers now counts for nothing.
    in_doubt: bool,
    /// Its files were harmed: nothing is expected of it any more.
    given_up: bool,
    /// Its disk has said to keep what it did not keep, deletions too.
    has_lied: bool,
}

impl Answered {
    fn expected(&self) -> Option<BTreeSet<ChunkId>> {
        (!self.given_up).then(|| self.chunks.clone())
    }

    fn add(&mut self, chunk: ChunkId) {
        if !self.in_doubt {
            self.chunks.insert(chunk);
        }
    }
}

impl Probes {
    /// None yet, for so many servers.
    pub(crate) fn new(servers: usize) -> Self {
        Self((0..servers).map(|_| Mutex::default()).collect())
    }

    /// This node's files were harmed: nothing is expected of it any more.
    pub(crate) fn give_up(&self, node: usize) {
        self.0[node].lock().given_up = true;
    }

    /// The disk of this node says to keep what it does not.
    pub(crate) fn lies(&self, node: usize) {
        self.0[node].lock().has_lied = true;
    }

    /// Whether a chunk may be back on this node's disk that it had deleted, since the record of that is gone.
    pub(crate) fn may_have_kept(&self, node: usize) -> bool {
        let answered = self.0[node].lock();
        answered.given_up || answered.has_lied
    }

    /// Whether what this node answers from now on counts for nothing.
    pub(crate) fn doubt(&self, node: usize, in_doubt: bool) {
        self.0[node].lock().in_doubt = in_doubt;
    }

    /// Whether this node's disk once said to keep what it did not.
    pub(crate) fn has_lied(&self, node: usize) -> bool {
        self.0[node].lock().has_lied
    }

    /// Begins to put chunks to all nodes, until there is peace.
    pub(crate) fn begin(world: &Arc<World>, seed: u64) -> JoinSet<()> {
        let mut probing = JoinSet::new();
        for node in 1..world.addresses.len() {
            let chance = StdRng::seed_from_u64(seed.rotate_left(16) ^ node as u64);
            probing.spawn(probe(world.clone(), node, chance));
        }
        probing
    }

    /// Has each node read what it answered to have.
    pub(crate) async fn judge(world: &World) {
        let (names, journal) = (&world.names, &world.journal);
        for (node, name) in names.iter().enumerate().skip(1) {
            let Some(answered) = world.probes.0[node].lock().expected() else {
                continue;
            };
            let many = answered.len();
            match oracle::verify(world, node, answered.iter().copied()).await {
                Ok(good) if good.len() == many => {
                    journal.count_many("answers of single nodes kept", good.len() as u64);
                }
                Ok(good) => {
                    for chunk in answered.difference(&good) {
                        journal.note(format_args!("{name} has lost {chunk}"));
                    }
                    let lost = many - good.len();
                    journal.count_many("answers of single nodes broken", lost as u64);
                    journal.fail(format_args!(
                        "{name} has lost {lost} of {many} chunks that it answered to have"
                    ));
                }
                Err(problem) => journal.fail(problem),
            }
        }
    }
}

async fn probe(world: Arc<World>, node: usize, mut chance: StdRng) {
    while !world.is_peace() {
        if let Ok(connection) = oracle::call(&world, node).await {
            while !world.is_peace() {
                let mut bytes = vec![0; chance.random_range(32..LEN_MAX)];
                chance.fill_bytes(&mut bytes);
                let chunk = ChunkId::of(&bytes);
                let put = PutChunk {
                    chunk,
                    promise: None,
                    body: Bytes::from(bytes),
                };
                if connection.call(put, PUT_WITHIN).await.is_err() {
                    break;
                }
                let name = &world.names[node];
                world.journal.note(format_args!("{name} has {chunk}"));
                world.probes.0[node].lock().add(chunk);
                sleep(PAUSE).await;
            }
        }
        sleep(TRY_AGAIN_AFTER).await;
    }
}
