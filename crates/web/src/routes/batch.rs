//! `POST /api/v1/files`: many small files in one request.
//!
//! A browser needs about ten times as long for a request as for the bytes of a small file. So the page sends what it has many of in
//! forms: of each file, a field `file` that says in JSON where it goes, and a field `content`. Each is stored by itself, or not, and
//! the answer says so of each. One that was given an id can be cancelled by it (`cancelling.rs`), until it gets its name. Whoever
//! hashes a file can name its chunks instead of sending its content: it is stored if the cluster has them, or refused with a code of
//! its own, so that asking and storing are one request. It is never so through share links: it would tell strangers what is stored.
//!
//! **Invariant:** when the connection of a form breaks, those of its files that are getting their names go on, and no others: whether the
//! form ends early for it, or nobody waits for the answer any more.
//!
//! **Invariant:** memory is bounded whatever comes: a form has [`FORM_LEN_MAX`] bytes at most, and so many forms are read at once as
//! there are turns.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use client::UploadOptions;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use multer::{Constraints, Field, Multipart, SizeLimit};
use proto::id::ChunkId;
use proto::name::EntryPath;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::files::{FileStored, check_before};
use crate::Shared;
use crate::error::{Kind, Problem, ProblemBody};
use crate::extract::boundary_of;
use crate::pace::PacedBody;
use crate::tickets::{Claim, Fate, Ticket, cancelled};

/// Files in a form.
const FILES_MAX: usize = 256;
/// The longest file; longer ones are sent alone.
pub(crate) const CONTENT_LEN_MAX: u64 = 1 << 20;
/// What is said of a file: the longest path, every byte escaped, and the names of the most chunks of such a file have room.
const SAID_LEN_MAX: u64 = 48 << 10;
/// The whole form: the parser takes from the connection whatever is there.
const FORM_LEN_MAX: u64 = 5 << 20;
/// Of all uploads that may go on, a form counts as so many.
const FORM_WEIGHT: u64 = 2;
/// Files of a form that are stored at the same time.
const STORED_AT_ONCE: usize = 16;

/// What is said of a file before its content.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSaid {
    path: String,
    /// By which it can be cancelled.
    id: Option<Uuid>,
    /// When the content was last changed, in milliseconds since 1970.
    modified_ms: Option<u64>,
    /// As the headers of the same names.
    if_match: Option<String>,
    if_none_match: Option<String>,
    /// In place of the content.
    by_name: Option<Named>,
}

/// A content by the names of its chunks, in their order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    size: u64,
    chunks: Vec<ChunkId>,
}

/// The answer: of each file, in the order in which they came.
#[derive(Debug, Serialize)]
pub(crate) struct Batch {
    files: Vec<Outcome>,
}

/// What became of a file: just one of the two is there.
#[derive(Debug, Serialize)]
struct Outcome {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<FileStored>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemBody>,
}

impl From<Result<FileStored, Problem>> for Outcome {
    fn from(result: Result<FileStored, Problem>) -> Self {
        match result {
            Ok(stored) => Self {
                status: stored.status().as_u16(),
                stored: Some(stored),
                problem: None,
            },
            Err(problem) => Self {
                status: problem.kind.status().as_u16(),
                stored: None,
                problem: Some(problem.into_body()),
            },
        }
    }
}

/// `POST /api/v1/files`
pub(crate) async fn post(
    State(state): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Batch>, Problem> {
    let boundary = boundary_of(&headers)?;
    let _turn = state.transfers.uploads.turn(FORM_WEIGHT).await?;
    let body = PacedBody::new(body.into_data_stream(), state.patience);
    let limits = SizeLimit::new()
        .whole_stream(FORM_LEN_MAX)
        .per_field(CONTENT_LEN_MAX)
        .for_field("file", SAID_LEN_MAX);
    let limits = Constraints::new().size_limit(limits);
    let form = Multipart::with_constraints(body, boundary, limits);
    let mut storing = Storing::new(&state);
    let read = store_all(form, &mut storing).await;
    if let Err(problem) = &read
        && [Kind::UploadInterrupted, Kind::TooSlow].contains(&problem.kind)
    {
        // A connection that broke stops nobody who reads from it.
        storing.withdraw();
    }
    // What was begun is ended before anything is answered, whatever came after it.
    let batch = storing.end().await;
    read.map(|()| Json(batch))
}

async fn store_all(mut form: Multipart<'_>, storing: &mut Storing<'_>) -> Result<(), Problem> {
    let mut next = next_field(&mut form).await?;
    while let Some(field) = next {
        if storing.count == FILES_MAX {
            let detail = format!("more than {FILES_MAX} files: send them in several forms");
            return Err(Problem::new(Kind::RequestTooLarge, detail));
        }
        let said = said(&bytes_of(field, "file").await?);
        // No file waits for what comes behind it.
        if said.as_ref().is_ok_and(|said| said.by_name.is_some()) {
            storing.add(said, Bytes::new()).await;
            next = next_field(&mut form).await?;
            continue;
        }
        next = next_field(&mut form).await?;
        let comes = next.as_ref().and_then(Field::name) == Some("content");
        if said.is_err() && !comes {
            // It may have been named.
            storing.add(said, Bytes::new()).await;
            continue;
        }
        let field = next.ok_or_else(|| unfit("the content of the last file is missing"))?;
        let content = bytes_of(field, "content").await?;
        storing.add(said, content).await;
        next = next_field(&mut form).await?;
    }
    Ok(())
}

async fn next_field<'r>(form: &mut Multipart<'r>) -> Result<Option<Field<'r>>, Problem> {
    form.next_field().await.map_err(|error| broken(&error))
}

/// The files of a form that are being stored, and what became of the others. Dropped, it withdraws them.
struct Storing<'a> {
    state: &'a Shared,
    count: usize,
    /// Each with its place in the form.
    tasks: FuturesUnordered<JoinHandle<(usize, Outcome)>>,
    tickets: Vec<Arc<Ticket>>,
    ended: Vec<(usize, Outcome)>,
}

impl<'a> Storing<'a> {
    fn new(state: &'a Shared) -> Self {
        Self {
            state,
            count: 0,
            tasks: FuturesUnordered::new(),
            tickets: Vec::new(),
            ended: Vec::new(),
        }
    }

    async fn add(&mut self, said: Result<FileSaid, Problem>, content: Bytes) {
        while self.tasks.len() >= STORED_AT_ONCE {
            self.wait().await;
        }
        let place = self.count;
        self.count += 1;
        let claimed = said.and_then(|said| Ok((self.state.tickets.claim(said.id)?, said)));
        match claimed {
            Ok((claim, said)) => {
                self.tickets.push(claim.ticket());
                let state = Shared::clone(self.state);
                // It goes on to its end even if the connection breaks, and with it the request that waits for the answer.
                let storing =
                    async move { (place, store(&state, claim, said, content).await.into()) };
                self.tasks.push(self.state.appends.spawn(storing));
            }
            Err(problem) => self.ended.push((place, Err(problem).into())),
        }
    }

    async fn wait(&mut self) {
        if let Some(ended) = self.tasks.next().await {
            self.ended
                .push(ended.expect("storing neither panics nor is stopped"));
        }
    }

    /// Those that have no names yet are not wanted any more.
    fn withdraw(&self) {
        for ticket in &self.tickets {
            ticket.withdraw();
        }
    }

    async fn end(mut self) -> Batch {
        while !self.tasks.is_empty() {
            self.wait().await;
        }
        let mut ended = std::mem::take(&mut self.ended);
        ended.sort_unstable_by_key(|(place, _)| *place);
        let files = ended.into_iter().map(|(_, outcome)| outcome);
        Batch {
            files: files.collect(),
        }
    }
}

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// Stores a file, unless it is withdrawn before it gets its name.
async fn store(
    state: &Shared,
    claim: Claim,
    said: FileSaid,
    content: Bytes,
) -> Result<FileStored, Problem> {
    let ticket = claim.ticket();
    let stored = tokio::select! {
        biased;
        () = ticket.withdrawn() => return Err(cancelled()),
        stored = store_wanted(state, &ticket, said, content) => stored,
    };
    claim.end(match &stored {
        Ok(stored) => stored.fate(),
        Err(problem) if ticket.is_being_committed() && problem.is_open() => Fate::Unsure,
        Err(_) => Fate::NotStored,
    });
    stored
}

async fn store_wanted(
    state: &Shared,
    ticket: &Arc<Ticket>,
    said: FileSaid,
    content: Bytes,
) -> Result<FileStored, Problem> {
    let _turn = state.transfers.batched.turn(1).await?;
    let path: EntryPath = said.path.parse()?;
    let mut conditions = HeaderMap::new();
    for (name, value) in [
        (header::IF_MATCH, said.if_match),
        (header::IF_NONE_MATCH, said.if_none_match),
    ] {
        if let Some(value) = value {
            conditions.insert(&name, condition(&name, &value)?);
        }
    }
    let sent = content.len() as u64;
    let size = said.by_name.as_ref().map_or(sent, |named| named.size);
    if size > CONTENT_LEN_MAX {
        let detail = format!(
            "a file of {size} bytes was named, and a form takes {CONTENT_LEN_MAX} of each: name its chunks in an upload of its own"
        );
        return Err(Problem::new(Kind::RequestTooLarge, detail));
    }
    let size_hint = Some(size);
    let ticket = Arc::clone(ticket);
    let options = UploadOptions {
        modified_ms: said.modified_ms,
        precondition: check_before(state, &path, &conditions, size_hint).await?,
        size_hint,
        still_wanted: Some(Arc::new(move || ticket.begin_commit())),
        ..UploadOptions::default()
    };
    let uploaded = if let Some(Named { chunks, .. }) = said.by_name {
        let stored = state.drive.upload_stored(&path, (size, &chunks), options);
        stored.await?.ok_or_else(|| not_here(&path))?
    } else {
        let reader = Box::new(std::io::Cursor::new(content));
        state.drive.upload(&path, reader, options).await?
    };
    Ok(FileStored::new(path, uploaded))
}

fn not_here(path: &EntryPath) -> Problem {
    let detail = format!(
        "not all that {path} is to have in it is here, in chunks of the cluster's size: send its content"
    );
    Problem::new(Kind::ContentNotHere, detail)
}

fn condition(name: &HeaderName, value: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(value).map_err(|_| {
        let field = name.as_str().replace('-', "_");
        unfit(&format!(
            "`{field}` must be as the header is, for example `*`"
        ))
    })
}

/// The field's bytes, if it is the one that comes now.
async fn bytes_of(field: Field<'_>, name: &str) -> Result<Bytes, Problem> {
    if field.name() != Some(name) {
        let is = field.name().unwrap_or_default().escape_debug().to_string();
        return Err(unfit(&format!("`{name}` is due, and `{is:.100}` came")));
    }
    field.bytes().await.map_err(|error| broken(&error))
}

fn said(json: &[u8]) -> Result<FileSaid, Problem> {
    serde_json::from_slice(json).map_err(|error| {
        let fault = proto::json::fault(&error);
        unfit(&format!("what is said of a file does not fit: {fault}"))
    })
}

fn unfit(fault: &str) -> Problem {
    let detail = format!(
        "{fault}; each file is a field `file` with JSON, then a field `content`, unless it is `by_name`"
    );
    Problem::new(Kind::BadRequest, detail)
}

fn broken(error: &multer::Error) -> Problem {
    match error {
        multer::Error::FieldSizeExceeded { limit, field_name } => {
            let field = field_name.as_deref().unwrap_or_default();
            let field = field.escape_debug().to_string();
            let detail = format!(
                "a field `{field:.100}` has more than {limit} bytes: send a file that is larger by itself"
            );
            Problem::new(Kind::RequestTooLarge, detail)
        }
        multer::Error::StreamSizeExceeded { limit } => {
            let detail = format!("the form has more than {limit} bytes: send several");
            Problem::new(Kind::RequestTooLarge, detail)
        }
        multer::Error::StreamReadFailed(source) => {
            let is_slow = source
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut);
            let kind = if is_slow {
                Kind::TooSlow
            } else {
                Kind::UploadInterrupted
            };
            Problem::new(
                kind,
                format!("the form did not come through whole: {source}"),
            )
        }
        multer::Error::IncompleteStream | multer::Error::IncompleteFieldData { .. } => {
            let detail = "the form ended early: send it again";
            Problem::new(Kind::UploadInterrupted, detail)
        }
        error => unfit(&format!("the form cannot be read: {error}")),
    }
}
