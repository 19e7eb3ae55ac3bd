//! `POST /s/{token}/files`: adds files to a folder that is shared for that.
//!
//! A form with files, as a browser sends it with a script or without: each file streams through, one after another. A name
//! that is taken gets a number, and nothing is replaced.
//!
//! **Invariant:** a file is added to the folder that is shared, wherever that is by then, and only while the link holds: both are
//! seen before each file and again after its last byte. The moment between that and the commit is left to the master, which makes
//! no folder that is gone.
//!
//! **Invariant:** those who send slowly by one link do not keep those of all others from sending.
//!
//! **Invariant:** memory is bounded whatever comes: the parser keeps all before a file's first byte, and so that is limited.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use client::{Error, ShareToken, UploadOptions};
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use multer::Multipart;
use proto::master::Precondition;
use proto::name::{EntryName, EntryPath, NAME_LEN_MAX};
use serde::Serialize;
use tokio_util::io::StreamReader;

use super::{Link, Visit, find, open, see};
use crate::drive::Drive;
use crate::error::{Kind, Problem};
use crate::extract::boundary_of;
use crate::pace::PacedBody;
use crate::pages::Page;
use crate::pages::receiver::Closed;
use crate::{AppState, Shared};

/// How often another name is tried.
const NAMES_TRIED_MAX: u32 = 100;
/// Bytes that may come between two files of a form.
const BETWEEN_LEN_MAX: usize = 1 << 20;

/// The answer to a script.
#[derive(Debug, Serialize)]
struct Added {
    /// The files, as they were called when they were sent: the names that they got would tell what is in the folder.
    names: Vec<EntryName>,
}

/// `POST /s/{token}/files`
pub(crate) async fn add(
    State(state): State<Shared>,
    link: Link,
    page: Page,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let visit = match open(&state, &link, &headers).await {
        Ok(visit) if visit.found.share.upload_only => visit,
        Ok(_) => return refused(Closed::Missing, &page, &headers),
        Err(closed) => return refused(closed, &page, &headers),
    };
    match take(&state, &visit, &headers, body).await {
        Ok(names) if wants_json(&headers) => {
            (StatusCode::CREATED, Json(Added { names })).into_response()
        }
        Ok(names) => see(&format!("{}?received={}", visit.address(), names.len())),
        Err(problem) if wants_json(&headers) => problem.into_response(),
        Err(problem) => Closed::NotAdded(problem).view(&page).answer(),
    }
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept.is_some_and(|accept| accept.as_bytes().starts_with(b"application/json"))
}

fn refused(closed: Closed, page: &Page, headers: &HeaderMap) -> Response {
    if wants_json(headers) {
        return closed.problem().into_response();
    }
    closed.view(page).answer()
}

async fn take(
    state: &AppState,
    visit: &Visit,
    headers: &HeaderMap,
    body: Body,
) -> Result<Vec<EntryName>, Problem> {
    let boundary = boundary_of(headers)?;
    let share = visit.found.share.share;
    let _turns = state.receivers.upload_turn(share).await?;
    let body = PacedBody::new(body.into_data_stream(), state.patience);
    let room = Room::default();
    let mut form = Multipart::new(Bounded::new(body, &room), boundary);
    let mut names = Vec::new();
    loop {
        room.set(BETWEEN_LEN_MAX);
        let field = form.next_field().await;
        room.set(usize::MAX);
        let Some(field) = field.map_err(|error| broken(&error))? else {
            return Ok(names);
        };
        let name = field.file_name().map(str::to_owned).unwrap_or_default();
        // What no file was chosen for, and other fields.
        if name.is_empty() {
            continue;
        }
        // A form writes a quote in a name so.
        let name = EntryName::new(name.replace("%22", "\""))?;
        let now = find(&*state.drive, visit.token.clone()).await;
        let now = now.map_err(Closed::problem)?;
        let end = seen_again(
            Arc::clone(&state.drive),
            visit.token.clone(),
            now.path.clone(),
        );
        let content = field.map_err(io::Error::other).chain(stream::once(end));
        let content = limited(content, state.request_file_max);
        let reader = Box::new(StreamReader::new(Box::pin(content)));
        store(state, &now.path, &name, reader).await?;
        names.push(name);
    }
}

/// The end of a file's bytes: none, if the link still leads to the same folder.
pub(super) async fn seen_again(
    drive: Arc<dyn Drive>,
    token: ShareToken,
    folder: EntryPath,
) -> io::Result<Bytes> {
    match find(&*drive, token).await {
        Ok(visit) if visit.path == folder => Ok(Bytes::new()),
        _ => Err(io::Error::other("the link no longer leads to this folder")),
    }
}

/// Bytes that end with an error where more come than a file may have.
fn limited<S: Stream<Item = io::Result<Bytes>>>(
    content: S,
    max: Option<u64>,
) -> impl Stream<Item = io::Result<Bytes>> {
    let mut left = max.unwrap_or(u64::MAX);
    content.map(move |bytes| {
        let bytes = bytes?;
        let rest = left.checked_sub(bytes.len() as u64);
        left = rest.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        Ok(bytes)
    })
}

/// How many bytes may come for now.
#[derive(Debug, Clone, Default)]
struct Room(Arc<AtomicUsize>);

impl Room {
    fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bytes that end with an error where there is no room for more.
#[derive(Debug)]
struct Bounded<S> {
    bytes: S,
    room: Room,
}

impl<S> Bounded<S> {
    fn new(bytes: S, room: &Room) -> Self {
        let room = room.clone();
        Self { bytes, room }
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Stream for Bounded<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let left = self.room.left();
        if left == 0 {
            let error = io::Error::other("too much came where no file is");
            return Poll::Ready(Some(Err(error)));
        }
        let next = Pin::new(&mut self.bytes).poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &next {
            self.room.set(left.saturating_sub(bytes.len()));
        }
        next
    }
}

async fn store(
    state: &AppState,
    folder: &EntryPath,
    name: &EntryName,
    reader: proto::net::ByteSource,
) -> Result<(), Problem> {
    let path = free_path(state, folder, name).await?;
    let options = UploadOptions {
        precondition: Precondition::Absent,
        parents: false,
        ..UploadOptions::default()
    };
    let stored = state.drive.upload(&path, reader, options).await;
    stored
        .map(drop)
        .map_err(|error| not_stored(name, Problem::from(error).kind))
}

/// Where the name, or the first one with a number that is free, is.
pub(super) async fn free_path(
    state: &AppState,
    folder: &EntryPath,
    name: &EntryName,
) -> Result<EntryPath, Problem> {
    for number in 1..NAMES_TRIED_MAX {
        let Ok(path) = folder.join(numbered(name, number)?) else {
            break;
        };
        match state.drive.entry(&path).await {
            Err(Error::NotFound { .. }) => return Ok(path),
            Err(error) => return Err(not_stored(name, Problem::from(error).kind)),
            Ok(_) => {}
        }
    }
    let detail = format!("{name} was sent too often: give the file another name");
    Err(Problem::new(Kind::AlreadyExists, detail))
}

/// `name (2).txt` of `name.txt`; as long as a name can be.
fn numbered(name: &EntryName, number: u32) -> Result<EntryName, Problem> {
    if number == 1 {
        return Ok(name.clone());
    }
    let text = name.as_str();
    let dot = text.rfind('.').filter(|dot| *dot > 0);
    let (stem, ending) = text.split_at(dot.unwrap_or(text.len()));
    let (stem, ending) = if ending.len() > NAME_LEN_MAX / 2 {
        (text, "")
    } else {
        (stem, ending)
    };
    let mark = format!(" ({number})");
    let room = NAME_LEN_MAX - mark.len() - ending.len();
    let mut end = room.min(stem.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    Ok(EntryName::new(format!("{}{mark}{ending}", &stem[..end]))?)
}

/// Refuses a file that is larger than those that are taken by links.
pub(super) fn check_file_size(
    state: &AppState,
    name: &EntryName,
    size: u64,
) -> Result<(), Problem> {
    if state.request_file_max.is_none_or(|max| size <= max) {
        return Ok(());
    }
    Err(not_stored(name, Kind::TooLarge))
}

/// Without what the cluster says, which has whole paths in it.
fn not_stored(name: &EntryName, kind: Kind) -> Problem {
    Problem::new(
        kind,
        format!("{name} was not stored, since {}", reason(kind)),
    )
}

/// Why a file is not stored, as those may know who send it.
pub(super) const fn reason(kind: Kind) -> &'static str {
    match kind {
        Kind::TooSlow | Kind::UploadInterrupted => "it did not come through whole: send it again",
        Kind::TooLarge => "it is larger than what is kept here",
        Kind::NoSpace => "there is no space left: tell whoever gave you the link",
        Kind::PreconditionFailed | Kind::AlreadyExists => {
            "another one of this name came at the same time: send it again"
        }
        Kind::InvalidArgument => "its name cannot be kept here: give it another one",
        Kind::NotFound | Kind::NotAFolder => "the folder is no longer there",
        _ => "the storage cannot take it right now: send it again in a while",
    }
}

fn broken(error: &multer::Error) -> Problem {
    tracing::debug!(%error, "a form with files broke off");
    Problem::new(
        Kind::UploadInterrupted,
        "the files did not come through whole: send them again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_goes_before_the_ending() {
        let check = |name: &str, expected: &str| {
            let name = EntryName::new(name).unwrap();
            assert_eq!(numbered(&name, 2).unwrap().as_str(), expected);
        };
        check("a.txt", "a (2).txt");
        check("a", "a (2)");
        check(".profile", ".profile (2)");
        check("a.tar.gz", "a.tar (2).gz");
        let long = "ä".repeat(127);
        check(&long, &format!("{} (2)", "ä".repeat(125)));
        check(
            &format!("{}.txt", "a".repeat(251)),
            &format!("{} (2).txt", "a".repeat(247)),
        );
        let ending = format!("a.{}", "b".repeat(253));
        check(&ending, &format!("a.{} (2)", "b".repeat(249)));
    }
}
