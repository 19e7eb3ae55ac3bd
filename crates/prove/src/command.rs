//! Runs a program, shows what it says as it comes, and keeps it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

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
