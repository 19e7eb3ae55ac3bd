//! `/api/v1/uploads`: uploads that can be gone on with, by the tus protocol 1.0.0.
//!
//! `POST` opens an upload, `PATCH` of its address adds bytes, `HEAD` says how many are here, `DELETE` gives it up. The file is
//! there when all its bytes are: the answer to the last of them comes after the commit. A stock client needs no more
//! than the address of this route and a file's name. Whoever hashes the file itself can name its next chunks with `POST` of
//! `…/chunks`, and needs to send only those that are not here.

use std::time::SystemTime;

use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use client::Uploaded;
use proto::id::{ChunkId, UploadId, VersionId};
use proto::master::UploadPlan;
use proto::name::EntryPath;
use serde::{Deserialize, Serialize};
use tokio::task::JoinError;

use super::files::check_before;
use crate::Shared;
use crate::error::{Kind, Problem};
use crate::extract::JsonBody;
use crate::headers::conditional;
use crate::headers::tus::{self, Metadata};
use crate::pace::PacedBody;
use crate::readiness::Known;
use crate::resumable::{self, Progress};
use crate::room;

/// Where the routes of uploads begin.
pub(crate) const UPLOADS: &str = "/api/v1/uploads";
/// How many copies the file has now, and how many it will have: in the answer to its last bytes.
const COPIES: HeaderName = HeaderName::from_static("x-copies");
const COPIES_WANTED: HeaderName = HeaderName::from_static("x-copies-wanted");

/// `OPTIONS`: what this server speaks.
pub(crate) async fn options(State(state): State<Shared>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(tus::VERSIONS, tus::VERSION);
    headers.insert(tus::EXTENSION, tus::EXTENSIONS);
    if let Known::Status(status) = state.status.get(&*state.drive).await
        && let Some(max) = status.rules.file_size_max
    {
        headers.insert(tus::MAX_SIZE, max.into());
    }
    response
}

/// `POST /api/v1/uploads`
pub(crate) async fn create(
    State(state): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    tus::check_version(&headers)?;
    let Some(size) = tus::number(&headers, &tus::LENGTH)? else {
        let detail = "Upload-Length is missing: say how many bytes the file has";
        return Err(Problem::new(Kind::BadRequest, detail));
    };
    let metadata = Metadata::read(&headers)?;
    let path = metadata.place()?;
    let plan = UploadPlan {
        precondition: check_before(&state, &path, &headers, Some(size)).await?,
        path,
        size,
        modified_ms: metadata.modified_ms()?,
        parents: true,
        note: metadata.into_text(),
    };
    room::check_size(&state, size).await?;
    let upload = resumable::begin(&state, plan).await?;
    let progress = if size == 0 || tus::has_bytes(&headers) {
        let body = if size == 0 { Body::empty() } else { body };
        match append(&state, upload, 0, body).await {
            Ok(progress) => progress,
            Err(problem) => {
                // Nobody knows its address.
                if let Err(problem) = resumable::end(&state, upload).await {
                    tracing::debug!(%upload, problem = %problem.detail, "could not end an upload; its lease will");
                }
                return Err(problem);
            }
        }
    } else {
        resumable::find(&state, upload).await?
    };
    let mut response = (StatusCode::CREATED, told(&progress)).into_response();
    let place = HeaderValue::try_from(format!("{UPLOADS}/{upload}")).expect("plain ASCII");
    response.headers_mut().insert(header::LOCATION, place);
    Ok(response)
}

/// How far an upload is, for scripts.
#[derive(Debug, Serialize)]
pub(crate) struct UploadState {
    upload: UploadId,
    size: u64,
    offset: u64,
    /// Where it goes, while it is open.
    path: Option<EntryPath>,
    /// How long it is kept from now, while it is open.
    kept_ms: Option<u64>,
    /// What it became.
    version: Option<VersionId>,
    copies: Option<u8>,
    copies_wanted: Option<u8>,
}

/// `GET /api/v1/uploads/{upload}`: whoever sends goes on.
pub(crate) async fn get(
    State(state): State<Shared>,
    Path(upload): Path<String>,
) -> Result<Response, Problem> {
    let upload = id(&upload)?;
    let progress = resumable::watch(&state, upload).await?;
    Ok(described(upload, progress))
}

/// An answer in JSON, with the headers of every answer besides.
fn described(upload: UploadId, progress: Progress) -> Response {
    let mut state = UploadState {
        upload,
        size: progress.size(),
        offset: progress.offset(),
        path: None,
        kept_ms: None,
        version: None,
        copies: None,
        copies_wanted: None,
    };
    let headers = told(&progress);
    match progress {
        Progress::Open { plan, kept, .. } => {
            state.path = Some(plan.path);
            state.kept_ms = Some(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX));
        }
        Progress::Committed(uploaded) => {
            state.version = Some(uploaded.version);
            state.copies = Some(uploaded.copies);
            state.copies_wanted = Some(uploaded.copies_wanted);
        }
    }
    (headers, Json(state)).into_response()
}

/// `HEAD /api/v1/uploads/{upload}`, of whoever is about to send: what was sent before stops.
pub(crate) async fn head(
    State(state): State<Shared>,
    Path(upload): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    tus::check_version(&headers)?;
    let progress = resumable::find(&state, id(&upload)?).await;
    // Clients begin anew after any other failure, and all bytes would be sent again because a master restarts.
    let progress = progress.map_err(|problem| {
        if problem.kind.status().is_server_error() {
            Problem::new(Kind::Locked, problem.detail)
        } else {
            problem
        }
    })?;
    Ok((StatusCode::OK, told(&progress)).into_response())
}

/// `PATCH /api/v1/uploads/{upload}`
pub(crate) async fn patch(
    State(state): State<Shared>,
    Path(upload): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    tus::check_version(&headers)?;
    let upload = id(&upload)?;
    if !tus::has_bytes(&headers) {
        let detail = format!("send bytes with Content-Type: {}", tus::CONTENT_TYPE);
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    let Some(offset) = tus::number(&headers, &tus::OFFSET)? else {
        let detail = "Upload-Offset is missing: say behind how many bytes these go";
        return Err(Problem::new(Kind::BadRequest, detail));
    };
    let progress = append(&state, upload, offset, body).await?;
    Ok((StatusCode::NO_CONTENT, told(&progress)).into_response())
}

/// `DELETE /api/v1/uploads/{upload}`
pub(crate) async fn delete(
    State(state): State<Shared>,
    Path(upload): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    tus::check_version(&headers)?;
    resumable::end(&state, id(&upload)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/uploads/{upload}`, from callers that cannot send other methods.
pub(crate) async fn post(
    state: State<Shared>,
    path: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let method = headers.get(tus::METHOD_OVERRIDE);
    match method.map(HeaderValue::as_bytes) {
        Some(b"PATCH") => patch(state, path, headers, body).await,
        Some(b"DELETE") => delete(state, path, headers)
            .await
            .map(IntoResponse::into_response),
        Some(b"HEAD") => head(state, path, headers).await,
        _ => Err(Problem::new(
            Kind::BadRequest,
            "POST of an upload needs X-HTTP-Method-Override: PATCH, DELETE or HEAD",
        )),
    }
}

/// Chunks that one request may name: their hashes are some 34 KB.
const NAMED_MAX: usize = 512;

/// The next chunks of an upload by their hashes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedChunks {
    /// Behind so many bytes.
    offset: u64,
    chunks: Vec<ChunkId>,
}

/// `POST /api/v1/uploads/{upload}/chunks`
pub(crate) async fn name_chunks(
    State(state): State<Shared>,
    Path(upload): Path<String>,
    JsonBody(NamedChunks { offset, chunks }): JsonBody<NamedChunks>,
) -> Result<Response, Problem> {
    let upload = id(&upload)?;
    if !(1..=NAMED_MAX).contains(&chunks.len()) {
        let detail = format!(
            "{} chunks were named; name 1 to {NAMED_MAX} at once",
            chunks.len()
        );
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let appends = state.appends();
    let appending = async move { resumable::append_stored(&state, upload, offset, chunks).await };
    let progress = finished(appends.spawn(appending).await)?;
    Ok(described(upload, progress))
}

/// Goes on to the end of what came even if the connection breaks, and with it the request that waits for the answer.
async fn append(
    state: &Shared,
    upload: UploadId,
    offset: u64,
    body: Body,
) -> Result<Progress, Problem> {
    let (state, appends) = (state.clone(), state.appends());
    let len = body.size_hint().exact();
    let body = PacedBody::new(body.into_data_stream(), state.patience);
    let appending = async move { resumable::append(&state, upload, offset, len, body).await };
    finished(appends.spawn(appending).await)
}

/// What a task said that went on whatever became of its request.
fn finished(appended: Result<Result<Progress, Problem>, JoinError>) -> Result<Progress, Problem> {
    appended.unwrap_or_else(|_| {
        let detail = "the server failed in the middle of an upload; its log says more";
        Err(Problem::new(Kind::Internal, detail))
    })
}

fn id(text: &str) -> Result<UploadId, Problem> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        Problem::new(Kind::NotFound, format!("there is no upload {shown:?}"))
    })
}

/// What an answer says of how far an upload is.
fn told(progress: &Progress) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    headers.insert(tus::OFFSET, progress.offset().into());
    headers.insert(tus::LENGTH, progress.size().into());
    match progress {
        Progress::Open { plan, kept, .. } => {
            let expires = SystemTime::now().checked_add(*kept);
            let expires = expires.map(httpdate::fmt_http_date);
            let expires = expires.and_then(|date| HeaderValue::try_from(date).ok());
            headers.extend(expires.map(|date| (tus::EXPIRES, date)));
            let note = HeaderValue::try_from(&plan.note).ok();
            let note = note.filter(|note| !note.is_empty());
            headers.extend(note.map(|note| (tus::METADATA, note)));
        }
        Progress::Committed(Uploaded {
            version,
            copies,
            copies_wanted,
            ..
        }) => {
            let etag = HeaderValue::try_from(conditional::etag(*version));
            headers.insert(header::ETAG, etag.expect("plain ASCII"));
            headers.insert(COPIES, u16::from(*copies).into());
            headers.insert(COPIES_WANTED, u16::from(*copies_wanted).into());
        }
    }
    headers
}
