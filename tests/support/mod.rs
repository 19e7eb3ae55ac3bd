//! A whole cluster of real processes, on ports that the system chose, in a folder that goes away.
//!
//! Faults are verbs: `cluster.node(1).kill()`. What is awaited is an event, never a length of time; every wait has a bound,
//! and says what it waited for. A cluster that was not harmed must not have logged a warning, and none may ever
//! log an error that the test did not announce.

mod browser;
mod content;
pub(crate) mod list;
pub(crate) mod panel;
mod process;
pub(crate) mod small_disk;

use std::path::{Path, PathBuf};
use std::time::Duration;

use client::{ClientOptions, Cluster as Client};
use proto::master::{ClusterStatus, Health};
use proto::name::EntryPath;
use proto::net::{Address, Tcp};
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) use browser::{Look, Page, Screen, browse};
pub(crate) use content::{collect, content, download};
pub(crate) use process::{Process, program, run};

/// Nothing that is awaited takes this long, even on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// Master, nodes and web.
pub(crate) struct Cluster {
    pub(crate) master: Process,
    nodes: Vec<Process>,
    pub(crate) web: Process,
    folder: TempDir,
    harmed: bool,
    expected_in_logs: Vec<&'static str>,
}

/// How a cluster shall be.
pub(crate) struct Plan {
    nodes: usize,
    settings: Vec<(&'static str, String)>,
    master_folder: Option<PathBuf>,
}

impl Plan {
    /// Three nodes, with the settings that anybody has.
    pub(crate) fn as_shipped() -> Self {
        Self {
            nodes: 3,
            settings: Vec::new(),
            master_folder: None,
        }
    }

    /// Another number of nodes than three.
    pub(crate) fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Another folder for the master.
    pub(crate) fn master_in(mut self, folder: &Path) -> Self {
        self.master_folder = Some(folder.to_owned());
        self
    }

    /// A line of `[cluster]` in the configuration.
    pub(crate) fn set(mut self, key: &'static str, value: &str) -> Self {
        self.settings.retain(|(name, _)| *name != key);
        self.settings.push((key, value.to_owned()));
        self
    }

    /// Starts it, and waits until it is green.
    pub(crate) async fn start(self) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let lines = self
            .settings
            .iter()
            .map(|(key, value)| format!("{key} = {value}\n"));
        let settings = format!("[cluster]\n{}", lines.collect::<String>());
        std::fs::write(folder.path().join("config.toml"), &settings).unwrap();
        let mut master = Process::new(folder.path(), "master", "dfs-master");
        master.arguments(&["--listen", "127.0.0.1:0", "--data"]);
        let default = folder.path().join("master");
        master.argument_path(self.master_folder.as_deref().unwrap_or(&default));
        master.start().await;
        let mut web = Process::new(folder.path(), "web", "dfs-web");
        web.arguments(&[
            "--listen",
            "127.0.0.1:0",
            "--master",
            master.address().as_str(),
        ]);
        web.start().await;
        let mut cluster = Cluster {
            master,
            nodes: Vec::new(),
            web,
            folder,
            harmed: false,
            expected_in_logs: Vec::new(),
        };
        for _ in 0..self.nodes {
            cluster.add_node().await;
        }
        if self.nodes > 2 {
            cluster.until_healthy().await;
        }
        cluster
    }
}

impl Cluster {
    /// Three nodes and small chunks, with short times, so that what takes seconds in life takes moments here.
    pub(crate) async fn start() -> Self {
        Self::plan().start().await
    }

    /// The same, to be changed.
    pub(crate) fn plan() -> Plan {
        Plan::as_shipped()
            .set("chunk_size", "\"64KiB\"")
            .set("heartbeat_interval", "\"300ms\"")
            .set("failure_timeout", "\"4s\"")
    }

    /// The node with this number, from 1. Whoever asks for it mutably is about to harm it.
    pub(crate) fn node(&mut self, number: usize) -> &mut Process {
        self.harmed = true;
        &mut self.nodes[number - 1]
    }

    /// All nodes, unharmed.
    pub(crate) fn nodes(&self) -> &[Process] {
        &self.nodes
    }

    /// One more node.
    pub(crate) async fn add_node(&mut self) {
        let number = self.nodes.len() + 1;
        let folder = self.folder.path().join(format!("node{number}"));
        self.add_node_in(&folder).await;
    }

    /// One more node, with its data in this folder.
    pub(crate) async fn add_node_in(&mut self, folder: &Path) {
        let number = self.nodes.len() + 1;
        let name = format!("node{number}");
        let mut node = Process::new(self.folder.path(), &name, "dfs-storage-node");
        node.arguments(&["127.0.0.1", "0"]);
        node.argument_path(folder);
        node.arguments(&["--master", self.master.address().as_str()]);
        node.start().await;
        self.nodes.push(node);
    }

    /// Starts a second master on a copy of the first one's data. Its log is not checked.
    pub(crate) async fn second_master(&mut self, copy: &Path) -> Process {
        self.harmed = true;
        let mut second = Process::new(self.folder.path(), "second-master", "dfs-master");
        second.arguments(&["--listen", "127.0.0.1:0", "--data"]);
        second.argument_path(copy);
        second.start().await;
        second
    }

    /// Has a node look for this master first, and for its own one then.
    pub(crate) fn prefer(&mut self, number: usize, master: &Process) {
        let own = self.master.address();
        let node = self.node(number);
        node.replace_argument("--master", master.address().as_str());
        node.arguments(&["--master", own.as_str()]);
    }

    /// Waits until every node has told the master something, and was answered, twice from now on.
    pub(crate) async fn until_nodes_hear_of_it(&self) {
        for _ in 0..2 {
            let began = Instant::now();
            until("every node's heartbeat has come", || async {
                let since = began.elapsed().as_millis();
                let nodes = self.client().nodes(None, 100).await.unwrap().nodes;
                let is_new = |age: Option<u64>| age.is_some_and(|age| u128::from(age) < since);
                nodes.iter().all(|node| is_new(node.heartbeat_age_ms))
            })
            .await;
        }
    }

    /// Kills every process in the same moment.
    pub(crate) fn kill_all(&mut self) {
        self.harmed = true;
        self.master.kill();
        self.web.kill();
        self.nodes.iter_mut().for_each(Process::kill);
    }

    /// Starts what does not run, the master last.
    pub(crate) async fn restart_all(&mut self) {
        for node in &mut self.nodes {
            if !node.is_running() {
                node.start().await;
            }
        }
        for process in [&mut self.web, &mut self.master] {
            if !process.is_running() {
                process.start().await;
            }
        }
    }

    /// The master is about to be harmed.
    pub(crate) fn master(&mut self) -> &mut Process {
        self.harmed = true;
        &mut self.master
    }

    /// The web process is about to be harmed.
    pub(crate) fn web(&mut self) -> &mut Process {
        self.harmed = true;
        &mut self.web
    }

    /// Warnings and errors with these words may be logged.
    pub(crate) fn expect_in_log(&mut self, words: &'static str) {
        self.expected_in_logs.push(words);
    }

    /// A client of its own, without memory of earlier failures.
    pub(crate) fn client(&self) -> Client {
        client_of(&self.master)
    }

    /// The address of a path of the HTTP API.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.web.address())
    }

    /// Where the command line finds this cluster: arguments to put behind a command.
    pub(crate) fn dfs(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = program("dfs");
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .args(["--master", self.master.address().as_str()]);
        command
    }

    /// A folder for the test's own files.
    pub(crate) fn scratch(&self) -> PathBuf {
        let scratch = self.folder.path().join("scratch");
        std::fs::create_dir_all(&scratch).unwrap();
        scratch
    }

    /// Stores these bytes under a name, and checks nothing but that it is acknowledged.
    pub(crate) async fn upload(&self, path: &str, bytes: &[u8]) {
        let path: EntryPath = path.parse().unwrap();
        let client = self.client();
        let uploaded = client.upload(&path, bytes, client::UploadOptions::default());
        uploaded.await.unwrap();
    }

    /// Everything has all its copies, and uploads work.
    pub(crate) async fn until_healthy(&self) {
        self.until("the cluster is green", |status| {
            status.health == Health::Green
        })
        .await;
    }

    /// Waits until the master says so.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&ClusterStatus) -> bool) {
        self.until_of(&self.master, what, holds).await;
    }

    /// Waits until this master says so.
    pub(crate) async fn until_of(
        &self,
        master: &Process,
        what: &str,
        holds: impl Fn(&ClusterStatus) -> bool,
    ) {
        let client = client_of(master);
        let mut last = String::from("no answer yet");
        let is_so = comes_true(async || match client.status().await {
            Ok(status) if holds(&status) => true,
            Ok(status) => {
                last = format!("{status:#?}");
                false
            }
            Err(error) => {
                last = error.to_string();
                false
            }
        });
        assert!(
            is_so.await,
            "waited for {PATIENCE:?} until {what}; last: {last}\n{}",
            self.logs()
        );
    }

    fn logs(&self) -> String {
        let all = self.nodes.iter().chain([&self.master, &self.web]);
        all.map(Process::log_tail).collect()
    }

    fn check_logs(&self) {
        for process in self.nodes.iter().chain([&self.master, &self.web]) {
            let log = process.log();
            let bad = |line: &&str| {
                let is_error = line.contains(" ERROR ");
                let is_warning = line.contains(" WARN ") && !self.harmed;
                let expected = self
                    .expected_in_logs
                    .iter()
                    .any(|words| line.contains(words));
                (is_error || is_warning || line.contains("panicked")) && !expected
            };
            if let Some(line) = log.lines().find(bad) {
                panic!("{} logged: {line}\n{}", process.name(), process.log_tail());
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        } else {
            self.check_logs();
        }
    }
}

/// A client of this master.
pub(crate) fn client_of(master: &Process) -> Client {
    let masters = vec![master.address()];
    Client::new(Tcp::shared(), masters, None, ClientOptions::default())
}

/// Waits until a thing holds that only asking tells.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let holds = comes_true(async || holds().await);
    assert!(holds.await, "waited for {PATIENCE:?} until {what}");
}

/// Whether it holds in time. Another process tells nobody of an event, so it is asked again and again.
pub(crate) async fn comes_true(mut ask: impl AsyncFnMut() -> bool) -> bool {
    let asks = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asks).await.is_ok()
}

/// Bytes of all plain files below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// An address that somebody else listens on.
pub(crate) fn taken_address() -> (std::net::TcpListener, Address) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().into();
    (listener, address)
}
