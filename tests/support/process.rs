//! One process of a cluster: started, harmed, watched.

use std::ffi::OsString;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use proto::net::Address;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

/// No process takes this long to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A process that keeps its arguments, its port and its log from start to start.
pub(crate) struct Process {
    name: String,
    program: &'static str,
    arguments: Vec<OsString>,
    folder: PathBuf,
    address: Option<Address>,
    child: Option<Child>,
    stdout: Option<tokio::task::JoinHandle<()>>,
}

impl Process {
    pub(crate) fn new(folder: &Path, name: &str, program: &'static str) -> Self {
        let mut process = Self {
            name: name.to_owned(),
            program,
            arguments: Vec::new(),
            folder: folder.to_owned(),
            address: None,
            child: None,
            stdout: None,
        };
        process.arguments(&["--config"]);
        process.argument_path(&folder.join("config.toml"));
        process
    }

    pub(crate) fn arguments(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(OsString::from));
    }

    pub(crate) fn argument_path(&mut self, path: &Path) {
        self.arguments.push(path.into());
    }

    /// Gives it another value behind this flag, from the next start on.
    pub(crate) fn replace_argument(&mut self, flag: &str, value: &str) {
        let place = self.arguments.iter().position(|argument| argument == flag);
        let place = place.expect("it has the flag") + 1;
        self.arguments[place] = value.into();
    }

    /// Starts it, and waits until it listens. From the second start on it takes the port that it had.
    pub(crate) async fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .unwrap();
        let mut child = program(self.program)
            .args(self.arguments_now())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(START_TIMEOUT, lines.next_line()).await;
        let first = first.expect("it says within 30 s that it listens").unwrap();
        let Some(address) = first
            .as_deref()
            .and_then(|line| line.strip_prefix("listening on "))
        else {
            panic!(
                "{} said {first:?} instead of where it listens\n{}",
                self.name,
                self.log_tail()
            );
        };
        self.address = Some(address.parse().unwrap());
        self.stdout = Some(tokio::spawn(async move {
            while let Ok(Some(_)) = lines.next_line().await {}
        }));
        self.child = Some(child);
    }

    /// Port 0 of the first start becomes the port that it got.
    fn arguments_now(&self) -> Vec<OsString> {
        let Some(address) = &self.address else {
            return self.arguments.clone();
        };
        let port = address.port().to_string();
        let replace = |argument: &OsString| match argument.to_str() {
            Some("0") => port.clone().into(),
            Some("127.0.0.1:0") => address.as_str().into(),
            _ => argument.clone(),
        };
        self.arguments.iter().map(replace).collect()
    }

    /// Ends it at once, as a power cut does to a process.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.start_kill().unwrap();
            // Reaped here, so that its port and its lock are free when this returns.
            while child.try_wait().unwrap().is_none() {
                std::thread::yield_now();
            }
        }
    }

    /// Ends it at once, and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.start().await;
    }

    /// Ends it as its user would.
    #[cfg(unix)]
    pub(crate) async fn stop(&mut self) -> std::process::ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        let mut child = self.child.take().unwrap();
        tokio::time::timeout(START_TIMEOUT, child.wait())
            .await
            .expect("it stops")
            .unwrap()
    }

    /// Stops it from doing anything, without ending it.
    #[cfg(unix)]
    pub(crate) fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets a frozen one go on.
    #[cfg(unix)]
    pub(crate) fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// Lets it have only so many file descriptors more than it has.
    #[cfg(target_os = "linux")]
    pub(crate) fn spare_descriptors(&self, spare: u64) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let id = self.id().expect("it runs");
        let open = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count() as u64;
        let limit = Rlimit {
            current: Some(open + spare),
            maximum: Some(open + spare),
        };
        let process = Pid::from_raw(id.cast_signed());
        prlimit(process, Resource::Nofile, limit).unwrap();
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        let id = self.child.as_ref().and_then(Child::id).expect("it runs");
        let id = rustix::process::Pid::from_raw(id.cast_signed()).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// What the system calls it, if it runs.
    #[allow(dead_code, reason = "only tests of some systems ask")]
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    pub(crate) fn address(&self) -> Address {
        self.address.clone().expect("it was started")
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Takes a copy of its data, as a backup does.
    pub(crate) fn copy_data_to(&self, copy: &Path) {
        copy_folder(&self.data(), copy);
    }

    /// Puts an old copy in the place of its data. It must not run.
    pub(crate) fn put_back(&self, copy: &Path) {
        assert!(self.child.is_none(), "{} runs", self.name);
        std::fs::remove_dir_all(self.data()).unwrap();
        copy_folder(copy, &self.data());
    }

    /// Starts it with one more argument, for this start only.
    pub(crate) async fn start_with(&mut self, argument: &str) {
        self.arguments(&[argument]);
        self.start().await;
        self.arguments.pop();
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Takes all its data away.
    pub(crate) fn wipe(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.data()).unwrap();
    }

    /// Flips one bit of these bytes wherever they lie in an extent. Says how many places there were.
    pub(crate) fn corrupt(&self, bytes: &[u8]) -> usize {
        let extents = super::files_below(&self.data().join("extents"));
        extents.iter().map(|extent| flip_in(extent, bytes)).sum()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(30)..];
        format!("--- {}:\n{}\n", self.name, tail.join("\n"))
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for file in super::files_below(from) {
        let copy = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(&file, &copy).unwrap();
    }
}

fn flip_in(extent: &Path, bytes: &[u8]) -> usize {
    let mut file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(extent)
        .unwrap();
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    let places: Vec<usize> = find_all(&content, bytes);
    for place in &places {
        let middle = place + bytes.len() / 2;
        file.seek(SeekFrom::Start(middle as u64)).unwrap();
        file.write_all(&[content[middle] ^ 1]).unwrap();
    }
    places.len()
}

fn find_all(content: &[u8], bytes: &[u8]) -> Vec<usize> {
    let beginnings = content.windows(16.min(bytes.len())).enumerate();
    let candidates = beginnings.filter(|(_, window)| bytes.starts_with(window));
    candidates
        .map(|(place, _)| place)
        .filter(|place| content[*place..].starts_with(bytes))
        .collect()
}

/// A program of this workspace, without any setting from the environment.
pub(crate) fn program(name: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(binary(name));
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("DFS_") {
            command.env_remove(key);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a program to its end, which must come soon.
pub(crate) async fn run(command: &mut tokio::process::Command) -> Output {
    command.kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
    output.expect("it ends within a minute").unwrap()
}

/// What people start.
const PROGRAMS: [&str; 4] = ["dfs", "dfs-master", "dfs-storage-node", "dfs-web"];

/// Cargo does not build the programs of another package for a test: the first test that needs one does.
fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        // It is in `deps`.
        let this = std::env::current_exe().unwrap();
        let folder = this.ancestors().nth(2).unwrap().to_owned();
        let mut build = Command::new(env!("CARGO"));
        // Examples may use what tests may: with one of them cargo chooses the features that it chose for this test, and builds little.
        build
            .args(["build", "--quiet", "--workspace", "--example", "read_rate"])
            .args(PROGRAMS.iter().flat_map(|program| ["--bin", *program]))
            .arg("--target-dir")
            .arg(folder.parent().unwrap());
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let status = build
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .status()
            .unwrap();
        assert!(status.success(), "the programs do not build");
        folder
    });
    folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}
