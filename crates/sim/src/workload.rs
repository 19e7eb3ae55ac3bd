//! Clients: they upload, overwrite, delete, move, list and read a few names at the same time, and remember what they were
//! told.

use std::sync::Arc;
use std::time::Duration;

use client::{ClientOptions, Cluster, Hashing};
use history::{Action, Answer, GROUPS, Pace, Told, carry_out, choose};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use tokio::time::{Instant, sleep};

use crate::servers::secret;
use crate::world::{MASTER, Machine, World, address_of};

/// The longest pause between two operations of a client.
const PAUSE_MAX: Duration = Duration::from_millis(400);
/// One operation in so many asks for something of the past.
const PAST_SHARE: f64 = 0.12;
/// Of so many acknowledged uploads it is looked at how durable they are: each time all disks are copied.
const DURABLE_SHARE: f64 = 0.2;

/// Works until there is peace.
pub(crate) async fn run_client(world: Arc<World>, index: usize) -> turmoil::Result {
    let machine = &world.clients[index];
    let mut chance = world.chance_of(machine);
    let cluster = connect(&world, machine, &mut chance);
    while !world.is_peace() {
        let group = chance.random_range(0..GROUPS);
        let (action, pace) = choose_action(&world, group, &mut chance);
        let operation = world.history.lock().call(group, action);
        world.journal.note(format_args!(
            "{} calls {operation}: {group} {action:?}",
            machine.name
        ));
        let (called, called_at) = (Instant::now(), world.journal.now());
        let told = carry_out(&cluster, group, action, pace).await;
        let answer = world.memory.lock().judge(action, told.answer);
        (world.memory.lock()).learn((group, operation), action, called, &told);
        world.history.lock().answer(operation, answer);
        world.journal.note(format_args!(
            "{} is told of {operation}: {answer:?}",
            machine.name
        ));
        look_at(&world, action, &told);
        if let (Action::Upload { value, .. }, Some(uploaded)) = (action, &told.uploaded)
            && chance.random_bool(DURABLE_SHARE)
        {
            world.check_durable(value, uploaded.copies, called_at, &mut chance);
        }
        sleep(PAUSE_MAX.mul_f64(chance.random())).await;
    }
    cluster.settle().await;
    machine
        .done
        .store(true, std::sync::atomic::Ordering::Relaxed);
    Ok(())
}

fn choose_action(world: &World, group: usize, chance: &mut StdRng) -> (Action, Pace) {
    if chance.random_bool(PAST_SHARE)
        && let Some(action) = world.memory.lock().choose(chance, group)
    {
        return (action, Pace::Quick);
    }
    choose(chance, || world.new_value())
}

/// The cluster, as a client on this machine reaches it.
pub(crate) fn connect(world: &World, machine: &Machine, chance: &mut StdRng) -> Cluster {
    let options = ClientOptions {
        chunks_in_flight: 3,
        call_retry_for: Duration::from_secs(5),
        transfer_retry_for: Duration::from_secs(8),
        call_timeout: Duration::from_secs(1),
        transfer_timeout: Duration::from_secs(4),
        chunk_deadline: Duration::from_secs(12),
        nodes_patience: Duration::from_secs(3),
        hashing: Hashing::Inline,
        seed: Some(chance.next_u64()),
        ..ClientOptions::default()
    };
    let network = world.network(&machine.name);
    Cluster::new(network, vec![address_of(MASTER)], Some(secret()), options)
}

/// Counts what was told, and fails the run if it can never be right.
fn look_at(world: &World, action: Action, told: &Told) {
    let journal = &world.journal;
    if let Some(error) = &told.error {
        journal.note(format_args!("{action:?} failed: {error} ({error:?})"));
    }
    let answer = told.answer;
    let has_failed = matches!(answer, Answer::Failed | Answer::Unknown);
    if told.is_never_right() || (has_failed && world.kind.is_faultless) {
        journal.fail(format_args!(
            "{action:?} was answered {answer:?}: {:?}",
            told.error
        ));
    }
    match (action, answer) {
        (Action::Restore { .. }, Answer::Done) => journal.count("files restored"),
        (Action::ReadVersion { .. }, Answer::Content(_)) => journal.count("versions read again"),
        _ => {}
    }
    match answer {
        Answer::Done => journal.count("changes acknowledged"),
        Answer::Content(_) => journal.count("reads verified"),
        Answer::Unknown => journal.count("operations with unknown outcome"),
        Answer::Failed if action.is_change() => journal.count("changes refused"),
        _ => {}
    }
}
