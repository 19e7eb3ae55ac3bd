//! `/api/v1/trash`: lists what was deleted, puts it back, or removes it for good.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use proto::master::{TrashEntry, TrashId};
use proto::name::EntryPath;
use serde::{Deserialize, Serialize};

use super::page_len;
use crate::Shared;
use crate::error::{Kind, Problem};
use crate::extract::{JsonBody, QueryOf};

/// Where the rows are.
const TRASH: &str = "/api/v1/trash/";

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrashQuery {
    pub(crate) before: Option<TrashId>,
    limit: Option<u32>,
}

/// A page of the trash, newest first.
#[derive(Debug, Serialize)]
pub(crate) struct TrashPage {
    entries: Vec<TrashEntry>,
    /// Whether more follow.
    more: bool,
    /// What to send as `before` for the next page.
    next: Option<TrashId>,
}

/// `GET /api/v1/trash`
pub(crate) async fn list(
    State(state): State<Shared>,
    QueryOf(query): QueryOf<TrashQuery>,
) -> Result<Json<TrashPage>, Problem> {
    let limit = page_len(query.limit)?;
    let listed = state.drive.list_trash(query.before, limit).await?;
    Ok(Json(TrashPage {
        next: next(&listed.entries, listed.more),
        entries: listed.entries,
        more: listed.more,
    }))
}

/// Where to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Restore {
    /// If not where it was.
    to: Option<EntryPath>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Restored {
    path: EntryPath,
}

/// `POST /api/v1/trash/{id}/restore`
pub(crate) async fn restore(
    State(state): State<Shared>,
    Row(trash): Row,
    JsonBody(request): JsonBody<Restore>,
) -> Result<Json<Restored>, Problem> {
    let restored = state.drive.restore(trash, request.to.as_ref()).await;
    state.status.forget();
    let path = restored?;
    Ok(Json(Restored { path }))
}

/// `DELETE /api/v1/trash/{id}`
pub(crate) async fn remove(
    State(state): State<Shared>,
    Row(trash): Row,
) -> Result<StatusCode, Problem> {
    let removed = state.drive.empty_trash(Some(trash)).await;
    state.status.forget();
    removed?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/v1/trash`
pub(crate) async fn empty(State(state): State<Shared>) -> Result<StatusCode, Problem> {
    let emptied = state.drive.empty_trash(None).await;
    state.status.forget();
    emptied?;
    Ok(StatusCode::NO_CONTENT)
}

/// The last row, if more follow.
pub(crate) fn next(entries: &[TrashEntry], more: bool) -> Option<TrashId> {
    let last = entries.last().filter(|_| more)?;
    Some(last.trash)
}

/// The row that an address names.
#[derive(Debug)]
pub(crate) struct Row(TrashId);

impl<S: Sync> FromRequestParts<S> for Row {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let rest = parts.uri.path().strip_prefix(TRASH).unwrap_or_default();
        let number = rest.split('/').next().unwrap_or_default();
        number.parse().map(|row| Self(TrashId(row))).map_err(|_| {
            let shown: String = number.chars().take(40).collect();
            let detail = format!(
                "{shown:?} is no row of the trash: take a number that GET /api/v1/trash lists"
            );
            Problem::new(Kind::InvalidArgument, detail)
        })
    }
}
