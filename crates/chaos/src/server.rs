//! One server: its process, which is started, killed and paused, and what it has of its own: a disk, a network, a clock.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use proto::net::Address;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use crate::image::Image;
use crate::programs;
use crate::system::{self, Means, Signal, Usage};

/// No process takes this long to start, to stop when it is asked to, or to die.
const START_WITHIN: Duration = Duration::from_secs(60);
/// A process that says no more has ended within this.
const END_WITHIN: Duration = Duration::from_secs(5);
/// A process that is told to stand still does so within this, also one that waits for its disk.
const STILL_WITHIN: Duration = Duration::from_secs(10);

/// What a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Master,
    /// A storage node, with where its master is.
    Node(Address),
}

/// A master or a storage node.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its folder, its log and its network are called so too.
    pub(crate) name: String,
    kind: Kind,
    folder: PathBuf,
    address: Address,
    child: Option<Child>,
    /// The disk of its own, where it has one.
    pub(crate) image: Option<Image>,
    /// The network that it is started in, where it has one of its own.
    pub(crate) namespace: Option<String>,
    /// Where it is written how wrong its clock is, where it has one of its own.
    pub(crate) clock: Option<PathBuf>,
    /// The group of processes that it goes into at a start, by the file that it writes its number to.
    pub(crate) group: Option<PathBuf>,
    /// Its disk has failed to give what was asked of it, or to keep what it took: an index there may be damaged.
    pub(crate) index_may_be_damaged: bool,
}

impl Server {
    /// One that does not run yet, with its data in a folder of its name.
    pub(crate) fn new(folder: &Path, name: &str, kind: Kind, address: Address) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            folder: folder.to_owned(),
            address,
            child: None,
            image: None,
            namespace: None,
            clock: None,
            group: None,
            index_may_be_damaged: false,
        }
    }

    /// Where it listens; known from the first start on.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn is_master(&self) -> bool {
        self.kind == Kind::Master
    }

    /// The folder that its data is in: that of its disk, if it has one of its own.
    pub(crate) fn place(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.place().join("data")
    }

    /// Starts it, and waits until it listens.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        match self.start_or_end(&[]).await? {
            None => Ok(()),
            Some(status) => bail!("{} ended before it listened: {status}", self.name),
        }
    }

    /// The same, behind these words for this start only, where it may end before it listens: how it ended then.
    pub(crate) async fn start_or_end(
        &mut self,
        words: &[&str],
    ) -> anyhow::Result<Option<ExitStatus>> {
        let Err(error) = self.try_to_start(words).await else {
            return Ok(None);
        };
        let ended = self.has_ended_within(END_WITHIN).await;
        self.end().await?;
        match ended {
            Some(status) => Ok(Some(status)),
            None => Err(error),
        }
    }

    async fn try_to_start(&mut self, words: &[&str]) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.name);
        let line = self.command_line(words)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())?;
        let mut child = programs::command(Path::new(&line[0]))
            .args(&line[1..])
            .current_dir(&self.folder)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", self.name))?;
        let stdout = child.stdout.take().context("it is piped")?;
        self.child = Some(child);
        let mut lines = BufReader::new(stdout).lines();
        let said = timeout(START_WITHIN, lines.next_line()).await;
        let said = said.with_context(|| format!("{} says nothing for a minute", self.name))??;
        let address = said
            .as_deref()
            .and_then(|line| line.strip_prefix("listening on "));
        let Some(address) = address else {
            let name = &self.name;
            bail!("{name} said {said:?} instead of where it listens");
        };
        self.address = address.parse()?;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(())
    }

    /// All of it, from what wraps the program to its last argument.
    fn command_line(&self, words: &[&str]) -> anyhow::Result<Vec<OsString>> {
        let mut line: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| line.extend(words.iter().map(OsString::from));
        add(system::end_with_parent());
        // First of all: where a network is its own, /sys is another.
        if let Some(group) = &self.group {
            let enter = "echo $$ > \"$0\" && exec \"$@\"";
            add(&["sh", "-c", enter, &group.to_string_lossy()]);
        }
        if let Some(namespace) = &self.namespace {
            add(&["ip", "netns", "exec", namespace]);
        }
        add(words);
        if let (Some(clock), Some(library)) = (&self.clock, system::faketime()) {
            let clock = clock.to_string_lossy();
            add(&[
                "env",
                "FAKETIME_NO_CACHE=1",
                "FAKETIME_DONT_FAKE_MONOTONIC=1",
            ]);
            add(&[
                &format!("LD_PRELOAD={library}"),
                &format!("FAKETIME_TIMESTAMP_FILE={clock}"),
            ]);
        }
        let (program, master) = match &self.kind {
            Kind::Master => ("dfs-master", None),
            Kind::Node(master) => ("dfs-storage-node", Some(master)),
        };
        line.push(programs::path(program)?.into());
        let flags = [
            ("--config", self.folder.join("config.toml").into_os_string()),
            ("--listen", self.address.as_str().into()),
            ("--data", self.data().into()),
        ];
        let master = master.map(|master| ("--master", master.as_str().into()));
        for (flag, value) in flags.into_iter().chain(master) {
            line.extend([flag.into(), value]);
        }
        Ok(line)
    }

    /// Ends it at once: kill -9. When this returns, its port and its files are free. It must not have ended by itself before.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        match self.end().await? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself: {status}", self.name),
        }
    }

    /// The same, where it may have ended by itself before: how, if it did.
    pub(crate) async fn end(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(mut child) = self.child.take() else {
            return Ok(None);
        };
        // It may have ended already.
        drop(child.start_kill());
        let ended = timeout(START_WITHIN, child.wait()).await;
        let status = ended.with_context(|| format!("{} does not die", self.name))??;
        Ok((!system::was_killed(status)).then_some(status))
    }

    /// Asks it to end, and waits for that: how it did, if not well. Where the system has no way to ask, it is killed.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        if Means::Signals.missing().is_some() {
            self.kill().await?;
            return Ok(None);
        }
        self.signal(Signal::Terminate)?;
        let child = self.child.as_mut().context("it runs")?;
        let status = timeout(START_WITHIN, child.wait()).await;
        let status = status.with_context(|| format!("{} does not stop", self.name))??;
        self.child = None;
        Ok((!status.success()).then_some(status))
    }

    /// Sends its process a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self
            .id()
            .with_context(|| format!("{} does not run", self.name))?;
        system::signal(id, signal).with_context(|| format!("send {signal:?} to {}", self.name))
    }

    /// Waits until its process, which was told to stand still, does: until then its threads go on, and answer.
    pub(crate) async fn until_still(&self) -> anyhow::Result<()> {
        let name = &self.name;
        let id = self.id().with_context(|| format!("{name} does not run"))?;
        let began = Instant::now();
        while !system::stands_still(id) {
            ensure!(
                began.elapsed() < STILL_WITHIN,
                "{name} does not stand still"
            );
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Waits until it ends without being asked to, at most so long; how it did.
    pub(crate) async fn has_ended_within(&mut self, within: Duration) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        let status = timeout(within, child.wait()).await.ok()?.ok()?;
        self.child = None;
        Some(status)
    }

    /// How its process ended, if it was started and has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok()?)
    }

    /// What the system calls its process.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// What its process holds now.
    pub(crate) fn usage(&self) -> Option<Usage> {
        system::usage(self.id()?)
    }

    /// All that it has logged.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The last line of that.
    pub(crate) fn last_words(&self) -> String {
        let log = self.log();
        log.lines().next_back().unwrap_or_default().to_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }
}
