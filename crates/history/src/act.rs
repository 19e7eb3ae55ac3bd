//! Actions as calls of the client library, and its outcomes as answers.

use std::io;
use std::time::Duration;

use client::{Cluster, DeleteOptions, Error, UploadOptions};
use futures::{StreamExt, TryStreamExt};
use proto::name::EntryPath;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use tokio::time::sleep;
use tokio_util::io::StreamReader;

use crate::check::{Action, Answer, NAMES};
use crate::content::Value;

/// Groups of names. All that happens, happens within one.
pub const GROUPS: usize = 3;
/// The longest pause within the data of a slow upload.
const SLOW_PAUSE_MAX: Duration = Duration::from_secs(3);
const PIECE_LEN: usize = 3000;

/// How an action is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it goes; a deleted file goes to the trash.
    Quick,
    /// The data of an upload comes with pauses that this number says; a deleted file is gone for good.
    Slow(u64),
}

/// What a client was told, and more closely why, where it was no success.
#[derive(Debug)]
pub struct Told {
    /// What a history keeps of it.
    pub answer: Answer,
    /// The library's error.
    pub error: Option<Error>,
}

/// Draws what a client does next; `new_value` gives a content that no file has had.
pub fn choose(chance: &mut StdRng, new_value: impl FnOnce() -> Value) -> (Action, Pace) {
    let name = chance.random_range(0..NAMES);
    let action = match chance.random_range(0..100) {
        0..42 => Action::Upload {
            name,
            value: new_value(),
        },
        42..54 => Action::Delete { name },
        54..66 => Action::Move {
            from: name,
            to: (name + chance.random_range(1..NAMES)) % NAMES,
            replace: chance.random_bool(0.5),
        },
        66..90 => Action::Read { name },
        _ => Action::List,
    };
    let pace = if chance.random_bool(0.2) {
        Pace::Slow(chance.next_u64())
    } else {
        Pace::Quick
    };
    (action, pace)
}

/// Where a name of a group is.
pub fn path(group: usize, name: usize) -> EntryPath {
    format!("/group-{group}/{name}")
        .parse()
        .expect("it is a path")
}

/// What a name holds; nothing if the bytes are nobody's content: then wrong bytes were delivered.
pub async fn read(cluster: &Cluster, path: &EntryPath) -> Result<Option<Value>, Error> {
    let file = cluster.open(path, None).await?;
    let size = file.size;
    let pieces: Vec<_> = file.read(0..size).try_collect().await?;
    Ok(Value::of(&pieces.concat()))
}

/// Asks a cluster.
pub async fn carry_out(cluster: &Cluster, group: usize, action: Action, pace: Pace) -> Told {
    let done = match action {
        Action::Upload { name, value } => upload(cluster, &path(group, name), value, pace).await,
        Action::Delete { name } => {
            let options = DeleteOptions {
                purge: pace != Pace::Quick,
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
            let content = read(cluster, &path(group, name)).await;
            content.map(|value| value.map_or(Answer::WrongBytes, Answer::Content))
        }
        Action::List => list(cluster, group).await,
    };
    match done {
        Ok(answer) => Told {
            answer,
            error: None,
        },
        Err(error) => Told {
            answer: answer_of(action, &error),
            error: Some(error),
        },
    }
}

async fn upload(
    cluster: &Cluster,
    path: &EntryPath,
    value: Value,
    pace: Pace,
) -> Result<Answer, Error> {
    let (bytes, options) = (value.bytes(), UploadOptions::default());
    match pace {
        Pace::Quick => cluster.upload(path, &bytes[..], options).await?,
        Pace::Slow(pauses) => {
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
        let name = entry
            .name()
            .and_then(|name| name.as_str().parse::<usize>().ok());
        match name.and_then(|name| names.get_mut(name)) {
            Some(listed) => *listed = true,
            None => return Ok(Answer::WrongNames),
        }
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
