//! The programs of this workspace: built if that is asked for or they are missing, found beside this one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

const PROGRAMS: [&str; 3] = ["dfs-master", "dfs-storage-node", "dfs"];
/// The one environment variable of the programs that a server keeps: which bug is planted in it.
const PLANTED_BUG: &str = "DFS_PLANTED_BUG";

/// Builds the programs, so that what is harmed is what the source says. What was built in a way of its own, with bugs planted
/// or in a profile of its own, is left as it is.
pub(crate) fn build(as_built: bool) -> anyhow::Result<()> {
    let folder = folder()?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => "release",
    };
    let is_missing = |name: &&str| !path_in(&folder, name).is_file();
    let as_built = as_built
        || std::env::var_os(PLANTED_BUG).is_some()
        || !["dev", "release"].contains(&profile);
    if as_built && !PROGRAMS.iter().any(is_missing) {
        return Ok(());
    }
    let target = folder.parent().context("programs are in cargo's folder")?;
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--quiet", "--bins", "--profile", profile])
        .args(["-p", "master", "-p", "storage-node", "-p", "cli"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let status = build.status().context("run cargo")?;
    ensure!(status.success(), "the programs do not build");
    Ok(())
}

/// Where a program is.
pub(crate) fn path(name: &str) -> anyhow::Result<PathBuf> {
    Ok(path_in(&folder()?, name))
}

fn folder() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("find this program")?;
    Ok(this.parent().context("it is in a folder")?.to_owned())
}

fn path_in(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// A command that starts without any setting from the environment.
pub(crate) fn command(program: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(program);
    for (key, _) in std::env::vars_os() {
        let key = key.to_string_lossy();
        if key.starts_with("DFS_") && key != PLANTED_BUG {
            command.env_remove(&*key);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}
