//! Opens a node's disks, all at once, and does without those that do not answer in time: they join later.
//!
//! A disk that hangs, or whose index is made anew, keeps the others from nothing. But the first folder says who the node is, and
//! a folder that was not the node's before has to work: these are waited for.
//!
//! The lock of a folder is a file: it is made only where no folder is somebody else's. What was found then may have changed
//! until the lock is held, so all of it is read again.
//!
//! **Invariant:** a disk joins only when its folder is locked, and says that it is this node's disk of this place.

mod work;

use std::sync::Arc;
use std::time::Duration;

use disk::Disk;
use futures::future::{BoxFuture, FutureExt, select_all};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::Config;
use crate::environment::Environment;
use crate::error::OpenError;
use crate::identity::{self, Folder, Identity, may_be_dead};
use crate::locked::lock;
use crate::node::{Disks, Node};
use crate::node_disk::NodeDisk;
use crate::recover::{self, OpenedStore};
use crate::store::StoreOptions;
use work::{Work, ended};

/// How long the others wait for a disk in each step: for one that does not answer, or has much to read.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The reserve is never more than this part of a disk.
const RESERVE_SHARE: u64 = 20;
/// The index of each disk gets at least this much memory.
const CACHE_BYTES_MIN: usize = 1 << 20;
/// Replay reads at most about this much.
const CHECKPOINT_BYTES: u64 = 64 << 20;

/// Everything that is open before the first request.
pub(crate) struct Opened {
    identity: Identity,
    stores: Vec<OpenedStore>,
    late: Vec<LateDisk>,
    unopened: u32,
}

/// A disk that is not open yet.
pub(crate) struct LateDisk {
    /// Which of the node's folders.
    pub(crate) place: usize,
    /// What becomes of it.
    pub(crate) opened: BoxFuture<'static, Result<OpenedStore, OpenError>>,
}

/// A node that can serve.
pub(crate) struct Started {
    pub(crate) node: Arc<Node>,
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
            }),
        }
    }

    /// Starts the writers, one for each disk.
    pub(crate) fn start(self, environment: Environment) -> Started {
        let stores = self.stores.into_iter();
        let joined = stores.map(|opened| NodeDisk::start(opened, environment.blocking));
        let joined = joined.collect();
        let late = u32::try_from(self.late.len()).expect("a machine has few disks");
        let disks = Disks::new(joined, late, self.unopened);
        Started {
            node: Arc::new(Node::new(self.identity, disks, environment)),
            late: self.late,
        }
    }
}

/// The disk that was asked, as it is used from then on, and what its folder is.
type Answer = Result<(Arc<dyn Disk>, Folder), OpenError>;

/// How far one disk has come.
enum Stage {
    /// Its folder may be used, as far as was asked; it is locked once that was done.
    Answers(Arc<dyn Disk>),
    /// Something does not come to an end. What that gives is not needed.
    Hangs(BoxFuture<'static, ()>),
    /// Its store is being opened.
    Opens(JoinHandle<Result<OpenedStore, OpenError>>),
    /// Nothing more is to be done with it.
    Settled,
}

impl Stage {
    fn answering(&self) -> Option<&Arc<dyn Disk>> {
        match self {
            Self::Answers(disk) => Some(disk),
            _ => None,
        }
    }
}

/// The node's disks while they are opened.
struct Opening<'a> {
    config: &'a Config,
    environment: &'a Environment,
    /// As they were given, not locked.
    disks: &'a [Arc<dyn Disk>],
    /// How many disks the node had so far.
    had: usize,
    stages: Vec<Stage>,
    /// What each folder was found to be last.
    folders: Vec<Folder>,
    stores: Vec<OpenedStore>,
    unopened: u32,
    error: Option<OpenError>,
}

impl<'a> Opening<'a> {
    fn new(config: &'a Config, environment: &'a Environment, disks: &'a [Arc<dyn Disk>]) -> Self {
        Self {
            config,
            environment,
            disks,
            had: 0,
            stages: disks.iter().cloned().map(Stage::Answers).collect(),
            folders: disks.iter().map(|_| Folder::Dead).collect(),
            stores: Vec::new(),
            unopened: 0,
            error: None,
        }
    }

    /// Until when the step that begins now is waited for: a disk that is slow in each step does not hang.
    fn deadline(&self) -> Option<Instant> {
        let is_inline = self.environment.blocking.is_inline();
        (!is_inline).then(|| Instant::now() + PATIENCE)
    }

    /// Refuses folders that cannot be this program's.
    async fn check_folders(&mut self) -> Result<(), OpenError> {
        if let Some(first) = self.disks.first() {
            let first = Arc::clone(first);
            let read = move || identity::read(&*first, 0);
            self.had = self.environment.blocking.run(read).await?.disks();
        }
        self.ask_each(|disk, place| {
            let folder = identity::read(&*disk, place)?;
            Ok((disk, folder))
        })
        .await
    }

    async fn lock_folders(&mut self) -> Result<(), OpenError> {
        self.ask_each(lock_readable).await
    }

    /// Asks all disks at once; goes on without those that are dead or do not answer, where that may be.
    async fn ask_each(&mut self, ask: fn(Arc<dyn Disk>, usize) -> Answer) -> Result<(), OpenError> {
        let asked = self.begin_on_each(|place, disk| Box::new(move || ask(disk, place)));
        let deadline = self.deadline();
        for (place, work) in asked {
            let may_be_late = (1..self.had).contains(&place);
            match work.by(deadline.filter(|_| may_be_late)).await {
                Ok(Ok((disk, folder))) => {
                    self.stages[place] = Stage::Answers(disk);
                    self.folders[place] = folder;
                }
                Ok(Err(error)) if may_be_dead(place, self.had, &error) => {
                    self.go_on_without(place, error);
                }
                Ok(Err(error)) => return Err(error),
                Err(work) => self.stages[place] = Stage::Hangs(work.map(drop).boxed()),
            }
        }
        Ok(())
    }

    /// Begins work on each disk that answers.
    fn begin_on_each<T: Send + 'static>(
        &self,
        work: impl Fn(usize, Arc<dyn Disk>) -> Box<dyn FnOnce() -> T + Send>,
    ) -> Vec<(usize, Work<T>)> {
        let blocking = self.environment.blocking;
        let stages = self.stages.iter().enumerate();
        let answering = stages.filter_map(|(place, stage)| Some((place, stage.answering()?)));
        let begun = answering.map(|(place, disk)| {
            let work = work(place, Arc::clone(disk));
            (place, Work::begin(blocking, work))
        });
        begun.collect()
    }

    /// Nothing is read for it any more, and written only in a new folder and, where one is new, in the first.
    async fn open_identity(&mut self) -> Result<Identity, OpenError> {
        let folders = std::mem::take(&mut self.folders);
        let found = self.stages.iter().zip(folders);
        let found: Vec<_> = found
            .map(|(stage, folder)| Some((Arc::clone(stage.answering()?), folder)))
            .collect();
        let (acceptance, environment) = (self.config.acceptance, self.environment.clone());
        let open = move || Identity::open(found, acceptance, &environment);
        self.environment.blocking.run(open).await
    }

    /// Opens all stores at once; if none is open in time, waits for the first.
    async fn open_stores(&mut self, identity: &Identity) -> Result<(), OpenError> {
        let begun = self.begin_on_each(|place, disk| {
            let open = self.store_opener(identity, place);
            Box::new(move || open(&disk))
        });
        let deadline = self.deadline();
        for (place, work) in begun {
            match work.by(deadline).await {
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

    /// What opens the store of one disk, which is locked.
    fn store_opener(
        &self,
        identity: &Identity,
        place: usize,
    ) -> impl FnOnce(&Arc<dyn Disk>) -> Result<OpenedStore, OpenError> + Send + use<> {
        let options = StoreOptions {
            node: identity.node(),
            disk_number: u32::try_from(place).expect("a machine has few disks"),
            extent_size: self.config.extent_size,
            reserve: self.config.reserve,
            cache_bytes: (self.config.cache_bytes / self.disks.len()).max(CACHE_BYTES_MIN),
            checkpoint_bytes: CHECKPOINT_BYTES,
        };
        let environment = self.environment.clone();
        move |disk| {
            let space = disk
                .space()
                .map_err(OpenError::while_doing("ask for free space"))?;
            let reserve = options.reserve.min(space.capacity / RESERVE_SHARE);
            recover::open(disk, StoreOptions { reserve, ..options }, &environment)
        }
    }

    /// The disks that are not open yet.
    fn late(&mut self, identity: &Identity) -> Vec<LateDisk> {
        let stages = std::mem::take(&mut self.stages);
        let late = stages.into_iter().enumerate();
        late.filter_map(|(place, stage)| {
            let opened = match stage {
                Stage::Answers(_) | Stage::Settled => return None,
                Stage::Hangs(hangs) => self.open_late(identity, place, hangs).boxed(),
                // It panicked, which the node that serves survives.
                Stage::Opens(work) => work
                    .map(|opened| {
                        opened.unwrap_or_else(|error| {
                            let source = std::io::Error::other(error);
                            Err(OpenError::while_doing("open the disk")(source))
                        })
                    })
                    .boxed(),
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
    ) -> impl Future<Output = Result<OpenedStore, OpenError>> + Send + use<> {
        let (identity, acceptance) = (identity.clone(), self.config.acceptance);
        let (disk, blocking) = (Arc::clone(&self.disks[place]), self.environment.blocking);
        let open_store = self.store_opener(&identity, place);
        async move {
            // It may hold the lock.
            hangs.await;
            let open = move || {
                identity::read(&*disk, place)?;
                let (disk, folder) = lock_readable(disk, place)?;
                identity.admit(&*disk, place, &folder, acceptance)?;
                open_store(&disk)
            };
            blocking.run(open).await
        }
    }
}

/// Locks a folder whose identity can be read.
fn lock_readable(disk: Arc<dyn Disk>, place: usize) -> Answer {
    let disk = lock(disk, place)?;
    let folder = identity::read(&*disk, place)?;
    Ok((disk, folder))
}
