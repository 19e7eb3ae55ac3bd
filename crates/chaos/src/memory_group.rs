//! A group of processes that may have only so much memory, as the Linux kernel's control groups bound it, in their second
//! version or the first: when they need more, it kills one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the groups of the second version are, and of the first.
const SECOND: &str = "/sys/fs/cgroup";
const FIRST: &str = "/sys/fs/cgroup/memory";
/// What all begin with that this program makes; then comes when, in seconds.
const PREFIX: &str = "chaos-";
/// One that is as old as this, and empty, was left by a program that was killed.
const OLD: Duration = Duration::from_secs(3600);
const TRIED_BYTES: u64 = 1 << 30;

/// One that this program has made. It is gone when this is dropped; who is in it goes back to where this program is.
#[derive(Debug)]
pub(crate) struct MemoryGroup {
    folder: PathBuf,
    home: PathBuf,
    files: &'static Files,
}

/// The files of a version.
#[derive(Debug)]
struct Files {
    limit: &'static str,
    /// What is written there where there is no limit.
    no_limit: &'static str,
    /// What has happened.
    events: &'static str,
    /// 0 there has the kernel put nothing aside on a disk; not each kernel has it.
    swap: &'static str,
}

const FILES_OF_SECOND: Files = Files {
    limit: "memory.max",
    no_limit: "max",
    events: "memory.events",
    swap: "memory.swap.max",
};
const FILES_OF_FIRST: Files = Files {
    limit: "memory.limit_in_bytes",
    no_limit: "-1",
    events: "memory.oom_control",
    swap: "memory.swappiness",
};

impl MemoryGroup {
    /// Whether there can be one, with a process in it whose end would be counted. Removes what earlier programs have left.
    pub(crate) fn is_possible() -> bool {
        let tried = || {
            let group = Self::new("try", TRIED_BYTES)?;
            group.remove_old();
            let mut process = Command::new("sleep").arg("600").spawn()?;
            let entered = fs::write(group.entry(), process.id().to_string());
            process.kill()?;
            process.wait()?;
            entered.and_then(|()| group.kills())
        };
        cfg!(target_os = "linux") && tried().is_ok()
    }

    /// An empty one.
    pub(crate) fn new(name: &str, bytes: u64) -> io::Result<Self> {
        let controllers = fs::read_to_string(Path::new(SECOND).join("cgroup.subtree_control"));
        let is_second = controllers.is_ok_and(|all| all.split_whitespace().any(|c| c == "memory"));
        let (parent, home, files) = if is_second {
            let home = home(SECOND, "::")?;
            (PathBuf::from(SECOND), home, &FILES_OF_SECOND)
        } else {
            let home = home(FIRST, ":memory:")?;
            (home.clone(), home, &FILES_OF_FIRST)
        };
        // Its name is one of all programs on the machine, of which several may call themselves the first.
        let mut folder = tempfile::Builder::new();
        let prefix = format!("{PREFIX}{}-", now().as_secs());
        let folder = folder.prefix(&prefix).suffix(name).tempdir_in(parent)?;
        let group = Self {
            folder: folder.keep(),
            home,
            files,
        };
        let swap = group.folder.join(files.swap);
        if swap.exists() {
            fs::write(swap, "0")?;
        }
        fs::write(group.folder.join(files.limit), bytes.to_string())?;
        Ok(group)
    }

    /// The file that a process writes its number to when it goes into the group.
    pub(crate) fn entry(&self) -> PathBuf {
        entry(&self.folder)
    }

    /// It may have as much as there is.
    pub(crate) fn lift(&self) -> io::Result<()> {
        fs::write(self.folder.join(self.files.limit), self.files.no_limit)
    }

    /// How many processes were killed since they needed more.
    pub(crate) fn kills(&self) -> io::Result<u64> {
        let events = fs::read_to_string(self.folder.join(self.files.events))?;
        let kills = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        kills
            .and_then(|kills| kills.trim().parse().ok())
            .ok_or_else(|| io::Error::other("the kernel does not count whom it kills"))
    }

    /// Removes old ones beside this. The kernel keeps those that processes are in.
    fn remove_old(&self) {
        let entries = self.folder.parent().map(fs::read_dir);
        for entry in entries.into_iter().flatten().flatten().flatten() {
            if is_old(&entry.file_name().to_string_lossy(), now()) {
                drop(fs::remove_dir(entry.path()));
            }
        }
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let left = fs::read_to_string(self.entry()).unwrap_or_default();
        for process in left.lines() {
            drop(fs::write(entry(&self.home), process));
        }
        drop(fs::remove_dir(&self.folder));
    }
}

fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Whether a group of this name was made long ago by a program like this.
fn is_old(name: &str, now: Duration) -> bool {
    let made = name.strip_prefix(PREFIX);
    let made = made.and_then(|rest| rest.split_once('-')?.0.parse().ok());
    made.is_some_and(|made| now.saturating_sub(Duration::from_secs(made)) > OLD)
}

fn entry(group: &Path) -> PathBuf {
    group.join("cgroup.procs")
}

/// The group that this program is in.
fn home(root: &str, mark: &str) -> io::Result<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let path = groups.lines().find_map(|line| line.split_once(mark));
    let (_, path) = path.ok_or(io::ErrorKind::Unsupported)?;
    Ok(Path::new(root).join(path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that was killed left its groups behind for good. One that is younger may be in use, though nobody is in it yet.
    #[test]
    fn only_what_this_program_made_long_ago_is_old() {
        let now = Duration::from_secs(1_000_000);
        assert!(is_old("chaos-990000-AbCdEfnode-1", now));
        assert!(!is_old("chaos-999000-AbCdEfnode-1", now));
        assert!(!is_old("chaos-AbCdEfnode-1", now));
        assert!(!is_old("system.slice", now));
    }
}
