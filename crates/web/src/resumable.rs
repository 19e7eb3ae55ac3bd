//! Uploads that can be gone on with: what this process knows of each between two requests.
//!
//! The cluster keeps whole chunks, and what is left of a request's bytes beyond the last of them is held here until the next
//! one comes. If this process ends before, only that has to be sent again: a caller asks how far the upload is
//! and goes on there, with whichever process.
//!
//! **Invariant:** one request at a time goes on with an upload. A newer one stops the one before, which may hang on a connection
//! that is long dead, and waits until what that one read is stored.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use client::{Appended, OpenUpload, Uploaded};
use futures::Stream;
use parking_lot::Mutex;
use proto::id::UploadId;
use proto::master::{UploadFound, UploadPlan};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use tokio_util::io::StreamReader;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::AppState;
use crate::error::{Kind, Problem};

/// Uploads of which something is held; each may hold up to a chunk.
const HELD_MAX: usize = 256;
/// What has rested for so long makes room for others: its caller finds the upload at its last chunk's end.
const REST_MIN: Duration = Duration::from_secs(60);

/// The uploads that this process knows.
#[derive(Debug, Default)]
pub(crate) struct Resumables {
    slots: Mutex<HashMap<UploadId, Arc<Slot>>>,
}

#[derive(Debug)]
struct Slot {
    held: tokio::sync::Mutex<Option<Held>>,
    /// Stops whoever reads for it.
    stop: Mutex<CancellationToken>,
    used: Mutex<Instant>,
}

/// An upload between two requests.
#[derive(Debug)]
struct Held {
    open: OpenUpload,
    /// Bytes beyond the last whole chunk.
    rest: Bytes,
    /// How long it is kept, by what the cluster said last.
    expires: Instant,
}

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

impl Resumables {
    /// The upload's slot, for a request that comes now: whoever reads for it stops.
    fn enter(&self, upload: UploadId) -> Result<(Arc<Slot>, CancellationToken), Problem> {
        let mut slots = self.slots.lock();
        if slots.len() >= HELD_MAX && !slots.contains_key(&upload) {
            slots.retain(|_, slot| !slot.has_rested());
            if slots.len() >= HELD_MAX {
                let detail = "too many uploads go on already; try again soon";
                return Err(Problem::new(Kind::Busy, detail));
            }
        }
        let slot = slots.entry(upload).or_insert_with(Slot::new);
        *slot.used.lock() = Instant::now();
        let stop = CancellationToken::new();
        std::mem::replace(&mut *slot.stop.lock(), stop.clone()).cancel();
        Ok((slot.clone(), stop))
    }

    fn leave(&self, upload: UploadId) {
        self.slots.lock().remove(&upload);
    }
}

impl Slot {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            held: tokio::sync::Mutex::default(),
            stop: Mutex::default(),
            used: Mutex::new(Instant::now()),
        })
    }

    fn has_rested(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1 && self.used.lock().elapsed() >= REST_MIN
    }
}

impl Held {
    fn offset(&self) -> u64 {
        self.open.bytes + self.rest.len() as u64
    }

    fn progress(&self) -> Progress {
        Progress::Open {
            plan: self.open.plan.clone(),
            offset: self.offset(),
            kept: self.expires.saturating_duration_since(Instant::now()),
        }
    }
}

/// Opens an upload.
pub(crate) async fn begin(state: &AppState, plan: UploadPlan) -> Result<UploadId, Problem> {
    let (upload, kept) = state.drive.begin_upload(&plan).await?;
    let (slot, _) = state.resumables.enter(upload)?;
    let open = OpenUpload {
        upload,
        plan,
        chunks: 0,
        bytes: 0,
    };
    *slot.held.lock().await = Some(Held {
        open,
        rest: Bytes::new(),
        expires: Instant::now() + kept,
    });
    Ok(upload)
}

/// How far an upload is, when all that came is stored.
pub(crate) async fn find(state: &AppState, upload: UploadId) -> Result<Progress, Problem> {
    let (slot, _) = state.resumables.enter(upload)?;
    let mut held = slot.held.lock().await;
    let found = look_up(state, upload, &mut held).await;
    if !matches!(found, Ok(Progress::Open { .. })) {
        state.resumables.leave(upload);
    }
    found
}

/// Gives an upload up.
pub(crate) async fn end(state: &AppState, upload: UploadId) -> Result<(), Problem> {
    let (slot, _) = state.resumables.enter(upload)?;
    let mut held = slot.held.lock().await;
    *held = None;
    state.drive.end_upload(upload).await?;
    state.resumables.leave(upload);
    Ok(())
}

/// Stores what `body` gives behind the first `offset` bytes, also if it breaks off; whether it did is an error then.
/// Commits the file if that was its end.
pub(crate) async fn append<S>(
    state: &AppState,
    upload: UploadId,
    offset: u64,
    body: S,
) -> Result<Progress, Problem>
where
    S: Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
{
    let (slot, stop) = state.resumables.enter(upload)?;
    let mut held = slot.held.lock().await;
    let found = look_up(state, upload, &mut held).await?;
    let at = found.offset();
    if at != offset {
        return Err(elsewhere(at, offset));
    }
    let Some(Held {
        open,
        rest,
        expires,
    }) = held.take()
    else {
        return Ok(found);
    };
    let turn = match state.uploads.turn(1).await {
        Ok(turn) => turn,
        Err(problem) => {
            *held = Some(Held {
                open,
                rest,
                expires,
            });
            return Err(problem);
        }
    };
    let end = Arc::new(Mutex::new(End::Clean));
    let piece = Piece {
        body,
        stopped: Box::pin(stop.cancelled_owned()),
        end: end.clone(),
    };
    let reader = io::Cursor::new(rest).chain(StreamReader::new(piece));
    let appended = state.drive.append(open, Box::new(reader)).await;
    drop(turn);
    *slot.used.lock() = Instant::now();
    match appended? {
        Appended::Committed(uploaded) => {
            state.resumables.leave(upload);
            Ok(Progress::Committed(uploaded))
        }
        Appended::Open { open, rest } => {
            let now_held = held.insert(Held {
                open,
                rest,
                expires,
            });
            let end = std::mem::replace(&mut *end.lock(), End::Clean);
            end.check().map(|()| now_held.progress())
        }
    }
}

/// What is held of an upload, or else what the cluster says of it.
async fn look_up(
    state: &AppState,
    upload: UploadId,
    held: &mut Option<Held>,
) -> Result<Progress, Problem> {
    if let Some(held) = held {
        return Ok(held.progress());
    }
    match state.drive.find_upload(upload).await? {
        UploadFound::Committed { size, committed } => Ok(Progress::Committed(Uploaded {
            version: committed.version,
            size,
            created: committed.created,
            copies: committed.copies,
            copies_wanted: committed.copies_wanted,
        })),
        UploadFound::Open {
            plan,
            chunks,
            bytes,
            kept_ms,
            ..
        } => {
            let open = OpenUpload {
                upload,
                plan,
                chunks,
                bytes,
            };
            let expires = Instant::now() + Duration::from_millis(kept_ms);
            let rest = Bytes::new();
            Ok(held
                .insert(Held {
                    open,
                    rest,
                    expires,
                })
                .progress())
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

/// How a request's body ended.
#[derive(Debug)]
enum End {
    Clean,
    /// Another request came.
    Stopped,
    Broken(io::Error),
}

impl End {
    fn check(self) -> Result<(), Problem> {
        match self {
            Self::Clean => Ok(()),
            Self::Stopped => Err(Problem::new(
                Kind::UploadInterrupted,
                "another request goes on with this upload; what came with this one is stored",
            )),
            Self::Broken(error) => Err(client::Error::Read(error).into()),
        }
    }
}

/// A body that ends early rather than to fail: what came of it counts.
#[derive(Debug)]
struct Piece<S> {
    body: S,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    end: Arc<Mutex<End>>,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Stream for Piece<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.stopped.as_mut().poll(context).is_ready() {
            *self.end.lock() = End::Stopped;
            return Poll::Ready(None);
        }
        match ready!(Pin::new(&mut self.body).poll_next(context)) {
            Some(Err(error)) => {
                *self.end.lock() = End::Broken(error);
                Poll::Ready(None)
            }
            other => Poll::Ready(other),
        }
    }
}
