//! `dfs mkdir`, `dfs mv` and `dfs rm`: changes of names, which move no bytes.

use anyhow::Context as _;
use client::{DeleteOptions, Error};
use proto::master::Entry;
use proto::name::EntryPath;

use crate::args::{Mkdir, Mv, Rm};
use crate::context::Context;
use crate::exit::{Exit, Stop, advise};

pub(super) async fn make_folders(context: &Context, arguments: &Mkdir) -> anyhow::Result<()> {
    for path in &arguments.paths {
        let created = context.cluster.create_folder(path, arguments.parents).await;
        let created = created.map_err(|error| match error {
            Error::NotFound { .. } => advise(&error, "--parents (-p) makes what is above it too"),
            error => error.into(),
        });
        let created = created.with_context(|| format!("make {path}"))?;
        let what = if created {
            "made"
        } else {
            "it is there already:"
        };
        context.narrator.done(&format!("{what} {path}"))?;
    }
    Ok(())
}

pub(super) async fn move_entry(context: &Context, arguments: &Mv) -> anyhow::Result<()> {
    let from = &arguments.from;
    let to = destination(context, from, &arguments.to).await?;
    let moved = context
        .cluster
        .move_entry(from, &to, arguments.replace)
        .await;
    let moved = moved.map_err(|error| match error {
        Error::AlreadyExists { .. } => {
            advise(&error, "--replace moves a file that is there to the trash")
        }
        error => error.into(),
    });
    moved.with_context(|| format!("move {from} to {to}"))?;
    context.narrator.done(&format!("moved {from} to {to}"))?;
    Ok(())
}

/// Into a folder that is there; anything else is the new name.
pub(super) async fn destination(
    context: &Context,
    from: &EntryPath,
    to: &EntryPath,
) -> anyhow::Result<EntryPath> {
    match context.cluster.entry(to).await {
        Ok(Entry::Folder { .. }) if from != to => {
            let name = from
                .name()
                .ok_or_else(|| Stop::usage("the root cannot go into another folder"))?;
            Ok(to.join(name.clone())?)
        }
        Ok(_) | Err(Error::NotFound { .. }) => Ok(to.clone()),
        Err(error) => Err(error).with_context(|| format!("look up {to}")),
    }
}

pub(super) async fn remove(context: &Context, arguments: &Rm) -> anyhow::Result<()> {
    let options = DeleteOptions {
        recursive: arguments.recursive,
        purge: arguments.purge,
        ..DeleteOptions::default()
    };
    for path in &arguments.paths {
        if is_folder_by_mistake(context, path, arguments).await? {
            return Err(Stop::error(
                Exit::Conflict,
                format!("{path} is a folder; --recursive (-r) removes it with all that is in it"),
            ))
            .with_context(|| format!("remove {path}"));
        }
        let line = match context.cluster.delete(path, options).await {
            Ok(Some(trash)) => format!(
                "moved {path} to the trash; `dfs trash restore {}` puts it back",
                trash.0
            ),
            Ok(None) => format!("removed {path} for good"),
            Err(Error::NotFound { .. }) if arguments.force => continue,
            Err(error) => return Err(error).with_context(|| format!("remove {path}")),
        };
        context.narrator.done(&line)?;
    }
    Ok(())
}

/// A folder goes only with `--recursive`, also an empty one: as with `rm`, a name mistaken for a file's does no harm.
async fn is_folder_by_mistake(
    context: &Context,
    path: &EntryPath,
    arguments: &Rm,
) -> anyhow::Result<bool> {
    if arguments.recursive {
        return Ok(false);
    }
    match context.cluster.entry(path).await {
        Ok(Entry::Folder { .. }) => Ok(true),
        Ok(Entry::File { .. }) | Err(Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("look up {path}")),
    }
}
