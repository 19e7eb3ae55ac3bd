//! One child process: its log lines with its name before each, where it listens, how it ends and how it is stopped.
//!
//! **Invariant:** no child outlives this process for long: its standard input ends with this process at the latest.

use std::io::{self, Write};
use std::process::{ExitStatus, Stdio};

use anyhow::Context as _;
use proto::net::Address;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::plan::{Launch, Role};
use crate::local::System;
use crate::output::{paint, shown};

/// Bytes of a line of a log; a longer one is shown as several.
const LINE_LEN_MAX: u64 = 16 << 10;
/// Columns for the name before each line.
const NAME_WIDTH: usize = 6;

/// A running child.
pub(super) struct Child {
    role: Role,
    name: String,
    stdin: Option<ChildStdin>,
    listening: watch::Receiver<Option<Address>>,
    has_ended: watch::Receiver<bool>,
    kill: CancellationToken,
}

/// Word of a child that ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) role: Role,
    pub(super) name: String,
    /// In words: `exit code 1`, `killed by signal 9`.
    pub(super) how: String,
    /// Whether its exit code says that its settings cannot be used.
    pub(super) is_bad_settings: bool,
    /// The last line of its log if it begins with `error:`, without that word. It was not shown.
    pub(super) last_error: Option<String>,
    /// With which it can be started by hand.
    pub(super) command_line: String,
}

impl Ended {
    /// `exit code 1: folder 1 is in use`
    pub(super) fn why(&self) -> String {
        match &self.last_error {
            Some(error) => format!("{}: {error}", self.how),
            None => self.how.clone(),
        }
    }
}

impl Child {
    /// Starts it. Its end is told on `tell_end`, after all that it wrote was shown.
    pub(super) fn spawn(
        launch: Launch,
        tell_end: mpsc::UnboundedSender<Ended>,
    ) -> anyhow::Result<Self> {
        let mut process = Command::new(&launch.program)
            .args(&launch.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", launch.program.display()))?;
        let (tell_listening, listening) = watch::channel(None);
        let (tell_has_ended, has_ended) = watch::channel(false);
        let kill = CancellationToken::new();
        let child = Self {
            role: launch.role,
            name: launch.name.clone(),
            stdin: process.stdin.take(),
            listening,
            has_ended,
            kill: kill.clone(),
        };
        let prefix = prefix(&launch);
        let stdout = process.stdout.take();
        let stdout = tokio::spawn(show_stdout(stdout, prefix.clone(), tell_listening));
        let stderr = tokio::spawn(show_stderr(process.stderr.take(), prefix));
        tokio::spawn(async move {
            let status = wait(process, kill).await;
            // A log whose reader failed has shown what it could.
            drop(stdout.await);
            let last_error = stderr.await.ok().flatten();
            // Nobody may be left to hear it.
            tell_end.send(ended(&launch, &status, last_error)).ok();
            tell_has_ended.send_replace(true);
        });
        Ok(child)
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens, once it does; never, if it ends before.
    pub(super) async fn listening(&mut self) -> Address {
        loop {
            if let Some(address) = self.listening.borrow_and_update().clone() {
                return address;
            }
            if self.listening.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Closes its standard input, which it watches.
    pub(super) fn ask_to_stop(&mut self) {
        self.stdin = None;
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&mut self) {
        // The sender goes only after it has said so.
        drop(self.has_ended.wait_for(|has_ended| *has_ended).await);
    }

    /// Ends it at once.
    pub(super) async fn kill(&mut self) {
        self.kill.cancel();
        self.ended().await;
    }
}

async fn wait(
    mut process: tokio::process::Child,
    kill: CancellationToken,
) -> io::Result<ExitStatus> {
    tokio::select! {
        status = process.wait() => status,
        () = kill.cancelled() => {
            process.kill().await?;
            process.wait().await
        }
    }
}

fn ended(launch: &Launch, status: &io::Result<ExitStatus>, last_error: Option<String>) -> Ended {
    let code = status.as_ref().ok().and_then(ExitStatus::code);
    Ended {
        role: launch.role,
        name: launch.name.clone(),
        how: match status {
            Ok(status) => in_words(*status),
            Err(error) => error.to_string(),
        },
        is_bad_settings: code == Some(i32::from(settings::EXIT_SETTINGS)),
        last_error,
        command_line: command_line(launch),
    }
}

fn in_words(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("killed by signal {signal}");
    }
    status
        .code()
        .map_or("killed".to_owned(), |code| format!("exit code {code}"))
}

/// As a person would type it: words with anything but plain characters are quoted. On Windows they are as both of its
/// shells understand them; PowerShell wants a `&` before a quoted program. A secret is not shown.
fn command_line(launch: &Launch) -> String {
    let program = launch.program.display().to_string();
    let arguments = launch
        .arguments
        .iter()
        .map(|word| without_secret(word.to_string_lossy().into_owned()));
    // By hand, its standard input is a terminal, which does not end.
    let words =
        std::iter::once(program).chain(arguments.filter(|word| word != "--stop-with-stdin"));
    words
        .map(|word| quoted(&word, System::HERE))
        .collect::<Vec<_>>()
        .join(" ")
}

fn without_secret(word: String) -> String {
    match word.split_once('=') {
        Some((key @ "cluster.secret", _)) => format!("{key}=***"),
        _ => word,
    }
}

fn quoted(word: &str, system: System) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=,\\".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    match system {
        // No name there has a quotation mark.
        System::Windows => format!("\"{word}\""),
        System::Unix | System::Mac => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The name before each line; each process has its colour.
fn prefix(launch: &Launch) -> String {
    const CODES: [u8; 6] = [36, 32, 33, 34, 35, 31];
    let text = format!("{:NAME_WIDTH$} |", launch.name);
    if !settings::stderr_takes_colours() {
        return text;
    }
    let place = match launch.role {
        Role::Master => 0,
        Role::Node(number) => 1 + usize::from(number - 1) % (CODES.len() - 2),
        Role::Web => CODES.len() - 2,
    };
    paint(CODES[place], &text)
}

/// Shows what a child prints, and tells where it listens when it says so.
async fn show_stdout(
    stdout: Option<ChildStdout>,
    prefix: String,
    tell_listening: watch::Sender<Option<Address>>,
) {
    let Some(stdout) = stdout else { return };
    each_line(stdout, |line| {
        show(&prefix, line);
        let address = line.strip_prefix("listening on ");
        if let Some(address) = address.and_then(|text| text.parse().ok()) {
            tell_listening.send_replace(Some(address));
        }
    })
    .await;
}

/// Shows a child's log, but for a last line that begins with `error:`, which is given without that word: whoever tells of
/// the child's end says it.
async fn show_stderr(stderr: Option<ChildStderr>, prefix: String) -> Option<String> {
    let mut last_error: Option<String> = None;
    each_line(stderr?, |line| {
        if let Some(error) = last_error.take() {
            show(&prefix, &format!("error: {error}"));
        }
        match line.strip_prefix("error: ") {
            Some(error) => last_error = Some(error.to_owned()),
            None => show(&prefix, line),
        }
    })
    .await;
    last_error
}

/// Shows a line of a log on standard error.
fn show(prefix: &str, line: &str) {
    // If nobody can see it, the children go on all the same.
    writeln!(io::stderr().lock(), "{prefix} {}", shown(line)).ok();
}

/// Calls with each line of a log, until there are no more.
async fn each_line(log: impl AsyncRead + Unpin, mut call: impl FnMut(&str)) {
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut log)
            .take(LINE_LEN_MAX)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        call(text.trim_end_matches(['\n', '\r']));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_can_be_typed() {
        let launch = Launch {
            role: Role::Node(1),
            name: "node1".to_owned(),
            program: "/opt/dfs-storage-node".into(),
            arguments: [
                "127.0.0.1",
                "9001",
                "my data/node1",
                "--stop-with-stdin",
                "--set",
                "cluster.secret=nobody guesses",
            ]
            .map(Into::into)
            .to_vec(),
        };
        let quoted_here = |word| quoted(word, System::HERE);
        assert_eq!(
            command_line(&launch),
            format!(
                "/opt/dfs-storage-node 127.0.0.1 9001 {} --set {}",
                quoted_here("my data/node1"),
                quoted_here("cluster.secret=***")
            )
        );
        assert_eq!(quoted("it's", System::Unix), r"'it'\''s'");
        assert_eq!(quoted("", System::Unix), "''");
        let program = r"C:\Program Files\dfs\dfs-web.exe";
        assert_eq!(quoted(program, System::Windows), format!("\"{program}\""));
    }

    #[tokio::test]
    async fn lines_are_looked_at_one_by_one_and_never_grow_without_bound() {
        let long = "x".repeat(usize::try_from(LINE_LEN_MAX).unwrap() + 5);
        let written = format!("listening on 127.0.0.1:1\r\n{long}\nlast");
        let mut seen = Vec::new();
        each_line(written.as_bytes(), |line| seen.push(line.len())).await;
        let limit = usize::try_from(LINE_LEN_MAX).unwrap();
        assert_eq!(seen, [24, limit, 5, 4]);
    }
}
