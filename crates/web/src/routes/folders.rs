//! `/api/v1/folders/{path}`: lists, makes and deletes folders. The root is `/api/v1/folders`, with or without `/`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use client::DeleteOptions;
use proto::master::{Entry, Precondition};
use proto::name::{EntryName, EntryPath};
use serde::{Deserialize, Serialize};

use super::files::Deleted;
use super::page_len;
use crate::Shared;
use crate::error::{Kind, Problem};
use crate::extract::QueryOf;
use crate::location::FolderPath;

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    pub(crate) after: Option<EntryName>,
    pub(crate) limit: Option<u32>,
}

/// A page of a folder, in the order of the names' bytes.
#[derive(Debug, Serialize)]
pub(crate) struct FolderPage {
    path: EntryPath,
    entries: Vec<Entry>,
    /// Whether more follow.
    more: bool,
    /// What to send as `after` for the next page.
    next: Option<EntryName>,
}

/// `GET /api/v1/folders/{path}`
pub(crate) async fn get(
    State(state): State<Shared>,
    FolderPath(path): FolderPath,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Json<FolderPage>, Problem> {
    let limit = page_len(query.limit)?;
    let listed = state.drive.list(&path, query.after, limit).await?;
    Ok(Json(FolderPage {
        path,
        next: next(&listed.entries, listed.more),
        entries: listed.entries,
        more: listed.more,
    }))
}

/// How a folder is made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateQuery {
    #[serde(default)]
    parents: bool,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct FolderStands {
    path: EntryPath,
    created: bool,
}

/// `POST /api/v1/folders/{path}`
pub(crate) async fn post(
    State(state): State<Shared>,
    FolderPath(path): FolderPath,
    QueryOf(query): QueryOf<CreateQuery>,
) -> Result<Response, Problem> {
    let created = state.drive.create_folder(&path, query.parents).await?;
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(FolderStands { path, created })).into_response())
}

/// How a folder is deleted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteQuery {
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    purge: bool,
}

/// `DELETE /api/v1/folders/{path}`
pub(crate) async fn delete(
    State(state): State<Shared>,
    FolderPath(path): FolderPath,
    QueryOf(query): QueryOf<DeleteQuery>,
) -> Result<Json<Deleted>, Problem> {
    if let Entry::File { .. } = state.drive.entry(&path).await? {
        return Err(Problem::new(Kind::NotAFolder, format!("{path} is a file")));
    }
    let options = DeleteOptions {
        recursive: query.recursive,
        purge: query.purge,
        precondition: Precondition::Any,
    };
    let trashed = state.drive.delete(&path, options).await;
    state.status.forget();
    Ok(Json(Deleted { trashed: trashed? }))
}

/// The last name, if more follow.
pub(crate) fn next(entries: &[Entry], more: bool) -> Option<EntryName> {
    let last = entries.last().filter(|_| more)?;
    last.name().cloned()
}
