//! What a drive in memory can be told to do wrong, or slowly.

use std::sync::Arc;
use std::time::Duration;

use client::{Error, UploadOptions};
use tokio::sync::Semaphore;

/// What is wrong with the drive.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The master does not answer.
    pub unreachable: bool,
    /// One of three nodes is down: uploads get two copies for now.
    pub node_down: bool,
    /// Too few nodes take writes.
    pub not_ready: bool,
    /// Why no upload that was begun becomes a file.
    pub commits_refused: Option<&'static str>,
    /// Bytes that the disks have, if not as many as ever are needed: half of them is free.
    pub disks: Option<u64>,
    /// Downloads fail after so many bytes.
    pub reads_fail_after: Option<usize>,
    /// A pause in uploads and downloads for each 64 KiB.
    pub pause: Option<Duration>,
    /// Where whoever looks at a path is held before: opens it, lists it, or asks what is there.
    pub looks_held: Option<Arc<Hold>>,
    /// Where uploads are held before somebody is asked whether they are still wanted.
    pub unasked_held: Option<Arc<Hold>>,
    /// Where they are held behind that, when they are getting their names.
    pub commits_held: Option<Arc<Hold>>,
}

impl Faults {
    /// Is over when an upload may get its name, unless nobody wants it any more.
    pub(super) async fn until_commit(&self, options: &UploadOptions) -> Result<(), Error> {
        if let Some(hold) = &self.unasked_held {
            hold.pass().await;
        }
        if options.still_wanted.as_ref().is_some_and(|asked| !asked()) {
            return Err(Error::Withdrawn);
        }
        if let Some(hold) = &self.commits_held {
            hold.pass().await;
        }
        Ok(())
    }
}

/// A place at which whoever comes is held.
#[derive(Debug)]
pub struct Hold {
    came: Semaphore,
    open: Semaphore,
}

impl Default for Hold {
    fn default() -> Self {
        let [came, open] = [0, 0].map(Semaphore::new);
        Self { came, open }
    }
}

impl Hold {
    pub(super) async fn pass(&self) {
        self.came.add_permits(1);
        self.open
            .acquire()
            .await
            .expect("it is not closed")
            .forget();
    }

    /// Is over when one more is held.
    pub async fn until_one_came(&self) {
        self.came
            .acquire()
            .await
            .expect("it is not closed")
            .forget();
    }

    /// Lets one go on.
    pub fn let_one_go(&self) {
        self.open.add_permits(1);
    }
}
