//! What a master is started with: plain values, so that a test can make one without files or environment.

use std::time::Duration;

use disk::Blocking;
use proto::hello::ClusterSecret;
use proto::master::ClusterRules;
use proto::name::NameRules;
use proto::net::Address;
use proto::server::Limits;
use settings::Settings;

/// All settings of a master.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens; port 0 takes any free port.
    pub listen: Address,
    /// What the cluster is made with.
    pub rules: ClusterRules,
    /// What proves that a peer belongs to the cluster.
    pub secret: Option<ClusterSecret>,
    /// How often nodes send heartbeats.
    pub heartbeat_interval: Duration,
    /// A node silent for so long is dead.
    pub failure_timeout: Duration,
    /// How long an upload may be silent.
    pub upload_lease: Duration,
    /// How long an upload is kept that can be gone on with by whoever knows its id, from its beginning.
    pub resumable_upload_retention: Duration,
    /// How long chunks that nothing needs are kept.
    pub garbage_grace: Duration,
    /// How long deleted entries stay in the trash.
    pub trash_retention: Duration,
    /// How long overwritten versions are kept.
    pub version_retention: Duration,
    /// How long chunks that the master does not know stay on their node.
    pub unknown_chunk_grace: Duration,
    /// How often each node's inventory is compared with the record, apart from when it registers.
    pub inventory_interval: Duration,
    /// Bytes a second that repair may copy in all.
    pub repair_rate: Option<u64>,
    /// Chunks that repair copies from, and to, one node at once.
    pub repairs_per_node: u32,
    /// A node gets copies of others' only if it holds so many bytes less than its share.
    pub rebalance_min_bytes: u64,
    /// Memory for pages of the store.
    pub cache_bytes: usize,
    /// The folder was restored from an old copy: nodes that have seen later masters are taken in, and nothing is
    /// deleted before a person ends safe mode.
    pub restored: bool,
    /// Where blocking work runs.
    pub blocking: Blocking,
    /// Where chance begins, from which also the ids of this start, and of a new cluster, come: no two starts may have the
    /// same.
    pub chance_seed: u64,
    /// How much the server takes.
    pub limits: Limits,
}

impl Config {
    /// The master's part of the settings; `restored` is for one start only, and so a flag.
    ///
    /// # Errors
    /// The system has no chance to give.
    pub fn from_settings(settings: &Settings, restored: bool) -> Result<Self, getrandom::Error> {
        let cluster = &settings.cluster;
        Ok(Self {
            chance_seed: getrandom::u64()?,
            restored,
            listen: settings.master.listen.clone(),
            rules: cluster.rules(),
            secret: cluster.cluster_secret(),
            heartbeat_interval: cluster.heartbeat_interval.duration(),
            failure_timeout: cluster.failure_timeout.duration(),
            upload_lease: cluster.upload_lease.duration(),
            resumable_upload_retention: cluster.resumable_upload_retention.duration(),
            garbage_grace: cluster.garbage_grace.duration(),
            trash_retention: cluster.trash_retention.duration(),
            version_retention: cluster.version_retention.duration(),
            unknown_chunk_grace: cluster.unknown_chunk_grace.duration(),
            repair_rate: cluster.repair_rate.map(settings::ByteSize::get),
            repairs_per_node: u32::from(cluster.repairs_per_node),
            cache_bytes: settings.master.cache.as_usize(),
            limits: Limits {
                connections_max: settings::connections_possible(Limits::default().connections_max),
                ..Limits::default()
            },
            ..Self::default()
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            listen: "127.0.0.1:9000".parse().expect("it is an address"),
            rules: ClusterRules {
                chunk_size: 1 << 20,
                replication_factor: 3,
                min_write_replicas: 2,
                file_size_max: None,
                names: NameRules::Any,
            },
            secret: None,
            heartbeat_interval: Duration::from_secs(5),
            failure_timeout: Duration::from_secs(15),
            upload_lease: HOUR * 24,
            resumable_upload_retention: HOUR * 24 * 7,
            garbage_grace: HOUR,
            trash_retention: HOUR * 24 * 30,
            version_retention: HOUR * 24 * 30,
            unknown_chunk_grace: HOUR * 24,
            inventory_interval: HOUR * 24,
            repair_rate: None,
            repairs_per_node: 2,
            rebalance_min_bytes: 256 << 20,
            cache_bytes: 8 << 20,
            restored: false,
            chance_seed: 0,
            blocking: Blocking::threads(),
            limits: Limits::default(),
        }
    }
}
