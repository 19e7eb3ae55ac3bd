//! Uploads that can be gone on with: what this process knows of each between two requests.
//!
//! The cluster keeps whole chunks, and what is left of a request's bytes beyond the last of them is held here until the next
//! one comes. If this process ends before, only that has to be sent again: a caller asks how far the upload is
//! and goes on there, with whichever process.
//!
//! **Invariant:** one request at a time goes on with an upload. A newer one stops the one before, which may hang on a connection
//! that is long dead, and waits until what that one read is stored.

mod piece;
mod sender;
mod slots;

use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::{Appended, Error, OpenUpload, Uploaded};
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use proto::id::{ChunkId, UploadId};
use proto::master::{ShareId, UploadFound, UploadPlan};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

use crate::AppState;
use crate::error::{Kind, Problem};
use crate::room;
use piece::{End, Piece};
pub(crate) use sender::{Body, Sender, note, read_note};
use slots::Held;
pub(crate) use slots::Resumables;

/// How many uploads of a link are ended at once when it ends.
const ENDED_AT_ONCE: usize = 16;

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

/// Opens an upload. Gives with it how far it is, which nobody needs to be asked.
pub(crate) async fn begin(
    state: &AppState,
    sender: &dyn Sender,
    plan: UploadPlan,
) -> Result<(UploadId, Progress), Problem> {
    let share = sender.share();
    state.resumables(share).check_room(share)?;
    let (upload, kept) = state.drive.begin_upload(&plan).await?;
    let slot = match state.resumables(share).enter((share, upload)) {
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
    let held = Held {
        open,
        rest: Bytes::new(),
        expires: Instant::now() + kept,
    };
    let progress = held.progress();
    *slot.held().await? = Some(held);
    Ok((upload, progress))
}

/// How far an upload is, when all that came is stored: whoever sends for it stops.
pub(crate) async fn find(
    state: &AppState,
    sender: &dyn Sender,
    upload: UploadId,
) -> Result<Progress, Problem> {
    let (resumables, key) = slot_of(state, sender, upload);
    let (slot, _) = resumables.enter(key)?;
    let mut held = slot.held().await?;
    let found = look_up(state, sender, upload, &mut held).await;
    if held.is_none() {
        drop(held);
        resumables.leave(key, &slot);
    }
    found
}

/// How far an upload is: of what is being sent only what is recorded.
pub(crate) async fn watch(
    state: &AppState,
    sender: &dyn Sender,
    upload: UploadId,
) -> Result<Progress, Problem> {
    let (resumables, key) = slot_of(state, sender, upload);
    if let Some(slot) = resumables.peek(key)
        && let Some(mut held) = slot.held_now()
    {
        return look_up(state, sender, upload, &mut held).await;
    }
    look_up(state, sender, upload, &mut None).await
}

/// Gives an upload up. One that was committed is a file, and stays.
pub(crate) async fn end(
    state: &AppState,
    sender: &dyn Sender,
    upload: UploadId,
) -> Result<(), Problem> {
    let (resumables, key) = slot_of(state, sender, upload);
    let (slot, _) = resumables.enter(key)?;
    let mut held = slot.held().await?;
    let found = look_up(state, sender, upload, &mut held).await;
    *held = None;
    drop(held);
    resumables.leave(key, &slot);
    if let Progress::Committed(uploaded) = found? {
        let version = uploaded.version;
        let detail =
            format!("the upload was committed: it is version {version} of its file, and stays");
        return Err(Problem::new(Kind::AlreadyExists, detail));
    }
    Ok(state.drive.end_upload(upload).await?)
}

/// Gives up the uploads by a link that has ended, as far as this process knows them: whoever sends for one of them stops.
pub(crate) async fn end_all(state: &AppState, share: ShareId) {
    let uploads = stream::iter(state.receivers.unfinished.take(share));
    let ended = uploads.for_each_concurrent(ENDED_AT_ONCE, async |upload| {
        let ended = state.drive.end_upload(upload).await;
        // Behind that: nobody who comes in between finds it open.
        state.resumables(Some(share)).stop((Some(share), upload));
        match ended {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => {
                let problem = Problem::from(error);
                tracing::warn!(share = share.0, %upload, "an upload by a link that has ended is kept until its lease ends: {}", problem.detail);
            }
        }
    });
    ended.await;
}

/// Stores what `body` gives behind the first `offset` bytes, also if it breaks off; whether it did is an error then.
/// Commits the file if that was its end. `len` is how much will come, if that is known.
pub(crate) async fn append(
    state: &AppState,
    sender: &dyn Sender,
    upload: UploadId,
    offset: u64,
    len: Option<u64>,
    body: Body,
) -> Result<Progress, Problem> {
    let (resumables, key) = slot_of(state, sender, upload);
    let (slot, stop) = resumables.enter(key)?;
    let mut held = slot.held().await?;
    let request = Request {
        state,
        sender,
        upload,
        offset,
    };
    let appended = request.append_to(&mut held, len, stop, body).await;
    slot.touch();
    if held.is_none() {
        drop(held);
        resumables.leave(key, &slot);
    }
    appended
}

/// Adds the chunks with these ids behind the first `offset` bytes, up to the first that the cluster does not have, as
/// [`append`] adds bytes.
pub(crate) async fn append_stored(
    state: &AppState,
    sender: &dyn Sender,
    upload: UploadId,
    offset: u64,
    chunks: Vec<ChunkId>,
) -> Result<Progress, Problem> {
    let (resumables, key) = slot_of(state, sender, upload);
    let (slot, stop) = resumables.enter(key)?;
    let mut held = slot.held().await?;
    let request = Request {
        state,
        sender,
        upload,
        offset,
    };
    let appended = request.append_stored_to(&mut held, chunks, &stop).await;
    slot.touch();
    if held.is_none() {
        drop(held);
        resumables.leave(key, &slot);
    }
    appended
}

/// Where what is held of an upload is.
fn slot_of<'s>(
    state: &'s AppState,
    sender: &dyn Sender,
    upload: UploadId,
) -> (&'s Resumables, slots::Key) {
    let share = sender.share();
    (state.resumables(share), (share, upload))
}

/// A request that goes on with an upload behind so many bytes.
struct Request<'r> {
    state: &'r AppState,
    sender: &'r dyn Sender,
    upload: UploadId,
    offset: u64,
}

impl Request<'_> {
    async fn append_stored_to(
        &self,
        held: &mut Option<Held>,
        chunks: Vec<ChunkId>,
        stop: &CancellationToken,
    ) -> Result<Progress, Problem> {
        let offset = self.offset;
        if let Some(committed) = self.go_to(held).await? {
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
        let appended = self.state.drive.append_stored(open, chunks).await;
        match appended {
            Ok(appended) => Ok(take_note(held, appended, expires)),
            Err(error) => Err(self.after_failure(held, error).await),
        }
    }

    /// Sees that the upload is where this request goes on with it. If it was committed there, that is given.
    async fn go_to(&self, held: &mut Option<Held>) -> Result<Option<Progress>, Problem> {
        let offset = self.offset;
        if held.as_ref().is_some_and(|held| held.offset() == offset) {
            return Ok(None);
        }
        let found = look_up(self.state, self.sender, self.upload, held).await?;
        if found.offset() != offset {
            return Err(elsewhere(found.offset(), offset));
        }
        Ok(matches!(found, Progress::Committed(_)).then_some(found))
    }

    /// What to say of a failure: it may be that the upload was gone on with elsewhere meanwhile.
    async fn after_failure(&self, held: &mut Option<Held>, error: Error) -> Problem {
        let is_elsewhere = matches!(
            error,
            Error::NotFound { .. } | Error::InvalidArgument { .. }
        );
        match look_up(self.state, self.sender, self.upload, held).await {
            Ok(found) if is_elsewhere && found.offset() != self.offset => {
                elsewhere(found.offset(), self.offset)
            }
            _ => error.into(),
        }
    }

    async fn append_to(
        &self,
        held: &mut Option<Held>,
        len: Option<u64>,
        stop: CancellationToken,
        body: Body,
    ) -> Result<Progress, Problem> {
        let (state, offset) = (self.state, self.offset);
        if let Some(committed) = self.go_to(held).await? {
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
            turn = state.upload_turns(self.sender.share()) => turn?,
            () = stop.cancelled() => return End::Stopped.check().map(|()| before.progress()),
        };
        let (mut open, rest, expires) = (before.open.clone(), before.rest.clone(), before.expires);
        let may_end = len.is_none_or(|len| len == left);
        // With its first chunk the name is looked at, and with its last it is given.
        if may_end || open.chunks == 0 {
            open.plan.path = self.sender.goal(state, &open.plan).await?;
        }
        let end = Arc::new(Mutex::new(End::Clean));
        let piece = Piece::new(self.sender.watched(state, left, body), stop, &end);
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
            Err(error) => Err(self.after_failure(held, error).await),
        }
    }
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

/// Whether an upload was begun by whoever sends now.
fn is_from(sender: &dyn Sender, plan: &UploadPlan) -> bool {
    read_note(&plan.note).is_some_and(|(share, _)| share == sender.share())
}

/// What the cluster says of an upload, and with it what is held here beyond, if that is still where it goes on.
async fn look_up(
    state: &AppState,
    sender: &dyn Sender,
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
        Ok(UploadFound::Open { plan, .. }) if !is_from(sender, &plan) => Err(no_upload(&upload)),
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

/// The upload is not open, or somebody else's.
pub(crate) fn no_upload(upload: &dyn Display) -> Problem {
    Problem::new(Kind::NotFound, format!("there is no upload {upload}"))
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
