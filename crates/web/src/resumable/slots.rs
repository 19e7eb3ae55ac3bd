//! What is held of each upload between two requests, and which request goes on with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::OpenUpload;
use parking_lot::Mutex;
use proto::id::UploadId;
use tokio::sync::MutexGuard;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Progress;
use crate::error::{Kind, Problem};

/// Uploads of which something is held; each may hold up to a chunk.
const HELD_MAX: usize = 256;
/// What has rested for so long is let go: its caller finds the upload at its last chunk's end.
const REST_MIN: Duration = Duration::from_secs(60);
/// How long a request waits until the one before it has stored what it read.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The uploads that this process knows.
#[derive(Debug, Default)]
pub(crate) struct Resumables {
    slots: Mutex<HashMap<UploadId, Arc<Slot>>>,
}

#[derive(Debug)]
pub(super) struct Slot {
    held: tokio::sync::Mutex<Option<Held>>,
    /// Stops whoever reads for it.
    stop: Mutex<CancellationToken>,
    used: Mutex<Instant>,
}

/// An upload between two requests.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) open: OpenUpload,
    /// Bytes beyond the last whole chunk.
    pub(super) rest: Bytes,
    /// How long it is kept, by what the cluster said last.
    pub(super) expires: Instant,
}

impl Resumables {
    /// The upload's slot, for a request that comes now: whoever reads for it stops.
    pub(super) fn enter(
        &self,
        upload: UploadId,
    ) -> Result<(Arc<Slot>, CancellationToken), Problem> {
        let mut slots = self.slots.lock();
        slots.retain(|_, slot| !slot.has_rested());
        if slots.len() >= HELD_MAX && !slots.contains_key(&upload) {
            return Err(too_many());
        }
        let slot = slots.entry(upload).or_insert_with(Slot::new);
        slot.touch();
        let stop = CancellationToken::new();
        std::mem::replace(&mut *slot.stop.lock(), stop.clone()).cancel();
        Ok((slot.clone(), stop))
    }

    /// The upload's slot, if there is one.
    pub(super) fn peek(&self, upload: UploadId) -> Option<Arc<Slot>> {
        self.slots.lock().get(&upload).cloned()
    }

    pub(super) fn check_room(&self) -> Result<(), Problem> {
        let mut slots = self.slots.lock();
        slots.retain(|_, slot| !slot.has_rested());
        if slots.len() < HELD_MAX {
            return Ok(());
        }
        Err(too_many())
    }

    /// Gives up a slot in which nothing is held, unless others wait for it.
    pub(super) fn leave(&self, upload: UploadId, slot: &Arc<Slot>) {
        let mut slots = self.slots.lock();
        let is_same = slots
            .get(&upload)
            .is_some_and(|other| Arc::ptr_eq(other, slot));
        if is_same && Arc::strong_count(slot) == 2 {
            slots.remove(&upload);
        }
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

    pub(super) fn touch(&self) {
        *self.used.lock() = Instant::now();
    }

    fn has_rested(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1 && self.used.lock().elapsed() >= REST_MIN
    }

    /// What is held now, unless somebody is at work.
    pub(super) fn held_now(&self) -> Option<MutexGuard<'_, Option<Held>>> {
        self.held.try_lock().ok()
    }

    /// Waits until whoever was at work has stored what it read.
    pub(super) async fn held(&self) -> Result<MutexGuard<'_, Option<Held>>, Problem> {
        let held = tokio::time::timeout(WAIT_MAX, self.held.lock()).await;
        held.map_err(|_| {
            let detail = "what came before is still being stored; try again in a moment";
            Problem::new(Kind::Locked, detail)
        })
    }
}

fn too_many() -> Problem {
    let detail = "too many uploads go on already; try again soon";
    Problem::new(Kind::Busy, detail)
}

impl Held {
    pub(super) fn offset(&self) -> u64 {
        self.open.bytes + self.rest.len() as u64
    }

    pub(super) fn progress(&self) -> Progress {
        Progress::Open {
            plan: self.open.plan.clone(),
            offset: self.offset(),
            kept: self.expires.saturating_duration_since(Instant::now()),
        }
    }
}
