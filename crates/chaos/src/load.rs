//! Clients: they upload, overwrite, delete, move, list and read a few names at the same time, and remember what they were
//! told.
//!
//! They go on to new names every few seconds, so that each history is short enough to be explained, and what is older
//! stays as it was, to be read at the end.

use std::sync::Arc;
use std::time::Duration;

use history::{Action, Answer, GROUPS, Pace, Told, carry_out, choose};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::journal::Journal;
use crate::world::World;

/// Clients at work.
const CLIENTS: u64 = 8;
/// Those of them that take their time over an upload.
const SLOW_CLIENTS: u64 = 2;
/// After so long they go on to other names.
const WINDOW: Duration = Duration::from_secs(3);
/// The longest pause between two operations of a client.
const PAUSE_MAX: Duration = Duration::from_millis(120);
/// The longest that a client takes to end when there is peace; then it is killed.
const END_WITHIN: Duration = Duration::from_secs(10);

/// All clients of a round.
#[derive(Debug)]
pub(crate) struct Load(JoinSet<()>);

impl Load {
    /// Sends them to work.
    pub(crate) fn begin(world: &Arc<World>, seed: u64) -> Self {
        let mut clients = JoinSet::new();
        for index in 0..CLIENTS {
            clients.spawn(run_client(world.clone(), index, seed));
        }
        Self(clients)
    }

    /// Waits until they have ended; it is peace.
    pub(crate) async fn end(mut self, journal: &Journal) {
        let all = async {
            while let Some(ended) = self.0.join_next().await {
                journal.ended(ended);
            }
        };
        drop(timeout(END_WITHIN, all).await);
        self.0.shutdown().await;
    }
}

/// How many groups of names have been used until now.
pub(crate) fn groups_used(world: &World) -> usize {
    (window(world) + 1) * GROUPS
}

fn window(world: &World) -> usize {
    let windows = world.began.elapsed().as_millis() / WINDOW.as_millis();
    usize::try_from(windows).unwrap_or(usize::MAX)
}

async fn run_client(world: Arc<World>, index: u64, seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed.wrapping_mul(1009).wrapping_add(index));
    let mut cluster = world.connect();
    while !world.is_peace() {
        let (action, mut pace) = choose(&mut chance, || world.new_value());
        if matches!(action, Action::Upload { .. }) && index >= SLOW_CLIENTS {
            pace = Pace::Quick;
        }
        let group = choose_group(&world, action, &mut chance);
        let operation = world.history.lock().call(group, action);
        let journal = &world.journal;
        journal.note(format_args!(
            "client {index} calls {operation}: {group} {action:?}"
        ));
        tokio::select! {
            told = carry_out(&cluster, group, action, pace) => {
                note(&world, operation, action, told);
                sleep(PAUSE_MAX.mul_f64(chance.random())).await;
            }
            () = world.client_kill.notified() => {
                journal.note(format_args!("client {index} is killed in {operation}"));
                world.journal.count("kills of clients");
                cluster = world.connect();
            }
        }
    }
    cluster.settle().await;
}

/// One of now; what is only read may be of earlier.
fn choose_group(world: &World, action: Action, chance: &mut StdRng) -> usize {
    let now = window(world);
    let window = if !action.is_change() && chance.random_bool(0.3) {
        chance.random_range(0..=now)
    } else {
        now
    };
    window * GROUPS + chance.random_range(0..GROUPS)
}

fn note(world: &World, operation: usize, action: Action, told: Told) {
    let is_never_right = told.is_never_right();
    let Told { answer, error, .. } = told;
    world.history.lock().answer(operation, answer);
    let journal = &world.journal;
    match &error {
        Some(error) => journal.note(format_args!(
            "of {operation}: {answer:?}: {error} ({error:?})"
        )),
        None => journal.note(format_args!("of {operation}: {answer:?}")),
    }
    if is_never_right {
        journal.count("wrong answers");
        journal.fail(format_args!(
            "{action:?} was answered {answer:?}: {error:?}"
        ));
    }
    match answer {
        Answer::Done => journal.count("changes acknowledged"),
        Answer::Content(_) => journal.count("reads verified"),
        Answer::Unknown => journal.count("operations with unknown outcome"),
        Answer::Failed if action.is_change() => journal.count("changes refused"),
        Answer::Failed => journal.count("reads refused"),
        _ => {}
    }
}
