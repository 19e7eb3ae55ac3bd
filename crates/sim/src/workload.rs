//! Clients: they upload, overwrite, delete, move, list and read a few names at the same time, and remember what they were
//! told.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use client::{ClientOptions, Cluster, DeleteOptions, Error, Hashing, UploadOptions};
use futures::{StreamExt, TryStreamExt};
use proto::name::EntryPath;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use tokio::time::sleep;
use tokio_util::io::StreamReader;

use crate::content::Value;
use crate::history::{Action, Answer, NAMES};
use crate::journal::Journal;
use crate::world::{MASTER, Machine, World, address_of, secret};

/// Groups of names.
pub(crate) const GROUPS: usize = 3;
/// The longest pause between two operations of a client.
const PAUSE_MAX: Duration = Duration::from_millis(400);
/// The longest pause within the data of a slow upload.
const SLOW_PAUSE_MAX: Duration = Duration::from_secs(3);
const PIECE_LEN: usize = 3000;

/// Works until there is peace.
pub(crate) async fn run_client(world: Arc<World>, index: usize) -> turmoil::Result {
    let machine = &world.clients[index];
    let mut chance = world.chance_of(machine);
    let cluster = connect(&world, machine, &mut chance);
    while !world.is_peace() {
        let group = chance.random_range(0..GROUPS);
        let action = choose(&world, &mut chance);
        let operation = world.history.lock().call(group, action);
        world.journal.note(format_args!(
            "{} calls {operation}: {group} {action:?}",
            machine.name
        ));
        let slow = chance.random_bool(0.2).then(|| chance.next_u64());
        let answer = carry_out(&cluster, &world.journal, group, action, slow).await;
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

/// Where a name of a group is.
pub(crate) fn path(group: usize, name: usize) -> EntryPath {
    format!("/group-{group}/{name}")
        .parse()
        .expect("it is a path")
}

/// What a name holds. Wrong bytes are a failure of the run, whatever the outcome.
pub(crate) async fn read(
    cluster: &Cluster,
    journal: &Journal,
    path: &EntryPath,
) -> Result<Value, Error> {
    let file = cluster.open(path, None).await?;
    let size = file.size;
    let pieces: Vec<_> = file.read(0..size).try_collect().await?;
    let bytes = pieces.concat();
    let value = Value::of(&bytes);
    if value.is_none() {
        journal.fail(format_args!(
            "{} bytes of {path} are nobody's content",
            bytes.len()
        ));
    }
    Ok(value.unwrap_or(Value(0)))
}

fn choose(world: &World, chance: &mut StdRng) -> Action {
    let name = chance.random_range(0..NAMES);
    match chance.random_range(0..100) {
        0..42 => Action::Upload {
            name,
            value: world.new_value(),
        },
        42..54 => Action::Delete { name },
        54..66 => Action::Move {
            from: name,
            to: (name + chance.random_range(1..NAMES)) % NAMES,
            replace: chance.random_bool(0.5),
        },
        66..90 => Action::Read { name },
        _ => Action::List,
    }
}

async fn carry_out(
    cluster: &Cluster,
    journal: &Journal,
    group: usize,
    action: Action,
    slow: Option<u64>,
) -> Answer {
    let done = match action {
        Action::Upload { name, value } => upload(cluster, &path(group, name), value, slow).await,
        Action::Delete { name } => {
            let options = DeleteOptions {
                purge: slow.is_some(),
                ..DeleteOptions::default()
            };
            let deleted = cluster.delete(&path(group, name), options).await;
            deleted.map(|_| Answer::Done)
        }
        Action::Move { from, to, replace } => {
            let (from, to) = (path(group, from), path(group, to));
            let moved = cluster.move_entry(&from, &to, replace).await;
            moved.map(|_| Answer::Done)
        }
        Action::Read { name } => {
            let content = read(cluster, journal, &path(group, name)).await;
            content.map(Answer::Content)
        }
        Action::List => list(cluster, group).await,
    };
    done.unwrap_or_else(|error| {
        journal.note(format_args!("{action:?} failed: {error} ({error:?})"));
        answer_of(action, &error)
    })
}

async fn upload(
    cluster: &Cluster,
    path: &EntryPath,
    value: Value,
    slow: Option<u64>,
) -> Result<Answer, Error> {
    let (bytes, options) = (value.bytes(), UploadOptions::default());
    match slow {
        None => cluster.upload(path, &bytes[..], options).await?,
        Some(pauses) => {
            let pieces: Vec<Vec<u8>> = bytes.chunks(PIECE_LEN).map(<[u8]>::to_vec).collect();
            let pieces = futures::stream::iter(pieces)
                .enumerate()
                .then(async |(at, piece)| {
                    let share = pauses.to_le_bytes()[at % 8];
                    sleep(SLOW_PAUSE_MAX.mul_f64(f64::from(share) / 255.0)).await;
                    io::Result::Ok(io::Cursor::new(piece))
                });
            let reader = StreamReader::new(Box::pin(pieces));
            cluster.upload(path, reader, options).await?
        }
    };
    Ok(Answer::Done)
}

async fn list(cluster: &Cluster, group: usize) -> Result<Answer, Error> {
    let folder = format!("/group-{group}").parse().expect("it is a path");
    let listed = cluster.list(&folder, None, 100).await?;
    let mut names = [false; NAMES];
    for entry in listed.entries {
        let name = entry.name().expect("it is not the root").as_str();
        let number: usize = name.parse().expect("names are numbers");
        names[number] = true;
    }
    Ok(Answer::Names(names))
}

fn answer_of(action: Action, error: &Error) -> Answer {
    match (action, error) {
        (_, Error::NotFound { .. }) if !matches!(action, Action::Upload { .. }) => Answer::NotFound,
        (Action::Move { .. }, Error::AlreadyExists { .. }) => Answer::AlreadyExists,
        // Only of these does the client library not know.
        (_, Error::TimedOut { .. } | Error::Unavailable { .. }) => Answer::Unknown,
        _ => Answer::Failed,
    }
}

fn count(journal: &Journal, action: Action, answer: Answer) {
    let is_change = !matches!(action, Action::Read { .. } | Action::List);
    match answer {
        Answer::Done if is_change => journal.count("changes acknowledged"),
        Answer::Content(_) => journal.count("reads verified"),
        Answer::Unknown => journal.count("operations with unknown outcome"),
        Answer::Failed if is_change => journal.count("changes refused"),
        _ => {}
    }
}
