//! What is in a folder of the cluster, a page at a time.

use anyhow::Context as _;
use proto::master::{Entry, PAGE_LEN_MAX};
use proto::name::EntryPath;

use crate::context::Context;
use client::Error;

/// How far down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// What is in the folder.
    One,
    /// And what is in those below it.
    All,
}

/// Shows every entry of the folder by name, or the one file.
pub(super) async fn each_entry(
    context: &Context,
    path: &EntryPath,
    depth: Depth,
    mut show: impl AsyncFnMut(&EntryPath, &Entry) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let entry = context.cluster.entry(path).await;
    let entry = entry.with_context(|| format!("list {path}"))?;
    if matches!(entry, Entry::File { .. }) {
        return show(path, &entry).await;
    }
    let mut folders = vec![path.clone()];
    while let Some(folder) = folders.pop() {
        let folders_before = folders.len();
        let mut after = None;
        loop {
            let page = match context.cluster.list(&folder, after, PAGE_LEN_MAX).await {
                // It went away since it was seen.
                Err(Error::NotFound { .. }) if folder != *path => break,
                page => page.with_context(|| format!("list {folder}"))?,
            };
            after = page.entries.last().and_then(Entry::name).cloned();
            for entry in &page.entries {
                let Some(name) = entry.name() else { continue };
                let path = folder.join(name.clone())?;
                show(&path, entry).await?;
                if depth == Depth::All && matches!(entry, Entry::Folder { .. }) {
                    folders.push(path);
                }
            }
            if !page.more || after.is_none() {
                break;
            }
        }
        // The last pushed is listed first: turned round, they come by name.
        folders[folders_before..].reverse();
    }
    Ok(())
}
