//! An upload's session at the master: its lease, and its end.
//!
//! **Invariant:** a session that was opened and not committed is abandoned, also when the upload is dropped in the
//! middle; should that not reach the master, the lease runs out. One that others may go on with is left to them.

use std::sync::Arc;
use std::time::Duration;

use proto::id::UploadId;
use proto::master::AbandonUpload;
use tokio::time::Instant;

use crate::Shared;

/// The lease is renewed when this part of it is over.
const RENEW_AFTER: u32 = 3;
/// And tried again that soon if the master did not answer.
const RENEW_AGAIN: Duration = Duration::from_secs(10);
/// Until the master has said how long a lease is.
const LEASE_UNKNOWN: Duration = Duration::from_secs(3600);

/// Abandons the upload when dropped, unless it was committed or is somebody else's too.
#[derive(Debug)]
pub(super) struct Session {
    shared: Arc<Shared>,
    id: UploadId,
    opened: bool,
    is_kept: bool,
    lease: Duration,
    renew_at: Instant,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            id: UploadId::new(shared.new_uuid()),
            shared,
            opened: false,
            is_kept: false,
            lease: LEASE_UNKNOWN,
            renew_at: Instant::now() + LEASE_UNKNOWN,
        }
    }

    /// Of an upload that goes on, and may go on after this.
    pub(super) fn kept(shared: Arc<Shared>, id: UploadId) -> Self {
        let mut session = Self::new(shared);
        session.id = id;
        session.opened = true;
        session.is_kept = true;
        session
    }

    /// Whether others may go on with the upload.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    pub(super) fn id(&self) -> UploadId {
        self.id
    }

    /// From now on the master may know it.
    pub(super) fn open(&mut self) -> UploadId {
        self.opened = true;
        self.id
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened
    }

    /// The master granted a lease of this length just now.
    pub(super) fn note_lease(&mut self, lease: Duration) {
        self.lease = lease;
        self.note_contact();
    }

    /// The master renewed the lease just now.
    pub(super) fn note_contact(&mut self) {
        self.renew_at = Instant::now() + self.lease / RENEW_AFTER;
    }

    /// It is being renewed: the end of that says when to do it again.
    pub(super) fn note_renewing(&mut self) {
        self.renew_at = Instant::now() + LEASE_UNKNOWN;
    }

    /// The master did not answer.
    pub(super) fn note_no_contact(&mut self) {
        self.renew_at = Instant::now() + RENEW_AGAIN;
    }

    pub(super) fn renew_at(&self) -> Instant {
        self.renew_at
    }

    /// It is committed: there is nothing to abandon.
    pub(super) fn finish(mut self) {
        self.opened = false;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.opened || self.is_kept {
            return;
        }
        let upload = self.id;
        self.shared.in_background(async move |shared| {
            let request = || AbandonUpload { upload };
            let retry_for = shared.options.call_retry_for;
            if let Err(error) = shared.masters.call(retry_for, request).await {
                tracing::debug!(%upload, %error, "could not abandon an upload; its lease will end");
            }
        });
    }
}
