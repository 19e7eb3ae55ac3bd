//! `dfs copy`: files of the cluster under other names as well. Their bytes are neither fetched nor sent.
//!
//! A folder's files are copied one by one, several at once: what cannot be copied is told, the others are, and the exit
//! code says that something failed.

use std::sync::Arc;

use anyhow::Context as _;
use client::people::{count, size};
use client::{Error, UploadOptions, Uploaded};
use proto::master::{Entry, Precondition};
use proto::name::EntryPath;
use tokio::task::JoinSet;

use super::names::destination;
use super::upload::progress;
use super::walk::{Depth, each_entry};
use crate::args::Copy;
use crate::context::Context;
use crate::exit::{Exit, SomeFailed, Stop, advise, exit_of};
use crate::progress::{Transfer, label};

/// Files of a folder that are copied at once.
const FILES_AT_ONCE: usize = 8;

pub(super) async fn run(context: Context, arguments: Copy) -> anyhow::Result<()> {
    let from = &arguments.from;
    let entry = context.cluster.entry(from).await;
    let entry = entry.with_context(|| format!("copy {from}"))?;
    let to = destination(&context, from, &arguments.to).await?;
    match entry {
        Entry::File { size, .. } => {
            let transfer = context.narrator.file(label(&to), Some(size));
            let copied = copy_file(&context, from, &to, arguments.replace, &transfer).await;
            transfer.end();
            let copied = copied.with_context(|| format!("copy {from} to {to}"))?;
            tell(&context, from, &to, &copied)
        }
        Entry::Folder { .. } if !arguments.recursive => Err(Stop::error(
            Exit::Conflict,
            format!("{from} is a folder; --recursive (-r) copies it with all that is in it"),
        )),
        Entry::Folder { .. } if to.is_within(from) => Err(Stop::usage(format!(
            "{from} cannot be copied into itself, to {to}"
        ))),
        Entry::Folder { .. } => copy_folder(context, &arguments, &to).await,
    }
}

fn tell(
    context: &Context,
    from: &EntryPath,
    to: &EntryPath,
    copied: &Uploaded,
) -> anyhow::Result<()> {
    let version = if copied.created {
        ""
    } else {
        ", a new version"
    };
    let size = size(copied.size);
    let line = format!("copied {from} to {to}: {size}{version}");
    Ok(context.narrator.done(&line)?)
}

async fn copy_file(
    context: &Context,
    from: &EntryPath,
    to: &EntryPath,
    replace: bool,
    transfer: &Transfer,
) -> anyhow::Result<Uploaded> {
    let options = UploadOptions {
        precondition: if replace {
            Precondition::Any
        } else {
            Precondition::Absent
        },
        progress: Some(progress(&Arc::new(transfer.position()))),
        ..UploadOptions::default()
    };
    let copied = context.cluster.copy(from, to, options).await;
    copied.map_err(|error| match error {
        Error::PreconditionFailed { .. } => advise(
            &error,
            "--replace makes a new version of a file that is there",
        ),
        error => error.into(),
    })
}

/// What became of the files of a folder.
#[derive(Debug, Default)]
struct Outcome {
    files: u64,
    bytes: u64,
    failures: Vec<Exit>,
}

impl Outcome {
    fn note(&mut self, context: &Context, copied: anyhow::Result<Uploaded>) {
        self.files += 1;
        match copied {
            Ok(copied) => self.bytes += copied.size,
            Err(error) => {
                let narrator = &context.narrator;
                narrator.warn(&format!("failed: {}", settings::chain(&error)));
                self.failures.push(exit_of(&error));
            }
        }
    }
}

async fn copy_folder(context: Context, arguments: &Copy, to: &EntryPath) -> anyhow::Result<()> {
    let (from, replace) = (&arguments.from, arguments.replace);
    let context = Arc::new(context);
    let transfer = context.narrator.folder(label(to));
    let mut outcome = Outcome::default();
    let mut running = JoinSet::new();
    make_folder(&context, to).await?;
    each_entry(&context, from, Depth::All, async |path, entry| {
        let target = below(path, from, to)?;
        let Entry::File { size, .. } = entry else {
            return make_folder(&context, &target).await;
        };
        transfer.found(1, *size);
        if running.len() >= FILES_AT_ONCE
            && let Some(copied) = running.join_next().await
        {
            outcome.note(&context, copied?);
        }
        let (context, path, transfer) = (context.clone(), path.clone(), transfer.clone());
        running.spawn(async move {
            let copied = copy_file(&context, &path, &target, replace, &transfer).await;
            copied.with_context(|| format!("copy {path} to {target}"))
        });
        Ok(())
    })
    .await?;
    transfer.found_all();
    while let Some(copied) = running.join_next().await {
        outcome.note(&context, copied?);
    }
    transfer.end();
    if outcome.failures.is_empty() {
        let (files, bytes) = (count(outcome.files, "file"), size(outcome.bytes));
        let narrator = &context.narrator;
        narrator.done(&format!("copied {from} to {to}: {files}, {bytes}"))?;
    }
    SomeFailed::unless_none(&outcome.failures, outcome.files)
}

async fn make_folder(context: &Context, path: &EntryPath) -> anyhow::Result<()> {
    let made = context.cluster.create_folder(path, true).await;
    made.with_context(|| format!("make {path}"))?;
    Ok(())
}

/// The place below `to` that this path has below `from`.
fn below(path: &EntryPath, from: &EntryPath, to: &EntryPath) -> anyhow::Result<EntryPath> {
    let names = path.names().iter().skip(from.names().len());
    let mut place = to.clone();
    for name in names {
        place = place.join(name.clone())?;
    }
    Ok(place)
}
