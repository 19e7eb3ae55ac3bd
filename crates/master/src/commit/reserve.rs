//! Space that the master keeps on its disk, so that deletions work when somebody else has filled it.
//!
//! It is taken beside the commits and never in the way of one, since that takes a while: soon after the start, and
//! again, with pauses, whenever it is not there and there is room. A commit on a full disk gives it up.

use std::sync::Arc;
use std::time::Duration;

use disk::{Ballast, Blocking, Disk};
use threads::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

/// Free bytes of the disk below which nothing is taken that makes the store grow. Deletions need some to succeed.
pub const RESERVE_BYTES: u64 = 64 << 20;
/// What is set aside of that for the time when somebody else has filled the disk.
const BALLAST_LEN: u64 = 16 << 20;
/// Free bytes below which that is used.
const FREE_MIN: u64 = 4 << 20;
/// After the start, so that it does not take longer.
const FIRST_TRY_AFTER: Duration = Duration::from_secs(1);
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The space that is set aside on the disk of the data folder. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Reserve {
    disk: Arc<dyn Disk>,
    ballast: Arc<Mutex<Ballast>>,
}

/// A store that is opened on a full disk needs some room too.
pub(crate) fn make_room_to_open(disk: &dyn Disk) {
    if disk.space().is_ok_and(|space| space.free < FREE_MIN) {
        Ballast::find(disk, BALLAST_LEN).give(disk);
    }
}

impl Reserve {
    /// As it was left.
    pub(super) fn find(disk: Arc<dyn Disk>) -> Self {
        let ballast = Ballast::find(&*disk, BALLAST_LEN);
        Self {
            disk,
            ballast: Arc::new(Mutex::new(ballast)),
        }
    }

    /// Free bytes of the disk. What was set aside is given up if there is nothing else.
    pub(super) fn free_for_commit(&self) -> u64 {
        let free = self.free();
        if free < FREE_MIN {
            self.ballast().give(&*self.disk);
        }
        free
    }

    /// Sees to it that the space is set aside, until `shutdown`. Nothing is written when this has returned.
    pub(super) async fn keep(self, blocking: Blocking, shutdown: CancellationToken) {
        let mut pause = FIRST_TRY_AFTER;
        let wait = |pause| shutdown.run_until_cancelled(tokio::time::sleep(pause));
        while wait(pause).await.is_some() {
            let reserve = self.clone();
            blocking.run(move || reserve.take()).await;
            pause = TRY_AGAIN_AFTER;
        }
    }

    fn take(&self) {
        let spare = self.free().saturating_sub(RESERVE_BYTES);
        self.ballast().take(&*self.disk, spare);
    }

    /// A disk that cannot say is not taken for full: a write tells soon enough.
    fn free(&self) -> u64 {
        self.disk.space().map_or(u64::MAX, |space| space.free)
    }

    fn ballast(&self) -> MutexGuard<'_, Ballast> {
        self.ballast.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};

    use disk::{DiskEntry, DiskFile, DiskLock, Space};

    use super::*;

    /// A disk that says that it has room, and takes nothing.
    #[derive(Debug, Default)]
    struct Stubborn {
        tries: AtomicU32,
    }

    fn refuse<T>() -> io::Result<T> {
        Err(io::ErrorKind::StorageFull.into())
    }

    impl Disk for Stubborn {
        fn open(&self, _: &str) -> io::Result<Arc<dyn DiskFile>> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn create(&self, _: &str) -> io::Result<Arc<dyn DiskFile>> {
            self.tries.fetch_add(1, Ordering::Relaxed);
            refuse()
        }

        fn create_folder(&self, _: &str) -> io::Result<()> {
            refuse()
        }

        fn list(&self, _: &str) -> io::Result<Vec<DiskEntry>> {
            refuse()
        }

        fn rename(&self, _: &str, _: &str) -> io::Result<()> {
            refuse()
        }

        fn remove(&self, _: &str) -> io::Result<()> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn sync_folder(&self, _: &str) -> io::Result<()> {
            refuse()
        }

        fn space(&self) -> io::Result<Space> {
            Ok(Space {
                capacity: 1 << 40,
                free: 1 << 40,
                file_system: None,
            })
        }

        fn lock(&self, _: &str) -> io::Result<Box<dyn DiskLock>> {
            refuse()
        }
    }

    /// On a disk with a quota there is room, and none is given. Every single commit tried again to write 16 MiB.
    #[tokio::test(start_paused = true)]
    async fn space_that_cannot_be_taken_is_tried_for_now_and_then() {
        let disk = Arc::new(Stubborn::default());
        let reserve = Reserve::find(disk.clone());
        let stop = CancellationToken::new();
        let keeping = tokio::spawn(reserve.clone().keep(Blocking::inline(), stop.clone()));
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(reserve.free_for_commit(), 1 << 40);
        }
        stop.cancel();
        keeping.await.unwrap();
        let tries = disk.tries.load(Ordering::Relaxed);
        assert!((2..=20).contains(&tries), "{tries}");
    }
}
