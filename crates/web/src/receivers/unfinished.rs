//! How many uploads each link has that are begun and not finished: so many at most, since the master keeps each for days.
//!
//! It is what this process heard of: after a restart, those count again that somebody goes on with.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use parking_lot::Mutex;
use proto::id::UploadId;
use proto::master::ShareId;
use tokio::time::Instant;

use crate::error::{Kind, Problem};

/// Unfinished uploads of one link.
const UNFINISHED_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    links: Mutex<HashMap<ShareId, Link>>,
}

#[derive(Debug, Default)]
struct Link {
    /// Those that are being begun, and have no id yet.
    beginning: usize,
    /// How long each is kept.
    kept: HashMap<UploadId, Instant>,
}

impl Link {
    fn is_empty(&self) -> bool {
        self.beginning == 0 && self.kept.is_empty()
    }
}

/// A place among those of a link, for one that is being begun.
#[derive(Debug)]
pub(crate) struct Beginning<'u> {
    all: &'u Unfinished,
    share: ShareId,
}

impl Unfinished {
    /// Takes a place for an upload that is about to be begun.
    pub(crate) fn begin(&self, share: ShareId) -> Result<Beginning<'_>, Problem> {
        let now = Instant::now();
        let mut links = self.links.lock();
        links.retain(|_, link| {
            link.kept.retain(|_, until| *until > now);
            !link.is_empty()
        });
        let link = links.entry(share).or_default();
        if link.beginning + link.kept.len() >= UNFINISHED_MAX {
            let detail = format!(
                "{UNFINISHED_MAX} files that were begun by this link have not arrived yet: go on with some, cancel them, or \
                 come back when they were given up"
            );
            return Err(Problem::new(Kind::Busy, detail));
        }
        link.beginning += 1;
        Ok(Beginning { all: self, share })
    }

    /// It is there, and kept for so long.
    pub(crate) fn keep(&self, share: ShareId, upload: UploadId, kept: Duration) {
        let mut links = self.links.lock();
        let link = links.entry(share).or_default();
        link.kept.insert(upload, Instant::now() + kept);
    }

    /// It became a file, or was given up.
    pub(crate) fn end(&self, share: ShareId, upload: UploadId) {
        self.change(share, |link| {
            link.kept.remove(&upload);
        });
    }

    /// Their link has ended: which they were.
    pub(crate) fn take(&self, share: ShareId) -> Vec<UploadId> {
        let mut taken = Vec::new();
        self.change(share, |link| {
            taken = link.kept.drain().map(|(upload, _)| upload).collect();
        });
        taken
    }

    fn change(&self, share: ShareId, change: impl FnOnce(&mut Link)) {
        let mut links = self.links.lock();
        let mut link = links.get_mut(&share).map(mem::take).unwrap_or_default();
        change(&mut link);
        if link.is_empty() {
            links.remove(&share);
        } else {
            links.insert(share, link);
        }
    }
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        self.all.change(self.share, |link| link.beginning -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn upload(number: usize) -> UploadId {
        UploadId::new(uuid::Uuid::from_u128(number as u128))
    }

    /// Whoever had a link could begin as many as the master keeps of all, and the owner could begin none.
    #[tokio::test(start_paused = true)]
    async fn one_link_has_so_many_and_others_have_theirs() {
        let unfinished = Unfinished::default();
        let (share, other) = (ShareId(1), ShareId(2));
        for number in 0..UNFINISHED_MAX - 1 {
            drop(unfinished.begin(share).unwrap());
            unfinished.keep(share, upload(number), DAY);
        }
        let beginning = unfinished.begin(share).unwrap();
        assert_eq!(unfinished.begin(share).unwrap_err().kind, Kind::Busy);
        unfinished.begin(other).unwrap();
        drop(beginning);
        unfinished.begin(share).unwrap();

        unfinished.keep(share, upload(UNFINISHED_MAX), 2 * DAY);
        assert!(unfinished.begin(share).is_err());
        unfinished.end(share, upload(0));
        unfinished.begin(share).unwrap();
        unfinished.keep(share, upload(0), DAY);
        assert!(unfinished.begin(share).is_err());
        tokio::time::advance(DAY).await;
        unfinished.begin(share).unwrap();
        assert_eq!(unfinished.links.lock()[&share].kept.len(), 1);
        unfinished.end(share, upload(UNFINISHED_MAX));
        assert!(unfinished.links.lock().is_empty());
    }
}
