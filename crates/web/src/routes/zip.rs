//! `/api/v1/zip/{folder}`: a folder with all that is in it, or some of its entries, as one zip.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt};
use proto::master::Entry;
use proto::name::{EntryName, EntryPath};

use crate::archive::{Archive, Walk};
use crate::error::{Kind, Problem};
use crate::extract::{FormBody, QueryOf};
use crate::headers::disposition::{Disposition, content_disposition};
use crate::location::FolderPath;
use crate::readiness::Known;
use crate::texts::{self, Texts};
use crate::turns::{Transfers, Turn};
use crate::{AppState, Shared};

/// Chunks that are fetched ahead, where there is memory for it.
const CHUNKS_AHEAD: u64 = 8;
/// The longest form: as many names as the page shows of a folder, of 80 bytes each.
const FORM_LEN_MAX: usize = 16 << 20;
/// Entries that are looked up at the same time.
const ASKED_AT_ONCE: usize = 16;

/// `GET` and `HEAD` of `/api/v1/zip/{path}`
pub(crate) async fn get(
    State(state): State<Shared>,
    method: Method,
    headers: HeaderMap,
    FolderPath(folder): FolderPath,
    QueryOf(fields): QueryOf<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    of_chosen(&state, &method, texts::chosen(&headers), folder, fields).await
}

/// `POST /api/v1/zip/{path}`: the same, for more names than an address can have.
pub(crate) async fn post(
    State(state): State<Shared>,
    method: Method,
    headers: HeaderMap,
    FolderPath(folder): FolderPath,
    FormBody(fields): FormBody<Vec<(String, String)>, FORM_LEN_MAX>,
) -> Result<Response, Problem> {
    of_chosen(&state, &method, texts::chosen(&headers), folder, fields).await
}

async fn of_chosen(
    state: &AppState,
    method: &Method,
    texts: &Texts,
    folder: EntryPath,
    fields: Vec<(String, String)>,
) -> Result<Response, Problem> {
    let names = names(fields)?;
    // Looking up what was chosen is a part of the work.
    let place = state.transfers.zips.turn(1).await?;
    let title = title(&folder, &names, texts);
    let walk = walk(state, folder, names).await?;
    send(state, &state.transfers, place, method, &title, walk).await
}

/// All that a walk comes to, as a zip with this name, which has its place among those that are made.
pub(crate) async fn send(
    state: &AppState,
    transfers: &Transfers,
    place: Turn,
    method: &Method,
    title: &str,
    walk: Walk,
) -> Result<Response, Problem> {
    let headers = headers(title);
    if *method == Method::HEAD {
        return Ok(headers.into_response());
    }
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
fn names(fields: Vec<(String, String)>) -> Result<BTreeSet<EntryName>, Problem> {
    fields
        .into_iter()
        .map(|(field, value)| {
            if field == "name" {
                return Ok(EntryName::new(value)?);
            }
            let shown: String = field.chars().take(80).collect();
            Err(Problem::new(
                Kind::BadRequest,
                format!("the request does not fit: unknown field `{shown}`, expected `name`"),
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
    // Each path is made when it is asked for: all of them together could be far longer than the names.
    let found = names.into_iter().map(|name| {
        let (drive, path) = (Arc::clone(&state.drive), folder.join(name));
        async move { Ok::<_, Problem>(drive.entry(&path?).await?) }
    });
    let entries = futures::stream::iter(found).buffered(ASKED_AT_ONCE);
    let entries = entries.try_collect().await?;
    Ok(Walk::of(folder, entries))
}

/// What the zip is called: as the one thing in it, or as the folder of the several things.
fn title(folder: &EntryPath, names: &BTreeSet<EntryName>, texts: &Texts) -> String {
    let name = match names.first() {
        Some(name) if names.len() == 1 => Some(name),
        _ => folder.name(),
    };
    format!(
        "{}.zip",
        name.map_or(texts.say("files.root"), EntryName::as_str)
    )
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
