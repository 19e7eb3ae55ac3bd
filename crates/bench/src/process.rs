//! One server process: started, found to be ready, killed, and never left behind.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// No process takes this long to start.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How a process is ended when it is not needed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// At once: its data goes too.
    Kill,
    /// As it is asked to, since it has processes of its own to end.
    Terminate,
}

/// A process with a log, which ends with this value.
#[derive(Debug)]
pub(crate) struct Process {
    program: PathBuf,
    arguments: Vec<OsString>,
    folder: PathBuf,
    log: PathBuf,
    ending: Ending,
    child: Option<Child>,
}

impl Process {
    /// One that is not started yet. It works in `folder`; its log is called after it.
    pub(crate) fn new(program: &Path, folder: &Path, name: &str) -> Self {
        Self {
            program: program.to_owned(),
            arguments: Vec::new(),
            folder: folder.to_owned(),
            log: folder.join(format!("{name}.log")),
            ending: Ending::Kill,
            child: None,
        }
    }

    /// The same, with these arguments behind those that it has.
    #[must_use]
    pub(crate) fn with<A: Into<OsString>>(
        mut self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// The same, ended in this way.
    #[must_use]
    pub(crate) fn ended_by(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    /// Starts it.
    pub(crate) fn start(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.log.display());
        self.spawn(Stdio::null()).map(drop)
    }

    /// Starts it, and waits until it says where it listens.
    pub(crate) async fn start_listening(&mut self) -> Result<String> {
        self.start_listening_within(START_TIMEOUT).await
    }

    /// The same, for one that may take longer.
    pub(crate) async fn start_listening_within(&mut self, longest: Duration) -> Result<String> {
        ensure!(self.child.is_none(), "{} runs already", self.log.display());
        let child = self.spawn(Stdio::piped())?;
        let stdout = child.stdout.take().context("its output is a pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = tokio::time::timeout(longest, lines.next_line()).await;
        let first = first.with_context(|| format!("it says nothing: {}", self.log_tail()))??;
        let address = first
            .as_deref()
            .and_then(|line| line.strip_prefix("listening on "));
        let Some(address) = address else {
            bail!(
                "it said {first:?} instead of where it listens: {}",
                self.log_tail()
            );
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(address.to_owned())
    }

    /// Gives it another value in the place of this one, from the next start on.
    pub(crate) fn replace_argument(&mut self, old: &str, new: &str) {
        for argument in &mut self.arguments {
            if argument == old {
                *argument = new.into();
            }
        }
    }

    /// Ends it at once, as a power cut does to a process.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            bail!("{} does not run", self.log.display());
        };
        child.start_kill()?;
        wait(&mut child)
    }

    /// Ends it as it is asked to, where the system has a way to ask, and else at once; waits until it is gone.
    pub(crate) fn end(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            bail!("{} does not run", self.log.display());
        };
        if !child.id().is_some_and(is_told_to_end) {
            child.start_kill()?;
        }
        wait(&mut child)
    }

    /// Has it, and its children, do nothing at all, with their connections open. Only a kill ends it until it is thawed.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.send_all(Signal::Freeze)
    }

    /// Has it go on.
    pub(crate) fn thaw(&self) -> Result<()> {
        self.send_all(Signal::Thaw)
    }

    fn send_all(&self, signal: Signal) -> Result<()> {
        self.ids().into_iter().try_for_each(|id| {
            send(id, signal).with_context(|| format!("send {signal:?} to process {id}"))
        })
    }

    /// What the system calls it and its children.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let id = self.child.as_ref().and_then(Child::id);
        let children = id.map(children_of).unwrap_or_default();
        id.into_iter().chain(children).collect()
    }

    /// The end of its log, for whoever has to find out why it does not work.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    fn spawn(&mut self, stdout: Stdio) -> Result<&mut Child> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        // Settings of whoever measures are not those of what is measured.
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("DFS_") {
                command.env_remove(key);
            }
        }
        // What they write for the moment stays in the folder too.
        command.env("TMPDIR", &self.folder);
        let command = command.args(&self.arguments).current_dir(&self.folder);
        let command = command.stdin(Stdio::null()).stdout(stdout).stderr(log);
        let child = command.kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("start {}", self.program.display()))?;
        Ok(self.child.insert(child))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let is_asked = self.ending == Ending::Terminate && child.id().is_some_and(is_told_to_end);
        if !is_asked {
            child.start_kill().ok();
        }
        // Its folder is removed next.
        wait(&mut child).ok();
    }
}

/// Reaped here, so that its ports and its locks are free when this returns.
fn wait(child: &mut Child) -> Result<()> {
    while child.try_wait()?.is_none() {
        std::thread::yield_now();
    }
    Ok(())
}

/// Whether a process can be frozen on this system.
pub(crate) const CAN_FREEZE: bool = cfg!(unix);

/// What a process is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Terminate,
    Freeze,
    Thaw,
}

#[cfg(unix)]
fn send(id: u32, signal: Signal) -> std::io::Result<()> {
    use rustix::process::{Pid, kill_process};
    let id = Pid::from_raw(id.cast_signed()).ok_or(std::io::ErrorKind::NotFound)?;
    let signal = match signal {
        Signal::Terminate => rustix::process::Signal::TERM,
        Signal::Freeze => rustix::process::Signal::STOP,
        Signal::Thaw => rustix::process::Signal::CONT,
    };
    Ok(kill_process(id, signal)?)
}

#[cfg(not(unix))]
fn send(_id: u32, _signal: Signal) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

fn is_told_to_end(id: u32) -> bool {
    send(id, Signal::Terminate).is_ok()
}

fn children_of(id: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace()
        .filter_map(|id| id.parse().ok())
        .collect()
}

/// A port that was free a moment ago, for programs that cannot take whichever is.
pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

    use super::*;

    #[tokio::test]
    async fn a_frozen_process_goes_on_when_it_is_thawed_and_can_be_killed_in_between() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::new(Path::new("sleep"), folder.path(), "sleep").with(["60"]);
        process.start().unwrap();
        let id = process.ids()[0];
        // The next time that it is stopped, or goes on.
        let next_change = |id: u32, change| {
            let id = Pid::from_raw(id.cast_signed()).unwrap();
            waitid(WaitId::Pid(id), change).unwrap().unwrap()
        };
        process.freeze().unwrap();
        assert!(next_change(id, WaitIdOptions::STOPPED).stopped());
        process.thaw().unwrap();
        assert!(next_change(id, WaitIdOptions::CONTINUED).continued());
        process.freeze().unwrap();
        assert!(next_change(id, WaitIdOptions::STOPPED).stopped());
        process.kill().unwrap();
        assert!(process.thaw().is_ok_and(|()| process.ids().is_empty()));
    }
}
