//! `/api/v1/folders/{path}`: lists, makes and deletes folders. The root is `/api/v1/folders`, with or without `/`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use client::DeleteOptions;
use proto::master::{BrowseCursor, BrowseOrder, Entry, Precondition};
use proto::name::{EntryName, EntryPath};
use serde::{Deserialize, Serialize};

use super::files::Deleted;
use super::page_len;
use crate::Shared;
use crate::error::{Kind, Problem};
use crate::extract::QueryOf;
use crate::location::FolderPath;

/// Which page, in which order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    #[serde(default)]
    order: Order,
    after: Option<String>,
    from: Option<EntryName>,
    limit: Option<u32>,
}

/// How the entries of a folder follow each other.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Order {
    /// By the bytes of their names.
    #[default]
    Name,
    /// Folders before files, and each in this order.
    FoldersFirst(BrowseOrder),
}

impl TryFrom<String> for Order {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "name" => Ok(Self::Name),
            "folders_first" => Ok(Self::FoldersFirst(BrowseOrder::default())),
            _ => match BrowseOrder::try_from(text) {
                Ok(order) => Ok(Self::FoldersFirst(order)),
                Err(_) => {
                    Err("`order` is name, folders_first, -name, size, -size, modified or -modified")
                }
            },
        }
    }
}

/// A page of a folder.
#[derive(Debug, Serialize)]
pub(crate) struct FolderPage {
    path: EntryPath,
    entries: Vec<Entry>,
    /// Whether more follow.
    more: bool,
    /// What to send as `after` for the next page.
    next: Option<String>,
}

/// `GET /api/v1/folders/{path}`
pub(crate) async fn get(
    State(state): State<Shared>,
    FolderPath(path): FolderPath,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<FolderPage>, Problem> {
    let limit = page_len(query.limit)?;
    let folders_first = Order::FoldersFirst(BrowseOrder::default());
    if query.from.is_some() && query.order != folders_first {
        let message = "`from` goes with order=folders_first only";
        return Err(Problem::new(Kind::BadRequest, message));
    }
    let (entries, next) = match query.order {
        Order::Name => {
            let after = query.after.map(EntryName::new).transpose()?;
            let listed = state.drive.list(&path, after, limit).await?;
            let next = last_name(&listed.entries).filter(|_| listed.more);
            (listed.entries, next)
        }
        Order::FoldersFirst(order) => {
            let after = query.after.as_deref().map(cursor).transpose()?;
            let browsed = state.drive.browse(&path, order, after, query.from, limit);
            let browsed = browsed.await?;
            (browsed.entries, browsed.next.map(String::from))
        }
    };
    Ok(Json(FolderPage {
        path,
        entries,
        more: next.is_some(),
        next,
    }))
}

fn last_name(entries: &[Entry]) -> Option<String> {
    Some(entries.last()?.name()?.to_string())
}

fn cursor(text: &str) -> Result<BrowseCursor, Problem> {
    text.parse()
        .map_err(|error| Problem::new(Kind::BadRequest, format!("`after`: {error}")))
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
