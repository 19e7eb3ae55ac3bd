//! `SeaweedFS`: a master, three volume servers in one rack, and a filer that keeps three copies of everything.
//!
//! With `fsync` the filer is configured to have every path written with it (`fs.configure -fsync`). That each volume server then calls
//! `fsync` for each file was seen with `strace -c`; docs/PERFORMANCE.md has it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::{Door, System, until};
use crate::content::Content;
use crate::http::said;
use crate::process::{Process, START_TIMEOUT, free_port};

const VOLUME_SERVERS: usize = 3;
/// Two more copies, on other servers of the same rack.
const REPLICATION: &str = "002";
/// More than any folder here has.
const PAGE_LEN: u64 = 2_000_000;

/// A cluster of `SeaweedFS`.
#[derive(Debug)]
pub(crate) struct SeaweedFs {
    door: Door,
    nodes: Vec<Process>,
    master: Process,
    filer: Process,
}

/// Where one of its servers listens.
struct Ports {
    http: u16,
    grpc: u16,
}

impl Ports {
    fn free() -> Result<Self> {
        Ok(Self {
            http: free_port()?,
            grpc: free_port()?,
        })
    }

    /// As its own programs write it.
    fn address(&self) -> String {
        format!("127.0.0.1:{}.{}", self.http, self.grpc)
    }

    fn arguments(&self) -> [String; 3] {
        let Self { http, grpc } = self;
        [
            "-ip=127.0.0.1".to_owned(),
            format!("-port={http}"),
            format!("-port.grpc={grpc}"),
        ]
    }
}

impl SeaweedFs {
    /// Starts it, and waits until a file can be written.
    pub(crate) async fn start(weed: &Path, folder: &Path, has_fsync: bool) -> Result<Self> {
        let server = |kind: &str, name: &str, ports: &Ports| {
            Process::new(weed, folder, name)
                .with([kind])
                .with(ports.arguments())
        };
        let (master_ports, filer_ports) = (Ports::free()?, Ports::free()?);
        let data = |name: &str| -> Result<PathBuf> {
            let path = folder.join(name);
            std::fs::create_dir(&path)?;
            Ok(path)
        };
        data("master")?;
        let replication = format!("-defaultReplication={REPLICATION}");
        let mut master = server("master", "master", &master_ports)
            .with([
                "-mdir=master",
                "-peers=none",
                "-telemetry=false",
                "-volumeSizeLimitMB=1024",
            ])
            .with([replication]);
        master.start()?;
        let its_master = format!("-master={}", master_ports.address());
        let mut nodes = Vec::new();
        for number in 1..=VOLUME_SERVERS {
            let name = format!("volume{number}");
            data(&name)?;
            let mut node = server("volume", &name, &Ports::free()?)
                .with([format!("-dir={name}"), its_master.clone()])
                .with(["-max=1000", "-dataCenter=one", "-rack=one"]);
            node.start()?;
            nodes.push(node);
        }
        data("filer")?;
        let placement = format!("-defaultReplicaPlacement={REPLICATION}");
        let mut filer = server("filer", "filer", &filer_ports)
            .with([its_master, placement])
            .with(["-defaultStoreDir=filer", "-localSocket=filer.sock"]);
        filer.start()?;
        let seaweedfs = Self {
            door: Door::new(format!("127.0.0.1:{}", filer_ports.http), "/", ""),
            nodes,
            master,
            filer,
        };
        seaweedfs.until_ready().await?;
        if has_fsync {
            configure_fsync(weed, folder, &master_ports, &filer_ports).await?;
        }
        Ok(seaweedfs)
    }

    async fn until_ready(&self) -> Result<()> {
        let mut http = self.door.connect();
        let ready = until("a file can be written", async || {
            http.put("/probe", Content::new(u64::MAX, 100)).await
        });
        ready
            .await
            .with_context(|| format!("{}\n{}", self.master.log_tail(), self.filer.log_tail()))
    }
}

/// Its shell is the only way to say so.
async fn configure_fsync(weed: &Path, folder: &Path, master: &Ports, filer: &Ports) -> Result<()> {
    let mut shell = tokio::process::Command::new(weed);
    shell
        .args(["shell", &format!("-master={}", master.address())])
        .arg(format!("-filer={}", filer.address()))
        .current_dir(folder)
        .env("TMPDIR", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut shell = shell.spawn().context("start its shell")?;
    let mut stdin = shell.stdin.take().context("its input is a pipe")?;
    stdin
        .write_all(b"fs.configure -locationPrefix=/ -fsync -apply\nfs.configure\n")
        .await?;
    drop(stdin);
    let said = tokio::time::timeout(START_TIMEOUT, shell.wait_with_output()).await;
    let said = said.context("its shell does not end")??;
    let text = String::from_utf8_lossy(&said.stdout);
    ensure!(
        said.status.success() && text.contains(r#""fsync":  true"#),
        "fsync could not be configured: {text}{}",
        String::from_utf8_lossy(&said.stderr)
    );
    Ok(())
}

impl System for SeaweedFs {
    fn door(&self) -> &Door {
        &self.door
    }

    fn process_ids(&self) -> Vec<u32> {
        let all = self.nodes.iter().chain([&self.master, &self.filer]);
        all.flat_map(Process::ids).collect()
    }

    fn list<'a>(&'a self, folder: &'a str) -> LocalBoxFuture<'a, Result<u64>> {
        async move {
            let path = format!("/{folder}/?limit={PAGE_LEN}");
            let mut http = self.door.connect();
            let answer = http
                .send("GET", &path, "Accept: application/json\r\n", None)
                .await?;
            ensure!(answer.status == 200, "GET {path}: {}", said(&answer));
            let page: Value = serde_json::from_slice(&answer.body)?;
            Ok(page["Entries"].as_array().map_or(0, Vec::len) as u64)
        }
        .boxed_local()
    }

    fn nodes(&mut self) -> &mut [Process] {
        &mut self.nodes
    }

    fn restart_node(&mut self, place: usize) -> LocalBoxFuture<'_, Result<()>> {
        async move {
            self.nodes[place].start()?;
            self.until_ready().await
        }
        .boxed_local()
    }

    fn thaw_node(&mut self, place: usize) -> LocalBoxFuture<'_, Result<()>> {
        async move {
            self.nodes[place].thaw()?;
            self.until_ready().await
        }
        .boxed_local()
    }
}
