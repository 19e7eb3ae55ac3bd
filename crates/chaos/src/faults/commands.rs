//! The command line, killed in the middle of an upload or a download, and run again.
//!
//! **Invariant:** under the final name there is, at any moment, nothing, what was there before, or the whole.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{sleep, timeout};

use super::own_files::{OwnFile, Patience};
use super::{Harm, Verb};
use crate::world::World;
use crate::{programs, system};

pub(super) const VERBS: &[Verb] = &[
    Verb {
        weight: 3,
        begin: |world, harm| Box::pin(kill_uploads(world, harm)),
    },
    Verb {
        weight: 3,
        begin: |world, harm| Box::pin(kill_downloads(world, harm)),
    },
];
pub(super) const MINIMA: &[(&str, f64)] = &[("kills of commands", 2.0)];

/// Bytes of a file.
const LEN_MAX: usize = 384 << 10;
/// Kills before a command may come to its end.
const KILLS_MAX: usize = 5;
const KILL_WITHIN: Duration = Duration::from_millis(400);
/// A command that cannot get on says so within this.
const END_WITHIN: Duration = Duration::from_secs(180);
/// What a command may end with while the cluster is harmed: it cannot be reached, nothing that could be read is undamaged, or
/// its disks are full.
const REFUSED: [i32; 3] = [5, 6, 7];

async fn kill_uploads(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Ok(_turn) = world.commands.try_acquire() else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let mut file = new_file(&mut harm.chance)?;
    let local = folder.path().join("local");
    std::fs::write(&local, &file.bytes)?;
    let words = ["upload", &shown(&local), &file.path.to_string()].map(str::to_owned);
    let (cluster, mut was_done) = (world.connect(), false);
    for _ in 0..harm.chance.random_range(1..=KILLS_MAX) {
        let is_done = run(&world, &words, Some(kill_after(&mut harm.chance))).await?;
        was_done |= is_done;
        if !is_done {
            file.doubt();
        }
        match file.is_there(&world, &cluster).await {
            Ok(is_there) => ensure!(is_there || !was_done, "{} is not there", file.path),
            Err(error) => world.journal.note(format_args!("{}: {error}", file.path)),
        }
    }
    run_to_end(&world, &words).await?;
    file.doubt();
    file.expect_whole(&world).await?;
    world.journal.count("commands that were run again");
    file.delete(&world).await
}

async fn kill_downloads(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Ok(_turn) = world.commands.try_acquire() else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let mut file = new_file(&mut harm.chance)?;
    file.store(&world).await?;
    let local = folder.path().join("local");
    let before = harm.chance.random_bool(0.5).then(|| b"before".to_vec());
    if let Some(before) = &before {
        std::fs::write(&local, before)?;
    }
    let words = ["download", &file.path.to_string(), &shown(&local)].map(str::to_owned);
    for _ in 0..harm.chance.random_range(1..=KILLS_MAX) {
        let is_done = run(&world, &words, Some(kill_after(&mut harm.chance))).await?;
        let found = std::fs::read(&local).ok();
        let is_whole = found.as_ref() == Some(&file.bytes);
        ensure!(
            is_whole || (found == before && !is_done),
            "{} has {} bytes of {} of the file after a download that was killed",
            local.display(),
            found.map_or(0, |found| found.len()),
            file.bytes.len()
        );
    }
    run_to_end(&world, &words).await?;
    ensure!(
        std::fs::read(&local)? == file.bytes,
        "other bytes were downloaded"
    );
    let left = std::fs::read_dir(folder.path())?.count();
    ensure!(left == 1, "{left} files are left where one was downloaded");
    world.journal.count("commands that were run again");
    file.delete(&world).await
}

fn new_file(chance: &mut StdRng) -> anyhow::Result<OwnFile> {
    let len = chance.random_range(1..LEN_MAX);
    OwnFile::new("commands", len, chance)
}

fn kill_after(chance: &mut StdRng) -> Duration {
    KILL_WITHIN.mul_f64(chance.random())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// As often as it takes.
async fn run_to_end(world: &World, words: &[String]) -> anyhow::Result<()> {
    let patience = Patience::new(world);
    while !run(world, words, None).await? {
        patience.after(anyhow!("{words:?} was refused")).await?;
    }
    Ok(())
}

/// Runs a command, and kills it after so long, if that is said; whether it came to a good end. One that ends in a way that it
/// must not fails the round.
async fn run(
    world: &World,
    words: &[String],
    kill_after: Option<Duration>,
) -> anyhow::Result<bool> {
    let program: PathBuf = programs::path("dfs")?;
    let mut child = programs::command(&program)
        .arg("--config")
        .arg(world.settings())
        .args(["--master", world.addresses[0].as_str(), "--quiet"])
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("start dfs")?;
    if let Some(kill_after) = kill_after {
        sleep(kill_after).await;
        // It may have ended before.
        drop(child.start_kill());
    }
    let ended = timeout(END_WITHIN, child.wait_with_output()).await;
    let ended = ended.with_context(|| format!("{words:?} does not end"))??;
    let (status, said) = (ended.status, String::from_utf8_lossy(&ended.stderr));
    world.journal.note(format_args!(
        "{words:?} ended with {status}: {}",
        said.trim()
    ));
    if status.success() {
        return Ok(true);
    }
    if kill_after.is_some() && system::was_killed(status) {
        world.journal.count("kills of commands");
        return Ok(false);
    }
    if status.code().is_some_and(|code| REFUSED.contains(&code)) {
        world.journal.count("commands refused");
        return Ok(false);
    }
    world.journal.fail(format_args!(
        "{words:?} ended with {status}: {}",
        said.trim()
    ));
    bail!("it must not")
}
