//! `dfs trash`: what was deleted and is still there.

use anyhow::Context as _;
use proto::master::{Entry, PAGE_LEN_MAX, TrashEntry, TrashId};
use proto::name::EntryPath;

use crate::args::Restore;
use crate::context::Context;
use crate::exit::{Exit, Stop, advise};
use crate::output::{Output, time};
use client::Error;
use client::people::size;

pub(super) async fn list(context: &Context, json: bool) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    if json {
        let mut array = output.json_array();
        let mut before = None;
        while let Some(page) = next_page(context, &mut before).await? {
            for entry in page {
                array.item(&entry)?;
            }
        }
        array.end()?;
        return Ok(());
    }
    let mut before = None;
    while let Some(page) = next_page(context, &mut before).await? {
        for entry in page {
            let line = row(context, &output, &entry);
            output.line(&line)?;
        }
    }
    if before.is_none() && output.is_terminal() {
        output.line("the trash is empty")?;
    }
    output.flush()?;
    Ok(())
}

/// The rows after `before`, which moves on; nothing at the end.
async fn next_page(
    context: &Context,
    before: &mut Option<TrashId>,
) -> anyhow::Result<Option<Vec<TrashEntry>>> {
    let page = context.cluster.list_trash(*before, PAGE_LEN_MAX).await;
    let page = page.context("list the trash")?;
    let last = page.entries.last().map(|entry| entry.trash);
    *before = last.or(*before);
    Ok(last.map(|_| page.entries))
}

fn row(context: &Context, output: &Output, entry: &TrashEntry) -> String {
    let (kind, shown_size) = match &entry.entry {
        Entry::Folder { .. } => ("/", "folder".to_owned()),
        Entry::File { size: bytes, .. } => ("", size(*bytes)),
    };
    format!(
        "{:>6}  {:>10}  deleted {}  {}{kind}",
        entry.trash.0,
        shown_size,
        time(entry.deleted_ms, &context.zone),
        output.name(&entry.path.to_string()),
    )
}

pub(super) async fn restore(
    context: &Context,
    trash: u64,
    to: Option<EntryPath>,
) -> anyhow::Result<()> {
    put_back(context, TrashId(trash), to.as_ref())
        .await
        .with_context(|| format!("restore {trash} from the trash"))
}

/// `dfs restore`: the latest thing of this name.
pub(super) async fn restore_by_name(context: &Context, arguments: &Restore) -> anyhow::Result<()> {
    let path = &arguments.path;
    let mut before = None;
    // A folder that was deleted with what is looked for in it.
    let mut above = None;
    while let Some(page) = next_page(context, &mut before).await? {
        let Some(found) = page.iter().find(|entry| entry.path == *path) else {
            let is_above = |entry: &&TrashEntry| {
                matches!(entry.entry, Entry::Folder { .. }) && path.is_within(&entry.path)
            };
            above = above.or_else(|| page.iter().find(is_above).map(|entry| entry.path.clone()));
            continue;
        };
        return put_back(context, found.trash, arguments.to.as_ref())
            .await
            .with_context(|| format!("restore {path} from the trash"));
    }
    let message = match above {
        Some(folder) => format!(
            "{path} was not deleted by itself, but the folder {folder} was, perhaps with it: restore that, \
             with --to if its place is taken"
        ),
        None => format!("there is no {path} in the trash; `dfs trash list` shows what is"),
    };
    Err(Stop::error(Exit::NotFound, message))
}

async fn put_back(context: &Context, trash: TrashId, to: Option<&EntryPath>) -> anyhow::Result<()> {
    let restored = context.cluster.restore(trash, to).await;
    let path = restored.map_err(|error| match error {
        Error::AlreadyExists { .. } => advise(&error, "--to says where to"),
        error => error.into(),
    })?;
    context.narrator.done(&format!("restored {path}"))?;
    Ok(())
}

pub(super) async fn empty(context: &Context, trash: Option<u64>) -> anyhow::Result<()> {
    let emptied = context.cluster.empty_trash(trash.map(TrashId)).await;
    emptied.context("empty the trash")?;
    let line = match trash {
        Some(trash) => format!("removed {trash} from the trash for good"),
        None => "the trash is empty; its space is freed soon".to_owned(),
    };
    context.narrator.done(&line)?;
    Ok(())
}
