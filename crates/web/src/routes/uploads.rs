//! `/api/v1/uploads`: uploads that can be gone on with, by the tus protocol 1.0.0.
//!
//! `POST` opens an upload, `PATCH` of its address adds bytes, `HEAD` says how many are here, `DELETE` gives it up. The file is
//! there when all its bytes are: the answer to the last of them comes after the commit. A stock client needs no more
//! than the address of this route and a file's name. Those who add files by a link do the same below its address
//! (`receiver/sending.rs`), with [`Sending`]. Whoever hashes the file itself can name its next chunks with `POST` of
//! `…/chunks`, and needs to send only those that are not here.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use proto::id::{ChunkId, UploadId, VersionId};
use proto::master::{ShareId, UploadPlan};
use proto::name::EntryPath;
use proto::net::Pending;
use serde::{Deserialize, Serialize};
use tokio::task::JoinError;

use super::files::check_before;
use crate::error::{Kind, Problem};
use crate::extract::JsonBody;
use crate::headers::conditional;
use crate::headers::tus::{self, Metadata};
use crate::pace::PacedBody;
use crate::readiness::Known;
use crate::resumable::{self, Progress, Sender};
use crate::room;
use crate::{AppState, Shared};

/// Where the routes of uploads begin.
pub(crate) const UPLOADS: &str = "/api/v1/uploads";
/// How many copies the file has now, and how many it will have: in the answer to its last bytes.
const COPIES: HeaderName = HeaderName::from_static("x-copies");
const COPIES_WANTED: HeaderName = HeaderName::from_static("x-copies-wanted");

/// `OPTIONS` of the owner's
pub(crate) async fn owner_options(State(state): State<Shared>) -> Response {
    options(&state, None).await
}

/// What this server speaks, to those whose files may have so many bytes, or as many as the cluster takes.
pub(crate) async fn options(state: &AppState, size_max: Option<u64>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(tus::VERSIONS, tus::VERSION);
    headers.insert(tus::EXTENSION, tus::EXTENSIONS);
    let of_cluster = match state.status.get(&*state.drive).await {
        Known::Status(status) => status.rules.file_size_max,
        Known::Unknown(_) => None,
    };
    if let Some(max) = of_cluster.into_iter().chain(size_max).min() {
        headers.insert(tus::MAX_SIZE, max.into());
    }
    response
}

/// What a caller does with uploads: the owner by the API, others by their links.
pub(crate) struct Sending {
    state: Shared,
    sender: Arc<dyn Sender>,
}

impl Sending {
    pub(crate) fn new(state: &Shared, sender: impl Sender + 'static) -> Self {
        Self {
            state: Arc::clone(state),
            sender: Arc::new(sender),
        }
    }

    fn of_owner(state: &Shared) -> Self {
        Self::new(state, Owner)
    }

    /// Opens an upload, and takes what bytes come with that.
    pub(crate) async fn create(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, Problem> {
        tus::check_version(headers)?;
        let Some(size) = tus::number(headers, &tus::LENGTH)? else {
            let detail = "Upload-Length is missing: say how many bytes the file has";
            return Err(Problem::new(Kind::BadRequest, detail));
        };
        let plan = self.sender.plan(&self.state, headers, size).await?;
        let created = self.begin(plan, headers, body).await;
        created.map_err(|problem| self.sender.refused(problem, false))
    }

    async fn begin(
        &self,
        plan: UploadPlan,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, Problem> {
        let (state, sender) = (&self.state, &*self.sender);
        let size = plan.size;
        room::check_size(state, size).await?;
        let (upload, begun) = resumable::begin(state, sender, plan).await?;
        let progress = if size == 0 || tus::has_bytes(headers) {
            let body = if size == 0 { Body::empty() } else { body };
            match self.append(upload, 0, body).await {
                Ok(progress) => progress,
                Err(problem) => {
                    // Nobody knows its address.
                    if let Err(problem) = resumable::end(state, sender, upload).await {
                        tracing::debug!(%upload, problem = %problem.detail, "could not end an upload; its lease will");
                    }
                    return Err(problem);
                }
            }
        } else {
            begun
        };
        let mut response = (StatusCode::CREATED, self.told(upload, &progress)).into_response();
        let place = HeaderValue::try_from(sender.address(upload)).expect("plain ASCII");
        response.headers_mut().insert(header::LOCATION, place);
        Ok(response)
    }

    /// How far an upload is, for whoever is about to send: what was sent before stops.
    pub(crate) async fn head(
        &self,
        upload: &str,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        tus::check_version(headers)?;
        let upload = self.id(upload)?;
        let progress = resumable::find(&self.state, &*self.sender, upload).await;
        let progress = progress.map_err(|problem| patient(self.sender.refused(problem, true)))?;
        Ok((StatusCode::OK, self.told(upload, &progress)).into_response())
    }

    /// Adds bytes to an upload.
    pub(crate) async fn patch(
        &self,
        upload: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, Problem> {
        tus::check_version(headers)?;
        let upload = self.id(upload)?;
        if !tus::has_bytes(headers) {
            let detail = format!("send bytes with Content-Type: {}", tus::CONTENT_TYPE);
            return Err(Problem::new(Kind::UnsupportedMediaType, detail));
        }
        let Some(offset) = tus::number(headers, &tus::OFFSET)? else {
            let detail = "Upload-Offset is missing: say behind how many bytes these go";
            return Err(Problem::new(Kind::BadRequest, detail));
        };
        let progress = self.append(upload, offset, body).await;
        let progress = progress.map_err(|problem| self.sender.refused(problem, true))?;
        Ok((StatusCode::NO_CONTENT, self.told(upload, &progress)).into_response())
    }

    /// Gives an upload up.
    pub(crate) async fn delete(
        &self,
        upload: &str,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        tus::check_version(headers)?;
        let upload = self.id(upload)?;
        let ended = resumable::end(&self.state, &*self.sender, upload).await;
        ended.map_err(|problem| self.sender.refused(problem, true))?;
        self.sender.saw(&self.state, upload, None);
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    /// What a caller wants who cannot send other methods.
    pub(crate) async fn post(
        &self,
        upload: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, Problem> {
        let method = headers.get(tus::METHOD_OVERRIDE);
        match method.map(HeaderValue::as_bytes) {
            Some(b"PATCH") => self.patch(upload, headers, body).await,
            Some(b"DELETE") => self.delete(upload, headers).await,
            Some(b"HEAD") => self.head(upload, headers).await,
            _ => Err(Problem::new(
                Kind::BadRequest,
                "POST of an upload needs X-HTTP-Method-Override: PATCH, DELETE or HEAD",
            )),
        }
    }

    /// Goes on to the end of what came even if the connection breaks, and with it the request that waits for the answer.
    async fn append(&self, upload: UploadId, offset: u64, body: Body) -> Result<Progress, Problem> {
        let (state, sender) = (Arc::clone(&self.state), Arc::clone(&self.sender));
        let appends = state.appends();
        let len = body.size_hint().exact();
        let body = PacedBody::new(body.into_data_stream(), state.patience).boxed();
        let appending = async move {
            let progress = resumable::append(&state, &*sender, upload, offset, len, body).await?;
            // Whoever waits for the answer may be gone.
            sender.saw(&state, upload, Some(&progress));
            Ok(progress)
        };
        finished(appends.spawn(appending).await)
    }

    fn id(&self, text: &str) -> Result<UploadId, Problem> {
        let upload = self.sender.upload(text);
        upload.ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            resumable::no_upload(&format!("{shown:?}"))
        })
    }

    fn told(&self, upload: UploadId, progress: &Progress) -> HeaderMap {
        self.sender.saw(&self.state, upload, Some(progress));
        self.sender.told(progress)
    }

    /// An answer in JSON, with the headers of every answer besides.
    fn described(&self, upload: UploadId, progress: Progress) -> Response {
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
        let headers = self.told(upload, &progress);
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
}

/// Clients begin anew after any other failure, and all bytes would be sent again because a master restarts.
pub(crate) fn patient(problem: Problem) -> Problem {
    if problem.kind.status().is_server_error() {
        return Problem::new(Kind::Locked, problem.detail);
    }
    problem
}

/// Whoever has the whole drive.
struct Owner;

impl Sender for Owner {
    fn share(&self) -> Option<ShareId> {
        None
    }

    fn plan<'a>(
        &'a self,
        state: &'a AppState,
        headers: &'a HeaderMap,
        size: u64,
    ) -> Pending<'a, Result<UploadPlan, Problem>> {
        Box::pin(async move {
            let metadata = Metadata::read(headers)?;
            let path = metadata.place()?;
            Ok(UploadPlan {
                precondition: check_before(state, &path, headers, Some(size)).await?,
                path,
                size,
                modified_ms: metadata.modified_ms()?,
                parents: true,
                note: resumable::note(None, metadata.into_text()),
            })
        })
    }

    fn goal<'a>(
        &'a self,
        _: &'a AppState,
        plan: &'a UploadPlan,
    ) -> Pending<'a, Result<EntryPath, Problem>> {
        Box::pin(async { Ok(plan.path.clone()) })
    }

    fn watched(&self, _: &AppState, _: u64, body: resumable::Body) -> resumable::Body {
        body
    }

    fn address(&self, upload: UploadId) -> String {
        format!("{UPLOADS}/{upload}")
    }

    fn upload(&self, text: &str) -> Option<UploadId> {
        text.parse().ok()
    }

    fn told(&self, progress: &Progress) -> HeaderMap {
        let mut headers = told(progress);
        if let Progress::Committed(uploaded) = progress {
            let etag = HeaderValue::try_from(conditional::etag(uploaded.version));
            headers.insert(header::ETAG, etag.expect("plain ASCII"));
            headers.insert(COPIES, u16::from(uploaded.copies).into());
            headers.insert(COPIES_WANTED, u16::from(uploaded.copies_wanted).into());
        }
        headers
    }

    fn refused(&self, problem: Problem, _is_kept: bool) -> Problem {
        problem
    }
}

/// `POST /api/v1/uploads`
pub(crate) async fn create(
    State(state): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Sending::of_owner(&state).create(&headers, body).await
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
    let owner = Sending::of_owner(&state);
    let upload = owner.id(&upload)?;
    let progress = resumable::watch(&state, &*owner.sender, upload).await?;
    Ok(owner.described(upload, progress))
}

/// `HEAD /api/v1/uploads/{upload}`
pub(crate) async fn head(
    State(state): State<Shared>,
    Path(upload): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Sending::of_owner(&state).head(&upload, &headers).await
}

/// `PATCH /api/v1/uploads/{upload}`
pub(crate) async fn patch(
    State(state): State<Shared>,
    Path(upload): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let owner = Sending::of_owner(&state);
    owner.patch(&upload, &headers, body).await
}

/// `DELETE /api/v1/uploads/{upload}`
pub(crate) async fn delete(
    State(state): State<Shared>,
    Path(upload): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Sending::of_owner(&state).delete(&upload, &headers).await
}

/// `POST /api/v1/uploads/{upload}`, from callers that cannot send other methods.
pub(crate) async fn post(
    State(state): State<Shared>,
    Path(upload): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let owner = Sending::of_owner(&state);
    owner.post(&upload, &headers, body).await
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
    let owner = Sending::of_owner(&state);
    let upload = owner.id(&upload)?;
    if !(1..=NAMED_MAX).contains(&chunks.len()) {
        let detail = format!(
            "{} chunks were named; name 1 to {NAMED_MAX} at once",
            chunks.len()
        );
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let appends = state.appends();
    let appending =
        async move { resumable::append_stored(&state, &Owner, upload, offset, chunks).await };
    let progress = finished(appends.spawn(appending).await)?;
    Ok(owner.described(upload, progress))
}

/// What a task said that went on whatever became of its request.
pub(crate) fn finished<T>(ended: Result<Result<T, Problem>, JoinError>) -> Result<T, Problem> {
    ended.unwrap_or_else(|_| {
        let detail = "the server failed in the middle of an upload; its log says more";
        Err(Problem::new(Kind::Internal, detail))
    })
}

/// What every answer says of how far an upload is.
pub(crate) fn told(progress: &Progress) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    headers.insert(tus::OFFSET, progress.offset().into());
    headers.insert(tus::LENGTH, progress.size().into());
    if let Progress::Open { plan, kept, .. } = progress {
        let expires = SystemTime::now().checked_add(*kept);
        let expires = expires.map(httpdate::fmt_http_date);
        let expires = expires.and_then(|date| HeaderValue::try_from(date).ok());
        headers.extend(expires.map(|date| (tus::EXPIRES, date)));
        let (_, metadata) = resumable::read_note(&plan.note).unwrap_or_default();
        let metadata = HeaderValue::try_from(metadata).ok();
        let metadata = metadata.filter(|metadata| !metadata.is_empty());
        headers.extend(metadata.map(|metadata| (tus::METADATA, metadata)));
    }
    headers
}
