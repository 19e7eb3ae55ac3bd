//! Runs a program, shows what it says as it comes, and keeps it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

/// What came of a program.
#[derive(Debug)]
pub(crate) struct Ran {
    /// All that it said on its standard output.
    pub(crate) said: String,
    pub(crate) succeeded: bool,
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<Ran> {
    println!("\n== {}", line_of(command));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", line_of(command)))?;
    let mut said = String::new();
    let stdout = child.stdout.take().expect("it is piped");
    for line in BufReader::new(stdout).lines() {
        let line = line.with_context(|| format!("read what {} says", line_of(command)))?;
        println!("{line}");
        said.push_str(&line);
        said.push('\n');
    }
    let ended = child
        .wait()
        .with_context(|| format!("wait for {}", line_of(command)))?;
    Ok(Ran {
        said,
        succeeded: ended.success(),
    })
}

/// How a program ended that says nothing meanwhile.
#[derive(Debug)]
pub(crate) struct Ended {
    /// All that it said on its standard output.
    pub(crate) said: String,
    /// Its code; nothing if it was killed, or took too long.
    pub(crate) code: Option<i32>,
}

/// Runs it silently, and ends it if it takes too long.
pub(crate) fn run_silently(command: &mut Command, longest: Duration) -> anyhow::Result<Ended> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("start {}", line_of(command)))?;
    let stdout = child.stdout.take().expect("it is piped");
    let reading = thread::spawn(move || std::io::read_to_string(stdout).unwrap_or_default());
    let began = Instant::now();
    let ended = loop {
        if let Some(ended) = child.try_wait().context("wait for a program")? {
            break Some(ended);
        }
        if began.elapsed() > longest {
            child.kill().context("end a program that takes too long")?;
            child.wait().context("wait for a program")?;
            break None;
        }
        thread::sleep(Duration::from_millis(20));
    };
    let code = ended.and_then(|ended| ended.code());
    // What it started may hold on to its output, and is not waited for.
    let said = if code.is_some() {
        reading.join().expect("reading does not panic")
    } else {
        String::new()
    };
    Ok(Ended { said, code })
}

/// As a person would type it.
pub(crate) fn line_of(command: &Command) -> String {
    let variables = command.get_envs();
    let variables = variables.filter_map(|(key, value)| {
        let value = value?.to_string_lossy();
        Some(format!("{}={value}", key.to_string_lossy()))
    });
    let program = std::path::Path::new(command.get_program());
    let program = program.file_stem().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy().into_owned());
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("cargo");
        command.args(["test", "-p", "proto"]).env("EFFORT", "10");
        assert_eq!(line_of(&command), "EFFORT=10 cargo test -p proto");
    }
}
