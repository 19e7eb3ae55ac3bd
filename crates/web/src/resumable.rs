//! Uploads that can be gone on with: what this process knows of each between two requests.
//!
//! The cluster keeps whole chunks, and what is left of a request's bytes beyond the last of them is held here until the next
//! one comes. If this process ends before, only that has to be sent again: a caller asks how far the upload is
//! and goes on there, with whichever process.
//!
//! **Invariant:** one request at a time goes on with an upload. A newer one stops the one before, which may hang on a connection
//! that is long dead, and waits until what that one read is stored.

mod piece;
mod slots;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::{Appended, Error, OpenUpload, Uploaded};
use futures::Stream;
use parking_lot::Mutex;
use proto::id::{ChunkId, UploadId};
use proto::master::{UploadFound, UploadPlan};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

use crate::AppState;
use crate::error::{Kind, Problem};
use crate::room;
use piece::{End, Piece};
use slots::Held;
pub(crate) use slots::Resumables;

/// How far an upload is.
#[derive(Debug)]
pub(crate) enum Progress {
    /// It goes on.
    Open {
        /// What is to become of it.
        plan: UploadPlan,
        /// Bytes that are here.
        offset: u64,
        /// How long it is kept if nothing more comes.
        kept: Duration,
    },
    /// The file is there.
    Committed(Uploaded),
}

/// Opens an upload.
pub(crate) async fn begin(state: &AppState, plan: UploadPlan) -> Result<UploadId, Problem> {
    state.resumables.check_room()?;
    let (upload, kept) = state.drive.begin_upload(&plan).await?;
    let slot = match state.resumables.enter(upload) {
        Ok((slot, _)) => slot,
        Err(problem) => {
            // Nobody knows its address.
            state.drive.end_upload(upload).await?;
            return Err(problem);
        }
    };
    let open = OpenUpload {
        upload,
        plan,
        chunks: 0,
        bytes: 0,
    };
    *slot.held().await? = Some(Held {
        open,
        rest: Bytes::new(),
        expires: Instant::now() + kept,
    });
    Ok(upload)
}

/// How far an upload is, when all that came is stored: whoever sends for it stops.
pub(crate) async fn find(state: &AppState, upload: UploadId) -> Result<Progress, Problem> {
    let (slot, _) = state.resumables.enter(upload)?;
    let mut held = slot.held().await?;
    let found = look_up(state, upload, &mut held).await;
    if held.is_none() {
        drop(held);
        state.resumables.leave(upload, &slot);
    }
    found
}

/// How far an upload is: of what is being sent only what is recorded.
pub(crate) async fn watch(state: &AppState, upload: UploadId) -> Result<Progress, Problem> {
    if let Some(slot) = state.resumables.peek(upload)
        && let Some(mut held) = slot.held_now()
    {
        return look_up(state, upload, &mut held).await;
    }
    look_up(state, upload, &mut None).await
}

/// Gives an upload up. One that was committed is a file, and stays.
pub(crate) async fn end(state: &AppState, upload: UploadId) -> Result<(), Problem> {
    let (slot, _) = state.resumables.enter(upload)?;
    let mut held = slot.held().await?;
    let found = look_up(state, upload, &mut held).await;
    *held = None;
    drop(held);
    state.resumables.leave(upload, &slot);
    if let Progress::Committed(uploaded) = found? {
        let version = uploaded.version;
        let detail =
            format!("the upload was committed: it is version {version} of its file, and stays");
        return Err(Problem::new(Kind::AlreadyExists, detail));
    }
    Ok(state.drive.end_upload(upload).await?)
}

/// Stores what `body` gives behind the first `offset` bytes, also if it breaks off; whether it did is an error then.
/// Commits the file if that was its end. `len` is how much will come, if that is known.
pub(crate) async fn append<S>(
    state: &AppState,
    upload: UploadId,
    offset: u64,
    len: Option<u64>,
    body: S,
) -> Result<Progress, Problem>
where
    S: Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
{
    let (slot, stop) = state.resumables.enter(upload)?;
    let mut held = slot.held().await?;
    let appended = append_to(state, upload, &mut held, (offset, len), stop, body).await;
    slot.touch();
    if held.is_none() {
        drop(held);
        state.resumables.leave(upload, &slot);
    }
    appended
}

/// Adds the chunks with these ids behind the first `offset` bytes, up to the first that the cluster does not have, as
/// [`append`] adds bytes.
pub(crate) async fn append_stored(
    state: &AppState,
    upload: UploadId,
    offset: u64,
    chunks: Vec<ChunkId>,
) -> Result<Progress, Problem> {
    let (slot, stop) = state.resumables.enter(upload)?;
    let mut held = slot.held().await?;
    let appended = append_stored_to(state, upload, &mut held, (offset, chunks), &stop).await;
    slot.touch();
    if held.is_none() {
        drop(held);
        state.resumables.leave(upload, &slot);
    }
    appended
}

async fn append_stored_to(
    state: &AppState,
    upload: UploadId,
    held: &mut Option<Held>,
    (offset, chunks): (u64, Vec<ChunkId>),
    stop: &CancellationToken,
) -> Result<Progress, Problem> {
    if let Some(committed) = go_to(state, upload, held, offset).await? {
        return Ok(committed);
    }
    let Some(before) = held.as_ref() else {
        return Err(elsewhere(0, offset));
    };
    if !before.rest.is_empty() {
        return Err(within_chunk(before.open.bytes, offset));
    }
    // A newer request waits for this one.
    if stop.is_cancelled() {
        return End::Stopped.check().map(|()| before.progress());
    }
    let (open, expires) = (before.open.clone(), before.expires);
    let appended = state.drive.append_stored(open, chunks).await;
    match appended {
        Ok(appended) => Ok(take_note(held, appended, expires)),
        Err(error) => Err(after_failure(state, upload, held, offset, error).await),
    }
}

/// Sees that the upload is where a request goes on with it. If it was committed there, that is given.
async fn go_to(
    state: &AppState,
    upload: UploadId,
    held: &mut Option<Held>,
    offset: u64,
) -> Result<Option<Progress>, Problem> {
    if held.as_ref().is_some_and(|held| held.offset() == offset) {
        return Ok(None);
    }
    let found = look_up(state, upload, held).await?;
    if found.offset() != offset {
        return Err(elsewhere(found.offset(), offset));
    }
    Ok(matches!(found, Progress::Committed(_)).then_some(found))
}

/// What an upload became by what was appended.
fn take_note(held: &mut Option<Held>, appended: Appended, expires: Instant) -> Progress {
    match appended {
        Appended::Committed(uploaded) => {
            *held = None;
            Progress::Committed(uploaded)
        }
        Appended::Open { open, rest } => {
            let now_held = Held {
                open,
                rest,
                expires,
            };
            held.insert(now_held).progress()
        }
    }
}

/// What to say of a failure: it may be that the upload was gone on with elsewhere meanwhile.
async fn after_failure(
    state: &AppState,
    upload: UploadId,
    held: &mut Option<Held>,
    offset: u64,
    error: Error,
) -> Problem {
    let is_elsewhere = matches!(
        error,
        Error::NotFound { .. } | Error::InvalidArgument { .. }
    );
    match look_up(state, upload, held).await {
        Ok(found) if is_elsewhere && found.offset() != offset => elsewhere(found.offset(), offset),
        _ => error.into(),
    }
}

async fn append_to<S>(
    state: &AppState,
    upload: UploadId,
    held: &mut Option<Held>,
    (offset, len): (u64, Option<u64>),
    stop: CancellationToken,
    body: S,
) -> Result<Progress, Problem>
where
    S: Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
{
    if let Some(committed) = go_to(state, upload, held, offset).await? {
        return Ok(committed);
    }
    let Some(before) = held.as_ref() else {
        return Err(elsewhere(0, offset));
    };
    let left = before.open.plan.size - offset;
    if len.is_some_and(|len| len > left) {
        let detail = format!("the upload has {left} bytes to come, and more were sent");
        return Err(Problem::new(Kind::RequestTooLarge, detail));
    }
    // Of a file of which chunks are here already, others may be as well: each write is refused that does not fit.
    if before.offset() == 0 {
        room::check_left(state, left).await?;
    }
    let turn = tokio::select! {
        turn = state.transfers.uploads.turn(1) => turn?,
        () = stop.cancelled() => return End::Stopped.check().map(|()| before.progress()),
    };
    let (open, rest, expires) = (before.open.clone(), before.rest.clone(), before.expires);
    let end = Arc::new(Mutex::new(End::Clean));
    let piece = Piece::new(body, stop, &end);
    let reader = io::Cursor::new(rest).chain(StreamReader::new(piece));
    let appended = state.drive.append(open, Box::new(reader)).await;
    drop(turn);
    match appended {
        Ok(appended) => {
            let is_committed = matches!(appended, Appended::Committed(_));
            let progress = take_note(held, appended, expires);
            let end = std::mem::replace(&mut *end.lock(), End::Clean);
            // Whatever became of the connection behind the last byte.
            let checked = if is_committed { Ok(()) } else { end.check() };
            checked.map(|()| progress)
        }
        Err(error) => Err(after_failure(state, upload, held, offset, error).await),
    }
}

/// What the cluster says of an upload, and with it what is held here beyond, if that is still where it goes on.
async fn look_up(
    state: &AppState,
    upload: UploadId,
    held: &mut Option<Held>,
) -> Result<Progress, Problem> {
    let before = held.take();
    match state.drive.find_upload(upload).await {
        Ok(UploadFound::Committed { size, committed }) => Ok(Progress::Committed(Uploaded {
            version: committed.version,
            size,
            created: committed.created,
            copies: committed.copies,
            copies_wanted: committed.copies_wanted,
        })),
        Ok(UploadFound::Open {
            plan,
            chunks,
            bytes,
            kept_ms,
            ..
        }) => {
            let is_same = |before: &Held| before.open.chunks == chunks;
            let rest = before
                .filter(is_same)
                .map_or_else(Bytes::new, |before| before.rest);
            let open = OpenUpload {
                upload,
                plan,
                chunks,
                bytes,
            };
            let expires = Instant::now() + Duration::from_millis(kept_ms);
            Ok(held
                .insert(Held {
                    open,
                    rest,
                    expires,
                })
                .progress())
        }
        Err(error @ Error::NotFound { .. }) => Err(error.into()),
        // It may be as it was.
        Err(error) => {
            *held = before;
            Err(error.into())
        }
    }
}

impl Progress {
    /// Bytes that are here.
    pub(crate) fn offset(&self) -> u64 {
        match self {
            Self::Open { offset, .. } => *offset,
            Self::Committed(uploaded) => uploaded.size,
        }
    }

    /// Bytes of the whole file.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Open { plan, .. } => plan.size,
            Self::Committed(uploaded) => uploaded.size,
        }
    }
}

fn elsewhere(at: u64, offset: u64) -> Problem {
    let detail = format!(
        "the upload has {at} bytes and cannot go on at {offset}: ask where it is with HEAD, and go on there"
    );
    Problem::new(Kind::OffsetMismatch, detail)
}

fn within_chunk(whole: u64, offset: u64) -> Problem {
    let detail = format!(
        "{} bytes beyond the last whole chunk are here, which only bytes can go on with: go on with PATCH at {offset}",
        offset - whole
    );
    Problem::new(Kind::OffsetMismatch, detail)
}
