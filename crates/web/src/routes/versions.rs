//! `/api/v1/versions/{path}`: lists a file's versions, makes one the current one, or removes a former one for good. What was
//! in one is read at `/api/v1/files/{path}?version=`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use proto::id::VersionId;
use proto::master::{Entry, FileVersion};
use proto::name::EntryPath;
use serde::{Deserialize, Serialize};

use super::files::{changed_only_if, current};
use super::page_len;
use crate::Shared;
use crate::error::Problem;
use crate::extract::{JsonBody, QueryOf};
use crate::headers::conditional;
use crate::location::VersionsPath;

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionsQuery {
    before: Option<VersionId>,
    limit: Option<u32>,
}

/// The current version, and a page of former ones, the latest first.
#[derive(Debug, Serialize)]
pub(crate) struct VersionsPage {
    path: EntryPath,
    current: FileVersion,
    former: Vec<FileVersion>,
    /// Whether more follow.
    more: bool,
    /// What to send as `before` for the next page.
    next: Option<VersionId>,
}

/// `GET /api/v1/versions/{path}`
pub(crate) async fn get(
    State(state): State<Shared>,
    VersionsPath(path): VersionsPath,
    QueryOf(query): QueryOf<VersionsQuery>,
) -> Result<Json<VersionsPage>, Problem> {
    let limit = page_len(query.limit)?;
    let listed = state.drive.versions(&path, query.before, limit).await?;
    let last = listed.former.last().filter(|_| listed.more);
    Ok(Json(VersionsPage {
        path,
        next: last.map(|version| version.version),
        current: listed.current,
        former: listed.former,
        more: listed.more,
    }))
}

/// Which one is to be the current one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Restore {
    version: VersionId,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Restored {
    path: EntryPath,
    entry: Entry,
}

/// `POST /api/v1/versions/{path}`
pub(crate) async fn post(
    State(state): State<Shared>,
    VersionsPath(path): VersionsPath,
    headers: HeaderMap,
    JsonBody(Restore { version }): JsonBody<Restore>,
) -> Result<Response, Problem> {
    let precondition = changed_only_if(&headers, current(&state, &path).await?)?;
    let restored = state.drive.restore_version(&path, version, precondition);
    let restored = restored.await;
    state.status.forget();
    let entry = restored?;
    let etag = HeaderValue::try_from(conditional::etag(version)).expect("it is printable ASCII");
    Ok(([(header::ETAG, etag)], Json(Restored { path, entry })).into_response())
}

/// Which former one goes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveQuery {
    version: VersionId,
}

/// `DELETE /api/v1/versions/{path}`
pub(crate) async fn delete(
    State(state): State<Shared>,
    VersionsPath(path): VersionsPath,
    QueryOf(query): QueryOf<RemoveQuery>,
) -> Result<StatusCode, Problem> {
    let removed = state.drive.remove_version(&path, query.version).await;
    state.status.forget();
    removed?;
    Ok(StatusCode::NO_CONTENT)
}
