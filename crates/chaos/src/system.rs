//! What only some systems can: signals, a file system that is shut down like by a power cut, a place where mounts and
//! network are this program's own, and the sizes of processes.
//!
//! The one file of this crate that asks which system it runs on, and the one with unsafe code.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use crate::memory_group::MemoryGroup;

/// What can be sent to a process, beside kill -9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// It stands still.
    Stop,
    /// It goes on.
    Continue,
    /// It is asked to end.
    Terminate,
}

/// How much a process holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Open file descriptors.
    pub(crate) descriptors: u64,
    /// Bytes of memory.
    pub(crate) resident: u64,
}

/// What this machine can do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Means {
    /// Send signals.
    Signals,
    /// Mount images, and shut their file systems down.
    Images,
    /// Reach into the system calls of a process.
    Strace,
    /// Give servers networks of their own.
    Namespaces,
    /// Give processes a clock of their own.
    Faketime,
    /// Bound the memory of processes.
    MemoryGroups,
}

/// What `unshare` is to give.
const OF_ITS_OWN: [&str; 7] = [
    "--mount",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--",
];
/// Set in the process that runs where mounts and network are its own.
const ISOLATED: &str = "CHAOS_ISOLATED";

impl Means {
    /// Why they are not here, if they are not.
    pub(crate) fn missing(self) -> Option<&'static str> {
        let linux = cfg!(target_os = "linux");
        let root = linux && is_root();
        match self {
            Self::Signals if !cfg!(unix) => Some("it takes a system with signals"),
            Self::Images if !(root && has("mkfs.ext4") && has_loops() && is_isolated()) => {
                Some("it takes Linux, root, unshare, loop devices and mkfs.ext4")
            }
            Self::Strace if !(root && has("strace") && can_attach()) => {
                Some("it takes Linux, root, and strace that may attach")
            }
            Self::Namespaces if !(root && has("ip") && is_isolated() && can_lose_packets()) => {
                Some("it takes Linux, root, unshare, ip, and iptables that can lose packets")
            }
            Self::MemoryGroups if !(root && MemoryGroup::is_possible()) => {
                Some("it takes Linux, root, and control groups of memory that may be made")
            }
            Self::Faketime if faketime().is_none() => Some("it takes Linux and libfaketime"),
            _ => None,
        }
    }
}

/// Whether a program is on the path.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The library that gives a process a clock of its own.
pub(crate) fn faketime() -> Option<&'static str> {
    const PLACES: [&str; 4] = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib64/faketime/libfaketimeMT.so.1",
        "/usr/lib/faketime/libfaketimeMT.so.1",
    ];
    let is_there = |place: &&str| cfg!(target_os = "linux") && Path::new(place).is_file();
    PLACES.into_iter().find(is_there)
}

/// Words in front of a program that has the system kill it when this one ends, however that does; none where all that run here
/// end with this one anyway, or where the system has none. The thread that starts it must last as long as this program.
pub(crate) fn end_with_parent() -> &'static [&'static str] {
    const WORDS: &[&str] = &["setpriv", "--pdeathsig", "KILL", "--"];
    static WORDS_HERE: OnceLock<&[&str]> = OnceLock::new();
    // Not every setpriv can.
    let can = || run(WORDS[0], WORDS[1..].iter().chain(&["true"])).is_ok();
    WORDS_HERE.get_or_init(|| {
        if cfg!(target_os = "linux") && !is_isolated() && can() {
            WORDS
        } else {
            &[]
        }
    })
}

/// Where images lie: in memory if that is possible, since their own file systems are what is tested.
pub(crate) fn image_folder() -> std::path::PathBuf {
    if is_isolated() {
        "/dev/shm".into()
    } else {
        std::env::temp_dir()
    }
}

fn is_root() -> bool {
    #[cfg(unix)]
    {
        rustix::process::geteuid().is_root()
    }
    #[cfg(not(unix))]
    {
        false
    }
}

fn has_loops() -> bool {
    Path::new("/dev/loop-control").exists()
}

/// Also root may not, in a container.
fn can_isolate() -> bool {
    let is_given = || {
        let mut unshare = Command::new("unshare");
        let silent = unshare.args(OF_ITS_OWN).arg("true").stdin(Stdio::null());
        let tried = silent.stdout(Stdio::null()).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    cfg!(target_os = "linux") && is_root() && has("unshare") && is_given()
}

/// Also root may not attach to a process that is not its child, in a container.
fn can_attach() -> bool {
    static TRIED: OnceLock<bool> = OnceLock::new();
    let attach = || -> io::Result<bool> {
        let mut sleep = Command::new("sleep").arg("600").spawn()?;
        let id = sleep.id().to_string();
        let mut strace = Command::new("strace");
        let strace = strace.args(["-f", "-o", "/dev/null", "-p", &id]);
        let strace = strace.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut said = String::new();
        if let Ok(mut strace) = strace {
            if let Some(stderr) = strace.stderr.take() {
                // Its first line says whether it has, or why it may not.
                io::BufReader::new(stderr).read_line(&mut said)?;
            }
            strace.kill()?;
            strace.wait()?;
        }
        sleep.kill()?;
        sleep.wait()?;
        Ok(said.contains(" attached"))
    };
    *TRIED.get_or_init(|| attach().unwrap_or(false))
}

/// Not every kernel has all that this takes.
fn can_lose_packets() -> bool {
    static TRIED: OnceLock<bool> = OnceLock::new();
    let rule = |change: &str| {
        let rule = format!(
            "-w {change} INPUT -i none -m statistic --mode random --probability 0.5 -j DROP"
        );
        run("iptables", rule.split(' '))
    };
    *TRIED.get_or_init(|| rule("-A").and_then(|()| rule("-D")).is_ok())
}

/// Whether mounts, network and processes are this program's own. What is in the environment may be inherited, but only
/// `unshare` makes this the first of all processes.
pub(crate) fn is_isolated() -> bool {
    std::env::var_os(ISOLATED).is_some() && std::process::id() == 1
}

/// Runs this program again where its mounts, its network and its processes are nobody else's, so that none of them can be
/// left behind, however it ends. Its exit code; nothing where that is not possible, or done already.
pub(crate) fn run_isolated() -> io::Result<Option<u8>> {
    if is_isolated() {
        std::thread::spawn(|| {
            drop(io::copy(&mut io::stdin(), &mut io::sink()));
            std::process::exit(1);
        });
        prepare_isolation()?;
        return Ok(None);
    }
    if !can_isolate() {
        return Ok(None);
    }
    let mut child = Command::new("unshare")
        .args(OF_ITS_OWN)
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(ISOLATED, "1")
        .stdin(Stdio::piped())
        .spawn()?;
    // It ends when its standard input does: with this process, however that ends.
    let held = child.stdin.take();
    let status = child.wait()?;
    drop(held);
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(Some(code.unwrap_or(1)))
}

/// Files in memory, names of networks, and a loopback, all of this program alone.
fn prepare_isolation() -> io::Result<()> {
    // A server with a network of its own has copies of all mounts: they must go when these do.
    run("mount", ["--make-rshared", "/"])?;
    std::fs::create_dir_all("/run/netns")?;
    for folder in ["/dev/shm", "/run/netns"] {
        run("mount", ["-t", "tmpfs", "tmpfs", folder])?;
    }
    if has("ip") {
        run("ip", ["link", "set", "lo", "up"])?;
    }
    Ok(())
}

/// Runs a program of the system to its end; an error if that is not a good one.
pub(crate) fn run(
    program: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> io::Result<()> {
    let mut command = Command::new(program);
    let output = command.args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {}", said.trim())))
}

/// Sends a signal.
pub(crate) fn signal(process: u32, signal: Signal) -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal as System, kill_process};
        let signal = match signal {
            Signal::Stop => System::STOP,
            Signal::Continue => System::CONT,
            Signal::Terminate => System::TERM,
        };
        let process = Pid::from_raw(process.cast_signed()).ok_or(io::ErrorKind::NotFound)?;
        Ok(kill_process(process, signal)?)
    }
    #[cfg(not(unix))]
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!("no {signal:?} for {process} on this system"),
    ))
}

/// Whether this is the end of a process that kill -9 made.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        status.signal() == Some(rustix::process::Signal::KILL.as_raw())
    }
    // What it is here is not told apart from an end by an error.
    #[cfg(not(unix))]
    {
        !status.success()
    }
}

/// Whether no thread of a process does anything: it was stopped, or has ended. A signal is only on its way when it is sent.
pub(crate) fn stands_still(process: u32) -> bool {
    !thread_states(process)
        .into_iter()
        .any(|state| "RSD".contains(state))
}

/// Whether a process has not ended yet.
pub(crate) fn is_alive(process: u32) -> bool {
    thread_states(process)
        .into_iter()
        .any(|state| !"ZX".contains(state))
}

/// What the system says that each thread of a process does, in its letters; none of one that is gone.
fn thread_states(process: u32) -> Vec<char> {
    let tasks = Path::new("/proc").join(process.to_string()).join("task");
    let tasks = std::fs::read_dir(tasks).into_iter().flatten().flatten();
    // What is in brackets is a name, with anything in it.
    let state = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    };
    tasks.filter_map(state).collect()
}

/// The root folder of the file system that is mounted here; an error if none is, so that what is done to it is never done to
/// the machine's own.
pub(crate) fn open_mounted(folder: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let root = File::open(folder)?;
        let parent = folder.parent().ok_or(io::ErrorKind::InvalidInput)?;
        if root.metadata()?.dev() == std::fs::metadata(parent)?.dev() {
            let problem = format!("nothing is mounted at {}", folder.display());
            return Err(io::Error::other(problem));
        }
        Ok(root)
    }
    #[cfg(not(unix))]
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!("nothing is mounted at {} on this system", folder.display()),
    ))
}

/// Takes a mounted file system away from under its users, with all that was not synced, as a power cut does.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no safe function has this call")]
pub(crate) fn shut_down(mounted: &Path) -> io::Result<()> {
    use rustix::ioctl::{Setter, ioctl, opcode};
    /// `EXT4_IOC_SHUTDOWN`, which is XFS's too.
    const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);
    /// Its log is not flushed.
    const NOLOGFLUSH: u32 = 2;
    let root = open_mounted(mounted)?;
    // SAFETY: the call reads one u32 through its argument, and changes nothing of this process.
    unsafe { ioctl(root, Setter::<SHUTDOWN, u32>::new(NOLOGFLUSH))? };
    Ok(())
}

/// Takes a mounted file system away from under its users, with all that was not synced, as a power cut does.
#[cfg(not(target_os = "linux"))]
pub(crate) fn shut_down(_mounted: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How much a process holds, where the system tells.
pub(crate) fn usage(process: u32) -> Option<Usage> {
    let folder = Path::new("/proc").join(process.to_string());
    let status = std::fs::read_to_string(folder.join("status")).ok()?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = resident.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    let descriptors = std::fs::read_dir(folder.join("fd")).ok()?.count();
    Some(Usage {
        descriptors: u64::try_from(descriptors).ok()?,
        resident: kib << 10,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// A process that was told to stand still went on for a moment, and answered from a disk whose power was cut: what it
    /// acknowledged then was lost.
    #[test]
    fn a_process_stands_still_only_when_it_was_stopped() -> io::Result<()> {
        let mut child = Command::new("sleep").arg("600").spawn()?;
        let still_before = stands_still(child.id());
        signal(child.id(), Signal::Stop)?;
        while !stands_still(child.id()) {
            std::thread::yield_now();
        }
        child.kill()?;
        child.wait()?;
        assert!(!still_before, "it runs");
        assert!(stands_still(child.id()), "it is gone");
        Ok(())
    }
}
