//! What every command works with: the settings, the cluster, and what a person wants to hear.

use client::{ClientOptions, Cluster};
use jiff::tz::TimeZone;
use proto::id::ClusterId;
use proto::net::{Address, Tcp};
use settings::{ConfigArgs, Loader, Settings};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::args::Common;
use crate::progress::Narrator;

/// Made once, before a command begins.
#[derive(Debug)]
pub(crate) struct Context {
    /// All settings.
    pub(crate) settings: Settings,
    /// As the flags said, to hand them on to child processes.
    pub(crate) config: ConfigArgs,
    /// Where the cluster is.
    pub(crate) cluster: Cluster,
    /// Tells what goes on.
    pub(crate) narrator: Narrator,
    /// The zone in which times are shown.
    pub(crate) zone: TimeZone,
    /// Cancelled by Ctrl-C.
    pub(crate) stop: CancellationToken,
    id: OnceCell<ClusterId>,
}

impl Context {
    /// Reads settings and starts logging. Nobody is connected to yet.
    pub(crate) fn new(common: &Common, stop_with_stdin: bool) -> anyhow::Result<Self> {
        let masters: Vec<_> = common.master.iter().map(Address::to_string).collect();
        let settings = Loader::new(&common.config)
            .flag_list("--master", "client.master", &masters)
            .load()?;
        start_logging(common.verbose, &settings)?;
        Ok(Self {
            cluster: connect(&settings, settings.client.master.clone()),
            config: common.config.clone(),
            narrator: Narrator::new(common.quiet),
            zone: TimeZone::system(),
            stop: settings::shutdown::token(stop_with_stdin),
            settings,
            id: OnceCell::new(),
        })
    }

    /// The cluster's id, asked for once.
    pub(crate) async fn cluster_id(&self) -> Result<ClusterId, client::Error> {
        let ask = || async { Ok(self.cluster.status().await?.cluster) };
        self.id.get_or_try_init(ask).await.copied()
    }
}

/// The cluster with these masters.
pub(crate) fn connect(settings: &Settings, masters: Vec<Address>) -> Cluster {
    let options = ClientOptions {
        chunks_in_flight: usize::from(settings.client.chunks_in_flight),
        ..ClientOptions::default()
    };
    let secret = settings.cluster.cluster_secret();
    Cluster::new(Tcp::shared(), masters, secret, options)
}

/// A person who stores a file wants to hear of it, not of the connections below. `log.level` is for the servers.
fn start_logging(verbose: bool, settings: &Settings) -> anyhow::Result<()> {
    let level = if verbose { "debug" } else { "off" };
    let mut log = settings.log.clone();
    log.level = level
        .parse()
        .map_err(|()| anyhow::anyhow!("{level} is no level"))?;
    settings::start_logging(&log)?;
    Ok(())
}
