//! `dfs versions`: what a file was before, and making it so again.

use anyhow::Context as _;
use jiff::tz::TimeZone;
use proto::id::VersionId;
use proto::master::{FileVersion, PAGE_LEN_MAX, Precondition};
use proto::name::EntryPath;

use crate::args::Versions;
use crate::context::Context;
use crate::output::{Output, Table, time};
use client::people::size;

pub(super) async fn run(context: &Context, arguments: &Versions) -> anyhow::Result<()> {
    let path = &arguments.path;
    match (arguments.restore, arguments.remove) {
        (Some(version), _) => restore(context, path, VersionId(version)).await,
        (None, Some(version)) => remove(context, path, VersionId(version)).await,
        (None, None) if arguments.json => list_json(context, path).await,
        (None, None) => list(context, path).await,
    }
}

async fn list(context: &Context, path: &EntryPath) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    let mut pages = Pages::default();
    while let Some(versions) = pages.next(context, path).await? {
        let mut table = Table::default();
        for version in &versions {
            table.row(row(version, &context.zone));
        }
        for line in table.lines("") {
            output.line(&line)?;
        }
    }
    output.flush()?;
    Ok(())
}

fn row(version: &FileVersion, zone: &TimeZone) -> [String; 4] {
    let mark = match version.former_for_ms {
        None => "current",
        Some(_) => "",
    };
    [
        format!("{:>6}", version.version.0),
        format!("{:>10}", size(version.size)),
        format!("stored {}", time(version.committed_ms, zone)),
        mark.to_owned(),
    ]
}

async fn list_json(context: &Context, path: &EntryPath) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    let mut array = output.json_array();
    let mut pages = Pages::default();
    while let Some(versions) = pages.next(context, path).await? {
        for version in &versions {
            array.item(version)?;
        }
    }
    array.end()?;
    Ok(())
}

/// Goes through a file's versions, the current one first.
#[derive(Debug, Default)]
struct Pages {
    before: Option<VersionId>,
    is_over: bool,
}

impl Pages {
    async fn next(
        &mut self,
        context: &Context,
        path: &EntryPath,
    ) -> anyhow::Result<Option<Vec<FileVersion>>> {
        if self.is_over {
            return Ok(None);
        }
        let is_first = self.before.is_none();
        let page = context.cluster.versions(path, self.before, PAGE_LEN_MAX);
        let page = page
            .await
            .with_context(|| format!("list the versions of {path}"))?;
        self.before = page.former.last().map(|version| version.version);
        self.is_over = !page.more;
        let current = is_first.then_some(page.current);
        Ok(Some(current.into_iter().chain(page.former).collect()))
    }
}

async fn restore(context: &Context, path: &EntryPath, version: VersionId) -> anyhow::Result<()> {
    let restored = context
        .cluster
        .restore_version(path, version, Precondition::Any);
    let doing = || format!("restore version {version} of {path}");
    restored.await.with_context(doing)?;
    let line = format!(
        "{path} is what it was in version {version} again; what it was until now is kept too"
    );
    context.narrator.done(&line)?;
    Ok(())
}

async fn remove(context: &Context, path: &EntryPath, version: VersionId) -> anyhow::Result<()> {
    let removed = context.cluster.remove_version(path, version).await;
    removed.with_context(|| format!("remove version {version} of {path}"))?;
    let line = format!("removed version {version} of {path} for good");
    context.narrator.done(&line)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_number_size_time_and_which_is_current() {
        let version = |former_for_ms| FileVersion {
            version: VersionId(7),
            size: 1 << 20,
            modified_ms: 0,
            committed_ms: 1_700_000_000_000,
            former_for_ms,
        };
        let mut table = Table::default();
        table.row(row(&version(None), &TimeZone::UTC));
        table.row(row(&version(Some(5)), &TimeZone::UTC));
        let expected = "     7      1.0 MB  stored 2023-11-14 22:13";
        assert_eq!(
            table.lines(""),
            [format!("{expected}  current"), expected.to_owned()]
        );
    }
}
