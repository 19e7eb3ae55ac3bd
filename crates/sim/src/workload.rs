//! Clients: they upload, overwrite, delete, move, list and read a few names at the same time, and remember what they were
//! told.

use std::sync::Arc;
use std::time::Duration;

use client::{ClientOptions, Cluster, Hashing};
use history::{Action, Answer, GROUPS, carry_out, choose};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use tokio::time::sleep;

use crate::journal::Journal;
use crate::world::{MASTER, Machine, World, address_of, secret};

/// The longest pause between two operations of a client.
const PAUSE_MAX: Duration = Duration::from_millis(400);

/// Works until there is peace.
pub(crate) async fn run_client(world: Arc<World>, index: usize) -> turmoil::Result {
    let machine = &world.clients[index];
    let mut chance = world.chance_of(machine);
    let cluster = connect(&world, machine, &mut chance);
    while !world.is_peace() {
        let group = chance.random_range(0..GROUPS);
        let (action, pace) = choose(&mut chance, || world.new_value());
        let operation = world.history.lock().call(group, action);
        world.journal.note(format_args!(
            "{} calls {operation}: {group} {action:?}",
            machine.name
        ));
        let told = carry_out(&cluster, group, action, pace).await;
        let answer = told.answer;
        if let Some(error) = told.error {
            let journal = &world.journal;
            journal.note(format_args!("{action:?} failed: {error} ({error:?})"));
        }
        world.history.lock().answer(operation, answer);
        world.journal.note(format_args!(
            "{} is told of {operation}: {answer:?}",
            machine.name
        ));
        count(&world.journal, action, answer);
        sleep(PAUSE_MAX.mul_f64(chance.random())).await;
    }
    cluster.settle().await;
    machine
        .done
        .store(true, std::sync::atomic::Ordering::Relaxed);
    Ok(())
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

fn count(journal: &Journal, action: Action, answer: Answer) {
    let is_change = !matches!(action, Action::Read { .. } | Action::List);
    match answer {
        Answer::Done if is_change => journal.count("changes acknowledged"),
        Answer::Content(_) => journal.count("reads verified"),
        Answer::Unknown => journal.count("operations with unknown outcome"),
        Answer::WrongBytes | Answer::WrongNames => {
            journal.fail(format_args!("{action:?} was answered {answer:?}"));
        }
        Answer::Failed if is_change => journal.count("changes refused"),
        _ => {}
    }
}
