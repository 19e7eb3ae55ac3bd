//! What is held of each upload between two requests, and which request goes on with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::OpenUpload;
use parking_lot::Mutex;
use proto::id::UploadId;
use proto::master::ShareId;
use tokio::sync::MutexGuard;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Progress;
use crate::error::{Kind, Problem};

/// Uploads of the owner of which something is held; each may hold up to a chunk.
const HELD_MAX: usize = 256;
/// The same of all who add files by links, and of those who do by one.
const HELD_BY_LINKS_MAX: usize = 64;
const HELD_BY_LINK_MAX: usize = HELD_BY_LINKS_MAX / 2;
/// What has rested for so long is let go: its caller finds the upload at its last chunk's end.
const REST_MIN: Duration = Duration::from_secs(60);
/// How long a request waits until the one before it has stored what it read.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// An upload, and by which link it comes.
pub(super) type Key = (Option<ShareId>, UploadId);

/// The uploads that this process knows: those of the owner, or those by links.
#[derive(Debug)]
pub(crate) struct Resumables {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    held_max: usize,
    /// Of those by one link.
    held_of_one_max: usize,
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
    /// For those of the owner.
    pub(crate) fn of_owner() -> Self {
        Self::new(HELD_MAX, HELD_MAX)
    }

    /// For those by links, which keep no room from the owner's.
    pub(crate) fn of_receivers() -> Self {
        Self::new(HELD_BY_LINKS_MAX, HELD_BY_LINK_MAX)
    }

    fn new(held_max: usize, held_of_one_max: usize) -> Self {
        Self {
            slots: Mutex::default(),
            held_max,
            held_of_one_max,
        }
    }

    /// The upload's slot, for a request that comes now: whoever reads for it stops.
    pub(super) fn enter(&self, key: Key) -> Result<(Arc<Slot>, CancellationToken), Problem> {
        let mut slots = self.slots.lock();
        slots.retain(|_, slot| !slot.has_rested());
        if !slots.contains_key(&key) {
            self.check(&slots, key.0)?;
        }
        let slot = slots.entry(key).or_insert_with(Slot::new);
        slot.touch();
        let stop = CancellationToken::new();
        std::mem::replace(&mut *slot.stop.lock(), stop.clone()).cancel();
        Ok((slot.clone(), stop))
    }

    /// The upload's slot, if there is one.
    pub(super) fn peek(&self, key: Key) -> Option<Arc<Slot>> {
        self.slots.lock().get(&key).cloned()
    }

    pub(super) fn check_room(&self, share: Option<ShareId>) -> Result<(), Problem> {
        let mut slots = self.slots.lock();
        slots.retain(|_, slot| !slot.has_rested());
        self.check(&slots, share)
    }

    fn check(
        &self,
        slots: &HashMap<Key, Arc<Slot>>,
        share: Option<ShareId>,
    ) -> Result<(), Problem> {
        let of_one = || slots.keys().filter(|(whose, _)| *whose == share).count();
        if slots.len() < self.held_max && of_one() < self.held_of_one_max {
            return Ok(());
        }
        let detail = "too many uploads go on already; try again soon";
        Err(Problem::new(Kind::Busy, detail))
    }

    /// Lets go what is held of an upload that is no more: whoever reads for it stops.
    pub(super) fn stop(&self, key: Key) {
        let slot = self.slots.lock().remove(&key);
        if let Some(slot) = slot {
            slot.stop.lock().cancel();
        }
    }

    /// Gives up a slot in which nothing is held, unless others wait for it.
    pub(super) fn leave(&self, key: Key, slot: &Arc<Slot>) {
        let mut slots = self.slots.lock();
        let is_same = slots
            .get(&key)
            .is_some_and(|other| Arc::ptr_eq(other, slot));
        if is_same && Arc::strong_count(slot) == 2 {
            slots.remove(&key);
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
