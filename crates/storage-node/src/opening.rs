//! Opens a node's disks, all at once, and does without those that do not answer in time: they join later.
//!
//! A disk that hangs, or whose index is made anew, keeps the others from nothing. But the first folder says who the node is, and
//! a folder that was not the node's before has to work: these are waited for.
//!
//! The lock of a folder is a file: it is made only where no folder is somebody else's. What was found then may have changed
//! until the lock is held, so all of it is read again.
//!
//! **Invariant:** a disk joins only when its folder is locked, and says that it is this node's disk of this place.

use std::sync::Arc;
use std::time::Duration;

use disk::{Blocking, Disk, DiskLock};
use futures::future::{BoxFuture, FutureExt, select_all};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::environment::Environment;
use crate::error::OpenError;
use crate::identity::{Identity, LOCK_PATH, may_be_dead};
use crate::node::{Disks, Node};
use crate::node_disk::NodeDisk;
use crate::recover::{self, OpenedStore};
use crate::store::StoreOptions;

/// How long the others wait for a disk that does not answer, or has much to read.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The reserve is never more than this part of a disk.
const RESERVE_SHARE: u64 = 20;
/// The index of each disk gets at least this much memory.
const CACHE_BYTES_MIN: usize = 1 << 20;
/// Replay reads at most about this much.
const CHECKPOINT_BYTES: u64 = 64 << 20;

/// Held for as long as anything may be written.
pub(crate) type Lock = Box<dyn DiskLock>;

/// Everything that is open before the first request.
pub(crate) struct Opened {
    identity: Identity,
    stores: Vec<OpenedStore>,
    late: Vec<LateDisk>,
    unopened: u32,
    locks: Vec<Lock>,
}

/// A disk that is not open yet.
pub(crate) struct LateDisk {
    /// Which of the node's folders.
    pub(crate) place: usize,
    /// What becomes of it, with its lock if that was not held before.
    pub(crate) opened: BoxFuture<'static, Result<(OpenedStore, Option<Lock>), OpenError>>,
}

/// A node that can serve.
pub(crate) struct Started {
    pub(crate) node: Arc<Node>,
    pub(crate) locks: Vec<Lock>,
    pub(crate) late: Vec<LateDisk>,
}

impl Opened {
    /// Locks the folders, reads who the node is, and opens the stores.
    pub(crate) async fn open(
        config: &Config,
        environment: &Environment,
        disks: &[Arc<dyn Disk>],
    ) -> Result<Self, OpenError> {
        let mut opening = Opening::new(config, environment, disks);
        opening.check_folders().await?;
        opening.lock_folders().await?;
        let identity = opening.open_identity().await?;
        opening.open_stores(&identity).await?;
        let late = opening.late(&identity);
        match opening.error {
            Some(error) if opening.stores.is_empty() && late.is_empty() => Err(error),
            _ => Ok(Self {
                identity,
                stores: opening.stores,
                late,
                unopened: opening.unopened,
                locks: opening.locks,
            }),
        }
    }

    /// Starts the writers: one task a disk, which ends when the node is dropped.
    pub(crate) fn start(self, environment: Environment, writers: &TaskTracker) -> Started {
        let start = |opened| {
            let (disk, task) = NodeDisk::new(opened, environment.blocking);
            writers.spawn(task);
            disk
        };
        let joined = self.stores.into_iter().map(start).collect();
        let late = u32::try_from(self.late.len()).expect("a machine has few disks");
        let disks = Disks::new(joined, late, self.unopened);
        Started {
            node: Arc::new(Node::new(self.identity, disks, environment)),
            locks: self.locks,
            late: self.late,
        }
    }
}

/// Work on one disk.
enum Work<T> {
    Done(T),
    Running(JoinHandle<T>),
}

impl<T: Send + 'static> Work<T> {
    fn begin(blocking: Blocking, work: impl FnOnce() -> T + Send + 'static) -> Self {
        if blocking.is_inline() {
            return Self::Done(work());
        }
        Self::Running(tokio::spawn(async move { blocking.run(work).await }))
    }

    /// What it gives, if it does by then.
    async fn by(self, deadline: Option<Instant>) -> Result<T, JoinHandle<T>> {
        match (self, deadline) {
            (Self::Done(value), _) => Ok(value),
            (Self::Running(work), None) => Ok(ended(work.await)),
            (Self::Running(mut work), Some(deadline)) => {
                match timeout_at(deadline, &mut work).await {
                    Ok(value) => Ok(ended(value)),
                    Err(_) => Err(work),
                }
            }
        }
    }
}

/// A panic of the work goes on here.
fn ended<T>(result: Result<T, tokio::task::JoinError>) -> T {
    result.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// How far one disk has come.
enum Stage {
    /// Its folder may be used; it is locked once that was found again.
    Answers,
    /// Something does not come to an end. What that gives is not needed.
    Hangs(BoxFuture<'static, ()>),
    /// Its store is being opened.
    Opens(JoinHandle<Result<OpenedStore, OpenError>>),
    /// Nothing more is to be done with it.
    Settled,
}

/// The node's disks while they are opened.
struct Opening<'a> {
    config: &'a Config,
    environment: &'a Environment,
    disks: &'a [Arc<dyn Disk>],
    deadline: Option<Instant>,
    /// How many disks the node had so far.
    had: usize,
    stages: Vec<Stage>,
    locks: Vec<Lock>,
    stores: Vec<OpenedStore>,
    unopened: u32,
    error: Option<OpenError>,
}

impl<'a> Opening<'a> {
    fn new(config: &'a Config, environment: &'a Environment, disks: &'a [Arc<dyn Disk>]) -> Self {
        let is_inline = environment.blocking.is_inline();
        Self {
            config,
            environment,
            disks,
            deadline: (!is_inline).then(|| Instant::now() + PATIENCE),
            had: 0,
            stages: disks.iter().map(|_| Stage::Answers).collect(),
            locks: Vec::new(),
            stores: Vec::new(),
            unopened: 0,
            error: None,
        }
    }

    /// Refuses folders that cannot be this program's.
    async fn check_folders(&mut self) -> Result<(), OpenError> {
        if let Some(first) = self.disks.first() {
            let first = Arc::clone(first);
            let read = move || Identity::disks_of(&*first);
            self.had = self.environment.blocking.run(read).await?;
        }
        self.ask_each(Identity::check_folder).await.map(drop)
    }

    async fn lock_folders(&mut self) -> Result<(), OpenError> {
        self.locks = self.ask_each(lock_readable).await?;
        Ok(())
    }

    /// Asks all disks at once; goes on without those that are dead or do not answer, where that may be.
    async fn ask_each<T: Send + 'static>(
        &mut self,
        ask: fn(&dyn Disk, usize) -> Result<T, OpenError>,
    ) -> Result<Vec<T>, OpenError> {
        let blocking = self.environment.blocking;
        let asked = self.disks.iter().cloned().enumerate();
        let asked: Vec<_> = asked
            .filter(|(place, _)| matches!(self.stages[*place], Stage::Answers))
            .map(|(place, disk)| (place, Work::begin(blocking, move || ask(&*disk, place))))
            .collect();
        let mut answers = Vec::new();
        for (place, work) in asked {
            let may_be_late = (1..self.had).contains(&place);
            let deadline = self.deadline.filter(|_| may_be_late);
            match work.by(deadline).await {
                Ok(Ok(answer)) => answers.push(answer),
                Ok(Err(error)) if may_be_dead(place, self.had, &error) => {
                    self.go_on_without(place, error);
                }
                Ok(Err(error)) => return Err(error),
                Err(work) => self.stages[place] = Stage::Hangs(work.map(drop).boxed()),
            }
        }
        Ok(answers)
    }

    async fn open_identity(&mut self) -> Result<Identity, OpenError> {
        let answering = self.disks.iter().zip(&self.stages);
        let folders: Vec<_> = answering
            .map(|(disk, stage)| matches!(stage, Stage::Answers).then(|| Arc::clone(disk)))
            .collect();
        let (acceptance, environment) = (self.config.acceptance, self.environment.clone());
        let open = move || Identity::open(&folders, acceptance, &environment);
        self.environment.blocking.run(open).await
    }

    /// Opens all stores at once; if none is open in time, waits for the first.
    async fn open_stores(&mut self, identity: &Identity) -> Result<(), OpenError> {
        let blocking = self.environment.blocking;
        let begun: Vec<_> = (0..self.disks.len())
            .filter(|place| matches!(self.stages[*place], Stage::Answers))
            .map(|place| {
                (
                    place,
                    Work::begin(blocking, self.store_opener(identity, place)),
                )
            })
            .collect();
        for (place, work) in begun {
            match work.by(self.deadline).await {
                Ok(opened) => self.take_store(place, opened)?,
                Err(work) => self.stages[place] = Stage::Opens(work),
            }
        }
        while self.stores.is_empty() {
            let opening = self.stages.iter_mut().enumerate();
            let opening: Vec<_> = opening
                .filter_map(|(place, stage)| match stage {
                    Stage::Opens(work) => Some(work.map(move |opened| (place, ended(opened)))),
                    _ => None,
                })
                .collect();
            if opening.is_empty() {
                break;
            }
            let ((place, opened), ..) = select_all(opening).await;
            self.take_store(place, opened)?;
        }
        Ok(())
    }

    fn take_store(
        &mut self,
        place: usize,
        opened: Result<OpenedStore, OpenError>,
    ) -> Result<(), OpenError> {
        self.stages[place] = Stage::Settled;
        match opened {
            Ok(store) => self.stores.push(store),
            Err(error @ OpenError::Disk { .. }) if self.disks.len() > 1 => {
                self.go_on_without(place, error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn go_on_without(&mut self, place: usize, error: OpenError) {
        let disk = place + 1;
        tracing::error!(disk, %error, "a disk cannot be opened; the node goes on without it");
        self.stages[place] = Stage::Settled;
        self.unopened += 1;
        self.error = Some(error);
    }

    /// What opens the store of one disk.
    fn store_opener(
        &self,
        identity: &Identity,
        place: usize,
    ) -> impl FnOnce() -> Result<OpenedStore, OpenError> + Send + use<> {
        let options = StoreOptions {
            node: identity.node(),
            disk_number: u32::try_from(place).expect("a machine has few disks"),
            extent_size: self.config.extent_size,
            reserve: self.config.reserve,
            cache_bytes: (self.config.cache_bytes / self.disks.len()).max(CACHE_BYTES_MIN),
            checkpoint_bytes: CHECKPOINT_BYTES,
        };
        let (disk, environment) = (Arc::clone(&self.disks[place]), self.environment.clone());
        move || {
            let space = disk
                .space()
                .map_err(OpenError::while_doing("ask for free space"))?;
            let reserve = options.reserve.min(space.capacity / RESERVE_SHARE);
            recover::open(&disk, StoreOptions { reserve, ..options }, &environment)
        }
    }

    /// The disks that are not open yet.
    fn late(&mut self, identity: &Identity) -> Vec<LateDisk> {
        let stages = std::mem::take(&mut self.stages);
        let late = stages.into_iter().enumerate();
        late.filter_map(|(place, stage)| {
            let opened = match stage {
                Stage::Answers | Stage::Settled => return None,
                Stage::Hangs(hangs) => self.open_late(identity, place, hangs).boxed(),
                Stage::Opens(work) => work.map(|opened| Ok((ended(opened)?, None))).boxed(),
            };
            let disk = place + 1;
            tracing::warn!(
                disk,
                "a disk is not open yet; the node goes on without it until it is"
            );
            Some(LateDisk { place, opened })
        })
        .collect()
    }

    /// Does with a disk what was done with the others, once it answers.
    fn open_late(
        &self,
        identity: &Identity,
        place: usize,
        hangs: BoxFuture<'static, ()>,
    ) -> impl Future<Output = Result<(OpenedStore, Option<Lock>), OpenError>> + Send + use<> {
        let (identity, acceptance) = (identity.clone(), self.config.acceptance);
        let (disk, blocking) = (Arc::clone(&self.disks[place]), self.environment.blocking);
        let open_store = self.store_opener(&identity, place);
        async move {
            // It may hold the lock.
            hangs.await;
            let open = move || {
                Identity::check_folder(&*disk, place)?;
                let lock = lock_readable(&*disk, place)?;
                identity.admit(&*disk, place, acceptance)?;
                Ok((open_store()?, Some(lock)))
            };
            blocking.run(open).await
        }
    }
}

/// Locks a folder whose identity can be read.
fn lock_readable(disk: &dyn Disk, place: usize) -> Result<Lock, OpenError> {
    let lock = lock(disk, place)?;
    Identity::check_folder(disk, place)?;
    Ok(lock)
}

fn lock(disk: &dyn Disk, place: usize) -> Result<Lock, OpenError> {
    let lock = match disk.lock(LOCK_PATH) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            disk.create_folder("").and_then(|()| disk.lock(LOCK_PATH))
        }
        lock => lock,
    };
    lock.map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => OpenError::Refused(format!(
            "folder {} is in use by another process: stop that one, or give another folder",
            place + 1
        )),
        _ => OpenError::while_doing(format!("lock folder {}", place + 1))(error),
    })
}
