//! Puts a master together, in the order in which it may fail, and takes it apart again.
//!
//! **Invariant:** no request is answered before the folder is locked, the store has been opened and verified, and the
//! epoch has been raised and made durable.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use disk::Disk;
use proto::WireError;
use proto::connection::CallerIdentity;
use proto::hello::Role;
use proto::id::{ClusterId, Epoch, RunId};
use proto::master::{ClusterRules, MasterServer};
use proto::net::{Address, ListenError, Network};
use proto::pool::{Pool, PoolOptions};
use proto::server::{self, Identity};
use rand::rngs::{SmallRng, StdRng};
use rand::{RngExt, SeedableRng};
use settings::loops::{LoopEnded, Loops};
use threads::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use uuid::Uuid;

use crate::command::Command;
use crate::commit::{CommitOptions, Committer, make_room_to_open};
use crate::config::Config;
use crate::control::{Control, Parts};
use crate::folder::{Folder, FolderError};
use crate::handlers::{Files, Master, Sorts};
use crate::leases;
use crate::state::{Outcome, State, StateError, StateOptions};

/// So long the end waits for what is being written, and for callers that are slow to take their last answer. A disk that hangs
/// never finishes it.
const END_MAX: Duration = Duration::from_secs(45);

/// Why a master does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Strangers could reach it.
    #[error("{0}")]
    Exposed(String),
    /// The data folder is not one that can be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The store cannot be opened, or failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The store belongs to another cluster than the folder.
    #[error(
        "master.json says cluster {folder}, but the store beside it belongs to cluster {store}: files of two folders \
         were mixed; restore the data folder from a backup"
    )]
    Mixed {
        /// In master.json.
        folder: ClusterId,
        /// In the store.
        store: ClusterId,
    },
    /// The epoch could not be raised.
    #[error("the start could not be recorded: {0}")]
    Epoch(#[source] WireError),
    /// The rules of the settings could not be made the cluster's.
    #[error("the rules that the settings say could not be recorded: {0}")]
    Rules(#[source] WireError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// One of its loops ended.
    #[error(transparent)]
    Loop(#[from] LoopEnded),
    /// It was told to stop, and something did not come to an end.
    #[error(
        "what was begun did not come to an end: its disk does not answer, or a caller takes no answer; what was acknowledged is \
         durable"
    )]
    Hung,
    /// Standard output is gone.
    #[error("cannot say where it listens: {0}")]
    Output(#[source] io::Error),
}

/// A master that answers.
#[derive(Debug)]
pub struct Running {
    address: Address,
    control: Arc<Control>,
    end: JoinHandle<Result<(), StartError>>,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What keeps its cluster together.
    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// Waits until it has stopped: after `shutdown`, or because its store or one of its loops failed.
    ///
    /// # Errors
    /// That failure.
    pub async fn ended(self) -> Result<(), StartError> {
        drop(self.control);
        match self.end.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Ok(()),
        }
    }
}

/// Runs a master until `shutdown`, and says on standard output where it listens.
///
/// # Errors
/// Why it did not start, or could not go on.
pub async fn run(
    config: Config,
    network: Arc<dyn Network>,
    disk: Arc<dyn Disk>,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    let running = start(config, network, disk, shutdown).await?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {}", running.address())
        .and_then(|()| stdout.flush())
        .map_err(StartError::Output)?;
    drop(stdout);
    running.ended().await
}

/// Starts a master: when this returns, it listens.
///
/// # Errors
/// Why it did not start.
pub async fn start(
    config: Config,
    network: Arc<dyn Network>,
    disk: Arc<dyn Disk>,
    shutdown: CancellationToken,
) -> Result<Running, StartError> {
    server::check_exposure(&config.listen, config.secret.as_ref()).map_err(StartError::Exposed)?;
    // Before anything is made in the folder. Nobody is answered before `serve`.
    let listening = network.listen(&config.listen).await;
    let listener = listening.map_err(|error| ListenError {
        address: config.listen.clone(),
        error,
    })?;
    let mut chance = StdRng::seed_from_u64(config.chance_seed);
    let new_cluster = ClusterId::new(new_uuid(&mut chance));
    let (folder, state) = open(&config, new_cluster, disk.clone()).await?;
    let options = CommitOptions {
        blocking: config.blocking,
        disk: disk.clone(),
        wall_ms: Arc::new(wall_ms),
    };
    let (committer, writer) = Committer::new(state.clone(), options)?;
    let writing = tokio::spawn(writer.run());
    let run = RunId::new(new_uuid(&mut chance));
    let epoch = raise_epoch(&committer, run, config.restored).await?;
    take_over_rules(&state, &committer, config.rules).await?;
    let address = listener.address();
    let caller = CallerIdentity {
        role: Role::Master,
        cluster: Some(state.cluster()),
        secret: config.secret.clone(),
    };
    let seed = config.chance_seed;
    let control = Control::new(Parts {
        pool: Pool::new(network, caller, PoolOptions::default()),
        state: state.clone(),
        committer: committer.clone(),
        disk,
        epoch,
        run,
        chance: SmallRng::seed_from_u64(seed),
        config: config.clone(),
    })?;
    info!(cluster = %state.cluster(), epoch = epoch.0, %address, "the master has started");
    let files = Files {
        state,
        committer,
        cluster: control.clone(),
        blocking: config.blocking,
        sorts: Sorts::default(),
        upload_lease: config.upload_lease,
        resumable_upload_retention: config.resumable_upload_retention,
        chance: Arc::new(Mutex::new(StdRng::seed_from_u64(
            seed.rotate_left(32) ^ epoch.0,
        ))),
    };
    let end = tokio::spawn(serve(
        config,
        files,
        control.clone(),
        listener,
        writing,
        folder,
        shutdown,
    ));
    Ok(Running {
        address,
        control,
        end,
    })
}

async fn open(
    config: &Config,
    new_cluster: ClusterId,
    disk: Arc<dyn Disk>,
) -> Result<(Folder, Arc<State>), StartError> {
    let (rules, cache_bytes) = (config.rules, config.cache_bytes);
    let opened = config.blocking.run(move || {
        disk.create_folder("").map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => FolderError::NotAFolder,
            _ => FolderError::Io(error),
        })?;
        let mut folder = Folder::open(disk.clone(), new_cluster)?;
        // Not before the folder is known to be ours, and nobody else's at this moment.
        make_room_to_open(&*disk);
        let options = StateOptions {
            new_cluster: folder.cluster(),
            rules,
            cache_bytes,
        };
        let state = State::open_in(&disk, &options)?;
        let (ours, theirs) = (folder.cluster(), state.cluster());
        if ours != theirs {
            return Err(StartError::Mixed {
                folder: ours,
                store: theirs,
            });
        }
        folder.store_is_made().map_err(FolderError::Io)?;
        Ok((folder, Arc::new(state)))
    });
    opened.await
}

/// Makes this start, and which one it is, durable.
async fn raise_epoch(
    committer: &Committer,
    run: RunId,
    restored: bool,
) -> Result<Epoch, StartError> {
    match committer
        .submit(Command::RaiseEpoch { restored, run })
        .await
    {
        Ok(Outcome::Epoch(epoch)) => Ok(epoch),
        Ok(other) => unreachable!("raising the epoch gave {other:?}"),
        Err(error) => Err(StartError::Epoch(error)),
    }
}

/// Makes what may change of the rules in the settings the cluster's.
async fn take_over_rules(
    state: &State,
    committer: &Committer,
    rules: ClusterRules,
) -> Result<(), StartError> {
    if state.rules() == rules {
        return Ok(());
    }
    let set = committer.submit(Command::SetRules { rules }).await;
    set.map_err(StartError::Rules)?;
    info!(
        ?rules,
        "the cluster goes by other rules from now on, as the settings say"
    );
    Ok(())
}

/// Answers until `shutdown`, or until the store or a loop fails; then ends the loops, writes what waits, and frees the
/// folder.
async fn serve(
    config: Config,
    files: Files<Control>,
    control: Arc<Control>,
    listener: Box<dyn proto::net::Listener>,
    mut writing: JoinHandle<Result<(), StateError>>,
    folder: Folder,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    let mut loops = Loops::default();
    let stop_serving = CancellationToken::new();
    control.spawn(&mut loops);
    loops.spawn("the watch over leases", |stop| {
        let (state, committer) = (files.state.clone(), files.committer.clone());
        leases::run(state, committer, config.upload_lease, stop)
    });
    let identity = Identity {
        role: Role::Master,
        cluster: control.announced.subscribe(),
        node: None,
        secret: config.secret,
    };
    let service = Arc::new(MasterServer(Master { files, control }));
    let serving = server::serve(
        listener,
        service,
        identity,
        config.limits,
        stop_serving.clone(),
    );
    let serving = tokio::spawn(serving);
    let (mut written, mut ended) = (None, Ok(()));
    tokio::select! {
        () = shutdown.cancelled() => {}
        result = &mut writing => written = Some(result),
        failed = loops.first_ended() => ended = Err(StartError::from(failed)),
    }
    stop_serving.cancel();
    let winding_down = async {
        loops.stop().await;
        if let Err(error) = serving.await {
            error!(%error, "the server ended badly");
        }
        // With the service the last committer is gone, so that the writer ends when it has written what waited.
        match written {
            Some(result) => result,
            None => writing.await,
        }
    };
    let Ok(written) = timeout(END_MAX, winding_down).await else {
        // Until the last thread is gone that may still write, the folder is nobody else's.
        std::mem::forget(folder);
        return Err(ended.err().unwrap_or(StartError::Hung));
    };
    drop(folder);
    match written {
        Ok(result) => result?,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => {}
    }
    ended
}

fn new_uuid(chance: &mut StdRng) -> Uuid {
    uuid::Builder::from_random_bytes(chance.random()).into_uuid()
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod harmed;
#[cfg(test)]
mod tests {
    use super::*;
    use disk::MemoryDisk;
    use proto::memory::MemoryNetwork;

    /// A loop panicked, and the master went on without it: it looked well, and nothing was repaired or deleted any more.
    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_ends_the_master_with_its_error() {
        let config = Config {
            listen: "127.0.0.1:9000".parse().unwrap(),
            blocking: disk::Blocking::inline(),
            ..Config::default()
        };
        let network = Arc::new(MemoryNetwork::new());
        let disk = MemoryDisk::new();
        let running = start(config, network, disk.shared(), CancellationToken::new());
        let running = running.await.unwrap();
        // Repair finds no inbox, and panics.
        running.control().repair.close();
        let ended = tokio::time::timeout(std::time::Duration::from_secs(60), running.ended());
        let error = ended.await.expect("the master ends").unwrap_err();
        assert!(matches!(error, StartError::Loop(_)), "{error}");
        assert!(error.to_string().starts_with("repair"), "{error}");
        // Its folder is free.
        disk.shared().lock("lock").unwrap();
    }

    /// The disk hung, and the master that was told to stop waited for it for ever.
    #[tokio::test(start_paused = true)]
    async fn a_master_whose_disk_hangs_ends() {
        let config = Config {
            listen: "127.0.0.1:9000".parse().unwrap(),
            ..Config::default()
        };
        let (disk, shutdown) = (MemoryDisk::new(), CancellationToken::new());
        let network = Arc::new(MemoryNetwork::new());
        let running = start(config, network, disk.shared(), shutdown.clone());
        let running = running.await.unwrap();
        let hang = disk.hang_writes();
        let committer = running.control().committer.clone();
        let submitted = tokio::spawn(async move {
            let rules = Config::default().rules;
            committer.submit(Command::SetRules { rules }).await
        });
        while disk.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
        let ended = tokio::spawn(running.ended());
        // By itself the clock stands still while a thread waits for the disk.
        for _ in 0..2 * END_MAX.as_secs() {
            tokio::time::advance(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
        }
        assert!(ended.is_finished());
        let error = ended.await.unwrap().unwrap_err();
        assert!(matches!(error, StartError::Hung), "{error}");
        drop(hang);
        submitted.abort();
    }

    /// It left a new folder behind.
    #[tokio::test]
    async fn a_master_that_cannot_listen_makes_no_folder() {
        let config = Config {
            listen: "127.0.0.1:9000".parse().unwrap(),
            blocking: disk::Blocking::inline(),
            ..Config::default()
        };
        let network = Arc::new(MemoryNetwork::new());
        let other = network.listen(&config.listen).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("master_data");
        let disk = disk::RealDisk::at(&data);
        let started = start(config, network, disk, CancellationToken::new()).await;
        assert!(matches!(started, Err(StartError::Listen(_))));
        assert!(!data.exists());
        drop(other);
    }
}
