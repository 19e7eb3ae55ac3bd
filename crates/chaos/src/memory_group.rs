//! A group of processes that may have only so much memory, as the Linux kernel's control groups bound it, in their second
//! version or the first: when they need more, it kills one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the groups of the second version are, and of the first.
const SECOND: &str = "/sys/fs/cgroup";
const FIRST: &str = "/sys/fs/cgroup/memory";

/// One that this program has made. It is gone when this is dropped; who is in it goes back to where this program is.
#[derive(Debug)]
pub(crate) struct MemoryGroup {
    folder: PathBuf,
    home: PathBuf,
    /// The files of this version: the limit, and what has happened.
    files: [&'static str; 2],
}

impl MemoryGroup {
    /// Whether there can be one.
    pub(crate) fn is_possible() -> bool {
        cfg!(target_os = "linux") && Self::new("try", 1 << 30).is_ok()
    }

    /// An empty one.
    pub(crate) fn new(name: &str, bytes: u64) -> io::Result<Self> {
        let controllers = fs::read_to_string(Path::new(SECOND).join("cgroup.subtree_control"));
        let is_second = controllers.is_ok_and(|all| all.split_whitespace().any(|c| c == "memory"));
        let (parent, home, files) = if is_second {
            let home = home(SECOND, "::")?;
            (PathBuf::from(SECOND), home, ["memory.max", "memory.events"])
        } else {
            let home = home(FIRST, ":memory:")?;
            let files = ["memory.limit_in_bytes", "memory.oom_control"];
            (home.clone(), home, files)
        };
        // Its name is one of all programs on the machine, of which several may call themselves the first.
        let mut folder = tempfile::Builder::new();
        let folder = folder.prefix("chaos-").suffix(name).tempdir_in(parent)?;
        let group = Self {
            folder: folder.keep(),
            home,
            files,
        };
        fs::write(group.folder.join(group.files[0]), bytes.to_string())?;
        Ok(group)
    }

    /// The file that a process writes its number to when it goes into the group.
    pub(crate) fn entry(&self) -> PathBuf {
        entry(&self.folder)
    }

    /// It may have as much as there is.
    pub(crate) fn lift(&self) -> io::Result<()> {
        let no_limit = if self.files[0] == "memory.max" {
            "max"
        } else {
            "-1"
        };
        fs::write(self.folder.join(self.files[0]), no_limit)
    }

    /// How many processes were killed since they needed more.
    pub(crate) fn kills(&self) -> io::Result<u64> {
        let events = fs::read_to_string(self.folder.join(self.files[1]))?;
        let kills = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        kills
            .and_then(|kills| kills.trim().parse().ok())
            .ok_or_else(|| io::Error::other("the kernel does not count whom it kills"))
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
