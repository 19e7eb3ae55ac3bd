//! `dfs upload`: files, folders and standard input become files of the cluster.
//!
//! A file is never there in part: it gets its name when all its bytes are stored. A folder's files are sent several at
//! once; what cannot be stored is told, the others are, and the exit code says that something failed.

mod plan;
mod walk;
mod wildcards;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use client::{Error, UploadOptions, Uploaded};
use proto::master::Precondition;
use proto::name::{EntryName, EntryPath};
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::args::{IfExists, Upload};
use crate::context::Context;
use crate::exit::{Exit, SomeFailed, Stop, exit_of};
use crate::local::numbered;
use crate::progress::{Position, Transfer, label};
use client::people::{count, grouped, size};

use plan::{Plan, Source};
use walk::Found;

/// Bytes that are read from a local file at once.
const READ_LEN: usize = 1 << 20;
/// Names of files that are told when something is to be said of them.
const SHORT_NAMES_MAX: usize = 3;
/// Names tried with `--if-exists keep-both`.
const NUMBER_MAX: u32 = 1000;

/// What became of a file.
#[derive(Debug)]
enum Stored {
    /// It is stored under this name.
    At(EntryPath, Uploaded),
    /// Something of its name is there, and stays.
    Skipped,
}

pub(super) async fn run(context: Context, arguments: Upload) -> anyhow::Result<()> {
    let plan = Plan::make(&context.cluster, &arguments).await?;
    let context = Arc::new(context);
    let total = plan.items.len() as u64;
    let mut failures = Vec::new();
    for (source, to) in plan.items {
        let uploaded = match source {
            Source::Stdin => upload_stdin(&context, &to, arguments.if_exists).await,
            Source::File(local) => upload_one(&context, &local, &to, arguments.if_exists).await,
            Source::Folder(local) => upload_folder(&context, local, &to, &arguments).await,
        };
        match uploaded {
            Err(error) if total == 1 || is_in_vain(&error) => return Err(error),
            Err(error) => {
                context
                    .narrator
                    .warn(&format!("failed: {}", settings::chain(&error)));
                failures.push(exit_of(&error));
            }
            Ok(()) => {}
        }
    }
    SomeFailed::unless_none(&failures, total)
}

/// Whether all that follows would fail alike.
fn is_in_vain(error: &anyhow::Error) -> bool {
    matches!(exit_of(error), Exit::Unavailable | Exit::NoSpace)
}

async fn upload_stdin(
    context: &Context,
    to: &EntryPath,
    if_exists: IfExists,
) -> anyhow::Result<()> {
    if if_exists == IfExists::KeepBoth {
        return Err(Stop::usage(
            "standard input can be read once only: keep-both is not possible with it",
        ));
    }
    let what = || format!("upload - to {to}");
    let transfer = context.narrator.file(label(to), None);
    let options = UploadOptions {
        progress: Some(progress(&Arc::new(transfer.position()))),
        ..UploadOptions::default()
    };
    let stdin = Box::new(tokio::io::stdin());
    let stored = store_at(context, to, stdin, options, if_exists).await;
    transfer.end();
    tell(context, "-", &stored.with_context(what)?)
}

async fn upload_one(
    context: &Context,
    local: &Path,
    to: &EntryPath,
    if_exists: IfExists,
) -> anyhow::Result<()> {
    let len = std::fs::metadata(local).map(|metadata| metadata.len()).ok();
    let total = len.filter(|len| *len > 0);
    let transfer = context.narrator.file(label(to), total);
    let position = Arc::new(transfer.position());
    let stored = store(context, local, to, if_exists, &position).await;
    transfer.end();
    let stored = stored.with_context(|| format!("upload {}", local.display()))?;
    tell(context, &local.display().to_string(), &stored)
}

fn tell(context: &Context, source: &str, stored: &Stored) -> anyhow::Result<()> {
    let line = match stored {
        Stored::Skipped => format!("skipped {source}: it is there already"),
        Stored::At(path, uploaded) => format!(
            "uploaded {source} to {path}: {}, {}{}",
            size(uploaded.size),
            copies(uploaded),
            if uploaded.created {
                ""
            } else {
                ", a new version"
            }
        ),
    };
    Ok(context.narrator.done(&line)?)
}

fn copies(uploaded: &Uploaded) -> String {
    let (copies, wanted) = (uploaded.copies, uploaded.copies_wanted);
    if copies < wanted {
        return format!("{copies} of {wanted} copies for now");
    }
    count(u64::from(copies), "copy")
}

// One file.

/// Stores a local file, under another name if it must.
async fn store(
    context: &Context,
    local: &Path,
    to: &EntryPath,
    if_exists: IfExists,
    position: &Arc<Position>,
) -> anyhow::Result<Stored> {
    let mut path = to.clone();
    for number in 2..=NUMBER_MAX {
        let file = tokio::fs::File::open(local).await?;
        let metadata = file.metadata().await?;
        if metadata.is_dir() {
            return Err(Stop::usage("it is a folder now"));
        }
        let options = UploadOptions {
            modified_ms: metadata.modified().ok().and_then(millis),
            // What says to be empty and is not (the kernel's files) has no known size.
            size_hint: Some(metadata.len()).filter(|len| *len > 0 && metadata.is_file()),
            progress: Some(progress(position)),
            ..UploadOptions::default()
        };
        let len = metadata.len();
        let mut file = file;
        file.set_max_buf_size(READ_LEN);
        match store_at(context, &path, Box::new(file), options, if_exists).await {
            Ok(Stored::Skipped) if if_exists == IfExists::KeepBoth => {
                path = numbered_path(to, number)?;
            }
            Ok(Stored::Skipped) => {
                position.kept(len);
                return Ok(Stored::Skipped);
            }
            stored => return stored,
        }
    }
    Err(Stop::error(
        Exit::Conflict,
        format!("{to} and {NUMBER_MAX} names like it are taken"),
    ))
}

/// Stores under just this name. With `keep-both`, a name that is taken is `Skipped` too.
async fn store_at(
    context: &Context,
    path: &EntryPath,
    reader: Box<dyn AsyncRead + Send + Unpin>,
    mut options: UploadOptions,
    if_exists: IfExists,
) -> anyhow::Result<Stored> {
    let cluster = &context.cluster;
    if if_exists != IfExists::Replace {
        // Asked first so that nothing is sent in vain; the precondition holds if somebody comes between.
        options.precondition = Precondition::Absent;
        match cluster.entry(path).await {
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return taken(path, if_exists),
        }
    }
    match cluster.upload(path, reader, options).await {
        Ok(uploaded) => Ok(Stored::At(path.clone(), uploaded)),
        Err(Error::PreconditionFailed { .. } | Error::AlreadyExists { .. })
            if if_exists != IfExists::Replace =>
        {
            taken(path, if_exists)
        }
        Err(error) => Err(error.into()),
    }
}

fn taken(path: &EntryPath, if_exists: IfExists) -> anyhow::Result<Stored> {
    match if_exists {
        IfExists::Fail => Err(Stop::error(
            Exit::Conflict,
            format!("{path} is there already"),
        )),
        _ => Ok(Stored::Skipped),
    }
}

fn numbered_path(path: &EntryPath, number: u32) -> anyhow::Result<EntryPath> {
    let (folder, name) = path.split_last().context("the root has no name")?;
    let name = EntryName::new(numbered(name.as_str(), number))?;
    Ok(folder.join(name)?)
}

/// Milliseconds since 1970; nothing for a time before it.
fn millis(time: SystemTime) -> Option<u64> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

pub(super) fn progress(position: &Arc<Position>) -> client::Progress {
    let position = Arc::clone(position);
    Arc::new(move |bytes| position.at(bytes))
}

// A folder.

/// What became of a folder's files.
#[derive(Debug, Default)]
struct Tally {
    files: u64,
    bytes: u64,
    skipped: u64,
    failures: Vec<Exit>,
    /// Files whose copies are fewer than wanted for now, and the names of the first of them.
    short_of_copies: u64,
    short_names: Vec<String>,
}

async fn upload_folder(
    context: &Arc<Context>,
    local: PathBuf,
    to: &EntryPath,
    arguments: &Upload,
) -> anyhow::Result<()> {
    let shown = local.display().to_string();
    let transfer = context.narrator.folder(label(to));
    walk::measure(local.clone(), to.clone(), transfer.clone());
    let mut found = walk::walk(local, to.clone());
    let mut tally = Tally::default();
    let outcome = drain(context, &mut found, arguments, &transfer, &mut tally).await;
    transfer.end();
    outcome.with_context(|| format!("upload {shown}"))?;
    let sentence = tally.sentence(&shown, to);
    if tally.failures.is_empty() {
        return Ok(context.narrator.done(&sentence)?);
    }
    context.narrator.warn(&sentence);
    let total = tally.failures.len() as u64 + tally.files + tally.skipped;
    SomeFailed::unless_none(&tally.failures, total).with_context(|| format!("upload {shown}"))
}

/// Uploads what is found, several files at once, until all is done or going on would be in vain.
async fn drain(
    context: &Arc<Context>,
    found: &mut mpsc::Receiver<Found>,
    arguments: &Upload,
    transfer: &Transfer,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let mut uploads = JoinSet::new();
    let if_exists = arguments.if_exists;
    loop {
        let has_room = uploads.len() < usize::from(arguments.jobs);
        let is_idle = uploads.is_empty();
        tokio::select! {
            Some(done) = uploads.join_next(), if !is_idle => {
                let (local, stored): (PathBuf, anyhow::Result<Stored>) = done?;
                transfer.file_done();
                tally.note(context, &local, stored)?;
            }
            next = found.recv(), if has_room => match next {
                None if is_idle => return Ok(()),
                // The channel is closed: only uploads are left to wait for.
                None => {
                    while let Some(done) = uploads.join_next().await {
                        let (local, stored) = done?;
                        transfer.file_done();
                        tally.note(context, &local, stored)?;
                    }
                    return Ok(());
                }
                Some(Found::File { local, path }) => {
                    let (context, position) = (Arc::clone(context), Arc::new(transfer.position()));
                    uploads.spawn(async move {
                        let stored = store(&context, &local, &path, if_exists, &position).await;
                        (local, stored)
                    });
                }
                Some(Found::EmptyFolder { path }) => {
                    context.cluster.create_folder(&path, true).await.with_context(|| format!("make {path}"))?;
                }
                Some(Found::Passed { local, reason }) => {
                    context.narrator.warn(&format!("skipped {}: {reason}", local.display()));
                }
                Some(Found::Failed { local, error }) => tally.note(context, &local, Err(error))?,
            },
        }
    }
}

impl Tally {
    /// Counts; a failure that all others would share is given back, so that nothing goes on in vain.
    fn note(
        &mut self,
        context: &Context,
        local: &Path,
        stored: anyhow::Result<Stored>,
    ) -> anyhow::Result<()> {
        match stored {
            Ok(Stored::At(path, uploaded)) => {
                self.files += 1;
                self.bytes += uploaded.size;
                if uploaded.copies < uploaded.copies_wanted {
                    self.short_of_copies += 1;
                    let names = &mut self.short_names;
                    names.extend((names.len() < SHORT_NAMES_MAX).then(|| path.to_string()));
                }
            }
            Ok(Stored::Skipped) => self.skipped += 1,
            Err(error) => {
                if is_in_vain(&error) {
                    return Err(error.context(local.display().to_string()));
                }
                self.failures.push(exit_of(&error));
                context.narrator.warn(&format!(
                    "failed: {}: {}",
                    local.display(),
                    settings::chain(&error)
                ));
            }
        }
        Ok(())
    }

    fn sentence(&self, source: &str, to: &EntryPath) -> String {
        let mut sentence = format!(
            "uploaded {source} to {to}: {}, {}",
            count(self.files, "file"),
            size(self.bytes)
        );
        for (number, what) in [
            (self.skipped, "skipped"),
            (self.failures.len() as u64, "failed"),
        ] {
            if number > 0 {
                sentence = format!("{sentence}, {} {what}", grouped(number));
            }
        }
        if self.short_of_copies > 0 {
            let names = self.short_names.join(", ");
            sentence = format!("{sentence}; repair still makes copies of {names}");
        }
        match self.short_of_copies - self.short_names.len() as u64 {
            0 => sentence,
            more => format!("{sentence} and {}", count(more, "other file")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_lack_copies_are_named_within_bounds() {
        let mut tally = Tally {
            files: 1_200,
            bytes: 377_000_000,
            ..Tally::default()
        };
        let sentence = |tally: &Tally| tally.sentence("photos", &"/photos".parse().unwrap());
        let all = "uploaded photos to /photos: 1,200 files, 377 MB";
        assert_eq!(sentence(&tally), all);
        tally.short_of_copies = 1;
        tally.short_names = vec!["/photos/a".to_owned()];
        let one = format!("{all}; repair still makes copies of /photos/a");
        assert_eq!(sentence(&tally), one);
        tally.short_of_copies = 1_001;
        assert_eq!(sentence(&tally), format!("{one} and 1,000 other files"));
    }
}
