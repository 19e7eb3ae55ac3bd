//! strace, attached to a running server: its calls fail, are late, or kill it.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::system::{self, Signal};

/// It has attached within this.
const ATTACH_WITHIN: Duration = Duration::from_secs(20);
/// It lets go within this, unless its process hangs.
const DETACH_WITHIN: Duration = Duration::from_secs(60);

/// One that is attached. What it does ends when it is detached, or dropped.
#[derive(Debug)]
pub(crate) struct Strace {
    child: Child,
    /// What it did, a line a call.
    trace: NamedTempFile,
}

impl Strace {
    /// Attaches to all threads of a process: `how`, in strace's words, befalls these calls.
    pub(crate) async fn attach(process: u32, calls: &str, how: &str) -> anyhow::Result<Self> {
        let trace = NamedTempFile::new()?;
        let said = NamedTempFile::new()?;
        let child = Command::new("strace")
            .args(["-f", "-p", &process.to_string(), "-o"])
            .arg(trace.path())
            .args([
                "-e",
                &format!("trace={calls}"),
                "-e",
                &format!("inject={calls}:{how}"),
            ])
            .stdin(Stdio::null())
            .stderr(said.reopen()?)
            .kill_on_drop(true)
            .spawn()
            .context("start strace")?;
        let mut strace = Self { child, trace };
        let began = Instant::now();
        loop {
            let mut text = String::new();
            said.reopen()?.read_to_string(&mut text)?;
            // A process that was killed at once ends it too.
            let has_ended = strace.child.try_wait()?.is_some();
            if text.contains("attached") || has_ended && !system::is_alive(process) {
                return Ok(strace);
            }
            ensure!(!has_ended, "strace may not attach: {text}");
            if began.elapsed() > ATTACH_WITHIN {
                bail!("strace does not attach: {text}");
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets the process go on by itself. How many calls were tampered with.
    pub(crate) async fn detach(mut self) -> anyhow::Result<u64> {
        if let Some(id) = self.child.id() {
            // It may have ended with its process.
            drop(system::signal(id, Signal::Terminate));
        }
        let ended = timeout(DETACH_WITHIN, self.child.wait()).await;
        ended.context("strace does not let its process go")??;
        let mut trace = Vec::new();
        self.trace.reopen()?.read_to_end(&mut trace)?;
        let trace = String::from_utf8_lossy(&trace);
        let tampered = trace
            .lines()
            .filter(|line| line.contains("(INJECTED)") || line.contains("(DELAYED)"));
        Ok(u64::try_from(tampered.count()).unwrap_or(u64::MAX))
    }
}
