//! What `dfs-web` is started with, and how that becomes a server.

use std::env;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use client::{ClientOptions, Cluster};
use proto::net::{ListenError, Tcp};
use settings::{ByteSize, Loader, ServerArgs, Settings, WebAddress, WebSettings};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{AppState, Hosts, Limits, TransferLimits, app, listen, serve};

/// The page and the HTTP API of a DFS cluster.
#[derive(Debug, Parser)]
#[command(name = "dfs-web", version)]
pub struct Arguments {
    /// Where to listen [default: 127.0.0.1:5000]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// The master; may be said several times [default: 127.0.0.1:9000]
    #[arg(long, value_name = "HOST:PORT")]
    pub master: Vec<String>,
    /// What all servers have in common.
    #[command(flatten)]
    pub server: ServerArgs,
}

impl Arguments {
    /// The settings that hold with these arguments.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let settings = Loader::new(&self.server.config)
            .flag("--listen", "web.listen", self.listen.as_deref())
            .flag_list("--master", "client.master", &self.master)
            .load()?;
        Ok(settings)
    }
}

/// Listens, says where on standard output, and serves until `shutdown`.
pub async fn run(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let address = &settings.web.listen;
    let listener = listen(address).await.map_err(|error| ListenError {
        address: address.clone(),
        error,
    })?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", listener.local_addr()?).and_then(|()| stdout.flush())?;

    let public_url = settings.web.public_url.as_ref();
    let hosts =
        Hosts::new(address, &settings.web.hosts).with_public(public_url.map(WebAddress::authority));
    let cluster = cluster(&settings);
    let drive = Arc::new(cluster.clone());
    let state = AppState::new(drive, hosts, transfers(&settings.web))
        .with_public_url(public_url.map(WebAddress::as_str))
        .with_proxies(settings.web.proxies)
        .with_temporary_folder(temporary_folder(
            env::var_os("TMPDIR").as_deref(),
            Path::new("/var/tmp"),
        ))
        .until(shutdown.clone());
    let limits = Limits::default();
    let limits = Limits {
        connections_max: settings::connections_possible(limits.connections_max),
        patience: settings.web.idle_timeout.duration(),
        ..limits
    };
    let appends = state.appends();
    serve(listener, app(state), limits, shutdown).await;
    appends.close();
    if timeout(limits.grace, appends.wait()).await.is_err() {
        tracing::info!("parts of uploads that were still being stored have to be sent again");
    }
    cluster.settle().await;
    Ok(())
}

fn cluster(settings: &Settings) -> Cluster {
    let secret = settings.cluster.secret.as_ref();
    let options = ClientOptions {
        chunks_in_flight: usize::from(settings.client.chunks_in_flight),
        ..ClientOptions::default()
    };
    Cluster::new(
        Tcp::shared(),
        settings.client.master.clone(),
        secret.map(settings::Secret::cluster_secret),
        options,
    )
}

fn transfers(web: &WebSettings) -> TransferLimits {
    TransferLimits {
        uploads_at_once: web.uploads_at_once,
        patience: web.idle_timeout.duration(),
        upload_request_max: web.upload_request_max.map(ByteSize::get),
        request_file_max: web.request_file_max.map(ByteSize::get),
        ..TransferLimits::default()
    }
}

/// The one that was named, and else this one, if it can be written to: it is on a disk, and what else a system has is memory on many.
fn temporary_folder(named: Option<&OsStr>, roomy: &Path) -> PathBuf {
    let is_named = named.is_some_and(|named| !named.is_empty());
    if cfg!(unix) && !is_named && tempfile::tempfile_in(roomy).is_ok() {
        return roomy.to_owned();
    }
    env::temp_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On many systems `/tmp` is memory, and the lists of large zips would take it.
    #[test]
    fn temporary_files_are_on_a_disk_if_nobody_says_where() {
        let roomy = tempfile::tempdir().unwrap();
        let missing = roomy.path().join("missing");
        let expected = if cfg!(unix) {
            roomy.path().to_owned()
        } else {
            env::temp_dir()
        };
        for (named, roomy, expected) in [
            (None, roomy.path(), &expected),
            (Some(OsStr::new("")), roomy.path(), &expected),
            (Some(OsStr::new("named")), roomy.path(), &env::temp_dir()),
            (None, &missing, &env::temp_dir()),
        ] {
            assert_eq!(temporary_folder(named, roomy), *expected, "{named:?}");
        }
    }
}
