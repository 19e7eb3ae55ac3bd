//! The processes of the servers, and how they are configured.

use std::sync::Arc;
use std::time::Duration;

use disk::{Blocking, MemoryDisk};
use history::CHUNK_LEN;
use parking_lot::Mutex;
use proto::hello::ClusterSecret;
use proto::master::ClusterRules;
use proto::name::NameRules;
use rand::{Rng, RngExt};
use storage_node::{Acceptance, Environment, RunError};
use tokio::runtime::Handle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::world::{COPIES, Ended, KEPT_FOR, MASTER, Machine, World, address_of};

/// A process that ended by itself is started again after this.
const START_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// No process has more going on at a time: what is not ended would become more and more.
const TASKS_MAX: usize = 400;
/// Where nodes must find rot themselves, the month after which an extent is read again takes twenty seconds.
const QUICK_DAYS: u64 = 30 * 24 * 3600 / 20;
/// Nodes' clocks differ by up to a year, at each start by another time.
const SKEW_MAX_MS: u64 = 365 * 24 * 3600 * 1000;

/// What the cluster's members share.
pub(crate) fn secret() -> ClusterSecret {
    ClusterSecret::new("a secret for a simulation")
}

/// Runs a master, and starts it again when it ends.
pub(crate) async fn run_master(world: Arc<World>) -> turmoil::Result {
    loop {
        let machine = &world.master;
        let config = master::Config {
            restored: world.take_restore(),
            ..master_config(world.chance_of(machine).next_u64())
        };
        let disk = machine.disks()[0].shared();
        let started = master::start(
            config,
            world.network(MASTER),
            disk,
            CancellationToken::new(),
        );
        let (in_start, error) = match started.await {
            Ok(running) => (false, watch_tasks(&world, machine, running.ended()).await),
            Err(error) => (true, Err(error)),
        };
        let error = error.map_err(|error| format!("{error:?}: {error}"));
        world.look_into_end(machine, &Ended { in_start, error });
        sleep(START_AGAIN_AFTER).await;
    }
}

/// Runs a storage node, and starts it again when it ends.
pub(crate) async fn run_node(world: Arc<World>, index: usize) -> turmoil::Result {
    loop {
        let machine = &world.nodes[index];
        let disks = machine.disks().iter().map(MemoryDisk::shared).collect();
        let ended = storage_node::run(
            node_config(&machine.name),
            environment(&world, machine),
            world.network(&machine.name),
            disks,
            CancellationToken::new(),
            |_| {},
        );
        let error = watch_tasks(&world, machine, ended).await;
        let in_start = matches!(error, Err(RunError::Open(_)));
        let error = error.map_err(|error| format!("{error:?}: {error}"));
        world.look_into_end(machine, &Ended { in_start, error });
        sleep(START_AGAIN_AFTER).await;
    }
}

fn environment(world: &World, machine: &Machine) -> Environment {
    let mut chance = world.chance_of(machine);
    let journal = world.journal.clone();
    let skew_ms = chance.random_range(0..SKEW_MAX_MS);
    let (begin_ms, times) = if world.kind.reports_rot {
        (skew_ms, 1)
    } else {
        (0, QUICK_DAYS)
    };
    let chance = Mutex::new(chance);
    Environment::new(
        Blocking::inline(),
        move || {
            let elapsed_ms = u64::try_from(journal.now().as_millis()).unwrap_or(u64::MAX);
            begin_ms + elapsed_ms.saturating_mul(times)
        },
        move |bytes| chance.lock().fill_bytes(bytes),
    )
}

/// Fails the run if a process that is not ended comes to have more and more to do.
async fn watch_tasks<T>(world: &World, machine: &Machine, process: impl Future<Output = T>) -> T {
    let watch = async {
        loop {
            sleep(Duration::from_secs(1)).await;
            let tasks = Handle::current().metrics().num_alive_tasks();
            if tasks > TASKS_MAX {
                let name = &machine.name;
                let message = format_args!("{name} has {tasks} tasks");
                world.journal.fail(message);
            }
        }
    };
    tokio::select! {
        biased;
        ended = process => ended,
        () = watch => unreachable!("it never ends"),
    }
}

/// Short times, so that little has to be simulated.
fn master_config(chance_seed: u64) -> master::Config {
    master::Config {
        listen: address_of("0.0.0.0"),
        rules: ClusterRules {
            chunk_size: u32::try_from(CHUNK_LEN).expect("it is small"),
            replication_factor: u8::try_from(COPIES).expect("it is small"),
            min_write_replicas: 2,
            file_size_max: None,
            names: NameRules::Any,
        },
        secret: Some(secret()),
        heartbeat_interval: Duration::from_secs(1),
        failure_timeout: Duration::from_secs(5),
        upload_lease: Duration::from_secs(8),
        resumable_upload_retention: Duration::from_secs(16),
        garbage_grace: Duration::from_secs(2),
        trash_retention: KEPT_FOR,
        version_retention: KEPT_FOR,
        unknown_chunk_grace: Duration::from_secs(10),
        inventory_interval: Duration::from_secs(5),
        cache_bytes: 1 << 20,
        chance_seed,
        blocking: Blocking::inline(),
        ..master::Config::default()
    }
}

fn node_config(name: &str) -> storage_node::Config {
    storage_node::Config {
        listen: address_of("0.0.0.0"),
        advertise: Some(address_of(name)),
        data: Vec::new(),
        masters: vec![address_of(MASTER)],
        zone: String::new(),
        secret: Some(secret()),
        reserve: 64 << 10,
        extent_size: 256 << 10,
        cache_bytes: 1 << 20,
        scrub_rate: 1 << 20,
        compact_below: 0.5,
        limits: proto::server::Limits::default(),
        acceptance: Acceptance::default(),
    }
}
