//! `dfs download`: a file, or a folder with all that is in it, onto this machine.
//!
//! A file's bytes go to a part beside it, which becomes the file when all are there: verified by the client, fsynced and
//! renamed. When it is cut off, by an error or Ctrl-C, what came is made durable, and the next try verifies it and goes on
//! there. A file that is there with the same bytes is not fetched again, so a folder goes on in the same way.

mod resume;
mod target;
mod tree;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use client::File;
use futures::StreamExt;
use proto::id::VersionId;
use proto::master::Entry;
use proto::name::EntryPath;
use tokio::task::JoinHandle;

use crate::args::{Download, IfExists};
use crate::context::Context;
use crate::exit::{Exit, Stop};
use crate::part::{Part, Whole, remove_outdated};
use crate::progress::{Position, label};
use client::people::size;

use target::Target;

/// Bytes after which what came is made durable, so that a later try can go on there.
const CHECKPOINT_LEN: u64 = 16 << 20;

/// What became of a file.
#[derive(Debug)]
enum Fetched {
    /// It is at this path, with so many bytes, of which so many were there from an earlier try.
    At { path: PathBuf, size: u64, kept: u64 },
    /// It is there already with just these bytes, which stay.
    Same { size: u64 },
    /// A file is there already, and stays.
    Skipped,
}

pub(super) async fn run(mut context: Context, arguments: Download) -> anyhow::Result<()> {
    let source = &arguments.source;
    let entry = context.cluster.entry(source).await;
    let entry = entry.with_context(|| format!("download {source}"))?;
    let target = target::choose(source, &entry, arguments.destination.as_deref())?;
    let version = arguments.version.map(VersionId);
    match (entry, target) {
        (Entry::File { .. }, Target::Stdout) => {
            context.narrator.keep_off_stdout();
            let written = write_to_stdout(&context, source, version).await;
            written.with_context(|| format!("download {source}"))
        }
        (Entry::File { .. }, Target::Path(path)) => {
            target::make_folder_if_written_as_one(arguments.destination.as_deref())?;
            target::refuse_without_folder(&path)?;
            let downloaded =
                download_one(&context, source, version, &path, arguments.if_exists).await;
            downloaded.with_context(|| format!("download {source}"))
        }
        (Entry::Folder { .. }, _) if version.is_some() => Err(Stop::usage(format!(
            "{source} is a folder, and only files have versions"
        ))),
        (Entry::Folder { .. }, Target::Stdout) => Err(Stop::usage(format!(
            "{source} is a folder, which standard output cannot take"
        ))),
        (Entry::Folder { .. }, Target::Path(path)) => {
            tree::download(Arc::new(context), source.clone(), path, &arguments).await
        }
    }
}

async fn download_one(
    context: &Context,
    source: &EntryPath,
    version: Option<VersionId>,
    path: &Path,
    if_exists: IfExists,
) -> anyhow::Result<()> {
    let Some(path) = target::settle(path, if_exists)? else {
        let line = format!("skipped {source}: {} is there already", path.display());
        return Ok(context.narrator.done(&line)?);
    };
    let file = context.cluster.open(source, version).await?;
    if target::is_special(&path) {
        return write_into(context, source, file, &path).await;
    }
    let transfer = context.narrator.file(label(source), Some(file.size));
    let position = transfer.position();
    let is_same = if_exists == IfExists::Replace
        && resume::is_there(context, &file, &path, &position).await?;
    let fetched = if is_same {
        Ok(Fetched::Same { size: file.size })
    } else {
        fetch(context, file, &path, &position, true).await
    };
    transfer.end();
    let line = match fetched? {
        Fetched::Same { size: bytes } => {
            format!(
                "{source} is there already, as {}: {}",
                path.display(),
                size(bytes)
            )
        }
        Fetched::At {
            path,
            size: bytes,
            kept,
        } => {
            let again = match kept {
                0 => String::new(),
                _ => format!(", of which {} were there from an earlier try", size(kept)),
            };
            let path = path.display();
            format!("downloaded {source} to {path}: {}{again}", size(bytes))
        }
        Fetched::Skipped => return Ok(()),
    };
    Ok(context.narrator.done(&line)?)
}

/// Fetches a file into its part, and makes it whole. `alone`: no other files are fetched into its folder.
async fn fetch(
    context: &Context,
    file: File,
    path: &Path,
    position: &Position,
    alone: bool,
) -> anyhow::Result<Fetched> {
    let whole = whole(context, &file).await?;
    let to = || format!("write {}", path.display());
    if alone {
        // What cannot be cleaned up is no reason not to download.
        remove_outdated(path, &whole).ok();
    }
    let mut part = blocking(|| Part::open(path, whole)).with_context(to)?;
    let (size, modified_ms) = (file.size, file.modified_ms);
    let kept = match go_on(context, file, &mut part, position).await {
        Ok(kept) => kept,
        Err(error) => {
            let checkpoint = part.checkpoint()?;
            // The error that cut it off is the one to tell.
            blocking(checkpoint).ok();
            return Err(error);
        }
    };
    blocking(|| part.finish(modified_ms)).with_context(to)?;
    let path = path.to_owned();
    Ok(Fetched::At { path, size, kept })
}

/// What the file's part is a part of.
async fn whole(context: &Context, file: &File) -> Result<Whole, client::Error> {
    Ok(Whole {
        cluster: context.cluster_id().await?.to_string(),
        version: file.version.0,
        size: file.size,
    })
}

/// Makes the part hold all of the file. Says how many bytes of an earlier try were kept.
async fn go_on(
    context: &Context,
    file: File,
    part: &mut Part,
    position: &Position,
) -> anyhow::Result<u64> {
    let kept = resume::verify(context, &file, part, position).await?;
    position.kept(part.len());
    receive(context, file, part, position).await?;
    Ok(kept)
}

/// Adds to the part all that it lacks.
async fn receive(
    context: &Context,
    file: File,
    part: &mut Part,
    position: &Position,
) -> anyhow::Result<()> {
    let size = file.size;
    let mut checkpoints = Checkpoints::new(part.len());
    let mut bytes = file.read(part.len()..size);
    let came = loop {
        let next = tokio::select! {
            next = bytes.next() => next,
            () = context.stop.cancelled() => break Err(interrupted()),
        };
        match next {
            None => break Ok(()),
            Some(Err(error)) => break Err(error.into()),
            Some(Ok(bytes)) => {
                let written = blocking(|| part.write(&bytes));
                if let Err(error) = written.with_context(|| "write the part") {
                    break Err(error);
                }
                position.at(part.len());
                checkpoints.pass(part).await?;
            }
        }
    };
    checkpoints.end().await?;
    came
}

/// Makes a part durable now and then, while more of it comes.
struct Checkpoints {
    due_at: u64,
    running: Option<JoinHandle<std::io::Result<()>>>,
}

impl Checkpoints {
    fn new(len: u64) -> Self {
        Self {
            due_at: len + CHECKPOINT_LEN,
            running: None,
        }
    }

    /// Begins one if it is due and none is running.
    async fn pass(&mut self, part: &Part) -> anyhow::Result<()> {
        let is_running = self
            .running
            .as_ref()
            .is_some_and(|running| !running.is_finished());
        if part.len() < self.due_at || is_running {
            return Ok(());
        }
        self.end().await?;
        self.due_at = part.len() + CHECKPOINT_LEN;
        self.running = Some(tokio::task::spawn_blocking(part.checkpoint()?));
        Ok(())
    }

    /// Waits for the one that runs.
    async fn end(&mut self) -> anyhow::Result<()> {
        match self.running.take() {
            Some(running) => running.await?.context("make the part durable"),
            None => Ok(()),
        }
    }
}

fn interrupted() -> anyhow::Error {
    Stop::error(Exit::Interrupted, "interrupted")
}

/// Runs work that waits for the disk, without holding up what else runs.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

async fn write_to_stdout(
    context: &Context,
    source: &EntryPath,
    version: Option<VersionId>,
) -> anyhow::Result<()> {
    let file = context.cluster.open(source, version).await?;
    stream(context, source, file, &mut std::io::stdout()).await
}

/// Into a device or a pipe, which can be neither renamed nor gone on with.
async fn write_into(
    context: &Context,
    source: &EntryPath,
    file: File,
    path: &Path,
) -> anyhow::Result<()> {
    let mut opened = blocking(|| std::fs::OpenOptions::new().write(true).open(path))
        .with_context(|| format!("write {}", path.display()))?;
    stream(context, source, file, &mut opened).await
}

async fn stream(
    context: &Context,
    source: &EntryPath,
    file: File,
    sink: &mut impl Write,
) -> anyhow::Result<()> {
    let transfer = context.narrator.file(label(source), Some(file.size));
    let copied = copy(context, file, &transfer.position(), sink).await;
    transfer.end();
    copied
}

async fn copy(
    context: &Context,
    file: File,
    position: &Position,
    sink: &mut impl Write,
) -> anyhow::Result<()> {
    let size = file.size;
    let mut bytes = file.read(0..size);
    let mut written = 0;
    loop {
        let next: Option<Result<Bytes, _>> = tokio::select! {
            next = bytes.next() => next,
            () = context.stop.cancelled() => return Err(interrupted()),
        };
        let Some(bytes) = next.transpose()? else {
            break;
        };
        blocking(|| sink.write_all(&bytes))?;
        written += bytes.len() as u64;
        position.at(written);
    }
    Ok(blocking(|| sink.flush())?)
}
