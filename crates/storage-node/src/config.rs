//! What a node is started with, taken out of the settings in one place.

use std::path::PathBuf;

use proto::hello::ClusterSecret;
use proto::net::Address;
use proto::server::Limits;
use settings::Settings;

use crate::identity::Acceptance;

/// How a node runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens.
    pub listen: Address,
    /// Where others reach it, if that is elsewhere.
    pub advertise: Option<Address>,
    /// Its folders, one a disk.
    pub data: Vec<PathBuf>,
    /// Its masters, tried in turn.
    pub masters: Vec<Address>,
    /// Its zone.
    pub zone: String,
    /// The cluster's secret.
    pub secret: Option<ClusterSecret>,
    /// Bytes of each disk that puts leave free; never more than 5 % of it.
    pub reserve: u64,
    /// An extent is sealed at this length.
    pub extent_size: u64,
    /// Memory for the indexes of all disks.
    pub cache_bytes: usize,
    /// Bytes a second that the scrubber rereads at most; 0 for none.
    pub scrub_rate: u64,
    /// An extent is compacted when a smaller share of it lives.
    pub compact_below: f64,
    /// Which folders are taken.
    pub acceptance: Acceptance,
    /// How much its server takes, and how long it waits.
    pub limits: Limits,
}

impl Config {
    /// The settings of a node.
    pub fn from_settings(settings: &Settings, acceptance: Acceptance) -> Self {
        let node = &settings.storage_node;
        Self {
            listen: node.listen.clone(),
            advertise: node.advertise.clone(),
            data: node.data.clone(),
            masters: settings.client.master.clone(),
            zone: node.zone.clone(),
            secret: settings.cluster.cluster_secret(),
            reserve: node.reserve.get(),
            extent_size: node.extent_size.get(),
            cache_bytes: node.cache.as_usize(),
            scrub_rate: node.scrub_rate.get(),
            compact_below: node.compact_below.get(),
            limits: Limits {
                connections_max: settings::connections_possible(Limits::default().connections_max),
                ..Limits::default()
            },
            acceptance,
        }
    }
}
