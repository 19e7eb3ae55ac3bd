//! `dfs search`: what has some words in its name, shown as it is found.

use anyhow::Context as _;
use proto::master::{FoundEntry, PAGE_LEN_MAX, SearchCursor};

use super::list::{Listed, Style, row};
use crate::args::Search;
use crate::context::Context;
use crate::output::Output;

pub(super) async fn run(context: &Context, arguments: &Search) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    let mut after = Some(None);
    if arguments.json {
        let mut array = output.json_array();
        while let Some(from) = after {
            let (found, next) = next_page(context, arguments, from).await?;
            for FoundEntry { path, entry } in &found {
                array.item(&Listed::new(path, entry))?;
            }
            after = next.map(Some);
        }
        return Ok(array.end()?);
    }
    let style = Style::plain(context.zone.clone());
    let mut count = 0;
    while let Some(from) = after {
        let (found, next) = next_page(context, arguments, from).await?;
        for FoundEntry { path, entry } in &found {
            let name = output.name(&path.to_string());
            output.line(&row(&style, &name, entry))?;
        }
        output.flush()?;
        count += found.len();
        after = next.map(Some);
    }
    if count == 0 && output.is_terminal() {
        output.line("no name has all these words")?;
    }
    output.flush()?;
    Ok(())
}

async fn next_page(
    context: &Context,
    arguments: &Search,
    after: Option<SearchCursor>,
) -> anyhow::Result<(Vec<FoundEntry>, Option<SearchCursor>)> {
    let (text, under) = (arguments.text.join(" "), &arguments.under);
    let page = context
        .cluster
        .search(&text, under, after, PAGE_LEN_MAX)
        .await;
    let page = page.with_context(|| format!("search {under}"))?;
    Ok((page.found, page.next))
}
