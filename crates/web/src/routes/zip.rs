//! `/api/v1/zip/{folder}`: a folder with all that is in it, or some of its entries, as one zip.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt};
use proto::master::Entry;
use proto::name::{EntryName, EntryPath, NAME_LEN_MAX};
use proto::words::grouped;

use crate::archive::{Archive, Walk};
use crate::error::{Kind, Problem};
use crate::extract::{QueryOf, form};
use crate::headers::disposition::{Disposition, content_disposition};
use crate::location::FolderPath;
use crate::readiness::Known;
use crate::texts::{self, Texts};
use crate::turns::{Transfers, Turn};
use crate::{AppState, Shared};

/// Chunks that are fetched ahead, where there is memory for it.
const CHUNKS_AHEAD: u64 = 8;
/// Entries that may be chosen by name; the page is told so.
pub(crate) const NAMES_MAX: usize = 20_000;
/// The longest form: so many names, however long each is, have room with every byte escaped.
const FORM_LEN_MAX: usize = NAMES_MAX * ("&name=".len() + 3 * NAME_LEN_MAX);
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
    let names = names(fields)?;
    // Looking up what was chosen is a part of the work.
    let place = state.transfers.zips.turn(1).await?;
    let texts = texts::chosen(&headers);
    of_chosen(&state, place, &method, texts, folder, names).await
}

/// `POST /api/v1/zip/{path}`: the same, for more names than an address can have.
pub(crate) async fn post(
    State(state): State<Shared>,
    FolderPath(folder): FolderPath,
    request: Request,
) -> Result<Response, Problem> {
    // So is reading the names, which are held meanwhile.
    let place = state.transfers.zips.turn(1).await?;
    let texts = texts::chosen(request.headers());
    let fields = form(request, FORM_LEN_MAX, NAMES_MAX, state.patience).await;
    let fields = fields.map_err(|problem| match problem.kind {
        Kind::RequestTooLarge => too_many(),
        _ => problem,
    })?;
    of_chosen(&state, place, &Method::POST, texts, folder, names(fields)?).await
}

fn too_many() -> Problem {
    let detail = format!(
        "at most {} entries of a folder can be chosen for one zip: choose fewer, or the whole folder",
        grouped(NAMES_MAX as u64)
    );
    Problem::new(Kind::RequestTooLarge, detail)
}

async fn of_chosen(
    state: &AppState,
    place: Turn,
    method: &Method,
    texts: &Texts,
    folder: EntryPath,
    names: BTreeSet<EntryName>,
) -> Result<Response, Problem> {
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
    let folder = state.temporary_folder.clone();
    let archive = Archive::new(state.drive.clone(), walk, turn, place, folder);
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
