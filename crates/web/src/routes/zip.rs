//! `GET` and `HEAD` of `/api/v1/zip/{folder}`: a folder with all that is in it, or some of its entries, as one zip.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use proto::master::Entry;
use proto::name::{EntryName, EntryPath};

use crate::archive::{Archive, Walk};
use crate::error::{Kind, Problem};
use crate::extract::QueryOf;
use crate::headers::disposition::{Disposition, content_disposition};
use crate::location::FolderPath;
use crate::readiness::Known;
use crate::turns::Transfers;
use crate::{AppState, Shared};

/// Chunks that are fetched ahead, where there is memory for it.
const CHUNKS_AHEAD: u64 = 8;

/// `GET` and `HEAD` of `/api/v1/zip/{path}`
pub(crate) async fn get(
    State(state): State<Shared>,
    method: Method,
    FolderPath(folder): FolderPath,
    QueryOf(query): QueryOf<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let names = names(query)?;
    let title = title(&folder, &names);
    let walk = walk(&state, folder, names).await?;
    send(&state, &state.transfers, &method, &title, walk).await
}

/// All that a walk comes to, as a zip with this name.
pub(crate) async fn send(
    state: &AppState,
    transfers: &Transfers,
    method: &Method,
    title: &str,
    walk: Walk,
) -> Result<Response, Problem> {
    let headers = headers(title);
    if *method == Method::HEAD {
        return Ok(headers.into_response());
    }
    let place = transfers.zips.turn(1).await?;
    let chunk_size = chunk_size(state).await?;
    let turn = transfers
        .downloads
        .turn(&(0..u64::MAX / 2), chunk_size, CHUNKS_AHEAD * chunk_size)
        .await?;
    let archive = Archive::new(state.drive.clone(), walk, turn, place);
    let body = Body::from_stream(archive.bytes().await?);
    Ok((headers, body).into_response())
}

/// The entries of the folder that are wanted; none for all of it.
fn names(query: Vec<(String, String)>) -> Result<BTreeSet<EntryName>, Problem> {
    query
        .into_iter()
        .map(|(field, value)| {
            if field == "name" {
                return Ok(EntryName::new(value)?);
            }
            let shown: String = field.chars().take(80).collect();
            Err(Problem::new(
                Kind::BadRequest,
                format!("the query does not fit: unknown field `{shown}`, expected `name`"),
            ))
        })
        .collect()
}

async fn walk(
    state: &AppState,
    folder: EntryPath,
    names: BTreeSet<EntryName>,
) -> Result<Walk, Problem> {
    let entry = state.drive.entry(&folder).await?;
    if let Entry::File { .. } = entry {
        let message = format!("{folder} is a file: it can be downloaded as it is");
        return Err(Problem::new(Kind::NotAFolder, message));
    }
    if names.is_empty() {
        return Ok(match folder.split_last() {
            Some((above, _)) => Walk::of(above, vec![entry]),
            None => Walk::of_all(),
        });
    }
    let mut entries = Vec::new();
    for name in names {
        entries.push(state.drive.entry(&folder.join(name)?).await?);
    }
    Ok(Walk::of(folder, entries))
}

/// What the zip is called: as the one thing in it, or as the folder of the several things.
fn title(folder: &EntryPath, names: &BTreeSet<EntryName>) -> String {
    let name = match names.first() {
        Some(name) if names.len() == 1 => Some(name),
        _ => folder.name(),
    };
    format!("{}.zip", name.map_or("All files", EntryName::as_str))
}

fn headers(title: &str) -> HeaderMap {
    HeaderMap::from_iter([
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/zip"),
        ),
        (
            header::CONTENT_DISPOSITION,
            content_disposition(Disposition::Attachment, title),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ])
}

async fn chunk_size(state: &AppState) -> Result<u64, Problem> {
    let known = state.status.get(&*state.drive).await;
    match &known {
        Known::Status(status) => Ok(status.rules.chunk_size.into()),
        Known::Unknown(_) => Err(known.readiness().problem()),
    }
}
