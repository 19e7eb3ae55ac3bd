//! Actions as calls of the client library, and its outcomes as answers.

use std::io;
use std::ops::Range;
use std::time::Duration;

use client::{Cluster, DeleteOptions, Error, File, UploadOptions, Uploaded};
use futures::{StreamExt, TryStreamExt};
use proto::id::VersionId;
use proto::master::TrashId;
use proto::name::EntryPath;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use tokio::time::sleep;
use tokio_util::io::StreamReader;

use crate::content::Value;
use crate::record::{Action, Answer, NAMES};

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
    /// The data of an upload comes with pauses that this number says; a deleted file is gone for good; of a file only a part
    /// is read, which it says too.
    Slow(u64),
}

/// What a client was told.
#[derive(Debug)]
pub struct Told {
    /// What a history keeps of it.
    pub answer: Answer,
    /// The library's error, where it was no success.
    pub error: Option<Error>,
    /// What else was said of an upload.
    pub uploaded: Option<Uploaded>,
    /// Where a deleted file is in the trash.
    pub trash: Option<TrashId>,
}

impl Told {
    /// Whether nothing that a cluster may be in, or that happens to it, can give this answer to these calls.
    pub fn is_never_right(&self) -> bool {
        let error = self.error.as_ref();
        matches!(self.answer, Answer::WrongBytes | Answer::WrongNames)
            || error.is_some_and(|error| match error {
                Error::IsAFolder { .. }
                | Error::NotAFolder { .. }
                | Error::FolderNotEmpty { .. }
                | Error::PreconditionFailed { .. }
                | Error::InvalidArgument { .. }
                | Error::TooLarge { .. }
                | Error::Read(_)
                | Error::SizeMismatch { .. } => true,
                Error::NotFound { .. } | Error::AlreadyExists { .. } => {
                    self.answer == Answer::Failed
                }
                _ => false,
            })
    }
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
    read_all(cluster, path, None).await
}

async fn read_all(
    cluster: &Cluster,
    path: &EntryPath,
    version: Option<VersionId>,
) -> Result<Option<Value>, Error> {
    let file = cluster.open(path, version).await?;
    let size = file.size;
    Ok(Value::of(&bytes_of(file, 0..size).await?))
}

/// The same, where only the number that a content begins with and a part of the rest are asked for.
async fn read_part(
    cluster: &Cluster,
    path: &EntryPath,
    which: u64,
) -> Result<Option<Value>, Error> {
    let file = cluster.open(path, None).await?;
    let ends = [which % (file.size + 1), (which >> 32) % (file.size + 1)];
    let part = ends[0].min(ends[1])..ends[0].max(ends[1]);
    let number = bytes_of(file.clone(), 0..Value::NUMBER_LEN).await?;
    let found = bytes_of(file.clone(), part.clone()).await?;
    let Some(value) = Value::numbered(&number) else {
        return Ok(None);
    };
    let bytes = value.bytes();
    let part = usize::try_from(part.start)
        .ok()
        .zip(usize::try_from(part.end).ok());
    let expected = part.and_then(|(begin, end)| bytes.get(begin..end));
    let is_right = bytes.len() as u64 == file.size && expected == Some(&found[..]);
    Ok(is_right.then_some(value))
}

async fn bytes_of(file: File, range: Range<u64>) -> Result<Vec<u8>, Error> {
    let pieces: Vec<_> = file.read(range).try_collect().await?;
    Ok(pieces.concat())
}

/// Asks a cluster.
pub async fn carry_out(cluster: &Cluster, group: usize, action: Action, pace: Pace) -> Told {
    let (mut uploaded, mut trash) = (None, None);
    let done = match action {
        Action::Upload { name, value } => {
            let done = upload(cluster, &path(group, name), value, pace).await;
            done.map(|done| {
                uploaded = Some(done);
                Answer::Done
            })
        }
        Action::Delete { name } => {
            let options = DeleteOptions {
                purge: pace != Pace::Quick,
                ..DeleteOptions::default()
            };
            let deleted = cluster.delete(&path(group, name), options).await;
            deleted.map(|place| {
                trash = place;
                Answer::Done
            })
        }
        Action::Move { from, to, replace } => {
            let (from, to) = (path(group, from), path(group, to));
            let moved = cluster.move_entry(&from, &to, replace).await;
            moved.map(|_| Answer::Done)
        }
        Action::Restore { trash, to, .. } => {
            let restored = cluster.restore(trash, Some(&path(group, to))).await;
            restored.map(|_| Answer::Done)
        }
        Action::Read { name } => {
            let path = path(group, name);
            match pace {
                Pace::Quick => read(cluster, &path).await.map(answer_with),
                Pace::Slow(which) => read_part(cluster, &path, which).await.map(answer_with),
            }
        }
        Action::ReadVersion { name, version, .. } => {
            let content = read_all(cluster, &path(group, name), Some(version)).await;
            content.map(answer_with)
        }
        Action::List => list(cluster, group).await,
    };
    let (answer, error) = match done {
        Ok(answer) => (answer, None),
        Err(error) => (answer_of(action, &error), Some(error)),
    };
    Told {
        answer,
        error,
        uploaded,
        trash,
    }
}

fn answer_with(content: Option<Value>) -> Answer {
    content.map_or(Answer::WrongBytes, Answer::Content)
}

async fn upload(
    cluster: &Cluster,
    path: &EntryPath,
    value: Value,
    pace: Pace,
) -> Result<Uploaded, Error> {
    let (bytes, options) = (value.bytes(), UploadOptions::default());
    match pace {
        Pace::Quick => cluster.upload(path, &bytes[..], options).await,
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
            cluster.upload(path, reader, options).await
        }
    }
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
        (Action::Move { .. } | Action::Restore { .. }, Error::AlreadyExists { .. }) => {
            Answer::AlreadyExists
        }
        // Only of these does the client library not know.
        (_, Error::TimedOut { .. } | Error::Unavailable { .. }) => Answer::Unknown,
        _ => Answer::Failed,
    }
}
