//! `GET /api/v1/search`: entries by words in their names, in a folder and all below it.

use axum::Json;
use axum::extract::State;
use proto::master::{FoundEntry, SearchCursor};
use proto::name::EntryPath;
use serde::{Deserialize, Serialize};

use super::page_len;
use crate::Shared;
use crate::error::Problem;
use crate::extract::QueryOf;

/// What is looked for, where, and which page of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchQuery {
    text: String,
    under: Option<EntryPath>,
    after: Option<SearchCursor>,
    limit: Option<u32>,
}

/// What was found so far.
#[derive(Debug, Serialize)]
pub(crate) struct FoundPage {
    found: Vec<FoundEntry>,
    /// Whether more may follow.
    more: bool,
    /// What to send as `after` to go on.
    next: Option<SearchCursor>,
}

/// `GET /api/v1/search`
pub(crate) async fn get(
    State(state): State<Shared>,
    QueryOf(query): QueryOf<SearchQuery>,
) -> Result<Json<FoundPage>, Problem> {
    let limit = page_len(query.limit)?;
    let under = query.under.unwrap_or(EntryPath::ROOT);
    let page = state
        .drive
        .search(&query.text, &under, query.after, limit)
        .await?;
    Ok(Json(FoundPage {
        found: page.found,
        more: page.next.is_some(),
        next: page.next,
    }))
}
